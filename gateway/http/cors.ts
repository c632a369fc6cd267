/** CORS (Fetch standard, section 3.3): which pages of other origins may read the answers, and what they may send. */
import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Config } from '../config.js';
import { addVary } from './headers.js';
import { OWN_ANSWER } from './safety.js';
import type { Router } from './table.js';

export interface Cors {
  /** Makes whatever is answered on this response readable for the page that asks, if its origin is allowed. Before its head is written. */
  readonly share: (request: IncomingMessage, response: ServerResponse) => void;
  /**
   * Answers a preflight request (OPTIONS of a page that asks what it may send) with what the path serves and the configuration
   * allows, which browsers then insist on. False for any other request, and for an unknown path. Throws what `match` throws.
   */
  readonly preflight: (
    request: IncomingMessage,
    response: ServerResponse,
    router: Pick<Router, 'match'>,
    path: string,
  ) => boolean;
}

/** Request headers that the gateway itself reads. Those that every page may send (Accept ...) need not be allowed. */
const READ_HERE: readonly string[] = [
  'authorization',
  'connect-protocol-version',
  'connect-timeout-ms',
  'content-encoding',
  'content-type',
  'grpc-timeout',
  'if-none-match',
  'last-event-id',
  'prefer',
  'tidegate-errors',
  'traceparent',
  'tracestate',
  'x-request-id',
  'x-server-timeout',
];

/** Response headers that pages see anyway (CORS-safelisted), never see (forbidden), or that are not about the answer. */
const NOT_EXPOSED: ReadonlySet<string> = new Set([
  'cache-control',
  'connection',
  'content-language',
  'content-length',
  'content-type',
  'expires',
  'keep-alive',
  'last-modified',
  'pragma',
  'set-cookie',
  'set-cookie2',
  'trailer',
  'transfer-encoding',
  ...Object.keys(OWN_ANSWER),
]);

type WriteHead = (status: number, ...rest: readonly unknown[]) => ServerResponse;

/** Undefined when no origin is allowed: then nothing here costs anything. */
export function createCors({ origins, cors }: Pick<Config, 'origins' | 'cors'>): Cors | undefined {
  if (origins.length === 0) return undefined;
  const all = origins.includes('*');
  const allowed = new Set(origins);
  const { credentials, maxAgeSeconds, allowHeaders } = cors;
  const anyHeader = allowHeaders.includes('*');
  const named = new Set([...READ_HERE, ...allowHeaders]);
  const maySend = (name: string): boolean => TOKEN.test(name) && (anyHeader || named.has(name));

  /** The headers that share an answer with the page; none for an origin that is not allowed. */
  const grant = (origin: string | undefined): OutgoingHttpHeaders | undefined => {
    if (all) return { 'access-control-allow-origin': '*' };
    if (origin === undefined || !allowed.has(origin)) return undefined;
    return {
      'access-control-allow-origin': origin,
      ...(credentials && { 'access-control-allow-credentials': 'true' }),
    };
  };

  return {
    share(request, response) {
      const { origin } = request.headers;
      // The answer is another one for each origin, also for requests without any: caches must know that.
      const granted = origin === undefined ? undefined : grant(origin);
      if (granted === undefined && all) return;
      onHead(response, (names, headers) => {
        if (!all) addVary(headers, 'origin');
        if (granted === undefined) return;
        Object.assign(headers, granted);
        const exposed = names.filter((name) => !NOT_EXPOSED.has(name) && !name.startsWith('access-control-'));
        if (exposed.length > 0) headers['access-control-expose-headers'] = exposed.join(', ');
      });
    },

    preflight({ method, headers: asked }, response, router, path) {
      const askedMethod = asked['access-control-request-method'];
      if (method !== 'OPTIONS' || asked.origin === undefined || askedMethod === undefined) return false;
      const served = servedMethods(router, path, askedMethod);
      if (served === undefined) return false;
      const granted = grant(asked.origin);
      const headers: OutgoingHttpHeaders = { allow: served.join(', '), ...granted };
      if (!all) addVary(headers, 'origin');
      if (granted !== undefined) {
        addVary(headers, 'access-control-request-method');
        addVary(headers, 'access-control-request-headers');
        headers['access-control-allow-methods'] = served.filter((name) => name !== 'OPTIONS').join(', ');
        const may = list(asked['access-control-request-headers']).filter(maySend);
        if (may.length > 0) headers['access-control-allow-headers'] = may.join(', ');
        headers['access-control-max-age'] = String(maxAgeSeconds);
      }
      response.writeHead(204, headers).end();
      return true;
    },
  };
}

/** The methods that a path serves, or undefined for an unknown one. A path that takes all methods serves the one that is `asked`. */
function servedMethods(
  router: Pick<Router, 'match'>,
  path: string,
  asked: string,
): readonly string[] | undefined {
  const options = router.match('OPTIONS', path);
  if (options !== undefined && 'allow' in options) return options.allow;
  const found = router.match(asked, path);
  return found !== undefined && 'allow' in found ? found.allow : found && [asked];
}

/** RFC 9110 section 5.6.2, in lower case. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

function list(header: string | undefined): string[] {
  return header === undefined ? [] : header.split(',').map((name) => name.trim().toLowerCase());
}

/**
 * Lets `add` see the names of the headers that are about to be written, and change those given with the head. The doors write
 * their heads in many places, and so do handlers that are not ours: what CORS exposes has to be what is really sent.
 */
function onHead(
  response: ServerResponse,
  add: (names: readonly string[], headers: OutgoingHttpHeaders) => void,
): void {
  const writeHead = response.writeHead.bind(response) as WriteHead;
  response.writeHead = ((status: number, ...rest: readonly unknown[]) => {
    const phrase = typeof rest[0] === 'string' ? [rest[0]] : [];
    const headers = headersOf(response, rest[phrase.length]);
    const names = Object.keys(headers).map((name) => name.toLowerCase());
    if (response.sendDate && !names.includes('date')) names.push('date');
    add(names, headers);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    return writeHead(status, ...phrase, headers);
  }) as ServerResponse['writeHead'];
}

/** All headers of a head in one object: those set before, and those given with it, as an object or as a flat list. */
function headersOf(response: ServerResponse, given: unknown): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { ...response.getHeaders() };
  const pairs = Array.isArray(given) ? pairsOf(given) : Object.entries(given ?? {});
  for (const [name, value] of pairs) headers[name.toLowerCase()] = value as OutgoingHttpHeader;
  return headers;
}

function pairsOf(flat: readonly unknown[]): [string, unknown][] {
  const pairs: [string, unknown][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([String(flat[at]), flat[at + 1]]);
  return pairs;
}
