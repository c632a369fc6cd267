/** The flags of who may call. */
import { DEFAULTS } from './schema.js';
import type { Setting } from './settings.js';

export const AUTH: readonly Setting[] = [
  {
    flag: 'jwt-secret-file',
    value: 'FILE',
    env: ['TIDEGATE_JWT_SECRET_FILE'],
    help: 'file with the HS256 secret, at least 32 bytes; or the secret itself in TIDEGATE_JWT_SECRET',
  },
  {
    flag: 'jwt-public-key-file',
    value: 'FILE',
    env: ['TIDEGATE_JWT_PUBLIC_KEY_FILE'],
    help: 'file with the RS256 public key (PEM); or the PEM itself in TIDEGATE_JWT_PUBLIC_KEY',
  },
  {
    flag: 'issuer',
    value: 'ISS',
    path: ['auth', 'issuer'],
    env: ['TIDEGATE_ISSUER'],
    help: 'required iss of tokens',
    default: 'any',
  },
  {
    flag: 'audience',
    value: 'AUD',
    path: ['auth', 'audience'],
    env: ['TIDEGATE_AUDIENCE'],
    help: 'required aud of tokens',
    default: 'any',
  },
  {
    flag: 'leeway',
    value: 'SECONDS',
    path: ['auth', 'leewaySeconds'],
    env: ['TIDEGATE_LEEWAY'],
    help: 'allowed clock difference, in seconds',
    default: String(DEFAULTS.auth.leewaySeconds),
  },
  {
    flag: 'origin',
    value: 'ORIGIN',
    repeatable: true,
    path: ['origins'],
    env: ['TIDEGATE_ORIGINS'],
    help: 'origin whose pages may read answers and open WebSockets, besides our own host; * allows all',
    default: 'none',
  },
  {
    flag: 'strip-header',
    value: 'NAME',
    repeatable: true,
    path: ['stripHeaders'],
    env: ['TIDEGATE_STRIP_HEADERS'],
    help: 'request header that no service receives, for example authorization',
    default: 'none',
  },
];
