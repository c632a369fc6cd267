/** The frames of a multiplexed WebSocket: their fields, and what both encodings of them have in common. */

import type { Message, Metadata } from '../../src/call.js';
import type { JsonValue } from '../../src/codec/codec.js';
import type { Detail } from '../../src/status.js';
import type { StreamEvent } from '../../src/stream/feed.js';
import type { Binding, Bound } from '../http/table.js';
import { Close, FrameFault } from './ws_close.js';

/** One message of a call inside a frame: its JSON, or its protobuf bytes. */
export type Payload = JsonValue | Uint8Array;

export interface StatusBody {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Detail[];
}

export interface Limits {
  readonly frame_bytes: number;
  readonly streams: number;
  readonly queued_messages: number;
  readonly queued_bytes: number;
}

/** What a client sends. Names are those on the wire. */
export type ClientFrame =
  | { readonly type: 'hello'; readonly token?: string; readonly features: readonly string[] }
  | OpenFrame
  | MsgFrame
  | { readonly type: 'half_close'; readonly sid: number }
  | { readonly type: 'cancel'; readonly sid: number }
  | { readonly type: 'credit'; readonly sid: number; readonly n: number }
  | { readonly type: 'auth'; readonly token: string }
  | { readonly type: 'ping' }
  | { readonly type: 'pong' };

export interface OpenFrame {
  readonly type: 'open';
  readonly sid: number;
  readonly method?: string;
  readonly route?: string;
  readonly headers: Metadata;
  readonly message?: Payload;
  readonly credit?: number;
  readonly deadline_ms?: number;
  readonly cursor?: string;
  readonly idempotency_key?: string;
}

export interface MsgFrame {
  readonly type: 'msg';
  readonly sid: number;
  readonly data: Payload;
  readonly seq?: number;
}

export interface OpenedFrame {
  readonly type: 'opened';
  readonly sid: number;
  readonly headers: Metadata;
  readonly credit: number;
  /** The next three on a stream of replies, where the feature `resume` is in force; the cursor only on one with cursors. */
  readonly resumed?: boolean;
  readonly replay?: boolean;
  readonly cursor?: string;
  /** On a call with an idempotency key. */
  readonly acked?: number;
}

/** What the gateway sends, except what becomes of the events of a stream: see Framing.encodeEvent. */
export type ServerFrame =
  | {
      readonly type: 'welcome';
      readonly session: string;
      readonly heartbeat_ms: number;
      readonly expires_at?: number;
      readonly limits: Limits;
      readonly features: readonly string[];
    }
  | OpenedFrame
  | { readonly type: 'bookmark'; readonly sid: number; readonly cursor: string }
  | { readonly type: 'ack'; readonly sid: number; readonly seq: number }
  | { readonly type: 'credit'; readonly sid: number; readonly n: number }
  | { readonly type: 'end'; readonly sid: number; readonly status: StatusBody; readonly trailers: Metadata }
  | { readonly type: 'auth_ok'; readonly expires_at?: number }
  | { readonly type: 'auth_expiring'; readonly expires_at: number }
  | { readonly type: 'goaway'; readonly reconnect_after_ms: number; readonly reason: string }
  | { readonly type: 'ping' }
  | { readonly type: 'pong' };

/** An event of a stream, on its way into a frame. */
export interface FrameEvent {
  readonly kind: StreamEvent['kind'];
  readonly payload: Uint8Array;
  /** Empty: none is told. */
  readonly cursor: string;
}

/** One of the two encodings of the frames. Stateless: one serves all sockets. */
export interface Framing {
  /** Of the WebSocket messages. */
  readonly binary: boolean;
  /** The frames of one WebSocket message, one by one. Throws FrameFault. */
  decode(data: string | Uint8Array): Iterable<ClientFrame>;
  encode(frame: ServerFrame): string | Uint8Array;
  /** What a message is inside a `msg` frame; the same for all who are sent it. Throws StatusError for one that cannot be printed. */
  readonly printMessage: (binding: Binding, message: Message) => Uint8Array;
  /** `msg`, `reset` or `caught_up`. `payload` is the printed message, or the reason of the reset. */
  encodeEvent(sid: number, event: FrameEvent): Uint8Array;
  /** A payload as a request. Throws StatusError INVALID_ARGUMENT. */
  request(bound: Bound, payload: Payload): Message;
}

/** `sid` and `count` are integers from 1 to 2^32 - 1, `seq` to 2^53 - 1, `uint32` and `uint64` the same from 0. */
export type Kind =
  | 'sid'
  | 'count'
  | 'seq'
  | 'bool'
  | 'uint32'
  | 'uint64'
  | 'string'
  | 'strings'
  | 'payload'
  | 'metadata'
  | 'limits'
  | 'status';

export interface Field {
  readonly name: string;
  /** In proto/tidegate/v1/ws.proto. */
  readonly number: number;
  readonly kind: Kind;
  readonly optional?: true;
}

export interface Shape {
  readonly type: string;
  /** Of the frame in the oneof of proto/tidegate/v1/ws.proto. */
  readonly number: number;
  readonly sentBy: 'client' | 'server' | 'both';
  readonly fields: readonly Field[];
}

const SID: Field = { name: 'sid', number: 1, kind: 'sid' };
const CURSOR: Field = { name: 'cursor', number: 2, kind: 'string' };

/** Every frame, in the order of PROTOCOL.md. */
export const SHAPES: readonly Shape[] = [
  {
    type: 'hello',
    number: 1,
    sentBy: 'client',
    fields: [
      { name: 'token', number: 1, kind: 'string', optional: true },
      { name: 'features', number: 2, kind: 'strings' },
    ],
  },
  {
    type: 'welcome',
    number: 2,
    sentBy: 'server',
    fields: [
      { name: 'session', number: 1, kind: 'string' },
      { name: 'heartbeat_ms', number: 2, kind: 'uint32' },
      { name: 'expires_at', number: 3, kind: 'uint64', optional: true },
      { name: 'limits', number: 4, kind: 'limits' },
      { name: 'features', number: 5, kind: 'strings' },
    ],
  },
  {
    type: 'open',
    number: 3,
    sentBy: 'client',
    fields: [
      SID,
      { name: 'method', number: 2, kind: 'string', optional: true },
      { name: 'route', number: 3, kind: 'string', optional: true },
      { name: 'headers', number: 4, kind: 'metadata' },
      { name: 'message', number: 5, kind: 'payload', optional: true },
      { name: 'credit', number: 6, kind: 'uint32', optional: true },
      { name: 'deadline_ms', number: 7, kind: 'count', optional: true },
      { name: 'cursor', number: 8, kind: 'string', optional: true },
      { name: 'idempotency_key', number: 9, kind: 'string', optional: true },
    ],
  },
  {
    type: 'opened',
    number: 4,
    sentBy: 'server',
    fields: [
      SID,
      { name: 'headers', number: 2, kind: 'metadata' },
      { name: 'credit', number: 3, kind: 'uint32' },
      { name: 'resumed', number: 4, kind: 'bool', optional: true },
      { name: 'replay', number: 5, kind: 'bool', optional: true },
      { name: 'cursor', number: 6, kind: 'string', optional: true },
      { name: 'acked', number: 7, kind: 'uint64', optional: true },
    ],
  },
  {
    type: 'msg',
    number: 5,
    sentBy: 'both',
    fields: [
      SID,
      { name: 'data', number: 2, kind: 'payload' },
      { name: 'seq', number: 3, kind: 'seq', optional: true },
      { name: 'cursor', number: 4, kind: 'string', optional: true },
    ],
  },
  { type: 'half_close', number: 6, sentBy: 'client', fields: [SID] },
  { type: 'cancel', number: 7, sentBy: 'client', fields: [SID] },
  { type: 'credit', number: 8, sentBy: 'both', fields: [SID, { name: 'n', number: 2, kind: 'count' }] },
  {
    type: 'end',
    number: 9,
    sentBy: 'server',
    fields: [
      SID,
      { name: 'status', number: 2, kind: 'status' },
      { name: 'trailers', number: 3, kind: 'metadata' },
    ],
  },
  { type: 'ping', number: 10, sentBy: 'both', fields: [] },
  { type: 'pong', number: 11, sentBy: 'both', fields: [] },
  {
    type: 'goaway',
    number: 12,
    sentBy: 'server',
    fields: [
      { name: 'reconnect_after_ms', number: 1, kind: 'uint32' },
      { name: 'reason', number: 2, kind: 'string' },
    ],
  },
  { type: 'bookmark', number: 13, sentBy: 'server', fields: [SID, CURSOR] },
  { type: 'caught_up', number: 14, sentBy: 'server', fields: [SID, CURSOR] },
  {
    type: 'reset',
    number: 15,
    sentBy: 'server',
    fields: [SID, CURSOR, { name: 'reason', number: 3, kind: 'string' }],
  },
  { type: 'ack', number: 16, sentBy: 'server', fields: [SID, { name: 'seq', number: 2, kind: 'seq' }] },
  { type: 'auth', number: 17, sentBy: 'client', fields: [{ name: 'token', number: 1, kind: 'string' }] },
  {
    type: 'auth_ok',
    number: 18,
    sentBy: 'server',
    fields: [{ name: 'expires_at', number: 1, kind: 'uint64', optional: true }],
  },
  {
    type: 'auth_expiring',
    number: 19,
    sentBy: 'server',
    fields: [{ name: 'expires_at', number: 1, kind: 'uint64' }],
  },
];

export function malformed(problem: string): FrameFault {
  return new FrameFault(Close.FRAME_MALFORMED, problem);
}

/** The shape, if a client may send it. Throws FrameFault. */
export function fromClient(shape: Shape | undefined, name: string): Shape {
  if (shape === undefined) throw new FrameFault(Close.FRAME_UNKNOWN, `unknown frame ${name}`);
  if (shape.sentBy === 'server')
    throw new FrameFault(Close.FRAME_UNKNOWN, `${name} is sent by the gateway alone`);
  return shape;
}
