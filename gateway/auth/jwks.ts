/** The keys that an issuer publishes at an URL (RFC 7517): fetched, kept fresh, and asked for again when a token names a new one. */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { retryInfo } from '../../src/details.js';
import { Code, StatusError } from '../../src/status.js';
import type { Algorithm, VerificationKey } from './algorithms.js';
import { fetchJson } from './fetch_json.js';
import { fittingKeys, type KeySet, MOST_TRIED, unknownKey, verificationKey } from './key_set.js';

export interface JwksOptions {
  readonly url: string;
  readonly algorithms: readonly Algorithm[];
  /** Told of each fetch, and why it failed, for logs and metrics; default nobody. */
  readonly observe?: (outcome: FetchOutcome) => void;
  readonly times?: Partial<JwksTimes>;
}

export interface FetchOutcome {
  readonly url: string;
  /** Keys that can verify tokens, if it was answered. */
  readonly keys?: number;
  readonly problem?: string;
}

/** In ms. */
export interface JwksTimes {
  /** For the whole answer; default 5 s. */
  readonly timeout: number;
  /** Between two fetches that unknown keys cause; default 30 s. */
  readonly coolDown: number;
  /** How long keys are fresh, whatever `max-age` says; default 1 min to 24 h. */
  readonly least: number;
  readonly most: number;
  /** How long keys are fresh when the answer does not say; default 10 min. */
  readonly preset: number;
  /** How long keys stay in force that can not be fetched anew; default 24 h. */
  readonly stale: number;
  /** Before the next try after a failed one, doubled each time; default 1 s to 1 min. */
  readonly firstRetry: number;
  readonly lastRetry: number;
}

const TIMES: JwksTimes = {
  timeout: 5_000,
  coolDown: 30_000,
  least: 60_000,
  most: 24 * 3_600_000,
  preset: 600_000,
  stale: 24 * 3_600_000,
  firstRetry: 1_000,
  lastRetry: 60_000,
};

/** Real sets have a handful. */
const MAX_BYTES = 256 * 1024;
const MAX_KEYS = 64;
/** Tokens that wait for one fetch; the others are refused, as if the fetch had failed. */
const MAX_WAITING = 1_000;

/** Fetches when it is started or first asked, and from then on whenever the keys are no longer fresh, until it is closed. Keeps no process alive. */
export function createJwks(options: JwksOptions): KeySet {
  return new Jwks(options);
}

class Jwks implements KeySet {
  generation = 0;
  private readonly times: JwksTimes;
  private keys: readonly VerificationKey[] | undefined;
  /** Of the keys, to see whether they have changed. */
  private fingerprint = '';
  private fetchedAt = 0;
  private askedAt = Number.NEGATIVE_INFINITY;
  private failures = 0;
  private fetching: Promise<void> | undefined;
  private waiting = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly closing = new AbortController();

  constructor(private readonly options: JwksOptions) {
    this.times = { ...TIMES, ...options.times };
  }

  start(): void {
    if (this.askedAt === Number.NEGATIVE_INFINITY) void this.refresh();
  }

  find(
    algorithm: Algorithm,
    keyId: unknown,
  ): readonly VerificationKey[] | Promise<readonly VerificationKey[]> {
    const { keys, fetching } = this;
    const found = keys && this.inForce() ? published(keys, algorithm, keyId) : undefined;
    if (found !== undefined) return found;
    // One fetch for all: tokens with made-up key ids must not make us ask for each of them.
    const mayAsk = performance.now() - this.askedAt >= this.times.coolDown;
    if (fetching === undefined && !mayAsk) return this.answer(algorithm, keyId);
    return this.wait(fetching ?? this.refresh(), algorithm, keyId);
  }

  close(): void {
    this.closing.abort();
    clearTimeout(this.timer);
  }

  private inForce(): boolean {
    return performance.now() - this.fetchedAt < this.times.stale;
  }

  private async wait(fetching: Promise<void>, algorithm: Algorithm, keyId: unknown) {
    if (this.waiting >= MAX_WAITING) return this.answer(algorithm, keyId);
    this.waiting++;
    await fetching;
    this.waiting--;
    return this.answer(algorithm, keyId);
  }

  private answer(algorithm: Algorithm, keyId: unknown): readonly VerificationKey[] {
    const { keys } = this;
    if (keys === undefined || !this.inForce()) {
      throw new StatusError(Code.UNAVAILABLE, 'the keys of the token issuer cannot be fetched', {
        details: [retryInfo(this.times.firstRetry)],
      });
    }
    const found = published(keys, algorithm, keyId);
    if (found === undefined) throw unknownKey();
    return found;
  }

  /** Never rejects. */
  private refresh(): Promise<void> {
    this.askedAt = performance.now();
    this.fetching ??= this.fetch().finally(() => {
      this.fetching = undefined;
    });
    return this.fetching;
  }

  private async fetch(): Promise<void> {
    const { url, observe } = this.options;
    const { timeout } = this.times;
    clearTimeout(this.timer);
    try {
      const { json, maxAge } = await fetchJson(url, {
        timeoutMs: timeout,
        maxBytes: MAX_BYTES,
        abort: this.closing.signal,
      });
      this.take(json);
      this.failures = 0;
      this.schedule(this.freshFor(maxAge));
      observe?.({ url, keys: this.keys?.length ?? 0 });
    } catch (thrown) {
      if (this.closing.signal.aborted) return;
      const { firstRetry, lastRetry } = this.times;
      const ms = Math.min(firstRetry * 2 ** this.failures++, lastRetry);
      // Not all nodes at once.
      this.schedule(ms * (0.75 + Math.random() / 2));
      observe?.({ url, problem: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  }

  private freshFor(maxAge: number | undefined): number {
    const { least, most, preset } = this.times;
    return maxAge === undefined ? preset : Math.min(Math.max(maxAge * 1000, least), most);
  }

  private schedule(ms: number): void {
    if (this.closing.signal.aborted) return;
    this.timer = setTimeout(() => void this.refresh(), ms);
    this.timer.unref();
  }

  /** Throws Error for an answer that is no key set. One without a key that we can use is none: it is not to lock everybody out. */
  private take(json: unknown): void {
    const keys = readKeys(json, this.options.algorithms);
    if (keys.length === 0)
      throw new Error('there is no key in it that can verify tokens of these algorithms');
    const fingerprint = keys.map(fingerprintOf).sort().join('\n');
    if (fingerprint !== this.fingerprint) this.generation++;
    this.fingerprint = fingerprint;
    this.keys = keys;
    this.fetchedAt = performance.now();
  }
}

/** Of those, a token that names none (RFC 7515, 4.1.4) may mean any. */
function published(
  keys: readonly VerificationKey[],
  algorithm: Algorithm,
  keyId: unknown,
): readonly VerificationKey[] | undefined {
  if (keyId !== undefined) return fittingKeys(keys, algorithm, keyId);
  const fitting = keys.filter(({ algorithms }) => algorithms.has(algorithm)).slice(0, MOST_TRIED);
  return fitting.length === 0 ? undefined : fitting;
}

function fingerprintOf({ key, keyId, algorithms }: VerificationKey): string {
  return JSON.stringify([keyId, [...algorithms], key.export({ format: 'jwk' })]);
}

/**
 * The keys of a set that can verify tokens of these algorithms. Others are passed over: for encryption (`use`, `key_ops`), of kinds that we do
 * not know, too short, or secrets, which nobody should publish. Throws Error when it is no key set.
 */
export function readKeys(json: unknown, algorithms: readonly Algorithm[]): readonly VerificationKey[] {
  const list = (json as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(list)) throw new Error('expected a JSON object with the array keys');
  if (list.length > MAX_KEYS) throw new Error(`more than ${MAX_KEYS} keys`);
  return list.flatMap((jwk: unknown) => readKey(jwk, algorithms) ?? []);
}

function readKey(given: unknown, algorithms: readonly Algorithm[]): VerificationKey | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const jwk = given as JsonWebKey & Readonly<Record<string, unknown>>;
  const { use, key_ops: operations, alg, kid } = jwk;
  if (use !== undefined && use !== 'sig') return undefined;
  if (Array.isArray(operations) && !operations.includes('verify')) return undefined;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    return undefined;
  }
  const named = alg === undefined ? algorithms : algorithms.filter((name) => name === alg);
  return verificationKey(key, named, typeof kid === 'string' ? kid : undefined);
}
