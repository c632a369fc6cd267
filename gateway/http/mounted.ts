/** Requests that come through an application of somebody else's: below a path of its own, perhaps with their body already read. */
import { IncomingMessage } from 'node:http';
import { Code, StatusError } from '../../src/status.js';
import type { Exchange } from '../doors/door.js';
import { parseContentType } from './accept.js';
import { requireReadable } from './body.js';
import { invalid } from './error.js';

/** What Express and Connect add to a request. */
interface Mounted {
  /** The whole URL, where `url` is relative to the path that we are mounted at. */
  readonly originalUrl?: string;
  /** What a body parser made of the body. */
  readonly body?: unknown;
}

/** The path that we are mounted at, without a slash at its end; empty at the root. */
export function mountOf(request: IncomingMessage & Mounted): string {
  const { originalUrl, url = '' } = request;
  if (originalUrl === undefined || !originalUrl.endsWith(url)) return '';
  return originalUrl.slice(0, originalUrl.length - url.length).replace(/\/$/, '');
}

/** The parsers have undone the coding, and the length is another one now. */
const SPENT = new Set(['content-length', 'content-encoding', 'transfer-encoding']);

/**
 * The request with the body that another handler has read already, from what that has left in `request.body`: bytes and texts
 * as they are, anything else as JSON (as a form, if it was one). Throws HttpError 415 when it left nothing of use of a media
 * type that is not served, else StatusError INVALID_ARGUMENT for a form that is nested, INTERNAL for anything else.
 */
export function replayed(exchange: Exchange): IncomingMessage {
  const request: IncomingMessage & Mounted = exchange.request;
  const body = bytesOf(exchange);
  const { method, url, originalUrl, rawHeaders, headers } = request;
  const kept = Object.entries(headers).filter(([name]) => !SPENT.has(name));
  const again = new IncomingMessage(request.socket);
  again.httpVersionMajor = request.httpVersionMajor;
  again.httpVersionMinor = request.httpVersionMinor;
  again.httpVersion = request.httpVersion;
  again.headers = { ...Object.fromEntries(kept), 'content-length': String(body.length) };
  again.headersDistinct = request.headersDistinct;
  again.rawHeaders = rawHeaders.flatMap((name, at) => {
    const isName = at % 2 === 0;
    return isName && !SPENT.has(name.toLowerCase()) ? [name, rawHeaders[at + 1] as string] : [];
  });
  Object.assign(again, { method, url, originalUrl });
  again.complete = true;
  again.push(body);
  again.push(null);
  return again;
}

function bytesOf(exchange: Exchange): Buffer {
  const { body, headers, readableDidRead }: IncomingMessage & Mounted = exchange.request;
  // What parsers make of an empty body, `{}` for example, was not sent.
  if (!readableDidRead) return Buffer.alloc(0);
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (typeof body === 'string') return Buffer.from(body);
  const { type } = parseContentType(headers['content-type']);
  const isJson = type === '' || type === 'application/json' || type.endsWith('+json');
  if (body !== undefined && isJson) return Buffer.from(JSON.stringify(body));
  const isForm = type === 'application/x-www-form-urlencoded' && typeof body === 'object' && body !== null;
  const form = isForm ? printForm(body) : undefined;
  if (form !== undefined) return Buffer.from(form);
  requireReadable(exchange);
  if (isForm) throw invalid('body', 'a form whose fields are nested is not served here');
  throw new StatusError(
    Code.INTERNAL,
    'the body was read before the request came to the gateway: mount the gateway before whatever reads it',
  );
}

/** Undefined for what a form without nesting cannot hold. */
function printForm(body: object): string | undefined {
  const pairs = Object.entries(body).flatMap(([name, value]: [string, unknown]) =>
    (Array.isArray(value) ? value : [value]).map((one: unknown) => [name, one] as const),
  );
  if (!pairs.every(([, value]) => typeof value === 'string')) return undefined;
  return new URLSearchParams(pairs as [string, string][]).toString();
}
