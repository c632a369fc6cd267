/** Every setting that has a flag or an environment variable: one table for the parser, the merge and the help. */
import { ACCESS } from './access_settings.js';
import { AUTH } from './auth_settings.js';
import { HTTP } from './http_settings.js';
import { LIMITS } from './limit_settings.js';
import { DEFAULTS } from './schema.js';
import { STREAMS } from './stream_settings.js';

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
    flag: 'tls-cert',
    value: 'FILE',
    path: ['tls', 'certFile'],
    env: ['TIDEGATE_TLS_CERT'],
    help: 'certificate (PEM, with its chain): https and wss alone are spoken; looked at again when it is renewed',
    default: 'plaintext',
  },
  {
    flag: 'tls-key',
    value: 'FILE',
    path: ['tls', 'keyFile'],
    env: ['TIDEGATE_TLS_KEY'],
    help: 'key of the certificate (PEM)',
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
    value: '[PREFIX=][grpcs://]HOST:PORT',
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

/** A headed part of the help. */
export interface SettingGroup {
  readonly title: string;
  readonly settings: readonly Setting[];
}

export const SETTING_GROUPS: readonly SettingGroup[] = [
  { title: 'General', settings: BASIC },
  { title: 'Contract and services', settings: CONTRACT },
  { title: 'Who may call', settings: [...AUTH, ...ACCESS] },
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
