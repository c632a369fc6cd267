/** The frames of a multiplexed WebSocket: both encodings, there and back, and what is refused. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { Close, closeReason, FrameFault } from '../gateway/doors/ws_close.js';
import type { FrameEvent } from '../gateway/doors/ws_frames.js';
import { createJsonFraming } from '../gateway/doors/ws_json.js';
import { type AnyFrame, decodeFrames, encodeFrame, PROTO_FRAMING } from '../gateway/doors/ws_proto.js';
import { bytes } from './support/ws_backend.js';

const json = createJsonFraming((status) => JSON.stringify({ code: status.code, message: status.message }));
const sid = fc.integer({ min: 1, max: 0xffffffff });
const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const text = fc.string({ unit: 'grapheme' });
const metadata = fc.dictionary(
  fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/),
  fc.oneof(fc.string(), fc.array(fc.string(), { minLength: 2, maxLength: 3 })),
);
const optional = (one: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> => fc.option(one, { nil: undefined });

/** The fields of each frame but its payloads, which the encodings differ in. */
const FRAMES: Readonly<Record<string, Record<string, fc.Arbitrary<unknown>>>> = {
  hello: { token: optional(text), features: fc.array(text) },
  open: {
    sid,
    method: optional(text),
    route: optional(text),
    headers: metadata,
    credit: optional(fc.nat()),
    deadline_ms: optional(sid),
    cursor: optional(text),
    idempotency_key: optional(text),
  },
  half_close: { sid },
  cancel: { sid },
  credit: { sid, n: sid },
  ping: {},
  pong: {},
};
const SERVER_FRAMES: typeof FRAMES = {
  welcome: {
    session: text,
    heartbeat_ms: fc.nat(),
    expires_at: optional(fc.maxSafeNat()),
    limits: fc.record({
      frame_bytes: fc.nat(),
      streams: fc.nat(),
      queued_messages: fc.nat(),
      queued_bytes: fc.nat(),
    }),
    features: fc.array(text),
  },
  opened: {
    sid,
    headers: metadata,
    credit: fc.nat(),
    resumed: optional(fc.boolean()),
    replay: optional(fc.boolean()),
    cursor: optional(text),
    acked: optional(fc.maxSafeNat()),
  },
  bookmark: { sid, cursor: text },
  caught_up: { sid, cursor: text },
  reset: { sid, cursor: text, reason: text },
  ack: { sid, seq },
  end: {
    sid,
    status: fc.record({
      code: fc.integer({ min: 0, max: 16 }),
      message: text,
      details: fc.array(fc.record({ typeUrl: text, value: fc.uint8Array() })),
    }),
    trailers: metadata,
  },
  goaway: { reconnect_after_ms: fc.nat(), reason: text },
};

function frames(table: typeof FRAMES): fc.Arbitrary<AnyFrame> {
  return fc.oneof(
    ...Object.entries(table).map(([type, fields]) => fc.record({ type: fc.constant(type), ...fields })),
  );
}

/** Without undefined members and prototypes, to be compared. */
function plain(frame: unknown): unknown {
  if (frame instanceof Uint8Array) return [...frame];
  if (Array.isArray(frame)) return frame.map(plain);
  if (typeof frame !== 'object' || frame === null) return frame;
  return Object.fromEntries(
    Object.entries(frame)
      .filter(([, one]) => one !== undefined)
      .map(([name, one]) => [name, plain(one)]),
  );
}

function faultOf(decode: () => unknown): FrameFault {
  try {
    decode();
  } catch (thrown) {
    if (thrown instanceof FrameFault) return thrown;
    throw thrown;
  }
  throw new Error('no fault');
}

const jsonFault = (data: string | Uint8Array): FrameFault => faultOf(() => [...json.decode(data)]);
const protoFault = (data: string | Uint8Array): FrameFault => faultOf(() => [...PROTO_FRAMING.decode(data)]);

describe('protobuf frames', () => {
  test('every frame of either side survives encoding and decoding', () => {
    fc.assert(
      fc.property(frames({ ...FRAMES, ...SERVER_FRAMES }), (frame) => {
        expect(plain([...decodeFrames(encodeFrame(frame))])).toEqual([plain(frame)]);
      }),
    );
  });

  test('several frames in one WebSocket message come out in order, payloads untouched', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ type: fc.constant('msg'), sid, data: fc.uint8Array(), seq: optional(seq) })),
        (sent) => {
          const joined = Buffer.concat(sent.map(encodeFrame));
          expect(plain([...PROTO_FRAMING.decode(joined)])).toEqual(plain(sent));
        },
      ),
    );
  });

  test('a reply is the same bytes as the table of fields would give', () => {
    fc.assert(
      fc.property(sid, fc.uint8Array(), (one, data) => {
        const event = { kind: 'message', payload: data } as const;
        expect(PROTO_FRAMING.encodeEvent(one, { ...event, cursor: '' })).toEqual(
          encodeFrame({ type: 'msg', sid: one, data }),
        );
        expect(PROTO_FRAMING.encodeEvent(one, { ...event, cursor: 'c1' })).toEqual(
          encodeFrame({ type: 'msg', sid: one, data, cursor: 'c1' }),
        );
      }),
    );
  });

  test('the encoding is the one that ws.proto declares', async () => {
    const root = await new protobuf.Root().load('proto/tidegate/v1/ws.proto', { keepCase: true });
    const type = root.lookupType('tidegate.v1.Frame');
    fc.assert(
      fc.property(frames({ ...FRAMES, ...SERVER_FRAMES }), (frame) => {
        const decoded = type.toObject(type.decodeDelimited(encodeFrame(frame)), { arrays: false });
        expect(Object.keys(decoded)).toEqual([frame.type]);
        const again = type.encodeDelimited(type.fromObject(decoded)).finish();
        expect(plain([...decodeFrames(again)])).toEqual([plain(frame)]);
      }),
    );
  });

  test('unknown fields are skipped, unknown frames are not', () => {
    // open with field 15 = "x" behind its sid.
    const open = Buffer.from([7, 0x1a, 5, 0x08, 1, 0x7a, 1, 0x78]);
    expect([...PROTO_FRAMING.decode(open)]).toMatchObject([{ type: 'open', sid: 1 }]);
    expect(protoFault(Buffer.from([4, 0xaa, 1, 1, 0])).code).toBe(Close.FRAME_UNKNOWN);
    expect(protoFault(Buffer.from([0])).code).toBe(Close.FRAME_UNKNOWN);
    expect(protoFault(encodeFrame({ type: 'goaway', reconnect_after_ms: 1, reason: '' })).message).toBe(
      '12 is sent by the gateway alone',
    );
  });

  test('a frame full of empty values takes no longer than one with a large payload', () => {
    const many = 16_000;
    const empty = Array<string>(many).fill('');
    const started = performance.now();
    const frames = [
      { type: 'hello', features: empty },
      { type: 'open', sid: 1, headers: { a: empty } },
    ];
    expect(plain([...PROTO_FRAMING.decode(Buffer.concat(frames.map(encodeFrame)))])).toEqual(frames);
    // One header entry for each value.
    const entry = Buffer.from([0x22, 5, 0x0a, 1, 0x61, 0x12, 0]);
    const body = Buffer.concat([Buffer.from([0x08, 1]), ...Array<Buffer>(9_000).fill(entry)]);
    const writer = new BinaryWriter().fork().tag(3, WireType.LengthDelimited).bytes(body).join();
    const [frame] = [...PROTO_FRAMING.decode(writer.finish())];
    expect(frame).toMatchObject({ headers: { a: empty.slice(0, 9_000) } });
    // Seconds, if each value made a copy of those before.
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('bytes that are not frames are a fault and nothing else', () => {
    expect(protoFault('text')).toMatchObject({ code: Close.KIND_WRONG });
    expect(protoFault(Buffer.from([200]))).toMatchObject({ code: Close.FRAME_MALFORMED });
    expect(protoFault(encodeFrame({ type: 'cancel', sid: 0 })).message).toMatch('cancel.sid must be');
    const msg = { type: 'msg', sid: 1, data: Buffer.from('') };
    expect(protoFault(encodeFrame({ ...msg, seq: 0 })).message).toMatch('msg.seq must be');
    // 2^63 is more than a number holds exactly.
    expect(protoFault(Buffer.from([15, 0x2a, 13, 0x08, 1, 0x18, ...Array(9).fill(0x80), 1])).message).toMatch(
      'msg.seq must be',
    );
    expect(protoFault(Buffer.from([5, 0x0a, 3, 0x0a, 1, 0xff]))).toMatchObject({
      code: Close.FRAME_MALFORMED,
    });
    fc.assert(
      fc.property(fc.uint8Array(), (data) => {
        try {
          for (const frame of PROTO_FRAMING.decode(data)) expect(frame.type).toBeTypeOf('string');
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FrameFault);
        }
      }),
    );
  });
});

describe('JSON frames', () => {
  test('every frame of a client is read as it was written', () => {
    fc.assert(
      fc.property(fc.array(frames(FRAMES), { minLength: 1 }), (sent) => {
        const joined = sent.map((frame) => JSON.stringify(frame)).join('\n');
        expect(plain([...json.decode(joined)])).toEqual(plain(sent));
      }),
    );
  });

  test('every frame of the gateway is one line of JSON', () => {
    fc.assert(
      fc.property(frames(SERVER_FRAMES), (frame) => {
        const line = json.encode(frame as never) as string;
        expect(line).not.toContain('\n');
        expect(JSON.parse(line)).toMatchObject({ type: frame.type });
      }),
    );
    const payload = json.printMessage({ print: () => '{"a":"ü"}' } as never, bytes({}));
    const line = (kind: FrameEvent['kind'], of: Uint8Array, cursor: string) =>
      Buffer.from(json.encodeEvent(3, { kind, payload: of, cursor })).toString();
    expect(line('message', payload, '')).toBe('{"type":"msg","sid":3,"data":{"a":"ü"}}');
    expect(line('message', payload, 'c"1')).toBe('{"type":"msg","sid":3,"data":{"a":"ü"},"cursor":"c\\"1"}');
    expect(line('caught_up', bytes(''), 'c1')).toBe('{"type":"caught_up","sid":3,"cursor":"c1"}');
    expect(line('reset', Buffer.from('epoch_changed'), 'c1')).toBe(
      '{"type":"reset","sid":3,"reason":"epoch_changed","cursor":"c1"}',
    );
  });

  test.each([
    ['{', 'frame: invalid JSON at line 1 column 2'],
    ['[]', 'a frame must be a JSON object'],
    ['{"type":"msg","sid":1,"sid":2,"data":{}}', 'frame /sid: given twice'],
    ['{"type":"msg","sid":1,"data":{"id":1,"id":2}}', 'frame /data/id: given twice'],
    ['{"sid":1}', 'type must be a string'],
    ['{"type":"cancel"}', 'cancel.sid is missing'],
    ['{"type":"cancel","sid":"1"}', 'cancel.sid must be an integer from 1 to 4294967295'],
    ['{"type":"cancel","sid":1.5}', 'cancel.sid must be an integer from 1 to 4294967295'],
    ['{"type":"cancel","sid":0}', 'cancel.sid must be an integer from 1 to 4294967295'],
    ['{"type":"credit","sid":1,"n":-1}', 'credit.n must be an integer from 1 to 4294967295'],
    ['{"type":"msg","sid":1}', 'msg.data is missing'],
    ['{"type":"msg","sid":1,"data":1,"seq":0}', 'msg.seq must be an integer from 1 to 9007199254740991'],
    ['{"type":"msg","sid":1,"data":1,"seq":"1"}', 'msg.seq must be an integer from 1 to 9007199254740991'],
    ['{"type":"open","sid":1,"cursor":1}', 'open.cursor must be a string'],
    [
      '{"type":"open","sid":1,"headers":{"a":1}}',
      'open.headers must be an object of strings and arrays of strings',
    ],
    ['{"type":"hello","features":"x"}', 'hello.features must be an array of strings'],
    ['{"type":"hello","token":7}', 'hello.token must be a string'],
  ])('%s is malformed and the reason says where', (data, reason) => {
    expect(jsonFault(data)).toMatchObject({
      code: Close.FRAME_MALFORMED,
      message: expect.stringContaining(reason),
    });
  });

  test('frames of the gateway, unknown frames and binary messages are faults of their own', () => {
    expect(jsonFault('{"type":"welcome"}').code).toBe(Close.FRAME_UNKNOWN);
    expect(jsonFault('{"type":"toString"}')).toMatchObject({ code: Close.FRAME_UNKNOWN });
    expect(jsonFault(Buffer.from('{}')).code).toBe(Close.KIND_WRONG);
  });

  test('fields that we do not know, and empty lines, are ignored', () => {
    expect([...json.decode('{"type":"ping","other":1}\n\n')]).toEqual([{ type: 'ping' }]);
  });
});

test('a close reason never has more than 123 bytes and never half a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (reason) => {
      const whole = Buffer.from(reason).toString();
      const cut = closeReason(reason);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(123);
      expect(whole.startsWith(Buffer.from(cut).toString())).toBe(true);
      expect(Buffer.from(cut).toString()).not.toMatch(whole.includes('\ufffd') ? /$^/ : /\ufffd/);
    }),
  );
});
