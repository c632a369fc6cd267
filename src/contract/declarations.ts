/** What a file declares and what it refers to, by full name. */
import { type JsonValue, toJson } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type EnumDescriptorProto,
  EnumDescriptorProtoSchema,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  type FileDescriptorProto,
  type ServiceDescriptorProto,
  ServiceDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { readAnnotations } from './annotations.js';
import { qualify } from './described.js';

/** Something that a file declares outside of messages. */
export type Declaration =
  | { readonly kind: 'message'; readonly name: string; readonly proto: DescriptorProto }
  | { readonly kind: 'enum'; readonly name: string; readonly proto: EnumDescriptorProto }
  | { readonly kind: 'extension'; readonly name: string; readonly proto: FieldDescriptorProto }
  | { readonly kind: 'service'; readonly name: string; readonly proto: ServiceDescriptorProto };

export function declarationsOf(file: FileDescriptorProto): Declaration[] {
  const name = (proto: { readonly name: string }) => qualify(file.package, proto.name);
  return [
    ...file.messageType.map((proto) => ({ kind: 'message', name: name(proto), proto }) as const),
    ...file.enumType.map((proto) => ({ kind: 'enum', name: name(proto), proto }) as const),
    ...file.extension.map((proto) => ({ kind: 'extension', name: name(proto), proto }) as const),
    ...file.service.map((proto) => ({ kind: 'service', name: name(proto), proto }) as const),
  ];
}

/**
 * A text that is equal for declarations which mean the same to the gateway, whatever compiler wrote them: standard
 * options count, of custom options only those that it reads.
 */
export function meaningOf(declaration: Declaration, file: FileDescriptorProto): string {
  const meaning = [
    file.syntax === 'proto2' ? '' : file.syntax,
    file.edition,
    declaration.kind,
    shape(declaration),
  ];
  return JSON.stringify(meaning, (_, value: unknown) => canonical(value));
}

function shape(declaration: Declaration): JsonValue {
  switch (declaration.kind) {
    case 'message':
      return toJson(DescriptorProtoSchema, declaration.proto);
    case 'enum':
      return toJson(EnumDescriptorProtoSchema, declaration.proto);
    case 'extension':
      return toJson(FieldDescriptorProtoSchema, declaration.proto);
    case 'service': {
      const annotations = declaration.proto.method.map(({ options }) => readAnnotations(options, () => {}));
      const plain = toJson(ServiceDescriptorProtoSchema, declaration.proto);
      return [plain, JSON.stringify(annotations)];
    }
  }
}

/**
 * Compilers differ in where they put map entries among nested messages, and in writing options that set nothing. What is
 * reserved means nothing to readers of messages.
 */
function canonical(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const {
    nestedType,
    options,
    reservedRange: _range,
    reservedName: _name,
    ...rest
  } = value as Record<string, unknown>;
  const named = (nestedType ?? []) as { readonly name: string }[];
  const sorted = [...named].sort((a, b) => (a.name < b.name ? -1 : 1));
  const set = options !== undefined && Object.keys(options as object).length > 0;
  return { ...rest, ...(named.length > 0 && { nested: sorted }), ...(set && { set: options }) };
}

/** Every message and enum that a file declares, nested ones and map entries too. */
export function* typeNames(file: FileDescriptorProto): Generator<string> {
  for (const { name } of file.enumType) yield qualify(file.package, name);
  for (const message of file.messageType) yield* nestedNames(message, file.package);
}

function* nestedNames(message: DescriptorProto, scope: string): Generator<string> {
  const name = qualify(scope, message.name);
  yield name;
  for (const inner of message.enumType) yield qualify(name, inner.name);
  for (const inner of message.nestedType) yield* nestedNames(inner, name);
}

/** A type that something needs. */
export interface Reference {
  /** Full name of the message or enum. */
  readonly type: string;
  /** Full name of the field, extension or method that needs it. */
  readonly from: string;
}

export function* referencesOf(file: FileDescriptorProto): Generator<Reference> {
  for (const message of file.messageType) yield* messageReferences(message, file.package);
  yield* fieldReferences(file.extension, file.package);
  for (const service of file.service) {
    const name = qualify(file.package, service.name);
    for (const method of service.method) {
      yield { type: withoutDot(method.inputType), from: `${name}/${method.name}` };
      yield { type: withoutDot(method.outputType), from: `${name}/${method.name}` };
    }
  }
}

const withoutDot = (name: string) => name.replace(/^\./, '');

function* messageReferences(message: DescriptorProto, scope: string): Generator<Reference> {
  const name = qualify(scope, message.name);
  yield* fieldReferences(message.field, name);
  yield* fieldReferences(message.extension, name);
  for (const inner of message.nestedType) yield* messageReferences(inner, name);
}

function* fieldReferences(fields: readonly FieldDescriptorProto[], scope: string): Generator<Reference> {
  for (const field of fields) {
    const from = qualify(scope, field.name);
    if (field.typeName !== '') yield { type: withoutDot(field.typeName), from };
    if (field.extendee !== '') yield { type: withoutDot(field.extendee), from };
  }
}
