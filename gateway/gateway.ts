/** The composition root: one contract, one chain and all doors on one HTTP server. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import { type Logger, pino } from 'pino';
import { chain } from '../src/call.js';
import { authorize } from '../src/policy/authorize.js';
import { deadline } from '../src/policy/deadline.js';
import { identity } from '../src/policy/identity.js';
import { type Observer, observe } from '../src/policy/observe.js';
import { strip } from '../src/policy/strip.js';
import { Code, StatusError } from '../src/status.js';
import type { Upstreams } from '../src/upstream/upstreams.js';
import { createAdmin } from './admin/admin.js';
import { createCallLog } from './admin/call_log.js';
import { type ContractState, registerContract } from './admin/contract_metrics.js';
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
import { createContractLoader, loadFirst } from './load.js';
import { type AttachOptions, attachUpgrades } from './mount.js';
import { createReloading, type ReloadCause, type Reloaded, type Reloading } from './reload.js';
import { watchContract } from './reload_watch.js';
import { openStreamState, registerStreamState, type StreamState } from './stream_state.js';

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
  { auth, stripHeaders }: Config,
  observers: readonly Observer[],
  { streams, upstreams }: { readonly streams: StreamState; readonly upstreams: Upstreams },
) {
  const policies = [
    observe(...observers),
    authorize({ leewayMs: auth.leewaySeconds * 1000 }),
    identity(),
    strip(stripHeaders),
    deadline(),
    streams.intercept,
  ];
  return chain(policies, upstreams.invoke);
}

/** Whether a WebSocket handshake for this path has a route. One that is malformed has none. */
function isRoute({ router }: Table, path: string): boolean {
  try {
    return router.matchAny(path) !== undefined;
  } catch {
    return false;
  }
}

/** What /readyz says of the contract. */
function printState({ loadedAt, checkedAt, newestAt: _, ...state }: ContractState) {
  const time = (at: number) => new Date(at).toISOString();
  return { ...state, loadedAt: time(loadedAt), checkedAt: time(checkedAt) };
}

interface Telling {
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Opens the contract; what it is served with is closed when it cannot be. */
async function openContract(config: Config, builtIn: readonly BuiltIn[], to: Telling) {
  const { metrics, log } = to;
  const loader = createContractLoader(config, builtIn);
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

/**
 * Loads the contract, connects the doors and returns a gateway that does not listen yet. Rejects with ContractError when
 * the contract cannot be served; services that cannot tell it yet are waited for (`timeouts.startMs`).
 */
export async function createGateway(config: Config): Promise<GatewayServer> {
  const log = pino({ level: config.logLevel });
  const metrics = createMetrics();
  const streams = await openStreamState(config, log);
  registerStreamState(metrics.registry, streams);
  const builtIn: ChannelsServer[] = [];
  const closeStreams = async (): Promise<void> => {
    await Promise.all(builtIn.map((server) => server.close()));
    await streams.close();
  };
  const open = async () => {
    if (config.channels) builtIn.push(await startChannelsServer(config, streams.broker, log));
    return openContract(config, builtIn, { metrics, log });
  };
  const { reloading, upstreams, stopWatching } = await open().catch(async (thrown: unknown) => {
    streams.end();
    await closeStreams();
    throw thrown as Error;
  });
  // Connected before the first call, so that readiness tells the truth.
  upstreams.connect();
  const calls = createCallLog(log);
  const auth = await createAuth({
    config,
    broker: streams.broker,
    log,
    registry: metrics.registry,
    codec: () => reloading.table().codec,
  });
  const draining = new AbortController();
  const gateway: Gateway = {
    config,
    log,
    report: calls.failure,
    invoke: chainOf(config, [metrics.observer, calls.observer], { streams, upstreams }),
    table: reloading.table,
    identify: createRequestReader({ config, authenticate: auth.authenticate }),
    verify: auth.verify,
    sources: auth.sources,
    onRevoked: auth.revocations.onRevoked,
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
  const ws = createWebSocketDoor(gateway);
  const dispatch: DispatchOptions = {
    config,
    table: gateway.table,
    rest: createRestDoor(gateway),
    sse: createSseDoor(gateway),
    poll: createPollDoor(gateway),
    own: auth.own,
    takeFromQuery: auth.sources.takeFromQuery,
    observer: metrics,
    draining: draining.signal,
  };
  const admin = createAdmin({
    registry: metrics.registry,
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
  const handle = createDispatch({ ...dispatch, admin });
  const upgrade: UpgradeListener = (request, socket, head) => {
    socket.once('close', metrics.connection('ws'));
    ws.upgrade(request, socket, head);
  };
  const claims = (path: string): boolean => path === MULTIPLEX_PATH || isRoute(gateway.table(), path);
  const detaching: (() => void)[] = [];
  const listener = createListener({ config, handle, upgrade });
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
    auth.close();
    await closeStreams();
  };
  let closing: Promise<void> | undefined;
  return {
    listen: listener.listen,
    handle,
    upgrade,
    middleware: createDispatch(dispatch),
    admin: admin.serve,
    attach(server, options) {
      const detach = attachUpgrades(server, { claims, upgrade }, options);
      detaching.push(detach);
      return detach;
    },
    reload: reloading.reload,
    table: gateway.table,
    log,
    close: () => {
      closing ??= drain();
      return closing;
    },
  };
}
