/** The settings of streams and of what they are kept in. */
import { z } from 'zod';
import { duration, leaf, text } from './leaves.js';
import { printDuration } from './units.js';

const SCHEMES = new Set(['redis:', 'rediss:', 'nats:', 'tls:']);
const HOUR_MS = 3_600_000;

/** Its value is never shown: there may be a password in it. */
export const broker = z.unknown().transform((value, context): string => {
  if (value === 'memory') return value;
  if (typeof value === 'string' && URL.canParse(value) && SCHEMES.has(new URL(value).protocol)) return value;
  const message = 'expected memory, or an URL that begins with redis://, rediss://, nats:// or tls://';
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

const between = (min: number, max: number) =>
  duration(min).refine((ms) => ms <= max, {
    error: `expected a duration from ${printDuration(min)} to ${printDuration(max)}`,
  });

export const streams = z
  .strictObject({
    secret: leaf('a secret', (value) => (typeof value === 'string' ? value : undefined)).optional(),
    secretFile: text('a file').optional(),
    lifetimeMs: duration(0).default(600_000),
    leaseMs: between(1_000, 60_000).default(6_000),
    patienceMs: duration(0).default(30_000),
    pollMaxMs: between(1_000, HOUR_MS).default(60_000),
    ackTtlMs: between(1_000, 24 * HOUR_MS).default(600_000),
  })
  .prefault({});
