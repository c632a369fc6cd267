/** A refused call as an HTTP response: status line, headers and body. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Codec } from '../../src/codec/codec.js';
import { readRetryDelay } from '../../src/details.js';
import { AccessError } from '../../src/policy/authorize.js';
import { LimitError } from '../../src/policy/limit.js';
import { Code, type StatusError } from '../../src/status.js';
import { hasHiddenCredential } from '../auth/sources.js';
import type { UpstreamConfig } from '../config.js';
import { HttpError, httpStatus } from './error.js';
import { type ErrorConfig, printError, shapeFor, statusInShape } from './error_body.js';
import { addVary, chosenStatus } from './headers.js';
import { rateLimitHeaders } from './rate_headers.js';
import { requestId } from './request.js';
import { OWN_ANSWER } from './safety.js';
import { headOf } from './trailers.js';

/** How long a client may go on sending a body that was refused, in ms. */
const DISCARD_MS = 2000;

/** What may stand between the quotes of an auth-param (RFC 6750 section 3). */
const NOT_QUOTABLE = /[^ !#-[\]-~]/g;
const SCOPE = /^[!#-[\]-~]+$/;

export interface SendErrorOptions {
  readonly codec: Codec;
  readonly http: ErrorConfig;
  /** Request id; without it, the client's own if it is a sane one, else a new one. */
  readonly id?: string | undefined;
  /** The upstream that failed, if one did. If it is trusted, it may choose the status by `x-http-code`: 400 to 499. */
  readonly upstream?: UpstreamConfig | undefined;
  /** Whether a stream of results was asked for, which names its failures `error`; default false. */
  readonly inResults?: boolean;
}

/** Answers with the error, unless the response has begun or the client has left. */
export function sendError(response: ServerResponse, error: StatusError, options: SendErrorOptions): void {
  if (response.headersSent || response.destroyed) return;
  const { req: request } = response;
  // A head that Node refused halfway has left its traces: what is written now might lack its body.
  if (response.statusMessage !== undefined) {
    response.destroy();
    return;
  }
  const { http, codec } = options;
  const id = options.id ?? requestId(request.headers['x-request-id']);
  const status =
    chosenStatus(error.metadata, 400, options.upstream) ?? shapedStatus(error, http) ?? httpStatus(error);
  const { type, text } = printError({
    codec,
    http,
    id,
    error,
    status,
    shape: shapeFor(request.headers.accept, http.errors),
    path: pathOf(request),
    wrapped: options.inResults === true,
  });
  const body = Buffer.from(text);
  const { headers, trailers } = headOf(request, { trailers: error.metadata }, http.headers);
  addRefusal(headers, error, request);
  addVary(headers, 'accept');
  headers['content-type'] = type;
  if (trailers === undefined) headers['content-length'] = body.length;
  headers['x-request-id'] = id;
  Object.assign(headers, OWN_ANSWER);
  response.writeHead(status, headers);
  if (trailers !== undefined) response.addTrailers(trailers);
  response.end(body);
  if (!request.complete) discardRest(request);
}

function shapedStatus(error: StatusError, { errors }: ErrorConfig): number | undefined {
  return error instanceof HttpError ? undefined : statusInShape(errors, error.code);
}

/** What HTTP has headers for. */
function addRefusal(headers: OutgoingHttpHeaders, error: StatusError, request: IncomingMessage): void {
  const challenge = challengeOf(error, request);
  if (challenge !== undefined) headers['www-authenticate'] ??= challenge;
  const delay = readRetryDelay(error.details);
  // RFC 9110 section 10.2.3: whole seconds.
  if (delay !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(delay / 1000)));
  if (error instanceof LimitError) Object.assign(headers, rateLimitHeaders(error));
  if (error instanceof HttpError) Object.assign(headers, error.headers);
}

/**
 * WWW-Authenticate by RFC 6750 section 3: `invalid_token` for a bearer token that was refused, `insufficient_scope` with what
 * is missing for one that allows too little, and no error at all for a request without a bearer token. A service's own
 * PERMISSION_DENIED has no challenge: another token might not help.
 */
function challengeOf(error: StatusError, request: IncomingMessage): string | undefined {
  const description = `error_description="${error.message.replace(NOT_QUOTABLE, "'")}"`;
  if (error.code === Code.UNAUTHENTICATED) {
    return hasBearer(request) ? `Bearer error="invalid_token", ${description}` : 'Bearer realm="api"';
  }
  if (error.code !== Code.PERMISSION_DENIED || !(error instanceof AccessError)) return undefined;
  const scope = error.permissions.filter((permission) => SCOPE.test(permission)).join(' ');
  return `Bearer error="insufficient_scope", ${description}${scope === '' ? '' : `, scope="${scope}"`}`;
}

function hasBearer(request: IncomingMessage): boolean {
  const { authorization, 'sec-websocket-protocol': protocols } = request.headers;
  if (hasHiddenCredential(request)) return true;
  return /^bearer\b/i.test(authorization ?? '') || protocols?.includes('bearer.') === true;
}

function pathOf({ url = '/' }: IncomingMessage): string {
  const mark = url.indexOf('?');
  return mark === -1 ? url : url.slice(0, mark);
}

/**
 * Reads on what the client is still sending, for a short while: to close at once would reset the connection, and
 * the client would see that instead of the answer.
 */
export function discardRest(request: IncomingMessage): void {
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  timer.unref();
  request
    .once('close', () => clearTimeout(timer))
    .once('end', () => clearTimeout(timer))
    .resume();
}
