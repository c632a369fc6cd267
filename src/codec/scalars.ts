/** The scalar rules of the proto3 JSON mapping: numbers as text, text as numbers, base64. */
import type { JsonValue } from './codec.js';
import { writtenText } from './written.js';

const TWO_32 = 4294967296;
const TWO_64 = TWO_32 * TWO_32;
const MAX_SAFE_HIGH = 0x1fffff;

/** `an int32`, by type number: what error texts call a scalar. */
export const SCALAR_NAMES: readonly string[] = [
  '',
  'a double',
  'a float',
  'an int64',
  'a uint64',
  'an int32',
  'a fixed64',
  'a fixed32',
  'a bool',
  'a string',
  '',
  '',
  'base64',
  'a uint32',
  '',
  'an sfixed32',
  'an sfixed64',
  'an sint32',
  'an sint64',
];

/** int64, sfixed64, sint64 and their unsigned brothers. */
export function is64(kind: number): boolean {
  return kind === 3 || kind === 4 || kind === 6 || kind === 16 || kind === 18;
}

/** JSON text of the default of a scalar type; empty for a message. */
export function zeroText(kind: number, numbers: boolean): string {
  if (kind === 8) return 'false';
  if (kind === 9 || kind === 12) return '""';
  if (kind === 10 || kind === 11) return '';
  return is64(kind) && !numbers ? '"0"' : '0';
}

/** Decimal digits of an unsigned 64-bit integer given in two halves. */
export function uint64Text(lo: number, hi: number): string {
  if (hi <= MAX_SAFE_HIGH) return String(hi * TWO_32 + lo);
  // Two limbs in base 1e9, each step exact in a double: n = h1 * 2^48 + (h0 * 2^32 + lo), and
  // 2^48 = 281474 * 1e9 + 976710656. BigInt takes five times as long.
  const h1 = hi >>> 16;
  const rest = h1 * 976710656 + ((hi & 0xffff) * TWO_32 + lo);
  const high = h1 * 281474 + Math.floor(rest / 1e9);
  return String(high) + String(1e9 + (rest % 1e9)).slice(1);
}

/** Decimal digits of a signed 64-bit integer given in two unsigned halves. */
export function int64Text(lo: number, hi: number): string {
  if (hi < 0x80000000) return uint64Text(lo, hi);
  const negatedLo = (~lo + 1) >>> 0;
  const negatedHi = (~hi + (negatedLo === 0 ? 1 : 0)) >>> 0;
  return `-${uint64Text(negatedLo, negatedHi)}`;
}

/** JSON text of a 64-bit integer: a string, or with `numbers` a number where a double holds it. */
export function json64(lo: number, hi: number, signed: boolean, numbers: boolean): string {
  const digits = signed ? int64Text(lo, hi) : uint64Text(lo, hi);
  return numbers && Number.isSafeInteger(Number(digits)) ? digits : `"${digits}"`;
}

/** JSON text of a double. */
export function doubleText(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? '"NaN"' : value > 0 ? '"Infinity"' : '"-Infinity"';
}

/** JSON text of a float: the fewest digits that read back as the same float, so 0.1 and not 0.10000000149011612. */
export function floatText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 16777216) return doubleText(value);
  if (!Number.isFinite(value)) return doubleText(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short);
  }
  return String(Number(value.toPrecision(9)));
}

const DECIMAL = /^-?\d+$/;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,4}))?$/;

/** `1e3`, `1.0` and `-7` as the integer they are, in plain digits; undefined for what is no integer. Never rounds. */
export function integerDigits(text: string): string | undefined {
  if (DECIMAL.test(text)) return text;
  const parts = NUMBER.exec(text);
  if (!parts) return undefined;
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  if (/[1-9]/.test(point < 0 ? digits : digits.slice(point))) return undefined;
  if (point > 400) return undefined;
  return `${sign}${digits.slice(0, Math.max(point, 0)).padEnd(point, '0') || '0'}`;
}

/** A JSON value as an integer: itself if it is a number, else NaN. The caller checks that it is integral and in range. */
export function integerOf(value: JsonValue): number {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string') return Number.NaN;
  const digits = integerDigits(value);
  return digits === undefined ? Number.NaN : Number(digits);
}

/** A JSON value as a double, NaN and the infinities by name; undefined for what is no number. */
export function doubleOf(value: JsonValue): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'string') return undefined;
  if (value === 'NaN') return Number.NaN;
  if (value === 'Infinity') return Number.POSITIVE_INFINITY;
  if (value === '-Infinity') return Number.NEGATIVE_INFINITY;
  if (!NUMBER.test(value)) return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}

/** The two unsigned halves of the last integer that `split64` accepted: one object, since the hot path makes none. */
export const halves = { lo: 0, hi: 0 };

/** Splits a JSON value for an int64 or uint64 field into `halves`. Answers what is wrong with it, or empty. */
export function split64(value: JsonValue, signed: boolean): '' | 'type' | 'range' | 'unsafe' {
  if (typeof value === 'number') {
    if (!Number.isInteger(value)) return Number.isFinite(value) ? 'type' : 'range';
    if (!Number.isSafeInteger(value)) return Math.abs(value) < TWO_64 ? 'unsafe' : 'range';
    return splitSafe(value, signed);
  }
  if (typeof value !== 'string') return 'type';
  const digits = integerDigits(value);
  if (digits === undefined) return 'type';
  if (digits.length < 16) return splitSafe(Number(digits), signed);
  if (digits.length > 400) return 'range';
  const big = BigInt(digits);
  if (big !== (signed ? BigInt.asIntN(64, big) : BigInt.asUintN(64, big))) return 'range';
  halves.lo = Number(big & 0xffffffffn);
  halves.hi = Number((big >> 32n) & 0xffffffffn);
  return '';
}

function splitSafe(value: number, signed: boolean): '' | 'range' {
  if (value < 0 && !signed) return 'range';
  halves.lo = value >>> 0;
  halves.hi = Math.floor(value / TWO_32) >>> 0;
  return '';
}

const BASE64 = /^[A-Za-z0-9+/_-]*(={0,2})$/;

/** Whether a text is base64, in the standard or the URL-safe alphabet, padded rightly or not at all. */
export function isBase64(text: string): boolean {
  const padding = BASE64.exec(text)?.[1];
  if (padding === undefined) return false;
  return padding === '' ? text.length % 4 !== 1 : text.length % 4 === 0;
}

/** Whether a string is text that UTF-8 can carry: no half of a surrogate pair without the other. */
export function isText(value: string): boolean {
  // ES2024, in Node since 20; the compiler's library is that of ES2023.
  return (value as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** A value of the client's in an error text: short, and of one line. */
export function shown(value: JsonValue | undefined): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string')
    return value === undefined ? 'nothing' : (writtenText(value) ?? String(value));
  return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
}
