/** Descriptors as `npm run gen` wrote them: each file's own bytes, with every option, and what it declares. */
import { existsSync, readFileSync } from 'node:fs';
import { create, createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

export interface DescriptorFile {
  readonly name: string;
  readonly dependencies: readonly string[];
  /** The FileDescriptorProto as it was given, byte for byte: decoding and encoding it would lose options unknown to us. */
  readonly bytes: Uint8Array;
}

export interface Descriptors {
  readonly files: ReadonlyMap<string, DescriptorFile>;
  /** Full name of a message, field, enum, enum value, extension, service or method to the file that declares it. */
  readonly symbols: ReadonlyMap<string, DescriptorFile>;
  /** Full name of a message to the files of its extensions, by field number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescriptorFile>>;
}

/** The FileDescriptorProtos of a set in gen/. This module runs where it was written and compiled in dist/. */
export function loadDescriptors(name: 'contract.binpb' | 'health.binpb'): Uint8Array[] {
  const places = [`../gen/${name}`, `../../gen/${name}`].map((path) => new URL(path, import.meta.url));
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`gen/${name} is missing: run \`npm run gen\``);
  return filesOf(readFileSync(found));
}

/** google.protobuf.FileDescriptorSet: file = 1, repeated. */
function filesOf(set: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(set);
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1 && wire === WireType.LengthDelimited) files.push(reader.bytes());
    else reader.skip(wire, field);
  }
  return files;
}

/** Indexes encoded FileDescriptorProtos, which must include what they import. Of two files of one name, the first counts. */
export function indexDescriptors(encoded: readonly Uint8Array[]): Descriptors {
  const files = new Map<string, DescriptorFile>();
  const protos = [];
  for (const bytes of encoded) {
    const proto = fromBinary(FileDescriptorProtoSchema, bytes);
    if (files.has(proto.name)) continue;
    files.set(proto.name, { name: proto.name, dependencies: proto.dependency, bytes });
    protos.push(proto);
  }
  const symbols = new Map<string, DescriptorFile>();
  const extensions = new Map<string, Map<number, DescriptorFile>>();
  for (const desc of createFileRegistry(create(FileDescriptorSetSchema, { file: protos }))) {
    const file = files.get(desc.file.proto.name);
    if (file === undefined) continue;
    for (const name of namesOf(desc)) symbols.set(name, file);
    if (desc.kind !== 'extension') continue;
    const numbers = extensions.get(desc.extendee.typeName) ?? new Map<number, DescriptorFile>();
    extensions.set(desc.extendee.typeName, numbers.set(desc.number, file));
  }
  return { files, symbols, extensions };
}

type Desc = FileRegistry extends Iterable<infer D> ? D : never;

/** The names that a declaration brings: its own, and those of what is declared in it. */
function namesOf(desc: Desc): string[] {
  const { typeName } = desc;
  switch (desc.kind) {
    case 'message':
      return [typeName, ...[...desc.fields, ...desc.oneofs].map(({ name }) => `${typeName}.${name}`)];
    case 'service':
      return [typeName, ...desc.methods.map(({ name }) => `${typeName}.${name}`)];
    case 'enum': {
      // Enum values stand beside their enum, not in it.
      const scope = typeName.slice(0, typeName.length - desc.name.length);
      return [typeName, ...desc.values.map(({ name }) => `${scope}${name}`)];
    }
    case 'extension':
      return [typeName];
  }
}
