/** Every setting that has a flag or an environment variable: one table for the parser, the merge and the help. */
import { HTTP } from './http_settings.js';
import { DEFAULTS } from './schema.js';
import { STREAMS } from './stream_settings.js';
import { printDuration, printSize } from './units.js';

/** One flag of a command. */
export interface Flag {
  /** Without its dashes. */
  readonly flag: string;
  /** What stands for its value in the help, for example `FILE`; undefined: it is a switch, with `--no-FLAG` as its opposite. */
  readonly value?: string;
  /** May be given several times; default false: the last one counts. */
  readonly repeatable?: boolean;
  readonly help: string;
}

export interface Setting extends Flag {
  /** Where it stands in the configuration; undefined for what is not a part of it (the file itself, keys). */
  readonly path?: readonly [string] | readonly [string, string];
  /** Environment variables, the strongest first. Lists are separated by commas. */
  readonly env: readonly string[];
  /** As the help prints it. */
  readonly default?: string;
}

const { limits, timeouts } = DEFAULTS;

const BASIC: readonly Setting[] = [
  {
    flag: 'config',
    value: 'FILE',
    env: ['TIDEGATE_CONFIG'],
    help: 'YAML file with any of these settings, and upstreams, keys and roles in full',
  },
  {
    flag: 'host',
    value: 'HOST',
    path: ['host'],
    env: ['TIDEGATE_HOST', 'HOST'],
    help: 'address to listen on',
    default: '0.0.0.0, with --dev 127.0.0.1',
  },
  {
    flag: 'port',
    value: 'PORT',
    path: ['port'],
    env: ['TIDEGATE_PORT', 'PORT'],
    help: 'port to listen on; 0 picks a free one',
    default: String(DEFAULTS.port),
  },
  {
    flag: 'dev',
    path: ['dev'],
    env: ['TIDEGATE_DEV'],
    help: 'accept tokens signed with the public development secret; listen on loopback only',
    default: 'off',
  },
  {
    flag: 'log-level',
    value: 'LEVEL',
    path: ['logLevel'],
    env: ['TIDEGATE_LOG_LEVEL'],
    help: 'fatal, error, warn, info, debug, trace or silent',
    default: DEFAULTS.logLevel,
  },
];

const CONTRACT: readonly Setting[] = [
  {
    flag: 'upstream',
    value: '[PREFIX=]HOST:PORT',
    repeatable: true,
    path: ['upstreams'],
    env: ['TIDEGATE_UPSTREAMS'],
    help: 'gRPC server; with PREFIX only for that service (orders.v1.Orders) or package (orders.v1)',
  },
  {
    flag: 'proto',
    value: 'PATH',
    repeatable: true,
    path: ['contract', 'protos'],
    env: ['TIDEGATE_PROTOS'],
    help: '.proto file, or folder of them',
    default: 'server reflection',
  },
  {
    flag: 'include',
    value: 'DIR',
    repeatable: true,
    path: ['contract', 'includes'],
    env: ['TIDEGATE_INCLUDES'],
    help: 'folder where imports are looked up, besides the --proto folders',
  },
  {
    flag: 'descriptors',
    value: 'FILE',
    repeatable: true,
    path: ['contract', 'descriptors'],
    env: ['TIDEGATE_DESCRIPTORS'],
    help: 'file that holds an encoded FileDescriptorSet',
  },
  {
    flag: 'service-config',
    value: 'FILE',
    repeatable: true,
    path: ['contract', 'serviceConfigs'],
    env: ['TIDEGATE_SERVICE_CONFIGS'],
    help: 'YAML file of type google.api.Service with routes, and access, instead of those in the contract',
  },
  {
    flag: 'reload',
    value: 'DURATION',
    path: ['contract', 'reloadMs'],
    env: ['TIDEGATE_RELOAD'],
    help: 'between looks whether the contract has changed; 0 is never; SIGHUP looks at once',
    default: '1s for files, 30s for reflection',
  },
  {
    flag: 'duplicate-routes',
    value: 'CHOICE',
    path: ['contract', 'duplicateRoutes'],
    env: ['TIDEGATE_DUPLICATE_ROUTES'],
    help: 'two methods on one route: error, or serve the one declared first or last',
    default: DEFAULTS.contract.duplicateRoutes,
  },
];

const AUTH: readonly Setting[] = [
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

const JSON_OUTPUT: readonly Setting[] = [
  {
    flag: 'emit-defaults',
    path: ['json', 'emitDefaults'],
    env: ['TIDEGATE_EMIT_DEFAULTS'],
    help: 'print fields that hold their default',
    default: 'off',
  },
  {
    flag: 'proto-names',
    path: ['json', 'protoNames'],
    env: ['TIDEGATE_PROTO_NAMES'],
    help: 'print proto field names instead of lowerCamelCase',
    default: 'off',
  },
  {
    flag: 'enum-numbers',
    path: ['json', 'enumNumbers'],
    env: ['TIDEGATE_ENUM_NUMBERS'],
    help: 'print enum values as numbers',
    default: 'off',
  },
  {
    flag: 'int64',
    value: 'FORM',
    path: ['json', 'int64'],
    env: ['TIDEGATE_INT64'],
    help: 'print 64-bit integers as string, or number-if-safe',
    default: DEFAULTS.json.int64,
  },
];

type Limit = keyof typeof limits;
type Timeout = keyof typeof timeouts;

const sizeLimit = (flag: string, name: Limit, help: string): Setting => ({
  flag,
  value: 'SIZE',
  path: ['limits', name],
  env: [variable(flag)],
  help,
  default: printSize(limits[name]),
});

const countLimit = (flag: string, name: Limit, help: string): Setting => ({
  ...sizeLimit(flag, name, help),
  value: 'COUNT',
  default: String(limits[name]),
});

const timeout = (flag: string, name: Timeout, help: string): Setting => ({
  flag,
  value: 'DURATION',
  path: ['timeouts', name],
  env: [variable(flag)],
  help,
  default: printDuration(timeouts[name]),
});

const LIMITS: readonly Setting[] = [
  sizeLimit('body-limit', 'bodyBytes', 'largest request body'),
  sizeLimit('frame-limit', 'frameBytes', 'largest WebSocket message'),
  sizeLimit('header-limit', 'headerBytes', 'largest header block and metadata'),
  sizeLimit('reply-limit', 'replyBytes', 'largest message from a service'),
  countLimit('streams-per-socket', 'streamsPerSocket', 'calls open at once on one WebSocket'),
  countLimit('queued-messages', 'queuedMessages', 'messages of one WebSocket call that wait for the service'),
  timeout('timeout', 'unaryMs', 'deadline of calls whose client names none; 0 is none; streams have none'),
  timeout('max-timeout', 'maxMs', 'longest deadline that a client may ask for; 0 is any'),
  timeout('accept-after', 'acceptMs', 'a stream whose service is silent this long counts as accepted'),
  timeout('heartbeat', 'heartbeatMs', 'between heartbeats on a quiet stream'),
  timeout('hello-timeout', 'helloMs', 'for the first frame on a multiplexed WebSocket'),
  timeout(
    'body-timeout',
    'bodyMs',
    'a client that sends nothing for this long in the middle of a body gets 408; 0 is never',
  ),
  timeout('drain', 'drainMs', 'between SIGTERM and the end of calls that still run'),
  timeout(
    'start-timeout',
    'startMs',
    'for services that cannot tell their contract yet when the gateway starts',
  ),
];

function variable(flag: string): string {
  return `TIDEGATE_${flag.toUpperCase().replaceAll('-', '_')}`;
}

/** A headed part of the help. */
export interface SettingGroup {
  readonly title: string;
  readonly settings: readonly Setting[];
}

export const SETTING_GROUPS: readonly SettingGroup[] = [
  { title: 'General', settings: BASIC },
  { title: 'Contract and services', settings: CONTRACT },
  { title: 'Who may call', settings: AUTH },
  { title: 'HTTP', settings: HTTP },
  { title: 'JSON output', settings: JSON_OUTPUT },
  { title: 'Streams', settings: STREAMS },
  { title: 'Limits (SIZE in bytes or as 64KiB; DURATION in ms or as 30s)', settings: LIMITS },
];

export const SETTINGS: readonly Setting[] = SETTING_GROUPS.flatMap(({ settings }) => settings);

/** The secret of the cursors, given by value. */
export const STREAM_SECRET = 'TIDEGATE_STREAM_SECRET';

/** Keys given by value. They have no flag: the arguments of a process can be read by others on the machine. */
export const KEY_SETTINGS = [
  { algorithm: 'HS256', flag: 'jwt-secret-file', variable: 'TIDEGATE_JWT_SECRET' },
  { algorithm: 'RS256', flag: 'jwt-public-key-file', variable: 'TIDEGATE_JWT_PUBLIC_KEY' },
] as const;
