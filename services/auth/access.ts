/** Access tokens: what they say, how long they are good, and who signs them. */
import { randomUUID } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { KeyRing } from './keys.js';
import type { AccessToken } from './store.js';
import type { User } from './users.js';

export interface AccessRules {
  readonly issuer: string;
  readonly audience: string;
  /** How long they are valid. */
  readonly seconds: number;
}

export interface AccessTokens {
  readonly rules: AccessRules;
  /** The next one, before it is signed: nobody is to have it who could not lose it again. */
  readonly next: () => AccessToken;
  /** The JWT. */
  readonly sign: (token: AccessToken, user: User) => Promise<string>;
  /** A JWT of the service's own, for revoking others; good for a minute. */
  readonly signOwn: () => Promise<string>;
}

export interface AccessParts {
  readonly rules: AccessRules;
  readonly keys: KeyRing;
  readonly clock: () => number;
}

/** `sub` of the service's own tokens. */
const OWN_SUBJECT = 'auth-service';
const OWN_SECONDS = 60;

export function createAccessTokens({ rules, keys, clock }: AccessParts): AccessTokens {
  const seconds = () => Math.floor(clock() / 1000);
  const signed = async (claims: object): Promise<string> => {
    const { algorithm, kid, privateKey } = await keys.signing();
    const all = { iss: rules.issuer, aud: rules.audience, iat: seconds(), ...claims };
    return jwt.sign(all, privateKey, { algorithm, keyid: kid });
  };
  return {
    rules,
    next: () => ({ id: randomUUID(), expiresAt: (seconds() + rules.seconds) * 1000 }),
    sign: ({ id, expiresAt }, { id: sub, roles, permissions }) =>
      signed({ sub, exp: expiresAt / 1000, jti: id, roles, permissions }),
    signOwn: () =>
      signed({ sub: OWN_SUBJECT, exp: seconds() + OWN_SECONDS, permissions: ['tidegate:revoke'] }),
  };
}
