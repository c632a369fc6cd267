/** What a log has told and nobody has taken yet: bounded, and it knows when something is missing from it. */
import type { Entry, Follower, Position } from './broker.js';

export interface Inbox extends Follower {
  /** Resolves when there is something to take or to read, or the signal is aborted. For one waiter at a time. */
  some(signal: AbortSignal): Promise<void>;
  /** Wakes the waiter for another reason: its signal. */
  wake(): void;
  /**
   * All entries, which follow each other and come after the position; none when there was nothing but what is known already. Undefined when
   * something is missing or was told out of order: it has to be read.
   */
  take(after: Position): readonly Entry[] | undefined;
  /** Forgets everything, and that something is missing: called before the log is read. */
  clear(): void;
  /** Forgets what stands up to here: called when the log was read so far. */
  forget(offset: number): void;
}

export function createInbox(limits: { readonly entries: number; readonly bytes: number }): Inbox {
  let waiting: Entry[] = [];
  let bytes = 0;
  let missing = false;
  let wake = () => {};

  const lose = () => {
    waiting = [];
    bytes = 0;
    missing = true;
  };

  return {
    entry(entry) {
      if (!missing) {
        waiting.push(entry);
        bytes += entry.data.length;
        if (waiting.length > limits.entries || (bytes > limits.bytes && waiting.length > 1)) lose();
      }
      wake();
    },
    gap() {
      lose();
      wake();
    },
    async some(signal) {
      while (waiting.length === 0 && !missing && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    wake: () => wake(),
    take(after) {
      if (missing) return undefined;
      const taken = waiting;
      let { offset } = after;
      for (const { offset: next, previous } of taken) {
        if (next <= offset || previous !== offset) return undefined;
        offset = next;
      }
      waiting = [];
      bytes = 0;
      return taken;
    },
    clear() {
      waiting = [];
      bytes = 0;
      missing = false;
    },
    forget(offset) {
      waiting = waiting.filter((entry) => entry.offset > offset);
      bytes = waiting.reduce((sum, { data }) => sum + data.length, 0);
    },
  };
}
