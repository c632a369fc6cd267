/** How a multiplexed socket begins: what the client can use, and what it is held to. */
import type { Config } from '../config.js';
import type { Caller } from './door.js';
import type { ServerFrame } from './ws_frames.js';

/** Additions to the protocol, which are in force for a socket whose client can use them. */
export const FEATURES = ['resume', 'ack', 'renew'] as const;
export type Feature = (typeof FEATURES)[number];

const SETS = new Map<string, ReadonlySet<Feature>>();

/** The same object for the same features. */
export function featuresOf(offered: readonly string[]): ReadonlySet<Feature> {
  const features = FEATURES.filter((feature) => offered.includes(feature));
  const name = features.join();
  const known = SETS.get(name) ?? new Set(features);
  SETS.set(name, known);
  return known;
}

export function welcomeFrame(
  { limits, timeouts }: Pick<Config, 'limits' | 'timeouts'>,
  { id, principal: { expiresAt } }: Caller,
  features: ReadonlySet<Feature>,
): ServerFrame {
  return {
    type: 'welcome',
    session: id,
    heartbeat_ms: timeouts.heartbeatMs,
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
    limits: {
      frame_bytes: limits.frameBytes,
      streams: limits.streamsPerSocket,
      queued_messages: limits.queuedMessages,
      queued_bytes: limits.bodyBytes,
    },
    features: [...features],
  };
}
