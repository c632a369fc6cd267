/** Reads the caller from an HTTP request: request id, principal, metadata and deadline. */
import { randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Principal } from '../../src/principal.js';
import type { StatusError } from '../../src/status.js';
import type { Authenticate } from '../auth/auth.js';
import { withoutCookie } from '../auth/sources.js';
import type { Config } from '../config.js';
import type { Caller } from '../doors/door.js';
import { invalid } from './error.js';
import { forwardedOf } from './forwarded.js';
import { metadataFrom } from './headers.js';
import type { Endpoint } from './table.js';

const REQUEST_ID = /^[\w.~:+/=@-]{1,128}$/;
const GRPC_TIMEOUT = /^(\d{1,8})([HMSmun])$/;
/** Milliseconds in each unit of grpc-timeout (gRPC over HTTP/2, "Timeout"). */
const UNIT_MS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** The client's own request id if it is a sane one (at most 128 URL-safe characters), else a new UUID. */
export function requestId(header: string | readonly string[] | undefined): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : randomUUID();
}

function badTimeout(name: string, expected: string): StatusError {
  return invalid(`header ${name}`, `expected ${expected}`);
}

/** Milliseconds from the smallest of the timeout headers, or undefined without any. Throws INVALID_ARGUMENT. */
export function timeoutFrom(headers: IncomingMessage['headers']): number | undefined {
  let smallest: number | undefined;
  const take = (ms: number): void => {
    smallest = smallest === undefined ? ms : Math.min(smallest, ms);
  };
  const grpc = headers['grpc-timeout'];
  if (grpc !== undefined) {
    const parts = GRPC_TIMEOUT.exec(String(grpc));
    if (parts === null)
      throw badTimeout('grpc-timeout', 'digits and a unit of H, M, S, m, u or n, such as 500m');
    take(Number(parts[1]) * (UNIT_MS[parts[2] as string] as number));
  }
  const server = headers['x-server-timeout'];
  if (server !== undefined) {
    if (!/^\d{1,9}(\.\d{1,9})?$/.test(String(server)))
      throw badTimeout('x-server-timeout', 'seconds, such as 1.5');
    take(Number(server) * 1000);
  }
  const connect = headers['connect-timeout-ms'];
  if (connect !== undefined) {
    if (!/^\d{1,10}$/.test(String(connect))) throw badTimeout('connect-timeout-ms', 'at most ten digits');
    take(Number(connect));
  }
  return smallest;
}

/** How long a call may take in ms: what the client asks for, else the default for the method's kind, under both maxima. */
export function effectiveTimeout(
  asked: number | undefined,
  endpoint: Endpoint | undefined,
  timeouts: Config['timeouts'],
): number | undefined {
  const { unaryMs, maxMs } = timeouts;
  const streams =
    endpoint !== undefined && (endpoint.method.serverStreaming || endpoint.method.clientStreaming);
  const preset = streams || unaryMs === 0 ? undefined : unaryMs;
  const timeout = asked ?? preset;
  const limited = timeout !== undefined && maxMs > 0 ? Math.min(timeout, maxMs) : timeout;
  const routeMs = endpoint?.options.maxTimeoutMs ?? 0;
  return routeMs === 0 ? limited : Math.min(limited ?? routeMs, routeMs);
}

export interface RequestReaderOptions {
  readonly config: Config;
  readonly authenticate: Authenticate;
}

/** The `identify` of a Gateway: see gateway/doors/door.ts for what it answers and throws. */
export function createRequestReader({ config, authenticate }: RequestReaderOptions) {
  const { trustedHops, auth } = config;
  const rules = { naming: config.http.headers, behindProxy: trustedHops > 0 };
  /** A cookie that holds a token is spent here: a service could use it as its caller. */
  const passedOn = (headers: IncomingHttpHeaders): IncomingHttpHeaders => {
    if (auth.cookie === undefined || headers.cookie === undefined) return headers;
    const { cookie, ...others } = headers;
    const rest = withoutCookie(cookie, auth.cookie);
    return rest === undefined ? others : { ...others, cookie: rest };
  };
  const callerOf = (
    request: IncomingMessage,
    endpoint: Endpoint | undefined,
    principal: Principal,
  ): Caller => {
    const { headers } = request;
    const timeout = effectiveTimeout(timeoutFrom(headers), endpoint, config.timeouts);
    return {
      id: requestId(headers['x-request-id']),
      principal,
      metadata: Object.assign(
        metadataFrom(passedOn(headers), config.limits.headerBytes, rules),
        forwardedOf(request, trustedHops),
      ),
      deadline: timeout === undefined ? undefined : Date.now() + timeout,
    };
  };
  return (
    request: IncomingMessage,
    endpoint: Endpoint | undefined,
    token?: string,
  ): Caller | Promise<Caller> => {
    const principal = authenticate(request, endpoint, token);
    return principal instanceof Promise
      ? principal.then((found) => callerOf(request, endpoint, found))
      : callerOf(request, endpoint, principal);
  };
}
