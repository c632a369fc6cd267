/** `tidegate token`: a token for development and tests. */

import { PRINTABLE, SCOPE } from '../auth/claims.js';
import type { ParsedFlags } from '../config/flags.js';
import { parseDuration } from '../config/units.js';
import { type Config, ConfigError, DEVELOPMENT_SECRET, type KeyConfig } from '../config.js';
import { type SignOptions, signToken } from '../http/token.js';
import type { Io } from './command.js';

const DAY_MS = 86_400_000;

/** Prints the token alone on the last line of the output; which key signed it is told as a note. Throws ConfigError. */
export async function token(config: Config, flags: ParsedFlags, io: Io): Promise<number> {
  const [subject] = words(flags, 'sub', PRINTABLE).slice(-1);
  if (subject === undefined) throw new ConfigError(['flag --sub: expected the subject of the token'], true);
  const signed = issueToken(config, {
    subject,
    roles: words(flags, 'role', PRINTABLE),
    permissions: words(flags, 'permission', SCOPE),
    expiresInSeconds: secondsOf(flags.values.get('expires')?.at(-1)),
  });
  io.err(
    signed.key === DEVELOPMENT_SECRET
      ? 'signed with the public development secret: only a gateway in development mode (--dev) accepts it'
      : 'signed with the configured HS256 secret',
  );
  io.out(signed.token);
  return 0;
}

/**
 * A token that a gateway with this configuration accepts, and the secret that signed it: the first HS256 one, which is
 * a configured one before that of development. Throws ConfigError when only RS256 keys are configured.
 */
export function issueToken(
  { auth }: Config,
  claims: Omit<SignOptions, 'key' | 'keyId' | 'issuer' | 'audience'>,
): { readonly token: string; readonly key: string } {
  const { key, keyId } = signingKey(auth.keys);
  const token = signToken({
    ...claims,
    key,
    ...(keyId === undefined ? {} : { keyId }),
    ...(auth.issuer === undefined ? {} : { issuer: auth.issuer }),
    ...(auth.audience === undefined ? {} : { audience: auth.audience }),
  });
  return { token, key };
}

function signingKey(keys: readonly KeyConfig[]): KeyConfig {
  const key = keys.find(({ algorithm }) => algorithm === 'HS256');
  if (key !== undefined) return key;
  if (keys.length === 0) return { algorithm: 'HS256', key: DEVELOPMENT_SECRET };
  throw new ConfigError([
    'auth.keys: only RS256 keys are configured; tokens for them come from whoever has the private key',
  ]);
}

function secondsOf(expires: string | undefined): number {
  const ms = expires === undefined ? DAY_MS : parseDuration(expires);
  if (ms !== undefined && ms >= 1000) return Math.floor(ms / 1000);
  throw new ConfigError([`flag --expires: expected a duration such as 30m or 24h, not '${expires}'`]);
}

/** The values of a flag, if a gateway would accept them in a token. */
function words(flags: ParsedFlags, flag: string, syntax: RegExp): readonly string[] {
  const values = flags.values.get(flag) ?? [];
  if (values.every((value) => syntax.test(value))) return values;
  throw new ConfigError([
    `flag --${flag}: expected printable ASCII${syntax === SCOPE ? ' without spaces' : ''}`,
  ]);
}
