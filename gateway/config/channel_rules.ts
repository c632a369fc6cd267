/** The rules of channels in the configuration: who may do what in which of them, and how much they hold. */
import { z } from 'zod';
import { isMisspelt } from '../../src/nearest.js';
import { duration, leaf, size, whole } from './leaves.js';

/**
 * `public`, `authenticated` (any token), `nobody`, or permissions that the caller must have, all of them. One that is almost spelt as one of
 * these words has to stand in a list.
 */
export type ChannelGrant = string | readonly string[];

/** What holds for the channels that `match`: of what is not given, what the rules before say; see docs/channels.md. */
export interface ChannelRuleConfig {
  /** The name of a channel, in which `*` stands for any text. */
  readonly match: string;
  /** Default: the permission `channels:publish`, or `channels:publish:NAME` for one channel. The others are the same. */
  readonly publish?: ChannelGrant | undefined;
  /** To subscribe and to read the history. */
  readonly subscribe?: ChannelGrant | undefined;
  /** To see who is there, comes and goes. */
  readonly presence?: ChannelGrant | undefined;
  /** To be there. */
  readonly join?: ChannelGrant | undefined;
  /** How many users may be there at once; default 10,000. */
  readonly capacity?: number | undefined;
  /** How long somebody whose last stream has ended is still there, in ms; default 10 s. */
  readonly lingerMs?: number | undefined;
  /** What is kept of each channel; default 1,000 events, of the last 24 hours, of at most 4 MiB together. */
  readonly retention?:
    | {
        readonly entries?: number | undefined;
        readonly ageMs?: number | undefined;
        readonly bytes?: number | undefined;
      }
    | undefined;
}

const GRANT_WORDS = ['public', 'authenticated', 'nobody'];
const GRANT = 'public, authenticated, nobody, a permission, or a list of permissions';

const grant = leaf(GRANT, (value): string | readonly string[] | undefined => {
  const isName = (name: unknown): name is string => typeof name === 'string' && name !== '';
  if (Array.isArray(value)) return value.length > 0 && value.every(isName) ? value : undefined;
  return isName(value) && !isMisspelt(value, GRANT_WORDS) ? value : undefined;
});

const retention = z
  .strictObject({
    entries: whole('a number', 1, 1_000_000),
    ageMs: duration(1_000),
    bytes: size(1_024),
  })
  .partial();

const rule = z.strictObject({
  match: leaf('the name of a channel, with * for any text', (value) =>
    typeof value === 'string' && /^[A-Za-z0-9_.:*-]{1,200}$/.test(value) ? value : undefined,
  ),
  publish: grant.optional(),
  subscribe: grant.optional(),
  presence: grant.optional(),
  join: grant.optional(),
  capacity: whole('a number', 1, 1_000_000).optional(),
  lingerMs: duration(0).optional(),
  retention: retention.optional(),
});

export const channelRules = z.array(rule).default([]);

/** What a rule may hold, by section. */
export const RULE_KEYS: Readonly<Record<string, readonly string[]>> = {
  channelRules: Object.keys(rule.shape),
  'channelRules.retention': Object.keys(retention.shape),
};
