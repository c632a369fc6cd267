/** How much one caller may do: calls a second, and streams at once. */
import type { Call, Interceptor } from '../call.js';
import { quotaFailure, retryInfo } from '../details.js';
import { Code, StatusError } from '../status.js';
import { callerKey, describeCaller } from './caller.js';
import type { CallObserver, Observer } from './observe.js';
import type { Rates } from './rates.js';

/** What a caller may do, as HTTP tells it (draft-ietf-httpapi-ratelimit-headers). */
export interface Quota {
  /** The limit's name. */
  readonly policy: string;
  readonly quota: number;
  /** In how many seconds; undefined: at any one time. */
  readonly windowSeconds: number | undefined;
}

export interface LimitErrorOptions {
  readonly quota: Quota;
  /** When it is of use to try again, in ms from now. */
  readonly retryMs: number;
  /** Whose quota it is: `principal:u1` or `address:192.0.2.7`. */
  readonly subject: string;
}

/** A quota is used up: RESOURCE_EXHAUSTED, with google.rpc.RetryInfo and google.rpc.QuotaFailure. */
export class LimitError extends StatusError {
  readonly quota: Quota;
  readonly retryMs: number;

  constructor(message: string, { quota, retryMs, subject }: LimitErrorOptions) {
    super(Code.RESOURCE_EXHAUSTED, message, {
      details: [retryInfo(retryMs), quotaFailure([{ subject, description: message }])],
      limit: quota.policy,
    });
    this.quota = quota;
    this.retryMs = retryMs;
  }
}

/** `requests: more than 2000 a second` */
export function rateExceeded(
  policy: string,
  { perSecond }: Pick<Rates, 'perSecond'>,
  { retryMs, subject }: Omit<LimitErrorOptions, 'quota'>,
): LimitError {
  const quota: Quota = { policy, quota: perSecond, windowSeconds: 1 };
  return new LimitError(`${policy}: more than ${perSecond} a second`, { quota, retryMs, subject });
}

/** Until something that lasts may have ended, in ms: not the same for all who wait. */
const LASTING_MS = 1000;

/** `streams_per_principal: 1000 are open` */
export function tooMany(policy: string, most: number, subject: string): LimitError {
  const quota: Quota = { policy, quota: most, windowSeconds: undefined };
  const retryMs = LASTING_MS * (1 + Math.random());
  return new LimitError(`${policy}: ${most} are open`, { quota, retryMs, subject });
}

/** How many of something each key has; as large as what there is in all. */
export class Tally {
  private readonly counts = new Map<string, number>();

  of(key: string): number {
    return this.counts.get(key) ?? 0;
  }

  /** The count with this one. */
  enter(key: string): number {
    const count = this.of(key) + 1;
    this.counts.set(key, count);
    return count;
  }

  leave(key: string): void {
    const count = this.of(key) - 1;
    if (count > 0) this.counts.set(key, count);
    else this.counts.delete(key);
  }
}

export interface CallLimitOptions {
  /** Calls of one caller a second; undefined: any number. */
  readonly requests: Rates | undefined;
  /** Streams that one caller may have open; 0: any number. */
  readonly streams: number;
}

export interface CallLimit {
  /** Rejects with LimitError what is too much. */
  readonly intercept: Interceptor;
  /** Counts streams, for `observe()` around the interceptor: it hears of every end exactly once. */
  readonly observer: Observer;
}

const UNCOUNTED: CallObserver = { end() {} };

const isStream = ({ method }: Call): boolean => method.serverStreaming || method.clientStreaming;

/** A caller is a principal, or an address without a token. Whoever has neither is not counted. */
export function createCallLimit({ requests, streams }: CallLimitOptions): CallLimit {
  const open = new Tally();
  const check = (call: Call): LimitError | undefined => {
    const key = callerKey(call);
    if (key === undefined) return undefined;
    const retryMs = requests === undefined ? 0 : requests.take(key);
    if (requests !== undefined && retryMs > 0)
      return rateExceeded('requests', requests, { retryMs, subject: describeCaller(call) });
    if (streams > 0 && isStream(call) && open.of(key) > streams)
      return tooMany('streams_per_principal', streams, describeCaller(call));
    return undefined;
  };
  return {
    intercept: (next) => (call) => {
      const refusal = check(call);
      return refusal === undefined ? next(call) : Promise.reject(refusal);
    },
    observer: {
      start(call) {
        const key = streams > 0 && isStream(call) ? callerKey(call) : undefined;
        if (key === undefined) return UNCOUNTED;
        open.enter(key);
        return { end: () => open.leave(key) };
      },
    },
  };
}
