/** A market that needs no memory of its past: every price follows from the symbol and the time. */
import type { Quote } from '../../gen/quotes/v1/quotes.js';
import { exhausted, notFound } from '../errors.js';
import { check } from '../validation.js';

const SYMBOL = /^[A-Z0-9.-]{1,12}$/;
const LISTED: readonly (readonly [string, number])[] = [
  ['TIDE', 104.5],
  ['EBB', 23.75],
  ['FLOW', 310.2],
  ['NEAP', 7.36],
  ['SURGE', 56.1],
];

export interface MarketLimits {
  /** How many symbols can be listed. Default 10,000. */
  readonly symbols: number;
}

/** Every method throws ServiceErrors as quotes.proto says. */
export class Market {
  readonly #prices = new Map(LISTED);
  readonly #opened = Date.now();
  readonly #limits: MarketLimits;

  constructor(limits: Partial<MarketLimits> = {}) {
    this.#limits = { symbols: 10_000, ...limits };
  }

  /** The quote of now. NOT_FOUND for a symbol that is not traded. */
  quote(symbol: string, sequence = 0n): Quote {
    check(symbol !== '', 'symbol', 'is required');
    const price = this.#prices.get(symbol);
    if (price === undefined) throw notFound('symbol', symbol.slice(0, 80));
    const now = Date.now();
    const phase = phaseOf(symbol);
    // Three waves of unlike lengths look like a market, and never leave 2 % around the price.
    const move =
      0.012 * Math.sin(now / 31_000 + phase) +
      0.006 * Math.sin(now / 4_700 + 2 * phase) +
      0.002 * Math.sin(now / 370 + 3 * phase);
    const middle = price * (1 + move);
    const half = middle * 0.0002;
    const volume = BigInt(Math.floor(((now - this.#opened) / 1000) * (1 + 10 * phase)));
    return { symbol, bid: middle - half, ask: middle + half, volume, quoteTime: new Date(now), sequence };
  }

  /** Sets the price that a symbol trades around. Answers whether the symbol is new. `place` names it in errors. */
  set(symbol: string, price: number, place: string): boolean {
    check(SYMBOL.test(symbol), `${place}.symbol`, 'must be 1 to 12 upper-case letters, digits, `.` or `-`');
    check(price > 0 && Number.isFinite(price), `${place}.price`, 'must be above 0');
    const created = !this.#prices.has(symbol);
    if (created && this.#prices.size >= this.#limits.symbols) {
      throw exhausted(`no more than ${this.#limits.symbols} symbols can be listed`, 60_000);
    }
    this.#prices.set(symbol, price);
    return created;
  }
}

function phaseOf(symbol: string): number {
  let sum = 0;
  for (const character of symbol) sum = (sum * 31 + character.charCodeAt(0)) % 6_283;
  return sum / 1000;
}
