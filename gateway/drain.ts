/** How a gateway leaves: each client that can resume has its own moment, the others may come to an end, and what is left is cut. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusError } from '../src/status.js';
import type { LiveCall } from './doors/door.js';

/** Between looks at the calls that are still open, in ms: also the grain of the moments. */
export const TICK_MS = 20;
/** For a cancelled call to tell its client, in ms. */
const FAREWELL_MS = 50;
/** The part of the time to drain in which clients are sent away: the last of them need the rest to go. */
const WINDOW = 0.9;

/**
 * When each of `count` connections leaves, in ms from now: at random, but evenly over the time to drain, so that no two moments of the same
 * length see many more of them come back than another.
 */
export function moments(count: number, drainMs: number): number[] {
  const step = (drainMs * WINDOW) / Math.max(count, 1);
  return Array.from({ length: count }, (_, index) => Math.floor(step * (index + Math.random())));
}

/**
 * Sends the calls away that have a `leave`, each at a moment of its own, and gives the others `graceMs` to end before they are cancelled with
 * `reason`. Resolves when no call is open, or a moment after the last was cancelled.
 */
export async function endCalls(
  live: ReadonlySet<LiveCall>,
  reason: StatusError,
  graceMs: number,
): Promise<void> {
  const start = performance.now();
  const leaving = [...live].filter(({ leave }) => leave !== undefined);
  const at = moments(leaving.length, graceMs);
  let next = 0;
  for (;;) {
    const spent = performance.now() - start;
    for (; next < leaving.length && (at[next] as number) <= spent; next++) leaving[next]?.leave?.();
    if (live.size === 0 || spent >= graceMs) break;
    await sleep(TICK_MS);
  }
  for (const one of live) one.cancel(reason);
  if (live.size > 0) await sleep(FAREWELL_MS);
}
