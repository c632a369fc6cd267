/** How long streams and their connections last, and when their clients come back. */
import type { Principal } from '../src/principal.js';
import type { Config } from './config.js';

/** How streams are kept and resumed. */
export interface StreamsConfig {
  /** Signs the cursors, at least 32 bytes; default: a secret that the broker keeps. A memory broker forgets it at a restart. */
  readonly secret?: string;
  /** How long a connection lives whose client can resume, give or take a fifth, in ms; 0 is for ever; default 10 min. */
  readonly lifetimeMs: number;
  /** A shared stream whose node is gone is taken over by another one after this time, in ms; default 6 s. */
  readonly leaseMs: number;
  /** How long the service of a stream with positions, or of a shared one, may be gone before clients are told, in ms; default 30 s. */
  readonly patienceMs: number;
  /** The longest wait of a long poll, in ms; default 60 s. */
  readonly pollMaxMs: number;
  /**
   * What all logs in the memory of this node may take together, in bytes; default 256 MiB. Those of `memory` and those of streams that are
   * shared on one node alone have as much each.
   */
  readonly memoryBytes: number;
  /** How long the numbers of acknowledged WebSocket messages are remembered, in ms; default 1 h. */
  readonly ackTtlMs: number;
}

/** Why the gateway itself ends a connection that its client could have kept. One of our words: metrics show it. */
export type Farewell =
  | 'lifetime'
  | 'expired'
  | 'revoked'
  | 'drain'
  | 'slow'
  | 'no_pong'
  | 'overload'
  | 'idle';

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

export function spanOf({ streams, auth }: Pick<Config, 'streams' | 'auth'>, { expiresAt }: Principal): Span {
  const { lifetimeMs } = streams;
  const now = performance.now();
  return {
    lifeEnds: lifetimeMs === 0 ? Number.POSITIVE_INFINITY : now + lifetimeMs * (0.8 + 0.4 * Math.random()),
    // Until then a connection would be accepted with this token, so that its end would only be a detour.
    expires:
      expiresAt === undefined
        ? Number.POSITIVE_INFINITY
        : now + expiresAt + auth.leewaySeconds * 1000 - Date.now(),
  };
}

/** Uniform in [ms, 2 ms), so that clients cut off at once do not come back at once. */
export const jitter = (ms: number): number => Math.floor(ms * (1 + Math.random()));
