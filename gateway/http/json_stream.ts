/** Cuts a body of many JSON values (NDJSON, concatenated values, or one array) into values as the bytes arrive. */
import { Code, type StatusError } from '../../src/status.js';
import { HttpError, invalid } from './error.js';
import { Pieces } from './pieces.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const NEWLINE = 0x0a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/** RFC 8259 section 2. */
export const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x09 || byte === NEWLINE || byte === 0x0d;
const opens = (byte: number): boolean => byte === OPEN_ARRAY || byte === 0x7b;
const closes = (byte: number): boolean => byte === CLOSE_ARRAY || byte === 0x7d;

/**
 * Finds where values end; it does not check them, their parser does. A first byte `[` means one array whose elements
 * are the values; else values follow one another, with any white space between (RFC 8259, and NDJSON's lines).
 */
export class JsonSplitter {
  private readonly pieces = new Pieces();
  private depth = 0;
  private inString = false;
  private escaped = false;
  private started = false;
  private array = false;
  private closed = false;
  /** In an array: whether a comma promised one more element. */
  private awaiting = false;
  private count = 0;

  constructor(private readonly maxBytes: number) {}

  /** Whether a value has begun and not ended: what comes next has to come soon. */
  get isInside(): boolean {
    return this.inString || this.depth > 0;
  }

  /** The values completed by this chunk. Throws StatusError for an element over the size limit or a broken array. */
  push(chunk: Buffer): Buffer[] {
    const values: Buffer[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.inString) {
        this.inside(byte);
        continue;
      }
      if (!this.started) {
        if (isSpace(byte)) continue;
        this.started = true;
        this.array = byte === OPEN_ARRAY;
        start = at;
        if (this.array) {
          start = at + 1;
          continue;
        }
      }
      const cut = this.step(byte);
      if (cut === 'no') continue;
      this.keep(chunk.subarray(start, cut === 'after' ? at + 1 : at));
      start = at + 1;
      this.take(values, cut === 'before' && byte === COMMA);
    }
    if (this.started) this.keep(chunk.subarray(start));
    return values;
  }

  /** The last value, if it ended with the body. Throws StatusError when the body stops inside a value or an array. */
  end(): Buffer[] {
    const values: Buffer[] = [];
    if (this.array && !this.closed) throw this.broken('the array is not closed');
    if (this.inString || this.depth > 0) throw this.broken('the body ends inside a value');
    this.take(values, false);
    return values;
  }

  private inside(byte: number): void {
    if (this.escaped) this.escaped = false;
    else if (byte === BACKSLASH) this.escaped = true;
    else if (byte === QUOTE) this.inString = false;
  }

  /** Whether a value ends here: `after` this byte, or `before` it (the byte itself is a separator). */
  private step(byte: number): 'no' | 'before' | 'after' {
    if (this.closed) {
      if (isSpace(byte)) return 'before';
      throw this.broken('something follows the array');
    }
    if (byte === QUOTE) this.inString = true;
    else if (opens(byte)) this.depth++;
    else if (closes(byte)) {
      if (this.depth === 0 && this.array && byte === CLOSE_ARRAY) {
        this.closed = true;
        return 'before';
      }
      // One too many: the value's own parser says so better.
      if (this.depth === 0) return 'no';
      this.depth--;
      if (this.depth === 0 && !this.array) return 'after';
    } else if (this.depth === 0) {
      if (this.array && byte === COMMA) return 'before';
      if (!this.array && byte === NEWLINE) return 'before';
    }
    return 'no';
  }

  private keep(part: Buffer): void {
    if (part.length === 0) return;
    this.pieces.push(part);
    if (this.pieces.length > this.maxBytes) {
      throw new HttpError(
        Code.RESOURCE_EXHAUSTED,
        `body: message ${this.count + 1} is larger than ${this.maxBytes} bytes`,
        { http: 413 },
      );
    }
  }

  private take(values: Buffer[], comma: boolean): void {
    const value = this.pieces.take();
    if (value.every(isSpace)) {
      if (comma || this.awaiting) throw this.broken('an element of the array is missing');
      return;
    }
    this.awaiting = comma;
    this.count++;
    values.push(value);
  }

  private broken(what: string): StatusError {
    return invalid('body', `${what} (after message ${this.count})`);
  }
}
