/** Which stream a call asks for: the same method, the same request and the same scope are the same stream. */
import { createHash } from 'node:crypto';
import type { Call, Message, Metadata } from '../call.js';
import { claimOf } from '../claims.js';
import type { StreamOptions } from '../method.js';
import { ANONYMOUS, type Principal } from '../principal.js';

export interface StreamId {
  /** SHA-256 of the method and of the request without its position. */
  readonly request: Uint8Array;
  /** SHA-256 of the claims and headers that the stream depends on. */
  readonly scope: Uint8Array;
  /** Both, as a name for a log: 43 characters of base64url, with a `.` in the middle. */
  readonly name: string;
}

/** `request`: the encoded request without the resume field. */
export function streamIdOf({ method, principal, metadata }: Call, request: Message): StreamId {
  const asked = createHash('sha256').update(`${method.name}\n`).update(request).digest();
  const scope = createHash('sha256')
    .update(scopeOf(method.stream, principal, metadata))
    .digest();
  const half = (hash: Buffer): string => hash.subarray(0, 16).toString('base64url');
  return { request: asked, scope, name: `${half(asked)}.${half(scope)}` };
}

/**
 * A private stream belongs to its caller. A shared one depends on what its method declares, and on nothing else; having no token is
 * another value than a token without the claim, or with an empty list.
 */
function scopeOf({ sharing, scope }: StreamOptions, principal: Principal, metadata: Metadata): string {
  if (sharing === 'private') return JSON.stringify([principal.subject]);
  const claims = scope.claims.map((name) => [name, claimOf(principal, name) ?? null]);
  const headers = scope.headers.map((name) => [name, metadata[name] ?? null]);
  const isNobody = scope.claims.length > 0 && principal.subject === '';
  return JSON.stringify(isNobody ? [claims, headers, 'nobody'] : [claims, headers]);
}

/**
 * The metadata of the one call that is made for all clients of a shared stream: what is in its scope. The service cannot depend on what
 * others than the first client have not sent. What it is told of the caller, it is told of `scopedPrincipal`.
 */
export function scopedMetadata({ method, metadata }: Call): Metadata {
  const { headers } = method.stream.scope;
  const kept: Record<string, string | readonly string[]> = Object.create(null);
  for (const name in metadata) {
    const value = metadata[name];
    if (value !== undefined && (headers.includes(name) || name === 'x-request-id')) kept[name] = value;
  }
  return kept;
}

/** The same of the principal. */
export function scopedPrincipal({ method, principal }: Call): Principal {
  const { claims } = method.stream.scope;
  if (principal.subject === '') return { ...ANONYMOUS, scope: [] };
  const told = claims.map((name) => [name, claimOf(principal, name)] as const);
  return {
    ...ANONYMOUS,
    subject: claims.includes('sub') ? principal.subject : '',
    permissions: claims.includes('permissions') ? principal.permissions : ANONYMOUS.permissions,
    roles: claims.includes('roles') ? principal.roles : ANONYMOUS.roles,
    claims: Object.fromEntries(told.filter(([, value]) => value !== undefined)),
    scope: claims,
  };
}
