/** Cutting a body into JSON values, whatever the chunks it arrives in. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonSplitter } from '../gateway/http/json_stream.js';
import { StatusError } from '../src/status.js';

function split(text: string, chunkBytes = 1_000_000, maxBytes = 1_000_000): unknown[] {
  const splitter = new JsonSplitter(maxBytes);
  const bytes = Buffer.from(text);
  const values: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes)
    values.push(...splitter.push(bytes.subarray(at, at + chunkBytes)));
  values.push(...splitter.end());
  return values.map((value) => JSON.parse(value.toString()));
}

describe('JsonSplitter', () => {
  const objects = fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 6 });

  test('gives back the lines of NDJSON, whatever the chunks', () => {
    fc.assert(
      fc.property(objects, fc.integer({ min: 1, max: 9 }), (values, chunk) => {
        const text = values.map((value) => JSON.stringify(value)).join('\n');
        expect(split(text, chunk)).toEqual(JSON.parse(JSON.stringify(values)));
      }),
    );
  });

  test('gives back the elements of one array, whatever the chunks and the white space', () => {
    fc.assert(
      fc.property(objects, fc.integer({ min: 1, max: 9 }), fc.constantFrom(0, 2), (values, chunk, indent) => {
        expect(split(`\n ${JSON.stringify(values, null, indent)} \n`, chunk)).toEqual(
          JSON.parse(JSON.stringify(values)),
        );
      }),
    );
  });

  test.each([
    ['an empty body', '', []],
    ['white space', ' \n ', []],
    ['an empty array', '[ ]', []],
    ['one value over many lines', '{\n "a": 1\n}', [{ a: 1 }]],
    ['values without separators', '{"a":1}{"a":2}', [{ a: 1 }, { a: 2 }]],
    ['blank lines', '{"a":1}\n\r\n\n{"a":2}\n', [{ a: 1 }, { a: 2 }]],
    ['scalars on lines', '"a\\"}{"\n1\n', ['a"}{', 1]],
    ['scalars in an array', '["],[", 1, null]', ['],[', 1, null]],
    ['nested arrays', '[[1,2],[3]]', [[1, 2], [3]]],
  ])('reads %s', (_, text, values) => {
    for (const chunk of [1, 2, 1000]) expect(split(text, chunk)).toEqual(values);
  });

  test.each([
    ['an array that is not closed', '[{"a":1}', /not closed/],
    ['a body that ends inside a value', '{"a":1}\n{"a":', /ends inside a value \(after message 1\)/],
    ['a body that ends inside a string', '{"a', /ends inside a value/],
    ['something after the array', '[1] 2', /something follows the array/],
    ['a trailing comma', '[1,]', /missing/],
    ['a leading comma', '[,1]', /missing/],
  ])('refuses %s', (_, text, message) => {
    expect(() => split(text)).toThrow(message);
    expect(() => split(text, 1)).toThrow(StatusError);
  });

  test('refuses a value over the limit, and names it, before the whole of it has arrived', () => {
    const splitter = new JsonSplitter(10);
    splitter.push(Buffer.from('{"a":1}\n'));
    expect(() => splitter.push(Buffer.from('{"a":"0123456'))).toThrow(/message 2 is larger than 10 bytes/);
  });
});
