/** Who may do what in which channel, and how much a channel holds: the rules of a configuration, looked up by name. */
import { status } from '@grpc/grpc-js';
import type { Retention } from '../../src/broker/broker.js';
import type { ChannelGrant } from '../../src/channel_grant.js';
import { type Caller, forbidden, isAllowed } from '../caller.js';
import { refused } from '../errors.js';
import { matches } from './name.js';

/** What somebody wants to do in a channel. History needs the right to subscribe. */
export type Action = 'publish' | 'subscribe' | 'presence' | 'join';

export interface ChannelRule extends Readonly<Partial<Record<Action, ChannelGrant | undefined>>> {
  /** The channels that it is about: a name, in which `*` stands for any text. */
  readonly match: string;
  /** How many users may be present at once; default 10,000. */
  readonly capacity?: number | undefined;
  /** How long somebody whose last stream has ended is still present, in ms; default 10 s. */
  readonly lingerMs?: number | undefined;
  /** What is kept of each of these channels. */
  readonly retention?: { readonly [K in keyof Retention]?: Retention[K] | undefined } | undefined;
}

export interface ChannelSettings {
  readonly capacity: number;
  readonly lingerMs: number;
  readonly retention: Retention;
  /** Undefined where no rule says anything: the caller's permissions decide. */
  readonly grants: { readonly [A in Action]: ChannelGrant | undefined };
}

export const DEFAULT_RETENTION: Retention = { entries: 1_000, ageMs: 24 * 3_600_000, bytes: 4 * 1024 * 1024 };

/** The settings of a channel. Of several rules that match it, the later one decides on what it says something about. */
export function settingsOf(rules: readonly ChannelRule[], channel: string): ChannelSettings {
  const own = rules.filter(({ match }) => matches(match, channel));
  const last = <K extends keyof ChannelRule>(key: K) =>
    own.findLast((rule) => rule[key] !== undefined)?.[key];
  const kept = (key: keyof Retention) =>
    own.findLast(({ retention }) => retention?.[key] !== undefined)?.retention?.[key] ??
    DEFAULT_RETENTION[key];
  return {
    capacity: last('capacity') ?? 10_000,
    lingerMs: last('lingerMs') ?? 10_000,
    retention: { entries: kept('entries'), ageMs: kept('ageMs'), bytes: kept('bytes') },
    grants: {
      publish: last('publish'),
      subscribe: last('subscribe'),
      presence: last('presence'),
      join: last('join'),
    },
  };
}

export interface Wanted {
  readonly action: Action;
  readonly channel: string;
}

/** Throws UNAUTHENTICATED or PERMISSION_DENIED unless the caller may do it. */
export function checkRight({ grants }: ChannelSettings, { action, channel }: Wanted, caller: Caller): void {
  const grant = grants[action];
  const wish = `to ${VERBS[action]} ${channel}`;
  if (grant === 'public') return;
  if (grant === 'nobody') {
    throw refused(status.PERMISSION_DENIED, 'FORBIDDEN', `nobody is allowed ${wish}`, { channel });
  }
  if (!caller.isKnown) {
    throw refused(status.UNAUTHENTICATED, 'TOKEN_REQUIRED', `a token is required ${wish}`, { channel });
  }
  if (grant === 'authenticated') return;
  if (grant === undefined) {
    const all = `channels:${action}`;
    const own = `${all}:${channel}`;
    if (!isAllowed(caller, all) && !isAllowed(caller, own)) throw forbidden(own, wish);
    return;
  }
  const missing = [grant].flat().find((permission) => !isAllowed(caller, permission));
  if (missing !== undefined) throw forbidden(missing, wish);
}

const VERBS: Readonly<Record<Action, string>> = {
  publish: 'publish to',
  subscribe: 'subscribe to',
  presence: 'see who is in',
  join: 'join',
};
