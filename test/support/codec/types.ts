/** The types of the .proto files in this folder, compiled with buf. */
import { execFileSync } from 'node:child_process';
import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

function load(): FileRegistry {
  const image = execFileSync('node_modules/.bin/buf', ['build', 'test/support/codec', '-o', '-'], {
    maxBuffer: 1 << 24,
  });
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
}

export const types: FileRegistry = load();

/** A message type by its full name. */
export function type(name: string): DescMessage {
  const desc = types.getMessage(name);
  if (!desc) throw new Error(`no such type: ${name}`);
  return desc;
}

/** A field by `pkg.Message.field`. */
export function field(name: string): DescField {
  const dot = name.lastIndexOf('.');
  const desc = type(name.slice(0, dot)).fields.find((candidate) => candidate.name === name.slice(dot + 1));
  if (!desc) throw new Error(`no such field: ${name}`);
  return desc;
}
