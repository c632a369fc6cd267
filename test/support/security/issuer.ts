/** An issuer of tokens as a real HTTP server: it publishes its keys, changes them, and misbehaves as it is asked to. */
import { generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import jwt from 'jsonwebtoken';

export type Kind = 'RS256' | 'PS256' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA';

export interface SigningKey {
  readonly kid: string;
  readonly algorithm: Kind;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly pem: string;
  readonly jwk: JsonWebKey;
}

const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const;

function pairOf(algorithm: Kind): { privateKey: KeyObject; publicKey: KeyObject } {
  if (algorithm === 'EdDSA') return generateKeyPairSync('ed25519');
  if (algorithm === 'RS256' || algorithm === 'PS256')
    return generateKeyPairSync('rsa', { modulusLength: 2048 });
  return generateKeyPairSync('ec', { namedCurve: CURVES[algorithm] });
}

export function signingKey(kid: string, algorithm: Kind = 'RS256'): SigningKey {
  const { privateKey, publicKey } = pairOf(algorithm);
  return {
    kid,
    algorithm,
    privateKey,
    publicKey,
    pem: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
  };
}

export const seconds = (): number => Math.floor(Date.now() / 1000);

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of the key without the claims that are undefined, made by another implementation than ours where there is one. */
export function tokenOf(key: SigningKey, claims: object, header: object = {}): string {
  const given = { sub: 'u1', iat: seconds(), exp: seconds() + 600, ...claims };
  const all = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  if (key.algorithm !== 'EdDSA') {
    const full = { alg: key.algorithm, kid: key.kid, ...header };
    // Which takes `iat` away as well, and not only does not add it.
    const noTimestamp = !('iat' in all);
    return jwt.sign(all, key.privateKey, { algorithm: key.algorithm, header: full, noTimestamp });
  }
  const input = `${part({ alg: 'EdDSA', kid: key.kid, ...header })}.${part(all)}`;
  return `${input}.${sign(null, Buffer.from(input), key.privateKey).toString('base64url')}`;
}

export interface TestIssuer {
  readonly url: string;
  /** Published now. */
  keys: readonly JsonWebKey[];
  /** Answers that were asked for so far. */
  asked: number;
  /** Instead of the keys. */
  answer: ((response: ServerResponse, request: IncomingMessage) => void) | undefined;
  cacheControl: string | undefined;
  close(): Promise<void>;
}

export async function startIssuer(...keys: SigningKey[]): Promise<TestIssuer> {
  const server = createServer((request, response) => {
    issuer.asked++;
    if (issuer.answer !== undefined) {
      issuer.answer(response, request);
      return;
    }
    if (issuer.cacheControl !== undefined) response.setHeader('cache-control', issuer.cacheControl);
    response.end(JSON.stringify({ keys: issuer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const issuer: TestIssuer = {
    url: `http://127.0.0.1:${port}/jwks.json`,
    keys: keys.map(({ jwk }) => jwk),
    asked: 0,
    answer: undefined,
    cacheControl: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return issuer;
}
