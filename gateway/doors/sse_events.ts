/** The events of an event stream as text (WHATWG HTML, 9.2.6), and the encoders that all its clients share. */
import type { DescField } from '@bufbuild/protobuf';
import type { Message, Metadata } from '../../src/call.js';
import type { Encoder, Feed, StreamEvent } from '../../src/stream/feed.js';
import { responseHeaders } from '../http/headers.js';
import { FINISHED, NO_CURSOR } from '../http/resume.js';
import type { Endpoint, Table } from '../http/table.js';
import { Resets } from '../resets.js';

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
/** What an id may hold: cursors are ASCII, and a client would take NUL or a line break for something else. */
const ID = /^[!-~]+$/;

/**
 * One event. `data` is one line: JSON has no line breaks, so that no text of a service can begin a field of its own. An empty id is none.
 */
export function printEvent(event: string, data: string, id = ''): string {
  return ID.test(id) ? `id: ${id}\nevent: ${event}\ndata: ${data}\n\n` : `event: ${event}\ndata: ${data}\n\n`;
}

export interface OpenData {
  readonly heartbeatMs: number;
  /** Until the gateway ends the connection, in ms; null: it does not. */
  readonly maxLifetimeMs: number | null;
  /** When the token expires, in ms since the epoch; null: never, or there is none. */
  readonly expiresAt: number | null;
}

/** Its id is where the stream begins, so that a client which sees no event at all comes back to there. */
export function openEvent(retryMs: number, { resumed, replay, cursor }: Feed, rest: OpenData): string {
  const data = JSON.stringify({ resumed, replay, ...rest });
  return `retry: ${retryMs}\n${printEvent('open', data, cursor === '' ? NO_CURSOR : cursor)}`;
}

/** An empty data line: without any, an id is not taken by all clients. */
export function bookmarkEvent(cursor: string): string {
  return printEvent('bookmark', '', cursor);
}

export function drainEvent(reconnectMs: number): string {
  return `retry: ${reconnectMs}\n${printEvent('drain', JSON.stringify({ reconnectAfterMs: reconnectMs }))}`;
}

export function authExpiringEvent(expiresAt: number): string {
  return printEvent('auth_expiring', JSON.stringify({ expiresAt }));
}

/** The end of a stream, good or bad. `final`: to come back would be of no use. */
export function endEvent(status: string, trailers: Metadata, final: boolean): string {
  const shown = responseHeaders(trailers);
  const body =
    Object.keys(shown).length === 0 ? status : `${status.slice(0, -1)},"trailers":${JSON.stringify(shown)}}`;
  return printEvent('end', body, final ? FINISHED : '');
}

/** The name of each message's event: the value of the contract's event field. */
function namer({ method }: Endpoint, { codec }: Table): (message: Message) => string {
  const field: DescField | undefined = method.output.fields.find(
    ({ name }) => name === method.stream.eventField,
  );
  if (field === undefined) return () => 'message';
  return (message) => {
    const name: unknown = JSON.parse(codec.printField(method.output, field, message));
    return typeof name === 'string' && EVENT_NAME.test(name) && !RESERVED.has(name) ? name : 'message';
  };
}

/** Throws StatusError for a message of the service that cannot be printed. */
function printer(endpoint: Endpoint, table: Table): (event: StreamEvent) => string {
  const nameOf = namer(endpoint, table);
  const { binding } = endpoint;
  return (event) => {
    const { cursor } = event;
    if (event.kind === 'message')
      return printEvent(nameOf(event.message), binding.print(event.message), cursor);
    if (event.kind === 'reset') return printEvent('reset', JSON.stringify({ reason: event.reason }), cursor);
    return printEvent('caught_up', '{}', cursor);
  };
}

export interface EventEncoder extends Encoder {
  readonly resets: Resets;
  /** Any text of this stream as it is written. */
  frame(text: string): Buffer;
}

const LINE_END = '\r\n';

/** One chunk of a chunked body (RFC 9112 section 7.1). */
function chunkOf(parts: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const size = `${length.toString(16)}${LINE_END}`;
  const chunk = Buffer.allocUnsafe(size.length + length + LINE_END.length);
  let at = chunk.write(size, 0, 'latin1');
  for (const part of parts) {
    chunk.set(part, at);
    at += part.length;
  }
  chunk.write(LINE_END, at, 'latin1');
  return chunk;
}

function createEncoder(print: (event: StreamEvent) => string, chunked: boolean): EventEncoder {
  const resets = new Resets();
  const join = chunked ? chunkOf : (parts: readonly Uint8Array[]) => Buffer.concat(parts);
  return {
    resets,
    encode(event) {
      const bytes = Buffer.from(print(event));
      if (event.kind === 'reset') resets.mark(bytes, event.reason);
      return bytes;
    },
    join(events) {
      const bytes = join(events);
      resets.carry(events, bytes);
      return bytes;
    },
    frame: (text) => join([Buffer.from(text)]),
  };
}

/** Of one endpoint: for bodies in chunks, and for those that are not (HTTP/1.0), or that somebody else writes. */
interface Encoders {
  readonly chunked: EventEncoder;
  readonly plain: EventEncoder;
}

/** The same objects for the same endpoint, so that what goes to many clients is encoded once. */
export function createEventEncoders(): (endpoint: Endpoint, table: Table) => Encoders {
  const known = new WeakMap<Endpoint, Encoders>();
  return (endpoint, table) => {
    let encoders = known.get(endpoint);
    if (encoders === undefined) {
      const print = printer(endpoint, table);
      encoders = { chunked: createEncoder(print, true), plain: createEncoder(print, false) };
      known.set(endpoint, encoders);
    }
    return encoders;
  };
}
