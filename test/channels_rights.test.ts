/** The Channels service: who may do what, bad input with its name, and what subscribers are told when the broker fails. */

import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { type Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { JoinRequest, PublishRequest } from '../gen/tidegate/v1/channels.js';
import { type ChannelRule, settingsOf } from '../services/channels/rules.js';
import { startChannels } from '../services/channels/serve.js';
import type { Broker } from '../src/broker/broker.js';
import { openBroker } from '../src/broker/open.js';
import { as, ask, connect, drain, eventually, refusal, refusalOf, take } from './support/services_client.js';
import { createShakyLog } from './support/shaky_log.js';

const NOBODY = new Metadata();

async function start(
  rules: readonly ChannelRule[] = [],
  change: (broker: Broker) => Broker = (same) => same,
) {
  const broker = await openBroker('memory');
  const server = await startChannels({ broker: change(broker), rules, graceMs: 500 });
  const clients = connect(server.address);
  onTestFinished(async () => {
    clients.close();
    await server.close();
    await broker.close();
  });
  const { channels } = clients;
  const publish = (channel: string, by: Metadata, message: Partial<PublishRequest> = {}) =>
    ask(channels, channels.publish, { channel, data: 1, type: '', idempotencyKey: '', ...message }, by);
  const history = (channel: string, by: Metadata, query = {}) => {
    const all = {
      after: '',
      startTime: undefined,
      endTime: undefined,
      pageSize: 0,
      reverse: false,
      ...query,
    };
    return ask(channels, channels.history, { channel, ...all }, by);
  };
  const presence = (channel: string, by: Metadata, query = {}) =>
    ask(channels, channels.presence, { channel, pageSize: 0, pageToken: '', countOnly: false, ...query }, by);
  const stream = {
    subscribe: (channel: string, by: Metadata, query: { channels?: string[]; after?: string } = {}) =>
      channels.subscribe({ channel, channels: [], after: undefined, ...query }, by),
    watch: (channel: string, by: Metadata) => channels.watchPresence({ channel, after: undefined }, by),
    join: (channel: string, by: Metadata, data?: unknown) =>
      channels.join(JoinRequest.fromPartial({ channel, data }), by),
  };
  return { server, channels, publish, history, presence, ...stream };
}

type Service = Awaited<ReturnType<typeof start>>;

/** The code of what each method answers; 0 when it accepts. */
async function codes(service: Service, channel: string, by: Metadata) {
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => status.OK,
      ({ code }: ServiceError) => code,
    );
  const opened = (call: ReturnType<Service['subscribe'] | Service['join']>) =>
    codeOf(
      new Promise((resolve, reject) => {
        call.on('error', reject);
        call.on('metadata', () => {
          resolve(undefined);
          call.cancel();
        });
      }),
    );
  return {
    publish: await codeOf(service.publish(channel, by)),
    batch: await codeOf(
      ask(
        service.channels,
        service.channels.publishBatch,
        { messages: [PublishRequest.fromPartial({ channel, data: 1 })] },
        by,
      ),
    ),
    subscribe: await opened(service.subscribe(channel, by)),
    history: await codeOf(service.history(channel, by)),
    presence: await codeOf(service.presence(channel, by)),
    watch: await opened(service.watch(channel, by)),
    join: await opened(service.join(channel, by)),
  };
}

const { OK, PERMISSION_DENIED, UNAUTHENTICATED, UNAVAILABLE } = status;
const all = (code: status) => ({
  publish: code,
  batch: code,
  subscribe: code,
  history: code,
  presence: code,
  watch: code,
  join: code,
});
const NONE = all(PERMISSION_DENIED);

describe('without a rule', () => {
  test('nobody may do anything without a token, nor with one that grants nothing', async () => {
    const service = await start();
    expect(await codes(service, 'news', NOBODY)).toEqual(all(UNAUTHENTICATED));
    expect(await codes(service, 'news', as('ada'))).toEqual(NONE);
    const { details, message } = await refusalOf(service.publish('news', as('ada')));
    expect(message).toBe('to publish to news needs the permission channels:publish:news');
    expect(details.ErrorInfo).toMatchObject({
      reason: 'PERMISSION_MISSING',
      metadata: { permission: 'channels:publish:news' },
    });
  });

  test.each([
    ['channels:publish', { publish: OK, batch: OK }],
    ['channels:subscribe', { subscribe: OK, history: OK }],
    ['channels:presence', { presence: OK, watch: OK }],
    ['channels:join', { join: OK }],
    ['channels:publish:room:42', { publish: OK, batch: OK }],
    ['channels:subscribe:room:*', { subscribe: OK, history: OK }],
    ['channels:subscribe:room:4', {}],
    ['channels:subscribe:rooms:*', {}],
    ['channels:*', all(OK)],
    ['*', all(OK)],
  ])('%s grants what it says', async (permission, granted) => {
    const service = await start();
    expect(await codes(service, 'room:42', as('ada', permission))).toEqual({ ...NONE, ...granted });
  });

  test('a subscription that several callers share is known by its permissions alone', async () => {
    const service = await start();
    const shared = new Metadata();
    shared.set('x-permissions', 'channels:subscribe');
    expect((await codes(service, 'news', shared)).subscribe).toBe(OK);
    const without = new Metadata();
    without.set('x-permissions', '');
    expect((await codes(service, 'news', without)).subscribe).toBe(PERMISSION_DENIED);
  });
});

describe('rules', () => {
  const RULES: readonly ChannelRule[] = [
    { match: 'news', subscribe: 'public', publish: ['news:write', 'staff'] },
    { match: 'room.*', subscribe: 'authenticated', publish: 'authenticated', join: 'authenticated' },
    { match: 'room.closed', publish: 'nobody' },
    { match: 'open', publish: 'public', subscribe: 'public', presence: 'public', join: 'public' },
  ];

  test('open a channel to everybody, to everybody with a token, to a permission, and to nobody', async () => {
    const service = await start(RULES);
    const anonymous = all(UNAUTHENTICATED);
    expect(await codes(service, 'news', NOBODY)).toEqual({ ...anonymous, subscribe: OK, history: OK });
    expect((await codes(service, 'news', as('ada', 'news:write'))).publish).toBe(PERMISSION_DENIED);
    expect((await codes(service, 'news', as('ada', 'news:*', 'staff'))).publish).toBe(OK);
    // What a rule says of an action takes the place of the permissions without rules.
    expect((await codes(service, 'news', as('ada', 'channels:*'))).publish).toBe(PERMISSION_DENIED);
    expect(await codes(service, 'room.1', NOBODY)).toEqual(anonymous);
    const granted = { subscribe: OK, history: OK, join: OK };
    expect(await codes(service, 'room.1', as('ada'))).toEqual({
      ...NONE,
      ...granted,
      publish: OK,
      batch: OK,
    });
    expect(await codes(service, 'room.closed', as('ada', '*'))).toEqual({
      ...all(OK),
      publish: PERMISSION_DENIED,
      batch: PERMISSION_DENIED,
    });
    // Somebody has to be somebody to be present.
    expect(await codes(service, 'open', NOBODY)).toEqual({ ...all(OK), join: UNAUTHENTICATED });
  });

  test('that come later decide, on what they say something about', () => {
    const rules: readonly ChannelRule[] = [
      { match: '*', capacity: 5, subscribe: 'public', retention: { entries: 7, bytes: 1 } },
      { match: 'a*', lingerMs: 3, retention: { entries: 8 } },
      { match: 'a*b*c', subscribe: 'nobody' },
    ];
    expect(settingsOf(rules, 'x')).toMatchObject({ capacity: 5, lingerMs: 10_000 });
    expect(settingsOf(rules, 'abc')).toMatchObject({
      capacity: 5,
      lingerMs: 3,
      retention: { entries: 8, bytes: 1, ageMs: 86_400_000 },
      grants: { subscribe: 'nobody', publish: undefined },
    });
    const isNobody = (name: string) => settingsOf(rules, name).grants.subscribe === 'nobody';
    expect(['abc', 'a.b.c', 'abbcc', 'aXbYc'].filter(isNobody)).toHaveLength(4);
    expect(['ab', 'ac', 'abcd', 'acb', 'xabc', 'bc'].filter(isNobody)).toEqual([]);
  });

  test('a subscription to several channels needs the right to each of them, a batch too', async () => {
    const service = await start(RULES);
    const { error } = await drain(service.subscribe('', NOBODY, { channels: ['news', 'room.1'] }));
    expect(error?.details).toBe('a token is required to subscribe to room.1');
    const messages = ['open', 'news'].map((channel) => PublishRequest.fromPartial({ channel, data: 1 }));
    const batch = ask(service.channels, service.channels.publishBatch, { messages }, NOBODY);
    expect((await refusalOf(batch)).message).toBe('a token is required to publish to news');
    expect((await service.history('open', NOBODY)).events).toEqual([]);
  });
});

describe('bad input', () => {
  const admin = as('ada', '*');
  const long = 'x'.repeat(201);

  test.each([
    ['', 'is required'],
    ['.a', 'must be 1 to 200'],
    ['a:', 'must be 1 to 200'],
    ['a b', 'must be 1 to 200'],
    ['ä', 'must be 1 to 200'],
    ['a/b', 'must be 1 to 200'],
    [long, 'must be 1 to 200'],
  ])('a channel cannot be named %j', async (channel, description) => {
    const service = await start();
    const message = expect.stringMatching(new RegExp(`^channel: ${description}`));
    for (const call of [service.publish, service.history, service.presence])
      expect(await refusalOf(call(channel, admin))).toMatchObject({ code: 3, message });
    for (const call of [service.subscribe, service.watch, service.join])
      expect((await drain(call(channel, admin))).error).toMatchObject({ code: 3, details: message });
  });

  test.each<[Partial<PublishRequest>, RegExp]>([
    [{ data: undefined }, /^data: is required$/],
    [{ data: Number.NaN }, /^data: has a number that JSON does not know$/],
    [{ data: { a: [Number.POSITIVE_INFINITY] } }, /^data: has a number/],
    [{ data: 'x'.repeat(65_537) }, /^data: must have at most 65536 bytes$/],
    [{ data: nested(33) }, /^data: must have at most 32 levels$/],
    [{ type: 'a b' }, /^type: must have at most 64/],
    [{ type: 'x'.repeat(65) }, /^type: must have at most 64/],
    [{ idempotencyKey: long }, /^idempotency_key: must have at most 200/],
    [{ type: '\n', idempotencyKey: long }, /^type: .* \(and 1 more\)$/],
  ])('%j cannot be published', async (message, refusedWith) => {
    const service = await start();
    expect(await refusalOf(service.publish('a', admin, message))).toMatchObject({
      code: 3,
      message: expect.stringMatching(refusedWith),
    });
    expect((await service.history('a', admin)).events).toEqual([]);
  });

  test('what is no JSON value cannot be published, as it would end every subscription', async () => {
    const service = await start();
    const bytes = (write: (writer: BinaryWriter) => BinaryWriter) => write(new BinaryWriter()).finish();
    const wrong = {
      'nothing at all': bytes((w) => w),
      'two values': bytes((w) => w.uint32(32).bool(true).uint32(32).bool(true)),
      'a null that is 1': bytes((w) => w.uint32(8).int32(1)),
      'an unknown field': bytes((w) => w.uint32(58).string('x')),
      'no UTF-8': bytes((w) => w.uint32(26).bytes(new Uint8Array([0xff]))),
      'a cut string': new Uint8Array([26, 5, 97]),
      'a list of nothing': bytes((w) => w.uint32(50).bytes(new Uint8Array([10, 0]))),
      'a field without a value': bytes((w) => w.uint32(42).bytes(new Uint8Array([10, 3, 10, 1, 97]))),
      'a key that is no UTF-8': bytes((w) =>
        w.uint32(42).bytes(new Uint8Array([10, 7, 10, 1, 0xff, 18, 2, 8, 0])),
      ),
      'a number with a cut': new Uint8Array([17, 0, 0]),
    };
    for (const [what, data] of Object.entries(wrong)) {
      const request = new BinaryWriter().uint32(10).string('a').uint32(18).bytes(data).finish();
      const error = await rawCall(service.channels, Buffer.from(request), admin);
      expect([what, error?.code, error?.details.slice(0, 6)]).toEqual([what, 3, 'data: ']);
    }
    const empty = new BinaryWriter()
      .uint32(10)
      .string('a')
      .uint32(18)
      .bytes(bytes((w) => w.uint32(42).bytes(new Uint8Array([10, 4, 18, 2, 8, 0]))));
    expect(await rawCall(service.channels, Buffer.from(empty.finish()), admin)).toBeNull();
    expect((await service.history('a', admin)).events).toMatchObject([{ data: { '': null } }]);
  });

  test('a batch, a subscription and a page have their limits', async () => {
    const service = await start();
    const { channels } = service;
    const batch = async (messages: Partial<PublishRequest>[]) =>
      (
        await refusalOf(
          ask(channels, channels.publishBatch, { messages: messages.map(PublishRequest.fromPartial) }, admin),
        )
      ).message;
    const one = { channel: 'a', data: 1 };
    expect(await batch([])).toBe('messages: must be 1 to 100');
    expect(await batch(Array.from({ length: 101 }, () => one))).toBe('messages: must be 1 to 100');
    expect(await batch([one, { ...one, type: ' ' }])).toMatch(/^messages\[1\]\.type: /);
    expect(await batch([{ channel: '?', data: 1 }])).toMatch(/^messages\[0\]\.channel: /);
    const large = { channel: 'a', data: 'x'.repeat(65_000) };
    expect(await batch(Array.from({ length: 17 }, () => large))).toMatch(
      /^messages: must have at most 1048576/,
    );
    expect((await service.history('a', admin)).events).toEqual([]);

    const refusedWith = async (query: { channels?: string[]; after?: string }, channel = '') =>
      (await drain(service.subscribe(channel, admin, query))).error?.details;
    const names = Array.from({ length: 33 }, (_, n) => `c${n}`);
    expect(await refusedWith({ channels: names })).toBe('channels: must be at most 32');
    expect(await refusedWith({ channels: ['a', 'b c'] })).toMatch(/^channels\[1\]: must be 1 to 200/);
    expect(await refusedWith({})).toBe('channel: is required');
    expect((await refusalOf(service.history('a', admin, { pageSize: -1 }))).message).toMatch(/^page_size: /);
    expect((await refusalOf(service.presence('a', admin, { pageSize: -1 }))).message).toMatch(/^page_size: /);
    const { error } = await drain(service.join('a', admin, 'x'.repeat(4_097)));
    expect(error?.details).toBe('data: must have at most 4096 bytes');
    expect((await drain(service.join('a', admin, Number.NaN))).error?.details).toMatch(/^data: has a number/);
  });

  test('what is no position is refused, and what is one of something else', async () => {
    const service = await start();
    const { position } = await service.publish('a', admin);
    const { position: elsewhere } = await service.publish('b', admin);
    const [key, epoch, , nonce] = position.split('.');
    const refusedWith = async (after: string) => {
      const streamed = (await drain(service.subscribe('a', admin, { after }))).error;
      return [streamed?.code, streamed?.details];
    };
    const wrong = [
      'x',
      `${position}~`,
      `${key}.${epoch}.0.0`,
      `${key}.-.1.1`,
      `${key}.${epoch}.1.zzzzzzz`,
      `${key}.${epoch}.zzzzzzzzzzz.${nonce}`,
      `${key}.${epoch}.-1.${nonce}`,
      `${key}.short.1.${nonce}`,
      `${position}\n`,
    ];
    for (const after of wrong)
      expect([after, ...(await refusedWith(after))]).toEqual([after, 3, 'after: is no position']);
    expect(await refusedWith(`${position}~${position}`)).toEqual([
      3,
      'after: has two positions of one channel',
    ]);
    expect(await refusedWith(elsewhere)).toEqual([3, 'after: is a position of something else']);
    expect(await refusedWith('x'.repeat(1_473))).toEqual([3, 'after: must have at most 1472 characters']);
    const paged = await refusalOf(service.history('a', admin, { after: elsewhere }));
    expect(paged.message).toBe('after: is a position of something else');
  });
});

describe('a broker that fails', () => {
  const open = async (rules: readonly ChannelRule[] = []) => {
    const log = createShakyLog();
    const service = await start(rules, (broker) => ({ ...broker, logs: () => log.logs }));
    const admin = as('ada', '*');
    return { log, service, admin };
  };

  test('is UNAVAILABLE to whoever asks', async () => {
    const { log, service, admin } = await open();
    log.fail(1_000);
    expect(await codes(service, 'a', admin)).toEqual(all(UNAVAILABLE));
    expect((await refusalOf(service.publish('a', admin))).details.ErrorInfo?.reason).toBe(
      'BROKER_UNAVAILABLE',
    );
  });

  test('is waited for by those who have subscribed', async () => {
    const { log, service, admin } = await open();
    await service.publish('a', admin);
    const stream = service.subscribe('a', admin, { after: 'earliest' });
    await take(stream, 1);
    log.fail(2);
    log.gap();
    await eventually(() => log.reads() > 2);
    log.fail(0);
    await service.publish('a', admin, { data: 'after' });
    expect(await take(stream, 1)).toMatchObject([{ data: 'after' }]);
    stream.cancel();
  });

  test.each([
    ['lost its tail', 'LOG_DIVERGED', (log: ReturnType<typeof createShakyLog>) => log.loseTail(1)],
    ['was wiped', 'EPOCH_CHANGED', (log: ReturnType<typeof createShakyLog>) => log.wipe()],
  ])('ends the streams of a channel that %s', async (_what, reason, lose) => {
    const { log, service, admin } = await open();
    await service.publish('a', admin);
    await service.publish('a', admin);
    const stream = service.subscribe('a', admin, { after: 'earliest' });
    await take(stream, 2);
    lose(log);
    log.gap();
    const { error, messages } = await drain(stream);
    expect(messages).toEqual([]);
    expect(refusal(error as ServiceError)).toMatchObject({
      code: status.OUT_OF_RANGE,
      details: { ErrorInfo: { reason } },
    });
    expect(log.followers()).toBe(0);
  });

  test('ends the stream of a reader that has fallen behind what is kept', async () => {
    const { log, service, admin } = await open();
    await service.publish('a', admin);
    const stream = service.subscribe('a', admin, { after: 'earliest' });
    await take(stream, 1);
    stream.pause();
    const text = 'x'.repeat(60_000);
    for (let n = 0; n < 400; n += 1) await service.publish('a', admin, { data: { n, text } });
    log.drop(400);
    stream.resume();
    const { error, messages } = await drain(stream);
    const numbers = messages.map(({ data }) => (data as { n: number }).n);
    expect(numbers).toEqual(numbers.map((_, n) => n));
    expect(messages.length).toBeLessThan(400);
    expect(refusal(error as ServiceError).details.ErrorInfo).toMatchObject({ reason: 'HISTORY_TRUNCATED' });
  });
});

test('streams end with UNAVAILABLE when the service stops, and let go of their channels', async () => {
  const log = createShakyLog();
  const service = await start([], (broker) => ({ ...broker, logs: () => log.logs }));
  const admin = as('ada', '*');
  const streams = [
    service.subscribe('a', admin, { channels: ['b', 'c'] }),
    service.join('a', admin),
    service.watch('a', admin),
  ];
  const ends = streams.map((stream) => drain(stream as ReturnType<Service['subscribe']>));
  await eventually(() => log.followers() === 5);
  await service.server.close();
  for (const { error } of await Promise.all(ends)) expect(error?.code).toBe(UNAVAILABLE);
  expect(log.followers()).toBe(0);
});

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = level % 2 ? [value] : { value };
  return value;
}

/** Publishes a request that is already encoded. Resolves with the error, if there is one. */
function rawCall(client: Client, request: Buffer, metadata: Metadata): Promise<ServiceError | null> {
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      '/tidegate.v1.ChannelsService/Publish',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      request,
      metadata,
      (error) => resolve(error),
    );
  });
}
