/** Channels through the gateway: REST and EventSource, on one node and on two that share a broker. */
import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { EventSource } from 'eventsource';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startChannelsServer } from '../gateway/channels.js';
import { type Config, loadConfig } from '../gateway/config.js';
import { createGateway } from '../gateway/gateway.js';
import { openBroker } from '../src/broker/open.js';
import { SERVERS, until } from './support/brokers.js';
import { tokenFor } from './support/gateway.js';

const RULES = [{ match: 'news', publish: 'public', subscribe: 'public' }] as const;

/** A gateway with channels and without upstreams. */
async function start(change: Partial<Config> = {}) {
  const argv = ['--dev', '--port', '0', '--log-level', 'silent', '--drain', '1s', '--channels'];
  const config = { ...loadConfig({ argv, env: {} }), channelRules: RULES, ...change };
  const gateway = await createGateway(config);
  const { port } = await gateway.listen();
  onTestFinished(() => gateway.close());
  const base = `http://127.0.0.1:${port}/v1`;
  const call = async (path: string, { token = '', body = undefined as unknown } = {}) => {
    const response = await fetch(`${base}${path}`, {
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    });
    return { status: response.status, json: (await response.json()) as Record<string, unknown> };
  };
  return { gateway, base, call };
}

interface Heard {
  readonly type: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

/** An EventSource that remembers what it hears of these event types. Resolves once it is open. */
async function listen(
  url: string,
  types: readonly string[] = ['message'],
  { token = '', lastEventId = '' }: { token?: string; lastEventId?: string } = {},
) {
  const source = new EventSource(url, {
    fetch: (input, init) =>
      fetch(input, {
        ...init,
        headers: {
          ...(lastEventId && { 'last-event-id': lastEventId }),
          ...init.headers,
          ...(token && { authorization: `Bearer ${token}` }),
        },
      }),
  });
  onTestFinished(() => source.close());
  const heard: Heard[] = [];
  for (const type of types) {
    source.addEventListener(type, (event) => {
      // EventSource has an event of its own that is named `open` too.
      if (event.data === undefined) return;
      heard.push({ type, id: event.lastEventId, data: JSON.parse(event.data) });
    });
  }
  const failed = new Promise<never>((_, reject) => {
    source.addEventListener('error', ({ code, message }) => reject(new Error(`${code} ${message}`)));
  });
  failed.catch(() => {});
  await Promise.race([failed, new Promise((resolve) => source.addEventListener('open', resolve))]);
  const hears = async (count: number) => {
    const end = Date.now() + 10_000;
    while (heard.length < count) {
      if (Date.now() > end) throw new Error(`heard ${heard.length} of ${count} events`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return heard;
  };
  return { source, heard, hears };
}

test('what is published by REST is heard by an EventSource, without tokens where a rule says so', async () => {
  const { base, call } = await start();
  const { hears } = await listen(`${base}/channels/news:subscribe`);
  const published = await call('/channels/news:publish', { body: { data: { n: 1, list: [null, 'ä'] } } });
  expect(published).toMatchObject({ status: 200, json: { position: expect.any(String) } });
  const [event] = await hears(1);
  expect(event?.data).toMatchObject({ channel: 'news', data: { n: 1, list: [null, 'ä'] } });
  expect(event?.data).toMatchObject({ position: published.json.position, time: expect.stringMatching(/Z$/) });
});

test('events have names, batches have order, and history is JSON', async () => {
  const { base, call } = await start();
  const { hears } = await listen(`${base}/channels:subscribe?channels=news`, ['price', 'message']);
  const messages = [
    { channel: 'news', data: 1, type: 'price' },
    { channel: 'news', data: null },
    { channel: 'news', data: [2], type: 'price' },
  ];
  const batch = await call('/channels:publish', { body: { messages } });
  expect(batch.json.results).toHaveLength(3);
  const heard = await hears(3);
  expect(heard.map(({ type, data }) => [type, data.data])).toEqual([
    ['price', 1],
    ['message', null],
    ['price', [2]],
  ]);
  const page = await call('/channels/news/history?reverse=true&page_size=2');
  expect(page.json).toMatchObject({ more: true, events: [{ data: [2] }, { data: null }] });
  const after = (heard[0] as Heard).data.position as string;
  const rest = await call(`/channels/news/history?after=${after}`);
  expect((rest.json.events as unknown[]).length).toBe(2);
});

test('rights are asked of the token', async () => {
  const { call } = await start();
  const denied = await call('/channels/room:1:publish', { body: { data: 1 } });
  expect(denied).toMatchObject({
    status: 401,
    json: { message: 'a token is required to publish to room:1' },
  });
  const ada = tokenFor('ada', ['channels:publish:room:*']);
  const allowed = await call('/channels/room:1:publish', { token: ada, body: { data: 1 } });
  expect(allowed.status).toBe(200);
  expect((await call('/channels/room:1/history', { token: ada })).status).toBe(403);
  const { json } = await call('/channels/room:1/history', { token: tokenFor('bob', ['channels:*']) });
  expect(json.events).toMatchObject([{ channel: 'room:1', publisher: 'ada', data: 1 }]);
  expect((await call('/channels/a%20b:publish', { token: ada, body: { data: 1 } })).status).toBe(400);
});

test('an EventSource is present for as long as it is open', async () => {
  const { base, call } = await start({ channelRules: [{ match: 'room', lingerMs: 0 }] });
  const all = tokenFor('ada', ['channels:*']);
  const types = ['PRESENT', 'JOINED', 'LEFT'];
  const ada = await listen(`${base}/channels/room:join`, types, { token: all });
  const [present] = await ada.hears(1);
  expect(present).toMatchObject({ type: 'PRESENT', data: { memberCount: 1, members: [{ user: 'ada' }] } });
  const bob = await listen(`${base}/channels/room:join`, types, {
    token: tokenFor('bob', ['channels:join']),
  });
  await ada.hears(2);
  const { json } = await call('/channels/room/presence', { token: all });
  expect(json).toMatchObject({ memberCount: 2, members: [{ user: 'ada' }, { user: 'bob' }] });
  bob.source.close();
  const heard = await ada.hears(3);
  expect(heard.slice(1).map(({ type, data }) => [type, data.member])).toEqual([
    ['JOINED', { user: 'bob', joinTime: expect.any(String) }],
    ['LEFT', { user: 'bob' }],
  ]);
});

test('channels stand beside other upstreams, and without them the routes are not there', async () => {
  const without = await start({ channels: false, upstreams: [] }).catch((error: Error) => error.message);
  expect(without).toMatch(/no service to serve/);
  const { gateway, call } = await start();
  const names = new Set(gateway.table().contract.methods.map(({ service }) => service));
  expect([...names]).toEqual(['tidegate.v1.ChannelsService']);
  expect((await call('/channels/news:nothing')).status).toBe(404);
});

test('the socket of the service is for this user alone, and gone when it is closed', async () => {
  const broker = await openBroker('memory');
  const server = await startChannelsServer({ channelRules: [] }, broker, pino({ level: 'silent' }));
  const path = server.upstream.address.replace(/^unix:/, '');
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  expect(existsSync(path)).toBe(true);
  await server.close();
  await broker.close();
  expect(existsSync(dirname(path))).toBe(false);
});

describe.each(SERVERS.filter(({ missing }) => missing === undefined))('on two nodes over $kind', (kind) => {
  const two = async () => {
    const server = await kind.startServer();
    onTestFinished(() => server.stop());
    const nodes = [await start({ broker: server.url }), await start({ broker: server.url })] as const;
    const publish = async (n: number, at: 0 | 1 = 0) => {
      const { status } = await nodes[at].call('/channels/news:publish', { body: { data: n } });
      expect(status).toBe(200);
    };
    return { server, nodes, publish };
  };
  const ALL = ['open', 'message', 'reset', 'caught_up'];
  const numbers = (heard: readonly Heard[]) =>
    heard.filter(({ type }) => type === 'message').map(({ data }) => data.data);

  test('what is published at one is heard at the other', async () => {
    const { nodes, publish } = await two();
    const { hears } = await listen(`${nodes[1].base}/channels/news:subscribe`);
    for (let n = 1; n <= 20; n += 1) await publish(n, n % 2 === 0 ? 0 : 1);
    expect(numbers(await hears(20))).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  });

  test('who comes back goes on where it was, at any node, also if it has seen no event', async () => {
    const { nodes, publish } = await two();
    const url = (at: 0 | 1) => `${nodes[at].base}/channels:subscribe?channels=news&channels=news`;
    const first = await listen(url(1), ALL);
    const [opened] = await first.hears(1);
    first.source.close();
    for (const n of [1, 2, 3]) await publish(n);
    const second = await listen(url(0), ALL, { lastEventId: (opened as Heard).id });
    await until('three were heard', () => numbers(second.heard).length === 3);
    second.source.close();
    const two3 = second.heard.find(({ data }) => data.data === 2) as Heard;
    await publish(4);
    const third = await listen(url(1), ALL, { lastEventId: two3.id });
    await until('two were heard', () => numbers(third.heard).length === 2);
    expect(numbers(second.heard)).toEqual([1, 2, 3]);
    expect(numbers(third.heard)).toEqual([3, 4]);
    for (const { heard } of [second, third]) expect(heard.map(({ type }) => type)).not.toContain('reset');
  });

  test('a subscriber is told when the broker has lost what it had', async () => {
    const { server, nodes, publish } = await two();
    const { heard } = await listen(`${nodes[1].base}/channels/news:subscribe`, ALL);
    await publish(1);
    await until('it was heard', () => numbers(heard).length === 1);
    await kind.wipe(server);
    await publish(2);
    await until('the next one was heard', () => numbers(heard).length === 2);
    const types = heard.map(({ type }) => type).filter((type) => type !== 'open' && type !== 'caught_up');
    expect(types).toEqual(['message', 'reset', 'message']);
    expect(heard.find(({ type }) => type === 'reset')?.data).toEqual({ reason: 'epoch_changed' });
    expect(numbers(heard)).toEqual([1, 2]);
  });
});
