/** What the events of a stream are on WebSockets: frames of RFC 6455, made once for all clients whose bytes are the same. */
import type { Message } from '../../src/call.js';
import type { Encoder, StreamEvent } from '../../src/stream/feed.js';
import { createPackedEncoder, type Unpacked, unpack } from '../../src/stream/packed.js';
import type { Binding, Endpoint } from '../http/table.js';
import { Resets } from '../resets.js';
import type { FrameEvent, Framing } from './ws_frames.js';

export interface FrameEncoder extends Encoder {
  /** Where the client cannot be told of a reset, nothing that follows one is in the same bytes. */
  readonly resets: Resets;
  /** What is written for bytes of `join` to a client that has this sid. */
  frames(bytes: Uint8Array, sid: number): Uint8Array;
}

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
/** A pong that answers nothing (RFC 6455 section 5.5.3): what a client is sent in place of what it cannot be told. */
const PONG = [0x8a, 0x00] as const;

/** A frame of a server, which is not masked (RFC 6455 section 5.2). */
export function serverFrame(payload: Uint8Array, binary: boolean): Buffer {
  const { length } = payload;
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(head + length);
  frame[0] = binary ? FINAL_BINARY : FINAL_TEXT;
  if (head === 2) frame[1] = length;
  else if (head === 4) {
    frame[1] = 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 127;
    frame.writeUInt32BE(0, 2);
    frame.writeUInt32BE(length, 6);
  }
  frame.set(payload, head);
  return frame;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}

interface FramesOptions {
  /** Of one event; undefined: the client is not told. */
  readonly payloadOf: (event: StreamEvent) => Uint8Array | undefined;
  readonly binary: boolean;
  /** Whether clients are told of resets. */
  readonly tellsResets: boolean;
}

/** For clients whose frames are the same to the last byte: they are written as they are. */
function createFrames({ payloadOf, binary, tellsResets }: FramesOptions): FrameEncoder {
  const resets = new Resets();
  const untilReset = (events: readonly Uint8Array[]): readonly Uint8Array[] => {
    const at = events.findIndex((event) => resets.in(event) !== undefined);
    return at === -1 ? events : events.slice(0, at + 1);
  };
  return {
    resets,
    encode(event) {
      const payload = payloadOf(event);
      const untold = event.kind === 'reset' ? Buffer.from(PONG) : Buffer.alloc(0);
      const frame = payload === undefined ? untold : serverFrame(payload, binary);
      if (event.kind === 'reset') resets.mark(frame, event.reason);
      return frame;
    },
    join(events) {
      const told = tellsResets ? events : untilReset(events);
      const bytes = concat(told);
      resets.carry(told, bytes);
      return bytes;
    },
    frames: (bytes) => bytes,
  };
}

type Print = (message: Message) => Uint8Array;

interface PackedOptions {
  readonly print: Print;
  readonly framing: Framing;
  readonly cursors: boolean;
}

/** For clients that differ by nothing but the sid: each is made its own frames of what was printed for all. */
function createPackedFrames({ print, framing, cursors }: PackedOptions): FrameEncoder {
  const resets = new Resets();
  const packed = createPackedEncoder(print);
  const frameOf = (sid: number, event: Unpacked): Uint8Array => {
    const told = cursors ? event : { ...event, cursor: '' };
    return serverFrame(framing.encodeEvent(sid, told), framing.binary);
  };
  return {
    resets,
    encode(event) {
      const bytes = packed.encode(event);
      if (event.kind === 'reset') resets.mark(bytes, event.reason);
      return bytes;
    },
    join(events) {
      const bytes = packed.join(events);
      resets.carry(events, bytes);
      return bytes;
    },
    frames(bytes, sid) {
      const events = unpack(bytes);
      if (cursors) return concat(events.map((event) => frameOf(sid, event)));
      const reset = events.findIndex(({ kind }) => kind === 'reset');
      const told = reset === -1 ? events : events.slice(0, reset);
      return concat(told.filter(({ kind }) => kind === 'message').map((event) => frameOf(sid, event)));
    },
  };
}

/** The bytes of the last message, which as a rule the next encoder asks for too. */
function remembered(print: Print): Print {
  let last: Message | undefined;
  let printed: Uint8Array = new Uint8Array(0);
  return (message) => {
    if (message !== last) {
      printed = print(message);
      last = message;
    }
    return printed;
  };
}

/** Up to this sid there is an encoder for each: what a client opens first, most clients open first. */
const SHARED_SIDS = 16;

function payloadOf({ encodeEvent }: Framing, print: Print, { sid, cursors }: FramesKey) {
  return (event: StreamEvent): Uint8Array | undefined => {
    if (!cursors && event.kind !== 'message') return undefined;
    const payload =
      event.kind === 'message'
        ? print(event.message)
        : Buffer.from(event.kind === 'reset' ? event.reason : '');
    const frame: FrameEvent = { kind: event.kind, payload, cursor: cursors ? event.cursor : '' };
    return encodeEvent(sid, frame);
  };
}

export interface FramesKey {
  readonly framing: Framing;
  readonly sid: number;
  /** Whether clients are told cursors, resets and `caught_up`. */
  readonly cursors: boolean;
}

/** All encoders of one endpoint. */
class EndpointEncoders {
  private readonly known = new Map<string, FrameEncoder>();
  private readonly prints = new Map<Framing, Print>();

  constructor(private readonly binding: Binding) {}

  /** For calls in frames of a subprotocol. */
  framed(key: FramesKey): FrameEncoder {
    const { framing, sid, cursors } = key;
    const shared = sid <= SHARED_SIDS;
    const name = `${framing.binary} ${cursors} ${shared ? sid : 'any'}`;
    const print = this.printOf(framing);
    return this.get(name, () =>
      shared
        ? createFrames({
            payloadOf: payloadOf(framing, print, key),
            binary: framing.binary,
            tellsResets: cursors,
          })
        : createPackedFrames({ print, framing, cursors }),
    );
  }

  /** For messages without frames. */
  bare(binary: boolean): FrameEncoder {
    const print = (message: Message): Uint8Array =>
      binary ? message : Buffer.from(this.binding.print(message));
    return this.get(`bare ${binary}`, () =>
      createFrames({
        payloadOf: (event) => (event.kind === 'message' ? print(event.message) : undefined),
        binary,
        tellsResets: false,
      }),
    );
  }

  private get(name: string, create: () => FrameEncoder): FrameEncoder {
    let encoder = this.known.get(name);
    if (encoder === undefined) {
      encoder = create();
      this.known.set(name, encoder);
    }
    return encoder;
  }

  private printOf(framing: Framing): Print {
    let print = this.prints.get(framing);
    if (print === undefined) {
      print = remembered((message) => framing.printMessage(this.binding, message));
      this.prints.set(framing, print);
    }
    return print;
  }
}

const ENCODERS = new WeakMap<Endpoint, EndpointEncoders>();

/** The same for the same endpoint. */
export function encodersOf(endpoint: Endpoint): EndpointEncoders {
  let encoders = ENCODERS.get(endpoint);
  if (encoders === undefined) {
    encoders = new EndpointEncoders(endpoint.binding);
    ENCODERS.set(endpoint, encoders);
  }
  return encoders;
}
