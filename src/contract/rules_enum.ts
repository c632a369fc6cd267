/** What protoc refuses in an enum. */
import type { EnumDescriptorProto } from '@bufbuild/protobuf/wkt';
import { FeatureSet_EnumType, FeatureSet_JsonFormat } from '@bufbuild/protobuf/wkt';
import { member, PATH, type Place } from './contents.js';
import { featureOf } from './features.js';
import type { Checking } from './rules.js';

const INT32 = { min: -2_147_483_648, max: 2_147_483_647 } as const;

export function checkEnum(type: EnumDescriptorProto, place: Place, checking: Checking): void {
  const { report } = checking;
  const byNumber = new Map<number, string>();
  for (const [index, { name, number }] of type.value.entries()) {
    const at = member(place, PATH.enum.value, index, name);
    if (!Number.isInteger(number) || number < INT32.min || number > INT32.max)
      report(at, `${number} is no number of an enum value: they are 32-bit integers`);
    const same = byNumber.get(number);
    if (same !== undefined && !type.options?.allowAlias)
      report(at, `${same} has the number ${number} too: option allow_alias = true permits that`);
    byNumber.set(number, same ?? name);
  }
  if (checking.lenient) return;
  checkFirst(type, place, checking);
  checkReserved(type, place, checking);
  checkPlainNames(type, place, checking);
}

function checkFirst(type: EnumDescriptorProto, place: Place, checking: Checking): void {
  const [first] = type.value;
  if (!first) checking.report(place, 'an enum has at least one value');
  if (!first || first.number === 0 || !isOpen(type, place, checking)) return;
  const where = checking.proto3 ? 'in proto3 the first value of an enum' : 'the first value of an open enum';
  const problem = `${where} must be 0, and ${first.name} is ${first.number}`;
  checking.report(member(place, PATH.enum.value, 0, first.name), problem);
}

function checkReserved(type: EnumDescriptorProto, place: Place, { report }: Checking): void {
  for (const [index, { name, number }] of type.value.entries()) {
    const at = member(place, PATH.enum.value, index, name);
    if (type.reservedName.includes(name)) report(at, 'the name is reserved');
    if (type.reservedRange.some(({ start, end }) => start <= number && number <= end))
      report(at, `the number ${number} is reserved`);
  }
}

function isOpen(type: EnumDescriptorProto, { within }: Place, { file, proto2 }: Checking): boolean {
  if (proto2) return false;
  return featureOf('enumType', [type, ...within, file]) !== FeatureSet_EnumType.CLOSED;
}

/** Generated code of many languages names values without the enum's name, in one case: they must still differ there. */
function checkPlainNames(type: EnumDescriptorProto, place: Place, { file, proto2, report }: Checking): void {
  const format = featureOf('jsonFormat', [type, ...place.within, file]);
  if (proto2 || format === FeatureSet_JsonFormat.LEGACY_BEST_EFFORT) return;
  if (type.options?.deprecatedLegacyJsonFieldConflicts) return;
  const seen = new Map<string, { readonly name: string; readonly number: number }>();
  for (const [index, value] of type.value.entries()) {
    const plain = plainName(value.name, type.name);
    const other = seen.get(plain);
    if (!other) seen.set(plain, value);
    else if (other.name !== value.name && other.number !== value.number)
      report(
        member(place, PATH.enum.value, index, value.name),
        `is the same as ${other.name} without the enum's name and apart from case`,
      );
  }
}

/** `KIND_OLD_VAN` of enum Kind is `OldVan`, as are `OLD_VAN` and `old_van`. */
function plainName(name: string, type: string): string {
  const words = withoutPrefix(name, type).split('_');
  return words.map((word) => `${word.slice(0, 1).toUpperCase()}${word.slice(1).toLowerCase()}`).join('');
}

/** The enum's name counts without underscores and case; a value that is nothing else keeps it. */
function withoutPrefix(name: string, type: string): string {
  const prefix = type.replaceAll('_', '').toLowerCase();
  let at = 0;
  for (const char of prefix) {
    while (name[at] === '_') at += 1;
    if (name[at]?.toLowerCase() !== char) return name;
    at += 1;
  }
  return name.slice(at).replace(/^_+/, '') || name;
}
