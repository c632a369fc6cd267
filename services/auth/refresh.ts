/**
 * Refresh tokens (RFC 6749, 6; RFC 9700, 4.14.2): each is good once and brings its successor. One that was spent before ends the whole family,
 * since either its owner or a thief has just used it for the second time.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { AuthStore, Change, Family } from './store.js';
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

export type Refreshed =
  | { readonly user: User; readonly token: string }
  /** `userId`: whose family it was, where there was one. It has ended. */
  | { readonly refusal: Refusal; readonly userId?: string };

export interface RefreshParts {
  readonly store: AuthStore;
  readonly limits: RefreshLimits;
  readonly clock: () => number;
}

/** 128 bits that name the family, 256 bits that are the token's own. To its bearer it is opaque. */
const FAMILY_BYTES = 16;
const SECRET_BYTES = 32;
const TOKEN = /^[\w-]{64}$/;

export class RefreshTokens {
  readonly #store: AuthStore;
  readonly #limits: RefreshLimits;
  readonly #clock: () => number;

  constructor({ store, limits, clock }: RefreshParts) {
    this.#store = store;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** The first token of a new family. */
  async begin(user: User): Promise<string> {
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
    };
    await this.#store.add(family, this.#limits.mostPerUser);
    return token;
  }

  /** Spends a token. */
  refresh(token: string, users: Users): Promise<Refreshed> {
    const name = familyOf(token);
    if (name === undefined) return Promise.resolve({ refusal: 'unknown' });
    const successor = tokenOf(name);
    return this.#store.change(digest(name), (family) => {
      const user = family && users.withId(family.userId);
      const refusal = this.#refusalOf(token, family, user);
      if (refusal !== undefined || family === undefined || user === undefined) {
        return ended(refusal ?? 'unknown', family);
      }
      // A repetition spends nothing: the time of grace still counts from the first time.
      const previous =
        digest(token) === family.current ? { digest: family.current, at: this.#clock() } : family.previous;
      const next = { ...family, current: digest(successor), usedAt: this.#clock() };
      return {
        family: previous === undefined ? next : { ...next, previous },
        result: { user, token: successor },
      };
    });
  }

  /** Ends the family of a token, spent or not. Answers whose it was, if there was one. */
  end(token: string): Promise<string | undefined> {
    const name = familyOf(token);
    if (name === undefined) return Promise.resolve(undefined);
    return this.#store.change(digest(name), (family) => ({ family: undefined, result: family?.userId }));
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

function ended(refusal: Refusal, family: Family | undefined): Change<Refreshed> {
  const result = family === undefined ? { refusal } : { refusal, userId: family.userId };
  return { family: undefined, result };
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
