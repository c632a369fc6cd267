/** Random JSON for a message type: values that fit it, and values that nearly do. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import fc, { type Arbitrary } from 'fast-check';
import type { JsonObject, JsonValue } from '../../../src/codec/codec.js';

const text = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('', '__proto__', 'a"b\\c\n\u0000', '\ufffd', '\u2028'),
);
const int32 = fc.oneof(fc.integer(), fc.constantFrom(0, -1, 2147483647, -2147483648));
const uint32 = fc.oneof(fc.integer({ min: 0, max: 4294967295 }), fc.constantFrom(0, 4294967295));
const int64 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), int32.map(BigInt)).map(String);
const uint64 = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), uint32.map(BigInt)).map(String);
const special = fc.constantFrom('NaN', 'Infinity', '-Infinity', 0, 1, -1);
const double = fc.oneof(fc.double({ noDefaultInfinity: true, noNaN: true }), special);
const float = fc.oneof(fc.float({ noDefaultInfinity: true, noNaN: true }), special);
const bytes = fc.uint8Array({ maxLength: 20 }).map((value) => Buffer.from(value).toString('base64'));

function scalar(kind: ScalarType): Arbitrary<JsonValue> {
  switch (kind) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.BYTES:
      return bytes;
    case ScalarType.DOUBLE:
      return double;
    case ScalarType.FLOAT:
      return float;
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return int32;
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    default:
      return int64;
  }
}

const nanos = fc.oneof(fc.constantFrom(0, 5e8, 123456000, 1), fc.integer({ min: 0, max: 999999999 }));
const fraction = nanos.map((value) => (value === 0 ? '' : `.${String(value).padStart(9, '0')}`));
const timestamp = fc
  .tuple(
    fc.date({ min: new Date(-62135596800000), max: new Date(253402300799000), noInvalidDate: true }),
    fraction,
  )
  .map(([date, digits]) => date.toISOString().replace(/\.\d+Z$/, `${digits}Z`));
const duration = fc
  .tuple(fc.integer({ min: 0, max: 315576000000 }), fraction, fc.boolean())
  .map(([seconds, digits, negative]) => `${negative ? '-' : ''}${seconds}${digits}s`);
const mask = fc
  .array(fc.stringMatching(/^[a-z][a-zA-Z0-9]{0,6}(\.[a-z][a-zA-Z]{0,6})?$/), { maxLength: 3 })
  .map(String);
const json = fc.jsonValue({ maxDepth: 2 }) as Arbitrary<JsonValue>;
const struct = fc.dictionary(text, json, { maxKeys: 4 });

function message(desc: DescMessage, depth: number): Arbitrary<JsonValue> {
  switch (desc.typeName) {
    case 'google.protobuf.Timestamp':
      return timestamp;
    case 'google.protobuf.Duration':
      return duration;
    case 'google.protobuf.FieldMask':
      return mask;
    case 'google.protobuf.Struct':
      return struct;
    case 'google.protobuf.Value':
      return json;
    case 'google.protobuf.ListValue':
      return fc.array(json, { maxLength: 3 });
    case 'google.protobuf.Any':
      return fc.oneof(
        fc.constant({}),
        fc.record({
          '@type': fc.constant('type.googleapis.com/google.protobuf.Timestamp'),
          value: timestamp,
        }),
        fc.record({ '@type': fc.constant('type.googleapis.com/codec.test.Money'), units: fc.constant('5') }),
      );
  }
  const wrapped = /^google\.protobuf\.\w+Value$/.test(desc.typeName) ? desc.fields[0]?.scalar : undefined;
  return wrapped === undefined ? jsonFor(desc, depth - 1) : scalar(wrapped);
}

/** A value of the field, an element of the list, or a value of the map. */
export function element(field: DescField, depth: number): Arbitrary<JsonValue> {
  if (field.scalar !== undefined) return scalar(field.scalar);
  if (field.message !== undefined) return message(field.message, depth);
  const names = field.enum?.values.map(({ name }): JsonValue => name) ?? [];
  if (field.enum?.typeName === 'google.protobuf.NullValue') return fc.constant(null);
  return field.enum?.open ? fc.oneof(fc.constantFrom(...names), int32) : fc.constantFrom(...names);
}

function member(field: DescField, depth: number): Arbitrary<JsonValue> {
  const value = element(field, depth);
  if (field.fieldKind === 'list') return fc.array(value, { maxLength: 4 });
  if (field.fieldKind !== 'map') return value;
  const key = field.mapKey === ScalarType.STRING ? text : scalar(field.mapKey).map(String);
  return fc.dictionary(key, value, { maxKeys: 4 });
}

/** JSON that fits the type: at most one member of a oneof, names in either way, messages to `depth` levels. */
export function jsonFor(desc: DescMessage, depth: number): Arbitrary<JsonObject> {
  const fields = desc.fields.filter((field) => depth > 0 || field.message === undefined);
  const required = fields.filter((field) => field.presence === 3);
  const one = (field: DescField): Arbitrary<[string, JsonValue]> =>
    fc.tuple(fc.constantFrom(field.name, field.jsonName), member(field, depth));
  const some = fc.shuffledSubarray(fields, { maxLength: Math.min(8, fields.length) }).chain((chosen) => {
    const taken = new Set<string>();
    const apart = [...required, ...chosen].filter((field) => {
      const place = field.oneof?.name ?? `.${field.name}`;
      return !taken.has(place) && taken.add(place);
    });
    return fc.tuple(...apart.map(one));
  });
  return some.map((members) => Object.fromEntries(members) as JsonObject);
}

/** Replaces one value somewhere inside by another, or renames, drops or doubles a member. */
export function mutated(value: Arbitrary<JsonObject>): Arbitrary<JsonValue> {
  const other = fc.oneof(
    json,
    text,
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.constantFrom<JsonValue>(null, '\ud800', 1e300, -1, 2 ** 53, 1.5, '1e5', '-', [], {}, [null], {
      '@type': 'x',
    }),
  );
  return fc
    .tuple(value, fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), other)
    .map(([original, path, replacement]) => replaceAt(original, path, replacement));
}

function replaceAt(value: JsonValue, path: readonly number[], replacement: JsonValue): JsonValue {
  const [first, ...rest] = path;
  if (first === undefined || typeof value !== 'object' || value === null) return replacement;
  const keys = Object.keys(value);
  const key = keys[first % Math.max(keys.length, 1)];
  if (key === undefined) return replacement;
  if (Array.isArray(value))
    return value.map((item, at) => (String(at) === key ? replaceAt(item, rest, replacement) : item));
  const members = Object.entries(value).map(([name, item]): [string, JsonValue] =>
    name === key ? [first % 7 === 0 ? `${name}x` : name, replaceAt(item, rest, replacement)] : [name, item],
  );
  return Object.fromEntries(members);
}
