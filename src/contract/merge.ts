/** Several descriptions of a contract become one set of files, in which every name is declared once. */
import { clone } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import type { Source } from '../method.js';
import { type ContractProblem, printProblem } from './contract.js';
import { type Declaration, declarationsOf, meaningOf, referencesOf, typeNames } from './declarations.js';
import { type Described, qualify } from './described.js';
import { defaultJsonName } from './proto_fields.js';
import { wellKnownFile, wellKnownFiles } from './well_known.js';

export interface Merged {
  /** Sorted so that every file comes after the files whose types it uses. */
  readonly files: readonly FileDescriptorProto[];
  /** Services to serve, in order of declaration, with the upstreams that listed them (none: no upstream was asked). */
  readonly services: ReadonlyMap<string, readonly string[]>;
  /** Where each service (`pkg.Service`) and method (`pkg.Service/Method`) is declared. */
  readonly sources: ReadonlyMap<string, Source>;
}

interface Known {
  readonly declaration: Declaration;
  readonly file: FileDescriptorProto;
  readonly origin: string;
}

/** Where google/protobuf/*.proto come from. */
const OURS = 'tidegate';

/**
 * A name declared several times with one meaning is kept once; with different meanings it is a problem, except in
 * packages of Google's, which exist in many versions that work together: of those the first is kept.
 */
export function mergeDescribed(parts: readonly Described[], problems: ContractProblem[]): Merged {
  const merger = new Merger(problems);
  for (const part of parts) merger.add(part);
  return merger.finish();
}

class Merger {
  readonly #files = new Map<string, FileDescriptorProto>();
  readonly #known = new Map<string, Known>();
  readonly #services = new Map<string, string[]>();
  readonly #sources = new Map<string, Source>();
  /** Files whose imports are known to be missing, so that each missing type is not reported as well. */
  readonly #incomplete = new Set<string>();
  /** Names of files with the upstream that described them by reflection. */
  readonly #upstreams = new Map<string, string>();

  constructor(readonly problems: ContractProblem[]) {
    // Whoever has these under another name, has ours.
    for (const file of wellKnownFiles()) {
      for (const declaration of declarationsOf(file))
        this.#known.set(declaration.name, { declaration, file, origin: OURS });
    }
  }

  add(part: Described): void {
    const names = new Set(part.files.map((file) => file.name));
    for (const file of part.files) {
      if (wellKnownFile(file.name)) continue;
      if (!part.partial) this.#checkImports(file, names, part.origin);
      this.#addFile(file, part);
    }
    for (const service of part.services) {
      const listedBy = this.#services.get(service) ?? [];
      if (part.upstream !== undefined) listedBy.push(part.upstream);
      this.#services.set(service, listedBy);
    }
  }

  #checkImports(file: FileDescriptorProto, names: ReadonlySet<string>, origin: string): void {
    for (const name of file.dependency) {
      if (names.has(name) || this.#files.has(name) || wellKnownFile(name)) continue;
      this.#incomplete.add(file.name);
      const problem = `imports "${name}", which the descriptor set does not hold: write it with buf build, or with protoc --include_imports`;
      this.problems.push({ source: { file: file.name }, problem, cause: `incomplete ${origin}` });
    }
  }

  #addFile(original: FileDescriptorProto, { origin, upstream }: Described): void {
    const file = clone(FileDescriptorProtoSchema, original);
    for (const message of file.messageType) completeMessage(message);
    for (const field of file.extension) field.jsonName ||= defaultJsonName(field.name);
    delete file.sourceCodeInfo;

    const repeated = new Set<unknown>();
    for (const declaration of declarationsOf(file)) {
      const known = this.#known.get(declaration.name);
      if (known) repeated.add(declaration.proto);
      if (known) this.#compare(known, { declaration, file, origin });
      else this.#known.set(declaration.name, { declaration, file, origin });
    }
    if (repeated.size > 0) removeRepeated(file, repeated);
    if (this.#files.has(file.name) || repeated.size > 0) {
      if (declarationsOf(file).length === 0) return;
      file.name = this.#unusedName(file.name);
    }
    this.#files.set(file.name, file);
    if (upstream !== undefined) this.#upstreams.set(file.name, upstream);
    this.#addSources(original);
  }

  #compare(known: Known, other: Known): void {
    const { kind, name } = known.declaration;
    if (name.startsWith('google.') || known.origin === OURS) return;
    if (meaningOf(known.declaration, known.file) === meaningOf(other.declaration, other.file)) return;
    const place = ({ file, origin }: Known) => `${file.name} (${origin})`;
    const problem = `${kind} ${name} is declared differently in ${place(known)} and in ${place(other)}`;
    const cause = `${place(known)} ${place(other)}`;
    this.problems.push({ source: { file: other.file.name }, problem, cause });
  }

  /** Different upstreams may have different files of one name, `service.proto` say. */
  #unusedName(name: string): string {
    let unused = name;
    for (let copy = 2; this.#files.has(unused); copy += 1) unused = name.replace(/(\.proto)?$/, `.${copy}$1`);
    return unused;
  }

  #addSources(file: FileDescriptorProto): void {
    const lines = linesOf(file);
    const add = (key: string, path: string) => {
      const line = lines.get(path);
      if (this.#sources.has(key)) return;
      this.#sources.set(key, { file: file.name, ...(line !== undefined && { line }) });
    };
    for (const [index, service] of file.service.entries()) {
      const name = qualify(file.package, service.name);
      add(name, `6.${index}`);
      for (const [at, method] of service.method.entries())
        add(`${name}/${method.name}`, `6.${index}.2.${at}`);
    }
  }

  finish(): Merged {
    const owners = new Map<string, string>();
    for (const file of wellKnownFiles()) for (const type of typeNames(file)) owners.set(type, file.name);
    for (const file of this.#files.values()) for (const type of typeNames(file)) owners.set(type, file.name);
    const described = new Map<string, ContractProblem[]>();
    for (const file of this.#files.values()) {
      const problems = this.#linkFile(file, owners);
      const upstream = this.#upstreams.get(file.name);
      if (upstream === undefined) this.problems.push(...problems);
      else described.set(upstream, [...(described.get(upstream) ?? []), ...problems]);
    }
    for (const [upstream, problems] of described)
      if (problems.length > 0) this.problems.push(brokenReflection(upstream, problems));
    return { files: this.#sorted(), services: this.#services, sources: this.#sources };
  }

  /** Makes a file's imports say what it uses: files may have been renamed, or dropped for others with the same content. */
  #linkFile(file: FileDescriptorProto, owners: ReadonlyMap<string, string>): ContractProblem[] {
    const problems: ContractProblem[] = [];
    const dependency = new Set(
      file.dependency.filter((name) => this.#files.has(name) || wellKnownFile(name)),
    );
    for (const { type, from } of referencesOf(file)) {
      const owner = owners.get(type);
      if (owner !== undefined && owner !== file.name) dependency.add(owner);
      if (owner !== undefined || this.#incomplete.has(file.name)) continue;
      problems.push({
        source: { file: file.name },
        problem: `${from} needs ${type}, which no file declares`,
        cause: `type ${type}`,
      });
    }
    const reexported = new Set(file.publicDependency.map((index) => file.dependency[index]));
    file.dependency = [...dependency];
    file.publicDependency = file.dependency.flatMap((name, index) => (reexported.has(name) ? [index] : []));
    file.weakDependency = [];
    return problems;
  }

  #sorted(): FileDescriptorProto[] {
    const sorted = new Set<FileDescriptorProto>();
    const visiting = new Set<string>();
    const visit = (name: string): void => {
      const file = this.#files.get(name) ?? wellKnownFile(name);
      if (!file || visiting.has(name)) return;
      visiting.add(name);
      for (const dependency of file.dependency) visit(dependency);
      sorted.add(file);
    };
    for (const name of this.#files.keys()) visit(name);
    return [...sorted];
  }
}

/** One problem for all that is wrong with what a server says of itself: nobody can put that right file by file. */
export function brokenReflection(upstream: string, problems: readonly ContractProblem[]): ContractProblem {
  const [first] = problems.map(printProblem);
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const advice = 'give its contract with --proto or --descriptors';
  return {
    problem: `upstream ${upstream} describes itself wrongly by server reflection: ${first}${more}: ${advice}`,
  };
}

/** Some servers describe their files without JSON names, which JSON needs. */
function completeMessage(message: DescriptorProto): void {
  for (const field of message.field) field.jsonName ||= defaultJsonName(field.name);
  for (const field of message.extension) field.jsonName ||= defaultJsonName(field.name);
  for (const nested of message.nestedType) completeMessage(nested);
}

function removeRepeated(file: FileDescriptorProto, repeated: ReadonlySet<unknown>): void {
  file.messageType = file.messageType.filter((proto) => !repeated.has(proto));
  file.enumType = file.enumType.filter((proto) => !repeated.has(proto));
  file.extension = file.extension.filter((proto) => !repeated.has(proto));
  file.service = file.service.filter((proto) => !repeated.has(proto));
}

/** 1-based lines of services and methods by source info path, `6.0` and `6.0.2.1`, where a file has them. */
function linesOf(file: FileDescriptorProto): Map<string, number> {
  const lines = new Map<string, number>();
  for (const { path, span } of file.sourceCodeInfo?.location ?? []) {
    if (path[0] === 6 && span[0] !== undefined) lines.set(path.join('.'), span[0] + 1);
  }
  return lines;
}
