/** The keys of one issuer, and which of them may have signed a token. */
import { type Algorithm, algorithmsOf, type VerificationKey } from './algorithms.js';
import { TokenRefusal } from './jws.js';

/** Of keys that fit a token which names none, this many are tried at most: each costs as much as a token. */
export const MOST_TRIED = 8;

export interface KeySet {
  /**
   * The keys that may have signed a token with this `kid`, at least one. Throws TokenRefusal when there is none, and StatusError
   * UNAVAILABLE while it cannot be known. A promise only when somebody has to be asked.
   */
  find(
    algorithm: Algorithm,
    keyId: unknown,
  ): readonly VerificationKey[] | Promise<readonly VerificationKey[]>;
  /** Fetches what has to be fetched, so that the first token need not wait. Without it, that one does. */
  start(): void;
  /** Grows whenever keys come or go: what was verified, or refused, before has to be looked at again. */
  readonly generation: number;
  close(): void;
}

/** Those that fit the algorithm and the `kid`; undefined when there is none. A key with an id is for tokens that name it. */
export function fittingKeys(
  keys: readonly VerificationKey[],
  algorithm: Algorithm,
  keyId: unknown,
): readonly VerificationKey[] | undefined {
  const fitting = keys.filter(
    (one) => one.algorithms.has(algorithm) && (one.keyId === undefined || one.keyId === keyId),
  );
  return fitting.length === 0 ? undefined : fitting.slice(0, MOST_TRIED);
}

export const unknownKey = (): TokenRefusal => new TokenRefusal('token key id is not known');

/** Keys that stay as they are. */
export function createStaticKeys(keys: readonly VerificationKey[]): KeySet {
  return {
    find(algorithm, keyId) {
      const fitting = fittingKeys(keys, algorithm, keyId);
      if (fitting === undefined) throw unknownKey();
      return fitting;
    },
    start() {},
    generation: 0,
    close() {},
  };
}

/** A key for those of the algorithms that it can be used with; undefined when that is none. */
export function verificationKey(
  key: VerificationKey['key'],
  algorithms: readonly Algorithm[],
  keyId: string | undefined,
): VerificationKey | undefined {
  const usable = algorithmsOf(key).filter((name) => algorithms.includes(name));
  return usable.length === 0 ? undefined : { key, algorithms: new Set(usable), keyId };
}
