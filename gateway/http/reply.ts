/** A response whose body is there as a whole: framed, validated and compressed as the request asks for. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { HttpConfig } from '../config.js';
import { type Coding, codingOfBody, compress, isCompressible } from './compress.js';
import { codedTag, etagOf, matchesTag } from './etag.js';
import { addVary } from './headers.js';

export interface WholeReply {
  readonly status: number;
  /** With content-type; may be changed. */
  readonly headers: OutgoingHttpHeaders;
  /** To be sent after the body, which then has no content-length. */
  readonly trailers: OutgoingHttpHeaders | undefined;
  readonly body: Uint8Array;
}

/** RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** At once, or for a large body once it is compressed on another thread. */
export function sendWhole(
  response: ServerResponse,
  reply: WholeReply,
  http: HttpConfig,
): Promise<void> | undefined {
  const { status, headers, body } = reply;
  const { req: request } = response;
  if (WITHOUT_BODY.has(status)) {
    finishEmpty(response, reply, status);
    return undefined;
  }
  const coding = codingOf(request, reply, http);
  if (isValidated(request, status, http) || headers.etag !== undefined) {
    if (tag(request, reply, { coding, http })) {
      finishEmpty(response, reply, 304);
      return undefined;
    }
  }
  if (coding === undefined) {
    finish(response, reply, body);
    return undefined;
  }
  headers['content-encoding'] = coding;
  const coded = compress(coding, body);
  if (!(coded instanceof Promise)) {
    finish(response, reply, coded);
    return undefined;
  }
  return coded.then((compressed) => finish(response, reply, compressed));
}

/** Whether bodies of these headers are compressed for whoever asks. Says so in Vary. */
export function mayCompress(headers: OutgoingHttpHeaders, { compressAboveBytes }: HttpConfig): boolean {
  const type = headers['content-type'];
  if (compressAboveBytes === 0 || typeof type !== 'string' || !isCompressible(type)) return false;
  const control = headers['cache-control'];
  if (control !== undefined && /\bno-transform\b/i.test(String(control))) return false;
  // What nearly every reply has; spares the parsing.
  if (headers.vary === 'accept') headers.vary = 'accept, accept-encoding';
  else addVary(headers, 'accept-encoding');
  return true;
}

function codingOf(request: IncomingMessage, reply: WholeReply, http: HttpConfig): Coding | undefined {
  if (!mayCompress(reply.headers, http) || reply.body.length === 0) return undefined;
  return codingOfBody(request.headers['accept-encoding'], reply.body.length, http.compressAboveBytes);
}

/** Whether a reply is one that a cache may ask about (RFC 9110 section 13.2.1). */
function isValidated({ method }: IncomingMessage, status: number, { etag }: HttpConfig): boolean {
  return etag && status === 200 && (method === 'GET' || method === 'HEAD');
}

interface Tagging {
  readonly coding: Coding | undefined;
  readonly http: HttpConfig;
}

/** Sets the ETag, the service's own or one of ours. Whether the client has named it: then 304 is the answer. */
function tag(request: IncomingMessage, reply: WholeReply, { coding, http }: Tagging): boolean {
  const { headers, body, status } = reply;
  const given = headers.etag;
  if (given !== undefined && typeof given !== 'string') return false;
  let etag = given ?? etagOf(body);
  if (coding !== undefined) etag = codedTag(etag, coding, given === undefined);
  headers.etag = etag;
  const known = request.headers['if-none-match'];
  return known !== undefined && isValidated(request, status, http) && matchesTag(known, etag);
}

function finish(response: ServerResponse, { status, headers, trailers }: WholeReply, body: Uint8Array): void {
  if (trailers === undefined) headers['content-length'] = body.length;
  response.writeHead(status, headers);
  if (trailers !== undefined) response.addTrailers(trailers);
  response.end(body);
}

/** Behind no body come no trailers: they are headers then, as for a client that takes none. */
function finishEmpty(response: ServerResponse, { headers, trailers }: WholeReply, status: number): void {
  delete headers['content-type'];
  delete headers.trailer;
  response.writeHead(status, { ...headers, ...trailers }).end();
}
