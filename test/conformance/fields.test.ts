/** Fields and their sources, rule by rule: what the path sets, what the query may say, what belongs in the body. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Door, jsonOf, requestIn, startDoor, testRules } from './rules.js';

let door: Door;
beforeAll(async () => {
  door = await startDoor('--body-limit', '64KiB');
});
afterAll(() => door.close());
const at = () => door;

describe('path-bound fields are immutable', () => {
  testRules(at, [
    { rule: 'an equal value in the query is tolerated', send: 'GET /f/5?id=5', sees: { id: '5' } },
    {
      rule: 'a different value in the query',
      send: 'GET /f/5?id=6',
      refused: 400,
      says: 'query parameter "id": differs from path variable "id"',
    },
    { rule: 'an equal value in the body', send: 'POST /f/5/all', body: { id: '5' }, sees: { id: '5' } },
    {
      rule: 'a different value in the body',
      send: 'POST /f/5/all',
      body: { id: '6' },
      refused: 400,
      says: 'body /id: differs from the value in the URL',
    },
    { rule: 'a null in the body says nothing', send: 'POST /f/5/all', body: { id: null }, sees: { id: '5' } },
    {
      rule: 'an empty value is a different one',
      send: 'POST /f/5/all',
      body: { id: '' },
      refused: 400,
      says: /^body \/id/,
    },
    {
      rule: 'a different value in a body field',
      send: 'POST /f/5/inner',
      body: { id: '6' },
      refused: 400,
      says: 'body /id: differs from the value in the URL',
    },
    {
      rule: 'beside it the body field is free',
      send: 'POST /f/5/inner',
      body: { name: 'x' },
      sees: { child: { id: '5', name: 'x' } },
    },
    { rule: 'a member of a oneof', send: 'GET /t/oneof/visa', sees: { card: 'visa' } },
    {
      rule: 'another member of the same oneof in the query',
      send: 'GET /t/oneof/visa?cash=1',
      refused: 400,
      says: /only one of card and cash/,
    },
    {
      rule: 'another member of the same oneof in the body',
      send: 'POST /t/oneof/visa',
      body: { cash: '1' },
      refused: 400,
      says: /^body \/cash: only one of cash and card/,
    },
    {
      rule: 'another member of the same oneof that is a message',
      send: 'POST /t/oneof/visa',
      body: { barter: {} },
      refused: 400,
      says: /^body \/barter/,
    },
  ]);

  test('in a protobuf body too', async () => {
    const type = 'application/x-protobuf';
    const equal = await door.ask({
      send: 'POST /f/5/all',
      type,
      body: door.encode('Thing', { id: '5', name: 'x' }),
    });
    expect(requestIn(equal)).toEqual({ id: '5', name: 'x' });
    const other = await door.ask({ send: 'POST /f/5/all', type, body: door.encode('Thing', { id: '6' }) });
    expect([other.status, jsonOf(other).message]).toEqual([
      400,
      'body /id: differs from the value in the URL',
    ]);
  });
});

describe('each rule has its sources', () => {
  testRules(at, [
    {
      rule: 'body "*": the query is not read',
      send: 'POST /f/5/all?name=x&nobody=1',
      body: {},
      sees: { id: '5' },
    },
    {
      rule: 'body "f": f is the body, the rest may come from the query',
      send: 'POST /f/5/child?number=7',
      body: { name: 'x' },
      sees: { id: '5', number: 7, child: { name: 'x' } },
    },
    {
      rule: 'body "f": not f itself',
      send: 'POST /f/5/child?child.name=x',
      body: {},
      refused: 400,
      says: 'query parameter "child.name": this belongs in the body',
    },
    {
      rule: 'body "f": not other fields',
      send: 'POST /f/5/child',
      body: { child: {} },
      sees: { id: '5', child: { child: {} } },
    },
    {
      rule: 'body "f": f may be repeated',
      send: 'POST /f/5/tags',
      body: ['a', 'b'],
      sees: { id: '5', tags: ['a', 'b'] },
    },
    {
      rule: 'body "f": of its own type',
      send: 'POST /f/5/tags',
      body: {},
      refused: 400,
      says: /^body: expected an array/,
    },
    { rule: 'no body: the query', send: 'DELETE /f/5?name=x', sees: { id: '5', name: 'x' } },
    { rule: 'no body: a query of no field', send: 'DELETE /f/5?title=x', refused: 400, says: /"title"/ },
  ]);
});

describe('the body', () => {
  const deep = (levels: number) => `${'{"child":'.repeat(levels)}{}${'}'.repeat(levels)}`;
  testRules(at, [
    { rule: 'empty is {}', send: 'POST /f', body: '', sees: {} },
    { rule: 'application/json', send: 'POST /f', body: '{"id":"x"}', sees: { id: 'x' } },
    {
      rule: 'application/json in UTF-8',
      send: 'POST /f',
      type: 'Application/JSON; charset="UTF-8"',
      body: '{"id":"ö"}',
      sees: { id: 'ö' },
    },
    {
      rule: 'in another charset',
      send: 'POST /f',
      type: 'application/json; charset=latin1',
      body: '{}',
      refused: 415,
    },
    { rule: '+json', send: 'POST /f', type: 'application/vnd.x+json', body: '{"id":"x"}', sees: { id: 'x' } },
    { rule: 'no content type is JSON', send: 'POST /f', type: '', body: '{"id":"x"}', sees: { id: 'x' } },
    {
      rule: 'other content types, with Accept-Post',
      send: 'POST /f',
      type: 'text/plain',
      body: '{}',
      refused: 415,
      has: { 'accept-post': expect.stringContaining('application/json') as unknown as string },
    },
    {
      rule: 'a form',
      send: 'POST /f',
      type: 'application/x-www-form-urlencoded',
      body: 'id=x',
      refused: 415,
    },
    {
      rule: 'a value of the wrong kind',
      send: 'POST /f',
      body: '[]',
      refused: 400,
      says: /^body: expected an object/,
    },
    {
      rule: 'an unknown field, with a JSON pointer',
      send: 'POST /f',
      body: { children: [{ stock: { 'a/b~c': { nobody: 1 } } }] },
      refused: 400,
      says: /^body \/children\/0\/stock\/a~1b~0c\/nobody: no such field/,
    },
    {
      rule: 'fields by JSON name or proto name',
      send: 'POST /f',
      body: { bigNumber: '1', child: { big_number: '2' } },
      sees: { bigNumber: '1', child: { bigNumber: '2' } },
    },
    {
      rule: 'but not by both',
      send: 'POST /f',
      body: { bigNumber: '1', big_number: '1' },
      refused: 400,
      says: /^body \/(bigNumber|big_number)/,
    },
    {
      rule: 'two members of a oneof',
      send: 'POST /f',
      body: { card: 'x', cash: '1' },
      refused: 400,
      says: /^body \/cash/,
    },
    {
      rule: 'garbage after the value',
      send: 'POST /f',
      body: '{} {}',
      refused: 400,
      says: /line 1 column 4/,
    },
    { rule: 'white space after the value', send: 'POST /f', body: '{} \r\n', sees: {} },
    { rule: 'depth of 90', send: 'POST /f', body: deep(90), sees: JSON.parse(deep(90)) },
    { rule: 'depth over 100', send: 'POST /f', body: deep(101), refused: 400, says: /100 levels/ },
    {
      rule: 'a lone surrogate',
      send: 'POST /f',
      body: '{"id":"\\ud800"}',
      refused: 400,
      says: /^body \/id: .*surrogate/,
    },
    { rule: 'a pair of surrogates', send: 'POST /f', body: '{"id":"\\ud83d\\ude00"}', sees: { id: '😀' } },
    {
      rule: 'over the size limit',
      send: 'POST /f',
      body: { id: 'x'.repeat(70_000) },
      refused: 413,
      says: /65536 bytes/,
    },
    {
      rule: 'under the size limit',
      send: 'POST /f',
      body: { id: 'x'.repeat(60_000) },
      sees: { id: 'x'.repeat(60_000) },
    },
    {
      rule: 'a number out of range',
      send: 'POST /f',
      body: { number: 2 ** 31 },
      refused: 400,
      says: /^body \/number/,
    },
    {
      rule: 'a number with a fraction',
      send: 'POST /f',
      body: { number: 1.5 },
      refused: 400,
      says: /^body \/number/,
    },
    { rule: 'a fraction of zero', send: 'POST /f', body: '{"number":1.0e1}', sees: { number: 10 } },
    {
      rule: 'an unknown enum value',
      send: 'POST /f',
      body: { color: 'PINK' },
      refused: 400,
      says: /^body \/color.*"PINK"/,
    },
    { rule: 'an enum by number', send: 'POST /f', body: { color: 2 }, sees: { color: 'BLUE' } },
  ]);

  test('bad UTF-8', async () => {
    const body = Buffer.concat([Buffer.from('{"id":"'), Buffer.of(0xff), Buffer.from('"}')]);
    const answer = await door.ask({ send: 'POST /f', body });
    expect([answer.status, jsonOf(answer).message]).toEqual([400, 'body: not valid UTF-8']);
  });

  test.each(['application/x-protobuf', 'application/protobuf'])('%s passes through', async (type) => {
    const answer = await door.ask({
      send: 'POST /f',
      type,
      body: door.encode('Thing', { id: 'x', number: 5 }),
    });
    expect(requestIn(answer)).toEqual({ id: 'x', number: 5 });
    const broken = await door.ask({ send: 'POST /f', type, body: Buffer.of(10, 200, 1) });
    expect([broken.status, jsonOf(broken).message]).toEqual([
      400,
      'body: not a valid echo.v1.Thing: it is cut short',
    ]);
  });
});

describe('a protobuf body that no service should have to read', () => {
  test.each<[string, number[]]>([
    ['cut short', [10, 5, 65]],
    ['a field number of 0', [0, 1]],
    ['a field number over 32 bits', [0x90, 0x80, 0x80, 0x80, 0x80, 0x01, 1]],
    ['a field number of more bits than a tag has', [0x90, 0x80, 0x80, 0x80, 0x7f, 1]],
    ['a wire type that there is not', [15, 1]],
    ['a group that does not end', [11, 24, 1]],
    ['a group that did not begin', [12]],
    ['a varint without an end', [24, ...Array.from({ length: 11 }, () => 255)]],
    ['text that is not UTF-8', [10, 1, 255]],
  ])('%s', async (_, bytes) => {
    const before = door.service.reached.length;
    const answer = await door.ask({
      send: 'POST /f',
      type: 'application/x-protobuf',
      body: Buffer.from(bytes),
    });
    expect([answer.status, jsonOf(answer).code]).toEqual([400, 3]);
    expect(jsonOf(answer).message).toMatch(/^body: not a valid echo.v1.Thing: /);
    expect(door.service.reached.length).toBe(before);
  });

  test('while a field that the contract does not know is none of our business', async () => {
    const body = Buffer.from([...door.encode('Thing', { id: 'x' }), 0x98, 0x80, 0x80, 0x80, 0x08, 1]);
    expect(requestIn(await door.ask({ send: 'POST /f', type: 'application/x-protobuf', body }))).toEqual({
      id: 'x',
    });
  });
});

describe('a PATCH whose mask is unset has it filled from the members in its body', () => {
  testRules(at, [
    {
      rule: 'with those that are present, deep ones by their path',
      send: 'PATCH /f/5/child',
      body: { name: 'x', number: 0, child: { bigNumber: '1' }, tags: [] },
      sees: {
        id: '5',
        updateMask: 'name,number,child.bigNumber,tags',
        child: { name: 'x', child: { bigNumber: '1' } },
      },
    },
    {
      rule: 'not if the query gives one',
      send: 'PATCH /f/5/child?updateMask=name',
      body: { name: 'x', number: 1 },
      sees: { id: '5', updateMask: 'name', child: { name: 'x', number: 1 } },
    },
    {
      rule: 'not on another verb',
      send: 'POST /f/5/child',
      body: { name: 'x' },
      sees: { id: '5', child: { name: 'x' } },
    },
    {
      rule: 'unknown members are refused first',
      send: 'PATCH /f/5/child',
      body: { nobody: 1 },
      refused: 400,
    },
  ]);
});
