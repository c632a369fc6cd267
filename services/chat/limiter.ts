/** How fast each author may talk: a token bucket per author, for a bounded number of authors. */

export interface Rate {
  /** Messages a second in the long run. */
  readonly perSecond: number;
  /** How many may come at once after a pause. */
  readonly burst: number;
}

const MOST_AUTHORS = 10_000;

/** The time at which an author's bucket will be full again says all there is to know of it (as in GCRA). */
export class Limiter {
  readonly #fullAt = new Map<string, number>();
  readonly #rate: Rate;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  /** Takes a token and answers 0, or takes none and answers the milliseconds until there is one. */
  take(author: string, now = performance.now()): number {
    const { perSecond, burst } = this.#rate;
    const cost = 1000 / perSecond;
    const fullAt = Math.max(this.#fullAt.get(author) ?? 0, now);
    const wait = fullAt + cost - now - burst * cost;
    if (wait > 1e-6) return wait;
    // Set anew, so that the Map is in the order of last use. Whoever is forgotten has a full bucket again.
    this.#fullAt.delete(author);
    this.#fullAt.set(author, fullAt + cost);
    const [oldest] = this.#fullAt.keys();
    if (this.#fullAt.size > MOST_AUTHORS && oldest !== undefined) this.#fullAt.delete(oldest);
    return 0;
  }
}
