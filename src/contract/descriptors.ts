/** A contract from encoded google.protobuf.FileDescriptorSets, as buf and protoc write them. */
import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { ContractError } from './contract.js';
import { type Described, servicesOf } from './described.js';
import { checkRules } from './rules.js';
import { bytesOf, numberOf, readFields } from './wire.js';

/**
 * Reads one file, for example from `buf build -o x.binpb` or `protoc --include_imports --descriptor_set_out=x.binpb`.
 * Services of files that buf marks as imports are not served. Throws ContractError when the file cannot be read,
 * holds anything else, or what protoc would refuse.
 */
export function describeDescriptorSet(path: string): Described {
  const { file: files } = parse(read(path), path);
  if (files.length === 0) throw new ContractError([{ problem: `${path}: holds no files: ${HOW}` }]);
  const nameless = files.some((file) => file.name === '');
  if (nameless) throw new ContractError([{ problem: `${path}: is no descriptor set: ${HOW}` }]);
  const problems = checkRules(files);
  if (problems.length > 0) throw new ContractError(problems);
  const own = files.filter((file) => !isImport(file));
  return { origin: path, files, services: new Set(own.flatMap(servicesOf)), partial: false };
}

const HOW = 'write one with buf build -o x.binpb, or protoc --include_imports --descriptor_set_out=x.binpb';

function read(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`;
    throw new ContractError([{ problem: `${path}: ${why}` }]);
  }
}

function parse(bytes: Uint8Array, path: string): FileDescriptorSet {
  try {
    return fromBinary(FileDescriptorSetSchema, bytes);
  } catch {
    throw new ContractError([{ problem: `${path}: is no descriptor set, or a truncated one: ${HOW}` }]);
  }
}

/** buf's ImageFileExtension in FileDescriptorProto: { is_import = 1 } as field 8042. */
function isImport(file: FileDescriptorProto): boolean {
  const mark = file.$unknown?.find(({ no }) => no === 8042);
  const bytes = mark && bytesOf(mark);
  const flag = bytes && readFields(bytes).find(({ no }) => no === 1);
  return flag !== undefined && numberOf(flag) === 1;
}
