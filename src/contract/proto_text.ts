/** What the text of one .proto file tells that a parsed contract no longer knows: lines, imports, syntax, file options. */

export interface ProtoImport {
  readonly name: string;
  readonly kind: 'plain' | 'public' | 'weak';
  /** 1-based. */
  readonly line: number;
}

export interface ProtoText {
  /** `proto2` (also when the file does not say), `proto3`, or an edition such as `2023`. */
  readonly syntax: string;
  /** Empty for none. */
  readonly package: string;
  readonly imports: readonly ProtoImport[];
  /** The text of the file's own option statements, one after the other. */
  readonly options: string;
  /**
   * The 1-based line of every message, field, enum, service and rpc, by full name (`pkg.Message.field`,
   * `pkg.Service.Method`). A name declared twice has its last line.
   */
  readonly lines: ReadonlyMap<string, number>;
  /** The first line of every custom option that the file sets, by its name as it is written. */
  readonly optionLines: ReadonlyMap<string, number>;
  /** The source, every line where it was, with the few things that protobufjs cannot read put otherwise. */
  readonly readable: string;
}

interface Token {
  readonly text: string;
  readonly offset: number;
  readonly line: number;
}

/** Comments, strings, names (dotted or not), and any other single character that is not blank. */
const TOKEN =
  /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"(?:\\[\s\S]|[^"\\\n])*"|'(?:\\[\s\S]|[^'\\\n])*'|[\w.]+|[^\s\w]/g;

function* tokens(source: string): Generator<Token> {
  let line = 1;
  let counted = 0;
  for (const match of source.matchAll(TOKEN)) {
    const text = match[0];
    const offset = match.index;
    for (
      let at = source.indexOf('\n', counted);
      at !== -1 && at < offset;
      at = source.indexOf('\n', counted)
    ) {
      line += 1;
      counted = at + 1;
    }
    if (!text.startsWith('//') && !text.startsWith('/*')) yield { text, offset, line };
  }
}

/** Blocks that give what is inside them a name. Anything else (oneof, extend, rpc) leaves the scope as it is. */
const NAMED_BLOCK = new Set(['message', 'enum', 'service']);

const unquote = (text: string) => text.slice(1, -1);
const join = (scope: string, name: string) => (scope === '' ? name : `${scope}.${name}`);

/** Whether a `{` after these tokens opens a block of statements, and not an option's value. */
function opensBlock(head: readonly Token[]): boolean {
  if (head[0]?.text === 'option') return false;
  if (head[0]?.text === 'group' || head[1]?.text === 'group') return true;
  return !head.some((token) => token.text === '=' || token.text === '[');
}

/** The name that a statement declares, or undefined when it declares none. */
function declaredName(head: readonly Token[]): Token | undefined {
  const first = head[0]?.text ?? '';
  if (NAMED_BLOCK.has(first) || first === 'rpc') return head[1];
  if (first === 'option' || first === 'reserved' || first === 'extensions') return undefined;
  const equals = head.findIndex((token) => token.text === '=');
  return equals > 0 ? head[equals - 1] : undefined;
}

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

const blank = (text: string) => text.replace(/[^\n]/g, ' ');

function edited(source: string, edits: readonly Edit[]): string {
  let text = '';
  let at = 0;
  for (const edit of edits.toSorted((a, b) => a.start - b.start)) {
    text += source.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return text + source.slice(at);
}

/** Never fails: of a malformed file it tells what it can, and the parser proper reports what is wrong. */
export function readProtoText(source: string): ProtoText {
  const lines = new Map<string, number>();
  const imports: ProtoImport[] = [];
  const options: string[] = [];
  const scopes: string[] = [];
  const edits: Edit[] = [];
  /** Where the innermost block begins. */
  const opened: number[] = [];
  let syntax = 'proto2';
  let pkg = '';
  let head: Token[] = [];
  let valueDepth = 0;

  const scope = () => scopes.at(-1) ?? pkg;
  const declare = () => {
    const name = declaredName(head);
    if (name) lines.set(join(scope(), name.text), (head[0] as Token).line);
  };
  const fileStatement = (end: number) => {
    const [first, second, third] = head as [Token, Token?, Token?];
    if (first.text === 'package' && second) pkg = second.text;
    if ((first.text === 'syntax' || first.text === 'edition') && third) syntax = unquote(third.text);
    if (first.text === 'option') options.push(source.slice(first.offset, end));
    if (first.text !== 'import' || !second) return;
    const kind = second.text === 'public' || second.text === 'weak' ? second.text : 'plain';
    const name = kind === 'plain' ? second : third;
    if (name) imports.push({ name: unquote(name.text), kind, line: first.line });
  };
  const edit = (start: number, end: number) => {
    edits.push({ start, end, text: blank(source.slice(start, end)) });
  };
  const endStatement = (end: number) => {
    const start = opened.at(-1);
    if (head[0]?.text === 'option' && head[1]?.text === 'allow_alias' && start !== undefined) {
      // The parser heeds it only where it stands before the values.
      edits.push({ start, end: start, text: source.slice(head[0].offset, end) });
      edit(head[0].offset, end);
    }
    if (head.length > 0) declare();
    if (head.length > 0 && scopes.length === 0) fileStatement(end);
    head = [];
  };

  const all = [...tokens(source)];
  for (const token of all) {
    if (token.text === '{' && (valueDepth > 0 || !opensBlock(head))) {
      valueDepth += 1;
    } else if (token.text === '}' && valueDepth > 0) {
      valueDepth -= 1;
    } else if (valueDepth === 0 && token.text === '{') {
      declare();
      const named = NAMED_BLOCK.has(head[0]?.text ?? '') ? head[1] : groupName(head);
      scopes.push(named ? join(scope(), named.text) : scope());
      opened.push(token.offset + 1);
      head = [];
    } else if (valueDepth === 0 && token.text === '}') {
      endStatement(token.offset);
      scopes.pop();
      opened.pop();
    } else if (valueDepth === 0 && token.text === ';') {
      if (head.length === 0 && scopes.length > 0) edit(token.offset, token.offset + 1);
      else endStatement(token.offset + 1);
    } else {
      head.push(token);
    }
  }
  return {
    syntax,
    package: pkg,
    imports,
    options: options.join('\n'),
    lines,
    optionLines: optionLinesOf(all),
    readable: edited(source, edits),
  };
}

/** What stands before the parenthesis of an option's name. */
const OPTION_START = new Set(['option', '[', ',']);

function optionLinesOf(all: readonly Token[]): Map<string, number> {
  const lines = new Map<string, number>();
  for (const [index, { text, line }] of all.entries()) {
    const [start, open, close] = [all[index - 2]?.text ?? '', all[index - 1]?.text, all[index + 1]?.text];
    const option = open === '(' && close === ')' && OPTION_START.has(start);
    if (option && !lines.has(text)) lines.set(text, line);
  }
  return lines;
}

function groupName(head: readonly Token[]): Token | undefined {
  const at = head.findIndex((token) => token.text === 'group');
  return at === 0 || at === 1 ? head[at + 1] : undefined;
}
