/** The composition root: one contract, one chain and all doors on one HTTP server. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Logger, pino } from 'pino';
import { chain } from '../src/call.js';
import { authorize } from '../src/policy/authorize.js';
import { deadline } from '../src/policy/deadline.js';
import { identity } from '../src/policy/identity.js';
import { observe } from '../src/policy/observe.js';
import { strip } from '../src/policy/strip.js';
import { Code, StatusError } from '../src/status.js';
import type { Upstreams } from '../src/upstream/upstreams.js';
import { createAdmin } from './admin/admin.js';
import { createMetrics, type Metrics } from './admin/metrics.js';
import type { Config } from './config.js';
import type { Gateway } from './doors/door.js';
import { createRestDoor } from './doors/rest.js';
import { createSseDoor } from './doors/sse.js';
import { createWebSocketDoor } from './doors/ws.js';
import { endCalls } from './drain.js';
import { createDispatch, type Next } from './http/dispatch.js';
import { createListener } from './http/listener.js';
import { createRequestReader } from './http/request.js';
import type { Table } from './http/table.js';
import { createTokenVerifier } from './http/token.js';
import type { UpgradeListener } from './http/upgrade.js';
import { openContract } from './load.js';

export * from '../src/index.js';
export { type Config, ConfigError, loadConfig } from './config.js';

export interface GatewayServer {
  /** Starts listening on the configured host and port. Rejects with the listen error, for example EADDRINUSE. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Serves one HTTP request: for a server of your own. With `next`, paths that nobody here knows are left to it. */
  readonly handle: (request: IncomingMessage, response: ServerResponse, next?: Next) => void;
  /** Serves one WebSocket handshake: for a server of your own (`server.on('upgrade', gateway.upgrade)`). */
  readonly upgrade: UpgradeListener;
  /** The routes in force. */
  readonly table: () => Table;
  readonly log: Logger;
  /** Drains: sends streams away, lets calls end within `timeouts.drainMs`, then cuts what is left. Idempotent. */
  close(): Promise<void>;
}

/** For connections to end by themselves once their last answer is out, in ms. */
const LAST_ANSWER_MS = 200;

/** What every call passes on its way to a service, outermost first. */
function chainOf({ auth, stripHeaders }: Config, metrics: Metrics, upstreams: Upstreams) {
  const policies = [
    observe(metrics.observer),
    authorize({ leewayMs: auth.leewaySeconds * 1000 }),
    identity(),
    strip(stripHeaders),
    deadline(),
  ];
  return chain(policies, upstreams.invoke);
}

/**
 * Loads the contract, connects the doors and returns a gateway that does not listen yet. Rejects with ContractError when
 * the contract cannot be served.
 */
export async function createGateway(config: Config): Promise<GatewayServer> {
  const { table, upstreams } = await openContract(config);
  // Connected before the first call, so that readiness tells the truth.
  upstreams.connect();
  const metrics = createMetrics();
  const draining = new AbortController();
  const gateway: Gateway = {
    config,
    log: pino({ level: config.logLevel }),
    invoke: chainOf(config, metrics, upstreams),
    table: () => table,
    identify: createRequestReader({ config, verify: createTokenVerifier(config.auth) }),
    draining: draining.signal,
    live: new Set(),
  };
  const ws = createWebSocketDoor(gateway);
  const handle = createDispatch({
    config,
    table: gateway.table,
    rest: createRestDoor(gateway),
    sse: createSseDoor(gateway),
    admin: createAdmin({
      registry: metrics.registry,
      readiness: () => ({
        ready: !draining.signal.aborted,
        detail: { draining: draining.signal.aborted, upstreams: upstreams.states() },
      }),
    }),
    observer: metrics,
    draining: draining.signal,
  });
  const upgrade: UpgradeListener = (request, socket, head) => {
    socket.once('close', metrics.connection('ws'));
    ws.upgrade(request, socket, head);
  };
  const listener = createListener({ config, handle, upgrade });
  const drain = async (): Promise<void> => {
    const reason = new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
    draining.abort(reason);
    const closed = listener.stopAccepting();
    await Promise.all([endCalls(gateway.live, reason, config.timeouts.drainMs), ws.close()]);
    await Promise.race([closed, listener.end(LAST_ANSWER_MS)]);
    await closed;
    await upstreams.close();
  };
  let closing: Promise<void> | undefined;
  return {
    listen: listener.listen,
    handle,
    upgrade,
    table: gateway.table,
    log: gateway.log,
    close: () => {
      closing ??= drain();
      return closing;
    },
  };
}
