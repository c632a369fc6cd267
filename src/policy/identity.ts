/** Tells services who calls: identity headers come from the verified token, never from the client. */
import type { Interceptor, Metadata } from '../call.js';
import { claimOf, textsOfClaim } from '../claims.js';
import type { Principal } from '../principal.js';

/**
 * Set from the principal of a caller with a token, absent for an anonymous one:
 * - `x-user-id`: the token's subject
 * - `x-permissions`: what it grants, sorted, separated by commas; empty if nothing
 * - `x-auth-issued-at`: when the token was issued, in decimal seconds since the epoch, if it says so
 *
 * In subjects, permissions and other claims, all but visible ASCII, and `%` and `,`, is percent-encoded (UTF-8), so that
 * whatever a token says is one value of one header; decoding each value gives back what the token says.
 */
export const IDENTITY_HEADERS: ReadonlySet<string> = new Set([
  'x-user-id',
  'x-permissions',
  'x-auth-issued-at',
]);

/** The call's id, set for every caller. */
const REQUEST_ID = 'x-request-id';

export interface IdentityOptions {
  /**
   * Headers, in lower case, with the claim that each tells: its name, or its path (`org.id`). The elements of a list are separated by commas; of what is
   * no text, number or boolean, nothing is told, and of a claim that the token does not have no header is set. Default none.
   */
  readonly claims?: Readonly<Record<string, string>> | undefined;
  /** A token of the gateway's own that says the same; default none. */
  readonly token?: IdentityToken | undefined;
}

export interface IdentityToken {
  /** In lower case. In `authorization` it follows `Bearer `, in the place of the client's own. */
  readonly header: string;
  /** The token for the upstream of this name. Of a scope, it says no more than what is in it, and of an empty one not who calls. */
  of(principal: Principal, upstream: string): string;
}

/**
 * Replaces identity headers, in any casing, and sets `x-request-id`. All other metadata passes, `authorization` too. Stands behind the shared
 * streams, whose calls are made for a principal of their own.
 */
export function identity({ claims = {}, token }: IdentityOptions = {}): Interceptor {
  const ours = new Set([...IDENTITY_HEADERS, REQUEST_ID, ...Object.keys(claims)]);
  if (token !== undefined) ours.add(token.header);
  const headers = Object.entries(claims);
  /** A principal lives as long as its token is remembered, and is seen by many calls. */
  const remembered = new WeakMap<Principal, Metadata>();
  const identityOf = (principal: Principal): Metadata => {
    let known = remembered.get(principal);
    if (known === undefined) {
      known = describe(principal, headers);
      remembered.set(principal, known);
    }
    return known;
  };
  return (next) => (call) => {
    const { metadata, principal, id, method } = call;
    const result: Record<string, string | readonly string[]> = Object.create(null);
    for (const name in metadata) {
      const value = metadata[name];
      if (value !== undefined && !ours.has(name) && !ours.has(name.toLowerCase())) result[name] = value;
    }
    const isKnown = principal.subject !== '' || principal.scope !== undefined;
    if (isKnown) Object.assign(result, identityOf(principal));
    if (isKnown && token !== undefined) {
      const value = token.of(principal, method.upstream);
      result[token.header] = token.header === 'authorization' ? `Bearer ${value}` : value;
    }
    result[REQUEST_ID] = id;
    return next({ ...call, metadata: result });
  };
}

function describe(
  principal: Principal,
  headers: readonly (readonly [header: string, claim: string])[],
): Metadata {
  const { subject, permissions, issuedAt, scope } = principal;
  const isTold = (claim: string): boolean => scope === undefined || scope.includes(claim);
  const made: Record<string, string> = {};
  if (subject !== '') made['x-user-id'] = encode(subject);
  if (isTold('permissions')) made['x-permissions'] = [...permissions].sort().map(encode).join(',');
  if (issuedAt !== undefined) made['x-auth-issued-at'] = String(issuedAt);
  for (const [header, claim] of headers) {
    const texts = isTold(claim) ? textsOfClaim(claimOf(principal, claim)) : [];
    if (texts.length > 0) made[header] = texts.map(encode).join(',');
  }
  return made;
}

function encode(text: string): string {
  return text.replace(/[^!-~]+|[%,]/g, (part) => {
    let encoded = '';
    for (const byte of Buffer.from(part)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    return encoded;
  });
}
