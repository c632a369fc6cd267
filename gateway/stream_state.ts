/** What streams stand on: the broker that the nodes share, this node's own memory, and the key that signs cursors. */
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Broker } from '../src/broker/broker.js';
import { createMemoryBroker } from '../src/broker/memory.js';
import { openBroker } from '../src/broker/open.js';
import type { Interceptor } from '../src/call.js';
import { Code, StatusError } from '../src/status.js';
import { retried } from '../src/stream/retried.js';
import { createStreams, type StreamStats } from '../src/stream/streams.js';
import { collectGauge } from './admin/collected.js';
import type { Config } from './config.js';

export interface StreamState {
  readonly broker: Broker;
  readonly intercept: Interceptor;
  readonly stats: () => StreamStats;
  /** Ends the shared streams. */
  end(): void;
  /** Closes the broker, once nothing needs it any more. */
  close(): Promise<void>;
}

/** Rejects when the configured broker cannot be opened. */
export async function openStreamState(config: Config, log: Logger): Promise<StreamState> {
  const { memoryBytes: logBytes } = config.streams;
  const broker = await openBroker(config.broker, { logBytes });
  const local = createMemoryBroker({ logBytes });
  const { secret, leaseMs, patienceMs } = config.streams;
  const patience = AbortSignal.timeout(config.timeouts.startMs);
  const stopWatching = broker.onState((state) => log.info({ broker: broker.kind, state }, 'broker'));
  const streams = createStreams({
    broker,
    local,
    secret:
      secret === undefined ? await retried(() => broker.secret('cursors'), patience) : Buffer.from(secret),
    leaseMs,
    patienceMs,
  });
  return {
    broker,
    intercept: streams.intercept,
    stats: streams.stats,
    end: () => streams.close(new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down')),
    async close() {
      stopWatching();
      await Promise.all([local.close(), broker.close()]);
    },
  };
}

/** The shared streams of this node, as gauges. */
export function registerStreamState(registry: Registry, { stats, broker }: StreamState): void {
  const gauge = (name: string, help: string, value: () => number): void =>
    collectGauge(registry, { name, help, value });
  gauge('tidegate_shared_streams', 'Shared streams that run on this node.', () => stats().streams);
  gauge('tidegate_owned_streams', 'Shared streams whose call this node makes.', () => stats().owned);
  gauge('tidegate_shared_stream_clients', 'Clients of shared streams on this node.', () => stats().clients);
  gauge('tidegate_broker_up', 'Whether the broker answers: 1 or 0.', () =>
    broker.state() === 'ready' ? 1 : 0,
  );
}
