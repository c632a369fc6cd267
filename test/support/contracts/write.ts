/** Contracts for tests: .proto texts as folders, compiled sets, and the compiler to compare with. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';

export const PROJECT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export interface Folders {
  /** A new folder with these files, by path inside it. */
  write(files: Readonly<Record<string, string | Uint8Array>>): string;
  /** Removes all that was written. */
  remove(): void;
}

export function createFolders(): Folders {
  const made: string[] = [];
  return {
    write(files) {
      const folder = mkdtempSync(join(tmpdir(), 'tidegate-contract-'));
      made.push(folder);
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), content);
      }
      return folder;
    },
    remove() {
      for (const folder of made.splice(0)) rmSync(folder, { recursive: true });
    },
  };
}

/** An encoded google.protobuf.FileDescriptorSet. */
export function encodeSet(files: readonly FileDescriptorProto[]): Uint8Array {
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...files] }));
}

/** Compiles a folder with buf, which asks no registry: google/api comes from node_modules, tidegate/v1 from proto/. */
export function buildWithBuf(folder: string, folders: Folders): FileDescriptorSet {
  const own = 'tidegate/v1/options.proto';
  const hasOwn = existsSync(join(folder, own));
  const modules = ['contract', 'google', ...(hasOwn ? [] : ['own'])];
  const workspace = folders.write({
    'buf.yaml': `version: v2\nmodules:\n${modules.map((path) => `  - path: ${path}\n`).join('')}`,
  });
  cpSync(folder, join(workspace, 'contract'), { recursive: true });
  const onlyProtos = (path: string) => !path.endsWith('.json');
  const google = join(PROJECT, 'node_modules/protobufjs/google/api');
  cpSync(google, join(workspace, 'google/google/api'), { recursive: true, filter: onlyProtos });
  if (!hasOwn) cpSync(join(PROJECT, 'proto', own), join(workspace, 'own', own));
  execFileSync(join(PROJECT, 'node_modules/.bin/buf'), ['build', '-o', 'image.binpb'], { cwd: workspace });
  return fromBinary(FileDescriptorSetSchema, readFileSync(join(workspace, 'image.binpb')));
}
