/** From the configuration to the limits, what they tell, and what they share with other nodes. */
import type { Logger } from 'pino';
import type { Metrics } from '../admin/metrics.js';
import type { Config } from '../config.js';
import { createLimits, type Limits } from './limits.js';
import { createNotices, type Notices } from './notices.js';

export interface OpenLimits {
  readonly limits: Limits;
  readonly notices: Notices;
  closeLimits(): void;
}

const isRedis = (broker: string | undefined): broker is string =>
  broker !== undefined && /^rediss?:/.test(broker);

/** Connects to Redis in the background, where the broker is one and the counts are shared. */
export async function openLimits(
  config: Config,
  { metrics, log }: { readonly metrics: Metrics; readonly log: Logger },
): Promise<OpenLimits> {
  const notices = createNotices({ count: metrics.limited, log });
  // Imported here: a gateway without Redis does not pay for it.
  const shared =
    config.limits.shared && isRedis(config.broker)
      ? await import('./shared.js').then(({ shareCounts }) => shareCounts(config.broker as string))
      : undefined;
  const limits = createLimits({ config, reached: notices.reached, share: shared?.sharing });
  metrics.watchLimits({ connections: limits.guard.open, callers: limits.callers });
  return { limits, notices, closeLimits: () => shared?.close() };
}
