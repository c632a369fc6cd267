/** How long streams and their connections last, and when their clients come back. */
import type { Principal } from '../src/principal.js';
import type { Config } from './config.js';

export interface StreamSettings {
  /** How long a connection lives whose client can resume, on average, in ms; 0 is for ever. Each has its own span, by up to a fifth more or less. */
  readonly lifetimeMs: number;
  /** The longest that a client may let a long poll wait, in ms. */
  readonly pollMaxMs: number;
}

export const STREAM_SETTINGS: StreamSettings = { lifetimeMs: 600_000, pollMaxMs: 60_000 };

export function streamSettings(
  config: Config & { readonly streams?: Partial<StreamSettings> },
): StreamSettings {
  return { ...STREAM_SETTINGS, ...config.streams };
}

/** Why the gateway itself ends a connection that its client could have kept. One of our words: metrics show it. */
export type Farewell = 'lifetime' | 'expired' | 'drain' | 'slow' | 'no_pong';

/** What the gateway counts of streams, for metrics. Must not throw. `door` is one of our names. */
export interface StreamCounts {
  /** A client asked to go on at a cursor, and could or could not. */
  resumed(door: string, could: boolean): void;
  /** A client was told to forget what it knows. */
  reset(door: string, reason: string): void;
  /** The gateway ended a connection. */
  left(door: string, why: Farewell): void;
}

/** How long before its end a client hears that its token expires, in ms. */
export const EXPIRY_NOTICE_MS = 60_000;

/** When a connection has to end, by the clock of `performance.now()`; Infinity is never. */
export interface Span {
  /** A client that can resume is sent away. */
  readonly lifeEnds: number;
  /** The token is no longer accepted. */
  readonly expires: number;
}

export function spanOf(
  { lifetimeMs }: StreamSettings,
  { expiresAt }: Principal,
  leewaySeconds: number,
): Span {
  const now = performance.now();
  return {
    lifeEnds: lifetimeMs === 0 ? Number.POSITIVE_INFINITY : now + lifetimeMs * (0.8 + 0.4 * Math.random()),
    // Until then a connection would be accepted with this token, so that its end would only be a detour.
    expires:
      expiresAt === undefined
        ? Number.POSITIVE_INFINITY
        : now + expiresAt + leewaySeconds * 1000 - Date.now(),
  };
}

/** Uniform in [ms, 2 ms), so that clients cut off at once do not come back at once. */
export const jitter = (ms: number): number => Math.floor(ms * (1 + Math.random()));
