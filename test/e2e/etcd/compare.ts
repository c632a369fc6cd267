/** Asks a gateway one of the paired requests, and brings two answers into a form in which they can be compared. */
import type { PairedRequest } from './requests.js';

export interface Answer {
  /** HTTP; `cut` when the connection was closed without an answer. */
  readonly status: number | 'cut';
  /** Parsed, if it is JSON; else text. */
  readonly body: unknown;
  /** Where a redirection leads to. */
  readonly location?: string;
}

/** What an error says to both kinds of client. */
export interface SaidError {
  readonly code: number;
  readonly message: string;
}

/** `address` is `host:port`. Redirections are answers. */
export async function ask(address: string, request: PairedRequest, token?: string): Promise<Answer> {
  const headers: Record<string, string> = { 'content-type': request.contentType ?? 'application/json' };
  if (token !== undefined && request.anonymous !== true) headers.authorization = `Bearer ${token}`;
  const init: RequestInit = { method: request.verb ?? 'POST', headers, redirect: 'manual' };
  if (request.body !== undefined) init.body = printBody(request.body);
  let response: Response;
  try {
    response = await fetch(`http://${address}${request.path}`, init);
  } catch {
    return { status: 'cut', body: '' };
  }
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  const location = response.headers.get('location');
  return {
    status: response.status,
    body: isJson ? (JSON.parse(text) as unknown) : text.trimEnd(),
    ...(location !== null && { location }),
  };
}

function printBody(body: string | object): string | Uint8Array {
  return typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body);
}

/**
 * An answer without what is known to differ, or to change from one moment to the next:
 * - An error is its code and message. grpc-gateway v1 says the message once more as `error`; we add the `details` of
 *   google.rpc.Status. All clients can read both.
 * - The members that the request calls volatile are there or not.
 */
export function comparable(answer: Answer, { volatile = [] }: PairedRequest): Answer {
  const { status, body } = answer;
  if (isError(body)) return { status, body: { code: body.code, message: body.message } };
  if (typeof body !== 'object' || body === null) return answer;
  const entries = Object.entries(body).map(([key, value]) => [key, volatile.includes(key) ? 'there' : value]);
  return { status, body: Object.fromEntries(entries) };
}

/** An answer on one line, as the table of differences states it: `200`, `400 3: bad key`, `404 Not Found`, `cut`. */
export function summary({ status, body }: Answer): string {
  if (isError(body)) return `${status} ${body.code}: ${body.message}`;
  return typeof body === 'string' && body !== '' ? `${status} ${body}` : String(status);
}

export function isError(body: unknown): body is SaidError {
  return typeof body === 'object' && body !== null && 'code' in body && 'message' in body;
}
