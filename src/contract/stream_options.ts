/** What tidegate.v1.stream may say: its limits and its defaults, for options in a contract and for those beside it. */

import { type SlowReader, STREAM_DEFAULTS, type StreamOptions } from '../method.js';
import { IDENTITY_HEADERS } from '../policy/identity.js';

/** What was written. Undefined, zero and empty are the default, but for a `lingerMs` of zero. */
export interface GivenStream {
  readonly eventField?: string | undefined;
  readonly heartbeatMs?: number | undefined;
  readonly sharing?: StreamOptions['sharing'] | undefined;
  readonly scope?: StreamOptions['scope'] | undefined;
  readonly cursorField?: string | undefined;
  readonly resumeField?: string | undefined;
  readonly retention?: Given<StreamOptions['retention']> | undefined;
  readonly lingerMs?: number | undefined;
  readonly slow?: Given<SlowReader> | undefined;
}

type Given<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Told what is wrong, and with which field: `retention.age`, by its proto name. */
export type ReportStream = (problem: string, field: string) => void;

/** By proto name, as the options write them. */
export const SHARING: Readonly<Record<string, StreamOptions['sharing']>> = {
  PRIVATE: 'private',
  SHARED: 'shared',
  NODE: 'node',
};

export const POLICIES: Readonly<Record<string, SlowReader['policy']>> = {
  DISCONNECT: 'disconnect',
  DROP_OLDEST: 'drop_oldest',
  CONFLATE: 'conflate',
  LATEST: 'latest',
};

interface Range {
  readonly field: string;
  readonly min: number;
  readonly max: number;
  /** `1 s to 30 d`. */
  readonly shown: string;
  readonly unit: 'ms' | 'bytes' | '';
}

const DAY = 86_400_000;
const KIB = 1024;
const MIB = KIB * KIB;
const RANGES = {
  heartbeat: { field: 'heartbeat', min: 1_000, max: 3_600_000, shown: '1 s to 1 h', unit: 'ms' },
  linger: { field: 'linger', min: 0, max: 3_600_000, shown: '0 to 1 h', unit: 'ms' },
  entries: { field: 'retention.entries', min: 1, max: 1_000_000, shown: '1 to 1,000,000', unit: '' },
  age: { field: 'retention.age', min: 1_000, max: 30 * DAY, shown: '1 s to 30 d', unit: 'ms' },
  bytes: { field: 'retention.bytes', min: KIB, max: KIB * MIB, shown: '1 KiB to 1 GiB', unit: 'bytes' },
  slowBytes: { field: 'slow.bytes', min: KIB, max: 64 * MIB, shown: '1 KiB to 64 MiB', unit: 'bytes' },
  slowAge: { field: 'slow.age', min: 100, max: 600_000, shown: '100 ms to 10 min', unit: 'ms' },
} as const satisfies Record<string, Range>;

/** The whole options, with the defaults for what was not given. Reports what no method may have, whatever its types. */
export function completeStream(given: GivenStream, report: ReportStream): StreamOptions {
  const take = (name: keyof typeof RANGES, value: number | undefined, otherwise: number): number => {
    if (value === undefined || (value === 0 && name !== 'linger')) return otherwise;
    checkRange(RANGES[name], value, report);
    return value;
  };
  const { retention, slow, ...defaults } = STREAM_DEFAULTS;
  const complete: StreamOptions = {
    eventField: given.eventField ?? defaults.eventField,
    heartbeatMs: take('heartbeat', given.heartbeatMs, defaults.heartbeatMs),
    sharing: given.sharing ?? defaults.sharing,
    scope: given.scope ?? defaults.scope,
    cursorField: given.cursorField ?? defaults.cursorField,
    resumeField: given.resumeField ?? defaults.resumeField,
    retention: {
      entries: take('entries', given.retention?.entries, retention.entries),
      ageMs: take('age', given.retention?.ageMs, retention.ageMs),
      bytes: take('bytes', given.retention?.bytes, retention.bytes),
    },
    lingerMs: take('linger', given.lingerMs, defaults.lingerMs),
    slow: {
      policy: given.slow?.policy ?? slow.policy,
      key: given.slow?.key ?? slow.key,
      bytes: take('slowBytes', given.slow?.bytes, slow.bytes),
      ageMs: take('slowAge', given.slow?.ageMs, slow.ageMs),
    },
  };
  const tell = (field: string, problem: string) => report(`${field}: ${problem}`, field);
  if (complete.sharing === 'private') checkPrivate(given, tell);
  checkScope(complete.scope, tell);
  checkKey(complete.slow, tell);
  checkPosition(complete, tell);
  return complete;
}

function checkRange({ field, min, max, shown, unit }: Range, value: number, report: ReportStream): void {
  if (value >= min && value <= max && (unit === 'ms' || Number.isInteger(value))) return;
  const told = unit === 'ms' ? `${value / 1000} s` : `${value}${unit && ` ${unit}`}`;
  const zero = field === 'heartbeat' ? "the gateway's own" : 'the default';
  report(`${field} of ${told} is out of range: ${shown}${min > 0 ? `, or 0 for ${zero}` : ''}`, field);
}

type Tell = (field: string, problem: string) => void;

/** Of no use to a stream that nobody shares. */
function checkPrivate({ scope, retention, lingerMs, slow }: GivenStream, tell: Tell): void {
  const problem = 'only a stream with sharing SHARED or NODE can have this';
  if (scope) tell('scope', problem);
  if (retention) tell('retention', problem);
  if (lingerMs !== undefined) tell('linger', problem);
  if (slow) tell('slow', `${problem}: a slow client of a private stream slows the service down instead`);
}

const HEADER = /^[a-z0-9._-]+$/;
const CONNECTION = 'is about one connection or its content, and no service receives it';
const CREDENTIAL =
  "is a caller's own, which must not be used for others, and a new one would be another stream: name claims of the token";
const IDENTITY =
  'is what the gateway says of the caller: name a claim of the token, such as sub or permissions';
/** Why no stream may depend on a header. */
const REFUSED_HEADERS: ReadonlyMap<string, string> = new Map([
  ...[
    'connection',
    'expect',
    'forwarded',
    'host',
    'http2-settings',
    'keep-alive',
    'proxy-connection',
    'te',
    'trailer',
    'transfer-encoding',
    'upgrade',
  ].map((name) => [name, CONNECTION] as const),
  ...['authorization', 'cookie', 'proxy-authenticate', 'proxy-authorization'].map(
    (name) => [name, CREDENTIAL] as const,
  ),
  ...[...IDENTITY_HEADERS].map((name) => [name, IDENTITY] as const),
  ['x-request-id', 'is another one for each call, so that nobody would share'],
  ['last-event-id', 'is where a client goes on: another place each time, so that nobody would share'],
]);

/** RFC 7519, 4.1: what differs from token to token of one bearer. */
const PER_TOKEN: ReadonlySet<string> = new Set(['exp', 'iat', 'jti', 'nbf']);

function checkScope({ claims, headers }: StreamOptions['scope'], tell: Tell): void {
  for (const name of claims) {
    if (name === '') tell('scope.claims', 'a claim has no name');
    else if (PER_TOKEN.has(name))
      tell('scope.claims', `${name} is another one in each token, so that nobody would share`);
  }
  for (const name of headers) {
    const problem = headerProblem(name);
    if (problem !== undefined) tell('scope.headers', problem);
  }
}

function headerProblem(name: string): string | undefined {
  if (!HEADER.test(name)) return `${JSON.stringify(name)} is not the name of a header in lower case`;
  const why = /^(?:content-|grpc-|sec-websocket-)/.test(name) ? CONNECTION : REFUSED_HEADERS.get(name);
  return why && `${name} ${why}`;
}

function checkKey({ policy, key }: SlowReader, tell: Tell): void {
  if (policy === 'conflate' && key === '')
    tell('slow.key', 'policy CONFLATE needs the field that says what a message is about');
  if (policy !== 'conflate' && key !== '') tell('slow.key', 'only policy CONFLATE has one');
}

function checkPosition({ cursorField, resumeField }: StreamOptions, tell: Tell): void {
  if (cursorField !== '' && resumeField === '')
    tell('cursor_field', 'resume_field is missing, where the service is told after which position to go on');
  if (cursorField === '' && resumeField !== '')
    tell('resume_field', 'cursor_field is missing, the position that is given back here');
}
