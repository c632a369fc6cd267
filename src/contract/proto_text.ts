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
  return new Reader(source).text();
}

/** A block that is open: the scope of names inside it, and where it begins. */
interface Block {
  readonly scope: string;
  readonly offset: number;
}

class Reader {
  readonly #lines = new Map<string, number>();
  readonly #optionLines = new Map<string, number>();
  readonly #imports: ProtoImport[] = [];
  readonly #options: string[] = [];
  readonly #edits: Edit[] = [];
  readonly #blocks: Block[] = [];
  #syntax = 'proto2';
  #package = '';
  /** The tokens of the statement so far, without the values in braces. */
  #head: Token[] = [];
  #valueDepth = 0;

  constructor(readonly source: string) {}

  text(): ProtoText {
    const note = optionLines(this.#optionLines);
    for (const token of tokens(this.source)) {
      note(token);
      if (this.#isValue(token)) this.#valueDepth += token.text === '{' ? 1 : -1;
      else if (this.#valueDepth > 0) this.#head.push(token);
      else this.#take(token);
    }
    return {
      syntax: this.#syntax,
      package: this.#package,
      imports: this.#imports,
      options: this.#options.join('\n'),
      lines: this.#lines,
      optionLines: this.#optionLines,
      readable: edited(this.source, this.#edits),
    };
  }

  /** Whether it opens or closes the braces of an option's value. */
  #isValue({ text }: Token): boolean {
    if (text === '{') return this.#valueDepth > 0 || !opensBlock(this.#head);
    return text === '}' && this.#valueDepth > 0;
  }

  #take(token: Token): void {
    const { text, offset } = token;
    if (text === '{') this.#openBlock(offset + 1);
    else if (text === '}') {
      this.#endStatement(offset);
      this.#blocks.pop();
    } else if (text !== ';') this.#head.push(token);
    else if (this.#head.length === 0 && this.#blocks.length > 0) this.#blank(offset, offset + 1);
    else this.#endStatement(offset + 1);
  }

  #openBlock(offset: number): void {
    this.#declare();
    const name = NAMED_BLOCK.has(this.#head[0]?.text ?? '') ? this.#head[1] : groupName(this.#head);
    this.#blocks.push({ scope: name ? join(this.#scope(), name.text) : this.#scope(), offset });
    this.#head = [];
  }

  #endStatement(end: number): void {
    const [first, second] = this.#head;
    const block = this.#blocks.at(-1);
    if (first?.text === 'option' && second?.text === 'allow_alias' && block) {
      // The parser heeds it only where it stands before the values.
      const text = this.source.slice(first.offset, end);
      this.#edits.push({ start: block.offset, end: block.offset, text });
      this.#blank(first.offset, end);
    }
    if (first) this.#declare();
    if (first && !block) this.#fileStatement(first, end);
    this.#head = [];
  }

  #fileStatement(first: Token, end: number): void {
    const [, second, third] = this.#head;
    if (first.text === 'package' && second) this.#package = second.text;
    if ((first.text === 'syntax' || first.text === 'edition') && third) this.#syntax = unquote(third.text);
    if (first.text === 'option') this.#options.push(this.source.slice(first.offset, end));
    if (first.text !== 'import' || !second) return;
    const kind = second.text === 'public' || second.text === 'weak' ? second.text : 'plain';
    const name = kind === 'plain' ? second : third;
    if (name) this.#imports.push({ name: unquote(name.text), kind, line: first.line });
  }

  #scope(): string {
    return this.#blocks.at(-1)?.scope ?? this.#package;
  }

  #declare(): void {
    const name = declaredName(this.#head);
    if (name) this.#lines.set(join(this.#scope(), name.text), (this.#head[0] as Token).line);
  }

  #blank(start: number, end: number): void {
    this.#edits.push({ start, end, text: this.source.slice(start, end).replace(/[^\n]/g, ' ') });
  }
}

/** What stands before the parenthesis of an option's name. */
const OPTION_START = new Set(['option', '[', ',']);

/** Notes the first line of each option's name; is told every token. */
function optionLines(lines: Map<string, number>): (token: Token) => void {
  let [start, open, name]: (Token | undefined)[] = [];
  return (token) => {
    const option = token.text === ')' && open?.text === '(' && OPTION_START.has(start?.text ?? '');
    if (option && name && !lines.has(name.text)) lines.set(name.text, name.line);
    [start, open, name] = [open, name, token];
  };
}

function groupName(head: readonly Token[]): Token | undefined {
  const at = head.findIndex((token) => token.text === 'group');
  return at === 0 || at === 1 ? head[at + 1] : undefined;
}
