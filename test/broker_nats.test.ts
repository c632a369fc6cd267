/** What only NATS does: streams that are purged or removed, files that are older than what was answered, limits, passwords, other people's messages. */
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, BrokerError } from '../src/broker/broker.js';
import { token } from '../src/broker/nats_names.js';
import { openBroker } from '../src/broker/open.js';
import { divergesFrom, losesLeases, losesLog } from './support/broker_losses.js';
import { appendAll, entry, PLENTY, recorder, text, until } from './support/brokers.js';
import { natsCommand, natsPublish, natsStreams } from './support/nats_command.js';
import { freePort } from './support/probe.js';
import { missingNats, type NatsOptions, startNats, type TestServer } from './support/servers.js';

const ABC = ['a', 'b', 'c'];
const LOGS = 'tidegate-log-plenty';

interface Info {
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: { readonly messages: number; readonly bytes: number; readonly consumer_count: number };
}

describe.skipIf(missingNats() !== undefined)('nats', () => {
  const ends: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function start(options: NatsOptions = {}): Promise<TestServer> {
    const server = await startNats(options);
    ends.push(server.stop);
    return server;
  }
  async function open(url: string): Promise<Broker> {
    const broker = await openBroker(url, { callMs: 1000 });
    ends.push(() => broker.close());
    return broker;
  }
  const info = (server: TestServer, stream: string): Promise<Info> =>
    natsCommand(server.port, `STREAM.INFO.${stream}`);

  test.each([
    ['purged', 'PURGE'],
    ['removed', 'DELETE'],
  ])('a log whose stream was %s begins another epoch', async (_, verb) => {
    const server = await start();
    const broker = await open(server.url);
    const { again, heard } = await losesLog(broker, () => natsCommand(server.port, `STREAM.${verb}.${LOGS}`));
    expect(heard.entries[3]).toMatchObject({ previous: 0, ...again.positions[0] });
  });

  test('an append without conditions goes on where the stream was purged or removed', async () => {
    const server = await start();
    const logs = (await open(server.url)).logs('plenty', PLENTY);
    for (const verb of ['PURGE', 'DELETE']) {
      await appendAll(logs, 'a', ['lost']);
      await natsCommand(server.port, `STREAM.${verb}.${LOGS}`);
      await appendAll(logs, 'a', ['kept']);
      expect((await logs.read('a', { after: 0, limit: 9 })).entries.map(text)).toEqual(['kept']);
    }
  });

  test('a tail that was lost with a restart from older files is told by nonces, a gap and a conflict', async () => {
    const server = await start();
    const broker = await open(server.url);
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await logs.follow('a', heard);
    await appendAll(logs, 'a', ABC);
    const kept = await logs.tail('a');
    const copy = mkdtempSync(join(tmpdir(), 'tidegate-older-'));
    ends.push(async () => rmSync(copy, { recursive: true }));
    server.pause();
    cpSync(join(server.folder, 'jetstream'), copy, { recursive: true });
    server.resume();
    await appendAll(logs, 'a', ['d', 'e']);
    const lost = await logs.tail('a');
    await server.kill();
    await until('the state says so', () => broker.state() === 'connecting');
    rmSync(join(server.folder, 'jetstream'), { recursive: true });
    cpSync(copy, join(server.folder, 'jetstream'), { recursive: true });
    await server.start();
    await until('the broker is ready', () => broker.state() === 'ready');
    expect(heard.gaps).toBe(1);
    expect(await logs.tail('a')).toEqual(kept);
    await divergesFrom(logs, lost);
  });

  test('a lease that the server has lost stays with its holder, if nobody else has taken it', async () => {
    const server = await start();
    const [one, other] = [await open(server.url), await open(server.url)];
    await losesLeases(one, other, () => natsCommand(server.port, 'STREAM.PURGE.tidegate-state'));
  });

  test('a lease expires by the clock of the server, whatever that of a node says', async () => {
    const server = await start();
    const [one, other] = [await open(server.url), await open(server.url)];
    const real = Date.now;
    ends.push(async () => {
      Date.now = real;
    });
    await one.acquire('right', 3000);
    Date.now = () => real() + 3_600_000;
    expect(await other.acquire('right', 3000)).toBeUndefined();
    expect(await other.raise('mark', 4, 60_000)).toBe(4);
    Date.now = () => real() - 3_600_000;
    expect(await other.acquire('right', 3000)).toBeUndefined();
    expect(await one.raise('mark', 3, 60_000)).toBe(4);
  });

  test('a password or a token is taken from the URL, and a wrong one refused without being told', async () => {
    const withUser = await start({ config: 'authorization: { user: "me", password: "r:ght" }' });
    const withToken = await start({ config: 'authorization: { token: "r:ght" }' });
    const url = (server: TestServer, who: string): string => server.url.replace('//', `//${who}@`);
    for (const right of [url(withUser, 'me:r%3Aght'), url(withToken, 'r%3Aght')])
      expect((await open(right)).state()).toBe('ready');
    for (const wrong of [url(withUser, 'me:wr0ng'), url(withToken, 'wr0ng'), withUser.url]) {
      const refused = await openBroker(wrong).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(BrokerError);
      expect((refused as Error).message).toMatch(/nats:\/\/127\.0\.0\.1:\d+: .*Authorization/i);
      expect((refused as Error).message).not.toContain('wr0ng');
    }
  });

  test('a user needs few rights, and one who has none of them is refused', async () => {
    const rights = `{ publish: ["$JS.API.>", "tidegate.>"], subscribe: ["tidegate.told.>", "_INBOX.>"] }`;
    const server = await start({
      config: `authorization: { users: [
        { user: "some", password: "x", permissions: ${rights} },
        { user: "none", password: "x", permissions: { publish: ["other"], subscribe: ["_INBOX.>"] } }
      ] }`,
    });
    const broker = await open(server.url.replace('//', '//some:x@'));
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await logs.follow('a', heard);
    await appendAll(logs, 'a', ABC);
    expect((await logs.read('a', { after: 0, limit: 9 })).entries.map(text)).toEqual(ABC);
    await until('all are heard', () => heard.entries.length === 3);
    await (await broker.acquire('right', 1000))?.release();
    await broker.members.put('set', 'm', { ttlMs: 1 });
    await until('it is swept', async () => (await broker.members.sweep('')).length === 1);
    expect(await broker.raise('mark', 1, 1000)).toBe(1);
    await broker.secret('secret');
    const refused = await openBroker(server.url.replace('//', '//none:x@')).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(BrokerError);
    expect(String(refused)).toMatch(/permissions violation/i);
  });

  test('a server without JetStream, or without TLS, is told', async () => {
    const port = await freePort();
    const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], {
      stdio: 'ignore',
      env: { PATH: `${process.env.PATH}:/usr/sbin` },
    });
    ends.push(async () => child.kill());
    const refusal = async (url: string): Promise<unknown> => openBroker(url).catch((error: unknown) => error);
    await until(
      'it is there',
      async () => !String(await refusal(`nats://127.0.0.1:${port}`)).includes('open'),
    );
    const refused = await refusal(`nats://127.0.0.1:${port}`);
    expect(refused).toBeInstanceOf(BrokerError);
    expect(String(refused)).toContain('without JetStream');
    const broker = await openBroker(`tls://127.0.0.1:${port}`, { waitMs: 500 });
    ends.push(() => broker.close());
    await expect(broker.secret('a')).rejects.toThrow("server does not support 'tls'");
  });

  test('a server that accepts and says nothing is left, and its sockets are closed', async () => {
    const sockets = new Set<unknown>();
    const silent = createServer((socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket)).on('error', () => {});
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    ends.push(() => new Promise((resolve) => silent.close(resolve)));
    const { port } = silent.address() as { port: number };
    const broker = await openBroker(`nats://127.0.0.1:${port}`, { waitMs: 100, callMs: 200 });
    await until('it was tried again', () => sockets.size > 0);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(sockets.size).toBeLessThan(2);
    await broker.close();
    await until('all are closed', () => sockets.size === 0);
  });

  test('an entry that no message can hold is refused, and many that one cannot hold are several', async () => {
    const server = await start();
    const logs = (await open(server.url)).logs('plenty', PLENTY);
    const most = 1 << 20;
    const large = logs.append('a', [{ nonce: 1, data: Buffer.alloc(most) }]);
    await expect(large).rejects.toThrow(RangeError);
    await expect(large).rejects.toThrow(`an entry of ${most} bytes: the server takes messages of ${most}`);
    const start_ = await logs.tail('a');
    const batch = Array.from({ length: 3 }, (_, index) => ({
      nonce: index,
      data: Buffer.alloc(most / 2, index),
    }));
    const done = await logs.append('a', batch, { expect: start_ });
    expect(done.positions).toHaveLength(3);
    expect((await logs.append('a', batch, { expect: start_ })).positions).toEqual(done.positions);
    const many = Array.from({ length: 2500 }, (_, index) => entry(String(index)));
    await logs.append('b', many);
    const { entries } = await logs.read('b', { after: 0, limit: 9999 });
    expect(entries.map(text)).toEqual(many.map(text));
    const { messages } = (await info(server, LOGS)).state;
    expect(messages).toBe(3 + 3);
  });

  test('appends that wait for each other share a message, and nothing is left of consumers', async () => {
    const server = await start();
    const logs = (await open(server.url)).logs('plenty', PLENTY);
    await Promise.all(Array.from({ length: 300 }, (_, index) => logs.append('a', [entry(String(index))])));
    expect((await info(server, LOGS)).state.messages).toBeLessThan(10);
    for (const texts of [ABC, ABC]) await appendAll(logs, 'a', texts);
    for (let index = 0; index < 20; index++) await logs.read('a', { after: 0, limit: 500 });
    await until('all are gone', async () => (await info(server, LOGS)).state.consumer_count === 0);
  });

  test('what has left the retention leaves the server', async () => {
    const server = await start();
    const broker = await open(server.url);
    const bytes = broker.logs('bytes', { ...PLENTY, bytes: 50_000 });
    for (let index = 0; index < 150; index++) await bytes.append('a', [entry('x'.repeat(2000))]);
    await until('bytes', async () => (await info(server, 'tidegate-log-bytes')).state.bytes < 160_000);
    const aged = broker.logs('aged', { ...PLENTY, ageMs: 1000 });
    await appendAll(aged, 'a', ['x'.repeat(10_000), 'y']);
    const before = await aged.tail('a');
    await until('age', async () => (await info(server, 'tidegate-log-aged')).state.bytes < 1000);
    expect(await aged.tail('a')).toEqual({ ...before, first: before.offset + 1 });
    const other = (await open(server.url)).logs('aged', { ...PLENTY, ageMs: 1000 });
    const done = await other.append('a', [entry('z')], { expect: before });
    expect(done.epoch).toBe(before.epoch);
  });

  test('a retention that has changed is that of the stream, and what its operator has set stays', async () => {
    const server = await start();
    await (await open(server.url)).logs('plenty', PLENTY).append('a', [entry('a')]);
    const { config } = await info(server, LOGS);
    await natsCommand(server.port, `STREAM.UPDATE.${LOGS}`, { ...config, description: 'mine' });
    const logs = (await open(server.url)).logs('plenty', { ...PLENTY, entries: 7 });
    await logs.append('a', [entry('b')]);
    expect((await info(server, LOGS)).config).toMatchObject({
      max_msgs_per_subject: 8,
      description: 'mine',
      storage: 'file',
    });
    expect((await logs.read('a', { after: 0, limit: 9 })).entries.map(text)).toEqual(['a', 'b']);
  });

  test('members who were removed leave nothing, and those who have expired are not read again', async () => {
    const server = await start();
    const { members } = await open(server.url);
    for (const member of ABC) await members.put('set', member, { ttlMs: member === 'a' ? 50 : 60_000 });
    await members.remove('set', 'b');
    await until('it has expired', async () => (await members.count('set')) === 1);
    expect(await members.sweep('')).toEqual([{ set: 'set', member: 'a', value: '' }]);
    expect((await info(server, 'tidegate-state')).state.messages).toBe(1);
    expect(await natsStreams(server.port)).toEqual(['tidegate-state']);
  });

  test("a message that is not the broker's is an error that says where, and nothing else", async () => {
    const server = await start();
    const broker = await open(server.url);
    const logs = broker.logs('plenty', PLENTY);
    await appendAll(logs, 'b', ['fine']);
    const heard = recorder();
    await logs.follow('a', heard);
    await broker.members.put('set', 'm', { ttlMs: 1000 });
    await natsPublish(server.port, 'tidegate.log.plenty.a', 'x');
    await natsPublish(server.port, 'tidegate.state.lease.right', 'x');
    await until('the follower is told to look', () => heard.gaps === 1);
    await expect(logs.tail('a')).rejects.toThrow(/message \d+ of the log's stream is not one of ours/);
    await expect(logs.append('a', [entry('x')])).rejects.toThrow(BrokerError);
    await expect(broker.acquire('right', 1000)).rejects.toThrow('tidegate.state.lease.right does not hold');
    expect((await logs.read('b', { after: 0, limit: 9 })).entries.map(text)).toEqual(['fine']);
  });
});

test.each([
  ['', '='],
  ['a-b_C9', 'a-b_C9'],
  ['a.b', 'a=2eb'],
  ['=', '=3d'],
  ['房', '=e6=88=bf'],
  ['*', '=2a'],
  ['x'.repeat(150), 'x'.repeat(150)],
])('the name %j is the token %s', (name, expected) => {
  expect(token(name)).toBe(expected);
});

test('long names are hashes, of which no two are the same', () => {
  const [one, other] = ['x'.repeat(151), '.'.repeat(60)].map(token);
  expect(one).toMatch(/^==[A-Za-z0-9_-]{43}$/);
  expect(other).toMatch(/^==[A-Za-z0-9_-]{43}$/);
  expect(one).not.toBe(other);
});
