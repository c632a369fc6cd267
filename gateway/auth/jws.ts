/** A signed token taken apart (RFC 7515, compact serialization): what it says, before anybody knows whether it is true. */
import { Code, StatusError } from '../../src/status.js';

/** A header block holds less by default; a token in a WebSocket frame should not be larger either. */
export const MAX_TOKEN_LENGTH = 16_384;
/** RFC 7515, 7.1. The signature may be empty here, so that an unsigned token is refused for its algorithm. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** UNAUTHENTICATED. The message never holds a part of the token, but for the name of an algorithm. */
export class TokenRefusal extends StatusError {
  /** @param lasting whether the same token would be refused by the same keys at any later time. */
  constructor(
    message: string,
    readonly lasting = false,
  ) {
    super(Code.UNAUTHENTICATED, message);
  }
}

export interface Jws {
  readonly algorithm: unknown;
  readonly keyId: unknown;
  readonly claims: Readonly<Record<string, unknown>>;
  /** What was signed. */
  readonly input: string;
  readonly signature: Uint8Array;
}

/** Throws TokenRefusal for what is too long, malformed, or needs what we do not understand. */
export function readJws(token: string): Jws {
  if (token.length > MAX_TOKEN_LENGTH) throw new TokenRefusal('token is too long');
  if (!COMPACT.test(token)) throw new TokenRefusal('token is malformed');
  const first = token.indexOf('.');
  const last = token.lastIndexOf('.');
  const { alg, kid, crit } = readObject(token.slice(0, first));
  // RFC 7515, 4.1.11: what must be understood and is not makes the token invalid.
  if (crit !== undefined) {
    throw new TokenRefusal('token has critical header parameters, which are not supported');
  }
  return {
    algorithm: alg,
    keyId: kid,
    claims: readObject(token.slice(first + 1, last)),
    input: token.slice(0, last),
    signature: Buffer.from(token.slice(last + 1), 'base64url'),
  };
}

function readObject(part: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(part, 'base64url').toString());
  } catch {
    throw new TokenRefusal('token is malformed');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TokenRefusal('token is malformed');
  }
  return value as Record<string, unknown>;
}
