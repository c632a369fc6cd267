/** From a token to the principal that it proves (RFC 7519, RFC 8725): verified once, then remembered until it expires. */
import { hash } from 'node:crypto';
import type { Principal } from '../../src/principal.js';
import type { AuthConfig } from '../config.js';
import { type Algorithm, isSigned, type VerificationKey } from './algorithms.js';
import { checkClaims, principalOf } from './claims.js';
import { acceptedAlgorithm, createIssuers, type Issuer, type IssuersOptions } from './issuer.js';
import { type Jws, readJws, TokenRefusal } from './jws.js';
import { Recent } from './recent.js';

/** Verified tokens that are remembered: at least the last half as many that were used. One of usual size and its principal take about 1.5 KB. */
const VERIFIED = 20_000;
/** Refused ones, of which a hash is kept. */
const REFUSED = 20_000;

export interface TokenCounts {
  /** Found in memory, verified, or refused. */
  remembered: number;
  verified: number;
  refused: number;
}

export interface TokenVerifier {
  /**
   * The principal of a token; a promise only when keys have to be fetched first. Throws, or rejects with, StatusError: UNAUTHENTICATED, whose
   * message never holds the token, and UNAVAILABLE while the keys of its issuer are not known.
   */
  (token: string): Principal | Promise<Principal>;
  /**
   * The principal of a token that is remembered and still good; undefined says nothing. Throws StatusError UNAUTHENTICATED for one that was good, and has
   * expired or was revoked.
   */
  readonly known: (token: string) => Principal | undefined;
  readonly counts: Readonly<TokenCounts>;
  /** Fetches the keys of all issuers, so that the first token need not wait for them. */
  readonly start: () => void;
  readonly close: () => void;
}

export interface VerifierOptions extends IssuersOptions {
  /** Whether it was revoked since it was issued; asked each time. Default: none was. */
  readonly isRevoked?: (principal: Principal) => boolean;
}

interface Verified {
  readonly token: string;
  readonly principal: Principal;
  readonly issuer: Issuer;
  readonly generation: number;
}

interface Refused {
  readonly refusal: TokenRefusal;
  readonly issuer: Issuer;
  readonly generation: number;
}

/**
 * What a verified token is looked up by, before the whole is compared: its last characters, 68 bits of its signature at least. To hash all of a token
 * takes 1 us, more than everything else that a known one costs. A string of up to 12 characters is a copy, which keeps no header in memory.
 */
const TAIL = -12;

const NEVER = (): boolean => false;

/**
 * The issuer that the token names decides by which keys and algorithms it is verified; the token only chooses among those. `sub` is
 * required; exp, nbf and iat allow for the leeway. A token that was refused for good is remembered too, by its hash, until the keys of its issuer
 * change; one that may be good later is looked at again.
 */
export function createTokenVerifier(auth: AuthConfig, options: VerifierOptions = {}): TokenVerifier {
  const { isRevoked = NEVER } = options;
  const issuers = createIssuers(auth, options);
  const roles = new Map(Object.entries(auth.roles));
  const leewayMs = auth.leewaySeconds * 1000;
  const verified = new Recent<Verified>(VERIFIED);
  const refused = new Recent<Refused>(REFUSED);
  const counts: TokenCounts = { remembered: 0, verified: 0, refused: 0 };

  const known = (token: string): Principal | undefined => {
    const tail = token.slice(TAIL);
    const found = verified.get(tail);
    if (found === undefined || found.token !== token) return undefined;
    const { principal, issuer, generation } = found;
    // One of the keys may be the one that was taken back.
    if (generation !== issuer.keys.generation) {
      verified.delete(tail);
      return undefined;
    }
    const problem = problemOf(principal);
    if (problem !== undefined) return refuse(new TokenRefusal(problem));
    counts.remembered++;
    return principal;
  };
  /** What has happened since it was issued. */
  const problemOf = (principal: Principal): string | undefined => {
    const { expiresAt } = principal;
    if (expiresAt !== undefined && Date.now() >= expiresAt + leewayMs) return 'token expired';
    return isRevoked(principal) ? 'token was revoked' : undefined;
  };
  const refuse = (thrown: unknown): never => {
    counts.refused++;
    throw thrown;
  };
  const finish = (token: string, jws: Jws, issuer: Issuer, keys: readonly VerificationKey[]): Principal => {
    const { generation } = issuer.keys;
    try {
      const principal = verifyWith(keys, jws, issuer, roles);
      const problem = problemOf(principal);
      if (problem !== undefined) throw new TokenRefusal(problem);
      verified.set(token.slice(TAIL), { token, principal, issuer, generation });
      counts.verified++;
      return principal;
    } catch (thrown) {
      if (thrown instanceof TokenRefusal && thrown.lasting) {
        refused.set(nameOf(token), { refusal: thrown, issuer, generation });
      }
      throw thrown;
    }
  };
  const begin = (token: string): Principal | Promise<Principal> => {
    const jws = readJws(token);
    const issuer = issuers.of(jws.claims.iss);
    const before = refused.get(nameOf(token));
    if (before !== undefined && before.issuer === issuer && before.generation === issuer.keys.generation) {
      throw new TokenRefusal(before.refusal.message, true);
    }
    const keys = issuer.keys.find(acceptedAlgorithm(jws.algorithm, issuer), jws.keyId);
    return keys instanceof Promise
      ? keys.then((found) => finish(token, jws, issuer, found)).catch(refuse)
      : finish(token, jws, issuer, keys);
  };
  const verify = (token: string): Principal | Promise<Principal> => {
    const principal = known(token);
    if (principal !== undefined) return principal;
    try {
      return begin(token);
    } catch (thrown) {
      return refuse(thrown);
    }
  };
  return Object.assign(verify, { known, counts, start: issuers.start, close: issuers.close });
}

/** What a refused token is remembered by: it is as long as whoever sent it wanted. */
function nameOf(token: string): string {
  return hash('sha256', token, 'base64');
}

function verifyWith(
  keys: readonly VerificationKey[],
  jws: Jws,
  { name, rules }: Issuer,
  roles: ReadonlyMap<string, readonly string[]>,
): Principal {
  const algorithm = jws.algorithm as Algorithm;
  if (!keys.some(({ key }) => isSigned(algorithm, key, jws))) {
    throw new TokenRefusal('token signature is not valid', true);
  }
  if (name !== undefined && jws.claims.iss !== name)
    throw new TokenRefusal('token issuer is not accepted', true);
  checkClaims(jws.claims, rules);
  const { iss } = jws.claims;
  return principalOf(jws.claims, typeof iss === 'string' ? iss : undefined, roles);
}
