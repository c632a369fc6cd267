/** Sends each HTTP request to the door that it asks for, or answers that there is none. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { StatusError } from '../../src/status.js';
import type { OwnEndpoints } from '../auth/endpoints.js';
import type { Config } from '../config.js';
import type { Exchange } from '../doors/door.js';
import { negotiate, parseContentType } from './accept.js';
import { createCors } from './cors.js';
import { methodNotAllowed, notFound, urlTooLong } from './error.js';
import { rawBodiesOf } from './http_body.js';
import { mountOf, replayed } from './mounted.js';
import { cleanedPath, comparablePath } from './path.js';
import { readStreamRequest } from './resume.js';
import { withoutSlashes } from './router.js';
import { sendError } from './send_error.js';
import type { Endpoint, Router, Table } from './table.js';

/** The routes of our own endpoints. */
const POST_ALONE: Pick<Router, 'match'> = { match: () => ({ allow: ['OPTIONS', 'POST'] }) };

type Door = (exchange: Exchange) => Promise<void>;
/** Calls back when its response is written: a promise for each stream costs more memory than the stream. */
type StreamDoor = (exchange: Exchange, done: () => void) => void;

/** What the dispatcher reports, for metrics. */
export interface DispatchObserver {
  request(door: string, status: number): void;
  connection(door: string): () => void;
  refused(reason: string): void;
  /** Something was refused since a limit was reached. */
  limited?(error: StatusError): void;
}

export interface DispatchOptions {
  readonly config: Pick<Config, 'http' | 'origins' | 'cors' | 'limits'>;
  readonly table: () => Table;
  readonly rest: Door;
  readonly sse: StreamDoor;
  readonly poll: Door;
  /** Answers before all routes; default: nobody does. */
  readonly admin?: {
    readonly paths: ReadonlySet<string>;
    readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  };
  /** Answers before all routes too, also where others serve, and to pages of the allowed origins; default: nobody does. */
  readonly own?: OwnEndpoints;
  /** Takes out of a query what says who asks, and answers the rest; default: nothing does. */
  readonly takeFromQuery?: (request: IncomingMessage, query: string) => string;
  readonly observer: DispatchObserver;
  /** Counts what never becomes a call: throws StatusError for what is too much. Default: nobody does. */
  readonly count?: ((request: IncomingMessage) => void) | undefined;
  /** Aborted when connections are no longer to be kept for further requests. */
  readonly draining: AbortSignal;
}

/** Express's and Connect's `next`: called for paths that are not ours. */
export type Next = (error?: unknown) => void;

/** What a client says of where its stream goes on is read once, for all doors. Throws StatusError INVALID_ARGUMENT. */
function withResume(exchange: Exchange): Exchange {
  const { request, endpoint } = exchange;
  if (!endpoint.method.serverStreaming) return exchange;
  const { resume, wait, query } = readStreamRequest(request.headers, endpoint.method, exchange.query);
  return { ...exchange, query, ...(resume && { resume }), ...(wait && { wait }) };
}

/** Every way of streaming a reply over HTTP, in the order of preference for a client that does not care. */
const STREAM_OFFERS = ['application/x-ndjson', 'application/jsonl', 'application/json', 'text/event-stream'];

function wantsEvents({ request, endpoint }: Exchange): boolean {
  const { accept } = request.headers;
  if (!endpoint.method.serverStreaming || request.method === 'HEAD') return false;
  return (
    accept?.includes('text/event-stream') === true &&
    rawBodiesOf(endpoint).response === undefined &&
    negotiate(accept, STREAM_OFFERS) === 'text/event-stream'
  );
}

/** A wait that the URL names is for this answer alone; one that is merely preferred is no use to a client that wants events. */
function wantsPoll(exchange: Exchange): boolean {
  const { request, wait } = exchange;
  return wait !== undefined && request.method !== 'HEAD' && !(wait.preferred && wantsEvents(exchange));
}

/** A request target's path and query; an absolute-form target (RFC 9112 section 3.2.2) loses its origin. */
export function splitTarget(target: string): { readonly path: string; readonly query: string } {
  const start =
    target.charCodeAt(0) === 0x2f ? 0 : Math.max(0, target.indexOf('/', target.indexOf('://') + 3));
  const mark = target.indexOf('?', start);
  return mark < 0
    ? { path: target.slice(start), query: '' }
    : { path: target.slice(start, mark), query: target.slice(mark + 1) };
}

function isRoute(router: Router, verb: string, path: string): boolean {
  return router.match(verb, path) !== undefined;
}

interface Redirection {
  readonly status: 301 | 308;
  /** With one slash at its beginning, so that it leads to no other host. */
  readonly path: string;
  readonly query: string;
}

/** RFC 9110 sections 15.4.2 and 15.4.9. */
function redirect(response: ServerResponse, { status, path, query }: Redirection): void {
  // What a URL cannot have: a browser takes a backslash for a slash, and two of them for the beginning of a host.
  const safe = path.replace(/[^\w\-.~!$&'()*+,;=:@/%]/g, encodeURIComponent);
  const location = query === '' ? safe : `${safe}?${query}`;
  response.writeHead(status, { location, 'content-length': 0 }).end();
}

function isForm({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'POST' &&
    parseContentType(headers['content-type']).type === 'application/x-www-form-urlencoded'
  );
}

function takesForm({ method, rule }: Endpoint): boolean {
  return rule.body === '' && !method.clientStreaming;
}

/** Whether the path is one that could be a route: where others serve too, one that could not is theirs to judge. */
function isWellFormed(path: string): boolean {
  try {
    comparablePath(path);
    return true;
  } catch {
    return false;
  }
}

function takesBody({ endpoint: { method, rule }, form }: Exchange): boolean {
  return rule.body !== '' || method.clientStreaming || form === true;
}

/** Behind handlers of others, which may have read the body; an empty one has an end only. Throws as `replayed` does. */
function whole(exchange: Exchange, next: Next | undefined): Exchange {
  const { readableDidRead, readableEnded } = exchange.request;
  if (next === undefined || !(readableDidRead || readableEnded) || !takesBody(exchange)) return exchange;
  return { ...exchange, request: replayed(exchange) };
}

/** Serves one request; with `next`, a path that nobody here knows is left to it. Never throws. */
export function createDispatch(options: DispatchOptions) {
  const { config, table, rest, sse, poll, admin, own, observer, draining, count } = options;
  const { takeFromQuery = (_request, query) => query } = options;
  const { http } = config;
  const urlBytes = config.limits.urlBytes || Number.POSITIVE_INFINITY;
  const cors = createCors(config);
  const redirectsUnclean = http.uncleanPaths === 'redirect';

  const serveOne = async (door: 'rest' | 'poll', exchange: Exchange): Promise<void> => {
    await (door === 'rest' ? rest : poll)(exchange);
    observer.request(door, exchange.response.statusCode);
  };
  const serveEvents = (exchange: Exchange): void => {
    const closed = observer.connection('sse');
    sse(exchange, () => {
      closed();
      observer.request('sse', exchange.response.statusCode);
    });
  };

  const serve = (routed: Exchange): void => {
    const exchange = withResume(routed);
    const { request, response, resume } = exchange;
    cors?.share(request, response);
    const door = wantsPoll(exchange) ? 'poll' : wantsEvents(exchange) ? 'sse' : 'rest';
    if (resume?.finished === true) {
      response.writeHead(204).end();
      observer.request(door, 204);
    } else if (door === 'sse') serveEvents(exchange);
    else void serveOne(door, exchange);
  };

  const serveOwn = (
    { handle }: OwnEndpoints,
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
  ): void => {
    if (draining.aborted) response.shouldKeepAlive = false;
    if (cors?.preflight(request, response, POST_ALONE, path)) return;
    cors?.share(request, response);
    response.once('close', () => observer.request('own', response.statusCode));
    handle(request, response);
  };

  const route = (request: IncomingMessage, response: ServerResponse, next: Next | undefined): void => {
    const { url = '/' } = request;
    if (url.length > urlBytes) throw urlTooLong(urlBytes);
    const { path, query: sent } = splitTarget(url);
    const query = sent === '' ? sent : takeFromQuery(request, sent);
    const verb = request.method ?? 'GET';
    if (admin?.paths.has(path)) {
      count?.(request);
      admin.handle(request, response);
      return;
    }
    if (own?.paths.has(path)) {
      serveOwn(own, request, response, path);
      return;
    }
    if (next !== undefined && !isWellFormed(path)) {
      next();
      return;
    }
    if (draining.aborted) response.shouldKeepAlive = false;
    const cleaned = redirectsUnclean && next === undefined ? cleanedPath(path) : undefined;
    if (cleaned !== undefined) {
      cors?.share(request, response);
      redirect(response, { status: 301, path: cleaned, query });
      return;
    }
    const current = table();
    const { router } = current;
    if (cors?.preflight(request, response, router, path)) return;
    const found = router.match(verb, path);
    if (next === undefined && (found === undefined || !('match' in found))) count?.(request);
    if (found === undefined) {
      if (http.trailingSlash === 'redirect' && isRoute(router, verb, withoutSlashes(path))) {
        cors?.share(request, response);
        redirect(response, { status: 308, path: mountOf(request) + withoutSlashes(path), query });
      } else if (next === undefined) throw notFound(path);
      else next();
    } else if ('match' in found) {
      serve(whole({ request, response, table: current, query, ...found.match }, next));
    } else if (verb === 'OPTIONS') {
      cors?.share(request, response);
      response.writeHead(204, { allow: found.allow.join(', ') }).end();
    } else {
      const match = http.formOverride && isForm(request) ? router.match('GET', path) : undefined;
      if (match === undefined || !('match' in match) || !takesForm(match.match.endpoint))
        throw methodNotAllowed(verb, found.allow, http.wrongMethod);
      const form = { query, form: true, ...match.match };
      serve(whole({ request, response, table: current, ...form }, next));
    }
  };

  return (request: IncomingMessage, response: ServerResponse, next?: Next): void => {
    try {
      route(request, response, next);
    } catch (thrown) {
      const error = StatusError.from(thrown);
      observer.refused(error.row.name.toLowerCase());
      observer.limited?.(error);
      cors?.share(request, response);
      sendError(response, error, { codec: table().codec, http });
    }
  };
}
