/** What JSON.parse does not tell of a text that it has read: names given twice, and how numbers were written. */
import type { JsonObject, JsonValue } from './codec.js';
import type { Step } from './pointer.js';
import { asWritten } from './written.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Whether an object of the text may have a name twice; false is certain. Each name has a colon behind its quote, so that
 * with no more of these than the value has names, none is lost. Strings with `":` in them or a colon at their beginning,
 * and spaces before colons cause alarm for nothing. It takes a fifth of the time of JSON.parse; to look at every name
 * takes more than twice that time.
 */
export function mayRepeatNames(text: string, value: JsonValue): boolean {
  let colons = 0;
  for (let at = text.indexOf(':'); at !== -1; at = text.indexOf(':', at + 1)) {
    const before = text.charCodeAt(at - 1);
    if (before === QUOTE) colons++;
    else if (before <= 0x20) return true;
  }
  return colons !== countNames(value);
}

/** No depth of nesting exhausts it. */
function countNames(value: JsonValue): number {
  let count = 0;
  const open = [value];
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (typeof node !== 'object' || node === null) continue;
    const members = Array.isArray(node) ? node : Object.values(node);
    if (members !== node) count += members.length;
    for (const member of members) if (typeof member === 'object') open.push(member);
  }
  return count;
}

/** The way to the first name that its object has had before. The text is JSON. */
export function findRepeatedName(text: string): Step[] | undefined {
  const walk = new Walk(text);
  while (walk.next()) if (walk.isRepeated) return walk.path();
  return undefined;
}

/**
 * The value with those integers as they were written that JSON.parse may have rounded, or that are not in plain digits,
 * such as `1.0` and `1e1`. The text is that of the value, which is changed.
 */
export function withNumbersAsWritten(text: string, value: JsonValue): JsonValue {
  if (!/\d(?:[.eE]|\d{15})/.test(text)) return value;
  const whole: JsonObject = { value };
  const walk = new Walk(text, whole);
  while (walk.next()) if (isInexact(walk.number)) walk.replace(asWritten(walk.number));
  return whole.value as JsonValue;
}

function isInexact(text: string): boolean {
  const number = Number(text);
  return (
    text !== '' && Number.isInteger(number) && !(Number.isSafeInteger(number) && String(number) === text)
  );
}

/** An object or array that has begun. */
interface Open {
  /** The names that an object has had; an array has none. */
  readonly names: Set<string> | undefined;
  /** What it has become; undefined for what a later member of the same name has taken the place of. */
  readonly value: JsonValue | undefined;
  /** The name or index of the member in hand. */
  step: string | number;
}

/** Goes through the names and numbers of a JSON text. It keeps a stack of what is open and no more. */
class Walk {
  /** Whether the name in hand is not the first one of its kind in its object. */
  isRepeated = false;
  /** The number in hand as it is written; empty for a name. */
  number = '';
  private at = 0;
  /** The outermost stands for the whole. */
  private readonly open: Open[];
  /** Whether the next string is a name. */
  private expectsName = false;

  /** `whole` has what the text has become as its member `value`. */
  constructor(
    private readonly text: string,
    whole: JsonObject = {},
  ) {
    this.open = [{ names: undefined, value: whole, step: 'value' }];
  }

  /** On to the next name or number; false at the end. */
  next(): boolean {
    const { text } = this;
    this.isRepeated = false;
    this.number = '';
    while (this.at < text.length) {
      const start = this.at++;
      const char = text[start] as string;
      if (char === '"') {
        this.at = endOfString(text, start);
        if (this.expectsName) return this.name(JSON.parse(text.slice(start, this.at)) as string);
      } else if (char === '{' || char === '[') {
        this.expectsName = char === '{';
        this.open.push({ names: this.expectsName ? new Set() : undefined, value: this.member(), step: 0 });
      } else if (char === '}' || char === ']') {
        this.open.pop();
        this.expectsName = false;
      } else if (char === ',') this.comma();
      else if (NUMBER_START.test(char)) return this.isNumber(start);
    }
    return false;
  }

  /** The way to what is in hand. */
  path(): Step[] {
    return this.open.slice(1).map(({ step }) => ({ name: step, isKey: false }));
  }

  /** Puts something in the place of the number in hand, if that is what has come of it. */
  replace(value: JsonValue): void {
    const { value: around, step } = this.inside;
    if (this.member() === Number(this.number)) (around as JsonObject)[step] = value;
  }

  private get inside(): Open {
    return this.open.at(-1) as Open;
  }

  /** What the value has where the text is. */
  private member(): JsonValue | undefined {
    const { value, step } = this.inside;
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
    return (value as JsonObject)[step];
  }

  private name(name: string): true {
    const { inside } = this;
    this.isRepeated = inside.names?.has(name) === true;
    inside.names?.add(name);
    inside.step = name;
    this.expectsName = false;
    return true;
  }

  private comma(): void {
    const { inside } = this;
    if (inside.names) this.expectsName = true;
    else inside.step = (inside.step as number) + 1;
  }

  private isNumber(start: number): true {
    while (NUMBER_PART.test(this.text[this.at] ?? '')) this.at++;
    this.number = this.text.slice(start, this.at);
    return true;
  }
}

const NUMBER_START = /^[-\d]$/;
const NUMBER_PART = /^[-+.eE\d]$/;

/** The index behind a string that starts at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  for (let unit = text.charCodeAt(at); unit !== QUOTE; unit = text.charCodeAt(at)) {
    at += unit === BACKSLASH ? 2 : 1;
  }
  return at + 1;
}
