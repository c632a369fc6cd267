/** Token buckets by key, bounded in memory: how often each caller may do something. */

export interface RatesOptions {
  /** How much of it each key may do in a second, at most 10^6; it may be saved up for one second. */
  readonly perSecond: number;
  /** Keys that are remembered, those used last among them; default 50,000, and at most twice as many. One that was forgotten begins with a full bucket. */
  readonly keys?: number;
  /** Told of a key that has used so much since the last time: for counts that nodes share. Default: nobody. */
  readonly share?: Sharing;
  /** ms, never going back; for tests. Default: performance.now. */
  readonly now?: () => number;
}

export interface Sharing {
  /** Use that is worth telling, at least 1. */
  readonly atLeast: number;
  /** Must not throw. `use.spend()` gives what is to be told, and begins anew. */
  readonly used: (key: string, use: Use) => void;
}

/** What a key has used that the other nodes do not know yet. */
export interface Use {
  spend(): number;
  /** No more of it for `ms` from now on, whatever the bucket holds. */
  block(ms: number): void;
}

const KEYS = 50_000;
const SECOND_MS = 1000;
/** Of times in ms, which are no whole numbers. */
const ROUNDING_MS = 1e-6;

/**
 * The generic cell rate algorithm (ITU-T I.371): a bucket is one number, the time at which it is full again. Keys are kept in two generations; when
 * the younger one is full, the older is forgotten as a whole, which costs a look-up no list of what was used when.
 */
export class Rates {
  readonly perSecond: number;
  private readonly costMs: number;
  private readonly most: number;
  private readonly share: Sharing | undefined;
  private readonly now: () => number;
  private young = new Map<string, Bucket>();
  private old = new Map<string, Bucket>();

  constructor({ perSecond, keys = KEYS, share, now = () => performance.now() }: RatesOptions) {
    this.perSecond = perSecond;
    this.costMs = SECOND_MS / perSecond;
    this.most = keys;
    this.share = share;
    this.now = now;
  }

  /** Keys in memory: at most twice `keys`. */
  get size(): number {
    return this.young.size + this.old.size;
  }

  /** Uses one. 0: it may; else the ms after which it might, and nothing was used. */
  take(key: string): number {
    const now = this.now();
    const bucket = this.find(key) ?? this.add(key);
    const waitMs = waitOf(bucket, now, this.costMs);
    if (waitMs > 0) return waitMs;
    bucket.fullAt = Math.max(bucket.fullAt, now) + this.costMs;
    const { share } = this;
    if (share !== undefined && ++bucket.unshared >= share.atLeast && !bucket.told) {
      bucket.told = true;
      share.used(key, new BucketUse(bucket, this.now));
    }
    return 0;
  }

  /** The same without using it. */
  wait(key: string): number {
    const bucket = this.find(key);
    return bucket === undefined ? 0 : waitOf(bucket, this.now(), this.costMs);
  }

  private find(key: string): Bucket | undefined {
    const bucket = this.young.get(key);
    if (bucket !== undefined) return bucket;
    const aged = this.old.get(key);
    if (aged === undefined) return undefined;
    this.old.delete(key);
    this.put(key, aged);
    return aged;
  }

  private add(key: string): Bucket {
    const bucket = new Bucket();
    this.put(key, bucket);
    return bucket;
  }

  private put(key: string, bucket: Bucket): void {
    if (this.young.size >= this.most) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, bucket);
  }
}

class Bucket {
  fullAt = 0;
  blockedUntil = 0;
  unshared = 0;
  told = false;
}

class BucketUse implements Use {
  constructor(
    private readonly bucket: Bucket,
    private readonly now: () => number,
  ) {}

  spend(): number {
    const { unshared } = this.bucket;
    this.bucket.unshared = 0;
    this.bucket.told = false;
    return unshared;
  }

  block(ms: number): void {
    this.bucket.blockedUntil = Math.max(this.bucket.blockedUntil, this.now() + ms);
  }
}

function waitOf({ fullAt, blockedUntil }: Bucket, now: number, costMs: number): number {
  if (blockedUntil > now) return blockedUntil - now;
  const waitMs = fullAt - now + costMs - SECOND_MS;
  return waitMs > ROUNDING_MS ? waitMs : 0;
}
