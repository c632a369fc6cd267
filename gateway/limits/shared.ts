/**
 * Counting together with the other nodes, in Redis. A node decides by its own buckets, at once; what its callers use is added up in Redis a moment
 * later, and whoever is over the limit on all nodes together is blocked on each that hears of it. So no request waits for Redis, and with Redis away
 * every node goes on by itself.
 */
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import { connectRedis, type RedisConnection } from '../../src/broker/redis_connection.js';
import type { Sharing, Use } from '../../src/policy/rates.js';

export interface SharedCounts {
  readonly sharing: (limit: string, perSecond: number) => Sharing;
  /** Whether Redis answers. */
  readonly connected: () => boolean;
  close(): void;
}

/** Use is added up over this time, in seconds: a caller has at most the limit of it on average, and is blocked until it is over. */
const WINDOW_SECONDS = 5;
/** Between a use and its report, in ms. */
const REPORT_MS = 100;
/** The part of a second's quota that is worth a report: most callers never come so far. */
const WORTH = 0.05;
/** Reports at once. What is more waits for the next time. */
const MOST = 1_000;
const CALL_MS = 1_000;

interface Report {
  readonly limiter: RateLimiterRedis;
  readonly key: string;
  readonly use: Use;
}

/** `url`: as the broker's. Connects in the background, and again whenever it has to. */
export async function shareCounts(url: string): Promise<SharedCounts> {
  const { protocol, host, pathname } = new URL(url);
  const connection = await connectRedis({
    url,
    shown: `${protocol}//${host}${pathname}`,
    callMs: CALL_MS,
    prepare: () => Promise.resolve(),
    changed: () => {},
  });
  // That it is never let in is told by the broker, which is the same server.
  connection.first.catch(() => {});
  let reports: Report[] = [];
  let timer: NodeJS.Timeout | undefined;

  const send = (): void => {
    timer = undefined;
    const now = reports.splice(0, MOST);
    if (reports.length > 0) timer = setTimeout(send, REPORT_MS);
    for (const report of now) void tell(report);
  };
  const storeClient = clientOf(connection);
  return {
    sharing(limit, perSecond) {
      const limiter = new RateLimiterRedis({
        storeClient,
        useRedisPackage: true,
        keyPrefix: `tidegate:limit:${limit}`,
        points: perSecond * WINDOW_SECONDS,
        duration: WINDOW_SECONDS,
      });
      return {
        atLeast: Math.max(1, Math.floor(perSecond * WORTH)),
        used(key, use) {
          reports.push({ limiter, key, use });
          timer ??= setTimeout(send, REPORT_MS);
        },
      };
    },
    connected: connection.connected,
    close() {
      clearTimeout(timer);
      reports = [];
      connection.close();
    },
  };
}

async function tell({ limiter, key, use }: Report): Promise<void> {
  try {
    await limiter.consume(key, use.spend());
  } catch (thrown) {
    // Else Redis is away: what was used meanwhile is not added up, and the buckets of this node are all there is.
    if (thrown instanceof RateLimiterRes) use.block(thrown.msBeforeNext);
  }
}

interface Script {
  readonly keys: readonly string[];
  readonly arguments: readonly string[];
}

/** As much of a client of Redis as the limiter uses, over our connection. */
function clientOf(connection: RedisConnection) {
  return {
    eval: (source: string, { keys, arguments: args }: Script) =>
      connection.call(['EVAL', source, String(keys.length), ...keys, ...args]),
  };
}
