/** The Server-Sent Events door over real sockets: what is told, resuming, slow clients, lifetimes and drain. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { StreamCounts } from '../gateway/streams.js';
import type { Call, Message } from '../src/call.js';
import { retryInfo } from '../src/details.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import { SlowConsumerError } from '../src/stream/feed.js';
import { feedOf } from '../src/stream/pump.js';
import { HandFeed, message, Pushed } from './support/feeds.js';
import { type HttpDoors, type HttpDoorsOptions, openEvents, startHttpDoors } from './support/http_doors.js';

/** CI is slow and noisy. */
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, 5000);
const running: HttpDoors[] = [];
const NO_REPLY = { headers: {}, trailers: () => ({}) };
const json = (n: number): string => `{"n":${n}}`;

interface Rig extends HttpDoors {
  readonly calls: Call[];
  readonly counted: string[];
}

async function rig(feed: HandFeed | StatusError, options: HttpDoorsOptions = {}): Promise<Rig> {
  const calls: Call[] = [];
  const counted: string[] = [];
  const counts: StreamCounts = {
    resumed: (door, could) => counted.push(`${door} ${could ? 'resumed' : 'not resumed'}`),
    reset: (door, reason) => counted.push(`${door} reset ${reason}`),
    left: (door, why) => counted.push(`${door} left ${why}`),
  };
  const doors = await startHttpDoors({
    counts,
    feed: (call) => {
      calls.push(call);
      if (feed instanceof StatusError) throw feed;
      return feed;
    },
    ...options,
  });
  running.push(doors);
  return { ...doors, calls, counted };
}

afterEach(async () => {
  for (const one of running.splice(0)) await one.close();
});

describe('events', () => {
  test('come with an id each, from `open` to the end, and are written as the specification of EventSource wants', async () => {
    const feed = new HandFeed({ replay: true, cursor: 'c0' });
    const { url } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`);
    expect(client.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
      'x-request-id': 'r1',
      'x-method': 'yes',
    });
    feed.send(message(json(1), 'c1'), { kind: 'caught_up', cursor: 'c1' });
    feed.send({ kind: 'reset', reason: 'epoch_changed', cursor: 'd1' }, message(json(2), 'd2'));
    feed.end(undefined, { 'x-trailer': 'yes' });
    expect(await client.over).toBe(true);
    const [open, ...rest] = client.events();
    expect(JSON.parse(open?.data ?? '')).toEqual({
      resumed: false,
      replay: true,
      heartbeatMs: 25_000,
      maxLifetimeMs: expect.any(Number),
      expiresAt: null,
    });
    expect(open).toMatchObject({ event: 'open', id: 'c0', retry: expect.any(Number) });
    expect(rest).toEqual([
      { event: 'message', data: '{"n":1}', id: 'c1' },
      { event: 'caught_up', data: '{}', id: 'c1' },
      { event: 'reset', data: '{"reason":"epoch_changed"}', id: 'd1' },
      { event: 'message', data: '{"n":2}', id: 'd2' },
      { event: 'end', data: '{"code":0,"message":"","trailers":{"x-trailer":"yes"}}', id: 'end' },
    ]);
  });

  test('of a stream without cursors say so, and tell nothing that such a stream has not', async () => {
    const feed = new HandFeed({ resumable: false, cursor: '' });
    const { url } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`);
    feed.send(message(json(1)));
    feed.end(new StatusError(Code.UNAVAILABLE, 'gone'));
    await client.over;
    expect(client.events().map(({ event, id }) => [event, id])).toEqual([
      ['open', 'none'],
      ['message', undefined],
      ['end', undefined],
    ]);
    expect(JSON.parse(client.events()[0]?.data ?? '')).toMatchObject({ resumed: false, maxLifetimeMs: null });
  });

  test('cannot be injected into by what a service or a cursor holds', async () => {
    const feed = new HandFeed({ cursor: 'a\nid: b' });
    const { url } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`);
    feed.send(message('{"text":"a\\n\\nevent: end"}', 'c\r\nevent: end'), message(json(2), 'ü'));
    feed.end();
    await client.over;
    expect(client.events().map(({ event, id }) => [event, id])).toEqual([
      ['open', undefined],
      ['message', undefined],
      ['message', undefined],
      ['end', 'end'],
    ]);
  });

  test('are the same over HTTP/1.0, without chunks', async () => {
    const feed = new HandFeed();
    const { port } = await rig(feed);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /v1/Ticks HTTP/1.0\r\naccept: text/event-stream\r\n\r\n');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await until(() => expect(text).toContain('event: open'));
    feed.send(message(json(1), 'c1'));
    feed.end();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(text).not.toContain('chunked');
    expect(text.slice(text.indexOf('id: c1'))).toBe(
      'id: c1\nevent: message\ndata: {"n":1}\n\nid: end\nevent: end\ndata: {"code":0,"message":""}\n\n',
    );
  });

  test('are the same compressed', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed, { compressEvents: true });
    const answer = fetch(`${url}/v1/Ticks`, {
      headers: { accept: 'text/event-stream', 'accept-encoding': 'gzip' },
    });
    await until(() => expect(feed.sinks).toHaveLength(1));
    await until(() => expect(feed.sinks[0]?.room()).toBe(Number.POSITIVE_INFINITY));
    feed.send(message(json(1), 'c1'));
    expect(feed.sinks[0]?.room()).toBe(0);
    await until(() => expect(feed.readied).toBeGreaterThan(0));
    feed.end();
    expect((await answer).headers.get('content-encoding')).toBe('gzip');
    expect(await (await answer).text()).toContain('id: c1\nevent: message\ndata: {"n":1}\n\nid: end');
  });

  test('are encoded once for all clients, and each write is one chunk of shared bytes', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed);
    const clients = await Promise.all([1, 2, 3].map(() => openEvents(`${url}/v1/Ticks`)));
    expect(new Set(feed.sinks.map(({ encoder }) => encoder)).size).toBe(1);
    feed.send(message(json(1), 'c1'), message(json(2), 'c2'));
    feed.end();
    for (const client of clients) {
      expect(await client.over).toBe(true);
      expect(client.events().map(({ id }) => id)).toEqual(['c0', 'c1', 'c2', 'end']);
    }
  });

  test('pass through a handler that has put its own `write` on the response', async () => {
    const feed = new HandFeed();
    const written: string[] = [];
    const before = (_: IncomingMessage, response: ServerResponse): void => {
      const write = response.write.bind(response) as (chunk: unknown) => boolean;
      response.write = ((chunk: unknown) => {
        written.push(String(chunk));
        return write(chunk);
      }) as ServerResponse['write'];
    };
    const { url } = await rig(feed, { before });
    const client = await openEvents(`${url}/v1/Ticks`);
    feed.send(message(json(1), 'c1'));
    feed.end();
    await client.over;
    expect(written.join('')).toContain('id: c1\nevent: message\ndata: {"n":1}\n\n');
    expect(client.events().map(({ event }) => event)).toEqual(['open', 'message', 'end']);
  });

  test('leave the connection fit for the next request', async () => {
    const feed = new HandFeed();
    const { port, sockets } = await rig(feed);
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.write('GET /v1/Ticks HTTP/1.1\r\nhost: a\r\naccept: text/event-stream\r\n\r\n');
    await until(() => expect(text).toContain('event: open'));
    feed.send(message(json(1), 'c1'));
    feed.end();
    await until(() => expect(text).toMatch(/0\r\n\r\n$/));
    const [own] = sockets;
    const listeners = own?.listenerCount('drain');
    text = '';
    socket.write('GET /v1/Get HTTP/1.1\r\nhost: a\r\n\r\n');
    await until(() => expect(text).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*\{"query":""\}$/));
    expect(listeners).toBeDefined();
    expect(own?.listenerCount('drain')).toBe(listeners);
    socket.destroy();
  });
});

describe('heartbeats', () => {
  test('come when nothing else does, as a bookmark when the position moved on', async () => {
    const feed = new HandFeed({ cursor: 'c0' });
    const { url } = await rig(feed, { timeouts: { heartbeatMs: 60 } });
    const client = await openEvents(`${url}/v1/Ticks`);
    await until(() => expect(client.text()).toContain(': hb\n\n'));
    expect(client.text()).not.toContain('bookmark');
    feed.position = 'c9';
    await until(() => expect(client.text()).toContain('id: c9\nevent: bookmark\ndata: \n\n: hb\n\n'));
    expect(client.text().split('bookmark')).toHaveLength(2);
    client.leave();
  });

  test('wait for as long as something is written', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed, { timeouts: { heartbeatMs: 200 } });
    const client = await openEvents(`${url}/v1/Ticks`);
    const end = Date.now() + 700;
    for (let n = 0; Date.now() < end; n++) {
      feed.send(message(json(n), `c${n}`));
      await sleep(20);
    }
    feed.end();
    await client.over;
    expect(client.text()).not.toMatch(/: hb|bookmark/);
  });
});

describe('coming back', () => {
  test.each([
    ['the header', '/v1/Ticks?last_event_id=old', { 'last-event-id': 'c7' }],
    ['the query', '/v1/Ticks?last_event_id=c7', {}],
    ['the query in camel case', '/v1/Ticks?lastEventId=c7', {}],
  ])('the cursor is that of %s', async (_, path, headers) => {
    const feed = new HandFeed({ resumed: true, replay: true, cursor: 'c7' });
    const { url, calls, counted } = await rig(feed);
    const client = await openEvents(`${url}${path}`, headers as Record<string, string>);
    expect(calls[0]?.resume).toBe('c7');
    await until(() => expect(client.events()[0]).toMatchObject({ event: 'open', id: 'c7' }));
    expect(JSON.parse(client.events()[0]?.data ?? '')).toMatchObject({ resumed: true, replay: true });
    expect(counted).toEqual(['sse resumed']);
    client.leave();
  });

  test.each([
    ['last_event_id=earliest', 'earliest'],
    ['last_event_id=now', 'now'],
    ['last_event_id=none', undefined],
    ['last_event_id=', undefined],
    ['x=1', undefined],
  ])('with %s it begins at %s', async (query, resume) => {
    const { url, calls, counted } = await rig(new HandFeed());
    const client = await openEvents(`${url}/v1/Ticks?${query}`);
    expect(calls[0]?.resume).toBe(resume);
    expect(counted).toEqual([]);
    client.leave();
  });

  test('a cursor that is no longer good is a reset, and counted', async () => {
    const feed = new HandFeed({ cursor: 'd0' });
    const { url, counted } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`, { 'last-event-id': 'garbage ü' });
    feed.send({ kind: 'reset', reason: 'cursor_invalid', cursor: 'd0' });
    await until(() => expect(client.events()).toHaveLength(2));
    expect(client.events()[1]).toEqual({ event: 'reset', data: '{"reason":"cursor_invalid"}', id: 'd0' });
    expect(counted).toEqual(['sse not resumed', 'sse reset cursor_invalid']);
    client.leave();
  });

  test.each(['/v1/Ticks?last_event_id=end', '/v1/Ticks?lastEventId=end'])(
    'after the end there is nothing more: %s',
    async (path) => {
      const { url, calls } = await rig(new HandFeed());
      expect((await openEvents(`${url}${path}`)).status).toBe(204);
      expect((await fetch(`${url}${path}`)).status).toBe(204);
      expect(calls).toHaveLength(0);
    },
  );

  const away = new StatusError(Code.UNAVAILABLE, 'the service is away', { details: [retryInfo(7000)] });

  test('trouble that may pass is an HTTP error to a client that is new', async () => {
    const { url } = await rig(away);
    for (const query of ['', '?last_event_id=earliest']) {
      const client = await openEvents(`${url}/v1/Ticks${query}`);
      expect(client.status).toBe(503);
      expect(Number(client.headers['retry-after'])).toBeGreaterThanOrEqual(7);
    }
  });

  test.each(['c7', 'none'])('and a stream that ends at once to one that comes back with %s', async (id) => {
    const { url } = await rig(away);
    const client = await openEvents(`${url}/v1/Ticks`, { 'last-event-id': id });
    expect(client.status).toBe(200);
    expect(client.headers['content-type']).toBe('text/event-stream');
    expect(await client.over).toBe(true);
    const [only] = client.events();
    expect(client.events()).toHaveLength(1);
    expect(only).toMatchObject({ event: 'end', data: '{"code":14,"message":"the service is away"}' });
    expect(only?.id).toBeUndefined();
    expect(only?.retry).toBeGreaterThanOrEqual(7000);
    expect(only?.retry).toBeLessThan(14_000);
  });

  test('unless it says that it reads HTTP errors', async () => {
    const { url } = await rig(away);
    const headers = { 'last-event-id': 'c7', 'tidegate-errors': 'http' };
    const client = await openEvents(`${url}/v1/Ticks`, headers);
    expect(client.status).toBe(503);
    expect(Number(client.headers['retry-after'])).toBeGreaterThanOrEqual(7);
  });

  test.each([
    [Code.UNAUTHENTICATED, 401],
    [Code.PERMISSION_DENIED, 403],
    [Code.NOT_FOUND, 404],
    [Code.INVALID_ARGUMENT, 400],
  ])('what will not pass (%i) stays an HTTP error, which makes an EventSource stop', async (code, status) => {
    const { url } = await rig(new StatusError(code, 'no'));
    expect((await openEvents(`${url}/v1/Ticks`, { 'last-event-id': 'c7' })).status).toBe(status);
  });
});

describe('a client that does not read', () => {
  const big = 'x'.repeat(60_000);

  test('has no room until it reads on, and nothing is lost meanwhile', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`);
    client.pause();
    const [sink] = feed.sinks;
    let sent = 0;
    await vi.waitFor(
      () => {
        while (sink !== undefined && sink.room() > 0 && sent < 1000)
          feed.send(message(`"${big}"`, `c${++sent}`));
        expect(sink?.room()).toBe(0);
      },
      { timeout: 5000 },
    );
    await sleep(100);
    const readied = feed.readied;
    while (sink !== undefined && sink.room() > 0) feed.send(message(`"${big}"`, `c${++sent}`));
    expect(sent).toBeLessThan(1000);
    client.resume();
    await vi.waitFor(() => expect(feed.readied).toBeGreaterThan(readied), { timeout: 5000 });
    feed.end();
    await client.over;
    expect(client.events().filter(({ event }) => event === 'message')).toHaveLength(sent);
  });

  test('and is too slow for its stream is told, and cut off when it does not even read that', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      const feed = new HandFeed();
      const { url, counted, sockets } = await rig(feed);
      const client = await openEvents(`${url}/v1/Ticks`);
      client.pause();
      for (let n = 0; n < 200; n++) feed.send(message(`"${big}"`, `c${n}`));
      feed.end(new SlowConsumerError());
      expect(counted).toEqual(['sse left slow']);
      expect(sockets.size).toBe(1);
      await vi.advanceTimersByTimeAsync(10_100);
      await until(() => expect(sockets.size).toBe(0));
      client.resume();
      expect(await client.over).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test('and is gone is noticed, and its feed stopped', async () => {
    const feed = new HandFeed();
    const { url, running: open } = await rig(feed);
    const client = await openEvents(`${url}/v1/Ticks`);
    client.leave();
    await until(() => expect(feed.stopped).toBe(1));
    feed.send(message(json(1), 'c1'));
    expect(open()).toBe(0);
  });
});

describe('the end of a connection', () => {
  test('comes after its lifetime for a client that can resume: drain, and the position is kept', async () => {
    const feed = new HandFeed();
    const { url, counted } = await rig(feed, { streams: { lifetimeMs: 200 } });
    const client = await openEvents(`${url}/v1/Ticks`);
    feed.send(message(json(1), 'c1'));
    const before = Date.now();
    expect(await client.over).toBe(true);
    expect(Date.now() - before).toBeLessThan(3000);
    const open = JSON.parse(client.events()[0]?.data ?? '') as { maxLifetimeMs: number };
    expect(open.maxLifetimeMs).toBeGreaterThan(150);
    expect(open.maxLifetimeMs).toBeLessThanOrEqual(240);
    const drain = client.events().at(-1);
    expect(drain).toEqual({
      event: 'drain',
      data: JSON.stringify({ reconnectAfterMs: drain?.retry }),
      retry: expect.any(Number),
    });
    expect(counted).toEqual(['sse left lifetime']);
    expect(feed.stopped).toBe(1);
  });

  test('never comes by age for one that cannot', async () => {
    const feed = new HandFeed({ resumable: false, cursor: '' });
    const { url } = await rig(feed, { streams: { lifetimeMs: 50 } });
    const client = await openEvents(`${url}/v1/Ticks`);
    await sleep(250);
    expect(client.events()).toHaveLength(1);
    client.leave();
  });

  test('comes when the token expires, with a warning, and a new token may go on', async () => {
    const feed = new HandFeed();
    const expiresAt = Date.now() + 300;
    const principal = { ...ANONYMOUS, subject: 'u1', expiresAt };
    const { url, counted } = await rig(feed, {
      identify: () => ({ id: 'r1', principal, metadata: {}, deadline: undefined }),
    });
    const client = await openEvents(`${url}/v1/Ticks`);
    feed.send(message(json(1), 'c1'));
    expect(await client.over).toBe(true);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt - 1);
    const [open, warning, one, end] = client.events();
    expect(JSON.parse(open?.data ?? '')).toMatchObject({ expiresAt });
    expect([warning, one].map((event) => event?.event).sort()).toEqual(['auth_expiring', 'message']);
    expect([warning, one].find((event) => event?.event === 'auth_expiring')?.data).toBe(
      JSON.stringify({ expiresAt }),
    );
    expect(end).toEqual({
      event: 'end',
      data: '{"code":16,"message":"token: expired since this stream was opened"}',
    });
    expect(counted).toEqual(['sse left expired']);
  });

  test('comes for lines too when the token expires', async () => {
    const principal = { ...ANONYMOUS, subject: 'u1', expiresAt: Date.now() + 100 };
    const feed = new HandFeed();
    const { url } = await rig(feed, {
      identify: () => ({ id: 'r1', principal, metadata: {}, deadline: undefined }),
    });
    const answer = await fetch(`${url}/v1/Ticks`);
    await until(() => expect(feed.sinks).toHaveLength(1));
    feed.send(message(json(1), 'c1'));
    expect(await answer.text()).toBe(
      '{"n":1}\n{"error":{"code":16,"message":"token: expired since this stream was opened"}}\n',
    );
  });
});

describe('drain', () => {
  test('gives each client that can resume a moment of its own, evenly over the time', async () => {
    const feed = new HandFeed();
    const { url, leave, counted } = await rig(feed, { timeouts: { drainMs: 2000 } });
    const clients = await Promise.all(Array.from({ length: 40 }, () => openEvents(`${url}/v1/Ticks`)));
    const start = Date.now();
    const left: number[] = [];
    for (const client of clients) void client.over.then(() => left.push(Date.now() - start));
    await leave();
    await until(() => expect(left).toHaveLength(40));
    expect(Math.max(...left)).toBeLessThan(2500);
    for (let from = 0; from < 2000; from += 200) {
      // Evenly it would be 4.4 in each of these; at random ten would not be rare.
      expect(left.filter((at) => at >= from && at < from + 200).length).toBeLessThanOrEqual(9);
    }
    for (const client of clients) {
      const last = client.events().at(-1);
      expect(last?.event).toBe('drain');
      expect(last?.id).toBeUndefined();
      // An eightieth of the time at least, which is never less than 100 ms; twice that at most.
      expect(last?.retry).toBeGreaterThanOrEqual(100);
      expect(last?.retry).toBeLessThan(200);
    }
    expect(counted).toEqual(Array(40).fill('sse left drain'));
  });

  test('lets a stream that cannot be resumed come to its end, then cuts it with another delay for each', async () => {
    const feed = new HandFeed({ resumable: false, cursor: '' });
    const { url, leave } = await rig(feed, { timeouts: { drainMs: 400 } });
    const first = await openEvents(`${url}/v1/Ticks`);
    const drained = leave();
    await sleep(150);
    feed.send(message(json(1)));
    feed.end();
    await drained;
    expect(await first.over).toBe(true);
    expect(first.events().map(({ event }) => event)).toEqual(['open', 'message', 'end']);
  });

  test('lets a stream that cannot be resumed, and goes on, stay for half of the time, and tells it', async () => {
    const feed = (call: Call) => feedOf({ ...NO_REPLY, messages: new Pushed<Message>() }, call.signal);
    const { url, leave, counted } = await rig(new HandFeed(), { timeouts: { drainMs: 300 }, feed });
    const client = await openEvents(`${url}/v1/Ticks`);
    const before = Date.now();
    await leave();
    expect(await client.over).toBe(true);
    expect(Date.now() - before).toBeGreaterThanOrEqual(145);
    expect(client.events().map(({ event }) => event)).toEqual(['open', 'drain']);
    expect(client.events()[1]?.retry).toBeLessThanOrEqual(1300);
    expect(counted).toEqual(['sse left drain']);
  });

  test('refuses what begins now: an HTTP error, and to a client that comes back a stream that ends at once', async () => {
    const { url, drain, calls } = await rig(new HandFeed());
    drain();
    expect((await openEvents(`${url}/v1/Ticks`)).status).toBe(503);
    const back = await openEvents(`${url}/v1/Ticks`, { 'last-event-id': 'c7' });
    expect(back.status).toBe(200);
    await back.over;
    expect(back.events()).toMatchObject([{ event: 'end', retry: expect.any(Number) }]);
    expect(calls).toHaveLength(0);
  });
});

describe('lines and arrays, which show no cursors', () => {
  test('go on where the query says', async () => {
    const feed = new HandFeed({ resumed: true, replay: true });
    const { url, calls } = await rig(feed);
    const answer = fetch(`${url}/v1/Ticks?last_event_id=c7`);
    await until(() => expect(feed.sinks).toHaveLength(1));
    expect(calls[0]?.resume).toBe('c7');
    feed.send(message(json(8), 'c8'), { kind: 'caught_up', cursor: 'c8' });
    feed.end();
    expect(await (await answer).text()).toBe('{"n":8}\n');
  });

  test('are refused where they cannot', async () => {
    const { url } = await rig(new HandFeed({ resumed: false }));
    const answer = await fetch(`${url}/v1/Ticks?last_event_id=c7`);
    expect(answer.status).toBe(409);
    expect(((await answer.json()) as { message: string }).message).toBe(
      'the stream does not go on at this cursor: begin anew without it',
    );
    const controller = new AbortController();
    const { signal } = controller;
    expect((await fetch(`${url}/v1/Ticks?last_event_id=earliest`, { signal })).status).toBe(200);
    controller.abort();
  });

  test('fail when they are reset', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed);
    const answer = fetch(`${url}/v1/Ticks`);
    await until(() => expect(feed.sinks).toHaveLength(1));
    feed.send(message(json(1), 'c1'), { kind: 'reset', reason: 'epoch_changed', cursor: 'd0' });
    expect(await (await answer).text()).toBe(
      '{"n":1}\n{"error":{"code":10,"message":"the stream does not go on where it was: epoch_changed"}}\n',
    );
  });
});
