/** JSON text and the texts of paths and queries, as they become JSON values. */
import { describe, expect, test } from 'vitest';
import { createCodec, type JsonValue } from '../src/codec/codec.js';
import { parseJson } from '../src/codec/json_text.js';
import { FieldTextError, valueFromText } from '../src/codec/text.js';
import { Code } from '../src/status.js';
import { refusal } from './support/codec/refused.js';
import { field, types } from './support/codec/types.js';

const codec = createCodec(types);

describe('the text of a path variable or query parameter', () => {
  test.each<[string, string, JsonValue]>([
    ['Scalars.f_int32', '-5', '-5'],
    ['Scalars.f_int32', '1e3', '1e3'],
    ['Scalars.f_uint32', '4294967295', '4294967295'],
    ['Scalars.f_int64', '-9223372036854775808', '-9223372036854775808'],
    ['Scalars.f_sint64', '7', '7'],
    ['Scalars.f_double', '1.5', '1.5'],
    ['Scalars.f_double', 'NaN', 'NaN'],
    ['Scalars.f_float', '-Infinity', '-Infinity'],
    ['Scalars.f_bool', 'true', true],
    ['Scalars.f_bool', 'false', false],
    ['Scalars.f_string', '', ''],
    ['Scalars.f_string', 'true', 'true'],
    ['Scalars.f_bytes', '-_8', '-_8'],
    ['Scalars.f_bytes', '+/8=', '+/8='],
    ['Scalars.f_enum', 'COLOR_CRIMSON', 'COLOR_CRIMSON'],
    ['Scalars.f_enum', '-1', -1],
    ['Scalars.f_enum', '99', 99],
    ['Lists.f_int32', '5', '5'],
    ['Maps.by_int32', '5', '5'],
    ['Maps.by_uint64', '1', 1],
    ['WellKnown.at', '2024-05-01T12:00:00+02:00', '2024-05-01T12:00:00+02:00'],
    ['WellKnown.took', '1.5s', '1.5s'],
    ['WellKnown.mask', 'a,shipTo', 'a,shipTo'],
    ['WellKnown.w_bool', 'true', true],
    ['WellKnown.w_int64', '5', '5'],
    ['WellKnown.w_string', '5', '5'],
    ['WellKnown.struct', '{"a":[1]}', { a: [1] }],
    ['WellKnown.value', 'null', null],
    ['WellKnown.value', '"a"', 'a'],
    ['WellKnown.list', '[1]', [1]],
    ['WellKnown.times', '2024-05-01T12:00:00Z', '2024-05-01T12:00:00Z'],
    ['WellKnown.null', 'NULL_VALUE', 'NULL_VALUE'],
  ])('%s takes %j', (name, text, value) => {
    const desc = field(`codec.test.${name}`);
    expect(valueFromText(desc, text)).toEqual(value);
    const given = desc.fieldKind === 'list' ? [value] : desc.fieldKind === 'map' ? { 1: value } : value;
    expect(() => codec.parse(desc.parent, { [desc.name]: given })).not.toThrow();
  });

  test.each<[string, string, string]>([
    ['Scalars.f_int32', 'abc', 'expected an int32, got "abc"'],
    ['Scalars.f_int32', '', 'expected an int32, got ""'],
    ['Scalars.f_int32', '2147483648', 'expected an int32, got "2147483648", which is out of range'],
    ['Scalars.f_uint64', '-1', 'expected a uint64, got "-1", which is out of range'],
    ['Scalars.f_double', 'one', 'expected a double, got "one"'],
    ['Scalars.f_bool', '1', 'expected a bool, got "1"'],
    ['Scalars.f_bool', 'TRUE', 'expected a bool, got "TRUE"'],
    ['Scalars.f_string', '\ud800', 'a string with half of a surrogate pair is no text'],
    ['Scalars.f_bytes', 'a b', 'expected base64, got "a b"'],
    ['Scalars.f_enum', 'RED', 'expected a value of codec.test.Color, got "RED"'],
    ['Scalars.f_enum', '1.0', 'expected a value of codec.test.Color, got "1.0"'],
    ['Scalars.f_enum', '9999999999', 'expected a value of codec.test.Color, got 9999999999'],
    ['WellKnown.at', 'now', 'expected an RFC 3339 time such as "2024-05-01T12:00:00Z", got "now"'],
    ['WellKnown.took', '5', 'expected a duration in seconds such as "1.5s", got "5"'],
    ['WellKnown.mask', 'ship_to', 'expected lowerCamelCase paths, got "ship_to"'],
    ['WellKnown.w_int32', 'x', 'expected an int32, got "x"'],
    ['WellKnown.value', 'a', 'expected JSON text, got "a"'],
    ['WellKnown.struct', '[]', 'expected an object, got an array'],
    ['WellKnown.any', '{}', 'a google.protobuf.Any cannot be given as text'],
    ['WellKnown.empty', '', 'a google.protobuf.Empty cannot be given as text'],
    ['Rich.scalars', '{}', 'a codec.test.Scalars cannot be given as text'],
  ])('%s refuses %j', (name, text, description) => {
    expect(() => valueFromText(field(`codec.test.${name}`), text)).toThrow(new FieldTextError(description));
  });

  test('a value of a closed enum is one it has', () => {
    expect(valueFromText(field('codec.old.Old.mood'), '2')).toBe(2);
    expect(() => valueFromText(field('codec.old.Old.mood'), '3')).toThrow(FieldTextError);
  });
});

describe('JSON text', () => {
  test('is read from strings and from UTF-8', () => {
    expect(parseJson(' {"a":[1,"ü🌊",null,true]} ')).toEqual({ a: [1, 'ü🌊', null, true] });
    expect(parseJson(Buffer.from('{"a":"ü🌊"}'))).toEqual({ a: 'ü🌊' });
    expect(parseJson(new Uint8Array(Buffer.from('5')))).toBe(5);
  });

  test('a name of __proto__ is a member like others', () => {
    const value = parseJson('{"__proto__":{"polluted":true}}') as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test.each([
    ['', 'it is empty'],
    [' \n', 'it is empty'],
    ['\ufeff{}', 'it begins with a byte order mark'],
    ['{', 'line 1 column 2: expected a name in double quotes, got the end of the text'],
    ['{}\n\n  x', 'line 3 column 3: expected the end of the text'],
    ['{} {}', 'line 1 column 4: expected the end of the text'],
    ['{"a":1,}', 'line 1 column 8: expected a name in double quotes'],
    ['{"a" 1}', 'line 1 column 6: expected ":"'],
    ['{"a":}', 'line 1 column 6: expected a value'],
    ['{"a":1 "b":2}', 'line 1 column 8: expected "," or "}"'],
    ["{'a':1}", 'line 1 column 2: expected a name in double quotes'],
    ['{\n  "a": 1,\n  "b": nope\n}', 'line 3 column 8: expected a value'],
    ['[1,]', 'line 1 column 4: expected a value'],
    ['[1 2]', 'line 1 column 4: expected "," or "]"'],
    ['[1', 'line 1 column 3: expected "," or "]", got the end of the text'],
    ['[1}', 'line 1 column 3: expected "," or "]"'],
    ['[,1]', 'line 1 column 2: expected a value'],
    ['[[], {}, 01]', 'line 1 column 11: expected "," or "]"'],
    ['.5', 'line 1 column 1: expected a value'],
    ['1.', 'line 1 column 2: expected the end of the text'],
    ['-', 'line 1 column 1: expected a value'],
    ['NaN', 'line 1 column 1: expected a value'],
    ['"abc', 'line 1 column 5: a string is not closed'],
    ['"a\\x"', 'line 1 column 3: a wrong escape in a string'],
    ['"a\\u12g4"', 'line 1 column 3: a wrong escape in a string'],
    ['"a\nb"', 'line 1 column 3: a control character in a string'],
    ['["ü🌊", ?]', 'line 1 column 9: expected a value'],
  ])('%j is refused', (text, description) => {
    for (const form of [text, Buffer.from(text)]) {
      const error = refusal(() => parseJson(form, () => 'frame 2'));
      const at = description.startsWith('line') ? ' at ' : ': ';
      expect([error.code, error.message]).toEqual([
        Code.INVALID_ARGUMENT,
        `frame 2: invalid JSON${at}${description}`,
      ]);
    }
  });

  test('bytes that are not UTF-8 are refused', () => {
    for (const bytes of [
      [0x22, 0xff, 0x22],
      [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x22, 0xc0, 0x80, 0x22],
      [0xff, 0xfe],
    ]) {
      const error = refusal(() => parseJson(Buffer.from(bytes)));
      expect([error.code, error.message]).toEqual([Code.INVALID_ARGUMENT, 'body: not valid UTF-8']);
    }
  });

  test('no depth of nesting ends the process', () => {
    const deep = '['.repeat(1_000_000);
    expect(refusal(() => parseJson(deep)).message).toContain('column 1000001: expected a value, got the end');
    expect(refusal(() => parseJson(`${'{"a":'.repeat(200_000)}?`)).message).toContain('expected a value');
    const value = parseJson(`${'['.repeat(200_000)}${']'.repeat(200_000)}`);
    const error = refusal(() => codec.parse(field('codec.test.WellKnown.value').parent, { value }));
    expect(error.message).toContain('nested over 100 levels');
  });
});
