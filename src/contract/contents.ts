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

/** Where something is declared. Its name is put together when it is asked for, which it seldom is. */
export class Place {
  constructor(
    readonly own: string,
    readonly kind: number,
    readonly index: number,
    /** What it is a member of, or the package that it is in. */
    readonly around: Place | string,
    /** The messages around it, the innermost first; for a member those around its owner. */
    readonly within: readonly DescriptorProto[],
  ) {}

  /** Full name. */
  get name(): string {
    return qualify(typeof this.around === 'string' ? this.around : this.around.name, this.own);
  }

  /** As in google.protobuf.SourceCodeInfo.Location. */
  get path(): readonly number[] {
    const outer = typeof this.around === 'string' ? [] : this.around.path;
    return [...outer, this.kind, this.index];
  }
}

/** Members (fields, oneofs, values, methods) are found in their owners. */
export type Content = { readonly place: Place } & (
  | { readonly kind: 'message'; readonly proto: DescriptorProto }
  | { readonly kind: 'enum'; readonly proto: EnumDescriptorProto }
  | { readonly kind: 'extension'; readonly proto: FieldDescriptorProto }
  | { readonly kind: 'service'; readonly proto: ServiceDescriptorProto }
);

export function* contentsOf(file: FileDescriptorProto): Generator<Content> {
  const at = (kind: number, index: number, name: string) => placeIn(file, kind, index, name);
  const { message, enum: enumeration, service, extension } = PATH.file;
  for (const [index, proto] of file.messageType.entries())
    yield* messageContents(proto, at(message, index, proto.name));
  for (const [index, proto] of file.enumType.entries())
    yield { place: at(enumeration, index, proto.name), kind: 'enum', proto };
  for (const [index, proto] of file.extension.entries())
    yield { place: at(extension, index, proto.name), kind: 'extension', proto };
  for (const [index, proto] of file.service.entries())
    yield { place: at(service, index, proto.name), kind: 'service', proto };
}

function* messageContents(proto: DescriptorProto, place: Place): Generator<Content> {
  yield { place, kind: 'message', proto };
  const within = [proto, ...place.within];
  const at = (kind: number, index: number, name: string) => new Place(name, kind, index, place, within);
  const { nested, enum: enumeration, extension } = PATH.message;
  for (const [index, inner] of proto.nestedType.entries())
    yield* messageContents(inner, at(nested, index, inner.name));
  for (const [index, inner] of proto.enumType.entries())
    yield { place: at(enumeration, index, inner.name), kind: 'enum', proto: inner };
  for (const [index, inner] of proto.extension.entries())
    yield { place: at(extension, index, inner.name), kind: 'extension', proto: inner };
}

/** The place of what a file declares outside of messages. */
export function placeIn(file: FileDescriptorProto, kind: number, index: number, own: string): Place {
  return new Place(own, kind, index, file.package, []);
}

/** The place of a member of what is at `place`. */
export function member(place: Place, kind: number, index: number, own: string): Place {
  return new Place(own, kind, index, place, place.within);
}
