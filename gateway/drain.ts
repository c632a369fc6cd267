/** How a gateway leaves: each client that can resume has its own moment, the others may come to an end, and what is left is cut. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Code, StatusError } from '../src/status.js';
import type { LiveCall } from './doors/door.js';

/** Between looks at what is still open, in ms: also the grain of the moments. */
const TICK_MS = 20;
/** For a cancelled call to tell its client, in ms. */
const FAREWELL_MS = 50;
/** The parts of the time to drain at which the last clients have left, and before which nothing is cut. */
const LEFT_BY = 0.9;
const CUT_FROM = 0.5;

/** Of one connection, in ms from the beginning of the drain. */
export interface Moments {
  /** Its client is sent away if it can resume. */
  readonly leaveAt: number;
  /** Its client is sent away in any case. */
  readonly cutAt: number;
}

export interface Leaving extends Moments {
  /** Without effect for a client that cannot resume, or that has left. */
  leave(): void;
  /** Without effect for a call that may run to the end of the time, or that has ended. */
  cut(): void;
}

/** At random, but evenly over the time, so that no moment sees many more of them come back than another. */
export function momentsOf(count: number, drainMs: number): Moments[] {
  return Array.from({ length: count }, (_, index) => {
    const place = (index + Math.random()) / count;
    return {
      leaveAt: Math.floor(drainMs * LEFT_BY * place),
      cutAt: Math.floor(drainMs * (CUT_FROM + (LEFT_BY - CUT_FROM) * place)),
    };
  });
}

/** Lets each leave, and cuts it, at its moment; they are in the order of `momentsOf`. Resolves when it `isOver`, at the latest after `drainMs`. */
export async function depart(
  leaving: readonly Leaving[],
  drainMs: number,
  isOver: () => boolean,
): Promise<void> {
  const start = performance.now();
  let left = 0;
  let cut = 0;
  while (!isOver()) {
    const spent = performance.now() - start;
    for (; left < leaving.length && (leaving[left] as Leaving).leaveAt <= spent; left++)
      leaving[left]?.leave();
    for (; cut < leaving.length && (leaving[cut] as Leaving).cutAt <= spent; cut++) leaving[cut]?.cut();
    if (spent >= drainMs || isOver()) return;
    await sleep(TICK_MS);
  }
}

/** Ends the HTTP calls within `graceMs`, those that are left with `reason`. Resolves when none is open, or a moment after the last was cancelled. */
export async function endCalls(
  live: ReadonlySet<LiveCall>,
  reason: StatusError,
  graceMs: number,
): Promise<void> {
  const calls = [...live];
  const moments = momentsOf(calls.length, graceMs);
  const leaving = calls.map((one, index) => ({
    ...(moments[index] as Moments),
    leave: () => one.leave(),
    cut: () => {
      // One reply is soon there; a stream may have no end of its own.
      if (one.call.method.serverStreaming) one.cancel(reason);
    },
  }));
  await depart(leaving, graceMs, () => live.size === 0);
  for (const one of live) one.cancel(reason);
  if (live.size > 0) await sleep(FAREWELL_MS);
}

/** Why a gateway takes no more calls. */
export function drainError(draining: AbortSignal): StatusError {
  const reason: unknown = draining.reason;
  return reason instanceof StatusError
    ? reason
    : new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
}
