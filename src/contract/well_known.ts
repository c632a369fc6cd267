/** The files that every contract may import without bringing them along. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { DescFile } from '@bufbuild/protobuf';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import * as wkt from '@bufbuild/protobuf/wkt';

const require = createRequire(import.meta.url);

/** Folders of .proto files that come with this package: google/api (from protobufjs), and our own tidegate/v1. */
export const CARRIED_FOLDERS: readonly string[] = [
  dirname(require.resolve('protobufjs/package.json')),
  join(dirname(require.resolve('tidegate/package.json')), 'proto'),
];

const FILES: readonly DescFile[] = [
  wkt.file_google_protobuf_any,
  wkt.file_google_protobuf_api,
  wkt.file_google_protobuf_descriptor,
  wkt.file_google_protobuf_duration,
  wkt.file_google_protobuf_empty,
  wkt.file_google_protobuf_field_mask,
  wkt.file_google_protobuf_source_context,
  wkt.file_google_protobuf_struct,
  wkt.file_google_protobuf_timestamp,
  wkt.file_google_protobuf_type,
  wkt.file_google_protobuf_wrappers,
  wkt.file_google_protobuf_compiler_plugin,
  wkt.file_google_protobuf_cpp_features,
  wkt.file_google_protobuf_go_features,
  wkt.file_google_protobuf_java_features,
];

const BY_NAME: ReadonlyMap<string, FileDescriptorProto> = new Map(
  FILES.map((file) => [file.proto.name, file.proto]),
);

/** `google/protobuf/timestamp.proto` and the like, in the newest form; undefined for any other name. */
export function wellKnownFile(name: string): FileDescriptorProto | undefined {
  return BY_NAME.get(name);
}

export function wellKnownFiles(): Iterable<FileDescriptorProto> {
  return BY_NAME.values();
}

/** Where a file stands that a contract may leave out although it imports it; undefined for any other name. */
export function carriedPath(name: string): string | undefined {
  if (!name.startsWith('google/api/') && !name.startsWith('tidegate/v1/')) return undefined;
  return CARRIED_FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** protobufjs has these built in and reads them from nowhere else, wherever a path ends like this. */
const BUILT_IN =
  /(?:^|\/)(google\/protobuf\/(?:any|api|descriptor|duration|empty|field_mask|source_context|struct|timestamp|type|wrappers)\.proto)$/;

/** `google/protobuf/any.proto` for any path that ends so; undefined for what has to be read from a folder. */
export function builtInName(path: string): string | undefined {
  return BUILT_IN.exec(path)?.[1];
}
