/** What protoc refuses and a parser may accept: checked in descriptors, so that it holds for every source of a contract. */
import type { FileDescriptorProto, ServiceDescriptorProto } from '@bufbuild/protobuf/wkt';
import { type Content, contentsOf, member, PATH, type Place } from './contents.js';
import type { ContractProblem } from './contract.js';
import { checkEnum } from './rules_enum.js';
import { checkExtension, checkMessage, type Messages } from './rules_message.js';
import { checkFileScopes, checkMessageScope } from './rules_scope.js';
import { wellKnownFiles } from './well_known.js';

/** What the rules of one file need to know and to do. */
export interface Checking {
  readonly file: FileDescriptorProto;
  readonly proto3: boolean;
  readonly proto2: boolean;
  /** See RuleOptions. */
  readonly lenient: boolean;
  readonly report: (place: Place, problem: string) => void;
}

export interface RuleOptions {
  /**
   * Whether the descriptors may break rules that only matter to generated code; default false. Those of a server may
   * never have seen a compiler (see rebuilt.ts): then only what makes messages or their JSON ambiguous is wrong.
   */
  readonly lenient?: boolean;
}

/** The files must be of one compilation: names count across them. */
export function checkRules(
  files: readonly FileDescriptorProto[],
  { lenient = false }: RuleOptions = {},
): ContractProblem[] {
  const problems: ContractProblem[] = [];
  const contents = new Map(files.map((file) => [file, [...contentsOf(file)]]));
  const messages = messagesOf([...contents.values()].flat());
  const checkingOf = (file: FileDescriptorProto) => createChecking(file, { lenient, problems });
  for (const [file, all] of contents) {
    const checking = checkingOf(file);
    for (const content of all) checkContent(content, messages, checking);
  }
  if (!lenient) checkFileScopes(files, checkingOf);
  return problems;
}

function createChecking(
  file: FileDescriptorProto,
  { lenient, problems }: { readonly lenient: boolean; readonly problems: ContractProblem[] },
): Checking {
  const report = ({ name, path }: Place, problem: string) => {
    const line = lineOf(file, path);
    const source = { file: file.name, ...(line !== undefined && { line }) };
    problems.push({ source, problem: `${name}: ${problem}` });
  };
  const { syntax } = file;
  const proto2 = syntax === '' || syntax === 'proto2';
  return { file, proto3: syntax === 'proto3', proto2, lenient, report };
}

/** 1-based; of what is around it where a descriptor has no line for the thing itself. */
function lineOf(file: FileDescriptorProto, path: readonly number[]): number | undefined {
  const lines = new Map(
    (file.sourceCodeInfo?.location ?? []).map((location) => [location.path.join('.'), location.span[0]]),
  );
  for (let length = path.length; length > 0; length -= 2) {
    const line = lines.get(path.slice(0, length).join('.'));
    if (line !== undefined) return line + 1;
  }
  return undefined;
}

function checkContent(content: Content, messages: Messages, checking: Checking): void {
  if (content.kind === 'message') checkMessage(content.proto, content, checking);
  if (content.kind === 'enum') checkEnum(content.proto, content, checking);
  if (content.kind === 'service') checkService(content.proto, content, checking);
  if (checking.lenient) return;
  if (content.kind === 'message') checkMessageScope(content.proto, content, checking);
  if (content.kind === 'extension') checkExtension(content.proto, { place: content, messages }, checking);
}

function messagesOf(contents: readonly Content[]): Messages {
  const known = [...wellKnownFiles()].flatMap((file) => [...contentsOf(file)]);
  const messages = [...known, ...contents].filter((content) => content.kind === 'message');
  return new Map(messages.map(({ name, proto }) => [name, proto]));
}

function checkService({ method }: ServiceDescriptorProto, place: Place, { report }: Checking): void {
  const seen = new Set<string>();
  for (const [index, { name }] of method.entries()) {
    if (seen.has(name))
      report(member(place, PATH.service.method, index, name), 'the service has this method twice');
    seen.add(name);
  }
}
