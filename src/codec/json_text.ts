/** JSON text to a JSON value, with errors in our own words that name line and column (RFC 8259). */
import { isUtf8 } from 'node:buffer';
import { badRequest } from '../details.js';
import { Code, StatusError } from '../status.js';
import type { Dialect, JsonValue, Place } from './codec.js';
import { findRepeatedName, mayRepeatNames, withNumbersAsWritten } from './json_walk.js';
import { dottedOf, placeIn, pointerOf, type Step } from './pointer.js';

const IN_BODY = placeIn('body');

/**
 * Reads JSON text. Throws StatusError INVALID_ARGUMENT for text that is empty, no JSON, no UTF-8, begins with a byte order
 * mark, or has a name twice in one object. Columns count UTF-16 units from 1. The dialects of Go read one value and
 * overlook what follows it, and have their integers exact (`withNumbersAsWritten`). jsonpb overlooks more (see Dialect):
 * of equal names the last counts, and bytes that are not UTF-8 are U+FFFD.
 */
export function parseJson(
  text: string | Uint8Array,
  place: Place = IN_BODY,
  dialect: Dialect = 'strict',
): JsonValue {
  const source = typeof text === 'string' ? text : decode(text, place, dialect);
  let value: JsonValue;
  try {
    value = JSON.parse(source) as JsonValue;
  } catch {
    const fault = faultOf(source);
    if (dialect !== 'strict' && fault.problem === MORE)
      return parseJson(source.slice(0, fault.at), place, dialect);
    // The engine's own words change between its versions and quote the input at length.
    return refuse(place, describe(source, fault));
  }
  const read = dialect === 'strict' ? value : withNumbersAsWritten(source, value);
  if (dialect === 'jsonpb') return read;
  // What JSON.parse does not tell.
  const repeated = mayRepeatNames(source, value) ? findRepeatedName(source) : undefined;
  return repeated === undefined ? read : refuse(place, 'given twice', repeated);
}

function refuse(place: Place, description: string, path: readonly Step[] = []): never {
  const whole = place(pointerOf(path));
  throw new StatusError(Code.INVALID_ARGUMENT, `${whole}: ${description}`, {
    details: [badRequest([{ field: dottedOf(path) || whole, description }])],
  });
}

function decode(bytes: Uint8Array, place: Place, dialect: Dialect): string {
  if (dialect !== 'jsonpb' && !isUtf8(bytes)) refuse(place, 'not valid UTF-8');
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('utf8');
}

interface Fault {
  /** Undefined for the text as a whole. */
  readonly at?: number;
  readonly problem: string;
}

/** What the scanner says of a text that goes on behind its value. */
const MORE = 'expected the end of the text';

function faultOf(source: string): Fault {
  if (source.startsWith('\ufeff')) return { problem: 'it begins with a byte order mark' };
  if (/^[ \t\r\n]*$/.test(source)) return { problem: 'it is empty' };
  return new Scanner(source).scan();
}

function describe(source: string, { at, problem }: Fault): string {
  if (at === undefined) return `invalid JSON: ${problem}`;
  const before = source.slice(0, at);
  const line = before.split('\n').length;
  const column = at - before.lastIndexOf('\n');
  return `invalid JSON at line ${line} column ${column}: ${problem}`;
}

const SPACE = /[ \t\r\n]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
/** The part of a string up to its end, or up to what does not belong there. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 bars them from strings.
const STRING_PART = /(?:[^"\\\u0000-\u001f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*/y;

/**
 * Finds the first thing that is wrong in a text. It keeps no more than a stack of brackets, so no depth of nesting
 * exhausts it.
 */
class Scanner {
  private at = 0;

  constructor(private readonly source: string) {}

  scan(): Fault {
    const closers: string[] = [];
    for (;;) {
      const problem = this.value(closers) ?? this.afterValue(closers);
      if (problem !== undefined) return { at: this.at, problem };
    }
  }

  /** Passes over a value, or over the beginnings of containers up to an empty one. Answers what is wrong. */
  private value(closers: string[]): string | undefined {
    for (;;) {
      this.skip(SPACE);
      const char = this.source[this.at];
      if (char === '"') return this.string();
      if (char !== '[' && char !== '{') return this.plain();
      this.at++;
      closers.push(char === '[' ? ']' : '}');
      this.skip(SPACE);
      // An empty container is closed by `afterValue`.
      if (this.source[this.at] === closers.at(-1)) return undefined;
      const problem = char === '{' ? this.name() : undefined;
      if (problem !== undefined) return problem;
    }
  }

  private plain(): string | undefined {
    return this.skip(WORD) || this.skip(NUMBER) ? undefined : this.expected('a value');
  }

  /** Passes over what closes, and over the comma before the next value. Answers what is wrong. */
  private afterValue(closers: string[]): string | undefined {
    for (;;) {
      this.skip(SPACE);
      const closer = closers.at(-1);
      const char = this.source[this.at];
      if (closer === undefined) return char === undefined ? 'it cannot be read' : MORE;
      if (char === closer) {
        this.at++;
        closers.pop();
        continue;
      }
      if (char !== ',') return this.expected(`"," or "${closer}"`);
      this.at++;
      return closer === '}' ? this.name() : undefined;
    }
  }

  /** Passes over a member's name and the colon after it. */
  private name(): string | undefined {
    this.skip(SPACE);
    if (this.source[this.at] !== '"') return this.expected('a name in double quotes');
    const problem = this.string();
    if (problem !== undefined) return problem;
    this.skip(SPACE);
    if (this.source[this.at] !== ':') return this.expected('":"');
    this.at++;
    return undefined;
  }

  private string(): string | undefined {
    this.at++;
    this.skip(STRING_PART);
    const char = this.source[this.at];
    if (char === undefined) return 'a string is not closed';
    if (char === '\\') return 'a wrong escape in a string';
    if (char !== '"') return 'a control character in a string';
    this.at++;
    return undefined;
  }

  private expected(what: string): string {
    return `expected ${what}${this.at >= this.source.length ? ', got the end of the text' : ''}`;
  }

  /** Passes over what the pattern matches here; false if that is nothing. */
  private skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.at;
    const length = pattern.exec(this.source)?.[0].length ?? 0;
    this.at += length;
    return length > 0;
  }
}
