/** What the service has to remember: families of refresh tokens, and its signing keys. In memory; anything that can do the same will do. */

/** A login and all refresh tokens that have come of it. There are no tokens in it, and nothing to make one from. */
export interface Family {
  /** SHA-256 of the part that all tokens of the family share, as base64url. */
  readonly id: string;
  /** `sub` of its tokens. */
  readonly userId: string;
  /** Of the password that it began with: a new password ends it. */
  readonly passwordDigest: string;
  /** SHA-256 of the token that is good now, as base64url. */
  readonly current: string;
  /** The one that it was given for, for as long as the current one has not been used, and when (ms since the epoch) that was. */
  readonly previous?: { readonly digest: string; readonly at: number };
  /** When its current token was issued, in ms since the epoch. */
  readonly usedAt: number;
  /** When it ends, whatever happens. */
  readonly endsAt: number;
  /** Its access tokens that had not expired when the last one was issued, oldest first; default none. */
  readonly access?: readonly AccessToken[];
}

/** What is remembered of one, for taking it back. */
export interface AccessToken {
  /** Its `jti`. */
  readonly id: string;
  /** In ms since the epoch. */
  readonly expiresAt: number;
}

export interface StoredKey {
  readonly algorithm: 'RS256' | 'ES256';
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  /** Milliseconds since the epoch. */
  readonly usedFrom: number;
  readonly usedUntil: number;
}

/** What becomes of a family (undefined: it ends), and what the caller wants to know. */
export interface Change<T> {
  readonly family: Family | undefined;
  readonly result: T;
}

export interface AuthStore {
  /** Adds a family. Of a user's, only the `most` last used ones stay; the answer is those that had to go. */
  readonly add: (family: Family, most: number) => Promise<readonly Family[]>;
  /**
   * Decides on a family and replaces it, with nobody else deciding on the same one in between: of two calls with one token, the second sees
   * what the first has made of it. Resolves when what was decided is kept. A `decide` that throws changes nothing.
   */
  readonly change: <T>(id: string, decide: (family: Family | undefined) => Change<T>) => Promise<T>;
  /** Drops what has ended by itself. */
  readonly prune: (isOver: (family: Family) => boolean) => Promise<void>;
  /** Oldest first. */
  readonly keys: () => Promise<readonly StoredKey[]>;
  readonly saveKeys: (keys: readonly StoredKey[]) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** All that a store in memory holds. */
export interface Contents {
  readonly keys: readonly StoredKey[];
  readonly families: readonly Family[];
}

/** `save`, if there is one, is called after each change, and waited for. */
export function createMemoryStore(
  { keys, families }: Contents = { keys: [], families: [] },
  save: (contents: () => Contents) => Promise<void> = async () => {},
): AuthStore {
  const byId = new Map<string, Family>();
  const byUser = new Map<string, Set<string>>();
  let held = keys;

  const put = (family: Family) => {
    byId.set(family.id, family);
    const own = byUser.get(family.userId) ?? new Set();
    byUser.set(family.userId, own.add(family.id));
  };
  const remove = ({ id, userId }: Family) => {
    byId.delete(id);
    const own = byUser.get(userId);
    own?.delete(id);
    if (own?.size === 0) byUser.delete(userId);
  };
  const saved = () => save(() => ({ keys: held, families: [...byId.values()] }));
  for (const family of families) put(family);

  return {
    add: async (family, most) => {
      put(family);
      const own = [...(byUser.get(family.userId) ?? [])].flatMap((id) => byId.get(id) ?? []);
      own.sort((a, b) => b.usedAt - a.usedAt);
      const over = own.filter(({ id }) => id !== family.id).slice(most - 1);
      for (const each of over) remove(each);
      await saved();
      return over;
    },
    change: async (id, decide) => {
      const before = byId.get(id);
      const { family, result } = decide(before);
      if (family === before) return result;
      if (family) put(family);
      else if (before) remove(before);
      await saved();
      return result;
    },
    prune: async (isOver) => {
      const over = [...byId.values()].filter(isOver);
      for (const family of over) remove(family);
      if (over.length > 0) await saved();
    },
    keys: async () => held,
    saveKeys: async (next) => {
      held = next;
      await saved();
    },
    close: async () => {},
  };
}
