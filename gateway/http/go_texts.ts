/** Texts in paths and queries as Go programs write them, put into the forms of JSON: for clients of grpc-gateway. */
import { type DescField, ScalarType } from '@bufbuild/protobuf';

const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);
const INTEGER = /^([+-]?)0*(\d+)$/;
const INFINITY = /^([+-]?)inf(?:inity)?$/i;
const DURATION = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$/;
const DURATION_PART = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g;
/** A Duration has at most 12 digits of seconds; what is longer is refused as it is. */
const LONGEST_DURATION = 64;
const SECOND = 1_000_000_000n;
const NANOSECONDS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  '\u00b5s': 1000n,
  '\u03bcs': 1000n,
  ms: 1_000_000n,
  s: SECOND,
  m: 60n * SECOND,
  h: 3600n * SECOND,
};

/**
 * The JSON form of a text that strconv or time.ParseDuration of Go can read as a value of the field (of one element
 * or entry, if it has several), and every other text as it is.
 */
export function fromGoText(field: DescField, text: string): string {
  switch (field.message?.typeName) {
    case undefined:
      return fromScalar(field.scalar, text);
    case 'google.protobuf.Duration':
      return fromDuration(text);
    case 'google.protobuf.FieldMask':
      return text.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    default: {
      const [only] = field.message?.typeName.endsWith('Value') ? (field.message?.fields ?? []) : [];
      return only === undefined || only.name !== 'value' ? text : fromScalar(only.scalar, text);
    }
  }
}

function fromScalar(scalar: ScalarType | undefined, text: string): string {
  switch (scalar) {
    case undefined:
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return text;
    case ScalarType.BOOL:
      return TRUE.has(text) ? 'true' : FALSE.has(text) ? 'false' : text;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return fromFloat(text);
    default: {
      const [, sign, digits] = INTEGER.exec(text) ?? [];
      return digits === undefined ? text : `${sign === '-' ? '-' : ''}${digits}`;
    }
  }
}

function fromFloat(text: string): string {
  const infinite = INFINITY.exec(text);
  if (infinite !== null) return infinite[1] === '-' ? '-Infinity' : 'Infinity';
  if (/^nan$/i.test(text)) return 'NaN';
  return text.startsWith('+') ? text.slice(1) : text;
}

/** `1h2m3.5s` is `3723.500000000s`. */
function fromDuration(text: string): string {
  if (text === '0') return '0s';
  const [, sign, parts] = (text.length <= LONGEST_DURATION && DURATION.exec(text)) || [];
  if (parts === undefined) return text;
  let total = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of parts.matchAll(DURATION_PART)) {
    const each = NANOSECONDS[unit] ?? 0n;
    total += BigInt(whole || '0') * each;
    if (fraction !== '') total += (BigInt(fraction) * each) / 10n ** BigInt(fraction.length);
  }
  const nanos = String(total % SECOND).padStart(9, '0');
  return `${sign === '-' ? '-' : ''}${total / SECOND}.${nanos}s`;
}
