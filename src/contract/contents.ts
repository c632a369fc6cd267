/** Everything that a file contains, nested messages and enums too, with its place in the file's source info. */
import type {
  DescriptorProto,
  EnumDescriptorProto,
  FieldDescriptorProto,
  FileDescriptorProto,
  ServiceDescriptorProto,
} from '@bufbuild/protobuf/wkt';
import { qualify } from './described.js';

/** Numbers of the fields that hold what, in FileDescriptorProto, and of members in the message of their owner. */
export const PATH = {
  file: { message: 4, enum: 5, service: 6, extension: 7 },
  message: { field: 2, nested: 3, enum: 4, extension: 6, oneof: 8 },
  enum: { value: 2 },
  service: { method: 2 },
} as const;

export interface Place {
  /** Full name. */
  readonly name: string;
  /** As in google.protobuf.SourceCodeInfo.Location. */
  readonly path: readonly number[];
  /** The messages around it, the innermost first. */
  readonly within: readonly DescriptorProto[];
}

/** Members (fields, oneofs, values, methods) are found in their owners. */
export type Content = Place &
  (
    | { readonly kind: 'message'; readonly proto: DescriptorProto }
    | { readonly kind: 'enum'; readonly proto: EnumDescriptorProto }
    | { readonly kind: 'extension'; readonly proto: FieldDescriptorProto }
    | { readonly kind: 'service'; readonly proto: ServiceDescriptorProto }
  );

export function* contentsOf(file: FileDescriptorProto): Generator<Content> {
  const at = (kind: number, index: number, name: string): Place => ({
    name: qualify(file.package, name),
    path: [kind, index],
    within: [],
  });
  const { message, enum: enumeration, service, extension } = PATH.file;
  for (const [index, proto] of file.messageType.entries())
    yield* messageContents(proto, at(message, index, proto.name));
  for (const [index, proto] of file.enumType.entries())
    yield { ...at(enumeration, index, proto.name), kind: 'enum', proto };
  for (const [index, proto] of file.extension.entries())
    yield { ...at(extension, index, proto.name), kind: 'extension', proto };
  for (const [index, proto] of file.service.entries())
    yield { ...at(service, index, proto.name), kind: 'service', proto };
}

function* messageContents(proto: DescriptorProto, place: Place): Generator<Content> {
  yield { ...place, kind: 'message', proto };
  const within = [proto, ...place.within];
  const { nested, enum: enumeration, extension } = PATH.message;
  for (const [index, inner] of proto.nestedType.entries())
    yield* messageContents(inner, { ...member(place, nested, index, inner.name), within });
  for (const [index, inner] of proto.enumType.entries())
    yield { ...member(place, enumeration, index, inner.name), within, kind: 'enum', proto: inner };
  for (const [index, inner] of proto.extension.entries())
    yield { ...member(place, extension, index, inner.name), within, kind: 'extension', proto: inner };
}

/** The place of a member of what is at `place`. */
export function member({ name, path, within }: Place, kind: number, index: number, own: string): Place {
  return { name: `${name}.${own}`, path: [...path, kind, index], within };
}

/** Fields of a message, values of an enum, methods of a service. */
export function membersOf(content: Content): Place[] {
  const places = (kind: number, members: readonly { readonly name: string }[]) =>
    members.map(({ name }, index) => member(content, kind, index, name));
  if (content.kind === 'message') return places(PATH.message.field, content.proto.field);
  if (content.kind === 'enum') return places(PATH.enum.value, content.proto.value);
  if (content.kind === 'service') return places(PATH.service.method, content.proto.method);
  return [];
}
