/** The example services orders and quotes: every method over the network, with the generated clients. */
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
