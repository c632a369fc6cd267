/** The JSON mapping of scalars, lists, maps, messages and oneofs, both ways, rule by rule. */
import { fromBinary, fromJson, type JsonValue as Json, toBinary, toJson } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { createCodec, type JsonOptions, type JsonValue } from '../src/codec/codec.js';
import { Code } from '../src/status.js';
import { refusal } from './support/codec/refused.js';
import { field, type, types } from './support/codec/types.js';

const codec = createCodec(types);
const desc = (name: string) => type(`codec.test.${name}`);

/** What the reference makes of what we encoded. */
function decoded(name: string, value: JsonValue): Json {
  return toJson(desc(name), fromBinary(desc(name), codec.parse(desc(name), value)));
}

/** JSON through our parser and back through our printer. */
function through(name: string, value: JsonValue, options: Partial<JsonOptions> = {}): string {
  return createCodec(types, options).print(desc(name), codec.parse(desc(name), value));
}

function refused(name: string, value: JsonValue): string {
  const error = refusal(() => codec.parse(desc(name), value));
  expect(error.code).toBe(Code.INVALID_ARGUMENT);
  expect(error.details).toHaveLength(1);
  return error.message;
}

describe('scalars', () => {
  test.each<[string, JsonValue, string]>([
    ['fInt32', 7, '7'],
    ['fInt32', '-7', '-7'],
    ['fInt32', 1.0, '1'],
    ['fInt32', 1e3, '1000'],
    ['fInt32', '1e3', '1000'],
    ['fInt32', '1.50e1', '15'],
    ['fInt32', -2147483648, '-2147483648'],
    ['fUint32', 4294967295, '4294967295'],
    ['fUint32', '4294967295', '4294967295'],
    ['fSint32', -2147483648, '-2147483648'],
    ['fSint32', 2147483647, '2147483647'],
    ['fFixed32', 4294967295, '4294967295'],
    ['fSfixed32', -1, '-1'],
    ['fInt64', 9007199254740991, '"9007199254740991"'],
    ['fInt64', '-9223372036854775808', '"-9223372036854775808"'],
    ['fInt64', '9223372036854775807', '"9223372036854775807"'],
    ['fInt64', '9223372036854775807.000', '"9223372036854775807"'],
    ['fInt64', -1, '"-1"'],
    ['fInt64', -4294967296, '"-4294967296"'],
    ['fUint64', '18446744073709551615', '"18446744073709551615"'],
    ['fUint64', '10000000000000000000', '"10000000000000000000"'],
    ['fSint64', '-9223372036854775808', '"-9223372036854775808"'],
    ['fSint64', -3, '"-3"'],
    ['fFixed64', '18446744073709551615', '"18446744073709551615"'],
    ['fSfixed64', '-9007199254740993', '"-9007199254740993"'],
    ['fDouble', 1.5, '1.5'],
    ['fDouble', '1.5e3', '1500'],
    ['fDouble', 1e21, '1e+21'],
    ['fDouble', 5e-324, '5e-324'],
    ['fDouble', -0, '-0'],
    ['fDouble', 'NaN', '"NaN"'],
    ['fDouble', 'Infinity', '"Infinity"'],
    ['fDouble', '-Infinity', '"-Infinity"'],
    ['fFloat', 0.1, '0.1'],
    ['fFloat', 16777216, '16777216'],
    ['fFloat', 3.4028234663852886e38, '3.4028235e+38'],
    ['fFloat', 1.17549435e-38, '1.1754944e-38'],
    ['fFloat', 1.00000012, '1.0000001'],
    ['fFloat', -0, '-0'],
    ['fFloat', 'NaN', '"NaN"'],
    ['fFloat', '-Infinity', '"-Infinity"'],
    ['fBool', true, 'true'],
    ['fString', 'a"b\\c\n', '"a\\"b\\\\c\\n"'],
    ['fString', 'Zoë 🌊 \u2028', '"Zoë 🌊 \u2028"'],
    ['fString', 'x'.repeat(5000), `"${'x'.repeat(5000)}"`],
    ['fString', 'ü'.repeat(70000), `"${'ü'.repeat(70000)}"`],
    ['fString', '\ufffd', '"\ufffd"'],
    ['fBytes', '+/8=', '"+/8="'],
    ['fBytes', '-_8', '"+/8="'],
    ['fBytes', '-_8=', '"+/8="'],
    ['fEnum', 'COLOR_RED', '"COLOR_RED"'],
    ['fEnum', 'COLOR_CRIMSON', '"COLOR_RED"'],
    ['fEnum', 1, '"COLOR_RED"'],
    ['fEnum', -1, '"COLOR_NEGATIVE"'],
    ['fEnum', 77, '77'],
  ])('%s takes %j and prints %s', (name, value, printed) => {
    expect(through('Scalars', { [name]: value })).toBe(`{"${name}":${printed}}`);
  });

  test('every value is what the reference reads and writes', () => {
    const all: JsonValue = {
      fDouble: -1.25,
      fFloat: 0.5,
      fInt64: '-1152921504606846977',
      fUint64: '12345678901234567890',
      fInt32: -5,
      fFixed64: '1',
      fFixed32: 4000000000,
      fBool: true,
      fString: 'text',
      fBytes: 'AAEC',
      fUint32: 4000000000,
      fEnum: 'COLOR_BIG',
      fSfixed32: -9,
      fSfixed64: '-9',
      fSint32: -77,
      fSint64: '-1152921504606846977',
    };
    expect(decoded('Scalars', all)).toEqual(all);
    const bytes = toBinary(desc('Scalars'), fromJson(desc('Scalars'), all as Json));
    expect(JSON.parse(codec.print(desc('Scalars'), bytes))).toEqual(all);
    expect(Buffer.compare(codec.parse(desc('Scalars'), all), bytes)).toBe(0);
  });

  test('the default of a field without presence is neither encoded nor printed, and -0 is no default', () => {
    const zeros: JsonValue = {
      fInt32: 0,
      fInt64: '0',
      fBool: false,
      fString: '',
      fBytes: '',
      fEnum: 0,
      fDouble: 0,
    };
    expect(codec.parse(desc('Scalars'), zeros)).toHaveLength(0);
    const explicit = Buffer.from([0x28, 0, 0x18, 0, 0x40, 0, 0x4a, 0, 0x62, 0, 0x70, 0]);
    expect(codec.print(desc('Scalars'), explicit)).toBe('{}');
    expect(codec.parse(desc('Scalars'), { fDouble: -0 })).toHaveLength(9);
  });

  test('an optional field shows its default', () => {
    const zeros: JsonValue = { fDouble: 0, fInt64: '0', fInt32: 0, fBool: false, fString: '', fBytes: '' };
    expect(JSON.parse(through('Optionals', zeros))).toEqual(zeros);
    expect(through('Optionals', { fEnum: 0 })).toBe('{"fEnum":"COLOR_UNSPECIFIED"}');
  });

  test.each<[string, JsonValue, string]>([
    ['fInt32', 'abc', 'expected an int32, got "abc"'],
    ['fInt32', '', 'expected an int32, got ""'],
    ['fInt32', ' 1', 'expected an int32, got " 1"'],
    ['fInt32', '0x10', 'expected an int32, got "0x10"'],
    ['fInt32', 1.5, 'expected an int32, got 1.5'],
    ['fInt32', '1.5', 'expected an int32, got "1.5"'],
    ['fInt32', '1e-1', 'expected an int32, got "1e-1"'],
    ['fInt32', true, 'expected an int32, got true'],
    ['fInt32', [1], 'expected an int32, got an array'],
    ['fInt32', {}, 'expected an int32, got an object'],
    ['fInt32', 2147483648, 'expected an int32, got 2147483648, which is out of range'],
    ['fInt32', '1e9999', 'expected an int32, got "1e9999"'],
    ['fUint32', -1, 'expected a uint32, got -1, which is out of range'],
    ['fUint32', '4294967296', 'expected a uint32, got "4294967296", which is out of range'],
    ['fSint32', 2147483648, 'expected an sint32, got 2147483648, which is out of range'],
    ['fInt64', '9223372036854775808', 'expected an int64, got "9223372036854775808", which is out of range'],
    ['fUint64', '-1', 'expected a uint64, got "-1", which is out of range'],
    [
      'fUint64',
      '18446744073709551616',
      'expected a uint64, got "18446744073709551616", which is out of range',
    ],
    [
      'fInt64',
      9007199254740992,
      'expected an int64, got a number above 2^53 that JSON may round: send it as a string',
    ],
    ['fInt64', 1e19, 'expected an int64, got a number above 2^53 that JSON may round: send it as a string'],
    ['fInt64', 1e20, 'expected an int64, got 100000000000000000000, which is out of range'],
    ['fInt64', 1.5, 'expected an int64, got 1.5'],
    ['fInt64', '1'.repeat(500), `expected an int64, got "${'1'.repeat(40)}…", which is out of range`],
    ['fInt64', false, 'expected an int64, got false'],
    ['fDouble', 'inf', 'expected a double, got "inf"'],
    ['fDouble', '1_0', 'expected a double, got "1_0"'],
    ['fDouble', JSON.parse('1e400'), 'expected a double, got Infinity, which is out of range'],
    ['fFloat', 3.5e38, 'expected a float, got 3.5e+38, which is out of range'],
    ['fBool', 'true', 'expected a bool, got "true"'],
    ['fBool', 1, 'expected a bool, got 1'],
    ['fString', 5, 'expected a string, got 5'],
    ['fString', 'a\ud800b', 'a string with half of a surrogate pair is no text'],
    ['fString', '\udc00', 'a string with half of a surrogate pair is no text'],
    ['fBytes', 'a b', 'expected base64, got "a b"'],
    ['fBytes', 'A', 'expected base64, got "A"'],
    ['fBytes', 'AA=', 'expected base64, got "AA="'],
    ['fBytes', 'AAA==', 'expected base64, got "AAA=="'],
    ['fBytes', 3, 'expected base64, got 3'],
    ['fEnum', 'COLOR_RAD', 'expected a value of codec.test.Color, got "COLOR_RAD"; did you mean COLOR_RED?'],
    ['fEnum', '1', 'expected a value of codec.test.Color, got "1"'],
    ['fEnum', 1.5, 'expected a value of codec.test.Color, got 1.5'],
    ['fEnum', 2147483648, 'expected a value of codec.test.Color, got 2147483648'],
    ['fEnum', '__proto__', 'expected a value of codec.test.Color, got "__proto__"'],
  ])('%s refuses %j', (name, value, description) => {
    expect(refused('Scalars', { [name]: value })).toBe(`body /${name}: ${description}`);
  });
});

describe('options of printing', () => {
  test('emitDefaults prints what has no presence', () => {
    const options = { emitDefaults: true };
    expect(through('Choice', {}, options)).toBe('{"beside":""}');
    expect(through('Optionals', {}, options)).toBe('{}');
    expect(JSON.parse(through('Maps', {}, options))).toMatchObject({ byString: {}, byBool: {} });
    const lists = JSON.parse(through('Lists', { fInt32: [1] }, options)) as Record<string, unknown>;
    expect(lists).toMatchObject({ fInt32: [1], fString: [], fMessage: [], unpacked: [] });
    const scalars = {
      fDouble: 0,
      fInt64: '0',
      fInt32: 3,
      fBool: false,
      fString: '',
      fBytes: '',
      fEnum: 'COLOR_UNSPECIFIED',
    };
    expect(JSON.parse(through('Scalars', { fInt32: 3 }, options))).toMatchObject(scalars);
    expect(JSON.parse(through('Rich', { a32: 1 }, options))).toMatchObject({
      a13: 0,
      a32: 1,
      children: [],
      far: [],
    });
  });

  test('protoNames, enumNumbers and int64 as numbers change the names and values alone', () => {
    const value: JsonValue = { fInt64: '5', fUint64: '18446744073709551615', fEnum: 'COLOR_RED' };
    expect(through('Scalars', value, { protoNames: true, enumNumbers: true, int64: 'number-if-safe' })).toBe(
      '{"f_int64":5,"f_uint64":"18446744073709551615","f_enum":1}',
    );
    expect(through('Scalars', {}, { emitDefaults: true, enumNumbers: true })).toContain('"fEnum":0');
    expect(through('Scalars', {}, { emitDefaults: true, int64: 'number-if-safe' })).toContain('"fInt64":0');
    expect(through('Maps', { byInt64: { 5: 1 } }, { int64: 'number-if-safe' })).toBe('{"byInt64":{"5":1}}');
  });

  test('both names of a field are read', () => {
    expect(through('Scalars', { f_int32: 1, fBool: true })).toBe('{"fInt32":1,"fBool":true}');
    expect(through('Rich', { renamed: 'a' })).toBe('{"custom-Name":"a"}');
    expect(through('Rich', { 'custom-Name': 'a' }, { protoNames: true })).toBe('{"renamed":"a"}');
  });

  test('names of Object.prototype are names like others', () => {
    const text = '{"__proto__":"a","constructor":"b","toString":"c"}';
    expect(through('Rich', JSON.parse(text) as JsonValue)).toBe(text);
    expect(refused('Scalars', JSON.parse('{"__proto__":1}') as JsonValue)).toContain(
      'body /__proto__: no such field',
    );
    expect(refused('Scalars', JSON.parse('{"hasOwnProperty":1}') as JsonValue)).toContain('no such field');
  });
});

describe('lists and maps', () => {
  test('lists keep their order and are packed as declared', () => {
    const value: JsonValue = {
      fDouble: [1, 'NaN'],
      fInt64: ['1', '-1'],
      fString: ['', 'a'],
      fMessage: [{}, { fInt32: 1 }],
      fEnum: ['COLOR_RED', 'COLOR_UNSPECIFIED', 9],
      fSint64: ['-5'],
      unpacked: [1, 2],
    };
    expect(JSON.parse(through('Lists', value))).toEqual(value);
    expect(decoded('Lists', value)).toEqual(value);
    expect([...codec.parse(desc('Lists'), { fInt32: [1, 300] })]).toEqual([0x2a, 3, 1, 0xac, 2]);
    expect([...codec.parse(desc('Lists'), { unpacked: [1, 2] })]).toEqual([0xc0, 12, 1, 0xc0, 12, 2]);
  });

  test('numbers are read packed, unpacked and mixed', () => {
    expect(codec.print(desc('Lists'), Buffer.from([0x28, 1, 0x2a, 2, 2, 3, 0x28, 4]))).toBe(
      '{"fInt32":[1,2,3,4]}',
    );
    expect(codec.print(desc('Lists'), Buffer.from([0xc2, 12, 2, 1, 2]))).toBe('{"unpacked":[1,2]}');
    expect(codec.print(desc('Lists'), Buffer.from([0x2a, 0]))).toBe('{}');
  });

  test('a map has keys of every type, printed as strings', () => {
    const value: JsonValue = {
      byString: { '': 'empty', 'a"b': 'quoted', constructor: 'x' },
      byInt32: { '-1': '5' },
      byInt64: { '-9223372036854775808': 0.5 },
      byUint32: { '4294967295': 'AA==' },
      byUint64: { '18446744073709551615': 'COLOR_RED' },
      bySint32: { '-7': true },
      bySint64: { '-7': 1.5 },
      byFixed32: { '7': 8 },
      byFixed64: { '7': { fInt32: 1 } },
      bySfixed32: { '-7': '2024-05-01T12:00:00Z' },
      bySfixed64: { '-7': null },
      byBool: { true: 'yes', false: 'no' },
    };
    expect(JSON.parse(through('Maps', value))).toEqual(value);
    expect(decoded('Maps', value)).toEqual(value);
  });

  test('a map key of __proto__ is a key like others', () => {
    const text = '{"byString":{"__proto__":"a"}}';
    expect(through('Maps', JSON.parse(text) as JsonValue)).toBe(text);
  });

  test('an entry without key or value has the defaults', () => {
    expect(codec.print(desc('Maps'), Buffer.from([0x0a, 0]))).toBe('{"byString":{"":""}}');
    expect(codec.print(desc('Maps'), Buffer.from([0x12, 0]))).toBe('{"byInt32":{"0":"0"}}');
    expect(codec.print(desc('Maps'), Buffer.from([0x4a, 0]))).toBe('{"byFixed64":{"0":{}}}');
    expect(codec.print(desc('Maps'), Buffer.from([0x62, 4, 0x12, 2, 0x68, 0x69]))).toBe(
      '{"byBool":{"false":"hi"}}',
    );
  });

  test.each<[string, JsonValue, string]>([
    ['Lists', { fInt32: 1 }, 'body /fInt32: expected an array, got 1'],
    ['Lists', { fInt32: [1, 'x'] }, 'body /fInt32/1: expected an int32, got "x"'],
    ['Lists', { fInt32: [null] }, 'body /fInt32/0: null is no element of a list'],
    ['Lists', { fMessage: [{ fBool: 0 }] }, 'body /fMessage/0/fBool: expected a bool, got 0'],
    ['Maps', { byString: [] }, 'body /byString: expected an object, got an array'],
    ['Maps', { byString: { a: null } }, 'body /byString/a: null is no value of a map'],
    ['Maps', { byString: { 'a/b~c': 1 } }, 'body /byString/a~1b~0c: expected a string, got 1'],
    [
      'Maps',
      { byString: { '\ud800': 'a' } },
      'body /byString/\ud800: a string with half of a surrogate pair is no text',
    ],
    ['Maps', { byInt32: { a: '1' } }, 'body /byInt32/a: the key is not an int32'],
    ['Maps', { byInt32: { '01': '1' } }, 'body /byInt32/01: the key is not an int32'],
    [
      'Maps',
      { byInt32: { '2147483648': '1' } },
      'body /byInt32/2147483648: expected an int32, got "2147483648", which is out of range',
    ],
    ['Maps', { byBool: { yes: 'a' } }, 'body /byBool/yes: the key is not a bool'],
    [
      'Maps',
      { byFixed64: { 1: { nope: 1 } } },
      'body /byFixed64/1/nope: no such field in codec.test.Scalars',
    ],
  ])('%s refuses %j', (name, value, message) => {
    expect(refused(name, value)).toBe(message);
  });
});

describe('messages and oneofs', () => {
  test('null is an absent field', () => {
    const nulls: JsonValue = {
      scalars: null,
      children: null,
      maps: null,
      renamed: null,
      a13: null,
      left: null,
    };
    expect(codec.parse(desc('Rich'), nulls)).toHaveLength(0);
    expect(through('Rich', { scalars: {} })).toBe('{"scalars":{}}');
  });

  test('a oneof holds one member, be it a default; null is none, save for Value and NullValue', () => {
    expect(through('Choice', { text: '' })).toBe('{"text":""}');
    expect(through('Choice', { text: null, number: 0 })).toBe('{"number":0}');
    expect(through('Choice', { nothing: null })).toBe('{"nothing":null}');
    expect(through('Choice', { anything: null })).toBe('{"anything":null}');
    expect(refused('Choice', { text: 'a', number: 1 })).toBe(
      'body /number: "text" and "number" are both given, but the oneof "pick" holds one',
    );
    expect(refused('Choice', { nothing: null, text: 'a' })).toContain('"nothing" and "text" are both given');
    expect(refused('Rich', { left: 'a', right: 'b' })).toContain('"left" and "right" are both given');
  });

  test('a field given under both names is refused', () => {
    expect(refused('Scalars', { fInt32: 1, f_int32: 1 })).toBe(
      'body /f_int32: given twice, as "fInt32" and as "f_int32"',
    );
    expect(refused('Rich', { 'custom-Name': 'a', renamed: 'a' })).toContain('given twice');
    expect(through('Scalars', { fInt32: null, f_int32: 1 })).toBe('{"fInt32":1}');
  });

  test('an unknown field is refused with the name that is near', () => {
    expect(refused('Order', { itemz: [] })).toBe(
      'body /itemz: no such field in codec.test.Order; did you mean items?',
    );
    expect(refused('Order', { zzzzzzzz: 1 })).toBe('body /zzzzzzzz: no such field in codec.test.Order');
    expect(refused('Order', { zzzzzzzz: null })).toContain('no such field');
    expect(refused('Order', { ['k'.repeat(10000)]: 1 })).toHaveLength(
      'body /: no such field in codec.test.Order'.length + 65,
    );
  });

  test('the place names list indexes and the keys that the client sent, and the detail has the same path with dots', () => {
    const error = refusal(() =>
      codec.parse(desc('Order'), { items: [{ options: { a: 1 } }] }, (p) => `frame 3 at ${p}`),
    );
    expect(error.message).toBe('frame 3 at /items/0/options/a: expected a string, got 1');
    expect(JSON.parse(codec.printStatus(error))).toEqual({
      code: 3,
      message: error.message,
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [{ field: 'items[0].options[a]', description: 'expected a string, got 1' }],
        },
      ],
    });
  });

  test('a body that is no object is refused', () => {
    for (const [value, shown] of [
      [null, 'null'],
      [[], 'an array'],
      ['a', '"a"'],
      [1, '1'],
    ] as const) {
      expect(refused('Order', value as JsonValue)).toBe(`body: expected an object, got ${shown}`);
    }
  });

  test('nesting has an end, both ways', () => {
    const nest = (levels: number): JsonValue => {
      let value: JsonValue = {};
      for (let i = 1; i < levels; i++) value = { self: value };
      return value;
    };
    expect(through('Rich', nest(100))).toBe(JSON.stringify(nest(100)));
    expect(refused('Rich', nest(101))).toContain('nested over 100 levels');
    let bytes = codec.parse(desc('Rich'), nest(100));
    const head = Buffer.from(codec.parse(desc('Rich'), { self: { a13: 1 } })).subarray(0, 1);
    bytes = Buffer.concat([head, Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]), bytes]);
    const error = refusal(() => codec.print(desc('Rich'), bytes));
    expect([error.code, error.message]).toEqual([
      Code.INTERNAL,
      'the message is not a valid codec.test.Rich: it is nested over 100 levels',
    ]);
  });
});

describe('one field of a message', () => {
  const message = codec.parse(desc('Rich'), {
    scalars: { fInt32: 1 },
    children: [{}, {}],
    renamed: 'a',
    left: 'b',
  });
  test.each([
    ['scalars', '{"fInt32":1}'],
    ['optionals', 'null'],
    ['children', '[{},{}]'],
    ['renamed', '"a"'],
    ['a13', '0'],
    ['left', '"b"'],
    ['right', '""'],
    ['far', '[]'],
  ])('%s prints as %s', (name, printed) => {
    expect(codec.printField(desc('Rich'), field(`codec.test.Rich.${name}`), message)).toBe(printed);
  });

  test('defaults of absent fields, and the whole type in errors', () => {
    expect(codec.printField(desc('Maps'), field('codec.test.Maps.by_bool'), Buffer.of())).toBe('{}');
    expect(codec.printField(desc('Choice'), field('codec.test.Choice.nothing'), Buffer.of())).toBe('null');
    expect(codec.printField(desc('Scalars'), field('codec.test.Scalars.f_int64'), Buffer.of())).toBe('"0"');
    const error = refusal(() =>
      codec.printField(desc('Maps'), field('codec.test.Maps.by_bool'), Buffer.of(0x62)),
    );
    expect(error.message).toBe('the message is not a valid codec.test.Maps: it is cut short');
  });
});
