/** What protoc refuses and a parser may accept: checked in descriptors, so that it holds for every source of a contract. */
import type { DescriptorProto, FileDescriptorProto, ServiceDescriptorProto } from '@bufbuild/protobuf/wkt';
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
  /** The 1-based line of a declaration by its full name; default what source info the files have. */
  readonly lineOf?: (file: FileDescriptorProto, place: Place) => number | undefined;
}

/** The files must be of one compilation: names count across them. */
export function checkRules(
  files: readonly FileDescriptorProto[],
  { lenient = false, lineOf = recordedLine }: RuleOptions = {},
): ContractProblem[] {
  const problems: ContractProblem[] = [];
  const checkingOf = (file: FileDescriptorProto): Checking => {
    const { syntax } = file;
    const proto2 = syntax === '' || syntax === 'proto2';
    const report = (place: Place, problem: string) => {
      const line = lineOf(file, place);
      const source = { file: file.name, ...(line !== undefined && { line }) };
      problems.push({ source, problem: `${place.name}: ${problem}` });
    };
    return { file, proto3: syntax === 'proto3', proto2, lenient, report };
  };
  let messages: Messages | undefined;
  const known = () => (messages ??= messagesOf(files));
  for (const file of files) {
    const checking = checkingOf(file);
    for (const content of contentsOf(file)) checkContent(content, known, checking);
  }
  if (!lenient) checkFileScopes(files, checkingOf);
  return problems;
}

/** 1-based; of what is around it where a descriptor has no line for the thing itself. */
function recordedLine({ sourceCodeInfo }: FileDescriptorProto, { path }: Place): number | undefined {
  const lines = new Map(
    (sourceCodeInfo?.location ?? []).map((location) => [location.path.join('.'), location.span[0]]),
  );
  for (let length = path.length; length > 0; length -= 2) {
    const line = lines.get(path.slice(0, length).join('.'));
    if (line !== undefined) return line + 1;
  }
  return undefined;
}

function checkContent({ place, ...content }: Content, messages: () => Messages, checking: Checking): void {
  if (content.kind === 'message') checkMessage(content.proto, place, checking);
  if (content.kind === 'enum') checkEnum(content.proto, place, checking);
  if (content.kind === 'service') checkService(content.proto, place, checking);
  if (checking.lenient) return;
  if (content.kind === 'message') checkMessageScope(content.proto, place, checking);
  if (content.kind === 'extension') checkExtension(content.proto, { place, messages: messages() }, checking);
}

function messagesOf(files: readonly FileDescriptorProto[]): Messages {
  const messages = new Map<string, DescriptorProto>();
  for (const file of [...wellKnownFiles(), ...files]) {
    for (const { kind, place, proto } of contentsOf(file))
      if (kind === 'message') messages.set(place.name, proto);
  }
  return messages;
}

function checkService({ method }: ServiceDescriptorProto, place: Place, { report }: Checking): void {
  const seen = new Set<string>();
  for (const [index, { name }] of method.entries()) {
    if (seen.has(name))
      report(member(place, PATH.service.method, index, name), 'the service has this method twice');
    seen.add(name);
  }
}
