/** The settings of who may call. */
import { z } from 'zod';
import { ALGORITHMS } from '../auth/algorithms.js';
import { external, inherits } from './access_schema.js';
import { TOKEN_SOURCES } from './auth_types.js';
import { duration, hiddenLeaf, leaf, oneOf, text, texts, whole } from './leaves.js';

const hiddenText = (what: string) =>
  hiddenLeaf(what, (value) => (typeof value === 'string' && value !== '' ? value : undefined));

const jwksUrl = leaf('an URL such as https://id.example.com/jwks.json', (value) =>
  typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
    ? value
    : undefined,
);

const issuer = z.strictObject({
  issuer: text('the iss of its tokens'),
  audiences: texts('an audience'),
  algorithms: z.array(oneOf(ALGORITHMS)).optional(),
  jwksUrl: jwksUrl.optional(),
  key: hiddenText('PEM').optional(),
  keyFile: text('a file').optional(),
  secret: hiddenText('a secret, in quotes').optional(),
  secretFile: text('a file').optional(),
  keyId: text('a key id').optional(),
  requiredClaims: z.record(z.string(), texts('a value, in quotes')).default({}),
});

export type ParsedIssuer = z.output<typeof issuer>;

/** RFC 6265, 4.1.1: a token of RFC 9110. */
const cookie = leaf('the name of a cookie', (value) =>
  typeof value === 'string' && /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(value) ? value : undefined,
);

const queryParameter = leaf('the name of a query parameter, such as access_token', (value) =>
  typeof value === 'string' && /^[A-Za-z_][\w.-]*$/.test(value) ? value : undefined,
);

const key = z.strictObject({
  algorithm: oneOf(['HS256', 'RS256']),
  key: hiddenLeaf('a key, in quotes', (value) => (typeof value === 'string' ? value : undefined)).optional(),
  keyFile: text('a file').optional(),
  keyId: text('a key id').optional(),
});

export const auth = z
  .strictObject({
    keys: z.array(key).default([]),
    issuer: text('an issuer').optional(),
    audience: text('an audience').optional(),
    jwksUrl: jwksUrl.optional(),
    issuers: z.array(issuer).default([]),
    sources: z.array(oneOf(TOKEN_SOURCES)).default([...TOKEN_SOURCES]),
    cookie: cookie.optional(),
    queryParameter: queryParameter.optional(),
    ticketTtlMs: duration(1000).default(30_000),
    ticketsAtOnce: whole('a number', 1, 10_000_000).default(10_000),
    revocationTtlMs: duration(60_000).default(24 * 3_600_000),
    leewaySeconds: whole('seconds', 0, 3600).default(30),
    roles: z.record(z.string(), z.array(text('a permission'))).default({}),
    inherits,
    external,
  })
  .prefault({});

export const AUTH_KEYS = {
  'auth.keys': Object.keys(key.shape),
  'auth.issuers': Object.keys(issuer.shape),
};
