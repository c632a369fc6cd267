/** Events as bytes that can be told apart again: for readers that are no connection, or that have to look at what they write. */
import type { Message } from '../call.js';
import type { Encoder, ResetReason, StreamEvent } from './feed.js';

const KINDS = ['message', 'reset', 'caught_up'] as const;

/** One event, as it was packed. */
export interface Unpacked {
  readonly kind: StreamEvent['kind'];
  /** The position behind it. */
  readonly cursor: string;
  /** What `print` made of the message; the reason of a reset, as text. Not a copy. */
  readonly payload: Buffer;
}

/** Kind, the lengths of cursor and payload. */
const HEAD_BYTES = 9;
const NOTHING = Buffer.alloc(0);

function payloadOf(event: StreamEvent, print: (message: Message) => Uint8Array): Uint8Array {
  if (event.kind === 'message') return print(event.message);
  return event.kind === 'reset' ? Buffer.from(event.reason) : NOTHING;
}

/** `print` is what each message becomes, once for all readers that share the encoder. */
export function createPackedEncoder(print: (message: Message) => Uint8Array): Encoder {
  return {
    encode(event) {
      const payload = payloadOf(event, print);
      const { cursor } = event;
      const bytes = Buffer.allocUnsafe(HEAD_BYTES + cursor.length + payload.length);
      bytes[0] = KINDS.indexOf(event.kind);
      bytes.writeUInt32LE(cursor.length, 1);
      bytes.writeUInt32LE(payload.length, 5);
      // Cursors are ASCII.
      bytes.write(cursor, HEAD_BYTES, 'latin1');
      bytes.set(payload, HEAD_BYTES + cursor.length);
      return bytes;
    },
    join: (events) => (events.length === 1 ? (events[0] as Uint8Array) : Buffer.concat(events)),
  };
}

/** The events of a write, in order. */
export function unpack(packed: Uint8Array): Unpacked[] {
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length);
  const events: Unpacked[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = KINDS[bytes[at] as number] as StreamEvent['kind'];
    const cursorEnd = at + HEAD_BYTES + bytes.readUInt32LE(at + 1);
    const end = cursorEnd + bytes.readUInt32LE(at + 5);
    const cursor = bytes.toString('latin1', at + HEAD_BYTES, cursorEnd);
    events.push({ kind, cursor, payload: bytes.subarray(cursorEnd, end) });
    at = end;
  }
  return events;
}

export function reasonOf({ payload }: Unpacked): ResetReason {
  return payload.toString() as ResetReason;
}
