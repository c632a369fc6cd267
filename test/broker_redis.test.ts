/** What only Redis does: databases that are emptied, dumps that are older than what was answered, passwords, scripts that are forgotten. */
import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, BrokerError } from '../src/broker/broker.js';
import { openBroker } from '../src/broker/open.js';
import { divergesFrom, losesLeases, losesLog } from './support/broker_losses.js';
import { appendAll, entry, PLENTY, recorder, text, until } from './support/brokers.js';
import { redisCommand } from './support/redis_command.js';
import { missingRedis, type RedisOptions, startRedis, type TestServer } from './support/servers.js';

const ABC = ['a', 'b', 'c'];

describe.skipIf(missingRedis() !== undefined)('redis', () => {
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function start(options: RedisOptions = {}): Promise<TestServer> {
    const server = await startRedis(options);
    ends.push(server.stop);
    return server;
  }
  async function open(url: string): Promise<Broker> {
    const broker = await openBroker(url, { callMs: 600 });
    ends.push(() => broker.close());
    return broker;
  }

  test('a log that was lost as a whole begins another epoch', async () => {
    const server = await start();
    const broker = await open(server.url);
    const { heard } = await losesLog(broker, () => redisCommand(server.port, 'FLUSHALL'));
    expect(heard.entries[3]).toMatchObject({ previous: 0, offset: 1 });
  });

  test('entries that were lost without the end of their log are dropped entries', async () => {
    const server = await start();
    const logs = (await open(server.url)).logs('plenty', PLENTY);
    await appendAll(logs, 'a', ABC);
    const before = await logs.tail('a');
    expect(await redisCommand(server.port, 'DEL', 'tidegate:log:{plenty:a}')).toBe(':1');
    expect(await logs.read('a', { after: 0, limit: 9 })).toEqual({
      entries: [],
      tail: { ...before, first: 4 },
    });
    await logs.append('a', [entry('d')], { expect: before });
    const { entries, tail } = await logs.read('a', { after: 0, limit: 9 });
    expect(entries.map(text)).toEqual(['d']);
    expect(tail).toMatchObject({ epoch: before.epoch, offset: 4, first: 4 });
  });

  test('a tail that was lost with a restart from an older dump is told by nonces, a gap and a conflict', async () => {
    const server = await start({ config: { appendonly: 'no' } });
    const broker = await open(server.url);
    const logs = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await logs.follow('a', heard);
    await appendAll(logs, 'a', ABC);
    expect(await redisCommand(server.port, 'SAVE')).toBe('+OK');
    await appendAll(logs, 'a', ['d', 'e']);
    const lost = await logs.tail('a');
    await server.kill();
    await until('the state says so', () => broker.state() === 'connecting');
    await server.start();
    await until('the broker is ready', () => broker.state() === 'ready');
    expect(heard.gaps).toBe(1);
    const now = await logs.tail('a');
    expect([now.epoch, now.offset]).toEqual([lost.epoch, 3]);
    await divergesFrom(logs, lost);
  });

  test('a lease that the server has lost stays with its holder, if nobody else has taken it', async () => {
    const server = await start();
    const [one, other] = [await open(server.url), await open(server.url)];
    await losesLeases(one, other, () => redisCommand(server.port, 'FLUSHALL'));
  });

  test('scripts that the server has forgotten are sent again', async () => {
    const server = await start();
    const broker = await open(server.url);
    const logs = broker.logs('plenty', PLENTY);
    await appendAll(logs, 'a', ['a']);
    await redisCommand(server.port, 'SCRIPT', 'FLUSH');
    await Promise.all([logs.append('a', [entry('b')]), logs.append('a', [entry('c')])]);
    expect((await logs.read('a', { after: 0, limit: 9 })).entries.map(text)).toEqual(ABC);
    expect(await broker.raise('mark', 4, 1000)).toBe(4);
  });

  test('a password is taken from the URL, and a wrong one refused without being told', async () => {
    const server = await start({ config: { requirepass: 'right' } });
    const url = (password: string): string => server.url.replace('//', `//:${password}@`);
    const broker = await open(url('right'));
    expect(broker.state()).toBe('ready');
    for (const wrong of [url('wr0ng'), server.url]) {
      const refused = await openBroker(wrong).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(BrokerError);
      expect((refused as Error).message).toMatch(/redis:\/\/127\.0\.0\.1:\d+: (?:WRONGPASS|NOAUTH)/);
      expect((refused as Error).message).not.toContain('wr0ng');
    }
  });

  test('databases are apart, followers included', async () => {
    const server = await start();
    const [zero, three] = [await open(server.url), await open(`${server.url}/3`)];
    const heard = recorder();
    await three.logs('plenty', PLENTY).follow('a', heard);
    await zero.logs('plenty', PLENTY).append('a', [entry('no')]);
    await three.logs('plenty', PLENTY).append('a', [entry('yes')]);
    await until('one is heard', () => heard.entries.length > 0);
    expect(heard.entries.map(text)).toEqual(['yes']);
    expect(Buffer.from(await zero.secret('s')).equals(Buffer.from(await three.secret('s')))).toBe(false);
  });

  test('a retention that has become much smaller is reached step by step', async () => {
    const server = await start();
    const [large, small] = [await open(server.url), await open(server.url)];
    const many = Array.from({ length: 4000 }, (_, index) => entry(String(index)));
    await large.logs('s', PLENTY).append('a', many);
    const logs = small.logs('s', { ...PLENTY, entries: 10 });
    await logs.append('a', [entry('4000')]);
    expect((await logs.tail('a')).first).toBe(1002);
    await appendAll(logs, 'a', ['4001', '4002', '4003']);
    const { entries, tail } = await logs.read('a', { after: 0, limit: 99 });
    expect(entries.map(text)).toEqual(Array.from({ length: 10 }, (_, index) => String(3994 + index)));
    expect(tail.first).toBe(3995);
  });

  test('everything is under one prefix, and expires but for secrets', async () => {
    const server = await start();
    const broker = await open(server.url);
    await broker.logs('s p:ace', PLENTY).append('na}me', [entry('a')], { key: 'k' });
    await broker.acquire('right', 5000);
    await broker.members.put('set', 'm', { ttlMs: 5000 });
    await broker.raise('mark', 1, 5000);
    await broker.secret('secret');
    const keys = (await redisCommand(server.port, 'KEYS', '*'))
      .split('\r\n')
      .filter((line) => !/^[$*]/.test(line));
    expect(keys.sort()).toEqual([
      'tidegate:key:{s p%3aace:na}me}:1:k',
      'tidegate:lease:right',
      'tidegate:log:{s p%3aace:na}me}',
      'tidegate:mark:mark',
      'tidegate:members:set',
      'tidegate:secret:secret',
      'tidegate:sets',
      'tidegate:tail:{s p%3aace:na}me}',
      'tidegate:values:set',
    ]);
    const eternal: string[] = [];
    for (const key of keys) if ((await redisCommand(server.port, 'PTTL', key)) === ':-1') eternal.push(key);
    expect(eternal).toEqual(['tidegate:secret:secret', 'tidegate:sets']);
  });

  test('an append is one round trip, and many of them share one', async () => {
    const server = await start();
    const broker = await open(server.url);
    const logs = broker.logs('plenty', PLENTY);
    await appendAll(logs, 'a', ['warm']);
    const calls = async (): Promise<number> =>
      Number(
        /cmdstat_evalsha:calls=(\d+)/.exec(await redisCommand(server.port, 'INFO', 'commandstats'))?.[1],
      );
    const before = await calls();
    await Promise.all(Array.from({ length: 50 }, () => logs.append('a', [entry('x')])));
    expect((await calls()) - before).toBe(50);
  });
});

test.each([
  ['redis:/nowhere', 'redis:/nowhere'],
  ['redis://', 'redis://'],
  ['redis://127.0.0.1/seven', 'seven'],
  ['redis://127.0.0.1:99999', '99999'],
  ['http://127.0.0.1', 'http://127.0.0.1'],
  ['redis', 'redis'],
  ['', 'empty'],
  ['ftp://user:hidden@host', 'ftp://host'],
])('the broker %j is refused by name', async (url, named) => {
  const refused = await openBroker(url).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Error);
  expect(refused).not.toBeInstanceOf(BrokerError);
  expect((refused as Error).message).toContain(named);
  expect((refused as Error).message).not.toContain('hidden');
});
