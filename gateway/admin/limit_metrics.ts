/** What Prometheus is told of limits: how often each was reached, and how much is counted. */
import type { Registry } from 'prom-client';
import { collectCounts, collectGauge } from './collected.js';

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
  const reached = new Map<string, number>();
  collectCounts(registry, {
    name: 'tidegate_limited_total',
    help: 'What was refused or cut off since a limit was reached.',
    label: 'limit',
    counts: () => reached,
  });
  return {
    limited: (limit) => void reached.set(limit, (reached.get(limit) ?? 0) + 1),
    watchLimits({ connections, callers }) {
      collectGauge(registry, {
        name: 'tidegate_open_connections',
        help: 'Connections that are open, of whatever kind.',
        value: connections,
      });
      collectGauge(registry, {
        name: 'tidegate_limit_callers',
        help: 'Callers whose use is remembered, for all limits.',
        value: callers,
      });
    },
  };
}
