/** What the parser of .proto files says of a mistake, in words that name the place. */
import type { ContractProblem } from './contract.js';
import { qualify } from './described.js';
import type { ProtoFile } from './proto_files.js';

/** Something that the parser speaks of, by its full name in this file, and its line. */
interface Named {
  readonly name: string;
  readonly line: number | undefined;
}

/**
 * The parser says `illegal token ';' (/x/a.proto, line 3)`, or `duplicate name 'A' in Type .pkg.B` which names no line,
 * or fails on the end of a file that it did not expect.
 */
export function mistakeOf(file: ProtoFile, message: string, files: readonly ProtoFile[]): ContractProblem {
  const told = /\((?:[^()]*, )?line (\d+)\)$/.exec(message);
  if (/of null|'null'/.test(message)) {
    const line = file.source.trimEnd().split('\n').length;
    return problemAt(file, line, 'the file ends in the middle of a declaration');
  }
  if (told) {
    const line = Number(told[1]);
    return problemAt(file, line, explain(message.slice(0, told.index).trim(), textOf(file, line)));
  }
  const clash = CLASH.exec(message);
  if (!clash) {
    const problem = `the parser cannot read this file (${message}): give this contract as a descriptor set (--descriptors)`;
    return problemAt(file, undefined, problem);
  }
  const [, duplicate, name = '', number = '', kind = '', scope = ''] = clash;
  const { line } = find(file, [qualify(scope, name), scope]);
  const owner = find(file, [scope]).name;
  const other = duplicate && name !== '' ? declaredElsewhere(file, qualify(scope, name), files) : undefined;
  const problem = duplicate ? doubled({ owner, name, number, kind }) : reserved({ owner, name, number });
  return problemAt(file, line, other ? `${problem}, as in ${other.path}` : problem);
}

/** `duplicate name 'a' in Type .pkg.M`, `id 5 is reserved in Enum K`; what has no place in the tree yet lacks its scope. */
const CLASH = /^(duplicate )?(?:name '([\w.]+)'|id (-?\d+)) (?:is reserved )?in (\w+) ?\.?([\w.]*)$/;

interface Clash {
  /** Full name of the message, enum, service or package. */
  readonly owner: string;
  /** One of the two is empty. */
  readonly name: string;
  readonly number: string;
}

function doubled({ owner, name, number, kind }: Clash & { readonly kind: string }): string {
  if (name !== '') return `${qualify(owner, name)}: the name is declared twice`;
  if (kind !== 'Enum') return `${owner}: two fields have the number ${number}`;
  return `${owner}: two values have the number ${number}: option allow_alias = true permits that`;
}

function reserved({ owner, name, number }: Clash): string {
  return name === ''
    ? `${owner}: the number ${number} is reserved`
    : `${qualify(owner, name)}: the name is reserved`;
}

function problemAt({ name }: ProtoFile, line: number | undefined, problem: string): ContractProblem {
  return { source: { file: name, ...(line !== undefined && { line }) }, problem };
}

const textOf = ({ source }: ProtoFile, line: number) => source.split('\n')[line - 1] ?? '';

function explain(message: string, text: string): string {
  const [, type] = /^illegal type '(.*)'$/.exec(message) ?? [];
  if (type !== undefined && text.replaceAll(/\s/g, '').includes(`map<${type}`))
    return `keys of a map are integers, bools or strings, and not ${type}`;
  return message;
}

/** The first of these names that the file declares, each in full or from its package on. */
function find({ text }: ProtoFile, names: readonly string[]): Named {
  const known = [...text.lines.keys()];
  const found = names.flatMap((name) => known.filter((full) => full === name || full.endsWith(`.${name}`)));
  const [name = names.at(-1) ?? ''] = found;
  return { name, line: text.lines.get(name) };
}

function declaredElsewhere(
  file: ProtoFile,
  name: string,
  files: readonly ProtoFile[],
): ProtoFile | undefined {
  return files.find((other) => other !== file && other.text.lines.has(name));
}
