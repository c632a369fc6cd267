/** What is configured of who may call. */

import type { ExternalConfig } from './access_types.js';

/** One way of verifying tokens. A token must name (`kid`) or match one of them by algorithm. */
export interface KeyConfig {
  readonly algorithm: 'HS256' | 'RS256';
  /** HS256: the shared secret, at least 32 bytes. RS256: a PEM public key. */
  readonly key: string;
  /** Only for tokens whose header names this key id, if set. */
  readonly keyId?: string;
}

export interface AuthConfig {
  readonly keys: readonly KeyConfig[];
  /** Required `iss`, if set. */
  readonly issuer?: string;
  /** Required `aud`, if set. */
  readonly audience?: string;
  /** Allowed clock difference in seconds for exp, nbf and iat; default 30. */
  readonly leewaySeconds: number;
  /** Permissions of each role. A token's roles (`roles` claim) add these to its `permissions` claim. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
  /** The roles that a role includes, with all that those include; default none. */
  readonly inherits?: Readonly<Record<string, readonly string[]>>;
  /** Who is asked beside the rules; default nobody. */
  readonly external?: ExternalConfig | undefined;
}
