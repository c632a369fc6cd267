/** A contract from .proto files and folders, parsed by @grpc/proto-loader. */
import { addCommonProtos, loadProtosWithOptionsSync } from '@grpc/proto-loader/build/src/util.js';
import protobuf from 'protobufjs';
import { ContractError, type ContractProblem } from './contract.js';
import { type Described, qualify, servicesOf } from './described.js';
import { describeParsed } from './proto_descriptors.js';
import { findProtoFiles, type ProtoFile } from './proto_files.js';
import { isType } from './proto_names.js';
import { builtInName } from './well_known.js';

export interface ProtoSources {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each of `protos` itself and the files that we carry. */
  readonly includes: readonly string[];
  /** Told every path that is read or looked for, whether there is such a file or not. */
  readonly note?: (path: string) => void;
}

const SYNTAXES = new Set(['proto2', 'proto3', '2023']);

/**
 * Throws ContractError that lists files which are missing or malformed (the first mistake in each), and names that are
 * declared nowhere. Services of files that are only imported are not served.
 */
export function describeProtos({ protos, includes, note }: ProtoSources): Described {
  const { files, folders, problems } = findProtoFiles(protos, includes, note);
  const unknown = files.filter(({ text }) => !SYNTAXES.has(text.syntax));
  if (problems.length > 0 || unknown.length > 0) {
    const known = files.filter((file) => !unknown.includes(file));
    throw new ContractError([...problems, ...unknown.map(unknownSyntax), ...parseEach(known).problems]);
  }
  const wrong: ContractProblem[] = [];
  const described = describeParsed(load(files, folders), files, wrong);
  if (wrong.length > 0) throw new ContractError(wrong);
  const asked = described.filter((_, index) => files[index]?.asked);
  return {
    origin: protos.join(', '),
    files: described,
    services: new Set(asked.flatMap(servicesOf)),
    partial: false,
  };
}

function unknownSyntax({ name, text }: ProtoFile): ContractProblem {
  const problem = `"${text.syntax}" is none of proto2, proto3 and edition 2023: give this contract as a descriptor set (--descriptors)`;
  return { source: { file: name }, problem };
}

/**
 * Through the synchronous loader: what goes wrong while the asynchronous one links the files is thrown in a callback
 * of the file system, where it ends the process.
 */
function load(files: readonly ProtoFile[], folders: readonly string[]): protobuf.Root {
  addCommonProtos();
  try {
    const paths = files.map(({ path }) => path);
    const root = loadProtosWithOptionsSync(paths, { keepCase: true, includeDirs: [...folders] });
    addResponseBody(root);
    return root;
  } catch (error) {
    throw new ContractError(diagnose(files, error));
  }
}

/** The google/api/http.proto that protobufjs carries is older than `response_body`, which contracts may use all the same. */
function addResponseBody(root: protobuf.Root): void {
  const rule = root.lookup('google.api.HttpRule');
  if (rule && isType(rule) && !rule.fieldsById[12])
    rule.add(new protobuf.Field('response_body', 12, 'string'));
}

/** The loader stops at the first mistake and seldom says where it is; this finds them all. */
function diagnose(files: readonly ProtoFile[], error: unknown): ContractProblem[] {
  const { root, problems } = parseEach(files);
  if (problems.length === 0) describeParsed(root, files, problems);
  return problems.length > 0 ? problems : [{ problem: messageOf(error) }];
}

/** Parses every file on its own, into one tree whose names are not resolved yet. */
function parseEach(files: readonly ProtoFile[]): { root: protobuf.Root; problems: ContractProblem[] } {
  const root = new protobuf.Root();
  const problems: ContractProblem[] = [];
  for (const name of new Set(files.flatMap((file) => file.dependencies))) {
    const builtIn = builtInName(name) === undefined ? null : protobuf.common.get(name);
    if (builtIn) root.addJSON(builtIn.nested ?? {});
  }
  for (const file of files) {
    // The parser notes this name on everything it makes.
    (protobuf.parse as { filename?: string | null }).filename = file.path;
    try {
      protobuf.parse(file.source, root, { keepCase: true });
    } catch (error) {
      problems.push(parseProblem(file, error, files));
    }
  }
  return { root, problems };
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/**
 * The parser says `illegal token ';' (/x/a.proto, line 3)`, or `duplicate name 'A' in Type .pkg.B` which names no line,
 * or fails on the end of a file that it did not expect.
 */
function parseProblem(file: ProtoFile, error: unknown, files: readonly ProtoFile[]): ContractProblem {
  const message = messageOf(error);
  const told = /\((?:[^()]*, )?line (\d+)\)$/.exec(message);
  if (/of null|'null'/.test(message)) {
    const line = file.source.trimEnd().split('\n').length;
    return { source: { file: file.name, line }, problem: 'the file ends in the middle of a declaration' };
  }
  if (told)
    return {
      source: { file: file.name, line: Number(told[1]) },
      problem: message.slice(0, told.index).trim(),
    };
  if (error instanceof TypeError) {
    const problem = `proto-loader cannot read this file (${message}): give this contract as a descriptor set (--descriptors)`;
    return { source: { file: file.name }, problem };
  }
  const line = lineNamed(file, message);
  const other = declaredElsewhere(file, message, files);
  const problem = other ? `${message}, as in ${other.path}` : message;
  return { source: { file: file.name, ...(line !== undefined && { line }) }, problem };
}

/** The line of what a message of the parser is about: `... 'Member' in Type .pkg.Scope`, or `... in Type Scope`. */
function lineNamed({ text }: ProtoFile, message: string): number | undefined {
  const [, member = '', scope = ''] = /(?:'([\w.]+)' )?in \w+ \.?([\w.]*)$/.exec(message) ?? [];
  const wanted = [qualify(scope, member), scope].filter((name) => name !== '');
  const known = [...text.lines.keys()];
  const found = wanted.flatMap((name) => known.filter((full) => full === name || full.endsWith(`.${name}`)));
  return text.lines.get(found[0] ?? '');
}

/** The other file that declares what `duplicate name 'Member' in Namespace .pkg` is about. */
function declaredElsewhere(
  file: ProtoFile,
  message: string,
  files: readonly ProtoFile[],
): ProtoFile | undefined {
  const [, member = '', scope = ''] = /duplicate name '([\w.]+)' in \w+ \.?([\w.]*)$/.exec(message) ?? [];
  return files.find((other) => other !== file && other.text.lines.has(qualify(scope, member)));
}
