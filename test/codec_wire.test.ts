/** What the codec makes of bytes that no encoder of today would write, and of those that are no message. */
import { fromBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import { createCodec, type JsonValue } from '../src/codec/codec.js';
import { Code } from '../src/status.js';
import { refusal } from './support/codec/refused.js';
import { type, types } from './support/codec/types.js';

const codec = createCodec(types);
const encode = (name: string, value: JsonValue): Buffer => Buffer.from(codec.parse(type(name), value));
const print = (name: string, ...parts: Uint8Array[]): string => codec.print(type(name), Buffer.concat(parts));

/** Prints the messages one after the other as one, which the reference must read alike. */
function merged(name: string, ...values: JsonValue[]): unknown {
  const bytes = Buffer.concat(values.map((value) => encode(name, value)));
  const desc = type(name);
  const printed: unknown = JSON.parse(codec.print(desc, bytes));
  expect(printed).toEqual(toJson(desc, fromBinary(desc, bytes), { registry: types }));
  return printed;
}

describe('values that lie apart', () => {
  test('the last of several scalars counts, a default too', () => {
    expect(merged('codec.test.Scalars', { fInt32: 1, fString: 'a' }, { fInt32: 2 })).toEqual({
      fInt32: 2,
      fString: 'a',
    });
    expect(print('codec.test.Scalars', Buffer.from([0x28, 1, 0x28, 0]))).toBe('{}');
    expect(print('codec.test.Scalars', Buffer.from([0x28, 0, 0x28, 1]))).toBe('{"fInt32":1}');
  });

  test('messages merge, lists join, and a map has the last value of a key', () => {
    expect(
      merged(
        'codec.test.Rich',
        {
          scalars: { fInt32: 1, fBool: true },
          children: [{ a13: 1 }],
          a14: 1,
          maps: { byString: { a: '1', b: '2' } },
        },
        {
          scalars: { fInt32: 2 },
          children: [{ a13: 2 }],
          a32: 1,
          maps: { byString: { a: '3' }, byBool: { true: '' } },
        },
      ),
    ).toEqual({
      scalars: { fInt32: 2, fBool: true },
      children: [{ a13: 1 }, { a13: 2 }],
      a14: 1,
      a32: 1,
      maps: { byString: { a: '3', b: '2' }, byBool: { true: '' } },
    });
    expect(merged('codec.test.Maps', { byBool: { true: 'a' } }, { byBool: { true: 'b' } })).toEqual({
      byBool: { true: 'b' },
    });
    expect(
      merged('codec.test.Maps', { byFixed64: { 1: { fInt32: 1 } } }, { byFixed64: { 1: { fBool: true } } }),
    ).toEqual({
      byFixed64: { 1: { fBool: true } },
    });
  });

  test('the last member of a oneof counts, and merges only with itself', () => {
    expect(merged('codec.test.Choice', { text: 'a' }, { number: 1 })).toEqual({ number: 1 });
    expect(merged('codec.test.Choice', { nested: { text: 'a' } }, { nested: { beside: 'b' } })).toEqual({
      nested: { text: 'a', beside: 'b' },
    });
    expect(
      merged('codec.test.Choice', { nested: { text: 'a' } }, { number: 1 }, { nested: { beside: 'b' } }),
    ).toEqual({
      nested: { beside: 'b' },
    });
    expect(merged('codec.test.Rich', { left: 'a' }, { right: 'b' })).toEqual({ right: 'b' });
  });

  test('well-known types merge as messages do', () => {
    expect(merged('codec.test.WellKnown', { struct: { a: 1, b: [1] } }, { struct: { a: null } })).toEqual({
      struct: { a: null, b: [1] },
    });
    expect(merged('codec.test.WellKnown', { list: [1] }, { list: [2] })).toEqual({ list: [1, 2] });
    expect(merged('codec.test.WellKnown', { value: 1 }, { value: 'a' })).toEqual({ value: 'a' });
    expect(merged('codec.test.WellKnown', { value: [1] }, { value: [2] })).toEqual({ value: [1, 2] });
    expect(merged('codec.test.WellKnown', { wInt32: 1 }, { wInt32: 0 })).toEqual({ wInt32: 1 });
    expect(
      merged('codec.test.WellKnown', { at: '2024-05-01T12:00:00Z' }, { at: '1970-01-01T00:00:00.500Z' }),
    ).toEqual({
      at: '2024-05-01T12:00:00.500Z',
    });
  });

  test('unknown fields of every wire type are passed over', () => {
    const unknown = new BinaryWriter();
    unknown
      .tag(900, WireType.Varint)
      .uint32(300)
      .tag(901, WireType.Bit64)
      .double(1)
      .tag(902, WireType.Bit32)
      .float(1);
    unknown.tag(903, WireType.LengthDelimited).string('x').tag(904, WireType.StartGroup);
    unknown.tag(905, WireType.StartGroup).tag(905, WireType.EndGroup).tag(5, WireType.Varint).uint32(1);
    unknown.tag(904, WireType.EndGroup);
    const known = encode('codec.test.Scalars', { fInt32: 1 });
    expect(print('codec.test.Scalars', unknown.finish(), known)).toBe('{"fInt32":1}');
    expect(print('codec.test.Scalars', Buffer.from([0x2d, 1, 2, 3, 4]), known)).toBe('{"fInt32":1}');
  });

  test('a message of 100 levels that are all out of order takes no longer than one in order', () => {
    let bytes: Buffer = Buffer.from([0x68, 1, 0x68, 2]);
    for (let level = 1; level < 100; level++) {
      const head = encode('codec.test.Rich', { self: { a13: 1 } }).subarray(0, 1);
      const length = new BinaryWriter().uint32(bytes.length).finish();
      bytes = Buffer.concat([Buffer.from([0x68, 1, 0x68, 2]), head, length, bytes]);
    }
    const start = performance.now();
    expect(print('codec.test.Rich', bytes).match(/"a13":2/g)).toHaveLength(100);
    expect(performance.now() - start).toBeLessThan(1000);
  });
});

describe('bytes that are no such message', () => {
  test.each<[string, string, number[], string]>([
    ['a tag alone', 'codec.test.Scalars', [0x28], 'it is cut short'],
    [
      'a varint without end',
      'codec.test.Scalars',
      [0x28, ...Array<number>(11).fill(0xff)],
      'it is not protobuf',
    ],
    [
      'a long varint without end',
      'codec.test.Scalars',
      [0x18, ...Array<number>(11).fill(0xff)],
      'it is not protobuf',
    ],
    ['a string longer than the rest', 'codec.test.Scalars', [0x4a, 5, 0x61], 'it is cut short'],
    ['half a double', 'codec.test.Scalars', [0x09, 1, 2], 'it is cut short'],
    ['half a float', 'codec.test.Scalars', [0x15, 1, 2], 'it is cut short'],
    ['half a fixed64', 'codec.test.Scalars', [0x31, 1, 2], 'it is cut short'],
    ['half an unknown value', 'codec.test.Scalars', [0xa1, 0x38, 1], 'it is cut short'],
    ['field number 0', 'codec.test.Scalars', [0x00, 1], 'it is not protobuf'],
    ['wire type 6', 'codec.test.Scalars', [0x2e], 'it is not protobuf'],
    ['the end of no group', 'codec.test.Scalars', [0x2c], 'it is not protobuf'],
    ['a group without end', 'codec.test.Scalars', [0xa3, 0x38, 0x28, 1], 'it is cut short'],
    ['packed values that end in the middle', 'codec.test.Lists', [0x2a, 1, 0x80, 1], 'it is cut short'],
    ['a varint that runs out of its message', 'codec.test.Rich', [0x0a, 2, 0x28, 0x80, 1], 'it is cut short'],
    [
      'a string that is not UTF-8',
      'codec.test.Scalars',
      [0x4a, 2, 0xc3, 0x28],
      'a string in it is not valid UTF-8',
    ],
    [
      'half of a surrogate pair',
      'codec.test.Scalars',
      [0x4a, 3, 0xed, 0xa0, 0x80],
      'a string in it is not valid UTF-8',
    ],
    [
      'a map key that is not UTF-8',
      'codec.test.Maps',
      [0x0a, 3, 0x0a, 1, 0xff],
      'a string in it is not valid UTF-8',
    ],
  ])('%s is refused', (_, name, bytes, reason) => {
    const error = refusal(() => print(name, Buffer.from(bytes)));
    expect([error.code, error.message]).toEqual([
      Code.INTERNAL,
      `the message is not a valid ${name}: ${reason}`,
    ]);
  });

  test('groups without end have an end', () => {
    const error = refusal(() => print('codec.test.Scalars', Buffer.alloc(100_000, 0xa3)));
    expect(error.code).toBe(Code.INTERNAL);
    const deep = Buffer.concat(Array<Buffer>(200).fill(Buffer.from([0xa3, 0x38])));
    expect(refusal(() => print('codec.test.Scalars', deep)).message).toContain('nested over 100 levels');
  });
});

describe('proto2', () => {
  const OLD = 'codec.old.Old';
  const through = (value: JsonValue): unknown =>
    JSON.parse(codec.print(type(OLD), codec.parse(type(OLD), value)));

  test('presence, groups, closed enums, packing and extensions go both ways', () => {
    const value: JsonValue = {
      id: '',
      number: 0,
      mood: 'MOOD_BAD',
      moods: ['MOOD_GOOD'],
      data: { text: 'a', part: { size: 1 } },
      row: [{ cell: 1 }, {}],
      loose: [1, 2],
      tight: [1, 2],
      moodByName: { a: 'MOOD_BAD' },
      inner: { id: 'b' },
      '[codec.old.extra]': 5,
      '[codec.old.extras]': ['x', 'y'],
      '[codec.old.extra_part]': { size: 2 },
      '[codec.old.Scope.nested_extra]': true,
    };
    expect(through(value)).toEqual(value);
    const bytes = encode(OLD, value);
    expect(toJson(type(OLD), fromBinary(type(OLD), bytes), { registry: types })).toEqual(value);
    expect(merged(OLD, { ...value, data: { text: 'b' } }, value)).toMatchObject({
      data: value.data as object,
    });
  });

  test('a required field must be there, both ways', () => {
    const error = refusal(() => codec.parse(type(OLD), { inner: { number: 1 }, id: 'a' }));
    expect([error.code, error.message]).toEqual([
      Code.INVALID_ARGUMENT,
      'body /inner: the required field "id" is missing',
    ]);
    expect(refusal(() => codec.parse(type(OLD), {})).message).toBe(
      'body: the required field "id" is missing',
    );
    expect(refusal(() => codec.parse(type(OLD), { id: null })).message).toContain('"id" is missing');
    expect(refusal(() => print(OLD, Buffer.of())).message).toBe(
      'the message is not a valid codec.old.Old: the required field id of codec.old.Old is missing',
    );
  });

  test('an unknown value of a closed enum is absent on the wire and refused in JSON', () => {
    const id = encode(OLD, { id: 'a' });
    expect(print(OLD, id, Buffer.from([0x18, 9]))).toBe('{"id":"a"}');
    expect(print(OLD, id, Buffer.from([0x20, 1, 0x20, 9, 0x20, 2]))).toBe(
      '{"id":"a","moods":["MOOD_GOOD","MOOD_BAD"]}',
    );
    expect(print(OLD, id, Buffer.from([0x4a, 2, 0x10, 9]))).toBe('{"id":"a"}');
    expect(print(OLD, id, Buffer.from([0x4a, 0]))).toBe('{"id":"a","moodByName":{"":"MOOD_GOOD"}}');
    expect(refusal(() => codec.parse(type(OLD), { id: 'a', mood: 9 })).message).toBe(
      'body /mood: expected a value of codec.old.Mood, got 9',
    );
  });

  test('text that is not UTF-8 is no error there', () => {
    expect(print(OLD, encode(OLD, { id: 'a' }), Buffer.from([0x52, 1, 0xff]))).toBe(
      '{"id":"a","looseText":"\ufffd"}',
    );
  });

  test('extensions and groups that cannot be read are refused', () => {
    expect(refusal(() => codec.parse(type(OLD), { id: 'a', '[codec.old.none]': 1 })).message).toContain(
      'no such field',
    );
    expect(
      refusal(() => print(OLD, encode(OLD, { id: 'a' }), Buffer.from([0x2b, 0x0a, 0]))).message,
    ).toContain('cut short');
    expect(refusal(() => codec.parse(type(OLD), { id: 'a', data: 1 })).message).toBe(
      'body /data: expected an object, got 1',
    );
  });
});
