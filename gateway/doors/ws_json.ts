/** The frames of tidegate.v1.json: one JSON object each, joined by newlines. */
import type { Metadata } from '../../src/call.js';
import type { JsonObject, JsonValue } from '../../src/codec/codec.js';
import { parseJson } from '../../src/codec/json_text.js';
import { placeIn } from '../../src/codec/pointer.js';
import { StatusError } from '../../src/status.js';
import { Close, FrameFault } from './ws_close.js';
import {
  type ClientFrame,
  type Field,
  type FrameEvent,
  type Framing,
  fromClient,
  malformed,
  SHAPES,
  type Shape,
  type StatusBody,
} from './ws_frames.js';

const BY_TYPE: ReadonlyMap<string, Shape> = new Map(SHAPES.map((shape) => [shape.type, shape]));
const UINT32_MAX = 0xffff_ffff;

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function integer(value: JsonValue, least: number, most: number): number | undefined {
  const ok = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
  return ok ? value : undefined;
}

function strings(value: JsonValue): readonly string[] | undefined {
  const ok = Array.isArray(value) && value.every((one) => typeof one === 'string');
  return ok ? (value as string[]) : undefined;
}

function metadata(value: JsonValue): Metadata | undefined {
  if (!isObject(value)) return undefined;
  const ok = Object.values(value).every((one) => typeof one === 'string' || strings(one) !== undefined);
  return ok ? (value as Metadata) : undefined;
}

/** What each kind of field is read by, and how a fault says what was expected. */
const READERS: Readonly<Record<string, { read: (value: JsonValue) => unknown; expected: string }>> = {
  sid: { read: (value) => integer(value, 1, UINT32_MAX), expected: 'an integer from 1 to 4294967295' },
  count: { read: (value) => integer(value, 1, UINT32_MAX), expected: 'an integer from 1 to 4294967295' },
  seq: {
    read: (value) => integer(value, 1, Number.MAX_SAFE_INTEGER),
    expected: 'an integer from 1 to 9007199254740991',
  },
  uint32: { read: (value) => integer(value, 0, UINT32_MAX), expected: 'an integer from 0 to 4294967295' },
  string: { read: (value) => (typeof value === 'string' ? value : undefined), expected: 'a string' },
  strings: { read: strings, expected: 'an array of strings' },
  metadata: { read: metadata, expected: 'an object of strings and arrays of strings' },
};

function readField(type: string, field: Field, value: JsonValue | undefined): unknown {
  const { name, kind, optional } = field;
  if (kind === 'payload') {
    if (value === undefined && optional === undefined) throw malformed(`${type}.${name} is missing`);
    return value;
  }
  if (value === undefined || value === null) {
    if (optional !== undefined) return undefined;
    if (kind === 'strings') return [];
    if (kind === 'metadata') return {};
    throw malformed(`${type}.${name} is missing`);
  }
  const reader = READERS[kind];
  const read = reader?.read(value);
  if (read === undefined) throw malformed(`${type}.${name} must be ${reader?.expected}`);
  return read;
}

/** Fields that we do not know are ignored, so that a newer client can send more. */
function readFrame(text: string): ClientFrame {
  let value: JsonValue;
  try {
    value = parseJson(text, placeIn('frame'));
  } catch (thrown) {
    throw malformed(StatusError.from(thrown).message);
  }
  if (!isObject(value)) throw malformed('a frame must be a JSON object');
  const { type } = value;
  if (typeof type !== 'string') throw malformed('type must be a string');
  const shape = fromClient(BY_TYPE.get(type), JSON.stringify(type.slice(0, 40)));
  const frame: Record<string, unknown> = { type };
  for (const field of shape.fields) {
    const read = readField(type, field, value[field.name]);
    if (read !== undefined) frame[field.name] = read;
  }
  return frame as unknown as ClientFrame;
}

function* decode(data: string | Uint8Array): Generator<ClientFrame> {
  if (typeof data !== 'string') {
    throw new FrameFault(Close.KIND_WRONG, 'a binary message: tidegate.v1.json takes text');
  }
  if (!data.includes('\n')) {
    yield readFrame(data);
    return;
  }
  for (const line of data.split('\n')) {
    if (line.trim() !== '') yield readFrame(line);
  }
}

/** Cursors are told where there are any. They are ASCII, but whose they are is not known here. */
function encodeEvent(sid: number, { kind, payload, cursor }: FrameEvent): Buffer {
  const tail = cursor === '' ? '}' : `,"cursor":${JSON.stringify(cursor)}}`;
  if (kind === 'message') {
    const head = `{"type":"msg","sid":${sid},"data":`;
    const frame = Buffer.allocUnsafe(head.length + payload.length + Buffer.byteLength(tail));
    frame.write(head, 'latin1');
    frame.set(payload, head.length);
    frame.write(tail, head.length + payload.length);
    return frame;
  }
  const reason = kind === 'reset' ? `,"reason":${JSON.stringify(Buffer.from(payload).toString())}` : '';
  return Buffer.from(`{"type":"${kind}","sid":${sid}${reason}${tail}`);
}

/** `printStatus` gives the JSON of a google.rpc.Status: its details need the types of the contract in force. */
export function createJsonFraming(printStatus: (status: StatusBody) => string): Framing {
  return {
    binary: false,
    decode,
    encode: (frame) => {
      if (frame.type !== 'end') return JSON.stringify(frame);
      const status = frame.status.code === 0 ? '{"code":0}' : printStatus(frame.status);
      return `{"type":"end","sid":${frame.sid},"status":${status},"trailers":${JSON.stringify(frame.trailers)}}`;
    },
    printMessage: (binding, message) => Buffer.from(binding.print(message)),
    encodeEvent,
    request: (bound, payload) => bound.json(payload as JsonValue),
  };
}
