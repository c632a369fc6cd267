/**
 * Refresh tokens (RFC 6749, 6; RFC 9700, 4.14.2): each is good once and brings its successor. One that was spent before ends the whole family,
 * since either its owner or a thief has just used it for the second time.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { AccessToken, AuthStore, Family } from './store.js';
import type { User, Users } from './users.js';

export interface RefreshLimits {
  /** How long a login lasts when it is not used, in ms; default 7 days. */
  readonly idleMs: number;
  /** How long it lasts at most, in ms; default 30 days. */
  readonly lifetimeMs: number;
  /** For how long the token that was spent last may be repeated, if its successor has not been used, in ms; default 10 s; 0: never. */
  readonly graceMs: number;
  /** Logins of one user at a time: one more ends the one that was used least lately; default 50. */
  readonly mostPerUser: number;
}

export const REFRESH_DEFAULTS: RefreshLimits = {
  idleMs: 7 * 24 * 3_600_000,
  lifetimeMs: 30 * 24 * 3_600_000,
  graceMs: 10_000,
  mostPerUser: 50,
};

/** Why a token is refused. Its bearer is not told. */
export type Refusal = 'unknown' | 'expired' | 'user_gone' | 'password_changed' | 'reused';

/** A login that has ended: whose it was, where there was one, and its access tokens, which may not have expired. */
export interface Ended {
  readonly userId?: string;
  readonly access: readonly AccessToken[];
}

export interface Begun {
  readonly token: string;
  /** Access tokens that had to make room. */
  readonly over: readonly AccessToken[];
}

export type Refreshed = (Begun & { readonly user: User }) | (Ended & { readonly refusal: Refusal });

export interface RefreshParts {
  readonly store: AuthStore;
  readonly limits: RefreshLimits;
  readonly clock: () => number;
}

/** 128 bits that name the family, 256 bits that are the token's own. To its bearer it is opaque. */
const FAMILY_BYTES = 16;
const SECRET_BYTES = 32;
const TOKEN = /^[\w-]{64}$/;
/** Of one login at a time: one more takes back the oldest. Who refreshes when it is time has one or two. */
const MOST_ACCESS = 20;

export class RefreshTokens {
  readonly #store: AuthStore;
  readonly #limits: RefreshLimits;
  readonly #clock: () => number;

  constructor({ store, limits, clock }: RefreshParts) {
    this.#store = store;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** The first token of a new family. `access`: the access token that comes with it; `over`: those of logins that had to end for it. */
  async begin(user: User, access: AccessToken): Promise<Begun> {
    const name = randomBytes(FAMILY_BYTES);
    const token = tokenOf(name);
    const now = this.#clock();
    const family: Family = {
      id: digest(name),
      userId: user.id,
      passwordDigest: digest(user.password),
      current: digest(token),
      usedAt: now,
      endsAt: now + this.#limits.lifetimeMs,
      access: [access],
    };
    const over = await this.#store.add(family, this.#limits.mostPerUser);
    return { token, over: over.flatMap((one) => one.access ?? []) };
  }

  /** Spends a token. `access`: the access token that comes with its successor. */
  refresh(token: string, users: Users, access: AccessToken): Promise<Refreshed> {
    const name = familyOf(token);
    if (name === undefined) return Promise.resolve({ refusal: 'unknown', ...ended(undefined) });
    const successor = tokenOf(name);
    return this.#store.change<Refreshed>(digest(name), (family) => {
      const user = family && users.withId(family.userId);
      const refusal = this.#refusalOf(token, family, user);
      if (refusal !== undefined || family === undefined || user === undefined) {
        return { family: undefined, result: { refusal: refusal ?? 'unknown', ...ended(family) } };
      }
      // A repetition spends nothing: the time of grace still counts from the first time.
      const previous =
        digest(token) === family.current ? { digest: family.current, at: this.#clock() } : family.previous;
      const now = this.#clock();
      const good = [...(family.access ?? []).filter(({ expiresAt }) => expiresAt > now), access];
      const kept = good.slice(-MOST_ACCESS);
      const next = { ...family, current: digest(successor), usedAt: now, access: kept };
      return {
        family: previous === undefined ? next : { ...next, previous },
        result: { user, token: successor, over: good.slice(0, good.length - kept.length) },
      };
    });
  }

  /** Ends the family of a token, spent or not. */
  end(token: string): Promise<Ended> {
    const name = familyOf(token);
    if (name === undefined) return Promise.resolve(ended(undefined));
    return this.#store.change(digest(name), (family) => ({ family: undefined, result: ended(family) }));
  }

  /** Forgets families that nobody can go on with. */
  prune(): Promise<void> {
    return this.#store.prune((family) => this.#isOver(family));
  }

  #isOver({ usedAt, endsAt }: Family): boolean {
    const now = this.#clock();
    return now >= endsAt || now >= usedAt + this.#limits.idleMs;
  }

  #refusalOf(token: string, family: Family | undefined, user: User | undefined): Refusal | undefined {
    if (family === undefined) return 'unknown';
    if (this.#isOver(family)) return 'expired';
    if (user === undefined || user.disabled) return 'user_gone';
    if (digest(user.password) !== family.passwordDigest) return 'password_changed';
    // Digests of 256 random bits: how long a comparison takes tells nothing that helps to find them.
    const given = digest(token);
    if (given === family.current) return undefined;
    const { previous } = family;
    const isRepeated =
      previous !== undefined &&
      given === previous.digest &&
      this.#clock() < previous.at + this.#limits.graceMs;
    return isRepeated ? undefined : 'reused';
  }
}

function ended(family: Family | undefined): Ended {
  return family === undefined ? { access: [] } : { userId: family.userId, access: family.access ?? [] };
}

function tokenOf(name: Buffer): string {
  return Buffer.concat([name, randomBytes(SECRET_BYTES)]).toString('base64url');
}

/** The part that names the family, or undefined for what is no token. */
function familyOf(token: string): Buffer | undefined {
  return TOKEN.test(token) ? Buffer.from(token, 'base64url').subarray(0, FAMILY_BYTES) : undefined;
}

function digest(value: string | Buffer): string {
  return createHash('sha256').update(value).digest('base64url');
}
