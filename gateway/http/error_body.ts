/** The body of an error in each of its shapes: google.rpc.Status, Google's `error` object, and RFC 9457's problem. */
import { STATUS_CODES } from 'node:http';
import type { Codec } from '../../src/codec/codec.js';
import { type RpcStatus, requestInfo } from '../../src/details.js';
import { Code, statusOf } from '../../src/status.js';
import type { HttpConfig } from '../config.js';
import { negotiate } from './accept.js';

export type ErrorShape = HttpConfig['errors'];
/** The part of the configuration that errors follow. */
export type ErrorConfig = Pick<HttpConfig, 'errors' | 'requestInfo' | 'headers'>;

/** What all errors of one request share. */
export interface ErrorContext {
  readonly codec: Codec;
  readonly http: ErrorConfig;
  /** Request id. */
  readonly id: string;
}

export interface ErrorBody {
  readonly type: 'application/json' | 'application/problem+json';
  readonly text: string;
}

const PROBLEM = 'application/problem+json';
const REQUEST_INFO = '/google.rpc.RequestInfo';

/** What a URI escapes in its path and its fragment (RFC 3986, section 3). */
const NOT_IN_PATH = /[^!-~]|["<>\\^`{|}#]/g;
const NOT_IN_FRAGMENT = /[^\w.~:@/?!$&'()*+,;=-]/g;

/** The configured shape, or the problem for a client that names its media type. Wildcards do not ask for it. */
export function shapeFor(accept: string | undefined, configured: ErrorShape): ErrorShape {
  if (accept === undefined || !accept.toLowerCase().includes(PROBLEM)) return configured;
  return negotiate(accept, [PROBLEM]) === undefined ? configured : 'problem';
}

/**
 * JSON text of google.rpc.Status. Unless the service has sent a google.rpc.RequestInfo itself, or the configuration wants
 * none, one with the request id is the last of its details.
 */
export function printStatus({ codec, http, id }: ErrorContext, status: RpcStatus): string {
  return codec.printStatus(http.requestInfo ? withRequestInfo(status, id) : status);
}

function withRequestInfo({ code, message, details }: RpcStatus, id: string): RpcStatus {
  if (details.some(({ typeUrl }) => typeUrl.endsWith(REQUEST_INFO))) return { code, message, details };
  return { code, message, details: [...details, requestInfo(id)] };
}

export interface ErrorOccurrence extends ErrorContext {
  readonly shape: ErrorShape;
  readonly error: RpcStatus;
  /** The HTTP status of the response. */
  readonly status: number;
  /** The request's path, still encoded. */
  readonly path: string;
  /** Whether google.rpc.Status stands inside an `error`, as at the end of a stream of results. */
  readonly wrapped?: boolean;
}

/** grpc-gateway v1 has two statuses of its own; the others are those of every shape. */
const V1_STATUS: ReadonlyMap<number, number> = new Map([
  [Code.CANCELLED, 408],
  [Code.FAILED_PRECONDITION, 412],
]);

/** The HTTP status that a shape has for a gRPC code, if it is another than the table's. */
export function statusInShape(shape: ErrorShape, code: number): number | undefined {
  return shape === 'grpc-gateway-v1' ? V1_STATUS.get(code) : undefined;
}

/** The body of one error response. */
export function printError(occurrence: ErrorOccurrence): ErrorBody {
  const { shape, error, status } = occurrence;
  if (shape === 'problem') return { type: PROBLEM, text: printProblem(occurrence) };
  const text = printStatus(occurrence, error);
  const type = 'application/json';
  if (shape === 'status') return { type, text: occurrence.wrapped === true ? `{"error":${text}}` : text };
  const { message, details } = JSON.parse(text) as { message: string; details: readonly unknown[] };
  if (shape === 'grpc-gateway-v1') {
    const shown = details.length === 0 ? {} : { details };
    return { type, text: JSON.stringify({ error: message, message, code: error.code, ...shown }) };
  }
  const body = { code: status, message, status: statusOf(error.code).name, details };
  return { type, text: JSON.stringify({ error: body }) };
}

/**
 * RFC 9457. There are no types of problems but those of HTTP and gRPC, so `type` is about:blank and `title` the phrase of the
 * status (section 4.2.1); `code` and `details` are those of google.rpc.Status. `instance` is the path with the request id.
 */
function printProblem({ codec, error, status, id, path }: ErrorOccurrence): string {
  const { code, message, details } = JSON.parse(codec.printStatus(error)) as Record<string, unknown>;
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status] ?? (status === 499 ? 'Client Closed Request' : 'Unknown'),
    status,
    detail: message,
    instance: `${encodePath(path)}#${id.replace(NOT_IN_FRAGMENT, encodeURIComponent)}`,
    code,
    details,
  });
}

/** Node lets characters through in a path that a URI does not have. */
function encodePath(path: string): string {
  return path.slice(0, 500).replace(NOT_IN_PATH, encodeURIComponent);
}
