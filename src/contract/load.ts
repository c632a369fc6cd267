/** A contract from wherever it is kept: .proto files, descriptor sets, or the upstreams themselves. */
import { create, createFileRegistry, type FileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { assignUpstreams, type ContractUpstream } from './assign.js';
import { type Contract, ContractError, type ContractProblem } from './contract.js';
import type { Described } from './described.js';
import { describeDescriptorSet } from './descriptors.js';
import { type Merged, mergeDescribed } from './merge.js';
import { readMethods } from './methods.js';
import { describeProtos } from './protos.js';
import { carriedPath } from './well_known.js';

export interface ContractSources {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each proto folder itself and the files that we carry. */
  readonly includes: readonly string[];
  /** Files that hold an encoded google.protobuf.FileDescriptorSet. */
  readonly descriptors: readonly string[];
  readonly upstreams: readonly ContractUpstream[];
  /** Asks an upstream what it serves (see reflection.ts). Used when there are neither `protos` nor `descriptors`. */
  readonly reflect?: (upstream: ContractUpstream) => Promise<Described>;
}

/** Throws ContractError that lists everything found wrong, in all sources. */
export async function loadContract(sources: ContractSources): Promise<Contract> {
  const problems: ContractProblem[] = [];
  const parts = await describeAll(sources, problems);
  const complete = problems.length === 0;
  const merged = mergeDescribed([...carriedFor(parts), ...parts], problems);
  const types = buildTypes(merged, problems);
  if (complete && merged.services.size === 0)
    problems.push({ problem: 'the contract has no service to serve' });
  // Without one of the sources, services would seem to lack upstreams, and upstreams services.
  const upstreams = assignUpstreams({ ...merged, upstreams: sources.upstreams }, complete ? problems : []);
  const methods = readMethods(types, merged, { upstreams, problems });
  if (problems.length > 0) throw new ContractError(problems);
  return { methods, types };
}

/** What all sources say, and the problems of those that cannot be used. */
async function describeAll(sources: ContractSources, problems: ContractProblem[]): Promise<Described[]> {
  const { protos, includes, descriptors, upstreams, reflect } = sources;
  const asking: Promise<Described>[] = [];
  if (protos.length > 0) asking.push(Promise.resolve().then(() => describeProtos({ protos, includes })));
  for (const path of descriptors) asking.push(Promise.resolve().then(() => describeDescriptorSet(path)));
  if (asking.length === 0 && reflect) asking.push(...upstreams.map((upstream) => reflect(upstream)));
  const parts: Described[] = [];
  for (const result of await Promise.allSettled(asking)) {
    if (result.status === 'fulfilled') parts.push(result.value);
    else if (result.reason instanceof ContractError) problems.push(...result.reason.problems);
    else throw result.reason;
  }
  return parts;
}

/** The files of ours that are imported by descriptors which leave them out. */
function carriedFor(parts: readonly Described[]): Described[] {
  const present = new Set(parts.flatMap((part) => part.files.map((file) => file.name)));
  const wanted = new Set(parts.flatMap((part) => part.files.flatMap((file) => file.dependency)));
  const protos = [...wanted].flatMap((name) => (present.has(name) ? [] : (carriedPath(name) ?? [])));
  if (protos.length === 0) return [];
  return [{ ...describeProtos({ protos, includes: [] }), services: new Set() }];
}

function buildTypes({ files }: Merged, problems: ContractProblem[]): FileRegistry {
  try {
    return createFileRegistry(create(FileDescriptorSetSchema, { file: [...files] }));
  } catch (error) {
    // The library checks descriptors while it links them, and throws plain errors: news only if nothing explains it.
    const why = (error instanceof Error && error.message) || 'they are malformed';
    if (problems.length === 0) problems.push({ problem: `the descriptors do not fit together: ${why}` });
    return createFileRegistry(create(FileDescriptorSetSchema));
  }
}
