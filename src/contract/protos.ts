/** A contract from .proto files and folders, parsed by protobufjs. */

import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { addCommonProtos } from '@grpc/proto-loader/build/src/util.js';
import protobuf from 'protobufjs';
import { ContractError, type ContractProblem } from './contract.js';
import { type Described, servicesOf } from './described.js';
import { describeParsed } from './proto_descriptors.js';
import { findProtoFiles, type ProtoFile } from './proto_files.js';
import { checkImports } from './proto_imports.js';
import { mistakeOf } from './proto_mistakes.js';
import { isType } from './proto_names.js';
import type { ProtoText } from './proto_text.js';
import { checkRules } from './rules.js';
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
 * Throws ContractError that lists files which are missing or malformed (the first mistake in each), names that are
 * declared nowhere or not imported, and what protoc would refuse besides. Services of files that are only imported are
 * not served.
 */
export function describeProtos({ protos, includes, note }: ProtoSources): Described {
  const { files, problems } = findProtoFiles(protos, includes, note);
  const unknown = files.filter(({ text }) => !SYNTAXES.has(text.syntax));
  const parsed = parseEach(files.filter((file) => !unknown.includes(file)));
  const unread = [...problems, ...unknown.map(unknownSyntax), ...checkImports(files), ...parsed.problems];
  if (unread.length > 0) throw new ContractError(unread);
  const described = describe(parsed.root, files);
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

function describe(root: protobuf.Root, files: readonly ProtoFile[]): FileDescriptorProto[] {
  let unlinked: unknown;
  try {
    // For the features of editions; it stops at the first name that it cannot resolve, and does not say where that is.
    root.resolveAll();
  } catch (error) {
    unlinked = error;
  }
  addResponseBody(root);
  const wrong: ContractProblem[] = [];
  const described = describeParsed(root, files, wrong);
  const texts = new Map(files.map(({ name, text }) => [name, text]));
  wrong.push(...checkRules(described, { lineOf: ({ name }, place) => lineOf(texts.get(name), place.name) }));
  if (wrong.length === 0 && unlinked !== undefined) wrong.push({ problem: messageOf(unlinked) });
  if (wrong.length > 0) throw new ContractError(sortByPlace(wrong, files));
  return described;
}

/** The line of a declaration, or of what is around it. */
function lineOf(text: ProtoText | undefined, name: string): number | undefined {
  for (let full = name; full !== ''; full = full.slice(0, Math.max(0, full.lastIndexOf('.')))) {
    const line = text?.lines.get(full);
    if (line !== undefined) return line;
  }
  return undefined;
}

/** File by file, and each from top to bottom. */
function sortByPlace(problems: readonly ContractProblem[], files: readonly ProtoFile[]): ContractProblem[] {
  const order = new Map(files.map(({ name }, index) => [name, index]));
  const place = ({ source }: ContractProblem) =>
    [order.get(source?.file ?? '') ?? -1, source?.line ?? 0] as const;
  return problems.toSorted((a, b) => {
    const [[fileA, lineA], [fileB, lineB]] = [place(a), place(b)];
    return fileA - fileB || lineA - lineB;
  });
}

/** The google/api/http.proto that protobufjs carries is older than `response_body`, which contracts may use all the same. */
function addResponseBody(root: protobuf.Root): void {
  const rule = root.lookup('google.api.HttpRule');
  if (rule && isType(rule) && !rule.fieldsById[12])
    rule.add(new protobuf.Field('response_body', 12, 'string'));
}

/** The imported files of google/protobuf, as protobufjs has them: some repeat what others declare. */
function builtIns(imports: ReadonlySet<string>): Record<string, protobuf.AnyNestedObject> {
  addCommonProtos();
  const declared: Record<string, protobuf.AnyNestedObject> = {};
  for (const name of imports) {
    const builtIn = builtInName(name) === undefined ? null : protobuf.common.get(name);
    const google = builtIn?.nested?.google as protobuf.INamespace | undefined;
    Object.assign(declared, (google?.nested?.protobuf as protobuf.INamespace | undefined)?.nested);
  }
  return { google: { nested: { protobuf: { nested: declared } } } };
}

/** Parses every file on its own, into one tree whose names are not resolved yet; google/protobuf comes from protobufjs. */
function parseEach(files: readonly ProtoFile[]): { root: protobuf.Root; problems: ContractProblem[] } {
  const root = new protobuf.Root();
  const problems: ContractProblem[] = [];
  root.addJSON(builtIns(new Set(files.flatMap((file) => file.dependencies))));
  for (const file of files) {
    // The parser notes this name on everything it makes.
    (protobuf.parse as { filename?: string | null }).filename = file.path;
    try {
      protobuf.parse(file.text.readable, root, { keepCase: true });
    } catch (error) {
      problems.push(mistakeOf(file, messageOf(error), files));
    }
  }
  return { root, problems };
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
