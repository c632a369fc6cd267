/** Contracts as @grpc/reflection describes them: by the descriptors that @grpc/proto-loader makes of what it has parsed. */
import { join } from 'node:path';
import { fromBinary } from '@bufbuild/protobuf';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { loadSync } from '@grpc/proto-loader';
import { CARRIED_FOLDERS } from '../../../src/contract/well_known.js';

export interface RebuildOptions {
  readonly folder: string;
  /** Paths inside it. */
  readonly files: readonly string[];
  /** Default true. */
  readonly keepCase?: boolean;
}

/** One file for each package, without imports, relative names and all. */
export function rebuild({ folder, files, keepCase = true }: RebuildOptions): FileDescriptorProto[] {
  const paths = files.map((name) => join(folder, name));
  const loaded = loadSync(paths, { keepCase, includeDirs: [folder, ...CARRIED_FOLDERS] });
  const [first] = Object.values(loaded);
  if (!first || !('fileDescriptorProtos' in first)) {
    const service = first as unknown as Record<string, { requestType: { fileDescriptorProtos: Buffer[] } }>;
    return decode(Object.values(service)[0]?.requestType.fileDescriptorProtos ?? []);
  }
  return decode(first.fileDescriptorProtos as Buffer[]);
}

const decode = (files: readonly Buffer[]) =>
  files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
