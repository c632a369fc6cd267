/** Bearer tokens (RFC 6750, RFC 7519): an Authorization header to a token, a token to a Principal. */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import type { AuthConfig } from '../config.js';

/** Verified tokens that are remembered. One token of usual size and its principal take about 1.5 KB. */
const CACHE_SIZE = 10_000;
/** A header block holds less by default; a token in a WebSocket frame should not be larger either. */
const MAX_TOKEN_LENGTH = 16_384;
/** RFC 7515, 7.1. The signature may be empty here, so that an unsigned token is refused for its algorithm. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/;
/** RFC 6750, 2.1: `Bearer`, a space, and a b64token. RFC 9110, 11.1: the scheme in any case. */
const BEARER = /^bearer +([\w.~+/-]+=*)$/i;
/** What can stand in gRPC metadata, since the subject is sent there (`x-user-id`). */
export const PRINTABLE = /^[\x20-\x7e]+$/;
/** RFC 6749, 3.3: a scope, and so a permission, has no spaces, which separate them. */
export const SCOPE = /^[\x21-\x7e]+$/;

/** The principal of a token. Throws StatusError UNAUTHENTICATED, whose message never holds the token. */
export type TokenVerifier = (token: string) => Principal;

interface Key {
  readonly algorithm: 'HS256' | 'RS256';
  readonly keyId: string | undefined;
  /** Not a string: jsonwebtoken parses strings anew for every token, 300 us instead of 20. */
  readonly key: KeyObject;
}

interface Claims extends jwt.JwtPayload {
  readonly permissions?: unknown;
  readonly scope?: unknown;
  readonly roles?: unknown;
}

function refuse(message: string, cause?: unknown): StatusError {
  return new StatusError(Code.UNAUTHENTICATED, message, { cause });
}

/**
 * The token of an Authorization header; undefined without the header. Throws StatusError UNAUTHENTICATED for another
 * scheme or a malformed token. The message repeats nothing of the header: who forgets the scheme sends the bare token.
 */
export function parseAuthorization(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw refuse('header authorization: expected Bearer and a token');
  return token;
}

/**
 * Verifies with the keys of the config: the algorithm is the key's, never the token's choice; a token that names a key
 * id is verified with the key of that id, or one without id. `sub` is required; exp, nbf and iat allow for the leeway.
 * Permissions are `permissions` (array, or string with spaces between), `scope` (the same) and those of `roles`.
 * A verified token is remembered until it expires; a refused one is not.
 */
export function createTokenVerifier(auth: AuthConfig): TokenVerifier {
  const keys = auth.keys.map(importKey);
  const roles = new Map(Object.entries(auth.roles));
  const leewayMs = auth.leewaySeconds * 1000;
  const verified = new Map<string, Principal>();

  return (token) => {
    const known = verified.get(token);
    // Deleted also to be set again below as the youngest: a Map iterates in the order of insertion.
    if (known !== undefined) verified.delete(token);
    const principal = known ?? principalOf(verify(token, keys, auth), roles);
    if (principal.expiresAt !== undefined && Date.now() >= principal.expiresAt + leewayMs) {
      throw refuse('token expired');
    }
    if (verified.size >= CACHE_SIZE) verified.delete(verified.keys().next().value as string);
    verified.set(token, principal);
    return principal;
  };
}

function importKey({ algorithm, key, keyId }: AuthConfig['keys'][number]): Key {
  return {
    algorithm,
    keyId,
    key: algorithm === 'HS256' ? createSecretKey(Buffer.from(key)) : createPublicKey(key),
  };
}

function verify(token: string, keys: readonly Key[], auth: AuthConfig): Claims {
  if (token.length > MAX_TOKEN_LENGTH) throw refuse('token is too long');
  if (!COMPACT.test(token)) throw refuse('token is malformed');
  const options: jwt.VerifyOptions = {
    clockTolerance: auth.leewaySeconds,
    ...(auth.issuer === undefined ? {} : { issuer: auth.issuer }),
    ...(auth.audience === undefined ? {} : { audience: auth.audience }),
  };
  const claims = verifyWithOneOf(candidates(readHeader(token), keys), token, options);
  if (typeof claims !== 'object' || claims === null || Array.isArray(claims))
    throw refuse('token is malformed');
  if (typeof claims.iat === 'number' && claims.iat > Date.now() / 1000 + auth.leewaySeconds) {
    throw refuse('token was issued in the future');
  }
  return claims;
}

interface Header {
  readonly alg?: unknown;
  readonly kid?: unknown;
  readonly crit?: unknown;
}

function readHeader(token: string): Header {
  let header: unknown;
  try {
    header = JSON.parse(Buffer.from(token.slice(0, token.indexOf('.')), 'base64url').toString());
  } catch (thrown) {
    throw refuse('token is malformed', thrown);
  }
  if (typeof header !== 'object' || header === null) throw refuse('token is malformed');
  return header;
}

function candidates({ alg, kid, crit }: Header, keys: readonly Key[]): readonly Key[] {
  // RFC 7515, 4.1.11: what must be understood and is not makes the token invalid.
  if (crit !== undefined) throw refuse('token has critical header parameters, which are not supported');
  const sameAlgorithm = keys.filter(({ algorithm }) => algorithm === alg);
  if (sameAlgorithm.length === 0) {
    const name = typeof alg === 'string' && /^[A-Za-z0-9+-]{1,20}$/.test(alg) ? ` ${alg}` : '';
    throw refuse(`token algorithm${name} is not accepted`);
  }
  const matching = sameAlgorithm.filter(({ keyId }) => keyId === undefined || keyId === kid);
  if (matching.length === 0) throw refuse('token key id is not known');
  return matching;
}

function verifyWithOneOf(keys: readonly Key[], token: string, options: jwt.VerifyOptions): Claims {
  let cause: unknown;
  for (const { key, algorithm } of keys) {
    try {
      return jwt.verify(token, key, { ...options, algorithms: [algorithm] }) as Claims;
    } catch (thrown) {
      if (!isBadSignature(thrown)) throw refusalOf(thrown);
      cause = thrown;
    }
  }
  throw refuse('token signature is not valid', cause);
}

function isBadSignature(thrown: unknown): boolean {
  return thrown instanceof Error && /^(?:invalid signature|jwt signature is required)$/.test(thrown.message);
}

/** The library's errors in our words; it looks at claims only after the signature. */
function refusalOf(thrown: unknown): StatusError {
  if (thrown instanceof jwt.TokenExpiredError) return refuse('token expired', thrown);
  if (thrown instanceof jwt.NotBeforeError) return refuse('token is not valid yet', thrown);
  const text = thrown instanceof Error ? thrown.message : '';
  if (text.startsWith('jwt issuer')) return refuse('token issuer is not accepted', thrown);
  if (text.startsWith('jwt audience')) return refuse('token audience is not accepted', thrown);
  if (/^invalid (?:exp|nbf)/.test(text)) return refuse('token claims exp and nbf must be numbers', thrown);
  return refuse('token is malformed', thrown);
}

function principalOf(claims: Claims, roles: ReadonlyMap<string, readonly string[]>): Principal {
  const { sub, iat, exp } = claims;
  if (typeof sub !== 'string' || sub === '') throw refuse('token has no subject (claim sub)');
  if (!PRINTABLE.test(sub)) throw refuse('token claim sub must be printable ASCII');
  if (claims.roles !== undefined && !Array.isArray(claims.roles)) {
    throw refuse('token claim roles must be an array of strings');
  }
  const held = words(claims.roles, 'roles', PRINTABLE);
  return Object.freeze({
    subject: sub,
    permissions: new Set([
      ...words(claims.permissions, 'permissions', SCOPE),
      ...words(claims.scope, 'scope', SCOPE),
      ...held.flatMap((role) => roles.get(role) ?? []),
    ]),
    roles: new Set(held),
    issuedAt: typeof iat === 'number' ? iat : undefined,
    expiresAt: typeof exp === 'number' ? exp * 1000 : undefined,
    claims,
  });
}

function words(claim: unknown, name: string, syntax: RegExp): readonly string[] {
  if (claim === undefined) return [];
  const list: unknown = typeof claim === 'string' ? claim.split(' ').filter((word) => word !== '') : claim;
  if (Array.isArray(list) && list.every((word) => typeof word === 'string' && syntax.test(word))) return list;
  throw refuse(`token claim ${name} must be an array of strings`);
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
