/** The keys that tokens are verified with, read from where they are and refused when they cannot protect anything. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { MIN_RSA_BITS } from '../auth/algorithms.js';
import type { KeyConfig } from '../config.js';
import type { ParsedConfig, ParsedKey } from './schema.js';
import { type ReadFile, reasonOf } from './sources.js';

/** RFC 7518, 3.2: an HS256 key has at least the size of its hash. */
const MIN_SECRET_BYTES = 32;

export type KeyResult = { readonly key: KeyConfig } | { readonly problem: string };

/** The key with its file read. The problem, if any, never shows the key. */
export function resolveKey({ algorithm, key, keyFile, keyId }: ParsedKey, readFile: ReadFile): KeyResult {
  if ((key === undefined) === (keyFile === undefined)) return { problem: 'expected key or keyFile' };
  const read = keyFile === undefined ? { text: key ?? '' } : readSecret(keyFile, readFile);
  if ('problem' in read) return read;
  const material = read.text;
  const problem = algorithm === 'HS256' ? secretProblem(material) : publicKeyProblem(material);
  if (problem !== undefined) return { problem };
  return { key: { algorithm, key: material, ...(keyId === undefined ? {} : { keyId }) } };
}

function secretProblem(secret: string): string | undefined {
  if (/-----BEGIN [A-Z ]+-----/.test(secret)) {
    return 'expected an HS256 secret, but this is a PEM key; a public key belongs to algorithm RS256';
  }
  return shortness('an HS256 secret', secret);
}

function publicKeyProblem(pem: string): string | undefined {
  if (isPrivate(pem)) {
    return 'this is a private key; the gateway needs, and should know, only its public half (openssl rsa -in FILE -pubout)';
  }
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch {
    return 'expected an RSA public key in PEM form (-----BEGIN PUBLIC KEY-----)';
  }
  if (key.asymmetricKeyType !== 'rsa')
    return `expected an RSA key for RS256, but this is ${key.asymmetricKeyType}`;
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return bits >= MIN_RSA_BITS
    ? undefined
    : `an RS256 key has at least ${MIN_RSA_BITS} bits, this one has ${bits}`;
}

/** Node makes a public key of a private one without a word, so it has to be looked for. */
export function isPrivate(pem: string): boolean {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(pem)) return true;
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    return false;
  }
}

/** The key of the cursors, if one is given; its file is read. The problem never shows it. */
export function resolveSecret(
  { secret, secretFile }: ParsedConfig['streams'],
  readFile: ReadFile,
): { readonly secret?: string; readonly problem?: string } {
  if (secret === undefined && secretFile === undefined) return {};
  if (secret !== undefined && secretFile !== undefined) return { problem: 'expected secret or secretFile' };
  const read = secretFile === undefined ? { text: secret ?? '' } : readSecret(secretFile, readFile);
  if ('problem' in read) return read;
  const problem = shortness('a secret', read.text);
  return problem === undefined ? { secret: read.text } : { problem };
}

/** Editors and `echo` end a file with a newline that nobody means as a part of the secret. */
export function readSecret(
  file: string,
  readFile: ReadFile,
): { readonly text: string } | { readonly problem: string } {
  try {
    return { text: readFile(file).replace(/\r?\n$/, '') };
  } catch (thrown) {
    return { problem: `cannot read ${file}: ${reasonOf(thrown)}` };
  }
}

function shortness(what: string, secret: string): string | undefined {
  const bytes = Buffer.byteLength(secret);
  if (bytes >= MIN_SECRET_BYTES) return undefined;
  return `${what} has at least ${MIN_SECRET_BYTES} bytes, this one has ${bytes}; openssl rand -hex 32 prints a good one`;
}
