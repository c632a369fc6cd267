/** Whether a caller may call a method: deny by default, decided by the method's access rules alone. */
import type { Call, Interceptor } from '../call.js';
import type { Access } from '../method.js';
import type { Principal } from '../principal.js';
import { Code, StatusError } from '../status.js';
import { AccessError, type DecisionRecord, NO_RECORD } from './decisions.js';
import { type Grants, NO_GRANTS } from './grants.js';

export { AccessError } from './decisions.js';

export type Decision = 'allowed' | 'token_required' | 'token_expired' | 'permission_missing' | 'role_missing';

export interface AuthorizeOptions {
  /** Allowed clock difference for a token's expiry, in ms; default 30 s, as when tokens are verified. */
  readonly leewayMs?: number;
  /** What roles are worth, asked at each call; default: what the principal has already. */
  readonly grants?: () => Grants;
  readonly record?: DecisionRecord;
}

const noGrants = (): Grants => NO_GRANTS;

/**
 * Refuses calls that the caller may not make: UNAUTHENTICATED without a token or with one that has expired since
 * it was verified, PERMISSION_DENIED with the names of what is missing. What passes has a principal with all that its roles grant.
 */
export function authorize({
  leewayMs = 30_000,
  grants = noGrants,
  record = NO_RECORD,
}: AuthorizeOptions = {}): Interceptor {
  return (next) => (given) => {
    const principal = grants().of(given.principal);
    const call = principal === given.principal ? given : { ...given, principal };
    const decision = allowed(call.method.access, principal, Date.now() - leewayMs);
    if (decision === 'allowed') return next(call);
    const error = refusal(decision, call);
    record.denied(call, decision, error);
    return Promise.reject(error);
  };
}

/**
 * The decision itself. `public` spares the token, never a permission or role that is demanded beside it. `now` is
 * in milliseconds since the epoch. Takes as long with ten thousand permissions as with one.
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
  let names = grantors.get(permission);
  if (names === undefined) {
    names = grantorsOf(permission);
    // Permissions come from contracts and configurations, never from clients; reloads may bring new ones for ever.
    if (grantors.size >= MOST_GRANTORS) grantors.clear();
    grantors.set(permission, names);
  }
  for (const name of names) if (granted.has(name)) return true;
  return false;
}

/** What grants a permission, by permission: cut into its wildcards once, since strings that are made anew have to be hashed anew. */
const grantors = new Map<string, readonly string[]>();
const MOST_GRANTORS = 100_000;

function grantorsOf(permission: string): readonly string[] {
  const names = [permission, '*'];
  for (let colon = permission.indexOf(':'); colon >= 0; colon = permission.indexOf(':', colon + 1))
    names.push(`${permission.slice(0, colon)}:*`);
  return names;
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
