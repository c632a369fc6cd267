/** Loads contracts that tests write down, from .proto texts or as descriptor sets. */
import { join } from 'node:path';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { type Contract, ContractError, printProblem } from '../../../src/contract/contract.js';
import { type ContractSources, loadContract } from '../../../src/contract/load.js';
import { describeProtos } from '../../../src/contract/protos.js';
import { createFolders, encodeSet } from './write.js';

export const folders = createFolders();

export const HEAD = `syntax = "proto3";
import "google/api/annotations.proto";
import "tidegate/v1/options.proto";
`;

const ONE = [{ name: 'u1', services: [] }];
export const NOTHING: ContractSources = { protos: [], includes: [], descriptors: [], upstreams: ONE };

export type Files = Readonly<Record<string, string>>;

export function load(files: Files, more: Partial<ContractSources> = {}): Promise<Contract> {
  return loadContract({ ...NOTHING, protos: [folders.write(files)], ...more });
}

export function loadSet(
  files: readonly FileDescriptorProto[],
  more: Partial<ContractSources> = {},
): Promise<Contract> {
  const folder = folders.write({ 'x.binpb': encodeSet(files) });
  return loadContract({ ...NOTHING, descriptors: [join(folder, 'x.binpb')], ...more });
}

export async function problemsOf(loading: Promise<Contract>): Promise<string[]> {
  const error = await loading.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) return [];
  if (error instanceof ContractError) return error.problems.map(printProblem);
  throw error;
}

export function compile(files: Files): FileDescriptorProto[] {
  return [...describeProtos({ protos: [folders.write(files)], includes: [] }).files];
}

/** A contract of one method whose body is this, on line 8. */
export const method = (body: string, rpc = 'rpc Do(M) returns (stream M)') => ({
  'a.proto': `${HEAD}package a;
enum Kind { NONE = 0; }
message M { string text = 1; Kind kind = 2; repeated string list = 3; M inner = 4; int32 number = 5; string twoWords = 6; }
service S {
  ${rpc} { ${body} }
}`,
});
