/** Bearer tokens in HTTP (RFC 6750), and tokens of our own for development: an Authorization header to a token, a secret to a token. */
import { createSecretKey } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { TokenRefusal } from '../auth/jws.js';

/** RFC 6750, 2.1: `Bearer`, a space, and a b64token. RFC 9110, 11.1: the scheme in any case. */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i;

/**
 * The token of an Authorization header; undefined without the header. Throws StatusError UNAUTHENTICATED for another
 * scheme or a malformed token. The message repeats nothing of the header: who forgets the scheme sends the bare token.
 */
export function parseAuthorization(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw new TokenRefusal('header authorization: expected Bearer and a token');
  return token;
}

export interface SignOptions {
  readonly subject: string;
  readonly roles?: readonly string[];
  readonly permissions?: readonly string[];
  /** From now; default: the token never expires. */
  readonly expiresInSeconds?: number;
  /** The HS256 secret. */
  readonly key: string;
  /** Of the key, for the token's header. */
  readonly keyId?: string;
  readonly issuer?: string;
  readonly audience?: string;
}

/** A token signed with an HS256 secret, as `tidegate token` prints it. */
export function signToken({ key, keyId, roles, permissions, ...options }: SignOptions): string {
  const claims = {
    ...(roles?.length ? { roles } : {}),
    ...(permissions?.length ? { permissions } : {}),
  };
  return jwt.sign(claims, createSecretKey(Buffer.from(key)), {
    algorithm: 'HS256',
    subject: options.subject,
    ...(options.expiresInSeconds === undefined ? {} : { expiresIn: options.expiresInSeconds }),
    ...(keyId === undefined ? {} : { keyid: keyId }),
    ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
    ...(options.audience === undefined ? {} : { audience: options.audience }),
  });
}
