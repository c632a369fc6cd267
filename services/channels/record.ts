/** Events on the wire and in the log: the data of an event is passed on byte for byte, never decoded. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Entry } from '../../src/broker/broker.js';

/** tidegate.v1.PublishRequest, with its data still encoded. */
export interface Publication {
  readonly channel: string;
  /** google.protobuf.Value; undefined when it was not sent. */
  readonly data: Uint8Array | undefined;
  readonly type: string;
  readonly idempotencyKey: string;
}

/** Decodes tidegate.v1.PublishRequest. Throws for malformed bytes. */
export function decodePublication(bytes: Uint8Array): Publication {
  const found = { channel: '', data: undefined as Uint8Array | undefined, type: '', idempotencyKey: '' };
  eachField(bytes, (number, reader) => {
    if (number === 1) found.channel = reader.string();
    else if (number === 2) found.data = reader.bytes();
    else if (number === 3) found.type = reader.string();
    else if (number === 4) found.idempotencyKey = reader.string();
    else return false;
    return true;
  });
  return found;
}

/** Decodes tidegate.v1.PublishBatchRequest: messages = 1. */
export function decodeBatch(bytes: Uint8Array): Publication[] {
  const messages: Publication[] = [];
  eachField(bytes, (number, reader) => {
    if (number !== 1) return false;
    messages.push(decodePublication(reader.bytes()));
    return true;
  });
  return messages;
}

/** tidegate.v1.JoinRequest, with its data still encoded: channel = 1, data = 2. */
export function decodeJoin(bytes: Uint8Array): { readonly channel: string; readonly data?: Uint8Array } {
  const { channel, data } = decodePublication(bytes);
  return { channel, ...(data !== undefined && { data }) };
}

/** Every field of ours is a string, bytes or a message; others are passed over. */
function eachField(bytes: Uint8Array, read: (number: number, reader: BinaryReader) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType !== WireType.LengthDelimited || !read(number, reader)) reader.skip(wireType, number);
  }
}

/** What the log keeps of an event: tidegate.v1.Event with data = 3, type = 4 and publisher = 5. */
export function encodeRecord({ data, type }: Publication, publisher: string): Uint8Array {
  const writer = new BinaryWriter();
  if (data !== undefined) writer.uint32(26).bytes(data);
  if (type !== '') writer.uint32(34).string(type);
  if (publisher !== '') writer.uint32(42).string(publisher);
  return writer.finish();
}

/** tidegate.v1.Event: channel = 1, position = 2, what the log has of it, and time = 6. */
export function encodeEvent(entry: Entry, channel: string, position: string): Uint8Array {
  return timed(
    new BinaryWriter().uint32(10).string(channel).uint32(18).string(position).raw(entry.data),
    entry.at,
  );
}

/** Adds the time as field 6. */
function timed(writer: BinaryWriter, at: number): Uint8Array {
  return writeTime(writer.uint32(50).fork(), at).join().finish();
}

/** google.protobuf.Timestamp: seconds = 1, nanos = 2. */
export function writeTime(writer: BinaryWriter, at: number): BinaryWriter {
  const seconds = Math.floor(at / 1000);
  return writer
    .uint32(8)
    .int64(seconds)
    .uint32(16)
    .int32((at - seconds * 1000) * 1e6);
}

export interface Page {
  /** Encoded tidegate.v1.Event. */
  readonly events: readonly Uint8Array[];
  readonly more: boolean;
  readonly truncated: boolean;
  readonly position: string;
}

/** tidegate.v1.HistoryResponse: events = 1, more = 2, truncated = 3, position = 4. */
export function encodePage({ events, more, truncated, position }: Page): Uint8Array {
  const writer = new BinaryWriter();
  for (const event of events) writer.uint32(10).bytes(event);
  if (more) writer.uint32(16).bool(true);
  if (truncated) writer.uint32(24).bool(true);
  return writer.uint32(34).string(position).finish();
}
