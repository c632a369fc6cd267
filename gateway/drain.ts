/** How a gateway leaves: its clients are told, its calls may end, and what is left is cut. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusError } from '../src/status.js';
import type { LiveCall } from './doors/door.js';

/** Between looks at the calls that are still open, in ms. */
const TICK_MS = 20;
/** For a cancelled call to tell its client, in ms. */
const FAREWELL_MS = 50;

/**
 * Sends streams away at once, and gives the other calls `graceMs` to end before they are cancelled with `reason`. Resolves
 * when no call is open, or a moment after the last was cancelled.
 */
export async function endCalls(
  live: ReadonlySet<LiveCall>,
  reason: StatusError,
  graceMs: number,
): Promise<void> {
  for (const one of live) if (one.leavesOnDrain) one.cancel(reason);
  const end = Date.now() + graceMs;
  while (live.size > 0 && Date.now() < end) await sleep(TICK_MS);
  for (const one of live) one.cancel(reason);
  if (live.size > 0) await sleep(FAREWELL_MS);
}
