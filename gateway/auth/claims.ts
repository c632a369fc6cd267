/** What the claims of a token whose signature is right have to say (RFC 7519), and the principal that they make. */
import { covers } from '../../src/policy/authorize.js';
import type { Principal } from '../../src/principal.js';
import { TokenRefusal } from './jws.js';

/** What can stand in gRPC metadata, since the subject is sent there (`x-user-id`). */
export const PRINTABLE = /^[\x20-\x7e]+$/;
/** RFC 6749, 3.3: a scope, and so a permission, has no spaces, which separate them. */
export const SCOPE = /^[\x21-\x7e]+$/;

type Claims = Readonly<Record<string, unknown>>;

export interface ClaimRules {
  /** One of them has to be in `aud`; none: `aud` is not looked at. */
  readonly audiences: readonly string[];
  /** Claims that have to be there; with values, one of those has to be the claim, or in it when it is an array. */
  readonly required: Readonly<Record<string, readonly string[]>>;
  readonly leewaySeconds: number;
}

/** Seconds since the epoch, or undefined where the claim is absent. */
function time(claims: Claims, name: 'exp' | 'nbf'): number | undefined {
  if (!Object.hasOwn(claims, name)) return undefined;
  const value = claims[name];
  if (!Number.isFinite(value)) throw new TokenRefusal('token claims exp and nbf must be numbers', true);
  return value as number;
}

/** Throws TokenRefusal. */
export function checkClaims(claims: Claims, { audiences, required, leewaySeconds }: ClaimRules): void {
  const now = Math.floor(Date.now() / 1000);
  const nbf = time(claims, 'nbf');
  const exp = time(claims, 'exp');
  // What time alone will mend is not to be remembered.
  if (nbf !== undefined && nbf > now + leewaySeconds) throw new TokenRefusal('token is not valid yet');
  if (exp !== undefined && now >= exp + leewaySeconds) throw new TokenRefusal('token expired', true);
  if (typeof claims.iat === 'number' && claims.iat > now + leewaySeconds) {
    throw new TokenRefusal('token was issued in the future');
  }
  if (audiences.length > 0 && !holds(claims.aud, audiences)) {
    throw new TokenRefusal('token audience is not accepted', true);
  }
  for (const [name, values] of Object.entries(required)) {
    if (!Object.hasOwn(claims, name)) throw new TokenRefusal(`token has no claim ${name}`, true);
    if (values.length > 0 && !holds(claims[name], values)) {
      throw new TokenRefusal(`token claim ${name} is not accepted`, true);
    }
  }
}

function holds(claim: unknown, values: readonly string[]): boolean {
  const said: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
  return said.some((one) => values.includes(typeof one === 'string' ? one : JSON.stringify(one)));
}

/**
 * Permissions are `permissions` (array, or string with spaces between), `scope` (the same) and those of `roles`. Throws TokenRefusal: `sub`
 * is required.
 */
export function principalOf(
  claims: Claims,
  issuer: string | undefined,
  roles: ReadonlyMap<string, readonly string[]>,
): Principal {
  const { sub, iat, exp, jti } = claims;
  if (typeof sub !== 'string' || sub === '') throw new TokenRefusal('token has no subject (claim sub)', true);
  if (!PRINTABLE.test(sub)) throw new TokenRefusal('token claim sub must be printable ASCII', true);
  if (claims.roles !== undefined && !Array.isArray(claims.roles)) {
    throw new TokenRefusal('token claim roles must be an array of strings', true);
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
    ...(issuer !== undefined && { issuer }),
    ...(typeof jti === 'string' && { tokenId: jti }),
  });
}

function words(claim: unknown, name: string, syntax: RegExp): readonly string[] {
  if (claim === undefined) return [];
  const list: unknown = typeof claim === 'string' ? claim.split(' ').filter((word) => word !== '') : claim;
  if (Array.isArray(list) && list.every((word) => typeof word === 'string' && syntax.test(word))) return list;
  throw new TokenRefusal(`token claim ${name} must be an array of strings`, true);
}

/** Claims that are another one in each token of the same bearer (RFC 7519, OpenID Connect Core 2): they say nothing of what it may do. */
const OF_ONE_TOKEN: ReadonlySet<string> = new Set(
  'exp nbf iat jti auth_time nonce at_hash c_hash s_hash sid permissions scope roles'.split(' '),
);

/** Whether who holds the second may do all that the first could: the same bearer, no right less, and the same said of it. */
export function grantsAsMuch(before: Principal, after: Principal): boolean {
  for (const one of before.permissions) if (!covers(after.permissions, one)) return false;
  for (const one of before.roles) if (!after.roles.has(one)) return false;
  const names = new Set([...Object.keys(before.claims), ...Object.keys(after.claims)]);
  for (const name of names) {
    if (OF_ONE_TOKEN.has(name)) continue;
    if (JSON.stringify(before.claims[name]) !== JSON.stringify(after.claims[name])) return false;
  }
  return true;
}
