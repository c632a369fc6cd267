/** Whom a call is counted as: its principal, or for a caller without a token the address that it comes from. */
import type { Principal } from '../principal.js';

/** The part of a call that says who makes it. */
export interface CountedCaller {
  readonly principal: Principal;
  readonly peer?: string | undefined;
}

/** A principal lives as long as its token is remembered, and is seen by many calls. */
const keys = new WeakMap<Principal, string>();

/** No address begins so. */
const PRINCIPAL = 'p:';

/**
 * Equal for all tokens of one subject of one issuer (RFC 7519 section 4.1.2: subjects are unique within their issuer); undefined for a caller that
 * nobody can be told from.
 */
export function callerKey({ principal, peer }: CountedCaller): string | undefined {
  if (principal.subject === '') return peer === '' ? undefined : peer;
  let key = keys.get(principal);
  if (key === undefined) {
    const { iss } = principal.claims;
    // JSON keeps the two apart, whatever they hold.
    key = `${PRINCIPAL}${JSON.stringify([typeof iss === 'string' ? iss : '', principal.subject])}`;
    keys.set(principal, key);
  }
  return key;
}

/** As errors name the caller to itself. */
export function describeCaller({ principal, peer = '' }: CountedCaller): string {
  return principal.subject === '' ? `address:${peer}` : `principal:${principal.subject}`;
}
