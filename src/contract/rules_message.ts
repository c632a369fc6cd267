/** What protoc refuses in a message and its fields. */
import { isFieldSet } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  FeatureSet_JsonFormat,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { member, PATH, type Place } from './contents.js';
import { featureOf } from './features.js';
import { defaultJsonName } from './proto_fields.js';
import type { Checking } from './rules.js';

/** Messages by full name. */
export type Messages = ReadonlyMap<string, DescriptorProto>;

const MAX_NUMBER = 536_870_911;
const MAX_IN_MESSAGE_SET = 2_147_483_646;
const OWN_NUMBERS = { first: 19_000, last: 19_999 } as const;

export function checkMessage(message: DescriptorProto, place: Place, checking: Checking): void {
  if (message.options?.mapEntry) {
    checkMapKey(message, place, checking);
    return;
  }
  const byNumber = new Map<number, string>();
  for (const [index, field] of message.field.entries()) {
    const at = member(place, PATH.message.field, index, field.name);
    const same = byNumber.get(field.number);
    byNumber.set(field.number, same ?? field.name);
    if (same !== undefined) checking.report(at, `the number ${field.number} is also that of ${same}`);
    checkNumber(field, { place: at, max: maxNumber(message) }, checking);
  }
  checkJsonNames(message, place, checking);
  if (!checking.lenient) checkDeclarations(message, place, checking);
}

/** What matters to compilers alone. */
function checkDeclarations(message: DescriptorProto, place: Place, checking: Checking): void {
  checkRanges(message, place, checking);
  for (const [index, field] of message.field.entries()) {
    const at = member(place, PATH.message.field, index, field.name);
    checkReserved(field, { place: at, message }, checking);
    checkField(field, at, checking);
  }
  for (const [index, { name }] of message.oneofDecl.entries()) {
    const isMember = (field: FieldDescriptorProto) =>
      isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex) && field.oneofIndex === index;
    if (!message.field.some(isMember))
      checking.report(member(place, PATH.message.oneof, index, name), 'a oneof has at least one field');
  }
}

const maxNumber = (message: DescriptorProto) =>
  message.options?.messageSetWireFormat ? MAX_IN_MESSAGE_SET : MAX_NUMBER;

function checkNumber(
  { number }: FieldDescriptorProto,
  { place, max }: { readonly place: Place; readonly max: number },
  { report }: Checking,
): void {
  if (!Number.isInteger(number) || number < 1 || number > max)
    report(place, `${number} is no field number: they go from 1 to ${max}`);
  if (number >= OWN_NUMBERS.first && number <= OWN_NUMBERS.last)
    report(place, `the field numbers ${OWN_NUMBERS.first} to ${OWN_NUMBERS.last} are protobuf's own`);
}

function checkReserved(
  { name, number }: FieldDescriptorProto,
  { place, message }: { readonly place: Place; readonly message: DescriptorProto },
  { report }: Checking,
): void {
  const holds = ({ start, end }: Range) => start <= number && number < end;
  if (message.reservedName.includes(name)) report(place, 'the name is reserved');
  if (message.reservedRange.some(holds)) report(place, `the number ${number} is reserved`);
  if (message.extensionRange.some(holds)) report(place, `the number ${number} is one for extensions`);
}

interface Range {
  readonly start: number;
  readonly end: number;
}

function checkRanges(message: DescriptorProto, place: Place, { proto3, report }: Checking): void {
  if (proto3 && message.extensionRange.length > 0) report(place, 'proto3 has no extension ranges');
  const ranges: Range[] = [...message.reservedRange, ...message.extensionRange];
  const printed = ({ start, end }: Range) => (end - start === 1 ? `${start}` : `${start} to ${end - 1}`);
  for (const range of ranges) {
    if (range.start < 1 || range.end > maxNumber(message) + 1 || range.end < range.start)
      report(place, `${printed(range)} are no field numbers: they go from 1 to ${maxNumber(message)}`);
  }
  const sorted = ranges.toSorted((a, b) => a.start - b.start);
  for (const [index, range] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before && range.start < before.end)
      report(place, `the numbers ${printed(before)} and ${printed(range)} overlap`);
  }
  const doubled = message.reservedName.filter((name, index) => message.reservedName.indexOf(name) !== index);
  for (const name of new Set(doubled)) report(place, `the name ${name} is reserved twice`);
}

const UNPACKABLE: ReadonlySet<Type> = new Set([Type.STRING, Type.BYTES, Type.MESSAGE, Type.GROUP]);

function checkField(field: FieldDescriptorProto, place: Place, { proto3, report }: Checking): void {
  const list = field.label === Label.REPEATED;
  if (field.options?.packed && (!list || UNPACKABLE.has(field.type)))
    report(place, 'only lists of numbers, bools and enums can be packed');
  if (isFieldSet(field, FieldDescriptorProtoSchema.field.defaultValue)) {
    if (proto3) report(place, 'proto3 has no default values');
    else if (list || field.type === Type.MESSAGE || field.type === Type.GROUP)
      report(place, 'only single scalars and enums have default values');
  }
  if (proto3 && field.label === Label.REQUIRED) report(place, 'proto3 has no required fields');
  if (proto3 && field.type === Type.GROUP) report(place, 'proto3 has no groups');
}

const NO_KEYS: ReadonlyMap<Type, string> = new Map([
  [Type.DOUBLE, 'double'],
  [Type.FLOAT, 'float'],
  [Type.BYTES, 'bytes'],
  [Type.MESSAGE, 'a message'],
  [Type.GROUP, 'a group'],
  [Type.ENUM, 'an enum'],
]);

function checkMapKey(entry: DescriptorProto, place: Place, { report }: Checking): void {
  const key = entry.field.find(({ number }) => number === 1);
  const kind = key && NO_KEYS.get(key.type);
  if (kind !== undefined) report(place, `keys of a map are integers, bools or strings, and not ${kind}`);
}

/**
 * Protobuf checks the names that fields have without a json_name too, for languages that ignore json_name. proto2 allows
 * what clashes there, but for two fields that were both given the name.
 */
function checkJsonNames(message: DescriptorProto, place: Place, { file, proto2, report }: Checking): void {
  if (message.options?.deprecatedLegacyJsonFieldConflicts) return;
  const format = featureOf('jsonFormat', [message, ...place.within, file]);
  const legacy = proto2 || format === FeatureSet_JsonFormat.LEGACY_BEST_EFFORT;
  const given = new Map<string, FieldDescriptorProto>();
  const plain = new Map<string, FieldDescriptorProto>();
  for (const [index, field] of message.field.entries()) {
    const usual = defaultJsonName(field.name);
    const name = field.jsonName || usual;
    const other = given.get(name) ?? (legacy ? undefined : plain.get(usual));
    if (!given.has(name)) given.set(name, field);
    if (!plain.has(usual)) plain.set(usual, field);
    if (!other || other.name === field.name || (legacy && !(isGiven(field) && isGiven(other)))) continue;
    const same = other.jsonName === name || defaultJsonName(other.name) === name ? name : usual;
    report(
      member(place, PATH.message.field, index, field.name),
      `its JSON name ${same} is also that of ${other.name}`,
    );
  }
}

const isGiven = ({ name, jsonName }: FieldDescriptorProto) =>
  jsonName !== '' && jsonName !== defaultJsonName(name);

export function checkExtension(
  field: FieldDescriptorProto,
  { place, messages }: { readonly place: Place; readonly messages: Messages },
  checking: Checking,
): void {
  const extendee = field.extendee.replace(/^\./, '');
  const message = messages.get(extendee);
  checkNumber(field, { place, max: message ? maxNumber(message) : MAX_IN_MESSAGE_SET }, checking);
  checkField(field, place, checking);
  if (checking.proto3 && !/^google\.protobuf\.\w+Options$/.test(extendee))
    checking.report(place, `proto3 extends nothing but options, and not ${extendee}`);
  const ranges = message?.extensionRange ?? [];
  if (message && !ranges.some(({ start, end }) => start <= field.number && field.number < end))
    checking.report(place, `the number ${field.number} is none that ${extendee} has for extensions`);
}
