/** The frames of tidegate.v1.proto: proto/tidegate/v1/ws.proto, each behind its length as a varint. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Metadata } from '../../src/call.js';
import type { Detail } from '../../src/status.js';
import { Close, FrameFault } from './ws_close.js';
import {
  type ClientFrame,
  type Field,
  type FrameEvent,
  type Framing,
  fromClient,
  type Limits,
  malformed,
  type ServerFrame,
  SHAPES,
  type Shape,
  type StatusBody,
} from './ws_frames.js';

/** A frame of either side with its fields by name, as the table of shapes describes it. */
export type AnyFrame = { readonly type: string } & Readonly<Record<string, unknown>>;

const BY_TYPE: ReadonlyMap<string, Shape> = new Map(SHAPES.map((shape) => [shape.type, shape]));
const BY_NUMBER: ReadonlyMap<number, Shape> = new Map(SHAPES.map((shape) => [shape.number, shape]));
const VARINTS: ReadonlySet<string> = new Set(['sid', 'count', 'seq', 'bool', 'uint32', 'uint64']);

const key = (number: number, wire: WireType): number => (number << 3) | wire;

/** The fields of each shape by their tags. */
const BY_KEY: ReadonlyMap<Shape, ReadonlyMap<number, Field>> = new Map(
  SHAPES.map((shape) => [shape, new Map(shape.fields.map((field) => [tagOf(field), field]))]),
);
const LIMITS = ['frame_bytes', 'streams', 'queued_messages', 'queued_bytes'] as const;
const EMPTY = new Uint8Array(0);

function tagOf({ number, kind }: Field): number {
  return key(number, VARINTS.has(kind) ? WireType.Varint : WireType.LengthDelimited);
}

function writeMetadata(writer: BinaryWriter, number: number, metadata: Metadata): void {
  for (const name in metadata) {
    const value = metadata[name] as string | readonly string[];
    writer.tag(number, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name);
    for (const one of typeof value === 'string' ? [value] : value) {
      writer.tag(2, WireType.LengthDelimited).string(one);
    }
    writer.join();
  }
}

function writeStatus(writer: BinaryWriter, { code, message, details }: StatusBody): void {
  if (code !== 0) writer.tag(1, WireType.Varint).int32(code);
  if (message !== '') writer.tag(2, WireType.LengthDelimited).string(message);
  for (const { typeUrl, value } of details) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(typeUrl);
    writer.tag(2, WireType.LengthDelimited).bytes(value).join();
  }
}

function writeField(writer: BinaryWriter, { number, kind }: Field, value: unknown): void {
  switch (kind) {
    case 'string':
      writer.tag(number, WireType.LengthDelimited).string(value as string);
      return;
    case 'strings':
      for (const one of value as readonly string[]) writer.tag(number, WireType.LengthDelimited).string(one);
      return;
    case 'payload':
      writer.tag(number, WireType.LengthDelimited).bytes(value as Uint8Array);
      return;
    case 'metadata':
      writeMetadata(writer, number, value as Metadata);
      return;
    case 'limits':
      writer.tag(number, WireType.LengthDelimited).fork();
      LIMITS.forEach((name, index) => {
        writer.tag(index + 1, WireType.Varint).uint32((value as Limits)[name]);
      });
      writer.join();
      return;
    case 'status':
      writer.tag(number, WireType.LengthDelimited).fork();
      writeStatus(writer, value as StatusBody);
      writer.join();
      return;
    case 'seq':
    case 'uint64':
      writer.tag(number, WireType.Varint).uint64(value as number);
      return;
    case 'bool':
      writer.tag(number, WireType.Varint).bool(value as boolean);
      return;
    default:
      writer.tag(number, WireType.Varint).uint32(value as number);
  }
}

/** One frame of either side, behind its length. Used by clients and tests as well. */
export function encodeFrame(frame: AnyFrame | ServerFrame | ClientFrame): Uint8Array {
  const shape = BY_TYPE.get(frame.type) as Shape;
  const writer = new BinaryWriter().fork().tag(shape.number, WireType.LengthDelimited).fork();
  for (const field of shape.fields) {
    const value = (frame as AnyFrame)[field.name];
    if (value !== undefined) writeField(writer, field, value);
  }
  return writer.join().join().finish();
}

/** Calls `read` for each field until the reader's end. Throws RangeError or Error for bytes that are not protobuf. */
function readFields(bytes: Uint8Array, read: (reader: BinaryReader, number: number) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const start = reader.pos;
    // A field of another wire type than its own would be misread: it is skipped like an unknown one.
    if (wire !== WireType.LengthDelimited && wire !== WireType.Varint) reader.skip(wire, number);
    else if (!read(reader, (number << 3) | wire)) {
      reader.pos = start;
      reader.skip(wire, number);
    }
  }
}

const TEXT_1 = key(1, WireType.LengthDelimited);
const TEXT_2 = key(2, WireType.LengthDelimited);
const TEXT_3 = key(3, WireType.LengthDelimited);
const INT_1 = key(1, WireType.Varint);

/** All values of a name are in one array that grows: a copy for each would take seconds for a frame full of empty ones. */
function readHeader(bytes: Uint8Array, into: Record<string, string | string[]>): void {
  let name = '';
  const values: string[] = [];
  readFields(bytes, (reader, at) => {
    if (at === TEXT_1) name = reader.string(true);
    else if (at === TEXT_2) values.push(reader.string(true));
    else return false;
    return true;
  });
  const before = into[name];
  if (Array.isArray(before) && before.length > 0) for (const value of values) before.push(value);
  else if (typeof before === 'string') into[name] = [before, ...values];
  else into[name] = values.length === 1 ? (values[0] as string) : values;
}

function readLimits(bytes: Uint8Array): Limits {
  const limits = { frame_bytes: 0, streams: 0, queued_messages: 0, queued_bytes: 0 };
  readFields(bytes, (reader, at) => {
    const name = LIMITS.find((_, index) => at === key(index + 1, WireType.Varint));
    if (name !== undefined) limits[name] = reader.uint32();
    return name !== undefined;
  });
  return limits;
}

function readDetail(bytes: Uint8Array): Detail {
  let typeUrl = '';
  let value: Uint8Array = EMPTY;
  readFields(bytes, (reader, at) => {
    if (at === TEXT_1) typeUrl = reader.string(true);
    else if (at === TEXT_2) value = reader.bytes();
    else return false;
    return true;
  });
  return { typeUrl, value };
}

function readStatus(bytes: Uint8Array): StatusBody {
  let code = 0;
  let message = '';
  const details: Detail[] = [];
  readFields(bytes, (reader, at) => {
    if (at === INT_1) code = reader.int32();
    else if (at === TEXT_2) message = reader.string(true);
    else if (at === TEXT_3) details.push(readDetail(reader.bytes()));
    else return false;
    return true;
  });
  return { code, message, details };
}

function readField(reader: BinaryReader, { kind }: Field, before: unknown): unknown {
  switch (kind) {
    case 'string':
      return reader.string(true);
    case 'strings':
      (before as string[]).push(reader.string(true));
      return before;
    case 'payload':
      return reader.bytes();
    case 'metadata':
      readHeader(reader.bytes(), before as Record<string, string | string[]>);
      return before;
    case 'limits':
      return readLimits(reader.bytes());
    case 'status':
      return readStatus(reader.bytes());
    case 'seq':
    case 'uint64':
      return Number(reader.uint64());
    case 'bool':
      return reader.bool();
    default:
      return reader.uint32();
  }
}

/** What an absent field holds. */
function presetOf({ kind, optional }: Field): unknown {
  if (optional !== undefined) return undefined;
  if (kind === 'strings') return [];
  if (kind === 'metadata') return Object.create(null);
  if (kind === 'payload') return EMPTY;
  if (kind === 'string') return '';
  if (kind === 'limits') return readLimits(EMPTY);
  return kind === 'status' ? readStatus(EMPTY) : 0;
}

function isSeq(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function readShape(shape: Shape, bytes: Uint8Array): AnyFrame {
  const frame: Record<string, unknown> & { type: string } = { type: shape.type };
  for (const field of shape.fields) {
    const preset = presetOf(field);
    if (preset !== undefined) frame[field.name] = preset;
  }
  const byKey = BY_KEY.get(shape);
  readFields(bytes, (reader, at) => {
    const field = byKey?.get(at);
    if (field !== undefined) frame[field.name] = readField(reader, field, frame[field.name]);
    return field !== undefined;
  });
  for (const { name, kind } of shape.fields) {
    if ((kind === 'sid' || kind === 'count') && frame[name] === 0) {
      throw malformed(`${shape.type}.${name} must be an integer from 1 to 4294967295`);
    }
    if (kind === 'seq' && frame[name] !== undefined && !isSeq(frame[name])) {
      throw malformed(`${shape.type}.${name} must be an integer from 1 to 9007199254740991`);
    }
  }
  return frame;
}

/** The number and the content of the one member of the oneof that a Frame holds. */
function readOneof(bytes: Uint8Array): { readonly number: number; readonly content: Uint8Array } {
  let number = 0;
  let content: Uint8Array = EMPTY;
  readFields(bytes, (reader, at) => {
    if ((at & 7) !== WireType.LengthDelimited) return false;
    number = at >>> 3;
    content = reader.bytes();
    return true;
  });
  return { number, content };
}

/** What protobuf's reader says is kept from the client: the reason is ours. */
function asFault(thrown: unknown): FrameFault {
  return thrown instanceof FrameFault ? thrown : malformed('a frame that is not protobuf');
}

/** The frames of one WebSocket message, one by one, of either side. Used by clients and tests as well. */
export function* decodeFrames(data: Uint8Array, check = (shape: Shape | undefined, _name: string) => shape) {
  const reader = new BinaryReader(data);
  while (reader.pos < reader.len) {
    let frame: AnyFrame;
    try {
      const { number, content } = readOneof(reader.bytes());
      const shape = check(BY_NUMBER.get(number), `${number}`);
      if (shape === undefined) throw malformed(`unknown frame ${number}`);
      frame = readShape(shape, content);
    } catch (thrown) {
      throw asFault(thrown);
    }
    yield frame;
  }
}

function* decode(data: string | Uint8Array): Generator<ClientFrame> {
  if (typeof data === 'string')
    throw new FrameFault(Close.KIND_WRONG, 'a text message: tidegate.v1.proto takes binary');
  for (const frame of decodeFrames(data, fromClient)) yield frame as unknown as ClientFrame;
}

/** A `msg` frame around bytes that are copied once. */
function encodeMsg(sid: number, message: Uint8Array, cursor: string): Uint8Array {
  const writer = new BinaryWriter();
  writer.fork().tag(5, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.Varint).uint32(sid).tag(2, WireType.LengthDelimited).bytes(message);
  if (cursor !== '') writer.tag(4, WireType.LengthDelimited).string(cursor);
  return writer.join().join().finish();
}

function encodeEvent(sid: number, { kind, payload, cursor }: FrameEvent): Uint8Array {
  if (kind === 'message') return encodeMsg(sid, payload, cursor);
  if (kind === 'caught_up') return encodeFrame({ type: 'caught_up', sid, cursor });
  return encodeFrame({ type: 'reset', sid, cursor, reason: Buffer.from(payload).toString() });
}

export const PROTO_FRAMING: Framing = {
  binary: true,
  decode,
  encode: encodeFrame,
  printMessage: (_binding, message) => message,
  encodeEvent,
  request: (bound, payload) => bound.bytes(payload as Uint8Array),
};
