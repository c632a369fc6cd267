/** The composition root: one contract, one chain and all doors on one HTTP server. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import { type Logger, pino } from 'pino';
import { chain } from '../src/call.js';
import { deadline } from '../src/policy/deadline.js';
import type { CallLimit } from '../src/policy/limit.js';
import { type Observer, observe } from '../src/policy/observe.js';
import { strip } from '../src/policy/strip.js';
import { Code, StatusError } from '../src/status.js';
import type { Upstreams } from '../src/upstream/upstreams.js';
import { type Access, createAccess } from './access/access.js';
import { createAdmin } from './admin/admin.js';
import { createCallLog } from './admin/call_log.js';
import { printState, registerContract } from './admin/contract_metrics.js';
import { createMetrics, type Metrics } from './admin/metrics.js';
import { createAgenda } from './agenda.js';
import { createAuth } from './auth/auth.js';
import { revoked } from './auth/refusals.js';
import { type BuiltIn, type ChannelsServer, startChannelsServer } from './channels.js';
import type { Config } from './config.js';
import type { Gateway } from './doors/door.js';
import { createPollDoor } from './doors/poll.js';
import { createRestDoor } from './doors/rest.js';
import { createSseDoor } from './doors/sse.js';
import { createWebSocketDoor } from './doors/ws.js';
import { endCalls } from './drain.js';
import { createDispatch, type DispatchOptions, type Next } from './http/dispatch.js';
import { createListener } from './http/listener.js';
import { MULTIPLEX_PATH } from './http/own_paths.js';
import { createRequestReader } from './http/request.js';
import type { Table } from './http/table.js';
import type { UpgradeListener } from './http/upgrade.js';
import { openLimits } from './limits/open.js';
import { createContractLoader, loadFirst } from './load.js';
import { type AttachOptions, attachUpgrades } from './mount.js';
import { createReloading, type ReloadCause, type Reloaded, type Reloading } from './reload.js';
import { watchContract } from './reload_watch.js';
import { openStreamState, registerStreamState, type StreamState } from './stream_state.js';
import { createTls, type Tls } from './tls/tls.js';

export type { ContractChange } from '../src/contract/diff.js';
export * from '../src/index.js';
export { type Config, ConfigError, loadConfig } from './config.js';
export type { AttachOptions } from './mount.js';
export type { Reloaded } from './reload.js';

export interface GatewayServer {
  /** Starts listening on the configured host and port. Rejects with the listen error, for example EADDRINUSE. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Serves one HTTP request: for a server of your own. With `next`, paths that nobody here knows are left to it. */
  readonly handle: (request: IncomingMessage, response: ServerResponse, next?: Next) => void;
  /** Serves one WebSocket handshake: for a server of your own (`server.on('upgrade', gateway.upgrade)`). */
  readonly upgrade: UpgradeListener;
  /**
   * For Express and Connect: `app.use(gateway.middleware)`, also below a path. Serves the contract's routes and leaves all other
   * paths, /healthz and the like among them, to `next`.
   */
  readonly middleware: (request: IncomingMessage, response: ServerResponse, next: Next) => void;
  /** /healthz, /readyz and /metrics for the same: `app.use('/gateway', gateway.admin)`. */
  readonly admin: (request: IncomingMessage, response: ServerResponse, next?: Next) => void;
  /** Takes the WebSocket handshakes for our paths on another server, until the result is called or the gateway is closed. */
  attach(server: Server | SecureServer, options?: AttachOptions): () => void;
  /**
   * Looks for a new contract now, and serves it from the next call on. Rejects with ContractError when it cannot be served;
   * the one in force then stays so.
   */
  reload(cause?: ReloadCause): Promise<Reloaded>;
  /** The routes in force. */
  readonly table: () => Table;
  readonly log: Logger;
  /** Drains: sends streams away, lets calls end within `timeouts.drainMs`, then cuts what is left. Idempotent. */
  close(): Promise<void>;
}

/** For connections to end by themselves once their last answer is out, in ms. */
const LAST_ANSWER_MS = 200;

/** What every call passes on its way to a service, outermost first. */
function chainOf(
  { stripHeaders }: Config,
  observers: readonly Observer[],
  { door, limit, access, streams, upstreams }: Layers,
) {
  const { authorize, judge } = access.door(door);
  const policies = [
    observe(...observers, limit.observer),
    limit.intercept,
    authorize,
    deadline(),
    judge,
    streams.intercept,
    access.identity,
    strip(stripHeaders),
  ];
  return chain(policies, upstreams.invoke);
}

interface Layers {
  /** In the audit log. */
  readonly door: string;
  readonly limit: CallLimit;
  readonly access: Access;
  readonly streams: StreamState;
  readonly upstreams: Upstreams;
}

/** Whether a WebSocket handshake for this path has a route. One that is malformed has none. */
function isRoute({ router }: Table, path: string): boolean {
  try {
    return router.matchAny(path) !== undefined;
  } catch {
    return false;
  }
}

interface Telling extends GatewayOptions {
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Opens the contract; what it is served with is closed when it cannot be. */
async function openContract(config: Config, tls: Tls, builtIn: readonly BuiltIn[], to: Telling) {
  const { metrics, log, reread } = to;
  const loader = createContractLoader(config, tls, { builtIn, reread });
  const first = await loadFirst(loader, config.timeouts.startMs, log).catch(async (thrown: unknown) => {
    await loader.upstreams.close();
    throw thrown as Error;
  });
  const count = registerContract(metrics.registry, () => reloading.state());
  const reloading: Reloading = createReloading({ loader, first, log, count });
  const stop = watchContract({ contract: config.contract, loader, reload: reloading.reload });
  const stopWatching = (): void => {
    stop();
    reloading.close();
  };
  return { upstreams: loader.upstreams, reloading, stopWatching };
}

export interface GatewayOptions {
  /**
   * Reads the configuration anew, as `loadConfig` does: its roles and rules about access (`auth.roles`, `auth.inherits`, `access`) are taken over
   * whenever the contract is looked at. Default: they stay as they are.
   */
  readonly reread?: (() => Config) | undefined;
}

/**
 * Loads the contract, connects the doors and returns a gateway that does not listen yet. Rejects with ContractError when
 * the contract cannot be served; services that cannot tell it yet are waited for (`timeouts.startMs`).
 */
export async function createGateway(config: Config, { reread }: GatewayOptions = {}): Promise<GatewayServer> {
  const log = pino({ level: config.logLevel });
  const metrics = createMetrics();
  const access = createAccess(config, {
    log,
    registry: metrics.registry,
    grants: () => reloading.grants(),
    codec: () => reloading.table().codec,
  });
  const tls = createTls(config, log);
  const streams = await openStreamState(config, log).catch((thrown: unknown) => {
    access.close();
    tls.close();
    throw thrown as Error;
  });
  registerStreamState(metrics.registry, streams);
  const builtIn: ChannelsServer[] = [];
  const closeStreams = async (): Promise<void> => {
    await Promise.all(builtIn.map((server) => server.close()));
    await streams.close();
    tls.close();
  };
  const open = async () => {
    if (config.channels) builtIn.push(await startChannelsServer(config, streams.broker, log));
    return openContract(config, tls, builtIn, { metrics, log, reread });
  };
  const { reloading, upstreams, stopWatching } = await open().catch(async (thrown: unknown) => {
    streams.end();
    await closeStreams();
    access.close();
    throw thrown as Error;
  });
  // Connected before the first call, so that readiness tells the truth.
  upstreams.connect();
  const calls = createCallLog(log);
  const { limits, notices, closeLimits } = await openLimits(config, { metrics, log });
  const auth = await createAuth({
    // What roles are worth changes with the rules, and is found when a call is authorized.
    config: { ...config, auth: { ...config.auth, roles: {} } },
    broker: streams.broker,
    log,
    registry: metrics.registry,
    codec: () => reloading.table().codec,
    grants: reloading.grants,
    mayTry: limits.mayTry,
  });
  const draining = new AbortController();
  const gateway: Gateway = {
    config,
    log,
    report(id, error) {
      calls.failure(id, error);
      notices.failed(error);
    },
    invoke: upstreams.invoke,
    table: reloading.table,
    identify: limits.identify(createRequestReader({ config, authenticate: auth.authenticate })),
    verify: auth.verify,
    sources: auth.sources,
    onRevoked: auth.revocations.onRevoked,
    limits: limits.sockets,
    draining: draining.signal,
    live: new Set(),
    agenda: createAgenda(),
    counts: metrics.streams,
    // A broker of this node alone knows no more than the door, whose memory is bounded.
    ...(streams.broker.shared ? { raise: streams.broker.raise.bind(streams.broker) } : {}),
  };
  auth.revocations.onRevoked((isRevoked) => {
    for (const live of gateway.live) if (isRevoked(live.call.principal)) live.cancel(revoked());
  });
  /** The gateway as one door sees it. */
  const through = (door: string): Gateway => ({
    ...gateway,
    invoke: chainOf(config, [metrics.observer, calls.observer, notices.observer], {
      door,
      limit: limits.calls,
      access,
      streams,
      upstreams,
    }),
    identify: access.door(door).noting(gateway.identify),
  });
  const ws = createWebSocketDoor(through('ws'));
  const dispatch: DispatchOptions = {
    config,
    table: gateway.table,
    rest: createRestDoor(through('rest')),
    sse: createSseDoor(through('sse')),
    poll: createPollDoor(through('poll')),
    own: auth.own,
    takeFromQuery: auth.sources.takeFromQuery,
    observer: { ...metrics, limited: notices.failed },
    count: limits.count,
    draining: draining.signal,
  };
  const admin = createAdmin({
    registry: metrics.registry,
    jwks: access.jwks,
    readiness: () => ({
      ready: !draining.signal.aborted,
      detail: {
        draining: draining.signal.aborted,
        upstreams: upstreams.states(),
        broker: { kind: streams.broker.kind, state: streams.broker.state() },
        contract: printState(reloading.state()),
      },
    }),
  });
  const counted = (serve: ReturnType<typeof createDispatch>): typeof serve => {
    return (request, response, next) => {
      limits.request(request, response);
      serve(request, response, next);
    };
  };
  const handle = counted(createDispatch({ ...dispatch, admin }));
  const upgrade: UpgradeListener = (request, socket, head) => {
    limits.upgrade(request, socket);
    socket.on('close', metrics.connection('ws'));
    ws.upgrade(request, socket, head);
  };
  const claims = (path: string): boolean => path === MULTIPLEX_PATH || isRoute(gateway.table(), path);
  const detaching: (() => void)[] = [];
  const listener = createListener({
    config,
    certificates: tls.own,
    handle,
    upgrade,
    reached: notices.reached,
    guard: limits.guard.watch,
    listening: auth.verify.start,
  });
  const drain = async (): Promise<void> => {
    const reason = new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
    stopWatching();
    draining.abort(reason);
    const closed = listener.stopAccepting();
    await Promise.all([endCalls(gateway.live, reason, config.timeouts.drainMs), ws.close()]);
    await Promise.race([closed, listener.end(LAST_ANSWER_MS)]);
    await closed;
    for (const detach of detaching) detach();
    streams.end();
    await upstreams.close();
    closeLimits();
    auth.close();
    await closeStreams();
    access.close();
  };
  let closing: Promise<void> | undefined;
  return {
    listen: listener.listen,
    handle,
    upgrade,
    middleware: counted(createDispatch(dispatch)),
    admin: admin.serve,
    attach(server, options) {
      const detach = attachUpgrades(server, { claims, upgrade }, options);
      detaching.push(detach);
      return detach;
    },
    reload(cause) {
      if (cause === undefined || cause === 'signal') access.reopen();
      tls.look();
      return reloading.reload(cause);
    },
    table: gateway.table,
    log,
    close: () => {
      closing ??= drain();
      return closing;
    },
  };
}
