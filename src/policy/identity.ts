/** Tells services who calls: identity headers come from the verified token, never from the client. */
import type { Interceptor, Metadata } from '../call.js';
import type { Principal } from '../principal.js';

/**
 * Set from the principal of a caller with a token, absent for an anonymous one:
 * - `x-user-id`: the token's subject
 * - `x-permissions`: what it grants, sorted, separated by commas; empty if nothing
 * - `x-auth-issued-at`: when the token was issued, in decimal seconds since the epoch, if it says so
 *
 * In subjects and permissions, all but visible ASCII, and `%` and `,`, is percent-encoded (UTF-8), so that
 * whatever a token says is one value of one header; decoding each value gives back what the token says.
 */
export const IDENTITY_HEADERS: ReadonlySet<string> = new Set([
  'x-user-id',
  'x-permissions',
  'x-auth-issued-at',
]);

/** The call's id, set for every caller. */
const REQUEST_ID = 'x-request-id';

/** Replaces identity headers, in any casing, and sets `x-request-id`. All other metadata passes, `authorization` too. */
export function identity(): Interceptor {
  return (next) => (call) => next({ ...call, metadata: identified(call.metadata, call.principal, call.id) });
}

function identified(metadata: Metadata, principal: Principal, id: string): Metadata {
  const result: Record<string, string | readonly string[]> = Object.create(null);
  for (const name in metadata) {
    const value = metadata[name];
    if (value !== undefined && !isOurs(name)) result[name] = value;
  }
  if (principal.subject !== '') Object.assign(result, identityOf(principal));
  result[REQUEST_ID] = id;
  return result;
}

function isOurs(name: string): boolean {
  // All of ours begin so; the rest is not worth lower-casing.
  if (name.charCodeAt(1) !== 0x2d) return false;
  const lower = name.toLowerCase();
  return lower === REQUEST_ID || IDENTITY_HEADERS.has(lower);
}

/** A principal lives as long as its token is remembered, and is seen by many calls. */
const remembered = new WeakMap<Principal, Metadata>();

function identityOf(principal: Principal): Metadata {
  const known = remembered.get(principal);
  if (known) return known;
  const made: Record<string, string> = {
    'x-user-id': encode(principal.subject),
    'x-permissions': [...principal.permissions].sort().map(encode).join(','),
  };
  if (principal.issuedAt !== undefined) made['x-auth-issued-at'] = String(principal.issuedAt);
  remembered.set(principal, made);
  return made;
}

function encode(text: string): string {
  return text.replace(/[^!-~]+|[%,]/g, (part) => {
    let encoded = '';
    for (const byte of Buffer.from(part)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    return encoded;
  });
}
