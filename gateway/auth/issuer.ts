/** Those whose tokens are accepted: each with its keys, its algorithms, and what its tokens have to say. */
import { createPublicKey, createSecretKey } from 'node:crypto';
import type { AuthConfig, IssuerConfig } from '../config.js';
import { ALGORITHMS, type Algorithm } from './algorithms.js';
import type { ClaimRules } from './claims.js';
import { createJwks, type FetchOutcome, type JwksTimes } from './jwks.js';
import { TokenRefusal } from './jws.js';
import { createStaticKeys, type KeySet, verificationKey } from './key_set.js';

export interface Issuer {
  /** The `iss` of its tokens; undefined: any that is no other issuer's. */
  readonly name: string | undefined;
  readonly algorithms: ReadonlySet<Algorithm>;
  readonly keys: KeySet;
  readonly rules: ClaimRules;
}

export interface IssuersOptions {
  readonly observe?: (outcome: FetchOutcome) => void;
  readonly times?: Partial<JwksTimes>;
}

export interface Issuers {
  /** Whose token it claims to be. Throws TokenRefusal. */
  of(iss: unknown): Issuer;
  /** See KeySet. */
  start(): void;
  close(): void;
}

export function createIssuers(auth: AuthConfig, options: IssuersOptions = {}): Issuers {
  const all = auth.issuers.map((one) => createIssuer(one, auth, options));
  if (auth.keys.length > 0 || all.length === 0) all.push(shortForm(auth));
  const named = new Map(all.flatMap((one) => (one.name === undefined ? [] : [[one.name, one] as const])));
  const anyone = all.find(({ name }) => name === undefined);
  return {
    of(iss) {
      const issuer = (typeof iss === 'string' ? named.get(iss) : undefined) ?? anyone;
      if (issuer === undefined) throw new TokenRefusal('token issuer is not accepted');
      return issuer;
    },
    start() {
      for (const { keys } of all) keys.start();
    },
    close() {
      for (const { keys } of all) keys.close();
    },
  };
}

function createIssuer(config: IssuerConfig, auth: AuthConfig, options: IssuersOptions): Issuer {
  const { issuer, audiences, algorithms, required } = config;
  return {
    name: issuer,
    algorithms: new Set(algorithms),
    keys:
      config.jwksUrl === undefined
        ? createStaticKeys(staticKeys(config))
        : createJwks({ ...options, url: config.jwksUrl, algorithms }),
    rules: { audiences, required, leewaySeconds: auth.leewaySeconds },
  };
}

function staticKeys({ secret, publicKeys = [], algorithms, keyId }: IssuerConfig) {
  const keys =
    secret === undefined
      ? publicKeys.map((pem) => createPublicKey(pem))
      : [createSecretKey(Buffer.from(secret))];
  return keys.flatMap((key) => verificationKey(key, algorithms, keyId) ?? []);
}

/** `auth.keys`, `auth.issuer` and `auth.audience`. */
function shortForm({ keys, issuer, audience, leewaySeconds }: AuthConfig): Issuer {
  const imported = keys.map(({ algorithm, key, keyId }) => ({
    // Not a string: it would be parsed anew for every token.
    key: algorithm === 'HS256' ? createSecretKey(Buffer.from(key)) : createPublicKey(key),
    algorithms: new Set<Algorithm>([algorithm]),
    keyId,
  }));
  return {
    name: issuer,
    algorithms: new Set(keys.map(({ algorithm }) => algorithm)),
    keys: createStaticKeys(imported),
    rules: { audiences: audience === undefined ? [] : [audience], required: {}, leewaySeconds },
  };
}

/** The algorithm of a token's header, if the issuer uses it. Throws TokenRefusal. */
export function acceptedAlgorithm(alg: unknown, { algorithms }: Issuer): Algorithm {
  const known = ALGORITHMS.find((name) => name === alg);
  if (known !== undefined && algorithms.has(known)) return known;
  const name = typeof alg === 'string' && /^[A-Za-z0-9+-]{1,20}$/.test(alg) ? ` ${alg}` : '';
  throw new TokenRefusal(`token algorithm${name} is not accepted`);
}
