/** Whether a caller may call a method: deny by default, decided by the contract's access option alone. */
import type { Call, Interceptor } from '../call.js';
import type { Access } from '../method.js';
import type { Principal } from '../principal.js';
import { Code, StatusError } from '../status.js';

export type Decision = 'allowed' | 'token_required' | 'token_expired' | 'permission_missing' | 'role_missing';

/** A refusal by the contract's access option: PERMISSION_DENIED, with the permissions that the token lacks, if it is those. */
export class AccessError extends StatusError {
  constructor(
    message: string,
    readonly permissions: readonly string[],
  ) {
    super(Code.PERMISSION_DENIED, message);
  }
}

export interface AuthorizeOptions {
  /** Allowed clock difference for a token's expiry, in ms; default 30 s, as when tokens are verified. */
  readonly leewayMs?: number;
}

/**
 * Refuses calls that the caller may not make: UNAUTHENTICATED without a token or with one that has expired since
 * it was verified, PERMISSION_DENIED with the names of what is missing.
 */
export function authorize({ leewayMs = 30_000 }: AuthorizeOptions = {}): Interceptor {
  return (next) => (call) => {
    const decision = allowed(call.method.access, call.principal, Date.now() - leewayMs);
    return decision === 'allowed' ? next(call) : Promise.reject(refusal(decision, call));
  };
}

/**
 * The decision itself. `public` spares the token, never a permission or role that is demanded beside it. `now` is
 * in milliseconds since the epoch.
 */
export function allowed(access: Access, principal: Principal, now = Date.now()): Decision {
  if (principal.expiresAt !== undefined && principal.expiresAt <= now) return 'token_expired';
  const { permissions, roles } = access;
  if (principal.subject === '') {
    return access.public && permissions.length === 0 && roles.length === 0 ? 'allowed' : 'token_required';
  }
  for (const permission of permissions) {
    if (!covers(principal.permissions, permission)) return 'permission_missing';
  }
  if (roles.length > 0 && !roles.some((role) => principal.roles.has(role))) return 'role_missing';
  return 'allowed';
}

/**
 * Whether a permission is granted, as such or by a wildcard: `*` covers all, `orders:*` all that begin with
 * `orders:`. Wildcards have a meaning at the end of what is granted only.
 */
export function covers(granted: ReadonlySet<string>, permission: string): boolean {
  if (granted.has(permission) || granted.has('*')) return true;
  for (let colon = permission.indexOf(':'); colon >= 0; colon = permission.indexOf(':', colon + 1)) {
    if (granted.has(`${permission.slice(0, colon)}:*`)) return true;
  }
  return false;
}

function refusal(decision: Exclude<Decision, 'allowed'>, { method, principal }: Call): StatusError {
  switch (decision) {
    case 'token_required':
      return new StatusError(Code.UNAUTHENTICATED, 'a token is required');
    case 'token_expired':
      return new StatusError(Code.UNAUTHENTICATED, 'the token has expired');
    case 'permission_missing': {
      const missing = method.access.permissions.filter((each) => !covers(principal.permissions, each));
      const noun = missing.length === 1 ? 'permission' : 'permissions';
      return new AccessError(`missing ${noun}: ${missing.join(', ')}`, missing);
    }
    case 'role_missing': {
      const { roles } = method.access;
      const noun = roles.length === 1 ? 'role' : 'one of the roles';
      return new AccessError(`missing ${noun}: ${roles.join(', ')}`, []);
    }
  }
}
