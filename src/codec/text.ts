/** Turns the text of a path variable or query parameter into the JSON value of a field. */
import { createRegistry, type DescField } from '@bufbuild/protobuf';
import { CANONICAL, type JsonValue } from './codec.js';
import { Parser } from './parse.js';
import { ENUM, type FieldPlan, GROUP, MESSAGE, Special, specialOf } from './plan.js';
import { Plans } from './plans.js';
import { shown } from './scalars.js';

/**
 * A text that is no value of its field. Its message is the description alone, such as `expected an int32, got
 * "abc"`: the caller adds the place and makes it a StatusError INVALID_ARGUMENT.
 */
export class FieldTextError extends Error {
  override readonly name = 'FieldTextError';
}

/** Refuses texts by the rules for JSON values; what it writes is thrown away. */
class TextParser extends Parser {
  override fail(description: string): never {
    throw new FieldTextError(description);
  }
}

const plans = new Plans(createRegistry(), CANONICAL);
const parser = new TextParser(plans);
const fields = new WeakMap<DescField, FieldPlan>();

/**
 * The JSON value of a singular field, of one element of a repeated field, or of one value of a map field, given
 * as text: numbers as decimal text, bool as `true` or `false`, enums by name or number, bytes in either base64,
 * wrappers as what they wrap, Timestamp, Duration and FieldMask in their JSON syntax without quotes, Struct, Value
 * and ListValue as JSON text. Throws FieldTextError for all else, and for every other message type.
 */
export function valueFromText(field: DescField, text: string): JsonValue {
  let plan = fields.get(field);
  if (!plan) {
    plan = plans.field(field);
    fields.set(field, plan);
  }
  return checked(plan, text);
}

function checked(field: FieldPlan, text: string): JsonValue {
  const value = read(field, text);
  parser.reset();
  parser.value(field, value);
  return value;
}

function read(field: FieldPlan, text: string): JsonValue {
  if (field.kind === 8) return text === 'true' || (text === 'false' ? false : text);
  if (field.kind === ENUM) return readEnum(field, text);
  if (field.kind !== MESSAGE && field.kind !== GROUP) return text;
  const sub = plans.sub(field);
  switch (specialOf(sub.typeName)) {
    case Special.TIMESTAMP:
    case Special.DURATION:
    case Special.FIELD_MASK:
      return text;
    case Special.WRAPPER:
      return checked(sub.fields[0] as FieldPlan, text);
    case Special.STRUCT:
    case Special.VALUE:
    case Special.LIST_VALUE:
      return readJson(text);
    default:
      throw new FieldTextError(`a ${sub.typeName} cannot be given as text`);
  }
}

function readEnum(field: FieldPlan, text: string): JsonValue {
  if (field.enum?.numbers.has(text) || !/^-?\d{1,10}$/.test(text)) return text;
  return Number(text);
}

function readJson(text: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    throw new FieldTextError(`expected JSON text, got ${shown(text)}`);
  }
}
