/** The settings of streams and of what they are kept in. */
import { z } from 'zod';
import { duration, hiddenLeaf, MIB, size, text } from './leaves.js';
import { printDuration } from './units.js';

const SCHEMES = new Set(['redis:', 'rediss:', 'nats:', 'tls:']);
const HOUR_MS = 3_600_000;

/** `memory`, or the URL of a server. */
export const broker = hiddenLeaf(
  'memory, or an URL that begins with redis://, rediss://, nats:// or tls:// and has a host; in its password @ / ? # and % are written %40 %2F %3F %23 and %25',
  (value) => (typeof value === 'string' && (value === 'memory' || isBrokerUrl(value)) ? value : undefined),
);

function isBrokerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(text);
  // An @ after the host was meant to stand before it: a part of the password would be taken for the host, and shown in logs.
  return SCHEMES.has(protocol) && hostname !== '' && !`${pathname}${search}${hash}`.includes('@');
}

const between = (min: number, max: number) =>
  duration(min).refine((ms) => ms <= max, {
    error: `expected a duration from ${printDuration(min)} to ${printDuration(max)}`,
  });

export const streams = z
  .strictObject({
    secret: hiddenLeaf('a secret, in quotes', (value) =>
      typeof value === 'string' ? value : undefined,
    ).optional(),
    secretFile: text('a file').optional(),
    lifetimeMs: duration(0).default(600_000),
    leaseMs: between(1_000, 60_000).default(6_000),
    patienceMs: duration(0).default(30_000),
    pollMaxMs: between(1_000, HOUR_MS).default(60_000),
    memoryBytes: size(1024 * 1024).default(256 * MIB),
    ackTtlMs: between(1_000, 24 * HOUR_MS).default(HOUR_MS),
  })
  .prefault({});
