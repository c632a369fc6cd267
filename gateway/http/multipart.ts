/** multipart/form-data (RFC 7578 over RFC 2046 section 5.1), cut into parts as the bytes arrive. */
import { isUtf8 } from 'node:buffer';
import { Code, type StatusError } from '../../src/status.js';
import { type MediaType, parseContentType } from './accept.js';
import { HttpError, invalid } from './error.js';
import { isMediaType } from './http_body.js';
import { Pieces } from './pieces.js';

export interface Part {
  /** Of the form's field. */
  readonly name: string;
  /** As the client gave it, folders and all: not to be trusted as a path. Undefined for a field that is no file. */
  readonly filename: string | undefined;
  /** As the client gave it, or the default of RFC 7578 section 4.4: text, or bytes for a file. */
  readonly contentType: string;
}

/** `part` begins one, `data` belongs to the one that was begun last, `end` ends it. */
export type FormEvent =
  | { readonly kind: 'part'; readonly part: Part }
  | { readonly kind: 'data'; readonly data: Buffer }
  | { readonly kind: 'end' };

export const MAX_PARTS = 1_000;
/** Of the headers of one part, and of what stands before the first. */
const MAX_HEADER_BYTES = 8 * 1024;
/** White space that RFC 2046 section 5.1.1 allows behind a boundary, in bytes. */
const MAX_PADDING_BYTES = 128;
/** Outside of data, pieces of a form are put together up to this size before they are looked at, in bytes. */
const WORTH_A_LOOK = 1024;
const LINE_FEED = 0x0a;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what must not stand in a header is what is looked for.
const NOT_IN_HEADERS = /[\0-\x08\x0a-\x1f\x7f]/;
/** RFC 2046 section 5.1.1: one to seventy of these, the last no space. */
const BOUNDARY = /^[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]$/;
const CRLF = Buffer.from('\r\n');
const BLANK_LINE = Buffer.from('\r\n\r\n');
const EMPTY = Buffer.alloc(0);
const END: FormEvent = { kind: 'end' };

function malformed(what: string): StatusError {
  return invalid('body', `not a valid multipart form: ${what}`);
}

/** The boundary that a Content-Type names. Throws StatusError INVALID_ARGUMENT when it names none that is one. */
export function boundaryOf({ parameters }: MediaType): string {
  const boundary = parameters.get('boundary') ?? '';
  if (BOUNDARY.test(boundary)) return boundary;
  throw invalid('header content-type', 'multipart/form-data needs a boundary');
}

type State = 'preamble' | 'delimiter' | 'headers' | 'data' | 'epilogue';

/** Every method throws StatusError INVALID_ARGUMENT for a malformed form, HttpError 413 for parts or headers over the limits. */
export class FormSplitter {
  private readonly delimiter: Buffer;
  /** A form may begin with its first delimiter, which has a line break before it everywhere else. */
  private readonly pending = new Pieces();
  private rest: Buffer = CRLF;
  private state: State = 'preamble';
  private skipped = 0;
  private count = 0;
  /** How much of the line break before the data is still to come. */
  private lead = 0;

  constructor(boundary: string) {
    this.delimiter = Buffer.from(`\r\n--${boundary}`);
  }

  /** What this chunk brings. Data are views of it; the last few bytes may wait for what follows them. */
  push(chunk: Buffer): FormEvent[] {
    const events: FormEvent[] = [];
    this.pending.push(chunk);
    // Headers that come byte by byte are not searched anew for every byte: their end is a line feed.
    if (this.state === 'headers' && this.pending.length < WORTH_A_LOOK && !chunk.includes(LINE_FEED))
      return events;
    const arrived = this.pending.take();
    this.rest = this.rest.length === 0 ? arrived : Buffer.concat([this.rest, arrived]);
    while (this.step(events));
    return events;
  }

  end(): void {
    if (this.state === 'preamble') throw malformed('it has no part');
    if (this.state !== 'epilogue') throw malformed(`it ends inside part ${this.count}`);
  }

  /** Whether there may be more in what is at hand. */
  private step(events: FormEvent[]): boolean {
    switch (this.state) {
      case 'preamble':
        return this.preamble();
      case 'delimiter':
        return this.afterDelimiter();
      case 'headers':
        return this.headers(events);
      case 'data':
        return this.data(events);
      case 'epilogue':
        this.rest = EMPTY;
        return false;
    }
  }

  private preamble(): boolean {
    const found = this.toDelimiter();
    this.skipped += found.before.length;
    if (this.skipped > MAX_HEADER_BYTES) throw malformed('it does not begin with its boundary');
    return found.complete;
  }

  private data(events: FormEvent[]): boolean {
    const { before, complete } = this.toDelimiter();
    const lead = Math.min(this.lead, before.length);
    this.lead = complete ? 0 : this.lead - lead;
    if (before.length > lead) events.push({ kind: 'data', data: before.subarray(lead) });
    if (complete) events.push(END);
    return complete;
  }

  /** Takes what surely stands before the next delimiter; if that is complete, the delimiter too. */
  private toDelimiter(): { readonly before: Buffer; readonly complete: boolean } {
    const { rest, delimiter } = this;
    const at = rest.indexOf(delimiter);
    if (at >= 0) {
      this.rest = rest.subarray(at + delimiter.length);
      this.state = 'delimiter';
      return { before: rest.subarray(0, at), complete: true };
    }
    const sure = Math.max(0, rest.length - delimiter.length + 1);
    this.rest = rest.subarray(sure);
    return { before: rest.subarray(0, sure), complete: false };
  }

  /** `--` ends the form; else the rest of the line is white space, and headers follow. */
  private afterDelimiter(): boolean {
    const { rest } = this;
    if (rest.length < 2) return false;
    if (rest[0] === 0x2d && rest[1] === 0x2d) {
      this.state = 'epilogue';
      return true;
    }
    const end = rest.indexOf(CRLF);
    const padding = rest.subarray(0, end < 0 ? rest.length - 1 : end);
    if (padding.length > MAX_PADDING_BYTES || !padding.every((byte) => byte === 0x20 || byte === 0x09))
      throw malformed(`something follows the boundary after part ${this.count}`);
    if (end < 0) return false;
    // The line break stays: a part without any header has no other before its blank line.
    this.rest = rest.subarray(end);
    this.state = 'headers';
    return true;
  }

  private headers(events: FormEvent[]): boolean {
    const { rest } = this;
    const end = rest.indexOf(BLANK_LINE);
    if ((end < 0 ? rest.length : end) > MAX_HEADER_BYTES)
      throw tooLarge(`the headers of part ${this.count + 1} are larger than ${MAX_HEADER_BYTES} bytes`);
    if (end < 0) return false;
    if (++this.count > MAX_PARTS) throw tooLarge(`more than ${MAX_PARTS} parts`);
    events.push({ kind: 'part', part: readPart(rest.subarray(2, Math.max(2, end)), this.count) });
    // A part without data may have its delimiter's line break right there (RFC 2046 section 5.1.1, body-part).
    this.rest = rest.subarray(end + CRLF.length);
    this.lead = CRLF.length;
    this.state = 'data';
    return true;
  }
}

function tooLarge(what: string): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, `body: ${what}`, { http: 413 });
}

function readPart(block: Buffer, count: number): Part {
  if (!isUtf8(block)) throw malformed(`the headers of part ${count} are not UTF-8`);
  const headers = readHeaders(block.toString('utf8'), count);
  const encoding = headers.get('content-transfer-encoding') ?? 'binary';
  if (!/^(?:binary|7bit|8bit)$/i.test(encoding))
    throw malformed(`part ${count} has a transfer encoding, which RFC 7578 has done away with`);
  // A disposition has parameters as a media type has, but no subtype.
  const { type, parameters } = parseContentType(`part/${headers.get('content-disposition') ?? ''}`);
  const name = parameters.get('name');
  if (type !== 'part/form-data' || name === undefined)
    throw malformed(`part ${count} has no "content-disposition: form-data" with a name`);
  const filename = parameters.get('filename');
  const contentType = headers.get('content-type');
  if (contentType !== undefined && !isMediaType(contentType))
    throw malformed(`the content type of part ${count} is none`);
  return {
    name: unescapeName(name),
    filename: filename === undefined ? undefined : unescapeName(filename),
    contentType: contentType ?? (filename === undefined ? 'text/plain' : 'application/octet-stream'),
  };
}

function readHeaders(text: string, count: number): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of text === '' ? [] : text.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(0, colon));
    // Not by one pattern for the whole line: backing over long runs of spaces takes time that grows with their square.
    const value = line.slice(colon + 1);
    if (!HEADER_NAME.test(name) || NOT_IN_HEADERS.test(value))
      throw malformed(`a header of part ${count} is none`);
    if (headers.has(name.toLowerCase())) throw malformed(`a header of part ${count} is given twice`);
    headers.set(name.toLowerCase(), value.trim());
  }
  return headers;
}

/** Browsers escape these three, and nothing else, in names (WHATWG HTML, multipart/form-data encoding algorithm). */
function unescapeName(name: string): string {
  return name.replace(/%(22|0D|0A)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
