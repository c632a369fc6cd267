/** Signing keys that take turns: each is published before it signs, and stays published until its last token has expired. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type JsonWebKey,
  type KeyObject,
} from 'node:crypto';
import { promisify } from 'node:util';
import type { Jwk } from '../../gen/auth/v1/auth.js';
import type { AuthStore, StoredKey } from './store.js';

export type Algorithm = StoredKey['algorithm'];

export interface KeyLimits {
  /** How long a key signs, in ms; default 24 hours. */
  readonly lifetimeMs: number;
  /** How long it is published before, in ms; default 15 minutes. Verifiers have to read the keys more often than that. */
  readonly publishAheadMs: number;
  /** How long it stays published after, in ms: the lifetime of access tokens, and what clocks may differ. */
  readonly keepMs: number;
}

export interface SigningKey {
  readonly algorithm: Algorithm;
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export interface KeyRing {
  /** The key that signs now. */
  readonly signing: () => Promise<SigningKey>;
  /** The public keys that tokens may be signed with, now or soon. */
  readonly published: () => Promise<readonly Jwk[]>;
  /** Does what is due: publishes a next key, forgets old ones. */
  readonly tick: () => Promise<void>;
}

export interface KeyRingOptions {
  /** Of new keys. If it is another one than that of the keys in the store, those make way for a new one. */
  readonly algorithm: Algorithm;
  readonly limits: KeyLimits;
  readonly store: AuthStore;
  readonly clock: () => number;
  /** Hears why there is no next key; the present one goes on. */
  readonly report: (error: unknown) => void;
}

interface Key extends SigningKey {
  readonly jwk: Jwk;
  readonly stored: StoredKey;
}

/** Resolves when there is a key to sign with. Rejects when there is none and none can be made or kept. */
export async function createKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const { store, clock, limits, report } = options;
  let keys: readonly Key[] = (await store.keys()).map(importKey);
  let working: Promise<void> | undefined;

  const work = async () => {
    const next = await advance(keys, options);
    if (next === undefined) return;
    // Before anybody can see the new one: a key that was seen must outlive a restart.
    await store.saveKeys(next.map(({ stored }) => stored));
    keys = next;
  };
  const tick = (): Promise<void> => {
    working ??= work().finally(() => {
      working = undefined;
    });
    return working;
  };
  const current = () => keys.findLast(({ stored }) => stored.usedFrom <= clock());
  /** Waits only for what cannot be done without; a next key is made on the side. */
  const upToDate = async (): Promise<Key> => {
    const pending = tick();
    const key = current();
    if (key === undefined || clock() >= key.stored.usedUntil + limits.keepMs) await pending;
    else pending.catch(report);
    const found = current();
    if (found === undefined) throw new Error('there is no key to sign with');
    return found;
  };
  await upToDate();
  return {
    signing: upToDate,
    published: async () => {
      await upToDate();
      return keys.map(({ jwk }) => jwk);
    },
    tick: () => tick().catch(report),
  };
}

/** The keys as they have to be now, or undefined if they are so already. */
async function advance(keys: readonly Key[], options: KeyRingOptions): Promise<readonly Key[] | undefined> {
  const { algorithm, limits, clock } = options;
  const now = clock();
  const kept = keys.filter(({ stored }) => now < stored.usedUntil + limits.keepMs);
  const last = kept.at(-1);
  const isNextDue =
    last === undefined ||
    now >= last.stored.usedUntil - limits.publishAheadMs ||
    (last.algorithm !== algorithm && last.stored.usedFrom <= now);
  if (!isNextDue) return kept.length === keys.length ? undefined : kept;
  // Nobody can have read the keys before there was one.
  const usedFrom = last === undefined ? now : startOf(last, options);
  const stored = {
    algorithm,
    privateKey: await generate(algorithm),
    usedFrom,
    usedUntil: usedFrom + limits.lifetimeMs,
  };
  // The one before signs until then, even if that is later than was planned.
  const before = last && { ...last, stored: { ...last.stored, usedUntil: usedFrom } };
  return [...kept.slice(0, -1), ...(before ? [before] : []), importKey(stored)];
}

function startOf(last: Key, { algorithm, limits, clock }: KeyRingOptions): number {
  const soonest = clock() + limits.publishAheadMs;
  return last.algorithm === algorithm ? Math.max(last.stored.usedUntil, soonest) : soonest;
}

const generatePair = promisify(generateKeyPair);

async function generate(algorithm: Algorithm): Promise<string> {
  const { privateKey } =
    algorithm === 'RS256'
      ? await generatePair('rsa', { modulusLength: 2048 })
      : await generatePair('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function importKey(stored: StoredKey): Key {
  const { algorithm } = stored;
  const privateKey = createPrivateKey(stored.privateKey);
  const jwk = publicJwk(createPublicKey(privateKey).export({ format: 'jwk' }), algorithm);
  return { algorithm, kid: jwk.kid, privateKey, jwk, stored };
}

function publicJwk({ kty = '', n, e, crv, x, y }: JsonWebKey, alg: Algorithm): Jwk {
  // RFC 7638, 3: the required members alone, in lexicographic order, without spaces.
  const required = alg === 'RS256' ? { e, kty, n } : { crv, kty, x, y };
  const kid = createHash('sha256').update(JSON.stringify(required)).digest('base64url');
  return { kty, use: 'sig', alg, kid, n, e, crv, x, y };
}
