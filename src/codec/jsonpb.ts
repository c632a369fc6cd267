/** JSON as Go's golang/protobuf before 1.4 reads it (its package jsonpb), and so grpc-gateway v1 and etcd. */
import type { JsonObject, JsonValue } from './codec.js';
import { ENUM, type FieldPlan, LIST, MAP, type Plan } from './plan.js';
import { isNumeric, ProtojsonParser } from './protojson.js';
import { writtenText } from './written.js';

const DOUBLE = 1;
const FLOAT = 2;
const STRING = 9;
const BYTES = 12;

const STANDARD_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** encoding/base64 passes over them. */
const LINE_ENDS = /[\r\n]/g;
/** What strconv.ParseInt takes of what is a JSON number. */
const PLAIN_INTEGER = /^-?(?:0|[1-9]\d*)$/;

/**
 * Takes what the proto3 JSON mapping refuses:
 * - a name twice in one object: the last one counts (`parseJson` sees to that);
 * - a field by both of its names: the JSON name counts;
 * - two members of a oneof: the last one counts. There it is one by chance, as they come out of a Go map;
 * - `null` as an element of a list or map of scalars: their default. Among messages it stays refused; there it panics;
 * - `null` for the whole: the empty message;
 * - text that is no Unicode: U+FFFD in place of what cannot be read (`parseJson` does it for bytes that are not UTF-8).
 *
 * Refuses what the mapping takes:
 * - base64 without padding, or in the alphabet for URLs;
 * - integers and numbers of enum values with a fraction or an exponent, and integers with leading zeros: `1.0`, `1e1`,
 *   `"007"`.
 */
export class JsonpbParser extends ProtojsonParser {
  override objectOf(value: JsonValue): JsonObject {
    return value === null ? {} : super.objectOf(value);
  }

  override object(plan: Plan, value: JsonObject, inAny: boolean): void {
    super.object(plan, whatCounts(plan, value), inAny);
  }

  override value(field: FieldPlan, value: JsonValue): boolean {
    if (isNumeric(field)) {
      const text = writtenText(value) ?? value;
      const isFloat = field.kind === DOUBLE || field.kind === FLOAT;
      if (typeof text === 'string' && !isFloat && !PLAIN_INTEGER.test(text))
        return this.failScalar(field, value);
      return super.value(field, value);
    }
    // A number that is not in plain digits is no name of a value either.
    if (field.kind === ENUM) return super.value(field, writtenText(value) ?? value);
    if (typeof value !== 'string') return super.value(field, value);
    if (field.kind === STRING) return super.value(field, toText(value));
    if (field.kind !== BYTES) return super.value(field, value);
    const base64 = value.replace(LINE_ENDS, '');
    return isPadded(base64) ? super.value(field, base64) : this.failScalar(field, value);
  }
}

/** A field is there once, a oneof holds one, and a scalar is not null. What is no field is left to who knows of it. */
function whatCounts(plan: Plan, value: JsonObject): JsonObject {
  const keys = new Map<FieldPlan, string>();
  const held = new Map<number, FieldPlan>();
  for (const key of Object.keys(value)) {
    const field = plan.byName.get(key);
    if (field === undefined) continue;
    // Of two keys one is the proto name.
    if (keys.get(field) === undefined || keys.get(field) === field.name) keys.set(field, key);
    if (field.oneofSlot >= 0 && value[key] !== null) held.set(field.oneofSlot, field);
  }
  const counts = (key: string): boolean => {
    const field = plan.byName.get(key);
    if (field === undefined) return true;
    return keys.get(field) === key && (held.get(field.oneofSlot) ?? field) === field;
  };
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => counts(key))
      .map(([key, member]) => [key, withoutNulls(plan.byName.get(key), member)]),
  );
}

function withoutNulls(field: FieldPlan | undefined, value: JsonValue): JsonValue {
  if (field === undefined || field.message !== undefined || field.nullable) return value;
  if (typeof value !== 'object' || value === null) return value;
  const zero = zeroOf(field);
  if (field.shape === LIST && Array.isArray(value)) return value.map((one) => one ?? zero);
  if (field.shape !== MAP || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, one ?? zero]));
}

function isPadded(base64: string): boolean {
  return base64.length % 4 === 0 && STANDARD_BASE64.test(base64);
}

function zeroOf({ kind }: FieldPlan): JsonValue {
  if (kind === 8) return false;
  return kind === 9 || kind === 12 ? '' : 0;
}

function toText(value: string): string {
  // ES2024, in Node since 20; the compiler's library is that of ES2023.
  return (value as unknown as { toWellFormed(): string }).toWellFormed();
}
