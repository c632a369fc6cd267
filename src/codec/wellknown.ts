/** The text forms of google.protobuf.Timestamp, Duration and FieldMask (proto3 JSON mapping). */

/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds since 1970. */
const MIN_SECONDS = -62135596800;
const MAX_SECONDS = 253402300799;
/** About ten thousand years. */
const MAX_DURATION = 315576000000;
const DAY = 86400;

/** Seconds and nanoseconds, as Timestamp and Duration hold them. */
export interface Time {
  readonly seconds: number;
  readonly nanos: number;
}

const TWO_DIGITS = Array.from({ length: 100 }, (_, number) => String(number).padStart(2, '0'));

/** `.5` as `.500`: empty, or three, six or nine digits after a point. */
function fraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(1e9 + nanos);
  if (nanos % 1e6 === 0) return `.${digits.slice(1, 4)}`;
  return nanos % 1e3 === 0 ? `.${digits.slice(1, 7)}` : `.${digits.slice(1)}`;
}

/** RFC 3339 in UTC; undefined for what is out of range. */
export function printTimestamp(seconds: number, nanos: number): string | undefined {
  if (!(seconds >= MIN_SECONDS && seconds <= MAX_SECONDS && nanos >= 0 && nanos < 1e9)) return undefined;
  const days = Math.floor(seconds / DAY);
  const second = seconds - days * DAY;
  // Civil date from day number, counted in 400-year eras that begin on 0000-03-01 so that a leap day ends its year.
  const fromEra = days + 719468;
  const era = Math.floor(fromEra / 146097);
  const dayOfEra = fromEra - era * 146097;
  const leaps = ((dayOfEra / 1460) | 0) - ((dayOfEra / 36524) | 0) + ((dayOfEra / 146096) | 0);
  const yearOfEra = ((dayOfEra - leaps) / 365) | 0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const fromMarch = ((5 * dayOfYear + 2) / 153) | 0;
  const day = dayOfYear - (((153 * fromMarch + 2) / 5) | 0) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = yearOfEra + era * 400 + (month < 3 ? 1 : 0);
  const date = `${two((year / 100) | 0)}${two(year % 100)}-${two(month)}-${two(day)}`;
  const time = `${two((second / 3600) | 0)}:${two(((second / 60) | 0) % 60)}:${two(second % 60)}`;
  return `${date}T${time}${fraction(nanos)}Z`;
}

function two(number: number): string {
  return TWO_DIGITS[number] as string;
}

/** The number that `count` digits make at `at`; NaN if there are others among them. */
function digitsAt(text: string, at: number, count: number): number {
  let number = 0;
  for (let i = at; i < at + count; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (!(digit >= 0 && digit <= 9)) return Number.NaN;
    number = number * 10 + digit;
  }
  return number;
}

const MONTH_DAYS = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Days from 1970-01-01 to a date; undefined for one that no calendar has. */
function daysTo(year: number, month: number, day: number): number | undefined {
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= (MONTH_DAYS[month] as number))) return undefined;
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (month === 2 && day === 29 && !isLeap) return undefined;
  // As in printTimestamp, years begin in March.
  const fromMarch = month < 3 ? month + 9 : month - 3;
  const shifted = month < 3 ? year - 1 : year;
  const leaps = Math.floor(shifted / 4) - Math.floor(shifted / 100) + Math.floor(shifted / 400);
  return shifted * 365 + leaps + (((153 * fromMarch + 2) / 5) | 0) + day - 719469;
}

const TAIL = /^(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Reads RFC 3339 with any offset and up to nine digits of a second; undefined for all else. */
export function parseTimestamp(text: string): Time | undefined {
  // By character: a pattern for the whole takes three times as long.
  const days = daysTo(digitsAt(text, 0, 4), digitsAt(text, 5, 2), digitsAt(text, 8, 2));
  const hour = digitsAt(text, 11, 2);
  const minute = digitsAt(text, 14, 2);
  const second = digitsAt(text, 17, 2);
  if (days === undefined || !(hour < 24 && minute < 60 && second < 60)) return undefined;
  if (!hasFrame(text)) return undefined;
  let seconds = days * DAY + hour * 3600 + minute * 60 + second;
  let nanos = 0;
  if (text.length !== 20 || text[19] !== 'Z') {
    const tail = TAIL.exec(text.slice(19));
    if (!tail) return undefined;
    const offsetHour = Number(tail[3] ?? 0);
    const offsetMinute = Number(tail[4] ?? 0);
    if (offsetHour > 23 || offsetMinute > 59) return undefined;
    seconds += (offsetHour * 3600 + offsetMinute * 60) * (tail[2] === '-' ? 1 : -1);
    nanos = nanosOf(tail[1]);
  }
  return seconds >= MIN_SECONDS && seconds <= MAX_SECONDS ? { seconds, nanos } : undefined;
}

/** Whether `-`, `T` and `:` stand where they must. */
function hasFrame(text: string): boolean {
  return text[4] === '-' && text[7] === '-' && text[10] === 'T' && text[13] === ':' && text[16] === ':';
}

function nanosOf(digits: string | undefined): number {
  return digits === undefined ? 0 : Number(digits.padEnd(9, '0'));
}

/** `1.500s`; undefined for what is out of range or has two signs. */
export function printDuration(seconds: number, nanos: number): string | undefined {
  if (!(Math.abs(seconds) <= MAX_DURATION && Math.abs(nanos) < 1e9)) return undefined;
  if ((seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0)) return undefined;
  const sign = seconds < 0 || nanos < 0 ? '-' : '';
  return `${sign}${Math.abs(seconds)}${fraction(Math.abs(nanos))}s`;
}

const DURATION = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/;

/** Reads `-1.5s`; undefined for all else. */
export function parseDuration(text: string): Time | undefined {
  const parts = DURATION.exec(text);
  if (!parts) return undefined;
  const seconds = Number(parts[2]);
  if (seconds > MAX_DURATION) return undefined;
  const nanos = nanosOf(parts[3]);
  return parts[1] === '-' ? { seconds: 0 - seconds, nanos: 0 - nanos } : { seconds, nanos };
}

/** A path of proto names in lowerCamelCase; undefined if that cannot be read back. */
export function printMaskPath(path: string): string | undefined {
  const camel = path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return !camel.includes(',') && parseMaskPath(camel) === path ? camel : undefined;
}

/** A lowerCamelCase path in proto names; undefined for what is no such path. */
export function parseMaskPath(path: string): string | undefined {
  if (path === '' || path.includes('_')) return undefined;
  return path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
