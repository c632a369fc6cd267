/** A contract from wherever it is kept: .proto files, descriptor sets, or the upstreams themselves. */
import { createHash } from 'node:crypto';
import { create, createFileRegistry, type FileRegistry, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { assignUpstreams, type ContractUpstream } from './assign.js';
import { type Contract, ContractError, type ContractProblem, collapse } from './contract.js';
import type { Described } from './described.js';
import { describeDescriptorSet } from './descriptors.js';
import { brokenReflection, type Merged, mergeDescribed } from './merge.js';
import { readMethods } from './methods.js';
import { createOverrides } from './overrides.js';
import { describeProtos } from './protos.js';
import { reflectionWarnings } from './reflection.js';
import { readServiceConfig, type ServiceConfig } from './service_config.js';
import { carriedPath } from './well_known.js';

export interface ContractSources {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each proto folder itself and the files that we carry. */
  readonly includes: readonly string[];
  /** Files that hold an encoded google.protobuf.FileDescriptorSet. */
  readonly descriptors: readonly string[];
  /** Service configurations (see service_config.ts), the later ones stronger; default none. */
  readonly serviceConfigs?: readonly string[];
  readonly upstreams: readonly ContractUpstream[];
  /** Parts of the contract that need not be read from anywhere; default none. */
  readonly builtIn?: readonly Described[];
  /** Asks an upstream what it serves (see reflection.ts). Used when there are neither `protos` nor `descriptors`. */
  readonly reflect?: (upstream: ContractUpstream) => Promise<Described>;
}

/** What all sources say, read but not yet put together. */
export interface Description {
  readonly parts: readonly Described[];
  readonly configs: readonly ServiceConfig[];
  /** Of the sources that cannot be used. */
  readonly problems: readonly ContractProblem[];
}

/** Throws ContractError that lists everything found wrong, in all sources. */
export async function loadContract(sources: ContractSources): Promise<Contract> {
  return buildContract(await describeContract(sources), sources.upstreams);
}

/**
 * Reads all sources; what is wrong with one of them is in the result. `note` is told every path on which the answer
 * depends, whether there is such a file or not.
 */
export async function describeContract(
  { protos, includes, descriptors, serviceConfigs = [], builtIn = [], upstreams, reflect }: ContractSources,
  note: (path: string) => void = () => {},
): Promise<Description> {
  const problems: ContractProblem[] = [];
  for (const path of [...descriptors, ...serviceConfigs]) note(path);
  const asking: Promise<Described>[] = [];
  if (protos.length > 0) asking.push(later(() => describeProtos({ protos, includes, note })));
  for (const path of descriptors) asking.push(later(() => describeDescriptorSet(path)));
  if (asking.length === 0 && reflect) {
    const known = new Set(builtIn.map(({ upstream }) => upstream));
    const unknown = upstreams.filter(({ name }) => !known.has(name));
    asking.push(...unknown.map((upstream) => reflect(upstream)));
  }
  const reading = serviceConfigs.map((path) => later(() => readServiceConfig(path)));
  return {
    parts: [...(await settled(asking, problems)), ...builtIn],
    configs: await settled(reading, problems),
    problems,
  };
}

const later = <T>(read: () => T): Promise<T> => Promise.resolve().then(read);

/** What could be had, and the problems of the rest. */
async function settled<T>(asked: readonly Promise<T>[], problems: ContractProblem[]): Promise<T[]> {
  const had: T[] = [];
  for (const result of await Promise.allSettled(asked)) {
    if (result.status === 'fulfilled') had.push(result.value);
    else if (result.reason instanceof ContractError) problems.push(...result.reason.problems);
    else throw result.reason;
  }
  return had;
}

/** Puts a contract together. Throws ContractError that lists the description's problems and all that is found besides. */
export function buildContract(
  { parts, configs, problems: found }: Description,
  upstreams: readonly ContractUpstream[],
): Contract {
  const problems = [...found];
  const complete = problems.length === 0;
  const merged = mergeDescribed([...carriedFor(parts), ...parts], problems);
  const types = buildTypes(merged, parts, problems);
  if (complete && merged.services.size === 0)
    problems.push({ problem: 'the contract has no service to serve' });
  // Without one of the sources, services would seem to lack upstreams, upstreams services, and rules methods.
  const assigned = assignUpstreams({ ...merged, upstreams }, complete ? problems : []);
  const overrides = createOverrides(configs, types, complete ? problems : []);
  const methods = readMethods(types, merged, { upstreams: assigned, overrides, problems });
  if (problems.length > 0) throw new ContractError(collapse(problems));
  return { methods, types, warnings: reflectionWarnings(parts, methods) };
}

/**
 * Equal for descriptions of the same contract: the bytes of the descriptors without comments and positions, whose order
 * some servers change from one answer to the next, and the text of the service configurations.
 */
export function fingerprintOf({ parts, configs }: Description): string {
  const files = parts.flatMap((part) =>
    part.files.map((file) => {
      const { sourceCodeInfo } = file;
      delete file.sourceCodeInfo;
      const bytes = toBinary(FileDescriptorProtoSchema, file);
      if (sourceCodeInfo) file.sourceCodeInfo = sourceCodeInfo;
      return createHash('sha256')
        .update(part.upstream ?? '')
        .update(bytes)
        .digest('hex');
    }),
  );
  const services = parts.flatMap(({ services, upstream = '' }) =>
    [...services].map((name) => `${upstream} ${name}`),
  );
  const whole = [files.sort(), services.sort(), configs.map(({ text }) => text)];
  return createHash('sha256').update(JSON.stringify(whole)).digest('hex');
}

/** The files of ours that are imported by descriptors which leave them out. */
function carriedFor(parts: readonly Described[]): Described[] {
  const present = new Set(parts.flatMap((part) => part.files.map((file) => file.name)));
  const wanted = new Set(parts.flatMap((part) => part.files.flatMap((file) => file.dependency)));
  for (const { files } of parts) {
    // A server that names its files after packages: ours have all that it has forgotten.
    if (files.some(({ package: pkg, name }) => pkg === 'google.api' && !name.startsWith('google/api/')))
      wanted.add('google/api/annotations.proto');
  }
  const protos = [...wanted].flatMap((name) => (present.has(name) ? [] : (carriedPath(name) ?? [])));
  if (protos.length === 0) return [];
  return [{ ...describeProtos({ protos, includes: [] }), services: new Set() }];
}

function buildTypes(
  { files }: Merged,
  parts: readonly Described[],
  problems: ContractProblem[],
): FileRegistry {
  try {
    return createFileRegistry(create(FileDescriptorSetSchema, { file: [...files] }));
  } catch (error) {
    // The library checks descriptors while it links them, and throws plain errors: news only if nothing explains it.
    const why = (error instanceof Error && error.message) || 'they are malformed';
    const problem = { problem: `the descriptors do not fit together: ${why}` };
    const [only, another] = parts;
    const upstream = another === undefined ? only?.upstream : undefined;
    if (problems.length === 0)
      problems.push(upstream === undefined ? problem : brokenReflection(upstream, [problem]));
    return createFileRegistry(create(FileDescriptorSetSchema));
  }
}
