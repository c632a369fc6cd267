/** The body of an HTTP request as the messages of a call, read only when the upstream asks for them. */
import type { IncomingMessage } from 'node:http';
import type { Message, Requests } from '../../src/call.js';
import type { Dialect } from '../../src/codec/codec.js';
import { parseJson } from '../../src/codec/json_text.js';
import { Code, StatusError } from '../../src/status.js';
import type { Exchange } from '../doors/door.js';
import { parseContentType } from './accept.js';
import { BodySource, clientLeft, isLarge, Pace, stalled } from './body_source.js';
import { HttpError } from './error.js';
import { bindHttpBody, type RawBody, rawBodiesOf } from './http_body.js';
import { inflateChunks, inflateWhole, requestCoding } from './inflate.js';
import { isSpace, JsonSplitter } from './json_stream.js';
import { Pieces } from './pieces.js';
import type { Bound } from './table.js';
import { placeInBody } from './tree.js';
import { readUpload } from './upload.js';

export interface BodyLimits {
  /** Largest message, in bytes, also when it is inflated. */
  readonly bytes: number;
  /** How long a client may send nothing in the middle of a message, in ms; 0 is for ever. */
  readonly stallMs: number;
  /** What a client sends a second at least, once it has taken longer than that, in bytes; 0 is anything; default 0. */
  readonly bytesPerSecond?: number;
}

type Format = 'json' | 'protobuf';

const PROTOBUF = new Set(['application/x-protobuf', 'application/protobuf']);
const JSON_STREAMS = new Set(['application/x-ndjson', 'application/jsonl', 'application/ndjson']);
const ACCEPT_POST = 'application/json, application/x-protobuf';
/** A call that has not asked for its body after this time is waited for with an eye on the client, in ms. */
const WATCH_AFTER_MS = 250;

function unsupported(type: string, accepted: string): HttpError {
  return new HttpError(
    Code.INVALID_ARGUMENT,
    `header content-type: ${type} is not served here; send ${accepted}`,
    {
      http: 415,
      headers: { 'accept-post': accepted },
    },
  );
}

/**
 * What the body claims to be. None or JSON is JSON; with `contentTypes: any`, so is all that is not protobuf. Throws
 * HttpError 415 with Accept-Post for what we cannot read.
 */
function formatOf({ request, endpoint }: Exchange, streaming: boolean): Format {
  const header = request.headers['content-type'];
  if (header === undefined) return 'json';
  const { type, parameters } = parseContentType(header);
  const accepted = streaming ? 'application/json, application/x-ndjson' : ACCEPT_POST;
  const lenient = endpoint.options.http.contentTypes === 'any';
  const charset = lenient ? undefined : parameters.get('charset');
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) throw unsupported(`charset ${charset}`, accepted);
  if (type === 'application/json' || type.endsWith('+json') || type === '') return 'json';
  if (streaming && JSON_STREAMS.has(type)) return 'json';
  if (!streaming && PROTOBUF.has(type)) return 'protobuf';
  if (lenient) return 'json';
  throw unsupported(type, accepted);
}

/** Throws HttpError 415 when the call cannot have a body of this media type, whatever is in it. */
export function requireReadable(exchange: Exchange): void {
  const { endpoint, form } = exchange;
  if (form === true || rawBodiesOf(endpoint).request !== undefined) return;
  formatOf(exchange, endpoint.method.clientStreaming);
}

function tooLarge(limit: number): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, `body: larger than ${limit} bytes`, {
    http: 413,
    limit: 'body',
  });
}

/**
 * The whole body, still encoded. Rejects with HttpError 413 as soon as it is known to exceed the limit, 408 when the
 * client stalls, and CANCELLED when it leaves.
 */
export function readBody(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const { bytes, stallMs } = limits;
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bytes) return Promise.reject(tooLarge(bytes));
  // Whoever comes late hears of neither.
  if (request.readableEnded) return Promise.resolve(Buffer.alloc(0));
  if (request.destroyed) return Promise.reject(clientLeft());
  return new Promise((resolve, reject) => {
    const pieces = new Pieces();
    const pace = new Pace(limits);
    pace.wait();
    const timer = stallMs > 0 ? setTimeout(() => refuse(stalled(stallMs)), stallMs) : undefined;
    const settle = (): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
    };
    const refuse = (error: Error): void => {
      settle();
      request.pause();
      reject(error);
    };
    const onData = (chunk: Buffer): void => {
      pieces.push(chunk);
      if (pieces.length > bytes) refuse(tooLarge(bytes));
      else if (pace.came(chunk.length)) refuse(pace.tooSlow());
      pace.wait();
      timer?.refresh();
    };
    const onEnd = (): void => {
      settle();
      resolve(pieces.take());
    };
    const onClose = (): void => refuse(clientLeft());
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

async function readInflated(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const coding = requestCoding(request);
  const body = await readBody(request, limits);
  return coding === undefined || body.length === 0 ? body : inflateWhole(coding, body, limits.bytes);
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return (length !== undefined && length !== '0') || request.headers['transfer-encoding'] !== undefined;
}

async function readOne(exchange: Exchange, limits: BodyLimits): Promise<Message> {
  const { request, endpoint, variables, query } = exchange;
  const bound = endpoint.binding.bind(variables, query);
  const raw = rawBodiesOf(endpoint).request;
  if (raw !== undefined) return readRaw(request, { raw, bound, limits });
  if (!hasBody(request)) return bound.empty();
  const format = formatOf(exchange, false);
  const body = await readInflated(request, limits);
  if (format === 'protobuf') return bound.bytes(body);
  return body.length === 0 ? bound.empty() : bindJson(bound, body, endpoint.options.http.jsonDialect);
}

/** The message of a JSON text. The dialects of Go take white space for no body, and jsonpb takes a null for none. */
function bindJson(bound: Bound, body: Buffer, dialect: Dialect): Message {
  if (dialect !== 'strict' && body.every(isSpace)) return bound.empty();
  const value = parseJson(body, placeInBody, dialect);
  return value === null && dialect === 'jsonpb' ? bound.empty() : bound.json(value);
}

interface RawOptions {
  readonly raw: RawBody;
  readonly bound: Bound;
  readonly limits: BodyLimits;
}

async function readRaw(request: IncomingMessage, { raw, bound, limits }: RawOptions): Promise<Message> {
  const data = hasBody(request) ? await readInflated(request, limits) : Buffer.alloc(0);
  return bindHttpBody(raw, bound, { contentType: request.headers['content-type'] ?? '', data });
}

async function* readMany(exchange: Exchange, source: BodySource, limit: number): AsyncGenerator<Message> {
  const { request, endpoint, variables, query } = exchange;
  const bound = endpoint.binding.bind(variables, query);
  const bind = (value: Buffer): Message => bindJson(bound, value, endpoint.options.http.jsonDialect);
  formatOf(exchange, true);
  const splitter = new JsonSplitter(limit);
  let index = 0;
  // A stream may rest between two messages, as long as its sender likes.
  for await (const chunk of chunksOf(request, { source, limit, mayRest: () => !splitter.isInside })) {
    for (const value of splitter.push(chunk)) yield bindNth(bind, value, ++index);
  }
  for (const value of splitter.end()) yield bindNth(bind, value, ++index);
}

interface ChunkOptions {
  readonly source: BodySource;
  readonly limit: number;
  readonly mayRest?: () => boolean;
}

/** The body's chunks, inflated. Leaving early does not end the connection: the answer still has to go out on it. */
function chunksOf(request: IncomingMessage, { source, limit, mayRest }: ChunkOptions): AsyncIterable<Buffer> {
  const coding = requestCoding(request);
  const chunks = source.chunks(mayRest);
  return coding === undefined ? chunks : inflateChunks(coding, chunks, limit);
}

/** One message of many. An error says of which. */
function bindNth(bind: (value: Buffer) => Message, value: Buffer, index: number): Message {
  try {
    return bind(value);
  } catch (thrown) {
    const { code, message, details, cause } = StatusError.from(thrown);
    throw new StatusError(code, `message ${index}: ${message}`, { details, cause });
  }
}

function streamOf(exchange: Exchange, limits: BodyLimits): AsyncIterable<Message> {
  const { request, endpoint } = exchange;
  const source = new BodySource(request, limits.stallMs, limits.bytesPerSecond);
  if (isLarge(request)) watchWhenIdle(exchange, () => source.watch());
  const limit = limits.bytes;
  const raw = rawBodiesOf(endpoint).request;
  if (raw === undefined) return readMany(exchange, source, limit);
  return readUpload(exchange, raw, { limit, open: () => chunksOf(request, { source, limit }) });
}

function single(exchange: Exchange, limits: BodyLimits): () => Promise<Message> {
  const { request } = exchange;
  let message: Promise<Message> | undefined;
  const read = (): Promise<Message> => {
    message ??= readOne(exchange, limits);
    return message;
  };
  if (isLarge(request) && hasBody(request)) {
    watchWhenIdle(exchange, () => {
      // Whoever asks for the message gets the failure; nobody may.
      read().catch(() => {});
    });
  }
  return read;
}

/** Calls `watch` if the call has not come to an end soon: what it waits for may be worth nothing, if the client has left. */
function watchWhenIdle({ response }: Exchange, watch: () => void): void {
  const timer = setTimeout(watch, WATCH_AFTER_MS);
  response.once('close', () => clearTimeout(timer));
}

/** The message of a route whose query goes on in the body. */
function queryAndForm(exchange: Exchange, limits: BodyLimits): () => Promise<Message> {
  const { request, endpoint, variables, query } = exchange;
  let message: Promise<Message> | undefined;
  return () => {
    message ??= readInflated(request, limits).then((form) =>
      endpoint.binding.bind(variables, `${query}&${form.toString('latin1')}`).empty(),
    );
    return message;
  };
}

/**
 * The messages of a call from its URL and body. A route without a body reads none: whatever the client sends is
 * dropped. Errors (415, 413, 408, malformed JSON, a bad path variable or query) come when the messages are pulled.
 */
export function requestsOf(exchange: Exchange, limits: BodyLimits): Requests {
  const { request, endpoint, variables, query } = exchange;
  const { method, rule, binding } = endpoint;
  if (method.clientStreaming) return streamOf(exchange, limits);
  if (rule.body === '') {
    if (exchange.form === true) return queryAndForm(exchange, limits);
    request.resume();
    return () => binding.bind(variables, query).empty();
  }
  return single(exchange, limits);
}
