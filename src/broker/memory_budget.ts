/** What all logs of a memory broker may take together: when they are more, the ones that were written to the longest ago lose their oldest entries. */

/** What an entry takes besides its data: its object, its place in an array, the head of a buffer. */
const ENTRY_BYTES = 200;

/** A log as the budget sees it. */
export interface Spender {
  /** Drops its oldest entry. False when there is none that may go. */
  dropOne(): boolean;
}

export class MemoryBudget {
  #used = 0;
  /** Those with entries, in the order of their last append. */
  readonly #spenders = new Set<Spender>();

  /** @param bytes of all entries together, with what holds them */
  constructor(private readonly bytes: number) {}

  take(dataBytes: number): void {
    this.#used += dataBytes + ENTRY_BYTES;
  }

  give(dataBytes: number): void {
    this.#used -= dataBytes + ENTRY_BYTES;
  }

  /** `spender` has been written to. */
  settle(spender: Spender): void {
    this.#spenders.delete(spender);
    this.#spenders.add(spender);
    for (const next of this.#spenders) {
      while (this.#used > this.bytes && next.dropOne());
      if (this.#used <= this.bytes) return;
      if (next !== spender) this.#spenders.delete(next);
    }
  }

  /** It has no entries. */
  forget(spender: Spender): void {
    this.#spenders.delete(spender);
  }

  clear(): void {
    this.#used = 0;
    this.#spenders.clear();
  }
}
