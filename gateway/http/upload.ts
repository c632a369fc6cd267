/** A client stream of google.api.HttpBody from one request body: bytes as they arrive, or the parts of a form. */

import { isUtf8 } from 'node:buffer';
import { fromJson, toBinary } from '@bufbuild/protobuf';
import { AnySchema, anyPack, StructSchema } from '@bufbuild/protobuf/wkt';
import type { Message } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Exchange } from '../doors/door.js';
import { parseContentType } from './accept.js';
import { HttpError, invalid } from './error.js';
import { bindHttpBody, encodeHttpBody, type RawBody } from './http_body.js';
import { boundaryOf, type FormEvent, FormSplitter, type Part } from './multipart.js';
import { Pieces } from './pieces.js';
import type { Bound } from './table.js';

/** A message holds at most this much of a body, in bytes. */
const CHUNK_BYTES = 64 * 1024;
const EMPTY = new Uint8Array(0);

export interface UploadOptions {
  /** Largest message, and largest sum of a form's text fields, in bytes. */
  readonly limit: number;
  /** Begins to read the body. Throws HttpError 415 for a Content-Encoding that we cannot read. */
  readonly open: () => AsyncIterable<Buffer>;
}

/**
 * The messages of an upload. The first has what the URL sets and the content type, all have data. A form's parts follow one
 * another; the first message of each has its content type and, as a google.protobuf.Struct in `extensions`, its name and
 * filename. Where the HttpBody is one field of the request, text fields of a form set the others, as a query would.
 */
export function readUpload(
  exchange: Exchange,
  raw: RawBody,
  options: UploadOptions,
): AsyncGenerator<Message> {
  const media = parseContentType(exchange.request.headers['content-type']);
  if (media.type !== 'multipart/form-data') return readBytes(exchange, raw, options);
  return readForm(new FormReader(exchange, raw, options.limit), boundaryOf(media), options);
}

async function* readBytes(
  { request, endpoint, variables, query }: Exchange,
  raw: RawBody,
  { limit, open }: UploadOptions,
): AsyncGenerator<Message> {
  const bound = endpoint.binding.bind(variables, query);
  const contentType = request.headers['content-type'] ?? '';
  let first = true;
  for await (const chunk of open()) {
    for (const data of piecesOf(chunk, limit)) {
      yield first ? bindHttpBody(raw, bound, { contentType, data }) : continued(raw, data);
      first = false;
    }
  }
  if (first) yield bindHttpBody(raw, bound, { contentType, data: EMPTY });
}

function* piecesOf(chunk: Buffer, limit: number): Generator<Buffer> {
  const size = Math.min(CHUNK_BYTES, limit);
  for (let at = 0; at < chunk.length; at += size) yield chunk.subarray(at, at + size);
}

const continued = ({ field }: RawBody, data: Uint8Array): Message =>
  encodeHttpBody({ contentType: '', data }, field?.number);

async function* readForm(
  reader: FormReader,
  boundary: string,
  { limit, open }: UploadOptions,
): AsyncGenerator<Message> {
  const splitter = new FormSplitter(boundary);
  for await (const chunk of open()) {
    for (const piece of piecesOf(chunk, limit)) {
      for (const event of splitter.push(piece)) yield* reader.take(event);
    }
  }
  splitter.end();
  yield* reader.end();
}

/** Makes messages of a form's events. */
class FormReader {
  private readonly fields: string[] = [];
  private readonly text = new Pieces();
  private textBytes = 0;
  private part: Part | undefined;
  /** Whether the message that begins the part is still to come. */
  private opening = false;
  private started = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly raw: RawBody,
    private readonly limit: number,
  ) {}

  *take(event: FormEvent): Generator<Message> {
    if (event.kind === 'part') this.begin(event.part);
    else if (event.kind === 'data') yield* this.data(event.data);
    else yield* this.finish();
  }

  /** A form without a file is one message all the same, if the request has fields for it. */
  *end(): Generator<Message> {
    if (!this.started && this.raw.field !== undefined) yield this.bind().empty();
  }

  private begin(part: Part): void {
    if (this.isText(part) && this.started) {
      throw invalid(`form field "${part.name}"`, 'it has to come before the first file');
    }
    this.part = part;
    this.opening = true;
  }

  private *data(data: Buffer): Generator<Message> {
    const part = this.part as Part;
    if (!this.isText(part)) {
      yield this.message(part, data);
      return;
    }
    this.textBytes += data.length;
    if (this.textBytes > this.limit) {
      const problem = `form field "${part.name}": the text fields are larger than ${this.limit} bytes`;
      throw new HttpError(Code.RESOURCE_EXHAUSTED, problem, { http: 413 });
    }
    this.text.push(data);
  }

  private *finish(): Generator<Message> {
    const part = this.part as Part;
    if (this.isText(part)) this.addField(part.name);
    else if (this.opening) yield this.message(part, EMPTY);
  }

  /** A text field sets another field of the request, if it has any. */
  private isText(part: Part): boolean {
    return this.raw.field !== undefined && part.filename === undefined;
  }

  private addField(name: string): void {
    const text = this.text.take();
    if (!isUtf8(text)) throw invalid(`form field "${name}"`, 'not UTF-8');
    this.fields.push(`${encodeURIComponent(name)}=${encodeURIComponent(text.toString('utf8'))}`);
  }

  private message(part: Part, data: Uint8Array): Message {
    if (!this.opening) return continued(this.raw, data);
    this.opening = false;
    const body = { contentType: part.contentType, data, extension: extensionOf(part) };
    if (this.started) return encodeHttpBody(body, this.raw.field?.number);
    this.started = true;
    return bindHttpBody(this.raw, this.bind(), body);
  }

  /** The URL and the text fields, which may not contradict it. */
  private bind(): Bound {
    const { endpoint, variables, query } = this.exchange;
    const bound = endpoint.binding.bind(variables, query);
    if (this.fields.length === 0) return bound;
    try {
      return endpoint.binding.bind(
        variables,
        [query, ...this.fields].filter((part) => part !== '').join('&'),
      );
    } catch (thrown) {
      const { code, message, details, cause } = StatusError.from(thrown);
      // The query alone was good.
      throw new StatusError(code, message.replace(/^query parameter /, 'form field '), { details, cause });
    }
  }
}

function extensionOf({ name, filename }: Part): Uint8Array {
  const struct = fromJson(StructSchema, { name, ...(filename === undefined ? {} : { filename }) });
  return toBinary(AnySchema, anyPack(StructSchema, struct));
}
