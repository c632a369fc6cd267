/** The frames of a WebSocket as a client sees them: one shape for both encodings. The protobuf ones are read by generated code. */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { Frame as ProtoFrame } from '../../../gen/tidegate/v1/ws.js';

/** Any frame; fields as on the wire. */
export interface Frame {
  readonly type: string;
  readonly sid?: number;
  readonly cursor?: string;
  readonly resumed?: boolean;
  readonly reason?: string;
  readonly data?: unknown;
  readonly heartbeat_ms?: number;
  readonly reconnect_after_ms?: number;
  readonly status?: { readonly code?: number; readonly message?: string };
  readonly features?: readonly string[];
  readonly token?: string;
  readonly route?: string;
}

export const encodeJson = (frame: Frame): string => JSON.stringify(frame);

export const decodeJson = (data: Buffer): Frame[] =>
  data
    .toString()
    .split('\n')
    .map((line) => JSON.parse(line) as Frame);

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

function renamed(fields: object, rename: (name: string) => string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [rename(name), value]));
}

export function encodeProto({ type, ...fields }: Frame): Uint8Array {
  const name = camel(type);
  const frame = { frame: { $case: name, value: renamed(fields, camel) } };
  const bytes = ProtoFrame.encode(ProtoFrame.fromPartial(frame as never)).finish();
  const head = [];
  for (let length = bytes.length; ; length >>>= 7) {
    head.push(length > 127 ? (length & 127) | 128 : length);
    if (length <= 127) break;
  }
  return Buffer.concat([Buffer.from(head), bytes]);
}

export function decodeProto(data: Buffer): Frame[] {
  const frames: Frame[] = [];
  const reader = new BinaryReader(data);
  while (reader.pos < reader.len) {
    const { frame } = ProtoFrame.decode(reader.bytes());
    if (frame === undefined) throw new Error('a frame of no kind');
    const fields = renamed(frame.value, snake);
    const { data: message } = fields;
    frames.push({
      ...fields,
      type: snake(frame.$case),
      ...(message instanceof Uint8Array ? { data: decodeTick(message) } : {}),
    });
  }
  return frames;
}

/** The fields of ticker.v1.Tick that the checker needs. */
function decodeTick(bytes: Uint8Array): object {
  const tick = { n: 0, stream: '', owner: '' };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1) tick.n = Number(reader.int64());
    else if (field === 2) tick.stream = reader.string();
    else if (field === 3) tick.owner = reader.string();
    else reader.skip(wire, field);
  }
  return tick;
}
