/** Tokens that the gateway signs for services: who calls, for one upstream and a few minutes, instead of headers to be trusted. */
import jwt from 'jsonwebtoken';
import { claimOf } from '../../src/claims.js';
import type { IdentityToken } from '../../src/policy/identity.js';
import type { Principal } from '../../src/principal.js';
import type { IdentityTokenConfig } from '../config.js';
import { createSigningKeys } from './signing_keys.js';

export interface TokenIssuer {
  readonly identity: IdentityToken;
  /** The public keys (RFC 7517, 5). */
  readonly jwks: () => { readonly keys: readonly object[] };
  /** Reads keys from their files again. Throws ConfigError, and goes on with the old ones. */
  reload(): void;
  close(): void;
}

export interface IssuerOptions {
  readonly token: IdentityTokenConfig;
  /** Claims of the caller's token that are passed on, by name or path. */
  readonly claims: readonly string[];
  /** How much longer than its expiry a caller's token is accepted, in seconds. */
  readonly leewaySeconds: number;
}

/** Names that have a meaning of their own in these tokens. */
const OWN: ReadonlySet<string> = new Set([
  'iss',
  'aud',
  'iat',
  'exp',
  'nbf',
  'jti',
  'sub',
  'permissions',
  'roles',
]);

interface Issued {
  readonly token: string;
  /** In ms since the epoch: from here on, another one is made. */
  readonly renewAt: number;
}

/**
 * A token has `iss`, `aud`, `iat` and `exp`; of the caller `sub`, `roles`, `permissions` and the configured claims. For a shared stream, no more
 * than is in its scope: without `sub`, it says that the gateway asks, and for nobody in particular. It never outlives the caller's own
 * token. Signing takes time (ES256 0.05 ms, RS256 1 ms), so that a token is used until a quarter of its time is left. Throws ConfigError.
 */
export function createTokenIssuer({ token: config, claims, leewaySeconds }: IssuerOptions): TokenIssuer {
  const { algorithm, header, issuer, audiences, ttlMs } = config;
  const keys = createSigningKeys(config);
  const passed = claims.filter((name) => !OWN.has(name));
  const issued = new WeakMap<Principal, Map<string, Issued>>();

  const issue = (principal: Principal, upstream: string): Issued => {
    const now = Date.now();
    const { expiresAt = Number.POSITIVE_INFINITY } = principal;
    const until = Math.min(now + ttlMs, expiresAt + leewaySeconds * 1_000);
    const { id, key } = keys.current();
    const payload = {
      iss: issuer,
      aud: Object.hasOwn(audiences, upstream) ? audiences[upstream] : upstream,
      iat: Math.floor(now / 1_000),
      exp: Math.floor(until / 1_000),
      ...toldOf(principal, passed),
    };
    const token = jwt.sign(payload, key, { algorithm, keyid: id });
    return { token, renewAt: until - ttlMs / 4 };
  };

  return {
    identity: {
      header,
      of(principal, upstream) {
        let tokens = issued.get(principal);
        if (tokens === undefined) {
          tokens = new Map();
          issued.set(principal, tokens);
        }
        const known = tokens.get(upstream);
        if (known !== undefined && Date.now() < known.renewAt) return known.token;
        const made = issue(principal, upstream);
        tokens.set(upstream, made);
        return made.token;
      },
    },
    jwks: () => ({ keys: keys.published().map(({ jwk }) => jwk) }),
    reload: keys.reload,
    close: keys.close,
  };
}

function toldOf(principal: Principal, claims: readonly string[]): Record<string, unknown> {
  const { subject, scope } = principal;
  const told: Record<string, unknown> = subject === '' ? {} : { sub: subject };
  for (const name of ['roles', 'permissions', ...claims]) {
    const value = scope === undefined || scope.includes(name) ? claimOf(principal, name) : undefined;
    if (value !== undefined) told[name] = value;
  }
  return told;
}
