/** gRPC trailers in HTTP: as trailers where the client takes them, else among the headers. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Metadata } from '../../src/call.js';
import { type Naming, responseHeaders } from './headers.js';

/** RFC 9110 section 10.1.4. */
const TRAILERS = /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i;

/** Fields that have to be known before the body (RFC 9110 section 6.5.1), or that clients heed only there. */
const NOT_IN_TRAILERS: ReadonlySet<string> = new Set([
  'age',
  'authorization',
  'cache-control',
  'expires',
  'location',
  'pragma',
  'retry-after',
  'set-cookie',
  'vary',
  'warning',
  'www-authenticate',
]);

/** Whether the client asks for trailers and its version of HTTP has them. */
function takesTrailers({ headers, httpVersionMajor, httpVersionMinor, method }: IncomingMessage): boolean {
  const { te } = headers;
  if (te === undefined || !TRAILERS.test(String(te)) || method === 'HEAD') return false;
  return httpVersionMajor > 1 || httpVersionMinor > 0;
}

/** What a service sent around the one message of a reply. */
export interface ReplyMetadata {
  readonly headers?: Metadata;
  readonly trailers: Metadata;
}

/** How that stands around the body of a response. */
export interface Head {
  readonly headers: OutgoingHttpHeaders;
  /** To be added before the response is ended. Such a response must not have a content-length. */
  readonly trailers: OutgoingHttpHeaders | undefined;
}

/**
 * With `TE: trailers` trailers are announced (`trailer`) and come after the body. Without, they are headers, the trailer
 * where both have a name; but grpc-gateway drops them then, and so does its naming.
 */
export function headOf(
  request: IncomingMessage,
  { headers = {}, trailers }: ReplyMetadata,
  naming: Naming,
): Head {
  if (isEmpty(trailers)) return { headers: responseHeaders(headers, naming), trailers: undefined };
  if (takesTrailers(request)) return withTrailers(responseHeaders(headers, naming), trailers, naming);
  const all = naming === 'same' ? { ...headers, ...trailers } : headers;
  return { headers: responseHeaders(all, naming), trailers: undefined };
}

function withTrailers(headers: OutgoingHttpHeaders, trailers: Metadata, naming: Naming): Head {
  const late: OutgoingHttpHeaders = {};
  const named = trailerFields(trailers, naming);
  for (const name in named) {
    if (NOT_IN_TRAILERS.has(name)) headers[name] = named[name];
    else late[name] = named[name];
  }
  const names = Object.keys(late);
  if (names.length === 0) return { headers, trailers: undefined };
  headers.trailer = names.join(', ');
  return { headers, trailers: late };
}

/** At the end of a streamed response: its trailers, if the client takes them. What cannot be a trailer is dropped. */
export function addTrailers(response: ServerResponse, trailers: Metadata, naming: Naming): void {
  if (isEmpty(trailers) || !takesTrailers(response.req)) return;
  const fields = trailerFields(trailers, naming);
  for (const name in fields) if (NOT_IN_TRAILERS.has(name)) delete fields[name];
  response.addTrailers(fields);
}

function trailerFields(trailers: Metadata, naming: Naming): OutgoingHttpHeaders {
  return responseHeaders(trailers, naming, 'grpc-trailer-');
}

function isEmpty(metadata: Metadata): boolean {
  for (const _ in metadata) return false;
  return true;
}
