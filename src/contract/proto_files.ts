/** Which .proto files a contract consists of: the ones asked for, what they import, and under which names. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import type { ContractProblem } from './contract.js';
import { type Importer, missingImport } from './proto_missing.js';
import { type ProtoImport, type ProtoText, readProtoText } from './proto_text.js';
import { builtInName, CARRIED_FOLDERS } from './well_known.js';

export interface ProtoFile {
  /** As imports write it; for a file that nobody imports, relative to the folder that was asked for. */
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly source: string;
  readonly text: ProtoText;
  /** Names of the files it imports, each as `name` of another of these files, or of a built-in one. */
  readonly dependencies: readonly string[];
  /** Whether it was asked for, and not only imported: its services are served. */
  readonly asked: boolean;
}

export interface ProtoFiles {
  readonly files: readonly ProtoFile[];
  /** Absolute folders in which imports were looked up, in order. */
  readonly folders: readonly string[];
  /** What could not be found or read. */
  readonly problems: readonly ContractProblem[];
}

interface Asked {
  readonly path: string;
  readonly name: string;
  /** Found by searching a folder, and so left out when it is only a second copy of an imported file. */
  readonly searched: boolean;
}

/**
 * Reads the files and folders of `protos`, and everything they import. Imports are looked up in each folder itself
 * (of a file: its folder), then in `includes`, then among the files that we carry. `note` is told every path that is
 * read or looked for.
 */
export function findProtoFiles(
  protos: readonly string[],
  includes: readonly string[],
  note: (path: string) => void = () => {},
): ProtoFiles {
  const problems: ContractProblem[] = [];
  const asked = new Map<string, Asked>();
  for (const proto of protos) {
    for (const file of listProtos(resolve(proto), includes, problems))
      if (!asked.has(file.path)) asked.set(file.path, file);
  }
  for (const include of includes) {
    if (!isFolder(include)) problems.push({ problem: `${include}: no such folder to look up imports in` });
  }
  const roots = protos.map((proto) => resolve(proto)).map((path) => (isFolder(path) ? path : dirname(path)));
  const folders = [...new Set([...roots, ...includes.map((path) => resolve(path)), ...CARRIED_FOLDERS])];
  for (const path of asked.keys()) note(path);
  const reading = new Reading([...asked.values()], { folders, problems, note });
  return { files: reading.files(), folders, problems };
}

/** One pass over a contract's files: what has been read so far, and by which names. */
class Reading {
  readonly #texts = new Map<string, { readonly source: string; readonly text: ProtoText }>();
  readonly #bySource = new Map<string, string[]>();
  readonly #lookedUp = new Map<string, string | undefined>();
  /** Path to the first name by which it was imported. */
  readonly #importedAs = new Map<string, string>();

  constructor(
    readonly asked: readonly Asked[],
    readonly around: {
      readonly folders: readonly string[];
      readonly problems: ContractProblem[];
      readonly note: (path: string) => void;
    },
  ) {
    for (const file of asked) this.#follow(file);
  }

  files(): ProtoFile[] {
    const asked = new Map(this.asked.map((file) => [file.path, file]));
    const nameOf = (path: string) => this.#importedAs.get(path) ?? asked.get(path)?.name ?? path;
    const files: ProtoFile[] = [];
    for (const [path, { source, text }] of this.#texts) {
      const searched = asked.get(path);
      if (searched && this.#isCopy(searched, text.package)) continue;
      const dependencies = text.imports.map(({ name }) => {
        const target = this.#lookedUp.get(name);
        return builtInName(name) ?? (target === undefined ? name : nameOf(target));
      });
      files.push({ name: nameOf(path), path, source, text, dependencies, asked: searched !== undefined });
    }
    return files;
  }

  /** Reads a file and, through it, everything it imports that has not been read yet. */
  #follow(file: { readonly path: string; readonly name: string }): void {
    const waiting = [file];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      if (this.#texts.has(next.path)) continue;
      const source = this.#read(next.path);
      const text = readProtoText(source);
      this.#texts.set(next.path, { source, text });
      this.#bySource.set(source, [...(this.#bySource.get(source) ?? []), next.path]);
      for (const wanted of text.imports) {
        if (builtInName(wanted.name) !== undefined) continue;
        const path = this.#lookUp(wanted.name);
        if (path === undefined) this.around.problems.push(this.#missing({ name: next.name, text }, wanted));
        else waiting.push({ path, name: wanted.name });
        if (path !== undefined && !this.#importedAs.has(path)) this.#importedAs.set(path, wanted.name);
      }
    }
  }

  #read(path: string): string {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      this.around.problems.push({
        problem: `${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`,
      });
      return '';
    }
  }

  #lookUp(name: string): string | undefined {
    if (!this.#lookedUp.has(name)) {
      const paths = this.around.folders.map((folder) => join(folder, name));
      const found = paths.find((path) => {
        this.around.note(path);
        return isFile(path);
      });
      this.#lookedUp.set(name, found);
    }
    return this.#lookedUp.get(name);
  }

  /**
   * Whether a file that was asked for repeats another: one with the very same text, as services that share a file each
   * have it, or one found by searching that is imported by its proper name from elsewhere, as `third_party/google/api/
   * http.proto` is beside the `google/api/http.proto` that we carry.
   */
  #isCopy({ path, name, searched }: Asked, pkg: string): boolean {
    if (this.#importedAs.has(path)) return false;
    if (this.#keeperOf(path) !== path) return true;
    if (!searched) return false;
    for (const [other, importedAs] of this.#importedAs) {
      if (name.endsWith(`/${importedAs}`) && this.#texts.get(other)?.text.package === pkg) return true;
    }
    return false;
  }

  /** Of all files with the same text, the one that is imported, or else the first. */
  #keeperOf(path: string): string {
    const source = this.#texts.get(path)?.source;
    const same = this.#bySource.get(source ?? '') ?? [path];
    return same.find((other) => this.#importedAs.has(other)) ?? (same[0] as string);
  }

  #missing(importer: Importer, wanted: ProtoImport): ContractProblem {
    const { folders } = this.around;
    const searched = folders.filter((folder) => !CARRIED_FOLDERS.includes(folder));
    return missingImport(importer, wanted, { searched, asked: this.asked.map(({ path }) => slashed(path)) });
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function listProtos(path: string, includes: readonly string[], problems: ContractProblem[]): Asked[] {
  if (!existsSync(path)) {
    problems.push({ problem: `${path}: no such file or folder` });
    return [];
  }
  if (!isFolder(path)) {
    const folders = [...includes.map((include) => resolve(include)), ...CARRIED_FOLDERS];
    const folder = folders.find((candidate) => path.startsWith(candidate + sep)) ?? dirname(path);
    return [{ path, name: slashed(relative(folder, path)), searched: false }];
  }
  const inside = readdirSync(path, { recursive: true, encoding: 'utf8' }).filter(isProtoEntry);
  if (inside.length === 0) problems.push({ problem: `${path}: no .proto file in this folder` });
  return inside
    .sort()
    .map((entry) => join(path, entry))
    .filter((file) => !isFolder(file) && builtInName(slashed(file)) === undefined)
    .map((file) => ({ path: file, name: slashed(relative(path, file)), searched: true }));
}

/**
 * Whether a path inside of a folder is a .proto file of that folder's own. Folders with two dots are where Kubernetes keeps
 * what the links beside them show (AtomicWriter), so that each file would be found twice.
 */
export function isProtoEntry(entry: string): boolean {
  const folders = entry.split(sep).slice(0, -1);
  return (
    entry.endsWith('.proto') && !folders.some((part) => part === 'node_modules' || part.startsWith('..'))
  );
}

const slashed = (path: string) => path.split(sep).join('/');
