/** Who calls: what a verified token says of its bearer, or nobody. */

export interface Principal {
  /** The token's `sub`; empty for an anonymous caller. */
  readonly subject: string;
  /** Granted directly or through roles. `*` grants all, `orders:*` all that begin with `orders:`. */
  readonly permissions: ReadonlySet<string>;
  readonly roles: ReadonlySet<string>;
  /** Seconds since the epoch (RFC 7519 `iat`), or undefined when the token has none. */
  readonly issuedAt: number | undefined;
  /** Milliseconds since the epoch (RFC 7519 `exp`), or undefined when the token never expires. */
  readonly expiresAt: number | undefined;
  /** All claims of the verified token. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Of the call of a shared stream: the claims that may be told, all that its clients have in common; default all. */
  readonly scope?: readonly string[];
  /** The token's `iss`, if it has one. */
  readonly issuer?: string;
  /** The token's `jti`, if it has one. */
  readonly tokenId?: string;
}

/** A caller without a token. Only public methods accept it. */
export const ANONYMOUS: Principal = Object.freeze({
  subject: '',
  permissions: new Set<string>(),
  roles: new Set<string>(),
  issuedAt: undefined,
  expiresAt: undefined,
  claims: Object.freeze({}),
});
