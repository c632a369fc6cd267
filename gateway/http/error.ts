/** A refused call as an HTTP response: status line, headers and the google.rpc.Status body. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Codec } from '../../src/codec/codec.js';
import { readRetryDelay } from '../../src/details.js';
import { Code, StatusError, type StatusErrorOptions } from '../../src/status.js';
import { responseHeaders } from './headers.js';

/** How long a client may go on sending a body that was refused, in ms. */
const DISCARD_MS = 2000;

export interface HttpErrorOptions extends StatusErrorOptions {
  /** Replaces the status that the code's row gives, for what HTTP says more exactly: 405, 413, 415. */
  readonly http: number;
  readonly headers?: OutgoingHttpHeaders;
}

/** A StatusError for which HTTP has a more exact status than the table. */
export class HttpError extends StatusError {
  readonly http: number;
  readonly headers: OutgoingHttpHeaders;

  constructor(code: Code, message: string, options: HttpErrorOptions) {
    super(code, message, options);
    this.http = options.http;
    this.headers = options.headers ?? {};
  }
}

export function notFound(path: string): StatusError {
  return new StatusError(Code.NOT_FOUND, `no route for ${path.slice(0, 200)}`);
}

/** RFC 9110 section 15.5.6. */
export function methodNotAllowed(verb: string, allow: readonly string[]): HttpError {
  const allowed = allow.join(', ');
  return new HttpError(Code.UNIMPLEMENTED, `${verb} is not allowed here; allowed: ${allowed}`, {
    http: 405,
    headers: { allow: allowed },
  });
}

/** The HTTP status a client sees for this error. */
export function httpStatus(error: StatusError): number {
  return error instanceof HttpError ? error.http : error.row.http;
}

/** Headers that say more of the refusal: WWW-Authenticate (RFC 6750 section 3), Retry-After (RFC 9110 section 10.2.3). */
function refusalHeaders(error: StatusError): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ...responseHeaders(error.metadata) };
  if (error.code === Code.UNAUTHENTICATED) {
    headers['www-authenticate'] =
      `Bearer error="invalid_token", error_description="${error.message.replace(/[^ !#-[\]-~]/g, "'")}"`;
  }
  const delay = readRetryDelay(error.details);
  if (delay !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(delay / 1000)));
  return error instanceof HttpError ? { ...headers, ...error.headers } : headers;
}

/** Answers with the error, unless the response has begun or the client has left. */
export function sendError(response: ServerResponse, error: StatusError, codec: Codec, id?: string): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(codec.printStatus(error));
  const headers = refusalHeaders(error);
  headers['content-type'] = 'application/json';
  headers['content-length'] = body.length;
  if (id !== undefined) headers['x-request-id'] = id;
  response.writeHead(httpStatus(error), headers).end(body);
  if (!response.req.complete) discardRest(response.req);
}

/**
 * Reads on what the client is still sending, for a short while: to close at once would reset the connection, and
 * the client would see that instead of the answer.
 */
function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  timer.unref();
  request
    .once('close', () => clearTimeout(timer))
    .once('end', () => clearTimeout(timer))
    .resume();
}
