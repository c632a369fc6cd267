/** Names that stand twice in one scope. The values of an enum are in the scope around it, as in C++. */
import type { DescriptorProto, EnumDescriptorProto, FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { member, PATH, type Place, placeIn } from './contents.js';
import type { Checking } from './rules.js';

interface Named {
  readonly name: string;
  readonly place: Place;
  /** The enum, of a value. */
  readonly of?: string;
}

export function checkMessageScope(message: DescriptorProto, place: Place, { report }: Checking): void {
  const { field, oneof, nested, extension } = PATH.message;
  const list = (kind: number, members: readonly { readonly name: string }[]): Named[] =>
    members.map(({ name }, index) => ({ name, place: member(place, kind, index, name) }));
  const enums = message.enumType.flatMap((type, index) =>
    enumNames(type, member(place, PATH.message.enum, index, type.name)),
  );
  const names = [
    ...list(field, message.field),
    ...list(oneof, message.oneofDecl),
    ...list(nested, message.nestedType),
    ...list(extension, message.extension),
    ...enums,
  ];
  const seen = new Map<string, Named>();
  for (const named of names) checkName(named, seen, report);
}

/** The names of each package across its files. */
export function checkFileScopes(
  files: readonly FileDescriptorProto[],
  checkingOf: (file: FileDescriptorProto) => Checking,
): void {
  const packages = new Map<string, Map<string, Named>>();
  for (const file of files) {
    const { report } = checkingOf(file);
    const seen = packages.get(file.package) ?? new Map<string, Named>();
    packages.set(file.package, seen);
    for (const named of fileNames(file)) checkName(named, seen, report);
  }
}

function fileNames(file: FileDescriptorProto): Named[] {
  const { message, service, extension } = PATH.file;
  const place = (kind: number, index: number, name: string) => placeIn(file, kind, index, name);
  const list = (kind: number, members: readonly { readonly name: string }[]): Named[] =>
    members.map(({ name }, index) => ({ name, place: place(kind, index, name) }));
  return [
    ...list(message, file.messageType),
    ...list(service, file.service),
    ...list(extension, file.extension),
    ...file.enumType.flatMap((type, index) => enumNames(type, place(PATH.file.enum, index, type.name))),
  ];
}

function enumNames(type: EnumDescriptorProto, place: Place): Named[] {
  const values = type.value.map(({ name }, index) => ({
    name,
    place: member(place, PATH.enum.value, index, name),
    of: type.name,
  }));
  return [{ name: type.name, place }, ...values];
}

function checkName(named: Named, seen: Map<string, Named>, report: Checking['report']): void {
  const other = seen.get(named.name);
  if (!other) seen.set(named.name, named);
  else report(named.place, problemOf(named, other));
}

function problemOf(named: Named, other: Named): string {
  const value = named.of !== undefined ? named : other;
  if (value.of === undefined) return 'the name is declared twice in this scope';
  if (named.of === other.of) return 'the enum has this name twice';
  const prefix = value.of.replace(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase();
  return `${other.place.name} has this name in the same scope, as values of an enum stand beside it and not inside: ${prefix}_${value.name} would be unique`;
}
