/** The Server-Sent Events door: a server stream for EventSource and for fetch, told to its very end. */
import type { DescField } from '@bufbuild/protobuf';
import { createEventBuffer } from 'better-sse';
import type { Message, Metadata, Reply } from '../../src/call.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { serveCall } from '../http/call.js';
import { type BodyWriter, codingOfStream, createBodyWriter } from '../http/compress.js';
import { printStatus } from '../http/error_body.js';
import { addVary, responseHeaders } from '../http/headers.js';
import type { Exchange, Gateway, LiveCall } from './door.js';

/** The id of the last event of a finished stream: an EventSource that comes back with it is told to stop (204). */
const FINISHED = 'end';
/** Names that the door itself gives to events, or EventSource does. A message that asks for one is sent as `message`. */
const RESERVED = new Set([
  'open',
  'error',
  'end',
  'drain',
  'bookmark',
  'caught_up',
  'reset',
  'auth_expiring',
]);
/** Not empty, and nothing that could end the line and begin another field. */
const EVENT_NAME = /^[^\r\n\0]+$/;
const RETRY_MS = 2000;

/** Uniform in [ms, 2 ms), so that clients cut off at once do not come back at once. */
const jitter = (ms: number): number => Math.floor(ms * (1 + Math.random()));

const identity = (text: unknown): string => String(text);

/** One event as text; `data` is text without line breaks that matter (JSON has none). */
function printEvent(event: string, data: string, id?: string): string {
  const buffer = createEventBuffer({ serializer: identity }).event(event).data(data);
  if (id !== undefined) buffer.id(id);
  return buffer.dispatch().read();
}

function openEvent(heartbeatMs: number, { expiresAt }: Principal): string {
  const open = { resumed: false, heartbeatMs, expiresAt: expiresAt === undefined ? null : expiresAt };
  const retry = createEventBuffer().retry(jitter(RETRY_MS)).read();
  return retry + printEvent('open', JSON.stringify(open));
}

function drainEvent(reconnectMs: number): string {
  const retry = createEventBuffer().retry(reconnectMs).read();
  return retry + printEvent('drain', JSON.stringify({ reconnectAfterMs: reconnectMs }));
}

/** The end of a stream, good or bad. One that will not go better when tried again carries the id that stops EventSource. */
function endEvent(status: string, trailers: Metadata, final: boolean): string {
  const shown = responseHeaders(trailers);
  const body =
    Object.keys(shown).length === 0 ? status : `${status.slice(0, -1)},"trailers":${JSON.stringify(shown)}}`;
  return printEvent('end', body, final ? FINISHED : undefined);
}

/** Prints one message as an event; the name is the value of the contract's event field. */
function eventPrinter({ endpoint, table }: Exchange): (message: Message) => string {
  const { binding, method } = endpoint;
  const field: DescField | undefined = method.output.fields.find(
    ({ name }) => name === method.stream.eventField,
  );
  if (field === undefined) return (message) => printEvent('message', binding.print(message));
  const { codec } = table;
  return (message) => {
    const name: unknown = JSON.parse(codec.printField(method.output, field, message));
    const usable = typeof name === 'string' && EVENT_NAME.test(name) && !RESERVED.has(name);
    return printEvent(usable ? name : 'message', binding.print(message));
  };
}

/** Writes a comment whenever nothing else was written for `ms`, but not into a socket that does not take it. */
function startHeartbeat(
  { response }: Exchange,
  writer: BodyWriter,
  ms: number,
): { touch: () => void; stop: () => void } {
  const timer = setInterval(() => {
    if (!response.writableNeedDrain) void writer.write(': hb\n\n');
  }, ms);
  timer.unref();
  return { touch: () => timer.refresh(), stop: () => clearInterval(timer) };
}

/** Writes the head. */
function begin({ config }: Gateway, { request, response }: Exchange, reply: Reply, id: string): BodyWriter {
  const { http } = config;
  const headers = responseHeaders(reply.headers, http.headers);
  headers['content-type'] = 'text/event-stream';
  headers['cache-control'] = 'no-cache, no-transform';
  headers['x-accel-buffering'] = 'no';
  headers['x-request-id'] = id;
  addVary(headers, 'accept');
  if (http.compressEvents) addVary(headers, 'accept-encoding');
  const coding = http.compressEvents ? codingOfStream(request.headers['accept-encoding']) : undefined;
  if (coding !== undefined) headers['content-encoding'] = coding;
  response.writeHead(200, headers);
  return createBodyWriter(response, coding);
}

async function stream(gateway: Gateway, exchange: Exchange, reply: Reply, live: LiveCall): Promise<void> {
  const { endpoint } = exchange;
  const { codec } = exchange.table;
  const print = eventPrinter(exchange);
  const heartbeatMs = endpoint.method.stream.heartbeatMs || gateway.config.timeouts.heartbeatMs;
  const { http } = gateway.config;
  const writer = begin(gateway, exchange, reply, live.call.id);
  await writer.write(openEvent(heartbeatMs, live.call.principal));
  const heartbeat = startHeartbeat(exchange, writer, heartbeatMs);
  try {
    for await (const message of reply.messages as AsyncIterable<Message>) {
      await writer.write(print(message));
      heartbeat.touch();
    }
    writer.end(
      endEvent(codec.printStatus({ code: Code.OK, message: '', details: [] }), reply.trailers(), true),
    );
  } catch (thrown) {
    const error = StatusError.from(thrown);
    gateway.report(live.call.id, error);
    if (error === gateway.draining.reason) writer.end(drainEvent(jitter(RETRY_MS)));
    else {
      const status = printStatus({ codec, http, id: live.call.id }, error);
      writer.end(endEvent(status, error.metadata, !error.row.retryable));
    }
  } finally {
    heartbeat.stop();
  }
}

/** Answers one exchange with an event stream. Refused before it is accepted: an HTTP status; later: an event. */
export function createSseDoor(gateway: Gateway): (exchange: Exchange) => Promise<void> {
  return async (exchange) => {
    if (exchange.request.headers['last-event-id'] === FINISHED) {
      exchange.response.writeHead(204).end();
      return;
    }
    await serveCall(gateway, exchange, (reply, live) => {
      live.leavesOnDrain = true;
      if (gateway.draining.aborted) live.cancel(gateway.draining.reason);
      return stream(gateway, exchange, reply, live);
    });
  };
}
