/** What is configured of who may call. */
import type { Algorithm } from '../auth/algorithms.js';

import type { ExternalConfig } from './access_types.js';

/** One way of verifying tokens. A token must name (`kid`) or match one of them by algorithm. */
export interface KeyConfig {
  readonly algorithm: 'HS256' | 'RS256';
  /** HS256: the shared secret, at least 32 bytes. RS256: a PEM public key. */
  readonly key: string;
  /** Only for tokens whose header names this key id, if set. */
  readonly keyId?: string;
}

/** Where tokens may come from, besides a cookie and a query parameter, which have names. */
export const TOKEN_SOURCES = ['authorization', 'subprotocol', 'frames', 'tickets'] as const;
export type TokenSource = (typeof TOKEN_SOURCES)[number];

/** Those whose tokens are accepted. Exactly one of `jwksUrl`, `publicKeys` and `secret` says by which keys. */
export interface IssuerConfig {
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /** One of them has to be in `aud`; empty: any. */
  readonly audiences: readonly string[];
  /** Those that its tokens may be signed with, all of one kind: secret, or public keys. */
  readonly algorithms: readonly Algorithm[];
  /** Where it publishes its keys (RFC 7517). */
  readonly jwksUrl?: string;
  /** PEM. */
  readonly publicKeys?: readonly string[];
  readonly secret?: string;
  /** Of the secret or the public keys: only for tokens that name it, if set. */
  readonly keyId?: string;
  /** Claims that have to be there; with values, one of those has to be the claim, or in it when it is a list. */
  readonly required: Readonly<Record<string, readonly string[]>>;
}

export interface AuthConfig {
  readonly keys: readonly KeyConfig[];
  /** Required `iss`, if set. */
  readonly issuer?: string;
  /** Required `aud`, if set. */
  readonly audience?: string;
  /** Besides `keys`; no two with the same name. */
  readonly issuers: readonly IssuerConfig[];
  /** Default all. */
  readonly sources: readonly TokenSource[];
  /** The cookie that holds a token, if set: used for requests of our own pages and those of `origins` alone. */
  readonly cookie?: string;
  /** The query parameter that holds a token, if set. URLs end up in logs and histories of others. */
  readonly queryParameter?: string;
  /** How long a ticket can be used, in ms; default 30 s. */
  readonly ticketTtlMs: number;
  /** Tickets of this node that have not been used nor expired, at most; default 10,000. */
  readonly ticketsAtOnce: number;
  /** How long a revocation is remembered whose end nobody knows, in ms: at least as long as tokens live; default 24 h. */
  readonly revocationTtlMs: number;
  /** Allowed clock difference in seconds for exp, nbf and iat; default 30. */
  readonly leewaySeconds: number;
  /** Permissions of each role. A token's roles (`roles` claim) add these to its `permissions` claim. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
  /** The roles that a role includes, with all that those include; default none. */
  readonly inherits?: Readonly<Record<string, readonly string[]>>;
  /** Who is asked beside the rules; default nobody. */
  readonly external?: ExternalConfig | undefined;
}
