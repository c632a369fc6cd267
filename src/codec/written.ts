/** Numbers kept as they were written: to JSON.parse 1.0 is the same as 1, and 2^53 + 1 the same as 2^53. */
import type { JsonValue } from './codec.js';

/**
 * The number as a JSON value that remembers its text. It is a symbol, since nothing takes one for a value by mistake:
 * who does not ask for its text refuses it.
 */
export function asWritten(text: string): JsonValue {
  return Symbol(text) as unknown as JsonValue;
}

/** The text of such a number; undefined for every other value. */
export function writtenText(value: unknown): string | undefined {
  return typeof value === 'symbol' ? value.description : undefined;
}
