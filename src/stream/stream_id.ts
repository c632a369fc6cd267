/** Which stream a call asks for: the same method, the same request and the same scope are the same stream. */
import { createHash } from 'node:crypto';
import type { Call, Message, Metadata } from '../call.js';
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

/** A private stream belongs to its caller. A shared one depends on what its method declares, and on nothing else. */
function scopeOf({ sharing, scope }: StreamOptions, principal: Principal, metadata: Metadata): string {
  if (sharing === 'private') return JSON.stringify([principal.subject]);
  const claims = scope.claims.map((name) => [name, claimOf(principal, name)]);
  const headers = scope.headers.map((name) => [name, metadata[name] ?? null]);
  return JSON.stringify([claims, headers]);
}

function claimOf(principal: Principal, name: string): unknown {
  if (name === 'sub') return principal.subject;
  if (name === 'permissions') return [...principal.permissions].sort();
  if (name === 'roles') return [...principal.roles].sort();
  return principal.claims[name] ?? null;
}

/** What the gateway says of the caller, by the claim that it comes from. */
const IDENTITY: Readonly<Record<string, string>> = { 'x-user-id': 'sub', 'x-permissions': 'permissions' };

/**
 * The metadata of the one call that is made for all clients of a shared stream: what is in its scope. The service cannot depend on what
 * others than the first client have not sent.
 */
export function scopedMetadata({ method, metadata }: Call): Metadata {
  const { claims, headers } = method.stream.scope;
  const kept: Record<string, string | readonly string[]> = Object.create(null);
  for (const name in metadata) {
    const value = metadata[name];
    const claim = IDENTITY[name];
    if (value === undefined) continue;
    if (claim === undefined ? headers.includes(name) || name === 'x-request-id' : claims.includes(claim))
      kept[name] = value;
  }
  return kept;
}

/** The same of the principal. */
export function scopedPrincipal({ method, principal }: Call): Principal {
  const { claims } = method.stream.scope;
  return {
    ...ANONYMOUS,
    subject: claims.includes('sub') ? principal.subject : '',
    permissions: claims.includes('permissions') ? principal.permissions : ANONYMOUS.permissions,
    roles: claims.includes('roles') ? principal.roles : ANONYMOUS.roles,
  };
}
