/** Streams on WebSockets that go on: cursors, resets, bookmarks, slow clients, lifetimes and drain, in both forms. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createWebSocketDoor, type WebSocketDoor } from '../gateway/doors/ws.js';
import { encodersOf, serverFrame } from '../gateway/doors/ws_encoder.js';
import { createJsonFraming } from '../gateway/doors/ws_json.js';
import { decodeFrames, encodeFrame, PROTO_FRAMING } from '../gateway/doors/ws_proto.js';
import type { StreamCounts } from '../gateway/streams.js';
import type { Call } from '../src/call.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import { SlowConsumerError, type StreamEvent } from '../src/stream/feed.js';
import { HandFeed, message } from './support/feeds.js';
import { type Backend, type BackendOptions, createBackend } from './support/ws_backend.js';
import { readFrames } from './support/ws_wire.js';

/** CI is slow and noisy. */
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, 5000);
const JSON_V1 = 'tidegate.v1.json';
const json = (n: number): string => `{"n":${n}}`;

interface Rig extends Backend {
  readonly port: number;
  readonly door: WebSocketDoor;
  readonly calls: Call[];
  readonly counted: string[];
}

const open: { server: Server; door: WebSocketDoor; clients: WebSocket[] }[] = [];

async function start(feed: HandFeed, options: BackendOptions = {}): Promise<Rig> {
  const calls: Call[] = [];
  const counted: string[] = [];
  const counts: StreamCounts = {
    resumed: (door, could) => counted.push(`${door} ${could ? 'resumed' : 'not resumed'}`),
    reset: (door, reason) => counted.push(`${door} reset ${reason}`),
    left: (door, why) => counted.push(`${door} left ${why}`),
  };
  const backend = createBackend({
    counts,
    feed: (call) => {
      calls.push(call);
      return feed;
    },
    timeouts: { drainMs: 100, ...options.timeouts },
    ...options,
  });
  const door = createWebSocketDoor(backend.gateway);
  const server = createServer().on('upgrade', door.upgrade);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ server, door, clients: [] });
  return { ...backend, door, calls, counted, port: (server.address() as AddressInfo).port };
}

afterEach(async () => {
  for (const { server, door, clients } of open.splice(0)) {
    for (const client of clients) client.terminate();
    await door.close();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Client {
  readonly ws: WebSocket;
  readonly messages: (string | Buffer)[];
  readonly frames: () => Record<string, unknown>[];
  readonly closed: Promise<{ code: number; reason: string }>;
  send(...frames: object[]): void;
  /** Until so many messages have come; takes them. */
  take(count: number): Promise<Record<string, unknown>[]>;
}

async function connect(port: number, path: string, protocols: string[] = []): Promise<Client> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
  open.at(-1)?.clients.push(ws);
  const messages: (string | Buffer)[] = [];
  ws.on('message', (data: Buffer, isBinary) => messages.push(isBinary ? data : data.toString()));
  ws.on('error', () => undefined);
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
  });
  await new Promise((resolve) => ws.once('open', resolve));
  const frames = (): Record<string, unknown>[] => messages.map((text) => JSON.parse(String(text)));
  return {
    ws,
    messages,
    frames,
    closed,
    send: (...all) => {
      for (const frame of all) ws.send(JSON.stringify(frame));
    },
    take: async (count) => {
      await until(() => expect(messages.length).toBeGreaterThanOrEqual(count));
      const taken = frames().slice(0, count);
      messages.splice(0, count);
      return taken;
    },
  };
}

async function greeted(port: number, features: string[] = ['resume']): Promise<Client> {
  const client = await connect(port, '/ws', [JSON_V1]);
  client.send({ type: 'hello', features });
  expect(await client.take(1)).toMatchObject([{ type: 'welcome', features }]);
  return client;
}

const ticks = (sid: number, rest: object = {}): object => ({
  type: 'open',
  sid,
  method: 't.Test/Ticks',
  ...rest,
});

describe('many calls per socket, with the feature resume', () => {
  test('tells where a stream begins, the position behind each message, and every break', async () => {
    const feed = new HandFeed({ resumed: true, replay: true, cursor: 'c7' });
    const { port, calls, counted } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1, { cursor: 'c7' }));
    expect(await client.take(1)).toEqual([
      {
        type: 'opened',
        sid: 1,
        headers: { 'x-method': 'yes' },
        credit: 0,
        resumed: true,
        replay: true,
        cursor: 'c7',
      },
    ]);
    expect(calls[0]?.resume).toBe('c7');
    feed.send(message(json(8), 'c8'), { kind: 'caught_up', cursor: 'c8' });
    feed.send({ kind: 'reset', reason: 'log_diverged', cursor: 'd0' }, message(json(1), 'd1'));
    feed.end();
    expect(await client.take(5)).toEqual([
      { type: 'msg', sid: 1, data: { n: 8 }, cursor: 'c8' },
      { type: 'caught_up', sid: 1, cursor: 'c8' },
      { type: 'reset', sid: 1, reason: 'log_diverged', cursor: 'd0' },
      { type: 'msg', sid: 1, data: { n: 1 }, cursor: 'd1' },
      { type: 'end', sid: 1, status: { code: 0 }, trailers: {} },
    ]);
    expect(counted).toEqual(['ws resumed', 'ws reset log_diverged']);
  });

  test('the same in protobuf', async () => {
    const feed = new HandFeed({ cursor: 'c0' });
    const { port } = await start(feed);
    const client = await connect(port, '/ws', ['tidegate.v1.proto']);
    client.ws.send(encodeFrame({ type: 'hello', features: ['resume'] }));
    client.ws.send(encodeFrame({ type: 'open', sid: 1, method: 't.Test/Ticks', headers: {} }));
    await until(() => expect(feed.sinks).toHaveLength(1));
    feed.send(message('m', 'c1'), { kind: 'reset', reason: 'epoch_changed', cursor: 'd0' });
    await until(() => expect(client.messages).toHaveLength(4));
    const frames = client.messages.flatMap((data) => [...decodeFrames(data as Buffer)]);
    expect(frames.slice(1)).toMatchObject([
      { type: 'opened', sid: 1, resumed: false, replay: false, cursor: 'c0' },
      { type: 'msg', sid: 1, data: Buffer.from('m'), cursor: 'c1' },
      { type: 'reset', sid: 1, reason: 'epoch_changed', cursor: 'd0' },
    ]);
  });

  test('a stream without cursors says that it begins anew', async () => {
    const feed = new HandFeed({ resumable: false, cursor: '' });
    const { port } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1));
    const [opened] = await client.take(1);
    expect(opened).toMatchObject({ type: 'opened', resumed: false, replay: false });
    expect(opened).not.toHaveProperty('cursor');
    feed.send(message(json(1)));
    expect(await client.take(1)).toEqual([{ type: 'msg', sid: 1, data: { n: 1 } }]);
  });

  test('a position that moved on without a message comes as a bookmark with the next ping', async () => {
    const feed = new HandFeed({ cursor: 'c0' });
    const { port } = await start(feed, { timeouts: { heartbeatMs: 60, drainMs: 50 } });
    const client = await greeted(port);
    client.send(ticks(1));
    await client.take(1);
    await until(() => expect(client.frames().filter(({ type }) => type === 'ping')).toHaveLength(1));
    expect(client.frames().filter(({ type }) => type === 'bookmark')).toEqual([]);
    feed.position = 'c5';
    await until(() => expect(client.frames().at(-1)?.type).toBe('ping'));
    await until(() =>
      expect(client.frames().filter(({ type }) => type === 'bookmark')).toEqual([
        { type: 'bookmark', sid: 1, cursor: 'c5' },
      ]),
    );
  });

  test.each([
    ['the cursor of a stream that has ended', { method: 't.Test/Ticks', cursor: 'end' }, 11],
    ['the same in the route', { route: 'GET /v1/Ticks?last_event_id=end' }, 11],
  ])('%s opens nothing', async (_, fields, code) => {
    const { port, calls } = await start(new HandFeed());
    const client = await greeted(port);
    client.send({ type: 'open', sid: 1, ...fields });
    expect(await client.take(1)).toMatchObject([{ type: 'end', sid: 1, status: { code } }]);
    expect(calls).toHaveLength(0);
  });

  test.each([
    [{ route: 'GET /v1/Ticks?last_event_id=c3&x=1' }, 'c3'],
    [{ route: 'GET /v1/Ticks?lastEventId=c3', cursor: 'c4' }, 'c4'],
    [{ method: 't.Test/Ticks', cursor: 'earliest' }, 'earliest'],
    [{ method: 't.Test/Ticks', cursor: '' }, undefined],
  ])('%o goes on at %s', async (fields, resume) => {
    const { port, calls } = await start(new HandFeed());
    const client = await greeted(port);
    client.send({ type: 'open', sid: 1, ...fields });
    await client.take(1);
    expect(calls[0]?.resume).toBe(resume);
  });

  test('clients that opened the same sid share every byte, later ones are told the same', async () => {
    const feed = new HandFeed();
    const { port } = await start(feed);
    const clients = await Promise.all([1, 2, 3].map(() => greeted(port)));
    clients[0]?.send(ticks(1));
    clients[1]?.send(ticks(1));
    clients[2]?.send(ticks(77));
    for (const client of clients) await client.take(1);
    const encoders = feed.sinks.map(({ encoder }) => encoder);
    expect(new Set(encoders).size).toBe(2);
    feed.send(message(json(1), 'c1'), { kind: 'caught_up', cursor: 'c1' });
    for (const [index, client] of clients.entries()) {
      const sid = index === 2 ? 77 : 1;
      expect(await client.take(2)).toEqual([
        { type: 'msg', sid, data: { n: 1 }, cursor: 'c1' },
        { type: 'caught_up', sid, cursor: 'c1' },
      ]);
    }
  });
});

describe('many calls per socket, without the feature', () => {
  test('tells no cursors, and ends a call whose stream is reset', async () => {
    for (const sid of [1, 77]) {
      const feed = new HandFeed({ replay: true });
      const { port, counted } = await start(feed);
      const client = await greeted(port, []);
      client.send(ticks(sid));
      expect(await client.take(1)).toEqual([
        { type: 'opened', sid, headers: { 'x-method': 'yes' }, credit: 0 },
      ]);
      feed.send(
        message(json(1), 'c1'),
        { kind: 'caught_up', cursor: 'c1' },
        { kind: 'reset', reason: 'slow_consumer', cursor: 'c9' },
        message(json(9), 'c10'),
      );
      expect(await client.take(2)).toMatchObject([
        { type: 'msg', sid, data: { n: 1 } },
        {
          type: 'end',
          status: { code: 10, message: 'the stream does not go on where it was: slow_consumer' },
        },
      ]);
      await sleep(20);
      expect(client.messages).toEqual([]);
      expect(feed.stopped).toBeGreaterThan(0);
      expect(counted).toEqual(['ws reset slow_consumer']);
    }
  });

  test('takes no cursor', async () => {
    const { port, calls } = await start(new HandFeed());
    const client = await greeted(port, []);
    client.send(ticks(1, { cursor: 'c1' }));
    expect(await client.take(1)).toMatchObject([
      { type: 'end', status: { code: 3, message: 'open.cursor: needs the feature resume' } },
    ]);
    expect(calls).toHaveLength(0);
  });
});

describe('credit and flow', () => {
  test('a stream has as much room as its client grants', async () => {
    const feed = new HandFeed();
    const { port } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1, { credit: 2 }));
    await client.take(1);
    const [sink] = feed.sinks;
    expect(sink?.room()).toBe(2);
    feed.send(message(json(1), 'c1'), message(json(2), 'c2'));
    expect(sink?.room()).toBe(0);
    await client.take(2);
    client.send({ type: 'credit', sid: 1, n: 3 });
    await until(() => expect(sink?.room()).toBe(3));
    expect(feed.readied).toBe(1);
  });

  test('a socket that is not read has none, for all of its streams, until it is read again', async () => {
    const feed = new HandFeed();
    const { port } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1), ticks(2));
    await client.take(2);
    client.ws.pause();
    const [first, second] = feed.sinks;
    const big = `"${'x'.repeat(60_000)}"`;
    let sent = 0;
    await vi.waitFor(
      () => {
        while (first !== undefined && first.room() > 0 && sent < 1000) feed.send(message(big, `c${++sent}`));
        expect(first?.room()).toBe(0);
      },
      { timeout: 5000 },
    );
    await sleep(200);
    expect(second?.room()).toBe(0);
    const readied = feed.readied;
    client.ws.resume();
    await vi.waitFor(() => expect(feed.readied).toBeGreaterThanOrEqual(readied + 2), { timeout: 5000 });
    await vi.waitFor(() => expect(client.messages).toHaveLength(2 * sent), { timeout: 5000 });
  });

  test('one that is too slow for its streams is closed and told to come back', async () => {
    const feed = new HandFeed();
    const { port, counted } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1));
    await client.take(1);
    client.ws.pause();
    const big = `"${'x'.repeat(60_000)}"`;
    for (let n = 0; n < 200; n++) feed.send(message(big, `c${n}`));
    feed.end(new SlowConsumerError());
    expect(counted).toEqual(['ws left slow']);
    client.ws.resume();
    expect(await client.closed).toEqual({ code: 4101, reason: 'the client reads too slowly' });
    expect(client.frames().filter(({ type }) => type === 'msg')).toHaveLength(200);
  });

  test('a stream that waits for credit alone is ended alone', async () => {
    const feed = new HandFeed();
    const { port, counted } = await start(feed);
    const client = await greeted(port);
    client.send(ticks(1, { credit: 0 }));
    await client.take(1);
    feed.end(new SlowConsumerError());
    expect(await client.take(1)).toMatchObject([{ type: 'end', sid: 1, status: { code: 8 } }]);
    expect(counted).toEqual(['ws left slow']);
    client.send({ type: 'open', sid: 2, method: 't.Test/Echo', message: 1 });
    expect((await client.take(3)).map(({ type }) => type)).toEqual(['opened', 'msg', 'end']);
  });
});

describe('shared frames', () => {
  test.each([0, 1, 125, 126, 127, 65_535, 65_536, 100_000])(
    'of %i bytes are what RFC 6455 asks for',
    (length) => {
      const payload = Buffer.alloc(length, 'x');
      for (const binary of [false, true]) {
        expect(readFrames(serverFrame(payload, binary))).toEqual([
          { opcode: binary ? 2 : 1, final: true, payload },
        ]);
      }
    },
  );

  test('come between pings, replies and the close of the socket without breaking any of them', async () => {
    const feed = new HandFeed();
    const { port } = await start(feed, { timeouts: { heartbeatMs: 100, drainMs: 50 } });
    const client = await greeted(port);
    client.send(ticks(1));
    client.ws.on('message', (data: Buffer) => {
      if (data.toString().includes('"ping"')) client.send({ type: 'pong' });
    });
    await until(() => expect(feed.sinks).toHaveLength(1));
    let sent = 0;
    for (let round = 0; round < 100; round++) {
      client.ws.ping(String(round));
      client.send({ type: 'open', sid: round + 2, method: 't.Test/Echo', message: round });
      feed.send(message(json(++sent), `c${sent}`), message(`"${'y'.repeat(round * 700)}"`, `c${++sent}`));
      await sleep(5);
    }
    await until(() => expect(client.frames().filter(({ type }) => type === 'end')).toHaveLength(100));
    client.ws.close(1000, 'enough');
    feed.send(message(json(++sent), `c${sent}`));
    expect(await client.closed).toEqual({ code: 1000, reason: 'enough' });
    const messages = client.frames().filter(({ type, sid }) => type === 'msg' && sid === 1);
    expect(messages.map(({ cursor }) => cursor)).toEqual(messages.map((_, index) => `c${index + 1}`));
    expect(messages.length).toBeGreaterThanOrEqual(200);
  });

  test('are not written after a close', async () => {
    const feed = new HandFeed();
    const { port, door } = await start(feed, { timeouts: { drainMs: 50 } });
    const client = await greeted(port);
    client.send(ticks(1));
    await client.take(1);
    const errors: unknown[] = [];
    client.ws.on('error', (error) => errors.push(error));
    const closing = door.close();
    const timer = setInterval(() => feed.send(message(json(1), 'c1')), 1);
    expect((await client.closed).code).toBe(4200);
    clearInterval(timer);
    await closing;
    expect(errors).toEqual([]);
  });

  test('print each message once, whatever the sid', () => {
    let printed = 0;
    const endpoint = {
      binding: {
        print: (bytes: Uint8Array) => {
          printed++;
          return Buffer.from(bytes).toString();
        },
      },
    } as never;
    const framing = createJsonFraming(() => '');
    const event = message(json(1), 'c1') as StreamEvent & { kind: 'message' };
    const seen = [1, 2, 99, 100].map((sid) => {
      const encoder = encodersOf(endpoint).framed({ framing, sid, cursors: true });
      const bytes = encoder.frames(encoder.join([encoder.encode(event)]), sid);
      return JSON.parse(readFrames(bytes)[0]?.payload.toString() ?? '') as { sid: number };
    });
    expect(seen.map(({ sid }) => sid)).toEqual([1, 2, 99, 100]);
    expect(printed).toBe(1);
    const proto = encodersOf(endpoint).framed({ framing: PROTO_FRAMING, sid: 1, cursors: true });
    proto.encode(event);
    expect(printed).toBe(1);
  });
});

describe('one call per socket', () => {
  test('goes on at a cursor of the query; its messages show none', async () => {
    const feed = new HandFeed({ resumed: true, replay: true, cursor: 'c7' });
    const { port, calls, counted } = await start(feed);
    const client = await connect(port, '/v1/Ticks?last_event_id=c7&x=1');
    await until(() => expect(feed.sinks).toHaveLength(1));
    expect(calls[0]?.resume).toBe('c7');
    const requests = calls[0]?.requests as () => Uint8Array;
    expect(Buffer.from(await requests()).toString()).toBe('{"query":"x=1"}');
    feed.send(message(json(8), 'c8'), { kind: 'caught_up', cursor: 'c8' });
    feed.send(message(json(9), 'c9'));
    feed.end();
    expect((await client.closed).code).toBe(1000);
    expect(client.messages).toEqual([json(8), json(9)]);
    expect(counted).toEqual(['ws resumed']);
  });

  test('is closed by a reset, with a code that says to come back', async () => {
    const feed = new HandFeed();
    const { port, counted } = await start(feed);
    const client = await connect(port, '/v1/Ticks');
    await until(() => expect(feed.sinks).toHaveLength(1));
    feed.send(
      message(json(1), 'c1'),
      { kind: 'reset', reason: 'epoch_changed', cursor: 'd0' },
      message(json(2), 'd1'),
    );
    const text = 'the stream does not go on where it was: epoch_changed';
    expect(await client.closed).toEqual({ code: 4105, reason: `ABORTED: ${text}` });
    expect(client.messages).toEqual([json(1), `{"error":{"code":10,"message":"${text}"}}`]);
    expect(counted).toEqual(['ws reset epoch_changed']);
  });

  test('is closed when its client is too slow, and when its token expires', async () => {
    const slow = new HandFeed();
    const first = await start(slow);
    const one = await connect(first.port, '/v1/Ticks');
    await until(() => expect(slow.sinks).toHaveLength(1));
    slow.end(new SlowConsumerError());
    expect((await one.closed).code).toBe(4101);
    expect(first.counted).toEqual(['ws left slow']);

    const principal = { ...ANONYMOUS, subject: 'u1', expiresAt: Date.now() + 150 };
    const second = await start(new HandFeed(), {
      identify: () => ({ id: 'r1', principal, metadata: {}, deadline: undefined }),
    });
    const other = await connect(second.port, '/v1/Ticks');
    expect(await other.closed).toEqual({
      code: 4300,
      reason: 'UNAUTHENTICATED: token: expired since this stream was opened',
    });
    expect(second.counted).toEqual(['ws left expired']);
  });

  test('of a stream that has ended is refused', async () => {
    const { port } = await start(new HandFeed());
    const ws = new WebSocket(`ws://127.0.0.1:${port}/v1/Ticks?last_event_id=end`);
    const status = await new Promise((resolve) => {
      ws.once('unexpected-response', (_, response) => resolve(response.statusCode));
    });
    expect(status).toBe(400);
  });
});

describe('the end of a socket', () => {
  test('comes after its lifetime when everything on it can be resumed: goaway, then the close', async () => {
    const feed = new HandFeed();
    const { port, counted } = await start(feed, { streams: { lifetimeMs: 500 } });
    const client = await greeted(port);
    client.send(ticks(1));
    await client.take(1);
    expect(await client.closed).toEqual({ code: 4104, reason: 'the connection has lasted long enough' });
    expect(client.frames()).toMatchObject([{ type: 'goaway', reconnect_after_ms: 0 }]);
    expect(counted).toEqual(['ws left lifetime']);
    expect(feed.stopped).toBeGreaterThan(0);
  });

  test('waits for a call that cannot, and opens no others meanwhile', async () => {
    const { port } = await start(new HandFeed(), { streams: { lifetimeMs: 600 } });
    const client = await greeted(port);
    client.send({ type: 'open', sid: 1, method: 't.Test/Chat' });
    await client.take(1);
    expect(await client.take(1)).toMatchObject([{ type: 'goaway' }]);
    client.send(ticks(2));
    expect(await client.take(1)).toMatchObject([{ type: 'end', sid: 2, status: { code: 14 } }]);
    client.send({ type: 'msg', sid: 1, data: 'still here' }, { type: 'half_close', sid: 1 });
    expect((await client.take(2)).map(({ type }) => type)).toEqual(['msg', 'end']);
    expect((await client.closed).code).toBe(4104);
  });

  test('does not come by age for clients that cannot resume', async () => {
    const { port } = await start(new HandFeed(), { streams: { lifetimeMs: 30 } });
    const client = await greeted(port, []);
    client.send(ticks(1));
    await client.take(1);
    await sleep(150);
    expect(client.messages).toEqual([]);
    expect(client.ws.readyState).toBe(WebSocket.OPEN);
  });

  test('comes when the token expires: every call is told', async () => {
    const principal = { ...ANONYMOUS, subject: 'u1', expiresAt: Date.now() + 600 };
    const { port, counted } = await start(new HandFeed(), {
      identify: () => ({ id: 'r1', principal, metadata: {}, deadline: undefined }),
    });
    const client = await greeted(port);
    client.send(ticks(1), { type: 'open', sid: 2, method: 't.Test/Chat' });
    await client.take(2);
    expect((await client.closed).code).toBe(4300);
    expect(Date.now()).toBeGreaterThanOrEqual(principal.expiresAt - 1);
    expect(client.frames()).toMatchObject([
      { type: 'end', sid: 1, status: { code: 16 } },
      { type: 'end', sid: 2, status: { code: 16 } },
    ]);
    expect(counted).toEqual(['ws left expired']);
  });

  test('comes by drain at a moment of its own, told before, without an end of what can be resumed', async () => {
    const feed = new HandFeed();
    const { port, door, counted } = await start(feed, { timeouts: { drainMs: 1500 } });
    const clients = await Promise.all(Array.from({ length: 30 }, () => greeted(port)));
    for (const client of clients) client.send(ticks(1));
    for (const client of clients) await client.take(1);
    const before = Date.now();
    const left: number[] = [];
    for (const client of clients) void client.closed.then(() => left.push(Date.now() - before));
    await door.close();
    const told = clients.map((client) => client.frames()[0]?.reconnect_after_ms as number);
    for (const client of clients) {
      expect(client.frames().map(({ type }) => type)).toEqual(['goaway']);
      expect((await client.closed).code).toBe(4200);
    }
    for (let from = 0; from < 1500; from += 150) {
      expect(told.filter((ms) => ms >= from && ms < from + 150).length).toBeLessThanOrEqual(5);
      expect(left.filter((ms) => ms >= from && ms < from + 150).length).toBeLessThanOrEqual(8);
    }
    expect(counted).toEqual(Array(30).fill('ws left drain'));
  });
});

test('a call that ends with an error of its stream says which', async () => {
  const feed = new HandFeed();
  const { port } = await start(feed);
  const client = await greeted(port);
  client.send(ticks(1));
  await client.take(1);
  feed.send(message(json(1), 'c1'));
  feed.end(new StatusError(Code.DATA_LOSS, 'the disk broke', { metadata: { 'x-disk': '1' } }));
  expect(await client.take(2)).toMatchObject([
    { type: 'msg' },
    { type: 'end', sid: 1, status: { code: 15, message: 'the disk broke' }, trailers: { 'x-disk': '1' } },
  ]);
});
