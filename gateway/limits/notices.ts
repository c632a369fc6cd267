/** Says when a limit was reached: always to the metrics, now and then to the log. */
import type { Logger } from 'pino';
import type { CallObserver, Observer } from '../../src/policy/observe.js';
import type { StatusError } from '../../src/status.js';

export interface Notices {
  /** For `observe()`: calls that ended since a limit was reached. */
  readonly observer: Observer;
  readonly reached: (limit: string) => void;
  /** The same of an error, if it is one of a limit. Each error is told once, however often it is seen. */
  readonly failed: (error: StatusError) => void;
}

export interface NoticesOptions {
  /** Counts one. `limit` is one of our words. */
  readonly count: (limit: string) => void;
  readonly log: Logger;
}

/** Between two lines about one limit, in ms: who floods the gateway must not flood its log. */
const LOG_EVERY_MS = 60_000;

const HINTS: Readonly<Record<string, string>> = {
  connections_per_address: 'if these are clients of a proxy before the gateway, trustedHops tells them apart',
};

export function createNotices({ count, log }: NoticesOptions): Notices {
  const told = new WeakSet<StatusError>();
  const loggedAt = new Map<string, number>();
  const reached = (limit: string): void => {
    count(limit);
    const now = performance.now();
    if (now - (loggedAt.get(limit) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return;
    loggedAt.set(limit, now);
    const hint = HINTS[limit];
    log.warn({ limit, ...(hint !== undefined && { hint }) }, 'a limit was reached; told again in a minute');
  };
  const failed = (error: StatusError): void => {
    if (error.limit === undefined || told.has(error)) return;
    told.add(error);
    reached(error.limit);
  };
  const call: CallObserver = {
    end({ error }) {
      if (error?.limit !== undefined) failed(error);
    },
  };
  return { observer: { start: () => call }, reached, failed };
}
