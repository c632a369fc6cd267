/** Descriptors that a server rebuilt from parsed files, as @grpc/reflection does: put into the form that protoc writes. */
import { clearField, create, isFieldSet } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import { qualify } from './described.js';
import { mapEntryName } from './proto_fields.js';

/**
 * protobufjs forgets or rewrites much of a file when it makes a descriptor of it. What can be told is restored, each by
 * its own symptom, so that descriptors of other servers stay as they are: map entries that are named like their field;
 * extensions that stand among the fields; `optional` of proto3; and proto2 (it says proto3 of everything), which moves
 * into a file of its own where a package has both. Lost for good are custom options, JSON names, `required`, and names
 * of fields that the server had turned into camel case. Changes the file; relative names are resolveNames' matter.
 */
export function restoreShape(file: FileDescriptorProto): FileDescriptorProto[] {
  const files = separateProto2(file);
  for (const part of files)
    for (const message of part.messageType) restoreMessage(message, part.package, part.syntax === 'proto3');
  return files;
}

function restoreMessage(message: DescriptorProto, scope: string, proto3: boolean): void {
  const name = qualify(scope, message.name);
  // `.pkg.extension` is an extension of this message that is declared elsewhere too.
  const fields = message.field.filter((field) => !field.name.startsWith('.'));
  message.extension.push(...fields.filter(({ extendee }) => extendee !== ''));
  message.field = fields.filter(({ extendee }) => extendee === '');
  for (const entry of message.nestedType) nameMapEntry(entry, message, name);
  if (proto3) restoreOptional(message);
  for (const nested of message.nestedType) restoreMessage(nested, name, proto3);
}

/** `Labels`, which may also be the name of a message of the contract, becomes `LabelsEntry`. */
function nameMapEntry(entry: DescriptorProto, message: DescriptorProto, scope: string): void {
  if (!entry.options?.mapEntry) return;
  const field = message.field.find(
    ({ name, typeName, label }) =>
      label === Label.REPEATED &&
      typeName === entry.name &&
      name !== '' &&
      entry.name === `${name[0]?.toUpperCase()}${name.slice(1)}`,
  );
  if (!field) return;
  entry.name = mapEntryName(field.name);
  field.typeName = `.${scope}.${entry.name}`;
}

/** A oneof `_note` around `note` alone stands for `optional`; such ones come last. */
function restoreOptional(message: DescriptorProto): void {
  const members = message.oneofDecl.map((_, index) =>
    message.field.filter((field) => oneofIndex(field) === index),
  );
  const synthetic = members.map(
    ([only, other], index) =>
      only !== undefined && !other && message.oneofDecl[index]?.name === `_${only.name}`,
  );
  const indices = [...members.keys()];
  const order = [
    ...indices.filter((index) => !synthetic[index]),
    ...indices.filter((index) => synthetic[index]),
  ];
  for (const [index, old] of order.entries()) {
    for (const field of members[old] ?? []) {
      field.oneofIndex = index;
      if (synthetic[old]) field.proto3Optional = true;
    }
  }
  message.oneofDecl = order.flatMap((old) => message.oneofDecl[old] ?? []);
}

function oneofIndex(field: FieldDescriptorProto): number | undefined {
  return isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex) ? field.oneofIndex : undefined;
}

const startsAtZero = ({ value: [first] }: EnumDescriptorProto) => (first?.number ?? 0) === 0;

function separateProto2(file: FileDescriptorProto): FileDescriptorProto[] {
  if (file.syntax !== 'proto3') return [file];
  const old = file.messageType.filter(isProto2);
  const modern = file.messageType.filter((message) => !old.includes(message));
  const extensions = file.extension.filter(isUnpacked);
  const enums = file.enumType.filter((type) => !startsAtZero(type));
  if (old.length + extensions.length + enums.length === 0) return [file];
  unmark(extensions);
  for (const message of old) unmarkMessage(message);
  if (modern.length === 0) {
    file.syntax = 'proto2';
    return [file];
  }
  file.messageType = modern;
  file.extension = file.extension.filter((field) => !extensions.includes(field));
  file.enumType = file.enumType.filter(startsAtZero);
  const name = file.name.replace(/(\.proto)?$/, '.proto2$1');
  const { package: pkg } = file;
  const proto2 = { name, package: pkg, messageType: old, extension: extensions, enumType: enums };
  return [file, create(FileDescriptorProtoSchema, { ...proto2, syntax: 'proto2' })];
}

/** protobufjs writes `packed = false` on every field of proto2, and in proto3 only where the file does, on lists. */
const isUnpacked = ({ label, options }: FieldDescriptorProto) =>
  label !== Label.REPEATED &&
  options !== undefined &&
  isFieldSet(options, FieldOptionsSchema.field.packed) &&
  !options.packed;

function isProto2(message: DescriptorProto): boolean {
  const singular = message.field.filter(({ label }) => label !== Label.REPEATED);
  if (singular.length > 0) return singular.every(isUnpacked);
  const nested = message.nestedType.filter(({ options }) => !options?.mapEntry);
  const only2 = message.extensionRange.length > 0 || !message.enumType.every(startsAtZero);
  return only2 || nested.some(isProto2);
}

function unmarkMessage(message: DescriptorProto): void {
  unmark(message.field);
  for (const nested of message.nestedType) unmarkMessage(nested);
}

function unmark(fields: readonly FieldDescriptorProto[]): void {
  for (const { options } of fields.filter(isUnpacked))
    if (options) clearField(options, FieldOptionsSchema.field.packed);
}

/** Of types: no relative name means a map entry. */
type Kind = 'message' | 'enum' | 'entry';

/** A name that stands somewhere in a file. */
interface Reference {
  readonly name: string;
  readonly kind: Kind;
  /** The scope it is looked up from. */
  readonly scope: string;
  readonly set: (name: string) => void;
}

/** Relative names become absolute, by protobuf's scoping rule over all files; what is declared nowhere stays as it is. */
export function resolveNames(
  files: readonly FileDescriptorProto[],
  known: Iterable<FileDescriptorProto>,
): void {
  const kinds = kindsOf([...known, ...files]);
  for (const file of files) {
    for (const { name, kind, scope, set } of references(file)) {
      if (name.startsWith('.')) continue;
      const found = meanings(scope, name).find((full) => kinds.get(full) === kind);
      if (found !== undefined) set(`.${found}`);
    }
  }
}

/** For every name that is declared nowhere, all full names that it may stand for. */
export function missingNames(
  files: readonly FileDescriptorProto[],
  known: Iterable<FileDescriptorProto>,
): ReadonlySet<string> {
  const kinds = kindsOf([...known, ...files]);
  const missing = new Set<string>();
  for (const file of files) {
    for (const { name, kind, scope } of references(file)) {
      const absolute = name.startsWith('.');
      const known = (full: string) => (absolute ? kinds.has(full) : kinds.get(full) === kind);
      const full = meanings(scope, name);
      if (!full.some(known)) for (const meaning of full) missing.add(meaning);
    }
  }
  return missing;
}

/** The full names that a name may stand for, the strongest first. */
function meanings(scope: string, name: string): string[] {
  if (name.startsWith('.')) return [name.slice(1)];
  const parts = scope === '' ? [] : scope.split('.');
  const scopes = [...parts.map((_, index) => parts.slice(0, parts.length - index).join('.')), ''];
  return scopes.map((outer) => qualify(outer, name));
}

function kindsOf(files: readonly FileDescriptorProto[]): ReadonlyMap<string, Kind> {
  const kinds = new Map<string, Kind>();
  const add = (message: DescriptorProto, scope: string): void => {
    const name = qualify(scope, message.name);
    kinds.set(name, message.options?.mapEntry ? 'entry' : 'message');
    for (const { name: inner } of message.enumType) kinds.set(qualify(name, inner), 'enum');
    for (const nested of message.nestedType) add(nested, name);
  };
  for (const file of files) {
    for (const { name } of file.enumType) kinds.set(qualify(file.package, name), 'enum');
    for (const message of file.messageType) add(message, file.package);
  }
  return kinds;
}

function* references(file: FileDescriptorProto): Generator<Reference> {
  for (const message of file.messageType) yield* messageReferences(message, file.package);
  for (const field of file.extension) yield* fieldReferences(field, file.package);
  for (const service of file.service) {
    const scope = qualify(file.package, service.name);
    for (const method of service.method) {
      const input = (name: string) => (method.inputType = name);
      const output = (name: string) => (method.outputType = name);
      yield { name: method.inputType, kind: 'message', scope, set: input };
      yield { name: method.outputType, kind: 'message', scope, set: output };
    }
  }
}

function* messageReferences(message: DescriptorProto, outer: string): Generator<Reference> {
  const scope = qualify(outer, message.name);
  for (const field of [...message.field, ...message.extension]) yield* fieldReferences(field, scope);
  for (const nested of message.nestedType) {
    // protobufjs names the values of a map as seen from outside of the message that has the map.
    if (!nested.options?.mapEntry) yield* messageReferences(nested, scope);
    else for (const field of nested.field) yield* fieldReferences(field, outer);
  }
}

function* fieldReferences(field: FieldDescriptorProto, scope: string): Generator<Reference> {
  if (field.typeName !== '') {
    const kind = field.type === Type.ENUM ? 'enum' : 'message';
    yield { name: field.typeName, kind, scope, set: (name) => (field.typeName = name) };
  }
  if (field.extendee !== '') {
    const set = (name: string) => (field.extendee = name);
    yield { name: field.extendee, kind: 'message', scope, set };
  }
}
