/** What the example services share: health, reflection, flow control, and how they stop. */
import { createFileRegistry, fromBinary, getOption } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, type MethodDefinition, status } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { History } from '../services/history.js';
import { type ServicesOptions, startServices } from '../services/services.js';
import { as, ask, connect, drain, eventually, refusalOf, take } from './support/services_client.js';

async function start(options: ServicesOptions = {}) {
  const server = await startServices({ graceMs: 300, ...options });
  const clients = connect(server.address);
  const raw = new Client(server.address, credentials.createInsecure());
  onTestFinished(async () => {
    clients.close();
    raw.close();
    await server.close();
  });
  return { server, clients, raw };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('health', () => {
  const { Check, Watch } = healthService as Record<string, MethodDefinition<object, object>>;
  if (!Check || !Watch) throw new Error('grpc-health-check has other methods');
  const request = (service: string) => Check.requestSerialize({ service });

  test('each service is serving, a stranger is not known', async () => {
    const { raw } = await start();
    const check = (service: string) =>
      new Promise((resolve, reject) => {
        const reply = (bytes: Buffer) => Check.responseDeserialize(bytes);
        raw.makeUnaryRequest(Check.path, request, reply, service, (error, answer) =>
          error ? reject(error) : resolve(answer),
        );
      });
    for (const name of ['', 'orders.v1.OrdersService', 'quotes.v1.QuotesService', 'chat.v1.ChatService']) {
      expect(await check(name)).toMatchObject({ status: 'SERVING' });
    }
    expect((await refusalOf(check('nobody'))).code).toBe(status.NOT_FOUND);
  });

  test('a watcher hears that the server stops, and does not hold it up', async () => {
    const { raw, server } = await start({ graceMs: 5_000 });
    const reply = (bytes: Buffer) => Watch.responseDeserialize(bytes) as { status: string };
    const watch = raw.makeServerStreamRequest(Watch.path, request, reply, 'orders.v1.OrdersService');
    expect(await take(watch, 1)).toMatchObject([{ status: 'SERVING' }]);
    const began = performance.now();
    const closed = server.close();
    const { messages, error } = await drain(watch);
    expect(messages).toMatchObject([{ status: 'NOT_SERVING' }]);
    expect(error?.code).toBe(status.UNAVAILABLE);
    await closed;
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});

/** The top-level fields of a reflection response that this test looks at, and the strings or bytes in them. */
interface Reflected {
  readonly files: readonly FileDescriptorProto[];
  readonly services: readonly string[];
  readonly numbers: readonly number[];
  readonly error: number;
}

function fields(bytes: Uint8Array): [number, Uint8Array | number][] {
  const reader = new BinaryReader(bytes);
  const found: [number, Uint8Array | number][] = [];
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    found.push([field, wire === 0 ? reader.int32() : reader.bytes()]);
  }
  return found;
}

function decode(response: Uint8Array): Reflected {
  const nested = (number: number) =>
    fields(response).flatMap(([field, value]) =>
      field === number && typeof value !== 'number' ? fields(value) : [],
    );
  const bytesIn = (number: number) =>
    nested(number).flatMap(([, value]) => (typeof value === 'number' ? [] : [value]));
  const [, packed] = bytesIn(5);
  const numbers: number[] = [];
  const reader = new BinaryReader(packed ?? new Uint8Array());
  while (reader.pos < reader.len) numbers.push(reader.int32());
  return {
    files: bytesIn(4).map((file) => fromBinary(FileDescriptorProtoSchema, file)),
    services: bytesIn(6).flatMap((service) =>
      fields(service).map(([, name]) => Buffer.from(name as Uint8Array).toString()),
    ),
    numbers,
    error: (nested(7).find(([field]) => field === 1)?.[1] as number | undefined) ?? 0,
  };
}

type Ask = (question: BinaryWriter) => Promise<Reflected>;

/** Asks one question after the other on one stream. */
function reflect(raw: Client, version: 'v1' | 'v1alpha'): Ask {
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
  const same = (bytes: Uint8Array) => Buffer.from(bytes);
  const call = raw.makeBidiStreamRequest(path, same, decode);
  return async (question) => {
    call.write(question.finish());
    const [answer] = await take(call, 1);
    return answer as Reflected;
  };
}

const text = (field: number, value: string) => new BinaryWriter().uint32(field * 8 + 2).string(value);

describe('reflection', () => {
  test.each(['v1', 'v1alpha'] as const)(
    '%s lists the services and serves their files with every option',
    async (version) => {
      const { raw } = await start();
      const question = reflect(raw, version);
      const { services } = await question(text(7, ''));
      expect(services).toEqual([
        'orders.v1.OrdersService',
        'quotes.v1.QuotesService',
        'chat.v1.ChatService',
        'grpc.health.v1.Health',
      ]);
      const { files } = await question(text(4, 'orders.v1.OrdersService'));
      const names = files.map(({ name }) => name);
      expect(names[0]).toBe('orders/v1/orders.proto');
      expect(names).toEqual(expect.arrayContaining(['google/api/http.proto', 'tidegate/v1/options.proto']));
      const [orders] = files;
      if (!orders) throw new Error('no file came');
      const registry = createFileRegistry(orders, (path) => files.find(({ name }) => name === path));
      const method = registry.getService('orders.v1.OrdersService')?.method.getOrder;
      const http = registry.getExtension('google.api.http');
      const access = registry.getExtension('tidegate.v1.access');
      if (!method || !http || !access) throw new Error('a descriptor is missing');
      expect(getOption(method, http)).toMatchObject({
        pattern: { case: 'get', value: '/v1/orders/{order_id}' },
      });
      expect(getOption(method, access)).toMatchObject({ permissions: ['orders:read'] });
      expect(orders.sourceCodeInfo?.location.length).toBeGreaterThan(50);
    },
  );

  test('whatever has a name is found, and a file is sent once with its imports', async () => {
    const { raw } = await start();
    const question = reflect(raw, 'v1');
    const first = async (field: number, value: string) => (await question(text(field, value))).files[0]?.name;
    expect(await first(3, 'chat/v1/chat.proto')).toBe('chat/v1/chat.proto');
    const again = await question(text(3, 'chat/v1/chat.proto'));
    expect(again.files.map(({ name }) => name)).toEqual(['chat/v1/chat.proto']);
    expect(await first(4, 'orders.v1.Order.Item')).toBe('orders/v1/orders.proto');
    expect(await first(4, 'orders.v1.Order.payment')).toBe('orders/v1/orders.proto');
    expect(await first(4, 'orders.v1.Order.PAID')).toBe('orders/v1/orders.proto');
    expect(await first(4, 'quotes.v1.QuotesService.WatchQuote')).toBe('quotes/v1/quotes.proto');
    expect(await first(4, 'grpc.health.v1.HealthCheckResponse.SERVING')).toBe('health/v1/health.proto');
    const options = 'google.protobuf.MethodOptions';
    const extension = text(1, options).uint32(16).int32(51801).finish();
    const found = await question(new BinaryWriter().uint32(42).bytes(extension));
    expect(found.files[0]?.name).toBe('tidegate/v1/options.proto');
    expect((await question(text(6, options))).numbers).toEqual([51801, 51802, 72295728]);
  });

  test('what is not there is an answer, and the stream goes on', async () => {
    const { raw } = await start();
    const question = reflect(raw, 'v1alpha');
    for (const [field, name] of [
      [3, 'no.proto'],
      [4, 'no.Symbol'],
      [6, 'no.Type'],
    ] as const) {
      expect((await question(text(field, name))).error).toBe(status.NOT_FOUND);
    }
    expect((await question(text(1, 'host'))).error).toBe(status.INVALID_ARGUMENT);
    expect((await question(text(7, ''))).services).toHaveLength(4);
  });
});

test('bytes that are no message end the call, not the server, and are no error of ours', async () => {
  const reports: unknown[] = [];
  const { raw, server } = await start({ report: (error) => reports.push(error) });
  const garbage = () => Buffer.from([0x0a, 0xff, 0xff]);
  const same = (bytes: Buffer) => bytes;
  for (const path of [
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    '/chat.v1.ChatService/JoinRoom',
  ]) {
    const call = raw.makeBidiStreamRequest(path, garbage, same, as('bob'));
    call.write({});
    expect((await drain(call)).error?.code).toBe(status.INTERNAL);
  }
  const unary = new Promise((resolve, reject) => {
    raw.makeUnaryRequest('/orders.v1.OrdersService/GetOrder', garbage, same, {}, (error) =>
      error ? reject(error) : resolve(undefined),
    );
  });
  expect((await refusalOf(unary)).code).toBe(status.INTERNAL);
  await eventually(() => server.load().streams === 0);
  expect(reports).toEqual([]);
});

describe('a slow reader', () => {
  test('stops the service, which goes on without a gap when it reads again', async () => {
    const { server, clients } = await start();
    const stream = clients.quotes.watchQuote({ symbol: 'TIDE', rate: 10_000, count: 0 });
    await take(stream, 1);
    // Until the buffers on the way are full: then nothing moves any more.
    let stalled = 0;
    await vi.waitFor(
      () => {
        const before = stalled;
        stalled = server.load().messages;
        expect(stalled).toBe(before);
      },
      { interval: 400 },
    );
    await pause(300);
    expect(server.load().messages).toBe(stalled);
    // Without flow control it would have been 10,000.
    expect(stalled).toBeLessThan(5_000);
    const rest = await take(stream, stalled + 100);
    expect(rest.map(({ sequence }) => Number(sequence))).toEqual(rest.map((_, index) => index + 2));
    stream.cancel();
    await eventually(() => server.load().streams === 0);
  });

  test('that falls behind what is kept is told so, at no cost of memory', async () => {
    const history = new History<number>(3);
    const stop = new AbortController();
    const reader = history.follow(0n, stop.signal);
    history.append(Number);
    expect((await reader.next()).value).toBe(1);
    for (let count = 0; count < 4; count += 1) history.append(Number);
    await expect(reader.next()).rejects.toMatchObject({ code: status.OUT_OF_RANGE });
    expect(history.kept()).toEqual([3, 4, 5]);
    const waiting = history.follow(5n, stop.signal);
    const next = waiting.next();
    expect(history.followers).toBe(1);
    stop.abort();
    expect((await next).done).toBe(true);
    expect(history.followers).toBe(0);
  });
});

describe('stopping', () => {
  test('ends every kind of stream with UNAVAILABLE, after what was already sent', async () => {
    const { server, clients } = await start();
    const { chat, orders, quotes } = clients;
    const room = chat.joinRoom(as('bob'));
    room.write({ room: 'lobby', action: undefined, afterSequence: undefined });
    await take(room, 1);
    const upload = new Promise((_, reject) => {
      const call = quotes.uploadQuotes((error) => reject(error));
      call.write({ symbol: 'TIDE', price: 1 });
    });
    const silent = chat.joinRoom(as('eve'));
    const streams = [
      room,
      silent,
      orders.watchOrders({ afterSequence: undefined }),
      chat.watchRoom({ room: 'lobby', afterSequence: undefined, after: undefined }),
      quotes.watchQuote({ symbol: 'TIDE', rate: 0.001, count: 0 }),
    ];
    await eventually(() => server.load().streams === 5);
    const ends = [
      ...streams.map(async (stream) => (await drain<unknown>(stream as never)).error),
      upload.catch((e) => e),
    ];
    const began = performance.now();
    await server.close();
    for (const error of await Promise.all(ends)) {
      expect(error).toMatchObject({ code: status.UNAVAILABLE, details: 'the service is stopping' });
    }
    expect(performance.now() - began).toBeLessThan(250);
    expect(server.load().streams).toBe(0);
  });

  test('does not wait longer than its grace for a reader that takes nothing', async () => {
    const { server, clients } = await start();
    const stream = clients.quotes.watchQuote({ symbol: 'TIDE', rate: 10_000, count: 0 });
    await take(stream, 1);
    await pause(600);
    const began = performance.now();
    await Promise.all([server.close(), server.close()]);
    expect(performance.now() - began).toBeLessThan(1_500);
  });

  test('takes no call afterwards', async () => {
    const { server, clients } = await start();
    await server.close();
    const late = await refusalOf(ask(clients.quotes, clients.quotes.getQuote, { symbol: 'TIDE' }));
    expect(late.code).toBe(status.UNAVAILABLE);
  });

  test('a port that is taken is said to be', async () => {
    const { server } = await start();
    const port = Number(server.address.split(':')[1]);
    await expect(startServices({ port })).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  });
});
