/** What the gateway counts, for Prometheus. Counting is cheap; adding up is done when somebody asks. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { CallEnd, CallObserver, Observer } from '../../src/policy/observe.js';
import { STATUS } from '../../src/status.js';
import type { StreamCounts } from '../streams.js';
import { type LimitMetrics, registerLimits } from './limit_metrics.js';
import { registerStreams } from './stream_metrics.js';

export interface Metrics extends LimitMetrics {
  readonly registry: Registry;
  /** For `observe()` in the chain: calls, their duration and their messages, by method. */
  readonly observer: Observer;
  /** An HTTP request was answered. `door` is one of our names, such as `rest` or `sse`. */
  request(door: string, status: number): void;
  /** A long-lived connection was opened; the result is to be called once, when it has closed. */
  connection(door: string): () => void;
  /** Something was refused before it became a call. `reason` is one of our words, never a client's. */
  refused(reason: string): void;
  readonly streams: StreamCounts;
}

/** Seconds. A unary call takes milliseconds, a stream hours. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600];

/**
 * Metrics of one gateway, in a registry of their own, with those of the process. Calls are counted in plain numbers and
 * become samples at a scrape: a Counter of prom-client hashes its labels at every step (170 ns), also as a child.
 */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const calls = new Map<string, MethodTally>();
  const requests = new Map<string, Map<number, number>>();
  const connections = new Map<string, number>();
  const closers = new Map<string, () => void>();
  const refusals = new Map<string, number>();
  const seconds = new Histogram({
    name: 'tidegate_call_seconds',
    help: 'Time from the start of a call to its end.',
    labelNames: ['method'],
    buckets: BUCKETS,
    registers: [registry],
  });
  registerCalls(registry, calls);
  registerGateway(registry, { requests, connections, refusals });

  return {
    registry,
    ...registerLimits(registry),
    streams: registerStreams(registry),
    observer: {
      start({ method }) {
        let tally = calls.get(method.name);
        if (tally === undefined) {
          tally = new MethodTally(method.name, method.clientStreaming, method.serverStreaming, seconds);
          calls.set(method.name, tally);
        }
        tally.active++;
        return tally;
      },
    },
    request(door, status) {
      const byStatus = requests.get(door) ?? new Map<number, number>();
      requests.set(door, byStatus.set(status, (byStatus.get(status) ?? 0) + 1));
    },
    connection(door) {
      connections.set(door, (connections.get(door) ?? 0) + 1);
      // The same function for all of a door: one for each connection would be kept as long as the connection.
      const known = closers.get(door);
      if (known !== undefined) return known;
      const closed = (): void => {
        connections.set(door, (connections.get(door) ?? 0) - 1);
      };
      closers.set(door, closed);
      return closed;
    },
    refused(reason) {
      refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
    },
  };
}

/** The counts of one method. It is the observer of each of its calls too, so that a call allocates none. */
class MethodTally implements CallObserver {
  active = 0;
  received = 0;
  sent = 0;
  /** Ended calls, by code. */
  readonly ended: number[] = STATUS.map(() => 0);
  private readonly observeSeconds: (seconds: number) => void;

  constructor(
    readonly name: string,
    private readonly clientStreaming: boolean,
    private readonly serverStreaming: boolean,
    seconds: Histogram<'method'>,
  ) {
    const child = seconds.labels(name);
    this.observeSeconds = (value) => child.observe(value);
  }

  end({ code, durationMs, messagesIn, messagesOut }: CallEnd): void {
    this.active--;
    this.ended[code] = (this.ended[code] ?? 0) + 1;
    if (this.clientStreaming) this.received += messagesIn;
    if (this.serverStreaming) this.sent += messagesOut;
    this.observeSeconds(durationMs / 1000);
  }
}

function registerCalls(registry: Registry, calls: ReadonlyMap<string, MethodTally>): void {
  const registers = [registry];
  new Counter({
    name: 'tidegate_calls_total',
    help: 'Calls that have ended, by the name of their gRPC code.',
    labelNames: ['method', 'code'],
    registers,
    collect() {
      this.reset();
      for (const { name, ended } of calls.values()) {
        for (const { code, name: codeName } of STATUS) {
          if (ended[code]) this.inc({ method: name, code: codeName }, ended[code]);
        }
      }
    },
  });
  new Gauge({
    name: 'tidegate_calls_active',
    help: 'Calls that are running.',
    labelNames: ['method'],
    registers,
    collect() {
      for (const { name, active } of calls.values()) this.set({ method: name }, active);
    },
  });
  new Counter({
    name: 'tidegate_stream_messages_total',
    help: 'Messages of streams that have ended: in from clients, out to clients.',
    labelNames: ['method', 'direction'],
    registers,
    collect() {
      this.reset();
      for (const { name, received, sent } of calls.values()) {
        if (received > 0) this.inc({ method: name, direction: 'in' }, received);
        if (sent > 0) this.inc({ method: name, direction: 'out' }, sent);
      }
    },
  });
}

interface GatewayCounts {
  readonly requests: ReadonlyMap<string, ReadonlyMap<number, number>>;
  readonly connections: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<string, number>;
}

function registerGateway(registry: Registry, { requests, connections, refusals }: GatewayCounts): void {
  const registers = [registry];
  new Counter({
    name: 'tidegate_http_requests_total',
    help: 'HTTP requests that were answered.',
    labelNames: ['door', 'status'],
    registers,
    collect() {
      this.reset();
      for (const [door, byStatus] of requests) {
        for (const [status, count] of byStatus) this.inc({ door, status: String(status) }, count);
      }
    },
  });
  new Gauge({
    name: 'tidegate_connections',
    help: 'Long-lived connections that are open: event streams and WebSockets.',
    labelNames: ['door'],
    registers,
    collect() {
      for (const [door, open] of connections) this.set({ door }, open);
    },
  });
  new Counter({
    name: 'tidegate_refused_total',
    help: 'What was refused before it became a call.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of refusals) this.inc({ reason }, count);
    },
  });
}
