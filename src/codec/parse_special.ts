/** Parses the message types that have a JSON form of their own: google.protobuf's well-known types. */
import type { JsonObject, JsonValue } from './codec.js';
import type { Parser } from './parse.js';
import { type FieldPlan, type Plan, Special } from './plan.js';
import { isBase64, shown } from './scalars.js';
import { parseDuration, parseMaskPath, parseTimestamp, type Time } from './wellknown.js';
import { writtenText } from './written.js';

const TWO_32 = 4294967296;

/** How to read a text that stands for a time, and what to ask for in its place. */
interface TimeForm {
  readonly parse: (text: string) => Time | undefined;
  readonly expected: string;
}
const TIMESTAMP: TimeForm = {
  parse: parseTimestamp,
  expected: 'an RFC 3339 time such as "2024-05-01T12:00:00Z"',
};
const DURATION: TimeForm = { parse: parseDuration, expected: 'a duration in seconds such as "1.5s"' };

/** Writes the fields of such a message, without tag or length. */
export function parseSpecial(parser: Parser, plan: Plan, value: JsonValue): void {
  switch (plan.special) {
    case Special.TIMESTAMP:
      parseTime(parser, TIMESTAMP, value);
      break;
    case Special.DURATION:
      parseTime(parser, DURATION, value);
      break;
    case Special.WRAPPER:
      parser.singular(plan.fields[0] as FieldPlan, value);
      break;
    case Special.VALUE:
      parseValue(parser, value);
      break;
    case Special.STRUCT:
      parseStruct(parser, parser.objectOf(value));
      break;
    case Special.LIST_VALUE:
      parseList(parser, value);
      break;
    case Special.FIELD_MASK:
      parseMask(parser, value);
      break;
    default:
      parseAny(parser, parser.objectOf(value));
  }
}

function parseTime(parser: Parser, form: TimeForm, value: JsonValue): void {
  const time = typeof value === 'string' ? form.parse(value) : undefined;
  if (time === undefined) parser.fail(`expected ${form.expected}, got ${shown(value)}`);
  const { writer } = parser;
  if (time.seconds !== 0) {
    writer.uint32(8);
    writer.varint64(time.seconds >>> 0, Math.floor(time.seconds / TWO_32) >>> 0);
  }
  if (time.nanos === 0) return;
  writer.uint32(16);
  writer.int32(time.nanos);
}

function parseMask(parser: Parser, value: JsonValue): void {
  if (typeof value !== 'string') parser.fail(`expected a field mask in a string, got ${shown(value)}`);
  if (value === '') return;
  for (const path of value.split(',')) {
    const names = parseMaskPath(path);
    if (names === undefined) parser.fail(`expected lowerCamelCase paths, got ${shown(path)}`);
    parser.writer.uint32(10);
    writeText(parser, names);
  }
}

/** The tags of google.protobuf.Value's oneof. */
const NULL = 8;
const NUMBER = 17;
const STRING = 26;
const BOOL = 32;
const STRUCT = 42;
const LIST = 50;

function parseValue(parser: Parser, value: JsonValue): void {
  const { writer } = parser;
  parser.enter();
  if (typeof value === 'string') {
    writer.uint32(STRING);
    writeText(parser, value);
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) parser.fail('expected a number that fits a double');
    writer.uint32(NUMBER);
    writer.double(value);
  } else if (typeof value === 'boolean') {
    writer.uint32(BOOL);
    writer.uint32(value ? 1 : 0);
  } else if (value === null) {
    writer.uint32(NULL);
    writer.uint32(0);
  } else if (typeof value === 'object') {
    writer.uint32(Array.isArray(value) ? LIST : STRUCT);
    const start = writer.open();
    if (Array.isArray(value)) parseList(parser, value);
    else parseStruct(parser, value);
    writer.close(start);
  } else {
    writer.uint32(NUMBER);
    writer.double(Number(writtenText(value)));
  }
  parser.leave();
}

function writeText(parser: Parser, text: string): void {
  if (!parser.writer.string(text)) parser.fail('a string with half of a surrogate pair is no text');
}

function parseStruct(parser: Parser, value: JsonObject): void {
  const { writer } = parser;
  const at = parser.descend(true);
  for (const key of Object.keys(value)) {
    parser.step(at, key);
    writer.uint32(10);
    const entry = writer.open();
    writer.uint32(10);
    writeText(parser, key);
    writer.uint32(18);
    const member = writer.open();
    parseValue(parser, value[key] as JsonValue);
    writer.close(member);
    writer.close(entry);
  }
  parser.level = at;
}

function parseList(parser: Parser, values: JsonValue): void {
  if (!Array.isArray(values)) parser.fail(`expected an array, got ${shown(values)}`);
  const { writer } = parser;
  const at = parser.descend(false);
  for (let i = 0; i < values.length; i++) {
    parser.step(at, i);
    writer.uint32(10);
    const start = writer.open();
    parseValue(parser, values[i] as JsonValue);
    writer.close(start);
  }
  parser.level = at;
}

function parseAny(parser: Parser, value: JsonObject): void {
  const typeUrl = Object.hasOwn(value, '@type') ? value['@type'] : undefined;
  if (typeUrl === undefined) {
    if (Object.keys(value).length > 0) parser.fail('expected a member "@type" that names the type');
    return;
  }
  const at = parser.descend(false);
  parser.step(at, '@type');
  if (typeof typeUrl !== 'string') parser.fail(`expected the URL of a type, got ${shown(typeUrl)}`);
  const { writer } = parser;
  if (typeUrl !== '') {
    writer.uint32(10);
    writeText(parser, typeUrl);
  }
  const plan = parser.plans.resolve(typeUrl);
  const encoded = encodedContent(plan, value);
  if (encoded === undefined && plan === undefined)
    parser.fail(`no type of the contract is named ${shown(typeUrl)}`);
  parser.level = at;
  const before = writer.pos;
  writer.uint32(18);
  if (encoded !== undefined || plan === undefined) {
    writer.base64(encoded ?? '');
    return;
  }
  const start = writer.open();
  parseContent(parser, plan, value);
  if (writer.pos === start) writer.pos = before;
  else writer.close(start);
}

/** The base64 of `{"@type": ..., "value": base64}`, unless the type has a use of its own for `value`. */
function encodedContent(plan: Plan | undefined, value: JsonObject): string | undefined {
  if (plan && (plan.special !== Special.NONE || plan.byName.has('value'))) return undefined;
  const bytes = Object.hasOwn(value, 'value') ? value.value : undefined;
  const isForm = typeof bytes === 'string' && isBase64(bytes) && Object.keys(value).length === 2;
  return isForm ? bytes : undefined;
}

function parseContent(parser: Parser, plan: Plan, value: JsonObject): void {
  parser.enter();
  const isEmpty = plan.typeName === 'google.protobuf.Empty' && Object.hasOwn(value, 'value');
  if (plan.special === Special.NONE && !isEmpty) parser.object(plan, value, true);
  else parseWrapped(parser, plan, value);
  parser.leave();
}

/** `{"@type": ..., "value": ...}`: how an Any holds a type that has a JSON form of its own. */
function parseWrapped(parser: Parser, plan: Plan, value: JsonObject): void {
  if (!Object.hasOwn(value, 'value'))
    parser.fail(`expected a member "value" that holds the ${plan.typeName}`);
  const at = parser.descend(false);
  for (const key of Object.keys(value)) {
    parser.step(at, key);
    if (key !== '@type' && key !== 'value' && !parser.lenient)
      parser.fail(`no such member beside a ${plan.typeName}`);
  }
  parser.step(at, 'value');
  parser.message(plan, value.value as JsonValue);
  parser.level = at;
}
