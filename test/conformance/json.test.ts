/** JSON out, rule by rule: bytes that a service answers, and the JSON that a client gets for them. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JsonValue } from '../../src/codec/codec.js';
import { type Answer, type Door, jsonOf, startDoor } from './rules.js';

let door: Door;
let other: Door;
beforeAll(async () => {
  door = await startDoor();
  other = await startDoor('--emit-defaults', '--proto-names', '--enum-numbers', '--int64', 'number-if-safe');
});
afterAll(() => Promise.all([door.close(), other.close()]));

/** What a client gets when the service answers these bytes. */
function reply(bytes: Uint8Array, path = '/out', from = door): Promise<Answer> {
  return from.ask({ send: `POST ${path}`, body: { thing: Buffer.from(bytes).toString('base64') } });
}

const thing = (value: JsonValue, path?: string, from = door): Promise<Answer> =>
  reply(from.encode('Thing', value), path, from);

/** A field of wire type 2 (RFC: protobuf encoding, "Length-Delimited Records"); both lengths below 128. */
const field = (number: number, ...bytes: number[]): number[] => [
  ...(number < 16 ? [number * 8 + 2] : [((number * 8 + 2) & 127) | 128, number >> 4]),
  bytes.length,
  ...bytes,
];
const text = (value: string): number[] => [...Buffer.from(value)];

describe('canonical proto3 JSON', () => {
  const cases: [string, JsonValue][] = [
    ['nothing is an empty object', {}],
    [
      'int64 and uint64 as strings',
      { bigNumber: '-9223372036854775808', hugeNumber: '18446744073709551615' },
    ],
    [
      'int32, uint32, float and double as numbers',
      { number: -1, count: 4294967295, ratio: 0.1, amount: 0.1 },
    ],
    ['NaN and infinities as strings', { ratio: 'NaN', amount: '-Infinity' }],
    ['bytes as base64', { data: '+//+' }],
    ['enums by name', { color: 'RED', colors: ['BLUE', 'COLOR_UNSPECIFIED'] }],
    ['an enum number without a name as the number', { color: 77 }],
    ['maps as objects', { labels: { '': 'x', 'a"b': '' }, switches: { '-1': false } }],
    ['messages within messages', { child: { child: { children: [{ id: 'x' }, {}] } } }],
    ['an optional field that holds its default', { hint: '' }],
    ['a oneof that holds its default', { cash: '0' }],
    ['Timestamp', { since: '9999-12-31T23:59:59.999999999Z' }],
    ['Timestamp with as many digits as it needs, by threes', { since: '2024-01-01T00:00:00.500Z' }],
    ['Duration', { wait: '-315576000000.000000001s' }],
    ['FieldMask', { updateMask: 'id,child.bigNumber' }],
    ['wrappers', { note: '', limit: '5', maybe: false, blob: '' }],
    ['Struct, Value and ListValue', { extra: { a: [1, 'x', null, true, {}] }, value: null, list: [[], 1.5] }],
    [
      'Any with the types of the contract',
      { any: { '@type': 'type.googleapis.com/echo.v1.Thing', id: 'x' } },
    ],
    [
      'Any with a type of google.protobuf',
      { any: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' } },
    ],
    ['text that JSON has to escape', { id: '"\\\u0000\n\u2028</script>', name: '😀' }],
  ];
  test.each(cases)('%s', async (_, value) => {
    const answer = await thing(value);
    expect(answer.status, answer.text).toBe(200);
    expect(jsonOf(answer)).toEqual(value);
  });

  test('defaults are omitted', async () => {
    expect((await reply(Buffer.of(24, 0, 56, 0))).text).toBe('{}');
  });

  test('-0 is not 0', async () => {
    expect((await thing({ amount: -0 })).text).toBe('{"amount":-0}');
  });

  test('of a field that comes twice the last counts, and messages are merged', async () => {
    const twice = Buffer.from([...field(1, ...text('a')), ...field(1, ...text('b')), 24, 1, 24, 2]);
    expect(jsonOf(await reply(twice))).toEqual({ id: 'b', number: 2 });
    const child = Buffer.concat([
      door.encode('Thing', { child: { id: 'a', number: 1 } }),
      door.encode('Thing', { child: { id: 'b' } }),
    ]);
    expect(jsonOf(await reply(child))).toEqual({ child: { id: 'b', number: 1 } });
  });

  test('fields that the contract does not know are left out', async () => {
    expect((await reply(Buffer.from(field(100, 1, 2, 3)))).text).toBe('{}');
  });
});

describe('options', () => {
  test('emitDefaults, protoNames, enumNumbers, int64 as a number where it is safe', async () => {
    const body = jsonOf(
      await thing({ bigNumber: '5', hugeNumber: '18446744073709551615', color: 'RED' }, '/out', other),
    );
    expect(body).toMatchObject({
      id: '',
      big_number: 5,
      huge_number: '18446744073709551615',
      color: 1,
      tags: [],
      labels: {},
    });
    expect(Object.keys(body)).not.toContain('hint');
    expect(Object.keys(body)).not.toContain('cash');
    expect(Object.keys(body)).not.toContain('bigNumber');
  });

  test('none of them, unless asked for', async () => {
    expect((await thing({ bigNumber: '5', color: 'RED' })).text).toBe('{"bigNumber":"5","color":"RED"}');
  });
});

describe('response_body', () => {
  test.each<[string, JsonValue, string]>([
    ['/out/name', { name: 'x' }, '"x"'],
    ['/out/name', {}, '""'],
    ['/out/child', { child: { id: 'x' } }, '{"id":"x"}'],
    ['/out/child', {}, 'null'],
    ['/out/tags', { tags: ['a'] }, '["a"]'],
    ['/out/tags', {}, '[]'],
  ])('%s of %j', async (path, value, expected) => {
    expect((await thing(value, path)).text).toBe(expected);
  });

  test('errors are whole all the same', async () => {
    const answer = await door.ask({ send: 'POST /out/name', body: { nobody: 1 } });
    expect([answer.status, jsonOf(answer).code]).toEqual([400, 3]);
  });
});

describe('what a client gets beside it', () => {
  test('Content-Type, Content-Length and Vary', async () => {
    const { headers, text: body } = await thing({ id: 'ö' });
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      vary: expect.stringMatching(/accept/i),
    });
    expect(headers['transfer-encoding']).toBeUndefined();
  });

  test('protobuf, for a client that accepts it more', async () => {
    const accept = { accept: 'application/json;q=0.5, application/x-protobuf' };
    const answer = await door.ask({ send: 'GET /out', headers: accept });
    expect(answer.headers['content-type']).toBe('application/x-protobuf');
    expect(answer.text).toBe('');
    const json = await door.ask({
      send: 'GET /out',
      headers: { accept: 'application/x-protobuf;q=0.5, */*' },
    });
    expect(json.headers['content-type']).toBe('application/json');
  });
});

describe('a reply that is no message is a failure, never half an answer', () => {
  const nested = (levels: number): number[] => {
    let bytes: number[] = [];
    // Each level has its length as two bytes, so that no length outgrows them.
    for (let n = 0; n < levels; n++)
      bytes = [154, 1, (bytes.length & 127) | 128, bytes.length >> 7, ...bytes];
    return bytes;
  };
  test.each<[string, number[]]>([
    ['cut short', [10, 5, 65]],
    ['text that is not UTF-8', field(1, 0xff)],
    ['a varint without an end', [24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]],
    ['a Timestamp after the year 9999', [194, 1, 7, 8, 128, 225, 155, 238, 244, 127]],
    ['over 100 levels deep', nested(101)],
  ])('%s', async (_, bytes) => {
    const answer = await reply(Buffer.from(bytes));
    expect([answer.status, jsonOf(answer).code]).toEqual([500, 13]);
    expect(answer.text).not.toMatch(/\bat |Error:|node_modules|\.ts|\.js/);
  });

  test('99 levels are fine', async () => {
    const answer = await reply(Buffer.from(nested(99)));
    expect(answer.status).toBe(200);
    expect(answer.text.split('"child"').length - 1).toBe(99);
  });
});

describe('an Any that cannot be resolved never kills the reply', () => {
  test.each<[string, string, number[], JsonValue]>([
    ['of a type that the contract lacks', 'type.googleapis.com/no.Such', [1, 2], { value: 'AQI=' }],
    ['of a type, with bytes that are not one', 'type.googleapis.com/echo.v1.Thing', [255], { value: '/w==' }],
    ['without a slash in its name', 'nonsense', [1], { value: 'AQ==' }],
  ])('%s', async (_, typeUrl, value, rest) => {
    const any = [...field(1, ...text(typeUrl)), ...field(2, ...value)];
    const answer = await reply(Buffer.from([...field(1, ...text('x')), ...field(34, ...any)]));
    expect(answer.status, answer.text).toBe(200);
    expect(jsonOf(answer)).toEqual({ id: 'x', any: { '@type': typeUrl, ...(rest as object) } });
  });
});
