/** A numbered sequence of which the newest entries are kept: the one memory behind every stream that can be resumed. */
import { status } from '@grpc/grpc-js';
import { refused } from './errors.js';

/**
 * Entries are numbered 1, 2, 3 ... A reader is nothing but a position, so a slow one costs no memory: it reads from
 * here when it can take more, and is ended with OUT_OF_RANGE if what it should read next is no longer kept.
 */
export class History<T> {
  readonly #entries: (T | undefined)[] = [];
  readonly #wakers = new Set<() => void>();
  #last = 0n;

  /** `capacity`: how many entries are kept. */
  constructor(readonly capacity: number) {}

  /** The sequence of the newest entry; 0 before the first. */
  get last(): bigint {
    return this.#last;
  }

  /** The sequence of the oldest entry that is kept; `last + 1` when there is none. */
  get first(): bigint {
    return this.#last - BigInt(this.#entries.length) + 1n;
  }

  /** How many readers follow. */
  get followers(): number {
    return this.#wakers.size;
  }

  /** Appends what `make` gives for the next sequence. */
  append(make: (sequence: bigint) => T): T {
    const sequence = this.#last + 1n;
    const entry = make(sequence);
    this.#entries[this.#slot(sequence)] = entry;
    this.#last = sequence;
    for (const wake of this.#wakers) wake();
    return entry;
  }

  /** The entries after a sequence. Throws OUT_OF_RANGE when the next one is no longer kept, or the sequence is not reached. */
  after(sequence: bigint): T[] {
    this.#checkPosition(sequence);
    const entries: T[] = [];
    for (let next = sequence + 1n; next <= this.#last; next += 1n) entries.push(this.#at(next));
    return entries;
  }

  /** All that is kept, oldest first. */
  kept(): T[] {
    return this.after(this.first - 1n);
  }

  /**
   * The entries after a sequence and then every new one, until the signal is aborted. The position is checked at once, not
   * at the first read; a reader that later falls behind what is kept gets OUT_OF_RANGE too.
   */
  follow(sequence: bigint, signal: AbortSignal): AsyncGenerator<T, void> {
    this.#checkPosition(sequence);
    return this.#follow(sequence, signal);
  }

  async *#follow(sequence: bigint, signal: AbortSignal): AsyncGenerator<T, void> {
    let resume = () => {};
    const wake = () => resume();
    this.#wakers.add(wake);
    signal.addEventListener('abort', wake);
    try {
      for (let next = sequence + 1n; ; next += 1n) {
        while (next > this.#last && !signal.aborted) {
          await new Promise<void>((resolve) => {
            resume = resolve;
          });
        }
        if (signal.aborted) return;
        this.#checkPosition(next - 1n);
        yield this.#at(next);
      }
    } finally {
      this.#wakers.delete(wake);
      signal.removeEventListener('abort', wake);
    }
  }

  #slot(sequence: bigint): number {
    return Number((sequence - 1n) % BigInt(this.capacity));
  }

  #at(sequence: bigint): T {
    return this.#entries[this.#slot(sequence)] as T;
  }

  #checkPosition(sequence: bigint): void {
    const position = { first: `${this.first}`, last: `${this.#last}` };
    if (sequence > this.#last || sequence < 0n) {
      const message = `the sequence ${sequence} has not been reached: the last one is ${this.#last}`;
      throw refused(status.OUT_OF_RANGE, 'SEQUENCE_NOT_REACHED', message, position);
    }
    if (sequence < this.first - 1n) {
      const message = `what follows the sequence ${sequence} is no longer kept: the oldest is ${this.first}`;
      throw refused(status.OUT_OF_RANGE, 'HISTORY_TRUNCATED', message, position);
    }
  }
}
