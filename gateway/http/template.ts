/** Path templates of google.api.http: `/v1/{name=shelves/*}/books/**:move` to segments, variables and a verb, and back. */
import { decodeUnreserved, faultOf } from './path.js';

/** One variable of a template: the field it sets, and the part of the path it captures. */
export interface Variable {
  /** Proto names, outermost first: `order.order_id` is `['order', 'order_id']`. */
  readonly path: readonly string[];
  /** Index of its first segment. */
  readonly from: number;
  /** Index after its last segment. */
  readonly to: number;
}

export interface Template {
  /** `*`, `**`, or a literal in the form in which paths are compared. An asterisk in a literal is `%2A`, so nothing is ambiguous. */
  readonly segments: readonly string[];
  /** In the order of the template. */
  readonly variables: readonly Variable[];
  /** After the colon; empty for none. */
  readonly verb: string;
}

/** A template that cannot be parsed. The message begins with the place: `column 4: ...`, counted from 1. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
  constructor(
    readonly column: number,
    readonly description: string,
  ) {
    super(`column ${column}: ${description}`);
  }
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const RESERVED = /[{}*?#]/;

/**
 * Parses the grammar of google/api/http.proto (`"/" Segments [ Verb ]`). Two readings where it is silent: a literal
 * is what RFC 3986 allows in a path segment, so a colon starts the verb only if it is the last one of the last
 * segment; and `/` alone, the root, is a template of no segments. Throws TemplateError.
 */
export function parseTemplate(text: string): Template {
  return new Parser(text).template();
}

/** The text of a template: `parseTemplate(printTemplate(t))` equals `t`. */
export function printTemplate({ segments, variables, verb }: Template): string {
  const parts: string[] = [];
  let index = 0;
  for (const { path, from, to } of variables) {
    parts.push(...segments.slice(index, from));
    const pattern = segments.slice(from, to).join('/');
    parts.push(pattern === '*' ? `{${path.join('.')}}` : `{${path.join('.')}=${pattern}}`);
    index = to;
  }
  parts.push(...segments.slice(index));
  return `/${parts.join('/')}${verb && `:${verb}`}`;
}

/** The template without its variables. Templates of the same shape match the same paths. */
export function shapeOf({ segments, verb }: Template): string {
  return printTemplate({ segments, variables: [], verb });
}

/** A cursor over the text; each method reads one rule of the grammar. */
class Parser {
  private readonly segments: string[] = [];
  private readonly variables: Variable[] = [];
  /** Where the verb's colon stands, or the end of the text. */
  private readonly end: number;
  private at = 0;

  constructor(private readonly text: string) {
    const colon = text.lastIndexOf(':');
    this.end = colon > Math.max(text.lastIndexOf('/'), text.lastIndexOf('}')) ? colon : text.length;
  }

  template(): Template {
    if (this.text[0] !== '/') this.fail('a template begins with "/"');
    this.at = 1;
    if (this.text.length > 1) {
      this.segment();
      while (this.at < this.end) {
        if (this.text[this.at] !== '/') this.fail('"/" is missing between two segments');
        this.at++;
        this.segment();
      }
    }
    return { segments: this.segments, variables: this.variables, verb: this.verb() };
  }

  private segment(): void {
    if (this.text[this.at] === '{') this.variable();
    else this.pattern('/');
  }

  private variable(): void {
    const start = this.at++;
    const from = this.segments.length;
    const path = this.fieldPath(start);
    if (this.text[this.at] === '=') {
      do {
        this.at++;
        if (this.text[this.at] === '{') this.fail('a variable cannot hold another variable');
        this.pattern('/}');
      } while (this.at < this.end && this.text[this.at] === '/');
    } else {
      this.checkAfterRest(start);
      this.segments.push('*');
    }
    if (this.at >= this.end || this.text[this.at] !== '}') this.fail('the variable is not closed', start);
    this.at++;
    this.variables.push({ path, from, to: this.segments.length });
  }

  private fieldPath(start: number): string[] {
    const begin = this.at;
    while (this.at < this.end && !'=}/{'.includes(this.text[this.at] as string)) this.at++;
    const name = this.text.slice(begin, this.at);
    const path = name.split('.');
    for (const part of path) {
      if (!IDENTIFIER.test(part)) this.fail(`"${name}" is not a field path`, begin);
    }
    for (const { path: other } of this.variables) {
      const shared = Math.min(path.length, other.length);
      if (path.slice(0, shared).join('.') !== other.slice(0, shared).join('.')) continue;
      if (path.length === other.length) this.fail(`"${name}" is bound twice`, start);
      this.fail(`"${name}" and "${other.join('.')}" bind the same field`, start);
    }
    return path;
  }

  /** `*`, `**` or a literal, up to one of the characters that may follow it. */
  private pattern(stops: string): void {
    const start = this.at;
    while (this.at < this.end && !stops.includes(this.text[this.at] as string)) this.at++;
    const raw = this.text.slice(start, this.at);
    this.checkAfterRest(start);
    this.segments.push(raw === '*' || raw === '**' ? raw : this.literal(raw, start, 'segment'));
  }

  private checkAfterRest(start: number): void {
    if (this.segments.at(-1) === '**') this.fail('nothing but a verb may follow "**"', start);
  }

  private verb(): string {
    if (this.end === this.text.length) return '';
    return this.literal(this.text.slice(this.end + 1), this.end + 1, 'verb');
  }

  private literal(raw: string, start: number, what: string): string {
    if (raw === '') this.fail(`the ${what} is empty`, start);
    const reserved = raw.search(RESERVED);
    if (reserved !== -1) this.fail(`"${raw[reserved]}" is not allowed here`, start + reserved);
    const fault = faultOf(raw);
    if (fault !== undefined) this.fail(fault, start);
    const text = decodeUnreserved(raw);
    if (text === '.' || text === '..') this.fail(`the ${what} "${text}" can never be requested`, start);
    return text;
  }

  private fail(description: string, at = this.at): never {
    throw new TemplateError(at + 1, description);
  }
}
