/** A contract from .proto files and folders, parsed by @grpc/proto-loader. */
import { addCommonProtos, loadProtosWithOptionsSync } from '@grpc/proto-loader/build/src/util.js';
import protobuf from 'protobufjs';
import { ContractError, type ContractProblem } from './contract.js';
import { type Described, qualify, servicesOf } from './described.js';
import { describeParsed } from './proto-descriptors.js';
import { findProtoFiles, type ProtoFile } from './proto-files.js';
import { isType } from './proto-names.js';
import { builtInName } from './well-known.js';

export interface ProtoSources {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each of `protos` itself and the files that we carry. */
  readonly includes: readonly string[];
}

const SYNTAXES = new Set(['proto2', 'proto3', '2023']);

/**
 * Throws ContractError that lists files which are missing or malformed (the first mistake in each), and names that are
 * declared nowhere. Services of files that are only imported are not served.
 */
export function describeProtos({ protos, includes }: ProtoSources): Described {
  const { files, folders, problems } = findProtoFiles(protos, includes);
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
      problems.push(parseProblem(file, messageOf(error)));
    }
  }
  return { root, problems };
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** `illegal token ';' (/x/a.proto, line 3)`, or `duplicate name 'A' in Type .pkg.B` which names no line. */
function parseProblem(file: ProtoFile, message: string): ContractProblem {
  const told = /\((?:[^()]*, )?line (\d+)\)$/.exec(message);
  const [, member, parent] = /'([\w.]+)' in \w+ \.?([\w.]*)$/.exec(message) ?? [];
  const full = qualify(parent ?? '', member ?? '');
  const line = told ? Number(told[1]) : (file.text.lines.get(full) ?? file.text.lines.get(parent ?? ''));
  const problem = told ? message.slice(0, told.index).trim() : message;
  return { source: { file: file.name, ...(line !== undefined && { line }) }, problem };
}
