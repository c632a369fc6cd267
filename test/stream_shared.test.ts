/** Streams with positions, from the interceptor's outside: private and shared ones, through everything that can go wrong below them. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Broker, Logs } from '../src/broker/broker.js';
import { createMemoryBroker } from '../src/broker/memory.js';
import type { Invoke } from '../src/call.js';
import { errorInfo } from '../src/details.js';
import type { StreamOptions } from '../src/method.js';
import { identity } from '../src/policy/identity.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import { type Feed, SlowConsumerError } from '../src/stream/feed.js';
import { createStreams, type Streams } from '../src/stream/streams.js';
import { FeedReader } from './support/streams/reader.js';
import { CURSOR, callOf, requestFor, Ticker, textOf, watchMethod } from './support/streams/ticker.js';

const SECRET = randomBytes(32);
const opened: Streams[] = [];

afterEach(() => {
  for (const streams of opened.splice(0))
    streams.close(new StatusError(Code.UNAVAILABLE, 'the test is over'));
});

interface Node {
  readonly invoke: Invoke;
  readonly streams: Streams;
}

/** What the gateway tells services, behind the streams as in a gateway. */
const IDENTITY = { claims: { 'x-tenant': 'tenant', 'x-plan': 'plan' } };

interface NodeOptions {
  readonly broker?: Broker;
  readonly leaseMs?: number;
  readonly patienceMs?: number;
  readonly secret?: Uint8Array;
}

/** A gateway node in front of the ticker; without `broker`, alone. */
function node(ticker: Ticker, options: NodeOptions = {}): Node {
  const streams = createStreams({
    broker: options.broker ?? createMemoryBroker(),
    local: createMemoryBroker(),
    secret: options.secret ?? SECRET,
    leaseMs: options.leaseMs ?? 1_000,
    patienceMs: options.patienceMs ?? 5_000,
  });
  opened.push(streams);
  return { streams, invoke: streams.intercept(identity(IDENTITY)(ticker.invoke)) };
}

/** A broker whose logs cannot be read while its gate is closed. */
function gated(inner: Broker): { readonly broker: Broker; close(): void; open(): void } {
  let gate = Promise.resolve();
  let open = (): void => {};
  const logs: Broker['logs'] = (space, retention) => {
    const all = inner.logs(space, retention);
    return new Proxy(all, {
      get: (target, key) => {
        if (key === 'read')
          return (...args: Parameters<Logs['read']>) => gate.then(() => target.read(...args));
        const member = Reflect.get(target, key) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  };
  return {
    broker: { ...inner, logs },
    close() {
      gate = new Promise((resolve) => {
        open = resolve;
      });
    },
    open: () => open(),
  };
}

const shared = (stream: Partial<StreamOptions> = {}) => watchMethod({ sharing: 'shared', ...stream });
const sharedWithCursor = (stream: Partial<StreamOptions> = {}) => shared({ ...CURSOR, ...stream });
const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
/** Until it has been told exactly this. */
const tells = (reader: FeedReader, told: readonly string[]): Promise<void> =>
  vi.waitFor(() => expect(reader.told).toEqual(told), { timeout: 15_000, interval: 10 });

describe('a shared stream', () => {
  test('is one call for all who ask for the same, who are told the same with the same cursors', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    const method = shared();
    const readers = await Promise.all([1, 2, 3].map(() => FeedReader.open(invoke, method)));
    ticker.tick(3);
    for (const reader of readers) await tells(reader, numbers(1, 3));
    expect(ticker.calls).toHaveLength(1);
    expect(new Set(readers.map(({ cursor }) => cursor)).size).toBe(1);
    expect(streams.stats()).toEqual({ streams: 1, owned: 1, clients: 3 });
  });

  test('is another one for another request, or another value of what is in its scope', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ scope: { claims: ['sub'], headers: ['accept-language'] } });
    const ann = { ...ANONYMOUS, subject: 'ann' };
    await FeedReader.open(invoke, method, { principal: ann });
    await FeedReader.open(invoke, method, { principal: ann, request: requestFor('b') });
    await FeedReader.open(invoke, method, { principal: { ...ANONYMOUS, subject: 'bob' } });
    await FeedReader.open(invoke, method, { principal: ann, metadata: { 'accept-language': 'nl' } });
    await FeedReader.open(invoke, method, { principal: ann, metadata: { 'user-agent': 'x' } });
    expect(ticker.calls).toHaveLength(4);
  });

  test('asks the service with what is in its scope, and with nothing else of its first client', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ scope: { claims: ['permissions', 'tenant'], headers: ['accept-language'] } });
    const principal = {
      ...ANONYMOUS,
      subject: 'ann',
      permissions: new Set(['a:b']),
      claims: { sub: 'ann', tenant: 'acme', plan: 'gold' },
    };
    const metadata = {
      'x-tenant': 'forged',
      authorization: 'Bearer x',
      'x-user-id': 'ann',
      'x-permissions': 'a:b',
      'x-request-id': 'r1',
      'accept-language': 'nl',
    };
    await FeedReader.open(invoke, method, { principal, metadata });
    expect(ticker.calls[0]?.metadata).toEqual({
      'x-permissions': 'a:b',
      'x-tenant': 'acme',
      'x-request-id': expect.any(String) as unknown,
      'accept-language': 'nl',
    });
    expect(ticker.calls[0]?.principal).toMatchObject({ subject: '', claims: { tenant: 'acme' } });
    expect(ticker.calls[0]?.principal.claims).not.toHaveProperty('plan');
  });

  test('has no clients without a token where those with one share, though both have no permissions', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ scope: { claims: ['permissions'], headers: [] } });
    await FeedReader.open(invoke, method, { principal: { ...ANONYMOUS, subject: 'ann' } });
    await FeedReader.open(invoke, method, { principal: ANONYMOUS });
    await FeedReader.open(invoke, method, { principal: { ...ANONYMOUS, subject: 'bob' } });
    expect(ticker.calls.map(({ metadata }) => metadata['x-permissions'])).toEqual(['', undefined]);
  });

  test('takes no claim for one that every object inherits', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ scope: { claims: ['constructor', 'a.b'], headers: [] } });
    const open = (claims: object) =>
      FeedReader.open(invoke, method, {
        principal: { ...ANONYMOUS, subject: 'ann', claims: claims as Record<string, unknown> },
      });
    await open({});
    await open({ a: { b: 1 } });
    await open({ 'a.b': 1 });
    expect(ticker.calls.map(({ principal }) => principal.claims)).toEqual([{}, { 'a.b': 1 }]);
  });

  test('is accepted or refused by the service, for all who wait for it', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    ticker.refusal = new StatusError(Code.NOT_FOUND, 'no such topic');
    const method = shared();
    const all = [1, 2, 3].map(() => FeedReader.open(invoke, method));
    for (const each of all) await expect(each).rejects.toMatchObject({ code: 5, message: 'no such topic' });
    expect(streams.stats().streams).toBe(0);
    ticker.refusal = undefined;
    await FeedReader.open(invoke, method);
  });

  test('goes on for a client that comes back exactly where it was', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared();
    const stays = await FeedReader.open(invoke, method);
    const first = await FeedReader.open(invoke, method);
    ticker.tick(3);
    await tells(first, numbers(1, 3));
    first.leave();
    ticker.tick(3);
    await tells(stays, numbers(1, 6));
    for (const [index, { cursor }] of first.seen.entries()) {
      const again = await FeedReader.open(invoke, method, { resume: cursor });
      expect(again.feed).toMatchObject({ resumed: true, replay: true });
      await tells(again, [...numbers(index + 2, 6), '!caught_up']);
    }
    const unseen = await FeedReader.open(invoke, method, { resume: first.feed.cursor });
    await tells(unseen, [...numbers(1, 6), '!caught_up']);
    expect(ticker.calls).toHaveLength(1);
  });

  test('goes on for a client that comes back from before what the ring holds', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ slow: { policy: 'disconnect', key: '', bytes: 1_024, ageMs: 60_000 } });
    const stays = await FeedReader.open(invoke, method);
    const { cursor } = stays.feed;
    ticker.tick(8_000);
    await vi.waitFor(() => expect(stays.told).toHaveLength(8_000));
    const again = await FeedReader.open(invoke, method, { resume: cursor });
    again.takes = 10;
    ticker.tick(5);
    again.take(Number.POSITIVE_INFINITY);
    await vi.waitFor(() => expect(again.told).toHaveLength(8_006));
    expect(again.told.filter((told) => told !== '!caught_up')).toEqual(numbers(1, 8_005));
  });

  test('tells a client whose place is no longer kept, and gives it what is', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({
      retention: { entries: 10, ageMs: 60_000, bytes: 1_000_000 },
      slow: { policy: 'disconnect', key: '', bytes: 1_024, ageMs: 60_000 },
    });
    const stays = await FeedReader.open(invoke, method);
    for (let round = 1; round <= 8; round++) {
      ticker.tick(2_000);
      await vi.waitFor(() => expect(stays.told.at(-1)).toBe(String(round * 2_000)));
    }
    const again = await FeedReader.open(invoke, method, { resume: stays.seen[3]?.cursor });
    expect(again.feed.resumed).toBe(false);
    await tells(again, ['!history_truncated', ...numbers(15_991, 16_000), '!caught_up']);
  });

  test('begins with all that is kept for `earliest`, and with what happens from now on for `now`', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared();
    const first = await FeedReader.open(invoke, method);
    ticker.tick(3);
    await tells(first, numbers(1, 3));
    const earliest = await FeedReader.open(invoke, method, { resume: 'earliest' });
    const now = await FeedReader.open(invoke, method, { resume: 'now' });
    await tells(earliest, [...numbers(1, 3), '!caught_up']);
    ticker.tick();
    await tells(now, ['4']);
    await tells(earliest, [...numbers(1, 3), '!caught_up', '4']);
  });

  test.each([
    ['that nobody made', 'AAAA', 'cursor_invalid'],
    ['of another stream', 'other', 'cursor_invalid'],
    ['of another user', 'user', 'scope_changed'],
  ])('does not go on after a cursor %s, and says so', async (_, kind, reason) => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ scope: { claims: ['sub'], headers: [] } });
    const ann = await FeedReader.open(invoke, method, { principal: { ...ANONYMOUS, subject: 'ann' } });
    const other = await FeedReader.open(invoke, method, { request: requestFor('b') });
    ticker.tick(2);
    await tells(ann, numbers(1, 2));
    const resume = { user: ann.feed.cursor, other: other.feed.cursor }[kind] ?? kind;
    const reader = await FeedReader.open(invoke, method, { resume });
    expect(reader.feed.resumed).toBe(false);
    ticker.tick();
    await tells(reader, [`!${reason}`, '3']);
  });

  test('ends for everybody as the service ends it, and a client that missed the end hears of it', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    const method = shared();
    const readers = [await FeedReader.open(invoke, method), await FeedReader.open(invoke, method)];
    const gone = await FeedReader.open(invoke, method);
    gone.leave();
    ticker.tick(2);
    ticker.end();
    for (const reader of readers) {
      await tells(reader, numbers(1, 2));
      await vi.waitFor(() => expect(reader.ended).toBe('ok'));
    }
    await vi.waitFor(() => expect(streams.stats().streams).toBe(0));
    const late = await FeedReader.open(invoke, method, { resume: gone.feed.cursor });
    await tells(late, [...numbers(1, 2)]);
    expect(late.ended).toBe('ok');
    const fresh = await FeedReader.open(invoke, method);
    ticker.tick();
    await tells(fresh, ['3']);
  });

  test('ends for a client that reads slowly when that has read everything, and not before', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    const method = shared();
    const slow = await FeedReader.open(invoke, method);
    const fast = await FeedReader.open(invoke, method);
    slow.takes = 1;
    ticker.tick(4);
    ticker.end();
    await vi.waitFor(() => expect(fast.ended).toBe('ok'));
    expect(slow.ended).toBeUndefined();
    // For a client that comes now the stream begins anew, beside the old one that is still read to its end.
    const fresh = await FeedReader.open(invoke, method);
    ticker.tick();
    await tells(fresh, ['5']);
    expect(streams.stats()).toEqual({ streams: 2, owned: 1, clients: 2 });
    slow.take(Number.POSITIVE_INFINITY);
    expect(slow.told).toEqual(numbers(1, 4));
    expect(slow.ended).toBe('ok');
    expect(streams.stats()).toEqual({ streams: 1, owned: 1, clients: 1 });
  });

  test('ends for a client that is still on its way when that has read everything', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    const method = shared();
    const stays = await FeedReader.open(invoke, method);
    const late = (await invoke(callOf(method, { resume: stays.feed.cursor }))).feed as Feed;
    const now = (await invoke(callOf(method))).feed as Feed;
    ticker.tick(3);
    ticker.end();
    await vi.waitFor(() => expect(stays.ended).toBe('ok'));
    for (const feed of [late, now]) {
      const reader = new FeedReader(feed, new AbortController());
      reader.delivery = feed.start(reader);
      expect(reader.told.filter((told) => told !== '!caught_up')).toEqual(numbers(1, 3));
      expect(reader.ended).toBe('ok');
    }
    expect(streams.stats().streams).toBe(0);
  });

  test('goes on for a client whose place takes longer to find than the stream lives without clients', async () => {
    const ticker = new Ticker();
    const log = gated(createMemoryBroker());
    const { invoke } = node(ticker, { broker: log.broker });
    const method = sharedWithCursor({ lingerMs: 20 });
    const first = await FeedReader.open(invoke, method);
    ticker.tick(3);
    await tells(first, numbers(1, 3));
    const { cursor } = first.seen[0] as { cursor: string };
    first.leave();
    await vi.waitFor(() => expect(ticker.running).toBe(0));
    (await FeedReader.open(invoke, method, { resume: 'now' })).leave();
    log.close();
    const back = FeedReader.open(invoke, method, { resume: cursor });
    await sleep(100);
    log.open();
    const reader = await back;
    ticker.tick();
    await vi.waitFor(() =>
      expect(reader.told.filter((told) => !told.startsWith('!'))).toEqual(numbers(2, 4)),
    );
    expect(reader.told).not.toContain('!epoch_changed');
    expect(reader.ended).toBeUndefined();
  });

  test('ends with the failure of the service, details and all', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, shared());
    ticker.tick();
    ticker.fail(new StatusError(Code.FAILED_PRECONDITION, 'closed', { metadata: { 'x-why': 'night' } }));
    await vi.waitFor(() => expect(reader.ended).toBeDefined());
    expect(reader.told).toEqual(['1']);
    expect(reader.ended).toMatchObject({ code: 9, message: 'closed', metadata: { 'x-why': 'night' } });
  });

  test('breaks, and says so, when its service comes back and has no positions', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, shared());
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
    ticker.crash();
    ticker.tick();
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    await tells(reader, ['1', '2', '!epoch_changed', '4']);
  });

  test('tells its clients UNAVAILABLE when the service does not come back in time', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker, { patienceMs: 300 });
    const reader = await FeedReader.open(invoke, shared());
    ticker.down = true;
    ticker.crash();
    await vi.waitFor(() => expect(reader.ended).toMatchObject({ code: 14 }));
    expect(streams.stats().streams).toBe(0);
  });

  test('keeps its call for a while without clients, and then ends it', async () => {
    const ticker = new Ticker();
    const { invoke, streams } = node(ticker);
    const method = shared({ lingerMs: 200 });
    const first = await FeedReader.open(invoke, method);
    first.leave();
    const second = await FeedReader.open(invoke, method, { resume: first.cursor });
    ticker.tick();
    await tells(second, ['!caught_up', '1']);
    expect(ticker.calls).toHaveLength(1);
    second.leave();
    await vi.waitFor(() => expect(ticker.running).toBe(0));
    expect(streams.stats()).toEqual({ streams: 0, owned: 0, clients: 0 });
    // What happened meanwhile nobody has heard: a client that comes back is told.
    ticker.tick();
    const third = await FeedReader.open(invoke, method, { resume: second.cursor });
    ticker.tick();
    await tells(third, ['!epoch_changed', '!caught_up', '3']);
  });

  test('cuts off a client that is too slow, and no other', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = shared({ slow: { policy: 'disconnect', key: '', bytes: 1_024, ageMs: 60_000 } });
    const slow = await FeedReader.open(invoke, method);
    const fast = await FeedReader.open(invoke, method);
    slow.takes = 0;
    ticker.tick(300);
    await vi.waitFor(() => expect(slow.ended).toBeInstanceOf(SlowConsumerError));
    await tells(fast, numbers(1, 300));
    const back = await FeedReader.open(invoke, method, { resume: slow.cursor });
    await tells(back, [...numbers(1, 300), '!caught_up']);
  });

  test('can be read as messages alone, which fail where they would have to tell of a break', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const { messages } = await invoke(callOf(shared()));
    const iterator = (messages as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    const first = iterator.next();
    ticker.tick();
    const { value } = await first;
    expect(textOf(value as Uint8Array)).toBe('1');
    ticker.crash();
    await expect(iterator.next()).rejects.toMatchObject({ code: 10 });
  });
});

describe('a shared stream with positions of the service', () => {
  test('reads the history of the service for a client no longer than it has to', async () => {
    const ticker = new Ticker();
    const method = sharedWithCursor();
    const before = node(ticker);
    const first = await FeedReader.open(before.invoke, method);
    ticker.tick(3);
    await tells(first, numbers(1, 3));
    const { cursor } = first.seen[0] as { cursor: string };
    before.streams.close(new StatusError(Code.UNAVAILABLE, 'over'));
    await vi.waitFor(() => expect(ticker.running).toBe(0));
    // Another log, which begins behind 3: what comes before only the service has.
    const { invoke } = node(ticker);
    const stays = await FeedReader.open(invoke, method, { resume: 'now' });
    await sleep(1_100);
    const back = await FeedReader.open(invoke, method, { resume: cursor });
    expect(ticker.running).toBe(2);
    ticker.tick();
    await tells(back, numbers(2, 4));
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    await tells(back, numbers(2, 5));
    await tells(stays, numbers(4, 5));
  });

  test('goes on without a break when its service comes back', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
    ticker.crash();
    ticker.tick(2);
    await tells(reader, numbers(1, 4));
    expect(ticker.after).toEqual([undefined, 2]);
  });

  test('goes on without a break also when nothing has happened on it yet', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.crash();
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
  });

  test('breaks when nothing has happened and the service has not told where it begins', async () => {
    const ticker = new Ticker();
    ticker.tellsPosition = false;
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.crash();
    ticker.tick();
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    await tells(reader, ['!epoch_changed', '2']);
  });

  test('goes on after a restart of the gateway that has lost everything', async () => {
    const ticker = new Ticker();
    const method = sharedWithCursor();
    const before = await FeedReader.open(node(ticker).invoke, method);
    ticker.tick(3);
    await tells(before, numbers(1, 3));
    const places = [before.feed.cursor, ...before.seen.map(({ cursor }) => cursor)];
    before.leave();
    ticker.tick(2);
    const { invoke } = node(ticker);
    const clients = await Promise.all(
      places.reverse().map((resume) => FeedReader.open(invoke, method, { resume })),
    );
    ticker.tick();
    for (const [index, client] of clients.entries()) {
      expect(client.feed.resumed).toBe(true);
      await vi.waitFor(() =>
        expect(client.told.filter((told) => told !== '!caught_up')).toEqual(numbers(4 - index, 6)),
      );
    }
    // Those who needed calls of their own to catch up have joined the others.
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    for (const client of clients) await vi.waitFor(() => expect(client.told.at(-1)).toBe('7'));
  });

  test('tells everybody when its service has forgotten where it was', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
    ticker.down = true;
    ticker.crash();
    ticker.tick(5);
    ticker.oldest = 6;
    ticker.down = false;
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    await tells(reader, ['1', '2', '!history_truncated', '8']);
  });

  test('tells everybody when its service has lost something under the running call, and gives what is left', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
    const details = [errorInfo({ reason: 'LOG_DIVERGED', domain: 'ticks' })];
    ticker.fail(new StatusError(Code.OUT_OF_RANGE, 'something else took its place', { details }));
    await tells(reader, ['1', '2', '!log_diverged', '1', '2']);
    ticker.tick();
    await tells(reader, ['1', '2', '!log_diverged', '1', '2', '3']);
  });

  test('ends when a running call is out of range in a sense of its own', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, sharedWithCursor());
    ticker.tick();
    await tells(reader, ['1']);
    ticker.fail(new StatusError(Code.OUT_OF_RANGE, 'no more pages'));
    await vi.waitFor(() => expect(reader.ended).toMatchObject({ code: 11, message: 'no more pages' }));
  });

  test('begins after the position that the request names, as a stream of its own would', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = sharedWithCursor();
    ticker.tick(5);
    const late = await FeedReader.open(invoke, method, { request: requestFor('a', 3) });
    await tells(late, ['4', '5']);
    const now = await FeedReader.open(invoke, method);
    const early = await FeedReader.open(invoke, method, { request: requestFor('a', 1) });
    ticker.tick();
    await tells(now, ['6']);
    await vi.waitFor(() => expect(early.told.filter((told) => told !== '!caught_up')).toEqual(numbers(2, 6)));
    await vi.waitFor(() => expect(ticker.running).toBe(1));
  });

  test('gives all that the service keeps for `earliest`', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    ticker.tick(3);
    const reader = await FeedReader.open(invoke, sharedWithCursor({ sharing: 'node' }), {
      resume: 'earliest',
    });
    await tells(reader, numbers(1, 3));
  });

  test('passes on a refusal of a position that is not about history', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    ticker.refusal = new StatusError(Code.PERMISSION_DENIED, 'not yours');
    const opening = FeedReader.open(invoke, sharedWithCursor(), { request: requestFor('a', 1) });
    await expect(opening).rejects.toMatchObject({ code: 7 });
  });
});

describe('a shared stream on two nodes', () => {
  const pair = (ticker: Ticker, options: NodeOptions = {}) => {
    const broker: Broker = { ...createMemoryBroker(), shared: true };
    onTestFinished(() => broker.close());
    const settings = { broker, leaseMs: 300, ...options };
    return [node(ticker, settings), node(ticker, settings)] as const;
  };

  test('is one call for both, and a client goes on at either', async () => {
    const ticker = new Ticker();
    const [a, b] = pair(ticker);
    const method = shared();
    const [left, right] = [await FeedReader.open(a.invoke, method), await FeedReader.open(b.invoke, method)];
    ticker.tick(3);
    await tells(left, numbers(1, 3));
    await tells(right, numbers(1, 3));
    expect(ticker.calls).toHaveLength(1);
    const moved = await FeedReader.open(b.invoke, method, { resume: left.seen[0]?.cursor });
    await tells(moved, ['2', '3', '!caught_up']);
    expect([a.streams.stats().owned, b.streams.stats().owned]).toEqual([1, 0]);
  });

  test('goes on at the other node when the one that made the call has gone', async () => {
    const ticker = new Ticker();
    const [a, b] = pair(ticker);
    const method = sharedWithCursor();
    await FeedReader.open(a.invoke, method);
    const right = await FeedReader.open(b.invoke, method);
    ticker.tick(2);
    await tells(right, numbers(1, 2));
    a.streams.close(new StatusError(Code.UNAVAILABLE, 'stopped'));
    ticker.tick(2);
    await tells(right, numbers(1, 4));
    expect(b.streams.stats().owned).toBe(1);
    expect(ticker.after).toEqual([undefined, 2]);
  });

  test('breaks when the node that made the call has gone and the service has no positions', async () => {
    const ticker = new Ticker();
    const [a, b] = pair(ticker);
    const method = shared();
    await FeedReader.open(a.invoke, method);
    const right = await FeedReader.open(b.invoke, method);
    ticker.tick(2);
    await tells(right, numbers(1, 2));
    a.streams.close(new StatusError(Code.UNAVAILABLE, 'stopped'));
    await vi.waitFor(() => expect(right.told).toEqual(['1', '2', '!epoch_changed']));
    ticker.tick();
    await tells(right, ['1', '2', '!epoch_changed', '3']);
  });

  test('keeps its call while only the other node has clients', async () => {
    const ticker = new Ticker();
    const [a, b] = pair(ticker);
    const method = shared({ lingerMs: 100 });
    const left = await FeedReader.open(a.invoke, method);
    const right = await FeedReader.open(b.invoke, method);
    left.leave();
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    ticker.tick();
    await tells(right, ['1']);
    expect(ticker.calls).toHaveLength(1);
    right.leave();
    await vi.waitFor(() => expect(ticker.running).toBe(0));
  });
});

describe('a private stream with positions of the service', () => {
  test('is a call of its own, which goes on after the cursor of its client', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = watchMethod(CURSOR);
    const reader = await FeedReader.open(invoke, method);
    await FeedReader.open(invoke, method);
    expect(ticker.calls).toHaveLength(2);
    ticker.tick(3);
    await tells(reader, numbers(1, 3));
    reader.leave();
    await vi.waitFor(() => expect(ticker.running).toBe(1));
    ticker.tick();
    const again = await FeedReader.open(invoke, method, { resume: reader.seen[1]?.cursor });
    expect(again.feed.resumed).toBe(true);
    await tells(again, ['3', '4']);
    expect(ticker.after.at(-1)).toBe(2);
  });

  test('is made anew after the last position when the service goes away', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const reader = await FeedReader.open(invoke, watchMethod(CURSOR));
    ticker.tick(2);
    await tells(reader, numbers(1, 2));
    ticker.crash();
    ticker.tick();
    await tells(reader, numbers(1, 3));
  });

  test('says so when the service has forgotten the place of its client, and gives what is left', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = watchMethod(CURSOR);
    const reader = await FeedReader.open(invoke, method);
    ticker.tick(5);
    await tells(reader, numbers(1, 5));
    ticker.oldest = 4;
    const again = await FeedReader.open(invoke, method, { resume: reader.seen[0]?.cursor });
    expect(again.feed.resumed).toBe(false);
    ticker.tick();
    await tells(again, ['!history_truncated', '6']);
  });

  test('is bound to its user', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const method = watchMethod(CURSOR);
    const ann = await FeedReader.open(invoke, method, { principal: { ...ANONYMOUS, subject: 'ann' } });
    ticker.tick(2);
    await tells(ann, numbers(1, 2));
    const bob = { ...ANONYMOUS, subject: 'bob' };
    const reader = await FeedReader.open(invoke, method, { principal: bob, resume: ann.seen[0]?.cursor });
    ticker.tick();
    await tells(reader, ['!scope_changed', '3']);
  });

  test('takes no more from the service than its client takes from it', async () => {
    const ticker = new Ticker();
    const { invoke } = node(ticker);
    const controller = new AbortController();
    const { feed } = await invoke(callOf(watchMethod(CURSOR), {}, controller.signal));
    const reader = new FeedReader(feed as NonNullable<typeof feed>, controller);
    reader.takes = 2;
    reader.delivery = reader.feed.start(reader);
    ticker.tick(10);
    await tells(reader, ['1', '2']);
    reader.take(3);
    await tells(reader, numbers(1, 5));
  });
});
