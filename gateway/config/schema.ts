/** What a configuration may hold: the syntax, the limits and the default of every setting. */
import { z } from 'zod';
import { PROFILES, presetOf } from '../profile.js';
import { ACCESS_KEYS, access, audit, identity } from './access_schema.js';
import { AUTH_KEYS, auth } from './auth_schema.js';
import { channelRules, RULE_KEYS } from './channel_rules.js';
import { boolean, duration, header, leaf, oneOf, size, text, texts, whole } from './leaves.js';
import { limits, timeouts } from './limits_schema.js';
import { broker, streams } from './stream_schema.js';
import { TLS_KEYS, tls } from './tls_schema.js';
import { UPSTREAM_KEYS, upstream } from './upstream_schema.js';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const origin = leaf('an origin such as https://app.example.com, or *', (value) => {
  if (typeof value !== 'string') return undefined;
  if (value === '*') return value;
  return URL.canParse(value) && new URL(value).origin === value.toLowerCase()
    ? value.toLowerCase()
    : undefined;
});

const headerOrAny = leaf('the name of a header, or *', (value) =>
  typeof value === 'string' && /^(?:[a-z0-9._-]+|\*)$/i.test(value) ? value.toLowerCase() : undefined,
);

const JSON_OPTIONS = {
  emitDefaults: boolean(),
  emitNulls: boolean(),
  protoNames: boolean(),
  enumNumbers: boolean(),
  int64: oneOf(['string', 'number-if-safe']),
};
const unknownFields = oneOf(['reject', 'ignore']);
const unknownParameters = oneOf(['reject', 'ignore', 'capture']);

const route = z.strictObject({
  match: leaf('GET /v1/orders or orders.v1.OrdersService/GetOrder, with * for any text', (value) =>
    typeof value === 'string' && /^(?:\S+ \/\S*|[\w.*]+\/[\w*]+|[\w.]*\*)$/.test(value) ? value : undefined,
  ),
  json: z.strictObject(JSON_OPTIONS).partial().optional(),
  unknownFields: unknownFields.optional(),
  unknownParameters: unknownParameters.optional(),
  maxTimeoutMs: duration(1).optional(),
});

export const SCHEMA = z.strictObject({
  host: text('a host name or address').optional(),
  port: whole('a port', 0, 65535).default(8080),
  tls: tls.optional(),
  dev: boolean().default(false),
  upstreams: z.array(upstream).default([]),
  contract: z
    .strictObject({
      protos: texts('a .proto file or a folder'),
      includes: texts('a folder'),
      descriptors: texts('a file'),
      serviceConfigs: texts('a file'),
      reloadMs: duration(0).optional(),
      duplicateRoutes: oneOf(['error', 'first', 'last']).default(presetOf('contract.duplicateRoutes')),
    })
    .prefault({}),
  auth,
  access,
  identity,
  audit,
  json: z
    .strictObject({
      emitDefaults: JSON_OPTIONS.emitDefaults.default(presetOf('json.emitDefaults')),
      emitNulls: JSON_OPTIONS.emitNulls.default(presetOf('json.emitNulls')),
      protoNames: JSON_OPTIONS.protoNames.default(false),
      enumNumbers: JSON_OPTIONS.enumNumbers.default(false),
      int64: JSON_OPTIONS.int64.default('string'),
    })
    .prefault({}),
  limits,
  timeouts,
  http: z
    .strictObject({
      profile: oneOf(PROFILES).default('default'),
      errors: oneOf(['status', 'google', 'problem', 'grpc-gateway-v1']).default(presetOf('http.errors')),
      requestInfo: boolean().default(presetOf('http.requestInfo')),
      headers: oneOf(['same', 'grpc-gateway']).default(presetOf('http.headers')),
      compressAboveBytes: size(0).default(1024),
      compressEvents: boolean().default(false),
      etag: boolean().default(false),
      wrongMethod: leaf('405 or 501', (value) =>
        ([405, 501] as const).find((status) => String(status) === String(value)),
      ).default(presetOf('http.wrongMethod')),
      trailingSlash: oneOf(['reject', 'strip', 'redirect']).default(presetOf('http.trailingSlash')),
      uncleanPaths: oneOf(['reject', 'redirect']).default(presetOf('http.uncleanPaths')),
      formOverride: boolean().default(presetOf('http.formOverride')),
      precedence: oneOf(['specific', 'first', 'last']).default(presetOf('http.precedence')),
      verbs: oneOf(['route', 'reserved']).default(presetOf('http.verbs')),
      methodPaths: boolean().default(presetOf('http.methodPaths')),
      multiSegment: oneOf(['except-slash', 'except-reserved', 'all']).default(presetOf('http.multiSegment')),
      pathConflicts: oneOf(['reject', 'path-wins']).default(presetOf('http.pathConflicts')),
      repeatedPathFields: boolean().default(presetOf('http.repeatedPathFields')),
      unknownParameters: unknownParameters.default(presetOf('http.unknownParameters')),
      captureInto: leaf('the proto name of a field', (value) =>
        typeof value === 'string' && /^(?:[A-Za-z_]\w*)?$/.test(value) ? value : undefined,
      ).default(presetOf('http.captureInto')),
      ignoredParameters: texts('a name, or a pattern such as utm_*'),
      plusIsSpace: boolean().default(presetOf('http.plusIsSpace')),
      goTexts: boolean().default(presetOf('http.goTexts')),
      unknownFields: unknownFields.default(presetOf('http.unknownFields')),
      unknownEnumNames: unknownFields.default(presetOf('http.unknownEnumNames')),
      jsonDialect: oneOf(['strict', 'protojson', 'jsonpb']).default(presetOf('http.jsonDialect')),
      fillMask: boolean().default(presetOf('http.fillMask')),
      contentTypes: oneOf(['strict', 'any']).default(presetOf('http.contentTypes')),
      streams: oneOf(['bare', 'array', 'result']).default(presetOf('http.streams')),
    })
    .prefault({}),
  routes: z.array(route).default([]),
  origins: z.array(origin).default([]),
  cors: z
    .strictObject({
      credentials: boolean().default(false),
      maxAgeSeconds: whole('seconds', 0, 86_400).default(600),
      allowHeaders: z.array(headerOrAny).default([]),
    })
    .prefault({}),
  trustedHops: whole('a number', 0, 20).default(0),
  stripHeaders: z.array(header).default([]),
  channelRules,
  logLevel: oneOf(LOG_LEVELS).default('info'),
  broker: broker.optional(),
  streams,
  channels: boolean().default(false),
});

export type ParsedConfig = z.output<typeof SCHEMA>;
export type ParsedKey = ParsedConfig['auth']['keys'][number];

/** All defaults, as the help prints them. */
export const DEFAULTS: ParsedConfig = SCHEMA.parse({});

const KEYS_BY_SECTION: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(SCHEMA.shape),
  ...Object.fromEntries(
    (['contract', 'auth', 'json', 'http', 'cors', 'limits', 'timeouts'] as const).map((section) => [
      section,
      Object.keys(SCHEMA.shape[section].unwrap().shape),
    ]),
  ),
  ...AUTH_KEYS,
  ...ACCESS_KEYS,
  ...UPSTREAM_KEYS,
  ...TLS_KEYS,
  routes: Object.keys(route.shape),
  'routes.json': Object.keys(JSON_OPTIONS),
  ...RULE_KEYS,
};

/** The keys that a section knows; the section as a path without list positions. */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  return KEYS_BY_SECTION[path.filter((part) => typeof part === 'string').join('.')] ?? [];
}
