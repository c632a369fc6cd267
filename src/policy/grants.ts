/** What roles are worth: the permissions that they grant and the roles that they include. */
import type { Principal } from '../principal.js';

export interface RoleRules {
  /** The permissions of each role. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
  /** The roles that a role includes, with all that those include; default none. */
  readonly inherits?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface Grants {
  readonly rules: RoleRules;
  /** The principal with all that its roles are worth. The same one for the same principal. */
  of(principal: Principal): Principal;
}

/** What a role is worth: itself and all that it includes, with their permissions. */
export interface RoleWorth {
  readonly roles: readonly string[];
  readonly permissions: readonly string[];
}

export function worthOf(role: string, { roles, inherits = {} }: RoleRules): RoleWorth {
  const all = new Set([role]);
  // A Set that grows is iterated to its end.
  for (const each of all) for (const more of ownList(inherits, each)) all.add(more);
  return { roles: [...all], permissions: [...all].flatMap((each) => ownList(roles, each)) };
}

/** Roles that include themselves, each as the way around: `a > b > a`. */
export function circlesOf({ inherits = {} }: RoleRules): string[] {
  return Object.keys(inherits).flatMap((role) => {
    const way = wayBack(role, inherits);
    // A circle is told once, from its smallest name.
    return way === undefined || way.some((other) => other < role) ? [] : [[...way, role].join(' > ')];
  });
}

function wayBack(start: string, inherits: NonNullable<RoleRules['inherits']>): string[] | undefined {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (const way of ways) {
    for (const next of ownList(inherits, way.at(-1) as string)) {
      if (next === start) return way;
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  }
  return undefined;
}

function ownList(record: Readonly<Record<string, readonly string[]>>, name: string): readonly string[] {
  return Object.hasOwn(record, name) ? (record[name] as readonly string[]) : [];
}

/** Remembers what it has made of a principal for as long as that one lives. */
export function createGrants(rules: RoleRules): Grants {
  const worth = new Map<string, RoleWorth>();
  for (const role of [...Object.keys(rules.roles), ...Object.keys(rules.inherits ?? {})])
    worth.set(role, worthOf(role, rules));
  const made = new WeakMap<Principal, Principal>();
  const make = (principal: Principal): Principal => {
    const own = [...principal.roles].flatMap((role) => worth.get(role) ?? []);
    if (own.length === 0) return principal;
    return Object.freeze({
      ...principal,
      roles: new Set([...principal.roles, ...own.flatMap(({ roles }) => roles)]),
      permissions: new Set([...principal.permissions, ...own.flatMap(({ permissions }) => permissions)]),
    });
  };
  return {
    rules,
    of(principal) {
      if (principal.roles.size === 0) return principal;
      let known = made.get(principal);
      if (known === undefined) {
        known = make(principal);
        made.set(principal, known);
      }
      return known;
    },
  };
}

/** No role is worth anything. */
export const NO_GRANTS: Grants = { rules: { roles: {} }, of: (principal) => principal };
