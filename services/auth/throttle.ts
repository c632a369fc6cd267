/** How often logins may fail: per user and per address, each with a bucket of tries that fills again. */
import { isIPv6 } from 'node:net';
import { exhausted } from '../errors.js';

export interface TryLimit {
  /** Failures at once, after a pause. */
  readonly burst: number;
  /** Milliseconds after which there is one more. */
  readonly refillMs: number;
}

export interface LoginLimits {
  /** Failed logins as one user, from anywhere; default 10, then one in 5 minutes. */
  readonly user: TryLimit;
  /** Failed logins from one address (IPv6: one /64), as anybody; default 30, then one in 30 seconds. */
  readonly address: TryLimit;
}

const DEFAULTS: LoginLimits = {
  user: { burst: 10, refillMs: 5 * 60_000 },
  address: { burst: 30, refillMs: 30_000 },
};
/** Of each kind. One takes about 200 bytes. */
const MOST_KEYS = 100_000;

/** The time at which a bucket will be full again says all there is to know of it (as in GCRA). */
export class Throttle {
  readonly #fullAt = new Map<string, number>();

  constructor(
    readonly limit: TryLimit,
    readonly most = MOST_KEYS,
  ) {}

  /** Takes a try and answers 0, or takes none and answers the milliseconds until there is one. */
  take(key: string, now: number): number {
    const { burst, refillMs } = this.limit;
    const fullAt = Math.max(this.#fullAt.get(key) ?? 0, now) + refillMs;
    const wait = fullAt - now - burst * refillMs;
    if (wait > 0) return wait;
    // Set anew, so that the Map is in the order of last use. Whoever is forgotten has a full bucket again.
    this.#fullAt.delete(key);
    this.#fullAt.set(key, fullAt);
    const [oldest] = this.#fullAt.keys();
    if (this.#fullAt.size > this.most && oldest !== undefined) this.#fullAt.delete(oldest);
    return 0;
  }

  /** Gives a try back that turned out not to count. */
  giveBack(key: string): void {
    const fullAt = this.#fullAt.get(key);
    if (fullAt !== undefined) this.#fullAt.set(key, fullAt - this.limit.refillMs);
  }

  forget(key: string): void {
    this.#fullAt.delete(key);
  }
}

export interface LoginTry {
  readonly username: string;
  /** Of the client; empty if the gateway has not told. */
  readonly address: string;
}

export interface LoginGuard {
  /**
   * To be called before a password is looked at. The try counts as failed until `succeeded` or `uncounted` is called, so that many at once are
   * no way around the limit. Throws RESOURCE_EXHAUSTED with the time to wait, for names that nobody has too.
   */
  readonly enter: (login: LoginTry) => { readonly succeeded: () => void; readonly uncounted: () => void };
}

/**
 * A user who has logged in from an address before has a bucket of their own there: whoever fails as them on purpose, from elsewhere, does not
 * lock them out.
 */
export function createLoginGuard(limits: Partial<LoginLimits>, clock: () => number): LoginGuard {
  const users = new Throttle(limits.user ?? DEFAULTS.user);
  const addresses = new Throttle(limits.address ?? DEFAULTS.address);
  const familiar = new Set<string>();

  const enter = ({ username, address }: LoginTry) => {
    const network = networkOf(address);
    const name = username.normalize('NFC');
    // Told apart by how they begin, and an address holds no NUL: no name can be made up that shares a bucket with somebody's place.
    const place = `place:${network}\0${name}`;
    const user = familiar.has(place) ? place : `name:${name}`;
    const now = clock();
    refuseFor(addresses.take(network, now));
    const wait = users.take(user, now);
    if (wait > 0) addresses.giveBack(network);
    refuseFor(wait);
    const uncounted = () => {
      addresses.giveBack(network);
      users.giveBack(user);
    };
    const succeeded = () => {
      // Of the address only this one: else a user's own logins would pay for guesses at others.
      addresses.giveBack(network);
      users.forget(user);
      familiar.delete(place);
      familiar.add(place);
      const [oldest] = familiar;
      if (familiar.size > MOST_KEYS && oldest !== undefined) familiar.delete(oldest);
    };
    return { succeeded, uncounted };
  };
  return { enter };
}

function refuseFor(waitMs: number): void {
  if (waitMs <= 0) return;
  const seconds = Math.ceil(waitMs / 1000);
  throw exhausted(`too many failed logins: try again in ${seconds} s`, seconds * 1000);
}

/** An IPv6 host has a whole /64 of addresses to come from (RFC 4291, 2.5.4). */
export function networkOf(address: string): string {
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare)) return bare;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = '', tail] = bare.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
