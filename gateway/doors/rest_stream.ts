/** Streams of replies over plain HTTP: JSON lines, one JSON array, or the raw bytes of google.api.HttpBody. */
import type { OutgoingHttpHeaders } from 'node:http';
import type { Message, Reply } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import { endAtExpiry } from '../expiry.js';
import { negotiate } from '../http/accept.js';
import { type BodyWriter, codingOfStream, createBodyWriter } from '../http/compress.js';
import { printStatus } from '../http/error_body.js';
import { addVary, responseHeaders } from '../http/headers.js';
import { contentTypeOf, type RawBody, rawBodiesOf, readHttpBody } from '../http/http_body.js';
import { mayCompress } from '../http/reply.js';
import { isCursor } from '../http/resume.js';
import { guardReply } from '../http/safety.js';
import { addTrailers } from '../http/trailers.js';
import { cut } from '../http/write.js';
import type { Exchange, Gateway, LiveCall } from './door.js';

const JSON_TYPE = 'application/json';
const LINES = ['application/x-ndjson', 'application/jsonl'];
/** By `http.streams`. The first is what a client gets that does not care: lines are useful at once, even when the stream never ends. */
const OFFERS = { bare: [...LINES, JSON_TYPE], array: [JSON_TYPE, ...LINES] } as const;
const NOTHING = new Uint8Array(0);

/** What the message of a stream looks like, and how the stream ends. */
interface Format {
  readonly type: string;
  /** Before the first message, before every other, and after each. */
  readonly first: string;
  readonly next: string;
  readonly after: string;
  /** The end of a stream with messages, and of one without. */
  readonly end: string;
  readonly empty: string;
  /** Whether a failure is a last line; else the response is cut, so that it cannot look complete. */
  readonly tellsFailure: boolean;
}

const lines = (type: string): Format => ({
  type,
  first: '',
  next: '',
  after: '\n',
  end: '',
  empty: '',
  tellsFailure: true,
});
const ARRAY: Format = {
  type: JSON_TYPE,
  first: '[',
  next: ',',
  after: '',
  end: ']',
  empty: '[]',
  tellsFailure: false,
};
const RESULTS: Format = { ...lines(JSON_TYPE), first: '{"result":', next: '{"result":', after: '}\n' };
const FORMATS: ReadonlyMap<string, Format> = new Map([
  ...LINES.map((type) => [type, lines(type)] as const),
  [JSON_TYPE, ARRAY],
]);

function formatOf({ request, endpoint }: Exchange): Format {
  const { streams } = endpoint.options.http;
  if (streams === 'result') return RESULTS;
  const type = negotiate(request.headers.accept, OFFERS[streams]) ?? OFFERS[streams][0];
  return FORMATS.get(type) as Format;
}

/** A stream that has been accepted: its client is told how it ends. */
interface Accepted {
  readonly gateway: Gateway;
  readonly exchange: Exchange;
  readonly reply: Reply;
  readonly live: LiveCall;
}

/** Rejects only while nothing has been written yet. */
export async function sendStream(
  gateway: Gateway,
  exchange: Exchange,
  reply: Reply,
  live: LiveCall,
): Promise<void> {
  const { feed } = reply;
  if (isCursor(exchange.resume?.cursor) && feed?.resumable === true && !feed.resumed) {
    // Messages alone cannot say that they do not continue what the client has seen.
    throw new StatusError(Code.ABORTED, 'the stream does not go on at this cursor: begin anew without it');
  }
  const accepted = { gateway, exchange, reply, live };
  const raw = rawBodiesOf(exchange.endpoint).response;
  const ended = endAtExpiry(gateway, live);
  try {
    if (raw === undefined) await sendMessages(accepted, formatOf(exchange));
    else await sendBytes(accepted, raw);
  } finally {
    ended();
  }
}

/** Writes the head; undefined for HEAD, which is answered then. */
function begin(
  { gateway, exchange, reply, live }: Accepted,
  type: string,
  negotiated: boolean,
): BodyWriter | undefined {
  const { request, response } = exchange;
  const { http } = gateway.config;
  const headers: OutgoingHttpHeaders = responseHeaders(reply.headers, http.headers);
  headers['content-type'] = type;
  headers['x-request-id'] = live.call.id;
  guardReply(headers, request);
  headers['x-accel-buffering'] = 'no';
  if (negotiated) addVary(headers, 'accept');
  const coding = mayCompress(headers, http) ? codingOfStream(request.headers['accept-encoding']) : undefined;
  if (coding !== undefined) headers['content-encoding'] = coding;
  response.writeHead(200, headers);
  response.flushHeaders();
  if (request.method !== 'HEAD') return createBodyWriter(response, coding);
  live.cancel(new StatusError(Code.CANCELLED, 'HEAD has no body'));
  response.end();
  return undefined;
}

function failed({ gateway, live }: Accepted, thrown: unknown): StatusError {
  const error = StatusError.from(thrown);
  gateway.report(live.call.id, error);
  return error;
}

async function sendMessages(accepted: Accepted, format: Format): Promise<void> {
  const { gateway, exchange, reply, live } = accepted;
  const { response } = exchange;
  const { http } = gateway.config;
  const writer = begin(accepted, format.type, format !== RESULTS);
  if (writer === undefined) return;
  try {
    await writeMessages(writer, accepted, format);
    addTrailers(response, reply.trailers(), http.headers);
    writer.end();
  } catch (thrown) {
    const error = failed(accepted, thrown);
    if (!format.tellsFailure) {
      cut(response);
      return;
    }
    const context = { codec: exchange.table.codec, http, id: live.call.id };
    addTrailers(response, error.metadata, http.headers);
    writer.end(`{"error":${printStatus(context, error)}}\n`);
  }
}

async function writeMessages(
  writer: BodyWriter,
  { exchange, reply }: Accepted,
  { first, next, after, end, empty }: Format,
): Promise<void> {
  const { binding } = exchange.endpoint;
  let before = first;
  let last = empty;
  for await (const message of reply.messages as AsyncIterable<Message>) {
    await writer.write(`${before}${binding.print(message)}${after}`);
    before = next;
    last = end;
  }
  if (last !== '') await writer.write(last);
}

/** The first message names the type, so that the head waits for it: until then a failure is an HTTP status. */
async function sendBytes(accepted: Accepted, raw: RawBody): Promise<void> {
  const { gateway, exchange, reply, live } = accepted;
  const messages = (reply.messages as AsyncIterable<Message>)[Symbol.asyncIterator]();
  const first = await messages.next();
  const body = first.done ? { contentType: '', data: NOTHING } : readHttpBody(raw, first.value);
  const writer = begin(accepted, contentTypeOf(body), false);
  if (writer === undefined) return;
  try {
    if (body.data.length > 0) await writer.write(body.data);
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      const { data } = readHttpBody(raw, next.value);
      if (data.length > 0) await writer.write(data);
    }
    addTrailers(exchange.response, reply.trailers(), gateway.config.http.headers);
    writer.end();
  } catch (thrown) {
    live.cancel(failed(accepted, thrown));
    cut(exchange.response);
  }
}
