/** Descriptors for tests, from the text of a .proto file. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFileRegistry, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const BUF = new URL('../../node_modules/.bin/buf', import.meta.url).pathname;

/** Compiles one file that imports nothing but google/protobuf. */
export function compileProto(text: string): FileRegistry {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-proto-'));
  try {
    writeFileSync(join(folder, 'test.proto'), text);
    const set = execFileSync(BUF, ['build', folder, '-o', '-'], { maxBuffer: 1 << 24 });
    return createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
