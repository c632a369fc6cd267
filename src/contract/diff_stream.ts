/** What a new contract changes in how a stream behaves. */
import type { StreamOptions } from '../method.js';

export interface StreamDifference {
  readonly what: string;
  readonly from: string;
  readonly to: string;
  /** Whether a client of the old contract may hear less. */
  readonly breaking: boolean;
}

export function diffStreams(before: StreamOptions, after: StreamOptions): StreamDifference[] {
  const aspects: readonly (readonly [
    what: string,
    print: (stream: StreamOptions) => string,
    breaking: boolean,
  ])[] = [
    ['event field', ({ eventField }) => eventField || 'none', true],
    ['heartbeat', ({ heartbeatMs }) => (heartbeatMs ? `${heartbeatMs} ms` : "the gateway's"), false],
    ['sharing', ({ sharing }) => sharing, resumes(before) && !resumes(after)],
    ['scope', printScope, false],
    ['position', printPosition, resumes(before) && !resumes(after)],
    ['retention', printRetention, false],
    ['linger', ({ lingerMs }) => `${lingerMs} ms`, false],
    ['slow readers', printSlow, before.slow.policy === 'disconnect' && after.slow.policy !== 'disconnect'],
  ];
  return aspects
    .map(([what, print, breaking]) => ({ what, from: print(before), to: print(after), breaking }))
    .filter(({ from, to }) => from !== to);
}

/** Whether a client that comes back may go on where it was. */
const resumes = ({ sharing, cursorField }: StreamOptions) => sharing !== 'private' || cursorField !== '';

function printScope({ scope: { claims, headers } }: StreamOptions): string {
  const names = [...claims.map((name) => `claim ${name}`), ...headers.map((name) => `header ${name}`)];
  return names.sort().join(' and ') || 'none';
}

const printPosition = ({ cursorField, resumeField }: StreamOptions) =>
  cursorField === '' ? 'none' : `${cursorField} to ${resumeField}`;

const printRetention = ({ retention: { entries, ageMs, bytes } }: StreamOptions) =>
  `${entries} entries, ${ageMs} ms, ${bytes} bytes`;

function printSlow({ slow: { policy, key, bytes, ageMs } }: StreamOptions): string {
  return `${policy}${key && ` by ${key}`} beyond ${bytes} bytes or ${ageMs} ms`;
}
