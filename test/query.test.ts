/** Queries: which parameter sets which field, what is refused and how it is named. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { takeParameters } from '../gateway/http/query.js';
import type { JsonValue } from '../src/codec/codec.js';
import { answerOf, readShop, refusal, shopEndpoint } from './support/shop.js';

const none = shopEndpoint({ template: '/v1/all' }).binding;
const byId = shopEndpoint({ template: '/v1/{id}' }).binding;
const patch = shopEndpoint({ verb: 'PATCH', template: '/v1/{order.order_id}', body: 'order' }).binding;

const query = (text: string): JsonValue => readShop(none.bind([], text).empty());

describe('a query sets fields', () => {
  test.each([
    ['nothing', '', {}],
    ['nothing by empty parts', '&&', {}],
    ['a scalar by its JSON name', 'pageSize=5', { pageSize: 5 }],
    ['a scalar by its proto name', 'page_size=5', { pageSize: 5 }],
    ['an empty text without =', 'hint', { hint: '' }],
    ['an empty text after =', 'hint=', { hint: '' }],
    ['everything after the first =', 'id=a=b', { id: 'a=b' }],
    ['plus as a space', 'id=a+b%2B', { id: 'a b+' }],
    ['UTF-8', 'id=%C3%A9%F0%9F%8C%8A', { id: '\u00e9\u{1f30a}' }],
    ['an encoded name', 'page%5Fsize=5', { pageSize: 5 }],
    ['a 64-bit number', 'big_number=-9223372036854775808', { bigNumber: '-9223372036854775808' }],
    ['a boolean', 'flag=true', { flag: true }],
    ['an enum by name', 'color=BLUE', { color: 'BLUE' }],
    ['an enum by number', 'color=1', { color: 'RED' }],
    ['a list by repeating the key', 'tags=a&tags=b&tags=a', { tags: ['a', 'b', 'a'] }],
    ['a list by either name', 'numbers=1&numbers=2', { numbers: [1, 2] }],
    ['a list of enums', 'colors=RED&colors=2', { colors: ['RED', 'BLUE'] }],
    ['a list of timestamps', 'times=2024-01-02T03:04:05Z', { times: ['2024-01-02T03:04:05Z'] }],
    ['a map', 'labels[a]=1&labels[b.c]=2&labels[]=3', { labels: { a: '1', 'b.c': '2', '': '3' } }],
    ['a map with encoded brackets', 'labels%5Ba%5D=1', { labels: { a: '1' } }],
    ['a map with a bracket in its key', 'labels[a]b]=1', { labels: { 'a]b': '1' } }],
    ['a map of other types', 'switches[7]=true', { switches: { 7: true } }],
    ['a map inside a message', 'order.labels[x]=y', { order: { labels: { x: 'y' } } }],
    ['a field of a message', 'order.ship_to.city=Oslo', { order: { shipTo: { city: 'Oslo' } } }],
    ['a field of a message, names mixed', 'order.shipTo.line_1=x', { order: { shipTo: { line1: 'x' } } }],
    ['two fields of one message', 'order.note=a&order.orderId=b', { order: { note: 'a', orderId: 'b' } }],
    ['a timestamp', 'since=2024-01-02T03:04:05Z', { since: '2024-01-02T03:04:05Z' }],
    ['a duration', 'wait=1.500s', { wait: '1.500s' }],
    ['a field mask', 'update_mask=order.note,pageSize', { updateMask: 'order.note,pageSize' }],
    ['a wrapper', 'limit=7&maybe=false', { limit: '7', maybe: false }],
    ['a struct as JSON text', 'extra=%7B%22a%22:1%7D', { extra: { a: 1 } }],
    ['a value as JSON text', 'value=[1,null]', { value: [1, null] }],
    ['a member of a oneof', 'offset=5', { offset: '5' }],
    ['a field of a message in a oneof', 'item.sku=x&item.quantity=2', { item: { sku: 'x', quantity: 2 } }],
    ['a field whose JSON name is __proto__', 'custom=x', JSON.parse('{"__proto__":"x"}')],
    ['a map key __proto__', 'labels[__proto__]=x', { labels: JSON.parse('{"__proto__":"x"}') }],
    ['64 levels', `order.ship_to.${'next.'.repeat(61)}city=x`, 'deep'],
  ])('%s', (_, text, expected) => {
    if (expected === 'deep') expect(() => query(text)).not.toThrow();
    else expect(query(text)).toEqual(expected);
  });

  test('beside what the path sets', () => {
    expect(readShop(byId.bind(['x'], 'page_size=5').empty())).toEqual({ id: 'x', pageSize: 5 });
  });
});

describe('a query is refused, by name, for', () => {
  test.each([
    ['an unknown parameter', 'foo=1', '"foo"', 'no such parameter'],
    ['an unknown field of a message', 'order.foo=1', '"order.foo"', 'no such parameter'],
    ['a name that every object has', 'constructor=1', '"constructor"', 'no such parameter'],
    ['the prototype', '__proto__.x=1', '"__proto__.x"', 'no such parameter'],
    ['an empty name', '=1', '""', 'no such parameter'],
    ['another case', 'Id=1', '"Id"', 'no such parameter'],
    ['a field of a scalar', 'id.x=1', '"id.x"', 'no such parameter'],
    ['a field of a timestamp', 'since.seconds=1', '"since.seconds"', 'no such parameter'],
    ['a field of any', 'any.type_url=1', '"any.type_url"', 'no such parameter'],
    ['a field of a repeated message', 'items.sku=1', '"items.sku"', 'no such parameter'],
    ['a malformed name', '%zz=1', '"%zz"', 'hexadecimal'],
    ['a malformed value', 'id=%', '"id"', 'hexadecimal'],
    ['a value that is not UTF-8', 'id=%ff', '"id"', 'UTF-8'],
    ['a raw character outside ASCII', 'id=\u00e9', '"id"', 'percent-encoded'],
    ['a scalar given twice', 'id=a&id=a', '"id"', 'given twice'],
    ['a scalar given twice by both names', 'page_size=1&pageSize=1', '"pageSize"', 'given twice'],
    ['a well-known type given twice', 'wait=1s&wait=1s', '"wait"', 'given twice'],
    ['a map entry given twice', 'labels[a]=1&labels[a]=2', '"labels[a]"', 'given twice'],
    ['two members of a oneof', 'token=a&offset=1', '"offset"', 'only one of token and offset'],
    [
      'two members of a oneof, one by its field',
      'item.sku=a&token=1',
      '"token"',
      'only one of item and token',
    ],
    [
      'a nested oneof',
      'order.card=1&order.invoice.sku=2',
      '"order.invoice.sku"',
      'only one of card and invoice',
    ],
    ['a message', 'order=%7B%7D', '"order"', 'field by field'],
    ['any', 'any=%7B%7D', '"any"', 'cannot be given'],
    ['a repeated message', 'items=%7B%7D', '"items"', 'cannot be given'],
    ['a map without a key', 'labels=a', '"labels"', 'labels[key]=value'],
    ['a map with an open key', 'labels[a=1', '"labels[a"', 'labels[key]=value'],
    ['a map of messages', 'stock[a]=1', '"stock[a]"', 'cannot be given'],
    ['brackets on no map', 'tags[0]=a', '"tags[0]"', 'only a map'],
    ['a wrong number', 'page_size=five', '"page_size"', ''],
    ['a number out of range', 'page_size=2147483648', '"page_size"', ''],
    ['an unknown enum', 'color=PINK', '"color"', ''],
    ['a wrong boolean', 'flag=yes', '"flag"', ''],
    ['a wrong element of a list', 'numbers=1&numbers=x', '"numbers"', ''],
    ['a wrong map key', 'switches[x]=true', '"switches[x]"', ''],
    ['a wrong timestamp', 'since=yesterday', '"since"', ''],
    ['a wrong struct', 'extra=[1', '"extra"', ''],
    ['65 levels', `order.ship_to.${'next.'.repeat(62)}city=x`, '"order.ship_to.next.', '64 levels'],
    ['a very long name, which is cut', `${'x'.repeat(5000)}=1`, `"${'x'.repeat(100)}..."`, 'no such'],
  ])('%s', (_, text, place, words) => {
    const error = refusal(() => query(text));
    expect(error.message.startsWith(`query parameter ${place}`)).toBe(true);
    expect(error.message).toContain(words);
    expect(error.details.length).toBeGreaterThan(0);
  });

  test('more than 1,000 parameters', () => {
    expect(query('tags=a&'.repeat(1000))).toEqual({ tags: Array(1000).fill('a') });
    expect(refusal(() => query('tags=a&'.repeat(1001))).message).toContain('1000');
  });
});
test('reserved parameters are taken out of a query, and nothing else changes', () => {
  const names = new Set(['token', 'last id']);
  const taken = takeParameters('a=1&token=x%20y&b=%zz&last+id=2&%74oken=3&tokens=4&%zz', names);
  expect(taken.rest).toBe('a=1&b=%zz&tokens=4&%zz');
  expect([...taken.values]).toEqual([
    ['token', 'x y'],
    ['last id', '2'],
  ]);
  expect(takeParameters('', names).rest).toBe('');
  expect(takeParameters('token&a', names)).toEqual({ values: new Map([['token', '']]), rest: 'a' });
  expect(() => takeParameters('token=%zz', names)).toThrow('query parameter "token"');
});

test('any query is a message or INVALID_ARGUMENT', () => {
  const pieces = [
    '&',
    '=',
    '.',
    '[',
    ']',
    '%',
    '%5B',
    '%ff',
    '+',
    'id',
    'order',
    'labels',
    'tags',
    'next',
    'ship_to',
    '1',
  ];
  const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 20 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.oneof(soup, fc.string({ unit: 'binary' })), (text) => {
      answerOf(() => none.bind([], text).empty());
      answerOf(() => patch.bind([text], text).json({}));
    }),
    { numRuns: 2000 },
  );
});

test('any values that are written into a query come out of it', () => {
  const request = fc.record(
    {
      id: fc.string({ unit: 'grapheme' }),
      tags: fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 4 }),
      labels: fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string(), { minKeys: 1, maxKeys: 4 }),
      hint: fc.string(),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(request, ({ id, tags, labels, hint }) => {
      fc.pre([id, ...(tags ?? []), ...Object.keys(labels ?? {})].every((text) => isWellFormed(text ?? '')));
      const query = new URLSearchParams();
      if (id) query.append('id', id);
      for (const tag of tags ?? []) query.append('tags', tag);
      for (const [key, value] of Object.entries(labels ?? {})) query.append(`labels[${key}]`, value);
      if (hint !== undefined) query.append('hint', hint);
      const expected = JSON.parse(JSON.stringify({ id: id || undefined, tags, labels, hint }));
      expect(readShop(none.bind([], query.toString()).empty())).toEqual(expected);
    }),
  );
});

/** Without lone surrogates, which UTF-8 cannot say. */
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
