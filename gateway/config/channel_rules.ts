/** The rules of channels in the configuration: who may do what in which of them, and how much they hold. */
import { z } from 'zod';
import { CHANNEL_GRANT, type ChannelGrant, isChannelGrant } from '../../src/channel_grant.js';
import { duration, leaf, size, whole } from './leaves.js';

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

const grant = leaf(CHANNEL_GRANT, (value) => (isChannelGrant(value) ? value : undefined));

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
