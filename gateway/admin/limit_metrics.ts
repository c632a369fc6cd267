/** What Prometheus is told of limits: how often each was reached, and how much is counted. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface LimitGauges {
  /** Connections that are open. */
  readonly connections: () => number;
  /** Callers that are remembered. */
  readonly callers: () => number;
}

export interface LimitMetrics {
  /** A limit was reached. `limit` is one of our words, never a client's. */
  readonly limited: (limit: string) => void;
  readonly watchLimits: (gauges: LimitGauges) => void;
}

export function registerLimits(registry: Registry): LimitMetrics {
  const registers = [registry];
  const reached = new Map<string, number>();
  new Counter({
    name: 'tidegate_limited_total',
    help: 'What was refused or cut off since a limit was reached.',
    labelNames: ['limit'],
    registers,
    collect() {
      this.reset();
      for (const [limit, count] of reached) this.inc({ limit }, count);
    },
  });
  return {
    limited: (limit) => void reached.set(limit, (reached.get(limit) ?? 0) + 1),
    watchLimits({ connections, callers }) {
      gauge('tidegate_open_connections', 'Connections that are open, of whatever kind.', connections);
      gauge('tidegate_limit_callers', 'Callers whose use is remembered, for all limits.', callers);
    },
  };

  function gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  }
}
