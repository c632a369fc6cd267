/** Claims of a token, read by the names that a configuration or a contract gives them. */
import type { Principal } from './principal.js';

/**
 * The same of a principal: `sub`, `permissions` and `roles` are what the gateway has made of the token, the lists sorted and with all that
 * roles grant; of an anonymous one undefined, as all others.
 */
export function claimOf({ subject, permissions, roles, claims }: Principal, name: string): unknown {
  switch (name) {
    case 'sub':
      return subject === '' ? undefined : subject;
    case 'permissions':
      return [...permissions].sort();
    case 'roles':
      return [...roles].sort();
    default:
      return claimAt(claims, name);
  }
}

/**
 * The value of a claim; undefined when the token does not have it. A name is a claim as it stands (`https://example.com/tenant`, `a.b`), else
 * a path with dots through objects (`org.id`). Own properties count, so that `constructor` is no claim of everybody.
 */
export function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  if (!name.includes('.')) return undefined;
  let value: unknown = claims;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/**
 * The texts that a claim stands for: itself, or each element of a list. Numbers are decimal digits, and no others than integers that JSON
 * carries exactly. Of what is no such text, of an empty one, and of one that is no Unicode, none.
 */
export function textsOfClaim(value: unknown): readonly string[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.flatMap((each) => textOfClaim(each) ?? []);
}

/** Half a surrogate pair: two claims that differ in it alone would be the same bytes. */
const BROKEN = /\p{Surrogate}/u;

function textOfClaim(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' || BROKEN.test(value) ? undefined : value;
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return String(value);
  return undefined;
}
