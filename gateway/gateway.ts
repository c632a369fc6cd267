/** The composition root: one contract, one chain and all doors on one HTTP server. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Logger, pino } from 'pino';
import { chain } from '../src/call.js';
import { authorize } from '../src/policy/authorize.js';
import { deadline } from '../src/policy/deadline.js';
import { identity } from '../src/policy/identity.js';
import { observe } from '../src/policy/observe.js';
import { strip } from '../src/policy/strip.js';
import { Code, StatusError } from '../src/status.js';
import { createAdmin } from './admin/admin.js';
import { createMetrics } from './admin/metrics.js';
import type { Config } from './config.js';
import type { Exchange, Gateway, LiveCall } from './doors/door.js';
import { createRestDoor } from './doors/rest.js';
import { createSseDoor } from './doors/sse.js';
import { createWebSocketDoor } from './doors/ws.js';
import { negotiate } from './http/accept.js';
import { methodNotAllowed, notFound, sendError } from './http/error.js';
import { createRequestReader, requestId } from './http/request.js';
import type { Table } from './http/table.js';
import { createTokenVerifier } from './http/token.js';
import { declineUpgrade, isWebSocket } from './http/upgrade.js';
import { openContract } from './load.js';

export * from '../src/index.js';
export { type Config, ConfigError, loadConfig } from './config.js';

export interface GatewayServer {
  /** Starts listening on the configured host and port. Rejects with the listen error, for example EADDRINUSE. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Serves one HTTP request: for a server of your own. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Serves one WebSocket handshake: for a server of your own (`server.on('upgrade', gateway.upgrade)`). */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** The routes in force. */
  readonly table: () => Table;
  readonly log: Logger;
  /** Drains: sends streams away, lets calls end within `timeouts.drainMs`, then cuts what is left. Idempotent. */
  close(): Promise<void>;
}

/** Every way of streaming a reply over HTTP, in the order of preference for a client that does not care. */
const STREAM_OFFERS = ['application/x-ndjson', 'application/jsonl', 'application/json', 'text/event-stream'];

function wantsEvents({ request, endpoint }: Exchange): boolean {
  const { accept } = request.headers;
  if (!endpoint.method.serverStreaming || request.method === 'HEAD') return false;
  return (
    accept?.includes('text/event-stream') === true && negotiate(accept, STREAM_OFFERS) === 'text/event-stream'
  );
}

/** A request target's path and query; an absolute-form target (RFC 9112 section 3.2.2) loses its origin. */
function splitTarget(target: string): { path: string; query: string } {
  const start =
    target.charCodeAt(0) === 0x2f ? 0 : Math.max(0, target.indexOf('/', target.indexOf('://') + 3));
  const mark = target.indexOf('?', start);
  return mark < 0
    ? { path: target.slice(start), query: '' }
    : { path: target.slice(start, mark), query: target.slice(mark + 1) };
}

/** HTTP that the parser refuses, answered as far as a broken connection allows. */
function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const line = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const message = tooLarge ? 'headers: too large' : 'the request is not valid HTTP';
  const body = JSON.stringify({ code: Code.INVALID_ARGUMENT, message, details: [] });
  socket.end(
    `HTTP/1.1 ${line}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

/**
 * Loads the contract, connects the doors and returns a gateway that does not listen yet. Rejects with ContractError when
 * the contract cannot be served, and with StatusError when an upstream cannot be asked for it.
 */
export async function createGateway(config: Config): Promise<GatewayServer> {
  const log = pino({ level: config.logLevel });
  const { table, upstreams } = await openContract(config);
  // Connected before the first call, so that readiness tells the truth.
  upstreams.connect();
  const metrics = createMetrics();
  const draining = new AbortController();
  const live = new Set<LiveCall>();
  const gateway: Gateway = {
    config,
    log,
    invoke: chain(
      [
        observe(metrics.observer),
        authorize({ leewayMs: config.auth.leewaySeconds * 1000 }),
        identity(),
        strip(config.stripHeaders),
        deadline(),
      ],
      upstreams.invoke,
    ),
    table: () => table,
    identify: createRequestReader({ config, verify: createTokenVerifier(config.auth) }),
    draining: draining.signal,
    live,
  };
  const admin = createAdmin({
    registry: metrics.registry,
    readiness: () => ({
      ready: !draining.signal.aborted,
      detail: { draining: draining.signal.aborted, upstreams: upstreams.states() },
    }),
  });
  const rest = createRestDoor(gateway);
  const sse = createSseDoor(gateway);
  const ws = createWebSocketDoor(gateway);

  const serveRest = async (exchange: Exchange): Promise<void> => {
    await rest(exchange);
    metrics.request('rest', exchange.response.statusCode);
  };
  const serveEvents = async (exchange: Exchange): Promise<void> => {
    const closed = metrics.connection('sse');
    await sse(exchange);
    closed();
    metrics.request('sse', exchange.response.statusCode);
  };
  const upgrade: GatewayServer['upgrade'] = (request, socket, head) => {
    socket.once('close', metrics.connection('ws'));
    ws.upgrade(request, socket, head);
  };
  const route = (request: IncomingMessage, response: ServerResponse): void => {
    const { path, query } = splitTarget(request.url ?? '/');
    const verb = request.method ?? 'GET';
    if (admin.paths.has(path)) {
      admin.handle(request, response);
      return;
    }
    if (draining.signal.aborted) response.shouldKeepAlive = false;
    const found = table.router.match(verb, path);
    if (found === undefined) throw notFound(path);
    if ('match' in found) {
      const exchange = { request, response, query, ...found.match };
      void (wantsEvents(exchange) ? serveEvents(exchange) : serveRest(exchange));
    } else if (verb === 'OPTIONS') {
      response.writeHead(204, { allow: found.allow.join(', ') }).end();
    } else throw methodNotAllowed(verb, found.allow);
  };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    try {
      route(request, response);
    } catch (thrown) {
      const error = StatusError.from(thrown);
      metrics.refused(error.row.name.toLowerCase());
      sendError(response, error, table.codec, requestId(request.headers['x-request-id']));
    }
  };

  const server = createServer({ maxHeaderSize: config.limits.headerBytes, requestTimeout: 0 }, handle);
  const onUpgrade: GatewayServer['upgrade'] = (request, socket, head) => {
    if (isWebSocket(request)) upgrade(request, socket, head);
    else declineUpgrade(server, request, socket, head);
  };
  server.on('upgrade', onUpgrade).on('clientError', onClientError);
  let closing: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    draining.abort(new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down'));
    const closed = closeServer(server);
    const left = cancelAll(live, draining.signal.reason, config.timeouts.drainMs);
    await Promise.all([left, ws.close()]);
    server.closeIdleConnections();
    await Promise.race([closed, sleep(200)]);
    server.closeAllConnections();
    await closed;
    await upstreams.close();
  };
  return {
    listen: () => listen(server, config),
    handle,
    upgrade,
    table: () => table,
    log,
    close: () => {
      closing ??= drain();
      return closing;
    },
  };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function listen(server: Server, { host, port }: Config): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({ host, port: (server.address() as AddressInfo).port });
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => (server.listening ? server.close(() => resolve()) : resolve()));
}

/** Sends streams away at once, the other calls after `graceMs`; resolves when no call is left, or a moment after that. */
async function cancelAll(live: ReadonlySet<LiveCall>, reason: StatusError, graceMs: number): Promise<void> {
  for (const one of live) if (one.leavesOnDrain) one.cancel(reason);
  const end = Date.now() + graceMs;
  while (live.size > 0 && Date.now() < end) await sleep(20);
  for (const one of live) one.cancel(reason);
  if (live.size > 0) await sleep(50);
}
