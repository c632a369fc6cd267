/** The keys that the gateway signs its own tokens with: from files, or made here and replaced from time to time. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { MIN_RSA_BITS } from '../auth/algorithms.js';
import { reasonOf } from '../config/sources.js';
import { ConfigError, type IdentityTokenConfig } from '../config.js';

export interface SigningKey {
  /** RFC 7638: the thumbprint of the public key. */
  readonly id: string;
  readonly key: KeyObject;
  /** The public half as it is published (RFC 7517). */
  readonly jwk: Readonly<Record<string, unknown>>;
}

export interface SigningKeys {
  readonly current: () => SigningKey;
  /** All that a token in circulation, or the next one, may be signed with. */
  readonly published: () => readonly SigningKey[];
  /** Reads the files again. Throws ConfigError, and goes on with the old keys. */
  reload(): void;
  close(): void;
}

type KeyConfig = Pick<IdentityTokenConfig, 'algorithm' | 'keyFiles' | 'rotateMs' | 'ttlMs'>;

/** How long a key is published after the last token that it signed has expired, for clocks that differ, in ms. */
const GRACE_MS = 60_000;

/** Throws ConfigError when a file holds no key for the algorithm. */
export function createSigningKeys(config: KeyConfig): SigningKeys {
  return config.keyFiles.length > 0 ? keysFromFiles(config) : generatedKeys(config);
}

function keysFromFiles({ algorithm, keyFiles }: KeyConfig): SigningKeys {
  const read = () => keyFiles.map((path) => readKey(path, algorithm));
  let keys = read();
  return {
    current: () => keys[0] as SigningKey,
    published: () => keys,
    reload() {
      keys = read();
    },
    close() {},
  };
}

/** The next key is published as long as the present one signs, so that whoever has read the list knows it when it comes. */
function generatedKeys({ algorithm, rotateMs, ttlMs }: KeyConfig): SigningKeys {
  let current = generate(algorithm);
  let next = generate(algorithm);
  let previous: { readonly key: SigningKey; readonly until: number } | undefined;
  const timer = setInterval(() => {
    previous = { key: current, until: Date.now() + ttlMs + GRACE_MS };
    current = next;
    next = generate(algorithm);
  }, rotateMs).unref();
  return {
    current: () => current,
    published: () => [
      current,
      next,
      ...(previous !== undefined && Date.now() < previous.until ? [previous.key] : []),
    ],
    reload() {},
    close: () => clearInterval(timer),
  };
}

function generate(algorithm: KeyConfig['algorithm']): SigningKey {
  const { privateKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: MIN_RSA_BITS });
  return signingKey(privateKey, algorithm);
}

function readKey(path: string, algorithm: KeyConfig['algorithm']): SigningKey {
  const refuse = (problem: string): never => {
    throw new ConfigError([`identity.token.keyFiles: ${path}: ${problem}`]);
  };
  let pem = '';
  try {
    pem = readFileSync(path, 'utf8');
  } catch (thrown) {
    refuse(`cannot be read: ${reasonOf(thrown)}`);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    return refuse('expected a private key in PEM form, without a passphrase');
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (algorithm === 'ES256' && (type !== 'ec' || details?.namedCurve !== 'prime256v1'))
    return refuse(`expected a key of the curve P-256 for ES256, but this is ${details?.namedCurve ?? type}`);
  if (algorithm === 'RS256' && type !== 'rsa')
    return refuse(`expected an RSA key for RS256, but this is ${type}`);
  const bits = details?.modulusLength ?? 0;
  if (algorithm === 'RS256' && bits < MIN_RSA_BITS)
    return refuse(`an RSA key needs at least ${MIN_RSA_BITS} bits, but this has ${bits}`);
  return signingKey(key, algorithm);
}

function signingKey(key: KeyObject, algorithm: KeyConfig['algorithm']): SigningKey {
  const { kty, crv, x, y, n, e } = createPublicKey(key).export({ format: 'jwk' });
  // RFC 7638, 3.2: the members that make the key, in the order of their names.
  const members = algorithm === 'ES256' ? { crv, kty, x, y } : { e, kty, n };
  const id = createHash('sha256').update(JSON.stringify(members)).digest('base64url');
  return { id, key, jwk: { ...members, kid: id, alg: algorithm, use: 'sig' } };
}
