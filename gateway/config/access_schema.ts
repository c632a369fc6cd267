/** The settings of who may call what, what services hear of it, and where it is written down. */
import { z } from 'zod';
import { boolean, duration, hiddenLeaf, leaf, oneOf, text, texts, whole } from './leaves.js';

const MINUTE_MS = 60_000;

const binding = z.strictObject({
  field: leaf('the proto name of a field, or a path such as order.customer_id', (value) =>
    typeof value === 'string' && /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*$/.test(value) ? value : undefined,
  ),
  claim: text('the name of a claim'),
  unless: texts('a permission'),
  firstOnly: boolean().optional(),
});

const methods = leaf('orders.v1.OrdersService/GetOrder, with * for any text', (value) =>
  typeof value === 'string' && /^(?:[\w.*]+\/[\w*]+|[\w.]*\*)$/.test(value) ? value : undefined,
);

const rule = z
  .strictObject({
    match: methods,
    public: boolean().optional(),
    permissions: z.array(text('a permission')).optional(),
    roles: z.array(text('a role')).optional(),
    bind: z.array(binding).optional(),
  })
  .refine(({ match: _, ...given }) => Object.values(given).some((value) => value !== undefined), {
    error: 'the rule says nothing: give public, permissions, roles or bind',
  });

export const access = z.array(rule).default([]);

const httpUrl = hiddenLeaf('an URL that begins with http:// or https://, without a password', (value) => {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined;
  const { protocol, username, password } = new URL(value);
  return /^https?:$/.test(protocol) && username === '' && password === '' ? value : undefined;
});

const externalObject = z.strictObject({
  url: httpUrl,
  timeoutMs: duration(1).default(1_000),
  cacheMs: duration(0).default(5_000),
  cacheEntries: whole('a number', 1, 10_000_000).default(10_000),
  match: z.array(methods).default(['*']),
  claims: texts('the name of a claim'),
  request: boolean().default(false),
});

export const external = externalObject.optional();

export const inherits = z.record(z.string(), z.array(text('a role'))).default({});

/** What means something else already, to HTTP, to gRPC or to the gateway. */
const TAKEN =
  /^(?:content-.*|grpc-.*|sec-websocket-.*|x-forwarded-.*|.*-bin|authorization|connection|cookie|date|expect|forwarded|host|http2-settings|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|user-agent|x-auth-issued-at|x-http-code|x-permissions|x-request-id|x-user-id)$/;

const HEADER = 'the name of a header that has no other meaning, such as x-tenant';

/** In lower case; undefined for a name that cannot be taken. */
function identityHeader(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^[a-z0-9._-]+$/i.test(value)) return undefined;
  const name = value.toLowerCase();
  return TAKEN.test(name) ? undefined : name;
}

const claims = z
  .record(z.string(), text('the name of a claim'))
  .default({})
  .transform((given, context) => {
    const entries = Object.entries(given).map(([name, claim]) => {
      const header = identityHeader(name);
      if (header === undefined)
        context.addIssue({ code: 'custom', path: [name], message: `expected ${HEADER}` });
      return [header ?? name, claim] as const;
    });
    const taken = new Map(entries);
    if (taken.size < entries.length) context.addIssue({ code: 'custom', message: 'a header is given twice' });
    return Object.fromEntries(taken);
  });

const token = z.strictObject({
  header: leaf(HEADER, (value) =>
    String(value).toLowerCase() === 'authorization' ? 'authorization' : identityHeader(value),
  ).default('x-internal-token'),
  algorithm: oneOf(['ES256', 'RS256']).default('ES256'),
  keyFiles: texts('a file'),
  rotateMs: duration(MINUTE_MS).default(24 * 60 * MINUTE_MS),
  ttlMs: duration(5_000).default(5 * MINUTE_MS),
  issuer: text('an issuer').default('tidegate'),
  audiences: z.record(z.string(), text('an audience')).default({}),
});

const identityObject = z.strictObject({
  claims,
  token: token.optional(),
});

export const identity = identityObject.prefault({});

const auditObject = z.strictObject({
  file: text('a file, or -').optional(),
  allowed: boolean().default(false),
});

export const audit = auditObject.prefault({});

export const ACCESS_KEYS: Readonly<Record<string, readonly string[]>> = {
  access: Object.keys(rule.shape),
  'access.bind': Object.keys(binding.shape),
  'auth.external': Object.keys(externalObject.shape),
  identity: Object.keys(identityObject.shape),
  'identity.token': Object.keys(token.shape),
  audit: Object.keys(auditObject.shape),
};
