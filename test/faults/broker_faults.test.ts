/** Brokers whose server is paused, killed, late, or behind a network that loses answers. */
import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Broker, BrokerError, LogConflict } from '../../src/broker/broker.js';
import { type OpenOptions, openBroker } from '../../src/broker/open.js';
import { appendAll, entry, PLENTY, recorder, SERVERS, text, until } from '../support/brokers.js';
import { freePort, ROOT } from '../support/probe.js';
import { type LossyProxy, startProxy } from '../support/proxy.js';
import type { TestServer } from '../support/servers.js';

/** Short, so that the tests are. */
const CALL_MS = 600;

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What is asked of a broker in each test of outages. */
function everything(broker: Broker): (() => Promise<unknown>)[] {
  const logs = broker.logs('plenty', PLENTY);
  const { members } = broker;
  return [
    () => logs.append('a', [entry('x')]),
    () => logs.append('a', [entry('x')], { key: 'k' }),
    () => logs.read('a', { after: 0, limit: 1 }),
    () => logs.read('a', { after: 0, limit: 1, reverse: true }),
    () => logs.tail('a'),
    () => logs.follow('b', recorder()),
    () => broker.acquire('right', 1000),
    () => members.put('set', 'm', { ttlMs: 1000 }),
    () => members.remove('set', 'm'),
    () => members.list('set'),
    () => members.count('set'),
    () => members.sweep(''),
    () => broker.raise('mark', 1, 1000),
    () => broker.secret('secret'),
  ];
}

const ready = (broker: Broker): Promise<void> =>
  until('the broker is ready', () => broker.state() === 'ready');

describe.each(SERVERS.filter(({ missing }) => missing === undefined))('$kind', ({ startServer }) => {
  let server: TestServer;
  const brokers: Broker[] = [];
  const proxies: LossyProxy[] = [];

  beforeEach(async () => {
    server = await startServer();
    return () => server.stop();
  });
  afterEach(async () => {
    await Promise.all(brokers.splice(0).map((broker) => broker.close()));
    await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
  });

  async function open(port = server.port, options: OpenOptions = {}): Promise<Broker> {
    const broker = await openBroker(server.url.replace(String(server.port), String(port)), {
      callMs: CALL_MS,
      ...options,
    });
    brokers.push(broker);
    return broker;
  }
  async function openBehindProxy(options: OpenOptions = {}): Promise<{ broker: Broker; proxy: LossyProxy }> {
    const proxy = await startProxy(server.port);
    proxies.push(proxy);
    return { broker: await open(proxy.port, options), proxy };
  }

  test('a paused server is an error for every call, in bounded time, and told in the state', async () => {
    const broker = await open();
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await logs.follow('a', heard);
    await appendAll(logs, 'a', ['before']);
    const states: string[] = [];
    broker.onState((state) => states.push(state));

    server.pause();
    const began = performance.now();
    const outcomes = await Promise.all(
      everything(broker).map((ask) => ask().catch((error: unknown) => error)),
    );
    expect(performance.now() - began).toBeLessThan(CALL_MS + 3000);
    for (const [index, outcome] of outcomes.entries())
      expect(outcome, `call ${index}`).toBeInstanceOf(BrokerError);
    await until('the state says so', () => broker.state() === 'connecting');
    for (const ask of everything(broker)) await expect(ask()).rejects.toThrow(BrokerError);

    server.resume();
    await ready(broker);
    expect(states).toEqual(['connecting', 'ready']);
    expect(heard.gaps).toBe(1);
    await appendAll(logs, 'a', ['after']);
    await until('followers hear again', () => heard.entries.some((each) => text(each) === 'after'));
    for (const ask of everything(broker)) await ask();
  });

  test('what a killed server has answered is there when it is back, and followers go on after a gap', async () => {
    const broker = await open();
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await logs.follow('a', heard);
    const made = await appendAll(logs, 'a', ['a', 'b', 'c']);
    const held = await broker.acquire('right', 60_000);
    const secret = await broker.secret('secret');
    await server.kill();
    await until('the state says so', () => broker.state() === 'connecting');
    for (const ask of everything(broker)) await expect(ask()).rejects.toThrow(BrokerError);
    expect(heard.gaps).toBe(0);
    await server.start();
    await ready(broker);
    expect(heard.gaps).toBe(1);
    const { entries, tail } = await logs.read('a', { after: 0, limit: 9 });
    expect(entries.map(text)).toEqual(['a', 'b', 'c']);
    expect(tail).toMatchObject({ epoch: made[0]?.epoch, ...made[2]?.positions[0] });
    await appendAll(logs, 'a', ['d']);
    await until('the follower hears', () => heard.entries.length === 4);
    expect(heard.entries.map(({ previous }) => previous)).toEqual([
      0,
      ...heard.entries.slice(0, 3).map(({ offset }) => offset),
    ]);
    expect(held?.lost.aborted).toBe(false);
    expect(Buffer.from(await broker.secret('secret'))).toEqual(Buffer.from(secret));
  });

  test('a server that is late is waited for, not for ever, and used when it is there', async () => {
    await server.kill();
    const began = performance.now();
    const broker = await open(server.port, { waitMs: 500 });
    expect(performance.now() - began).toBeLessThan(4000);
    expect(broker.state()).toBe('connecting');
    for (const ask of everything(broker)) {
      const refused = await ask().catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(BrokerError);
      expect((refused as Error).message).toMatch(/127\.0\.0\.1:\d+ is not connected: .*ECONNREFUSED/);
    }
    await server.start();
    await ready(broker);
    await Promise.all(everything(broker).map((ask) => ask()));

    const other = await open(await freePort(), { waitMs: 100 });
    expect(other.state()).toBe('connecting');
    await other.close();
    expect(other.state()).toBe('closed');
  });

  test('an append whose answer was lost is done once when it is tried again', async () => {
    const { broker, proxy } = await openBehindProxy();
    const logs = broker.logs('plenty', PLENTY);
    const direct = (await open()).logs('plenty', PLENTY);
    // Of a log that a node does not know yet, it first asks where it ends.
    await appendAll(logs, 'keyed', ['first']);
    await appendAll(logs, 'a', ['a']);
    const end = await logs.tail('a');
    const batch = [entry('b'), entry('c')];
    const keyed = [entry('k')];

    proxy.deaf(true);
    await expect(logs.append('a', batch, { expect: end })).rejects.toThrow(BrokerError);
    await expect(logs.append('keyed', keyed, { key: 'k' })).rejects.toThrow(BrokerError);
    expect((await direct.read('a', { after: 0, limit: 9 })).entries.map(text)).toEqual(['a', 'b', 'c']);
    await until('the state says so', () => broker.state() === 'connecting');
    proxy.deaf(false);
    await ready(broker);

    const done = await logs.append('a', batch, { expect: end });
    const { entries, tail } = await logs.read('a', { after: 0, limit: 9 });
    expect(entries.map(text)).toEqual(['a', 'b', 'c']);
    expect(done.positions).toEqual(entries.slice(1).map(({ offset, nonce }) => ({ offset, nonce })));
    expect((await logs.append('keyed', keyed, { key: 'k' })).duplicate).toBe(true);
    expect((await logs.read('keyed', { after: 0, limit: 9 })).entries.map(text)).toEqual(['first', 'k']);
    await logs.append('a', [entry('d')], { expect: tail });
    await expect(logs.append('a', batch, { expect: tail })).rejects.toThrow(LogConflict);
  });

  test('a lease is lost before another node can have it', async () => {
    const ttlMs = 2000;
    const { broker, proxy } = await openBehindProxy();
    const other = await open();
    const held = await broker.acquire('right', ttlMs);
    await wait(ttlMs);
    expect(held?.lost.aborted).toBe(false);
    let lostAt = Number.POSITIVE_INFINITY;
    held?.lost.addEventListener('abort', () => {
      lostAt = performance.now();
    });
    const cutAt = performance.now();
    proxy.cut();
    let taken: unknown;
    await until('the other node has it', async () => {
      taken = await other.acquire('right', ttlMs);
      return taken !== undefined;
    });
    expect(lostAt).toBeLessThan(performance.now());
    expect(performance.now() - cutAt).toBeLessThan(ttlMs * 2 + 2000);
    expect(String(held?.lost.reason)).toContain('right');
    proxy.mend();
    await ready(broker);
    await held?.release();
    expect(await broker.acquire('right', ttlMs)).toBeUndefined();
  });

  test('a lease that is paused with its server for longer than its time is lost, and free again', async () => {
    const broker = await open();
    const held = await broker.acquire('right', 1000);
    server.pause();
    await until('it is lost', () => held?.lost.aborted === true);
    await wait(500);
    server.resume();
    await ready(broker);
    await until('somebody has it', async () => (await broker.acquire('right', 60_000)) !== undefined);
    await wait(1500);
    const other = await open();
    expect(await other.acquire('right', 60_000)).toBeUndefined();
  });

  test('calls that nobody waits for, and followers, are no unhandled rejections', async () => {
    const { broker, proxy } = await openBehindProxy();
    const logs = broker.logs('plenty', PLENTY);
    const held = await broker.acquire('right', 300);
    await logs.follow('a', recorder());
    const asked = everything(broker).map((ask) => ask().catch(() => {}));
    proxy.cut();
    await Promise.all(asked);
    await until('it is lost', () => held?.lost.aborted === true);
    await held?.release();
    proxy.mend();
    await ready(broker);
    const closing = everything(broker).map((ask) => ask().catch(() => {}));
    await broker.close();
    await Promise.all(closing);
  });

  test('many logs are followed again after a reconnect', async () => {
    const { broker, proxy } = await openBehindProxy({ callMs: 10_000 });
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    const names = Array.from({ length: 2500 }, (_, index) => `log ${index}`);
    const stops = await Promise.all(names.map((name) => logs.follow(name, heard)));
    for (const stop of stops.splice(0, 100)) stop();
    proxy.cut();
    await until('the state says so', () => broker.state() === 'connecting');
    proxy.mend();
    await ready(broker);
    await until('all of them are told', () => heard.gaps === 2400);
    const direct = (await open()).logs('plenty', PLENTY);
    for (const name of ['log 0', 'log 100', 'log 1200', 'log 2499']) await direct.append(name, [entry(name)]);
    await until('three are heard', () => heard.entries.length === 3);
    expect(heard.entries.map(text)).toEqual(['log 100', 'log 1200', 'log 2499']);
  });

  test('a process that has closed its broker ends by itself', async () => {
    const program = `
      import { openBroker } from ${JSON.stringify(`${ROOT}dist/src/broker/open.js`)};
      const broker = await openBroker(${JSON.stringify(server.url)});
      const logs = broker.logs('plenty', ${JSON.stringify(PLENTY)});
      await logs.follow('a', { entry() {}, gap() {} });
      await logs.append('a', [{ nonce: 1, data: Buffer.from('x') }]);
      await broker.acquire('right', 60_000);
      await broker.members.sweep('');
      await broker.close();
      const late = await openBroker('${server.url.replace(String(server.port), '1')}', { waitMs: 200 });
      await late.close();
      console.log('closed');
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    child.stderr.on('data', (chunk) => {
      output += chunk;
    });
    const code = await new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      child.once('exit', (exitCode) => {
        clearTimeout(timer);
        resolve(exitCode);
      });
    });
    expect([output, code]).toEqual(['closed\n', 0]);
    expect(await (await open()).acquire('right', 1000)).toBeDefined();
  });
});
