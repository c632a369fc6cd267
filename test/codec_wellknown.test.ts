/** The JSON forms of google.protobuf's well-known types, both ways. */
import { fromBinary, type JsonValue as Json, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import { createCodec, type JsonValue } from '../src/codec/codec.js';
import { badRequest, encodeAny, retryInfo } from '../src/details.js';
import { Code } from '../src/status.js';
import { refusal } from './support/codec/refused.js';
import { type, types } from './support/codec/types.js';

const codec = createCodec(types);
const desc = type('codec.test.WellKnown');

const through = (value: JsonValue): string => codec.print(desc, codec.parse(desc, value));
const decoded = (value: JsonValue): Json =>
  toJson(desc, fromBinary(desc, codec.parse(desc, value)), { registry: types });

function refused(value: JsonValue): string {
  const error = refusal(() => codec.parse(desc, value));
  expect(error.code).toBe(Code.INVALID_ARGUMENT);
  return error.message;
}

/** Field `number` of the message, holding `content`. */
function holding(number: number, content: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(content).finish();
}

const time = (seconds: number | string, nanos: number): Uint8Array =>
  new BinaryWriter().tag(1, WireType.Varint).int64(seconds).tag(2, WireType.Varint).int32(nanos).finish();

function unprintable(message: Uint8Array): string {
  const error = refusal(() => codec.print(desc, message));
  expect(error.code).toBe(Code.INTERNAL);
  return error.message.replace('the message is not a valid codec.test.WellKnown: ', '');
}

describe('Timestamp', () => {
  test.each([
    ['2024-05-01T12:00:00Z'],
    ['0001-01-01T00:00:00Z'],
    ['9999-12-31T23:59:59.999999999Z'],
    ['1969-12-31T23:59:59.500Z'],
    ['1970-01-01T00:00:00.000000001Z'],
    ['2000-02-29T23:59:59.120Z'],
    ['2024-02-29T00:00:00.123456Z'],
    ['1900-03-01T00:00:00Z'],
    ['0004-12-31T00:00:00Z'],
  ])('%s reads and prints as itself', (at) => {
    expect(through({ at })).toBe(`{"at":"${at}"}`);
    expect(decoded({ at })).toEqual({ at });
  });

  test.each([
    ['2024-05-01T12:00:00+02:00', '2024-05-01T10:00:00Z'],
    ['2024-05-01T12:00:00.5-02:30', '2024-05-01T14:30:00.500Z'],
    ['2024-05-01T12:00:00.000000Z', '2024-05-01T12:00:00Z'],
    ['2024-05-01T12:00:00.1234Z', '2024-05-01T12:00:00.123400Z'],
    ['0001-01-01T01:00:00+01:00', '0001-01-01T00:00:00Z'],
  ])('%s prints as %s', (at, printed) => {
    expect(through({ at })).toBe(`{"at":"${printed}"}`);
  });

  test.each([
    ['2024-05-01'],
    ['2024-05-01T12:00:00'],
    ['2024-05-01 12:00:00Z'],
    ['2024-05-01t12:00:00z'],
    ['2024-13-01T12:00:00Z'],
    ['2024-00-01T12:00:00Z'],
    ['2024-04-31T12:00:00Z'],
    ['2023-02-29T12:00:00Z'],
    ['1900-02-29T12:00:00Z'],
    ['2024-05-01T24:00:00Z'],
    ['2024-05-01T12:60:00Z'],
    ['2024-05-01T12:00:60Z'],
    ['2024-05-01T12:00:00.Z'],
    ['2024-05-01T12:00:00.1234567890Z'],
    ['2024-05-01T12:00:00+24:00'],
    ['2024-05-01T12:00:00+02'],
    ['2024/05/01T12:00:00Z'],
    ['+2024-05-01T12:00:00Z'],
    ['2024-05-01T12:00:00Z '],
    ['0001-01-01T00:00:00+00:01'],
    ['9999-12-31T23:59:59-00:01'],
    [''],
  ])('%j is refused', (at) => {
    expect(refused({ at })).toBe(
      `body /at: expected an RFC 3339 time such as "2024-05-01T12:00:00Z", got ${JSON.stringify(at)}`,
    );
  });

  test('what has no JSON form is not printed', () => {
    expect(refused({ at: 5 })).toContain('got 5');
    for (const [seconds, nanos] of [
      [-62135596801, 0],
      [253402300800, 0],
      ['9223372036854775807', 0],
      [0, -1],
      [0, 1e9],
    ] as const) {
      expect(unprintable(holding(1, time(seconds, nanos)))).toBe(
        'a google.protobuf.Timestamp in it is out of range',
      );
    }
  });
});

describe('Duration', () => {
  test.each([
    ['0s'],
    ['1.500s'],
    ['-1.500s'],
    ['-0.000001s'],
    ['0.000000001s'],
    ['315576000000s'],
    ['-315576000000.999999999s'],
  ])('%s reads and prints as itself', (took) => {
    expect(through({ took })).toBe(`{"took":"${took}"}`);
    expect(decoded({ took })).toEqual({ took });
  });

  test.each([
    ['1'],
    ['1.s'],
    ['.5s'],
    ['1m'],
    ['1s '],
    ['+1s'],
    ['1e3s'],
    ['315576000001s'],
    ['1.0123456789s'],
    [''],
  ])('%j is refused', (took) => {
    expect(refused({ took })).toBe(
      `body /took: expected a duration in seconds such as "1.5s", got ${JSON.stringify(took)}`,
    );
  });

  test('what has no JSON form is not printed', () => {
    for (const [seconds, nanos] of [
      [315576000001, 0],
      [1, -1],
      [-1, 1],
      [0, 1e9],
      [0, -1e9],
    ] as const) {
      expect(unprintable(holding(2, time(seconds, nanos)))).toBe(
        'a google.protobuf.Duration in it is out of range',
      );
    }
  });
});

describe('FieldMask', () => {
  const mask = (...paths: string[]): Uint8Array => {
    const writer = new BinaryWriter();
    for (const path of paths) writer.tag(1, WireType.LengthDelimited).string(path);
    return holding(3, writer.finish());
  };

  test('paths change between the two ways to write names', () => {
    expect(through({ mask: 'shipTo.postalCode,note' })).toBe('{"mask":"shipTo.postalCode,note"}');
    expect(
      Buffer.compare(
        codec.parse(desc, { mask: 'shipTo.postalCode,note' }),
        mask('ship_to.postal_code', 'note'),
      ),
    ).toBe(0);
    expect(through({ mask: '' })).toBe('{"mask":""}');
    expect(through({ mask: '*' })).toBe('{"mask":"*"}');
  });

  test.each([['ship_to'], ['a,,b'], [','], ['a,b_c']])('%j is refused', (paths) => {
    expect(refused({ mask: paths })).toContain('body /mask: expected lowerCamelCase paths, got ');
  });

  test('a path that cannot be read back is not printed', () => {
    expect(refused({ mask: ['a'] })).toContain('expected a field mask in a string, got an array');
    for (const path of ['a_1', 'fooBar', 'a__b', 'a_', 'a,b', '']) {
      expect(unprintable(mask(path))).toBe('a path of a google.protobuf.FieldMask in it has no JSON form');
    }
  });
});

describe('Struct, Value and ListValue', () => {
  test('hold any JSON', () => {
    const json: JsonValue = { a: null, b: [1, 'x', true, [], {}], 'c"d': { e: -0.5 }, '': false };
    expect(JSON.parse(through({ struct: json, value: json, list: [json, null] }))).toEqual({
      struct: json,
      value: json,
      list: [json, null],
    });
    expect(decoded({ struct: json, value: [json], list: [json, null] })).toEqual({
      struct: json,
      value: [json],
      list: [json, null],
    });
    expect(through({ struct: {}, list: [] })).toBe('{"struct":{},"list":[]}');
    expect(through(JSON.parse('{"struct":{"__proto__":{"x":1}}}') as JsonValue)).toBe(
      '{"struct":{"__proto__":{"x":1}}}',
    );
  });

  test('null is a value of Value and NullValue, and absence for all else', () => {
    const value: JsonValue = { value: null, values: [null, 1], nulls: [null], maybeNull: null };
    expect(JSON.parse(through(value))).toEqual(value);
    expect(through({ null: null, struct: null, list: null, wInt32: null, at: null, values: null })).toBe(
      '{}',
    );
    expect(through({ nulls: ['NULL_VALUE', 0] })).toBe('{"nulls":[null,null]}');
  });

  test('what is no such value is refused', () => {
    expect(refused({ struct: [] })).toBe('body /struct: expected an object, got an array');
    expect(refused({ list: {} })).toBe('body /list: expected an array, got an object');
    expect(refused({ struct: { a: ['\ud800'] } })).toContain('body /struct/a/0: a string with half');
    expect(refused({ struct: { '\ud800': 1 } })).toContain('a string with half of a surrogate pair');
    expect(refused({ value: JSON.parse('1e999') as JsonValue })).toBe(
      'body /value: expected a number that fits a double',
    );
    expect(refused({ times: [null] })).toBe('body /times/0: null is no element of a list');
  });

  test('nesting has an end', () => {
    const nest = (levels: number): JsonValue => {
      let value: JsonValue = [];
      for (let i = 1; i < levels; i++) value = i % 2 ? [value] : { a: value };
      return value;
    };
    expect(through({ value: nest(99) })).toBe(JSON.stringify({ value: nest(99) }));
    expect(refused({ value: nest(100) })).toContain('nested over 100 levels');
  });

  test('a Value that holds nothing, or no finite number, is not printed', () => {
    expect(unprintable(holding(5, Buffer.of()))).toBe('a google.protobuf.Value in it holds nothing');
    const nan = new BinaryWriter().tag(2, WireType.Bit64).double(Number.NaN).finish();
    expect(unprintable(holding(5, nan))).toBe('a google.protobuf.Value in it is NaN or infinite');
  });
});

describe('wrappers and Empty', () => {
  test('are what they wrap, defaults too', () => {
    const zeros: JsonValue = {
      wDouble: 0,
      wFloat: 0,
      wInt64: '0',
      wUint64: '0',
      wInt32: 0,
      wUint32: 0,
      wBool: false,
      wString: '',
      wBytes: '',
    };
    expect(JSON.parse(through(zeros))).toEqual(zeros);
    const values: JsonValue = {
      empty: {},
      wDouble: 1.5,
      wFloat: 'NaN',
      wInt64: '-5',
      wUint64: '5',
      wInt32: -5,
      wUint32: 5,
      wBool: true,
      wString: 'a',
      wBytes: 'AA==',
    };
    expect(JSON.parse(through(values))).toEqual(values);
    expect(decoded(values)).toEqual(values);
  });

  test('are checked as what they wrap', () => {
    expect(refused({ wInt32: 'x' })).toBe('body /wInt32: expected an int32, got "x"');
    expect(refused({ wInt32: { value: 1 } })).toBe('body /wInt32: expected an int32, got an object');
    expect(refused({ empty: { a: 1 } })).toBe('body /empty/a: no such field in google.protobuf.Empty');
  });
});

describe('Any', () => {
  const url = (name: string): string => `type.googleapis.com/${name}`;

  test.each<[JsonValue]>([
    [{}],
    [{ '@type': url('codec.test.Money'), currency: 'EUR', units: '5' }],
    [{ '@type': url('codec.test.Money') }],
    [{ '@type': 'codec.test.Money' }],
    [{ '@type': url('google.protobuf.Timestamp'), value: '2024-05-01T12:00:00Z' }],
    [{ '@type': url('google.protobuf.Value'), value: null }],
    [{ '@type': url('google.protobuf.Int64Value'), value: '5' }],
    [{ '@type': url('google.protobuf.Any'), value: { '@type': url('codec.test.Money'), nanos: 3 } }],
    [{ '@type': url('google.protobuf.Empty') }],
    [{ '@type': url('codec.test.WellKnown'), any: { '@type': url('codec.old.Old'), id: 'a' } }],
  ])('%j reads and prints as itself', (any) => {
    expect(JSON.parse(through({ any }))).toEqual({ any });
    expect(decoded({ any })).toEqual({ any });
  });

  test('the type may stand anywhere, and Empty may have a value', () => {
    expect(through({ any: { nanos: 1, '@type': url('codec.test.Money') } })).toBe(
      '{"any":{"@type":"type.googleapis.com/codec.test.Money","nanos":1}}',
    );
    expect(through({ any: { '@type': url('google.protobuf.Empty'), value: {} } })).toBe(
      '{"any":{"@type":"type.googleapis.com/google.protobuf.Empty"}}',
    );
  });

  test('an error detail is known to every contract', () => {
    const details = [badRequest([{ field: 'a', description: 'b' }]), retryInfo(1500)];
    const anys = details.map((detail) => holding(21, encodeAny(detail)));
    expect(JSON.parse(codec.print(desc, Buffer.concat(anys)))).toEqual({
      anys: [
        { '@type': url('google.rpc.BadRequest'), fieldViolations: [{ field: 'a', description: 'b' }] },
        { '@type': url('google.rpc.RetryInfo'), retryDelay: '1.500s' },
      ],
    });
  });

  test('what cannot be resolved or decoded shows as base64, and reads back', () => {
    for (const typeUrl of [url('not.Known'), url('codec.test.Money'), 'x', '']) {
      const bytes = holding(7, encodeAny({ typeUrl, value: Buffer.from([0x0a, 9, 0xff]) }));
      const text = codec.print(desc, bytes);
      expect(JSON.parse(text)).toEqual({ any: { '@type': typeUrl, value: 'Cgn/' } });
      expect(Buffer.compare(codec.parse(desc, JSON.parse(text) as JsonValue), bytes)).toBe(0);
    }
  });

  test('bad content of a well-known type does not stop the print either', () => {
    const bytes = holding(7, encodeAny({ typeUrl: url('google.protobuf.Timestamp'), value: time(0, -1) }));
    expect(codec.print(desc, bytes)).toContain('"value":"CAAQ');
  });

  test('content out of order is put in order, and bad content out of order is shown as base64', () => {
    const apart = Buffer.from([0x18, 1, 0x0a, 1, 0x61, 0x18, 2]);
    const bytes = holding(7, encodeAny({ typeUrl: url('codec.test.Money'), value: apart }));
    expect(JSON.parse(codec.print(desc, bytes))).toEqual({
      any: { '@type': url('codec.test.Money'), currency: 'a', nanos: 2 },
    });
    const bad = holding(
      7,
      encodeAny({ typeUrl: url('codec.test.Money'), value: Buffer.concat([apart, Buffer.of(0x0a, 9)]) }),
    );
    expect(codec.print(desc, bad)).toContain('"value":"GAEK');
  });

  test.each<[JsonValue, string]>([
    ['a', 'body /any: expected an object, got "a"'],
    [{ currency: 'EUR' }, 'body /any: expected a member "@type" that names the type'],
    [{ '@type': 5 }, 'body /any/@type: expected the URL of a type, got 5'],
    [{ '@type': 'x/not.Known' }, 'body /any/@type: no type of the contract is named "x/not.Known"'],
    [
      { '@type': 'x/not.Known', value: '*' },
      'body /any/@type: no type of the contract is named "x/not.Known"',
    ],
    [{ '@type': 'codec.test.Money', units: 'x' }, 'body /any/units: expected an int64, got "x"'],
    [{ '@type': 'codec.test.Money', nope: 1 }, 'body /any/nope: no such field in codec.test.Money'],
    [
      { '@type': 'google.protobuf.Duration' },
      'body /any: expected a member "value" that holds the google.protobuf.Duration',
    ],
    [
      { '@type': 'google.protobuf.Duration', value: 1 },
      'body /any/value: expected a duration in seconds such as "1.5s", got 1',
    ],
    [
      { '@type': 'google.protobuf.Duration', value: '1s', x: 1 },
      'body /any/x: no such member beside a google.protobuf.Duration',
    ],
  ])('%j is refused', (any, message) => {
    expect(refused({ any })).toBe(message);
  });
});
