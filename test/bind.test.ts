/** Binding: how path and body become one message, and what each of them may not do to the other. */
import { create, fromJson, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../src/codec/codec.js';
import { answerOf, readShop, refusal, shopEndpoint, shopType, shopTypes } from './support/shop.js';

const byId = shopEndpoint({ template: '/v1/{id}' }).binding;
const whole = shopEndpoint({ verb: 'POST', template: '/v1/{id}', body: '*' }).binding;
const deep = shopEndpoint({ verb: 'POST', template: '/v1/{order.ship_to.city}', body: '*' }).binding;
const field = shopEndpoint({ verb: 'PUT', template: '/v1/{order.order_id}', body: 'order' }).binding;
const patch = shopEndpoint({ verb: 'PATCH', template: '/v1/{order.order_id}', body: 'order' }).binding;

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
  const byName = shopEndpoint({ verb: 'POST', template: '/v1/{page_size}', body: '*' }).binding;
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
    [
      'both names in the body',
      () => byName.bind(['1'], '').json({ page_size: 1, pageSize: 1 }),
      'body /pageSize',
    ],
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
  test('passes untouched when the URL sets nothing, unknown fields included', () => {
    const bytes = Uint8Array.of(...encode('Request', { pageSize: 5 }), 0xf8, 0x7f, 1);
    expect(plain.bind([], 'ignored=1').bytes(bytes)).toBe(bytes);
  });
  test('is refused when it is no message', () => {
    expect(refusal(() => plain.bind([], '').bytes(Uint8Array.of(0xff, 1, 2))).message).toMatch(
      /^body: not a valid /,
    );
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
function encode(type: string, value: JsonValue): Uint8Array {
  const schema = shopType(type);
  return toBinary(schema, value === null ? create(schema) : fromJson(schema, value, { registry: shopTypes }));
}
