/** Numbers at a steady rate, for a reader that may be slower than that. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Pace {
  /** Numbers a second, above 0. */
  readonly rate: number;
  /** How many in all; Infinity for no end. */
  readonly count: number;
  readonly signal: AbortSignal;
}

/**
 * 1, 2, 3 ... , the first at once. A reader that falls behind is not made to catch up: what it missed is left out in time, not
 * in number. Ends when the signal is aborted.
 */
export async function* pace({ rate, count, signal }: Pace): AsyncGenerator<number, void> {
  const interval = 1000 / rate;
  // Timers are late by some milliseconds; so much may be made up for at once.
  const slack = Math.max(interval, 100);
  let due = performance.now();
  for (let number = 1; number <= count && !signal.aborted; number += 1) {
    yield number;
    const now = performance.now();
    due = Math.max(due + interval, now - slack);
    if (due > now) await until(due - now, signal);
  }
}

async function until(ms: number, signal: AbortSignal): Promise<void> {
  // Longer than a timer can be: days between two numbers.
  const longest = 2 ** 31 - 1;
  for (let left = ms; left > 0 && !signal.aborted; left -= longest) {
    await sleep(Math.min(left, longest), undefined, { signal }).catch(() => {});
  }
}
