/** The example services: every method of every service, over the network, with the generated clients. */
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JoinRoomRequest, type ListMessagesRequest, RoomEvent_Type } from '../gen/chat/v1/chat.js';
import { Order, Order_Status, OrderEvent_Type } from '../gen/orders/v1/orders.js';
import type { RunningServer } from '../services/server.js';
import { startServices } from '../services/services.js';
import { as, ask, connect, drain, eventually, refusal, refusalOf, take } from './support/services_client.js';

let server: RunningServer;
let clients: ReturnType<typeof connect>;
const ada = as('ada', 'orders:read');

beforeAll(async () => {
  server = await startServices({
    graceMs: 500,
    orders: { orders: 40, events: 60 },
    quotes: { symbols: 7 },
    chat: { rooms: 8, messages: 5, rate: { perSecond: 50, burst: 5 } },
  });
  clients = connect(server.address);
});
afterAll(async () => {
  clients.close();
  await server.close();
});

const ORDER = Order.fromPartial({
  items: [
    {
      sku: 'rope-12',
      name: 'Rope',
      quantity: 2,
      unitPrice: { currencyCode: 'EUR', minorUnits: 1999n },
      weightGrams: 0,
    },
    {
      sku: 'hook',
      name: 'Hook',
      quantity: 1,
      unitPrice: { currencyCode: 'EUR', minorUnits: 9_007_199_254n },
    },
  ],
  shipTo: { recipient: 'Ada', lines: ['Quay 1'], city: 'Delft', countryCode: 'NL' },
  labels: { channel: 'web' },
  payment: { $case: 'card', value: { network: 'visa', lastFour: '4242' } },
  note: '',
  deliverAfter: new Date('2030-01-02T03:04:05.678Z'),
});

const create = (order: Order = ORDER, requestId = '', user = ada) =>
  ask(clients.orders, clients.orders.createOrder, { order, requestId }, user);
const update = (order: Parameters<typeof Order.fromPartial>[0], updateMask: string[], user = ada) =>
  ask(clients.orders, clients.orders.updateOrder, { order: Order.fromPartial(order), updateMask }, user);
const cancel = (orderId: string) =>
  ask(clients.orders, clients.orders.cancelOrder, { orderId, reason: 'too late' });
const get = (orderId: string) => ask(clients.orders, clients.orders.getOrder, { orderId });

describe('orders', () => {
  test('an order that is created has an id, an owner, a total and everything that was sent', async () => {
    const order = await create();
    const { items, shipTo, labels, payment, note, deliverAfter } = ORDER;
    expect(order).toMatchObject({ items, shipTo, labels, payment, note, deliverAfter });
    expect(order).toMatchObject({ customerId: 'ada', status: Order_Status.PENDING });
    expect(order.orderId).toMatch(/^[0-9a-f]{16}$/);
    expect(order.total).toEqual({ currencyCode: 'EUR', minorUnits: 9_007_203_252n });
    expect(order.items[0]?.weightGrams).toBe(0);
    expect(order.items[1]?.weightGrams).toBeUndefined();
    expect(await get(order.orderId)).toEqual(order);
  });

  test('an order that is wrong is refused with every field that is', async () => {
    const wrong = Order.fromPartial({
      items: [{ sku: 'a b', quantity: 0, unitPrice: { currencyCode: 'euro', minorUnits: -1n } }],
      payment: { $case: 'card', value: { network: 'visa', lastFour: '42' } },
    });
    const { code, message, details } = await refusalOf(create(wrong));
    expect(code).toBe(status.INVALID_ARGUMENT);
    expect(message).toMatch(/^order\.items\[0\]\.sku: must be .* \(and 5 more\)$/);
    const fields = (details.BadRequest as { fieldViolations: { field: string }[] }).fieldViolations.map(
      ({ field }) => field,
    );
    expect(fields).toEqual([
      'order.items[0].sku',
      'order.items[0].quantity',
      'order.items[0].unit_price.currency_code',
      'order.items[0].unit_price.minor_units',
      'order.ship_to',
      'order.card.last_four',
    ]);
  });

  test('creating needs to know who does it', async () => {
    const nobody = as('');
    expect((await refusalOf(create(ORDER, '', nobody))).code).toBe(status.UNAUTHENTICATED);
    expect((await refusalOf(create(ORDER, '', as('x'.repeat(257))))).code).toBe(status.INVALID_ARGUMENT);
    expect((await create(ORDER, '', as('J%C3%BCrgen'))).customerId).toBe('Jürgen');
  });

  test('a request that is repeated creates one order', async () => {
    const order = await create(ORDER, 'r1');
    expect(await create(ORDER, 'r1')).toEqual(order);
    expect((await create(ORDER, 'r1', as('bob'))).orderId).not.toBe(order.orderId);
    const other = await refusalOf(create({ ...ORDER, note: 'another' }, 'r1'));
    expect(other.code).toBe(status.ALREADY_EXISTS);
    expect(other.details.ResourceInfo).toMatchObject({ resourceType: 'order', resourceName: order.orderId });
  });

  test('an order that is not there is not found, and the details say which', async () => {
    const { code, message, details } = await refusalOf(get('nowhere'));
    expect([code, message]).toEqual([status.NOT_FOUND, 'there is no order nowhere']);
    expect(details.ErrorInfo).toMatchObject({ reason: 'ORDER_NOT_FOUND', metadata: { order: 'nowhere' } });
    expect(details.ResourceInfo).toMatchObject({ resourceType: 'order', resourceName: 'nowhere' });
  });

  test('pages together list every order once, in the order of creation, also by status', async () => {
    const created = [];
    for (let count = 0; count < 5; count += 1) created.push((await create()).orderId);
    await cancel(created[1] as string);
    await cancel(created[3] as string);
    const list = async (filter: Order_Status, pageSize: number) => {
      const found: string[] = [];
      let pageToken = '';
      do {
        const request = { pageSize, pageToken, status: filter };
        const page = await ask(clients.orders, clients.orders.listOrders, request);
        expect(page.orders.length).toBeLessThanOrEqual(pageSize);
        found.push(...page.orders.map(({ orderId }) => orderId));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      return found;
    };
    expect((await list(Order_Status.STATUS_UNSPECIFIED, 2)).slice(-5)).toEqual(created);
    expect(await list(Order_Status.CANCELLED, 1)).toEqual([created[1], created[3]]);
    const bad = [
      { pageSize: -1, pageToken: '', status: 0 },
      { pageSize: 1, pageToken: 'zzz', status: 0 },
      { pageSize: 1, pageToken: Buffer.from('1.4').toString('base64url'), status: 0 },
      { pageSize: 1, pageToken: '', status: 9 },
    ];
    for (const request of bad) {
      const refused = await refusalOf(ask(clients.orders, clients.orders.listOrders, request));
      expect(refused.code).toBe(status.INVALID_ARGUMENT);
    }
  });

  test('an update changes what the mask names and nothing else', async () => {
    const { orderId, etag, total } = await create();
    const change = { orderId, shipTo: { city: 'Gouda' }, note: 'ring twice' };
    const changed = await update(change, ['ship_to.city', 'labels', 'note', 'card']);
    expect(changed.shipTo).toEqual({ ...ORDER.shipTo, city: 'Gouda' });
    expect(changed).toMatchObject({ labels: {}, note: 'ring twice', payment: undefined, total });
    expect(changed.etag).not.toBe(etag);
    const unmasked = await update({ orderId, payment: { $case: 'invoice', value: { dueDays: 14 } } }, []);
    expect(unmasked.payment).toMatchObject({ $case: 'invoice', value: { dueDays: 14 } });
    expect(unmasked.note).toBe('ring twice');
    expect((await update({ orderId }, ['note'])).note).toBeUndefined();
    expect((await refusalOf(update({ orderId, etag }, ['note']))).code).toBe(status.ABORTED);
    const unknown = await refusalOf(update({ orderId }, ['total']));
    expect(unknown.message).toBe('update_mask: total cannot be updated');
    expect((await refusalOf(update({ orderId }, ['items']))).message).toMatch(/^order\.items: /);
  });

  test('the status moves step by step, by those who may', async () => {
    const { orderId } = await create();
    const step = (to: Order_Status, user = as('carl', 'orders:*')) =>
      update({ orderId, status: to }, ['status'], user);
    const denied = await refusalOf(step(Order_Status.PAID, ada));
    expect(denied.code).toBe(status.PERMISSION_DENIED);
    expect(denied.details.ErrorInfo).toMatchObject({ metadata: { permission: 'orders:fulfil' } });
    expect((await refusalOf(step(Order_Status.SHIPPED))).code).toBe(status.FAILED_PRECONDITION);
    await step(Order_Status.PAID);
    expect((await step(Order_Status.SHIPPED)).status).toBe(Order_Status.SHIPPED);
    const shipped = await refusalOf(cancel(orderId));
    expect(shipped.code).toBe(status.FAILED_PRECONDITION);
    expect(shipped.details.ErrorInfo).toMatchObject({ reason: 'ORDER_SHIPPED' });
  });

  test('a cancelled order keeps the reason and cannot be cancelled again', async () => {
    const { orderId } = await create();
    const order = await cancel(orderId);
    expect(order).toMatchObject({
      status: Order_Status.CANCELLED,
      labels: { channel: 'web', 'cancel-reason': 'too late' },
    });
    expect((await refusalOf(cancel(orderId))).code).toBe(status.FAILED_PRECONDITION);
  });

  test('a deleted order is gone', async () => {
    const { orderId } = await create();
    await ask(clients.orders, clients.orders.deleteOrder, { orderId });
    expect((await refusalOf(get(orderId))).code).toBe(status.NOT_FOUND);
    expect((await refusalOf(ask(clients.orders, clients.orders.deleteOrder, { orderId }))).code).toBe(5);
  });

  test('a watcher that comes back goes on after the last event it saw', async () => {
    const live = clients.orders.watchOrders({ afterSequence: undefined });
    await eventually(() => server.load().streams === 1);
    const { orderId } = await create();
    await cancel(orderId);
    await ask(clients.orders, clients.orders.deleteOrder, { orderId });
    const events = await take(live, 3);
    const { CREATED, CANCELLED, DELETED } = OrderEvent_Type;
    expect(events.map(({ type }) => type)).toEqual([CREATED, CANCELLED, DELETED]);
    live.cancel();
    await eventually(() => server.load().streams === 0);
    const [first, ...rest] = events;
    const resumed = clients.orders.watchOrders({ afterSequence: first?.sequence });
    expect(await take(resumed, 2)).toEqual(rest);
    resumed.cancel();
  });

  test('what is no longer kept, or has not happened, is out of range', async () => {
    for (let count = 0; count < 61; count += 1) {
      const { orderId } = await create();
      await ask(clients.orders, clients.orders.deleteOrder, { orderId });
    }
    const old = await drain(clients.orders.watchOrders({ afterSequence: 0n }));
    expect(refusal(old.error as never)).toMatchObject({
      code: status.OUT_OF_RANGE,
      details: { ErrorInfo: { reason: 'HISTORY_TRUNCATED' } },
    });
    const future = await drain(clients.orders.watchOrders({ afterSequence: 1_000_000n }));
    expect(refusal(future.error as never)).toMatchObject({
      code: status.OUT_OF_RANGE,
      details: { ErrorInfo: { reason: 'SEQUENCE_NOT_REACHED' } },
    });
  });

  test('a full store says when to try again', async () => {
    const fill = async () => {
      for (let count = 0; count < 41; count += 1) await create();
    };
    const { code, details } = await refusalOf(fill());
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    expect(details.RetryInfo).toMatchObject({ retryDelay: { seconds: 60 } });
  });
});

describe('quotes', () => {
  const watch = (rate: number, count: number, symbol = 'TIDE') =>
    clients.quotes.watchQuote({ symbol, rate, count });

  test('a quote has a bid below its ask and is of now', async () => {
    const quote = await ask(clients.quotes, clients.quotes.getQuote, { symbol: 'TIDE' });
    expect(quote.bid).toBeLessThan(quote.ask);
    expect(Math.abs(Date.now() - (quote.quoteTime?.getTime() ?? 0))).toBeLessThan(2_000);
    const nowhere = await refusalOf(ask(clients.quotes, clients.quotes.getQuote, { symbol: 'NONE' }));
    expect(nowhere).toMatchObject({
      code: status.NOT_FOUND,
      details: { ErrorInfo: { metadata: { symbol: 'NONE' } } },
    });
  });

  test('a watch keeps its rate and ends after its count', async () => {
    const began = performance.now();
    const { messages, error } = await drain(watch(50, 11));
    expect(error).toBeUndefined();
    expect(messages.map(({ sequence }) => sequence)).toEqual(
      [...Array(11).keys()].map((index) => BigInt(index + 1)),
    );
    expect(performance.now() - began).toBeGreaterThan(150);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test('a watch with a bad rate or symbol is refused', async () => {
    for (const rate of [-1, Number.NaN]) {
      const { error } = await drain(watch(rate, 1));
      expect(error?.details).toBe('rate: must be 0 or more');
    }
    expect((await drain(watch(1, 1, 'NONE'))).error?.code).toBe(status.NOT_FOUND);
    expect((await drain(watch(Number.POSITIVE_INFINITY, 500))).messages).toHaveLength(500);
  });

  test('uploaded prices are traded at, up to the first that is wrong', async () => {
    const upload = (prices: readonly [string, number][]) =>
      new Promise((resolve, reject) => {
        const call = clients.quotes.uploadQuotes((error, reply) => (error ? reject(error) : resolve(reply)));
        for (const [symbol, price] of prices) call.write({ symbol, price });
        call.end();
      });
    const prices: [string, number][] = [
      ['MOON', 500],
      ['TIDE', 10],
      ['MOON', 1000],
    ];
    expect(await upload(prices)).toEqual({ accepted: 3n, symbols: 2, created: 1 });
    expect((await ask(clients.quotes, clients.quotes.getQuote, { symbol: 'MOON' })).bid).toBeGreaterThan(900);
    expect(await upload([])).toEqual({ accepted: 0n, symbols: 0, created: 0 });
    const wrong = await refusalOf(
      upload([
        ['SUN', 1],
        ['SUN', -1],
      ]),
    );
    expect(wrong.message).toBe('requests[1].price: must be above 0');
    const many = await refusalOf(upload([['MARS', 1]]));
    expect(many).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: { RetryInfo: {} } });
  });
});

describe('chat', () => {
  const post = (room: string, text: string, user = as('ada')) =>
    ask(clients.chat, clients.chat.postMessage, { room, text }, user);
  const open = (roomId: string) => {
    const room = {
      roomId,
      title: '',
      creator: '',
      createTime: undefined,
      members: [],
      memberCount: 0,
      lastSequence: 0n,
    };
    return ask(clients.chat, clients.chat.createRoom, { room }, as('ada'));
  };
  const list = (request: Partial<ListMessagesRequest> & { room: string }) => {
    const defaults = { start: undefined, endTime: undefined, pageSize: 0 };
    return ask(clients.chat, clients.chat.listMessages, { ...defaults, ...request });
  };
  const texts = (messages: readonly { text: string }[]) => messages.map(({ text }) => text).join('');
  const say = (text: string) => JoinRoomRequest.fromPartial({ action: { $case: 'text', value: text } });
  const join = (user: string, request: Parameters<typeof JoinRoomRequest.fromPartial>[0]) => {
    const call = clients.chat.joinRoom(as(user));
    call.write(JoinRoomRequest.fromPartial(request));
    return call;
  };

  test('a room is opened once, under a name that a path can hold', async () => {
    expect(await open('harbour')).toMatchObject({ roomId: 'harbour', title: 'harbour', creator: 'ada' });
    const again = await refusalOf(open('harbour'));
    expect(again).toMatchObject({
      code: status.ALREADY_EXISTS,
      details: { ResourceInfo: { resourceName: 'harbour' } },
    });
    expect((await refusalOf(open('No Room'))).message).toMatch(/^room\.room_id: /);
    const room = await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' });
    expect(room).toMatchObject({ creator: 'system', memberCount: 0, lastSequence: 0n });
    expect((await refusalOf(ask(clients.chat, clients.chat.getRoom, { room: 'cellar' }))).code).toBe(5);
  });

  test('history is read by position and by time, and says what it has forgotten', async () => {
    await open('past');
    const said = [];
    for (const text of 'abcdefg') {
      said.push(await post('past', text, as(`author-${text}`)));
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    expect(texts((await list({ room: 'past', pageSize: 2 })).messages)).toBe('fg');
    const page = await list({ room: 'past', start: { $case: 'afterSequence', value: 3n }, pageSize: 2 });
    expect([texts(page.messages), page.more, page.truncated]).toEqual(['de', true, false]);
    const all = await list({ room: 'past', start: { $case: 'afterSequence', value: 0n } });
    expect([texts(all.messages), all.more, all.truncated]).toEqual(['cdefg', false, true]);
    const from = said[4]?.createTime as Date;
    const byTime = await list({
      room: 'past',
      start: { $case: 'startTime', value: from },
      endTime: said[6]?.createTime,
    });
    expect([texts(byTime.messages), byTime.truncated]).toEqual(['ef', false]);
    expect((await refusalOf(list({ room: 'past', pageSize: -1 }))).code).toBe(status.INVALID_ARGUMENT);
  });

  test('who talks too fast is told how long to wait', async () => {
    const burst = await Promise.allSettled([...'1234567'].map((text) => post('lobby', text, as('fast'))));
    expect(burst.filter(({ status: outcome }) => outcome === 'fulfilled').length).toBeLessThan(7);
    const last = burst.findLast((each) => each.status === 'rejected');
    const { code, details } = refusal(last?.reason);
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    expect(details.RetryInfo).toHaveProperty('retryDelay');
    expect((await refusalOf(post('lobby', ''))).message).toMatch(/^text: /);
    expect((await refusalOf(post('lobby', 'x', as('')))).code).toBe(status.UNAUTHENTICATED);
  });

  test('a watcher gets what it missed and then what happens, without being there', async () => {
    await open('watched');
    for (const text of 'abc') await post('watched', text);
    const watcher = clients.chat.watchRoom({ room: 'watched', afterSequence: 1n });
    const missed = await take(watcher, 2);
    expect(texts(missed.map(({ message }) => message as { text: string }))).toBe('bc');
    await post('watched', 'd', as('bob'));
    const [event] = await take(watcher, 1);
    expect(event).toMatchObject({
      type: RoomEvent_Type.MESSAGE,
      sequence: 4n,
      user: 'bob',
      message: { text: 'd' },
    });
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'watched' })).members).toEqual([]);
    watcher.cancel();
    const future = await drain(clients.chat.watchRoom({ room: 'watched', afterSequence: 9n }));
    expect(future.error?.code).toBe(status.OUT_OF_RANGE);
  });

  test('those in a room see each other come, type, talk and go', async () => {
    await open('shared');
    const { JOINED, TYPING, MESSAGE, LEFT } = RoomEvent_Type;
    const bob = join('bob', { room: 'shared' });
    expect(await take(bob, 1)).toMatchObject([{ type: JOINED, user: 'bob' }]);
    const eve = join('eve', { room: 'shared', action: { $case: 'text', value: 'hello' } });
    eve.write(JoinRoomRequest.fromPartial({ action: { $case: 'typing', value: true } }));
    eve.write(say('again'));
    eve.end();
    const seen = (await drain(eve)).messages;
    expect(seen.map(({ type }) => type)).toEqual([JOINED, MESSAGE, TYPING, MESSAGE, LEFT]);
    expect(await take(bob, 5)).toEqual(seen);
    bob.end();
    expect((await drain(bob)).messages).toMatchObject([{ type: LEFT, user: 'bob' }]);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'shared' })).memberCount).toBe(0);
  });

  test("a second connection of a user is nobody else's business", async () => {
    await open('twice');
    const first = join('bob', { room: 'twice' });
    await take(first, 1);
    const second = join('bob', { room: 'twice', afterSequence: 0n });
    second.end();
    expect((await drain(second)).messages).toMatchObject([{ type: 2, sequence: 0n }, { type: 3 }]);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'twice' })).members).toEqual(['bob']);
    first.end();
    expect((await drain(first)).messages).toMatchObject([{ type: RoomEvent_Type.LEFT }]);
  });

  test('in a room, who talks too fast is slowed down instead of refused', async () => {
    const call = join('talker', { room: 'lobby' });
    for (const text of 'abcdefghijklmnop') call.write(say(text));
    call.end();
    const { messages, error } = await drain(call);
    expect(error).toBeUndefined();
    expect(texts(messages.flatMap(({ message }) => message ?? []))).toBe('abcdefghijklmnop');
  });

  test('a wrong request ends the stream of who sent it, who has then left', async () => {
    const begin = async (user: string, request: Parameters<typeof join>[1]) =>
      (await drain(join(user, request))).error;
    expect((await begin('bob', { room: 'cellar' }))?.code).toBe(status.NOT_FOUND);
    expect((await begin('', { room: 'lobby' }))?.code).toBe(status.UNAUTHENTICATED);
    expect((await begin('bob', { room: 'lobby', afterSequence: 999n }))?.code).toBe(status.OUT_OF_RANGE);
    const silent = clients.chat.joinRoom(as('bob'));
    silent.end();
    expect((await drain(silent)).error?.details).toBe('room: is required in the first message');
    const moving = join('bob', { room: 'lobby' });
    moving.write(JoinRoomRequest.fromPartial({ room: 'past' }));
    expect((await drain(moving)).error?.details).toMatch(/^room: must be empty or lobby/);
    const members = async () => (await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' })).members;
    expect(await members()).toEqual([]);
  });

  test('who is cut off has left', async () => {
    const call = join('bob', { room: 'lobby' });
    await take(call, 1);
    call.cancel();
    await eventually(() => server.load().streams === 0);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' })).memberCount).toBe(0);
  });
});
