/** The body of an HTTP request as the messages of a call, read only when the upstream asks for them. */
import type { IncomingMessage } from 'node:http';
import type { Message, Requests } from '../../src/call.js';
import { parseJson } from '../../src/codec/json_text.js';
import { Code, StatusError } from '../../src/status.js';
import type { Exchange } from '../doors/door.js';
import { parseContentType } from './accept.js';
import { HttpError } from './error.js';
import { JsonSplitter } from './json_stream.js';
import type { Bound } from './table.js';

type Format = 'json' | 'protobuf';

const PROTOBUF = new Set(['application/x-protobuf', 'application/protobuf']);
const JSON_STREAMS = new Set(['application/x-ndjson', 'application/jsonl', 'application/ndjson']);
const ACCEPT_POST = 'application/json, application/x-protobuf';

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

/** What the body claims to be. None or JSON is JSON. Throws HttpError 415 with Accept-Post for what we cannot read. */
function formatOf(request: IncomingMessage, streaming: boolean): Format {
  const header = request.headers['content-type'];
  if (header === undefined) return 'json';
  const { type, parameters } = parseContentType(header);
  const accepted = streaming ? 'application/json, application/x-ndjson' : ACCEPT_POST;
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new HttpError(Code.INVALID_ARGUMENT, `header content-encoding: ${encoding} is not served here`, {
      http: 415,
    });
  }
  const charset = parameters.get('charset');
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) throw unsupported(`charset ${charset}`, accepted);
  if (type === 'application/json' || type.endsWith('+json') || type === '') return 'json';
  if (streaming && JSON_STREAMS.has(type)) return 'json';
  if (!streaming && PROTOBUF.has(type)) return 'protobuf';
  throw unsupported(type, accepted);
}

function tooLarge(limit: number): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, `body: larger than ${limit} bytes`, { http: 413 });
}

/** The whole body. Rejects with HttpError 413 as soon as it is known to exceed `limit` bytes. */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > limit) return Promise.reject(tooLarge(limit));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const settle = (error?: Error): void => {
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', settle);
      if (error === undefined)
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length));
      else reject(error);
    };
    const onData = (chunk: Buffer): void => {
      length += chunk.length;
      if (length <= limit) chunks.push(chunk);
      else {
        request.pause();
        settle(tooLarge(limit));
      }
    };
    const onEnd = (): void => settle();
    const onClose = (): void =>
      settle(new StatusError(Code.CANCELLED, 'the client left before the end of the body'));
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', settle);
  });
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return (length !== undefined && length !== '0') || request.headers['transfer-encoding'] !== undefined;
}

async function readOne(request: IncomingMessage, bound: Bound, limit: number): Promise<Message> {
  if (!hasBody(request)) return bound.empty();
  const format = formatOf(request, false);
  const body = await readBody(request, limit);
  if (format === 'protobuf') return bound.bytes(body);
  return body.length === 0 ? bound.empty() : bound.json(parseJson(body));
}

async function* readMany(request: IncomingMessage, bound: Bound, limit: number): AsyncGenerator<Message> {
  formatOf(request, true);
  const splitter = new JsonSplitter(limit);
  let index = 0;
  // Leaving early must not destroy the connection: the answer still has to go out on it.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    for (const value of splitter.push(chunk)) yield bindNth(bound, value, ++index);
  }
  for (const value of splitter.end()) yield bindNth(bound, value, ++index);
}

/** One message of many. An error says of which. */
function bindNth(bound: Bound, value: Buffer, index: number): Message {
  try {
    return bound.json(parseJson(value));
  } catch (thrown) {
    const { code, message, details, cause } = StatusError.from(thrown);
    throw new StatusError(code, `message ${index}: ${message}`, { details, cause });
  }
}

/**
 * The messages of a call from its URL and body. A route without a body reads none: whatever the client sends is
 * dropped. Errors (415, 413, malformed JSON, a bad path variable or query) come when the messages are pulled.
 */
export function requestsOf({ request, endpoint, variables, query }: Exchange, limit: number): Requests {
  const { method, rule, binding } = endpoint;
  if (method.clientStreaming) return readMany(request, binding.bind(variables, query), limit);
  if (rule.body === '') {
    request.resume();
    return () => binding.bind(variables, query).empty();
  }
  return () => readOne(request, binding.bind(variables, query), limit);
}
