/** What the imports of a .proto file let it name, and what is wrong with them. */
import type protobuf from 'protobufjs';
import type { ContractProblem } from './contract.js';
import { homeOfOption, homeOfType } from './known_files.js';
import type { ProtoFile } from './proto_files.js';
import { fullName, type ProtoNames } from './proto_names.js';

type Scope = protobuf.ReflectionObject | null;

/** A name as a file writes it. */
export interface Mention {
  readonly name: string;
  /** From where it is looked up. */
  readonly scope: Scope;
  readonly line: number | undefined;
  /** Tells that nothing of that name is known. */
  readonly report: (problem: string) => void;
}

export interface AroundFile {
  readonly names: ProtoNames;
  readonly files: readonly ProtoFile[];
  readonly problems: ContractProblem[];
}

/** Looks names up as protoc does: what is declared in a file that is not imported is not there. */
export class Imports {
  readonly #names: ProtoNames;
  readonly #problems: ContractProblem[];
  readonly #byPath: ReadonlyMap<string, string>;
  /** Names of the files whose declarations this one may use. */
  readonly #visible: ReadonlySet<string>;
  /** Names of files that are said to be missing. */
  readonly #reported = new Set<string>();

  constructor(
    readonly file: ProtoFile,
    { names, files, problems }: AroundFile,
  ) {
    this.#names = names;
    this.#problems = problems;
    this.#byPath = new Map(files.map(({ path, name }) => [path, name]));
    this.#visible = visibleFrom(file, new Map(files.map((other) => [other.name, other])));
  }

  /** Undefined, and reported, when there is none. */
  type({ name, scope, line, report }: Mention): protobuf.Type | protobuf.Enum | undefined {
    const seen = this.#names.type(scope, name, this.#sees);
    if (seen) return seen;
    const hidden = this.#names.type(scope, name);
    const home = hidden ? this.#homeOf(hidden) : homeOfType(name.replace(/^\./, ''));
    if (home === undefined) report('no such message or enum among the imports');
    else this.#needs({ what: hidden ? fullName(hidden) : name, home, line });
    return hidden;
  }

  /** Undefined, and reported, when there is none. */
  extension({ name, scope, line, report }: Mention): protobuf.Field | undefined {
    const seen = this.#names.extension(scope, name, this.#sees);
    if (seen) return seen;
    const hidden = this.#names.extension(scope, name);
    const home = hidden ? this.#homeOf(hidden) : homeOfOption(name.replace(/^\./, ''));
    if (home === undefined) report('no such extension among the imports');
    else this.#needs({ what: `option (${name})`, home, line: this.file.text.optionLines.get(name) ?? line });
    return hidden;
  }

  readonly #sees = (object: protobuf.ReflectionObject): boolean => {
    const home = this.#homeOf(object);
    return home === undefined || this.#visible.has(home);
  };

  /** What protobufjs brings along has no file of its own. */
  #homeOf(object: protobuf.ReflectionObject): string | undefined {
    return object.filename ? this.#byPath.get(object.filename) : homeOfType(fullName(object));
  }

  /** Once for each file that is to be imported. */
  #needs({
    what,
    home,
    line,
  }: {
    readonly what: string;
    readonly home: string;
    readonly line: number | undefined;
  }) {
    if (this.#reported.has(home)) return;
    this.#reported.add(home);
    const source = { file: this.file.name, ...(line !== undefined && { line }) };
    this.#problems.push({ source, problem: `${what} needs import "${home}"` });
  }
}

/** The file itself, its imports, and what those import publicly, and so on. */
function visibleFrom(file: ProtoFile, byName: ReadonlyMap<string, ProtoFile>): Set<string> {
  const visible = new Set([file.name]);
  const waiting = [...file.dependencies];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (visible.has(name)) continue;
    visible.add(name);
    const imported = byName.get(name);
    waiting.push(
      ...(imported?.dependencies ?? []).filter(
        (_, index) => imported?.text.imports[index]?.kind === 'public',
      ),
    );
  }
  return visible;
}

/** Imports that stand twice in a file, or lead back to it. */
export function checkImports(files: readonly ProtoFile[]): ContractProblem[] {
  return [...files.flatMap(doubledImports), ...circularImports(files)];
}

function doubledImports({ name: file, text }: ProtoFile): ContractProblem[] {
  return text.imports.flatMap(({ name, line }, index) => {
    const first = text.imports.findIndex((other) => other.name === name);
    return first === index ? [] : [{ source: { file, line }, problem: `imports "${name}" a second time` }];
  });
}

function circularImports(files: readonly ProtoFile[]): ContractProblem[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  const problems: ContractProblem[] = [];
  const done = new Set<string>();
  const visit = (file: ProtoFile, above: readonly string[]): void => {
    if (done.has(file.name)) return;
    const chain = [...above, file.name];
    for (const [index, name] of file.dependencies.entries()) {
      const imported = byName.get(name);
      if (imported && chain.includes(name))
        problems.push(circle(file, index, [...chain.slice(chain.indexOf(name)), name]));
      else if (imported) visit(imported, chain);
    }
    done.add(file.name);
  };
  for (const file of files) visit(file, []);
  return problems;
}

function circle({ name: file, text }: ProtoFile, index: number, around: readonly string[]): ContractProblem {
  const line = text.imports[index]?.line;
  const source = { file, ...(line !== undefined && { line }) };
  return { source, problem: `imports go in a circle: ${around.join(' imports ')}` };
}
