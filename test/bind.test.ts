/** Binding: how path, query and body become one message, and what each of them may not do to the others. */
import { create, fromJson, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { withoutParameters } from '../gateway/http/query.js';
import { buildTable } from '../gateway/http/table.js';
import type { JsonValue } from '../src/codec/codec.js';
import { ContractError, printProblem } from '../src/contract/contract.js';
import type { HttpRule } from '../src/method.js';
import { Code, StatusError } from '../src/status.js';
import { readShop, shopContract, shopEndpoint, shopMethod, shopType, shopTypes } from './support/shop.js';

const none = shopEndpoint({ template: '/v1/all' }).binding;
const byId = shopEndpoint({ template: '/v1/{id}' }).binding;
const whole = shopEndpoint({ verb: 'POST', template: '/v1/{id}', body: '*' }).binding;
const deep = shopEndpoint({ verb: 'POST', template: '/v1/{order.ship_to.city}', body: '*' }).binding;
const field = shopEndpoint({ verb: 'PUT', template: '/v1/{order.order_id}', body: 'order' }).binding;
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

describe('a path variable', () => {
  test.each([
    ['id', 'a/b', { id: 'a/b' }],
    ['page_size', '-5', { pageSize: -5 }],
    ['big_number', '9007199254740993', { bigNumber: '9007199254740993' }],
    ['color', 'RED', { color: 'RED' }],
    ['flag', 'true', { flag: true }],
    ['order.ship_to.city', 'Oslo', { order: { shipTo: { city: 'Oslo' } } }],
    ['since', '2024-01-02T03:04:05Z', { since: '2024-01-02T03:04:05Z' }],
    ['wait', '3s', { wait: '3s' }],
    ['limit', '7', { limit: '7' }],
    ['update_mask', 'id,pageSize', { updateMask: 'id,pageSize' }],
    ['offset', '7', { offset: '7' }],
    ['hint', 'x', { hint: 'x' }],
    ['custom', 'x', JSON.parse('{"__proto__":"x"}')],
  ])('sets %s', (name, text, expected) => {
    const { binding } = shopEndpoint({ template: `/v1/{${name}}` });
    expect(readShop(binding.bind([text], '').empty())).toEqual(expected);
  });

  test.each([
    ['page_size', 'x'],
    ['page_size', '2147483648'],
    ['flag', '1x'],
    ['color', 'PINK'],
    ['order.total', 'x'],
    ['since', 'now'],
  ])('that is wrong for %s is refused by name', (name, text) => {
    const { binding } = shopEndpoint({ template: `/v1/{${name}}` });
    const error = refusal(() => binding.bind([text], '').empty());
    expect(error.message.startsWith(`path variable "${name}": `)).toBe(true);
  });

  test('without a text leaves the default', () => {
    const { binding } = shopEndpoint({ template: '/v1/{id=**}' });
    expect(readShop(binding.bind([''], '').empty())).toEqual({});
  });
});

describe('what the path sets stays', () => {
  const equal: [string, () => Uint8Array, JsonValue][] = [
    ['against an equal query', () => byId.bind(['x'], 'id=x').empty(), { id: 'x' }],
    [
      'against an equal body',
      () => whole.bind(['x'], '').json({ id: 'x', page_size: 1 }),
      { id: 'x', pageSize: 1 },
    ],
    ['against a body that says null', () => whole.bind(['x'], '').json({ id: null }), { id: 'x' }],
    ['against a body without it', () => whole.bind(['x'], '').json({}), { id: 'x' }],
    ['against no body', () => whole.bind(['x'], '').empty(), { id: 'x' }],
    [
      'in a field that the body lacks',
      () => deep.bind(['Oslo'], '').json({ id: 'x' }),
      { id: 'x', order: { shipTo: { city: 'Oslo' } } },
    ],
    [
      'in a field that the body gives as null',
      () => deep.bind(['Oslo'], '').json({ order: { ship_to: null } }),
      { order: { shipTo: { city: 'Oslo' } } },
    ],
    [
      'beside other members of the body',
      () => deep.bind(['Oslo'], '').json({ order: { ship_to: { line_1: 'x' }, note: 'n' } }),
      { order: { shipTo: { city: 'Oslo', line1: 'x' }, note: 'n' } },
    ],
    [
      'in the message that is the body',
      () => field.bind(['7'], '').json({ note: 'n', order_id: '7' }),
      { order: { orderId: '7', note: 'n' } },
    ],
    [
      'in the message that is a null body',
      () => field.bind(['7'], '').json(null),
      { order: { orderId: '7' } },
    ],
    ['in the message that is no body', () => field.bind(['7'], '').empty(), { order: { orderId: '7' } }],
  ];
  test.each(equal)('%s', (_, run, expected) => {
    expect(readShop(run())).toEqual(expected);
  });

  test('however its equal is written', () => {
    const at = (name: string) => shopEndpoint({ verb: 'POST', template: `/v1/{${name}}`, body: '*' }).binding;
    expect(readShop(at('big_number').bind(['5'], '').json({ bigNumber: 5 }))).toEqual({ bigNumber: '5' });
    expect(readShop(at('big_number').bind(['5'], '').json({ big_number: '5' }))).toEqual({ bigNumber: '5' });
    expect(readShop(at('color').bind(['RED'], '').json({ color: 1 }))).toEqual({ color: 'RED' });
    expect(readShop(at('page_size').bind(['0'], '').json({ pageSize: 0 }))).toEqual({});
    const utc = { since: '2024-01-02T04:04:05+01:00' };
    expect(readShop(at('since').bind(['2024-01-02T03:04:05Z'], '').json(utc))).toEqual({
      since: '2024-01-02T03:04:05Z',
    });
    const size = shopEndpoint({ template: '/v1/{page_size}' }).binding;
    expect(readShop(size.bind(['5'], 'pageSize=5').empty())).toEqual({ pageSize: 5 });
  });

  const offset = shopEndpoint({ verb: 'POST', template: '/v1/{offset}', body: '*' }).binding;
  const offsetOnly = shopEndpoint({ template: '/v1/{offset}' }).binding;
  const card = shopEndpoint({ verb: 'POST', template: '/v1/{order.card}', body: 'order' }).binding;
  const itemBody = shopEndpoint({ verb: 'POST', template: '/v1/{offset}', body: 'item' }).binding;
  const refused: [string, () => unknown, string][] = [
    [
      'another value in the query',
      () => byId.bind(['x'], 'id=y'),
      'query parameter "id": differs from path variable "id"',
    ],
    ['an empty value in the query', () => byId.bind(['x'], 'id='), 'query parameter "id": differs'],
    [
      'an equal value in the query, twice',
      () => byId.bind(['x'], 'id=x&id=x'),
      'query parameter "id": given twice',
    ],
    ['another value in the body', () => whole.bind(['x'], '').json({ id: 'y' }), 'body /id: differs'],
    ['an empty value in the body', () => whole.bind(['x'], '').json({ id: '' }), 'body /id: differs'],
    ['a value of another type in the body', () => whole.bind(['x'], '').json({ id: 5 }), 'body /id: '],
    ['both names in the body', () => whole.bind(['x'], '').json({ id: 'x', Id: 'y' }), 'body'],
    [
      'another value deep in the body',
      () => deep.bind(['Oslo'], '').json({ order: { shipTo: { city: 'Rome' } } }),
      'body /order/shipTo/city: differs',
    ],
    [
      'another value deep in the body, by proto names',
      () => deep.bind(['Oslo'], '').json({ order: { ship_to: { city: 'Rome' } } }),
      'body /order/ship_to/city: differs',
    ],
    [
      'a parent given under both names',
      () => deep.bind(['Oslo'], '').json({ order: { ship_to: { city: 'Oslo' }, shipTo: { city: 'Rome' } } }),
      'body /order/',
    ],
    [
      'a parent given under both names, one of them null',
      () => deep.bind(['Oslo'], '').json({ order: { ship_to: { city: 'Rome' }, shipTo: null } }),
      'body /order/ship_to/city: differs',
    ],
    [
      'a parent that is a text',
      () => deep.bind(['x'], '').json({ order: 'y' }),
      'body /order: expected an object',
    ],
    [
      'a parent that is a list',
      () => deep.bind(['x'], '').json({ order: [] }),
      'body /order: expected an object',
    ],
    ['a body that is a list', () => whole.bind(['x'], '').json([]), 'body: expected an object'],
    ['a body that is null', () => whole.bind(['x'], '').json(null), 'body: expected an object'],
    ['a field body that is a text', () => field.bind(['7'], '').json('x'), 'body: expected an object'],
    [
      'another value in the body field',
      () => field.bind(['7'], '').json({ orderId: '8' }),
      'body /orderId: differs from the value in the URL',
    ],
    [
      'another value in the body field, by proto name',
      () => field.bind(['7'], '').json({ order_id: '8' }),
      'body /order_id: differs',
    ],
    [
      'a query parameter for it in the body field',
      () => field.bind(['7'], 'order.order_id=8'),
      'query parameter "order.order_id": this belongs in the body',
    ],
    [
      'a oneof sibling in the query',
      () => offsetOnly.bind(['5'], 'token=x'),
      'query parameter "token": only one of offset and token',
    ],
    [
      'a oneof sibling in the body',
      () => offset.bind(['5'], '').json({ token: 'x' }),
      'body /token: only one of token and offset',
    ],
    [
      'an empty oneof sibling in the body',
      () => offset.bind(['5'], '').json({ token: '' }),
      'body /token: only one of',
    ],
    [
      'a message as oneof sibling in the body',
      () => offset.bind(['5'], '').json({ item: {} }),
      'body /item: only one of',
    ],
    [
      'a oneof sibling inside the body field',
      () => card.bind(['5'], '').json({ invoice: {} }),
      'body /invoice: only one of',
    ],
    [
      'a body that is its oneof sibling',
      () => itemBody.bind(['5'], '').json({}),
      'body: only one of offset and item',
    ],
  ];
  test.each(refused)('so this is refused: %s', (_, run, message) => {
    expect(refusal(run).message).toContain(message);
  });

  test('in whatever JSON body', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom('id', 'order', 'x'), (value, name) => {
        for (const binding of [whole, deep]) {
          const bytes = answerOf(() =>
            binding.bind(['mine'], '').json({ [name]: structuredClone(value) } as JsonValue),
          );
          if (bytes === undefined) continue;
          const { id, order } = readShop(bytes) as { id?: string; order?: { shipTo: { city: string } } };
          expect(binding === whole ? id : order?.shipTo.city).toBe('mine');
        }
      }),
    );
  });

  test('a oneof sibling that is null is no sibling', () => {
    expect(readShop(offset.bind(['5'], '').json({ token: null }))).toEqual({ offset: '5' });
    expect(readShop(itemBody.bind(['5'], '').json(null))).toEqual({ offset: '5' });
  });
});

describe('each rule has its sources', () => {
  test('body * does not read the query', () => {
    expect(readShop(whole.bind(['x'], 'page_size=5&%zz&foo').json({}))).toEqual({ id: 'x' });
  });
  test('a body field leaves the rest to the query', () => {
    const message = field.bind(['7'], 'page_size=5&tags=a').json({ note: 'n' });
    expect(readShop(message)).toEqual({ order: { orderId: '7', note: 'n' }, pageSize: 5, tags: ['a'] });
  });
  test('a body field may be a list, a map or a scalar', () => {
    const list = shopEndpoint({ verb: 'POST', template: '/v1/x', body: 'items' }).binding;
    expect(readShop(list.bind([], 'id=x').json([{ sku: 'a' }]))).toEqual({ id: 'x', items: [{ sku: 'a' }] });
    const map = shopEndpoint({ verb: 'POST', template: '/v1/x', body: 'labels' }).binding;
    expect(readShop(map.bind([], '').json({ a: 'b' }))).toEqual({ labels: { a: 'b' } });
    const text = shopEndpoint({ verb: 'POST', template: '/v1/x', body: 'hint' }).binding;
    expect(readShop(text.bind([], '').json('x'))).toEqual({ hint: 'x' });
  });
  test('a parameter for the body field, or in it, is refused', () => {
    for (const text of ['order=x', 'order.note=x'])
      expect(refusal(() => field.bind(['7'], text)).message).toContain('body');
  });
  test('no body: an empty one is nothing, any other is refused', () => {
    expect(readShop(byId.bind(['x'], '').json({}))).toEqual({ id: 'x' });
    expect(readShop(byId.bind(['x'], '').json(null))).toEqual({ id: 'x' });
    expect(readShop(byId.bind(['x'], '').bytes(new Uint8Array(0)))).toEqual({ id: 'x' });
    expect(refusal(() => byId.bind(['x'], '').json({ page_size: 1 })).message).toContain('takes none');
    expect(refusal(() => byId.bind(['x'], '').bytes(Uint8Array.of(16, 1))).message).toContain('takes none');
  });
  test('a client stream without a body rule takes its messages whole, over what the URL sets', () => {
    const { binding } = shopEndpoint({ template: '/v1/{id}' }, { clientStreaming: true });
    const bound = binding.bind(['x'], 'tags=a&labels[k]=v');
    expect(readShop(bound.json({ page_size: 1 }))).toEqual({
      id: 'x',
      pageSize: 1,
      tags: ['a'],
      labels: { k: 'v' },
    });
    expect(readShop(bound.json({ page_size: 2, tags: ['a'] }))).toMatchObject({
      id: 'x',
      pageSize: 2,
      tags: ['a'],
    });
    expect(refusal(() => bound.json({ tags: ['b'] })).message).toContain('body /tags: differs');
  });
  test('an input without fields of its own is empty without a body', () => {
    const { binding } = shopEndpoint({ template: '/v1/x' }, { input: 'google.protobuf.Timestamp' });
    expect(binding.bind([], '').empty()).toHaveLength(0);
    expect(refusal(() => binding.bind([], 'seconds=1')).message).toContain('no such parameter');
  });
  test('a URL that is bound once serves any number of bodies', () => {
    const bound = deep.bind(['Oslo'], '');
    const first = bound.json({ order: { note: 'a' } });
    const second = bound.json({ id: 'b' });
    expect(readShop(first)).toEqual({ order: { note: 'a', shipTo: { city: 'Oslo' } } });
    expect(readShop(second)).toEqual({ id: 'b', order: { shipTo: { city: 'Oslo' } } });
    expect(readShop(bound.empty())).toEqual({ order: { shipTo: { city: 'Oslo' } } });
  });
});

describe('errors inside a body name the place', () => {
  test.each([
    ['body *', () => whole.bind(['x'], '').json({ page_size: 'x' }), 'body /page_size'],
    [
      'body *, deeper',
      () => whole.bind(['x'], '').json({ items: [{}, { quantity: 'x' }] }),
      'body /items/1/quantity',
    ],
    ['body *, unknown field', () => whole.bind(['x'], '').json({ foo: 1 }), 'body /foo'],
    [
      'body field',
      () => field.bind(['7'], '').json({ items: [{ quantity: 'x' }] }),
      'body /items/0/quantity',
    ],
    ['body field, unknown field', () => field.bind(['7'], '').json({ foo: 1 }), 'body /foo'],
    ['query beside a body', () => field.bind(['7'], 'count=-1').json({}), 'query parameter "count"'],
    [
      'path beside a body',
      () => deep.bind(['\ud800'], '').json({ id: 'x' }),
      'path variable "order.ship_to.city"',
    ],
  ])('%s', (_, run, place) => {
    expect(refusal(run).message).toContain(place);
  });
});

describe('a PATCH without a mask gets one from its body', () => {
  const maskOf = (bytes: Uint8Array): unknown => (readShop(bytes) as { updateMask?: string }).updateMask;
  test.each<[string, JsonValue, string | undefined]>([
    ['members by their proto names', { note: 'n', shipTo: { city: 'x' } }, 'note,shipTo.city'],
    [
      'members of messages, one by one',
      { ship_to: { city: 'x', next: { city: 'y' } } },
      'shipTo.city,shipTo.next.city',
    ],
    ['defaults and nulls too', { note: '', total: 0, ship_to: null }, 'note,total,shipTo'],
    ['lists, maps and well-known types whole', { items: [], labels: {}, due: null }, 'items,labels,due'],
    ['an empty message whole', { ship_to: {} }, 'shipTo'],
    ['but not what the path sets', { order_id: '7', note: 'n' }, 'note'],
    ['and nothing from an empty body', {}, undefined],
    ['and nothing from what the path sets alone', { orderId: '7' }, undefined],
    ['and nothing from null', null, undefined],
  ])('%s', (_, body, mask) => {
    expect(maskOf(patch.bind(['7'], '').json(body))).toBe(mask);
  });

  test('whose paths are proto names, those that lowerCamelCase would lose too', () => {
    const bytes = patch.bind(['7'], '').json({ shipTo: { line1: 'x' } });
    expect(Buffer.from(bytes).includes('ship_to.line_1')).toBe(true);
  });
  test('unless the query gives one', () => {
    expect(maskOf(patch.bind(['7'], 'update_mask=note').json({ total: 1 }))).toBe('note');
    expect(maskOf(patch.bind(['7'], 'updateMask=').json({ total: 1 }))).toBe('');
  });
  test('from a protobuf body as from a JSON one', () => {
    const body = encode('Order', { note: 'n', total: '5' });
    expect(maskOf(patch.bind(['7'], '').bytes(body))).toBe('note,total');
  });
  test('and no other verb or body does', () => {
    expect(maskOf(field.bind(['7'], '').json({ note: 'n' }))).toBeUndefined();
    const all = shopEndpoint({ verb: 'PATCH', template: '/v1/{id}', body: '*' }).binding;
    expect(maskOf(all.bind(['7'], '').json({ hint: 'n' }))).toBeUndefined();
  });
});

describe('a protobuf body', () => {
  const plain = shopEndpoint({ verb: 'POST', template: '/v1/x', body: '*' }).binding;
  test('passes untouched when the URL sets nothing, whatever it holds', () => {
    const bytes = Uint8Array.of(0xff, 1, 2);
    expect(plain.bind([], 'ignored=1').bytes(bytes)).toBe(bytes);
  });
  test('is merged with what the path sets', () => {
    const body = encode('Request', { pageSize: 5, order: { note: 'n' } });
    expect(readShop(whole.bind(['x'], '').bytes(body))).toEqual({
      id: 'x',
      pageSize: 5,
      order: { note: 'n' },
    });
    expect(refusal(() => whole.bind(['x'], '').bytes(encode('Request', { id: 'y' }))).message).toContain(
      'body /id',
    );
  });
  test('is the message of the body field', () => {
    const message = field
      .bind(['7'], 'page_size=1')
      .bytes(encode('Order', { note: 'n', labels: { a: 'b' } }));
    expect(readShop(message)).toEqual({
      order: { orderId: '7', note: 'n', labels: { a: 'b' } },
      pageSize: 1,
    });
  });
  test('is merged the same way when replies print defaults', () => {
    const json = { emitDefaults: true, protoNames: true, enumNumbers: true };
    const { binding } = shopEndpoint(
      { verb: 'PATCH', template: '/v1/{order.order_id}', body: 'order' },
      { json },
    );
    expect(readShop(binding.bind(['7'], '').bytes(encode('Order', { note: 'n' })))).toEqual({
      order: { orderId: '7', note: 'n' },
      updateMask: 'note',
    });
  });
  test('that is not one is refused', () => {
    expect(refusal(() => whole.bind(['x'], '').bytes(Uint8Array.of(0xff, 1, 2))).message).toBe(
      'body: not an encoded shop.v1.Request',
    );
  });
  test('for a field that is not one message is refused', () => {
    const list = shopEndpoint({ verb: 'POST', template: '/v1/x', body: 'items' }).binding;
    expect(refusal(() => list.bind([], '').bytes(new Uint8Array(0))).message).toContain('send it as JSON');
  });
});

describe('a reply is printed', () => {
  const reply = encode('Reply', { order: { note: 'n' }, names: ['a'] });
  test('whole', () => {
    expect(JSON.parse(byId.print(reply))).toEqual({ order: { note: 'n' }, names: ['a'] });
  });
  test.each([
    ['order', { note: 'n' }],
    ['names', ['a']],
    ['total_size', 0],
  ])('as its field %s', (responseBody, expected) => {
    const { binding } = shopEndpoint({ template: '/v1/x', responseBody });
    expect(JSON.parse(binding.print(reply))).toEqual(expected);
  });
});

describe('a rule that the contract cannot keep is a problem', () => {
  const problems: [Partial<HttpRule> & { template: string }, string][] = [
    [{ template: '/v1/{nope}' }, 'variable nope: shop.v1.Request has no field "nope"'],
    [{ template: '/v1/{pageSize}' }, 'variable pageSize: shop.v1.Request has no field "pageSize"'],
    [{ template: '/v1/{order.nope}' }, 'variable order.nope: shop.v1.Order has no field "nope"'],
    [{ template: '/v1/{id.x}' }, 'variable id.x: "id" has no fields that can be set on their own'],
    [{ template: '/v1/{since.seconds}' }, 'variable since.seconds: "since" has no fields'],
    [{ template: '/v1/{tags}' }, 'variable tags: a path cannot set a repeated field'],
    [{ template: '/v1/{labels}' }, 'variable labels: a path cannot set a map'],
    [{ template: '/v1/{order}' }, 'variable order: a path cannot set a message of type shop.v1.Order'],
    [
      { template: '/v1/{extra}' },
      'variable extra: a path cannot set a message of type google.protobuf.Struct',
    ],
    [{ template: '/v1/{items.sku}' }, 'variable items.sku: "items" has no fields'],
    [{ template: '/v1/{token}/{offset}' }, 'variables token and offset: only one of a oneof can be set'],
    [
      { template: '/v1/{order.card}/{order.invoice.sku}' },
      'variables order.card and order.invoice.sku: only one',
    ],
    [{ template: '/v1/x', body: 'nope' }, 'body: shop.v1.Request has no field "nope"'],
    [{ template: '/v1/x', body: 'order.note' }, 'body: shop.v1.Request has no field "order.note"'],
    [{ template: '/v1/{id}', body: 'id' }, 'body: "id" is set by the path'],
    [{ template: '/v1/x', responseBody: 'nope' }, 'response_body: shop.v1.Reply has no field "nope"'],
    [{ template: '/v1/{id' }, 'column 5: the variable is not closed'],
    [{ verb: 'GE T', template: '/v1/x' }, '"GE T" is not an HTTP method'],
    [{ verb: '', template: '/v1/x' }, '"" is not an HTTP method'],
  ];
  test.each(problems)('%j', (rule, words) => {
    const [problem, ...others] = problemsOf(() => buildTable(shopContract(shopMethod([rule])), {}));
    expect(others).toEqual([]);
    expect(problem).toContain(`shop.proto:3: shop.v1.Shop/Do: ${rule.verb ?? 'GET'} ${rule.template}: `);
    expect(problem).toContain(words);
  });

  test('and all of them are told at once, with routes declared twice', () => {
    const one = shopMethod([
      { template: '/v1/{nope}' },
      { template: '/v1/{id}', body: 'nope' },
      { template: '/a/{id}' },
    ]);
    const two = shopMethod([{ template: '/a/{id}' }, { template: '/a' }, { template: '/a' }], {
      name: 'Two',
    });
    const found = problemsOf(() => buildTable(shopContract(one, two), {}));
    expect(found).toHaveLength(4);
    expect(found[2]).toBe(
      'shop.proto:3: shop.v1.Shop/Two: GET /a/{id}: the same requests already go to shop.proto:3: shop.v1.Shop/Do: GET /a/{id}',
    );
  });

  test('but a body is none on any HTTP method', () => {
    for (const verb of ['GET', 'DELETE', 'HEAD', 'QUERY']) {
      const { binding } = shopEndpoint({ verb, template: '/v1/{id}', body: '*' });
      expect(readShop(binding.bind(['x'], '').json({ hint: 'y' }))).toEqual({ id: 'x', hint: 'y' });
    }
  });
});

describe('a table', () => {
  const routed = shopMethod([{ template: '/v1/{id}' }, { verb: 'POST', template: '/v1', body: 'order' }]);
  const bare = shopMethod([], { name: 'Bare' });
  const own = shopMethod([{ verb: 'POST', template: '/shop.v1.Shop/Own', body: 'order' }], { name: 'Own' });
  const claimed = shopMethod([{ verb: '*', template: '/shop.v1.Shop/Claimed' }], { name: 'Claimed' });
  const table = buildTable(shopContract(routed, bare, own, claimed), {});
  const reach = (verb: string, path: string) => {
    const result = table.router.match(verb, path);
    return result && 'match' in result ? result.match.endpoint : undefined;
  };

  test('lists declared routes in their order, and the one of a method that declares none', () => {
    expect(table.endpoints.map(({ rule }) => `${rule.verb} ${rule.template}`)).toEqual([
      'GET /v1/{id}',
      'POST /v1',
      'POST /shop.v1.Shop/Bare',
      'POST /shop.v1.Shop/Own',
      '* /shop.v1.Shop/Claimed',
    ]);
  });
  test('serves every method under its name, unless the contract has other plans', () => {
    for (const name of ['Do', 'Bare']) {
      const endpoint = reach('POST', `/shop.v1.Shop/${name}`);
      expect(endpoint).toBe(table.byName.get(`shop.v1.Shop/${name}`));
      expect(endpoint?.rule).toMatchObject({ body: '*', responseBody: '' });
    }
    expect(reach('POST', '/shop.v1.Shop/Own')?.rule.body).toBe('order');
    expect(reach('POST', '/shop.v1.Shop/Claimed')?.rule.verb).toBe('*');
    expect(table.byName.get('shop.v1.Shop/Own')?.rule.body).toBe('*');
    expect(table.byName.size).toBe(4);
  });
});

test('reserved parameters are taken out of a query, and nothing else changes', () => {
  const names = new Set(['token', 'last id']);
  expect(withoutParameters('a=1&token=x&b=%zz&last+id=2&%74oken=3&tokens=4&%zz', names)).toBe(
    'a=1&b=%zz&tokens=4&%zz',
  );
  expect(withoutParameters('', names)).toBe('');
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

function encode(type: string, value: JsonValue): Uint8Array {
  const schema = shopType(type);
  return toBinary(schema, value === null ? create(schema) : fromJson(schema, value, { registry: shopTypes }));
}

/** What `run` answers, or undefined if it refuses as it may. */
function answerOf(run: () => Uint8Array): Uint8Array | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    expect(error.code).toBe(Code.INVALID_ARGUMENT);
    return undefined;
  }
}

function refusal(run: () => unknown): StatusError {
  try {
    const bound = run();
    if (bound !== null && typeof bound === 'object' && 'empty' in bound)
      (bound as { empty(): unknown }).empty();
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    expect(error.code).toBe(Code.INVALID_ARGUMENT);
    return error;
  }
  throw new Error('nothing was refused');
}

function problemsOf(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ContractError) return error.problems.map(printProblem);
    throw error;
  }
  return [];
}

/** Without lone surrogates, which UTF-8 cannot say. */
function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}
