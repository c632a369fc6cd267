/** The broker of gateways that share one Redis (7 or newer, or Valkey): one connection for commands, another one for what is published. */
import { randomBytes } from 'node:crypto';
import { checkMark, checkTtl } from './arguments.js';
import type { Broker, Retention } from './broker.js';
import { Refusal } from './connection.js';
import { createLeases } from './leases.js';
import { connectRedis, type RedisClient } from './redis_connection.js';
import { createRedisFollowers } from './redis_followers.js';
import { leaseKey, markKey, secretKey } from './redis_keys.js';
import { RedisLogs } from './redis_logs.js';
import { createRedisMembers } from './redis_members.js';
import { RAISE, RELEASE, RENEW, SCRIPTS } from './redis_scripts.js';
import { createStates } from './states.js';

const OLDEST = 7;

export interface RedisBrokerOptions {
  readonly url: URL;
  /** The URL without its password. */
  readonly shown: string;
  readonly callMs: number;
}

/** Its `first` resolves when it is ready, and rejects if the server will never serve us. */
export async function createRedisBroker({
  url,
  shown,
  callMs,
}: RedisBrokerOptions): Promise<{ readonly broker: Broker; readonly first: Promise<void> }> {
  const database = Number(url.pathname.slice(1) || 0);
  const states = createStates('connecting');
  const connected = { commands: false, followers: false };
  const changed = (which: keyof typeof connected) => (is: boolean) => {
    connected[which] = is;
    states.set(connected.commands && connected.followers ? 'ready' : 'connecting');
  };
  const options = { url: url.href, shown, callMs };
  const [connection, followers] = await Promise.all([
    connectRedis({ ...options, changed: changed('commands'), prepare }),
    createRedisFollowers({ ...options, changed: changed('followers') }),
  ]);
  const leases = createLeases({
    acquire: async (name, token, ttlMs) =>
      (await connection.call(['SET', leaseKey(name), token, 'NX', 'PX', String(ttlMs)])) !== null,
    renew: async (name, token, ttlMs) =>
      (await connection.run(RENEW, [leaseKey(name)], [token, String(ttlMs)])) === 1,
    release: async (name, token) => {
      await connection.run(RELEASE, [leaseKey(name)], [token]);
    },
  });
  // A server that comes back may have come back without them.
  states.onState((state) => {
    if (state === 'ready') leases.check();
  });
  const spaces = new Map<string, RedisLogs>();
  let closing: Promise<void> | undefined;

  const broker: Broker = {
    kind: 'redis',
    shared: true,
    logs(space, retention: Retention) {
      const logs = spaces.get(space) ?? new RedisLogs({ space, retention, database, connection, followers });
      spaces.set(space, logs);
      return logs;
    },
    acquire: (name, ttlMs) => leases.acquire(name, ttlMs),
    members: createRedisMembers(connection),
    async raise(name, value, ttlMs) {
      checkMark(value);
      checkTtl(ttlMs);
      return Number(await connection.run(RAISE, [markKey(name)], [String(value), String(ttlMs)]));
    },
    async secret(name) {
      const proposed = randomBytes(32);
      const there = await connection.call(['SET', secretKey(name), proposed, 'NX', 'GET']);
      return (there as Buffer | null) ?? proposed;
    },
    state: states.state,
    onState: states.onState,
    close() {
      closing ??= (async () => {
        await leases.close();
        connection.close();
        followers.connection.close();
        states.set('closed');
      })();
      return closing;
    },
  };
  return {
    broker,
    first: Promise.all([connection.first, followers.connection.first]).then(() => {}),
  };
}

/** The server's version, and that it knows the scripts. */
async function prepare(client: RedisClient): Promise<void> {
  const info = String(await client.sendCommand(['INFO', 'server']));
  const version = /^redis_version:(\d+)/m.exec(info)?.[1];
  if (Number(version) < OLDEST) throw new Refusal(`Redis ${version} is too old: ${OLDEST} is needed`);
  if (/^redis_mode:cluster/m.test(info)) throw new Refusal('Redis Cluster is not supported');
  await Promise.all(SCRIPTS.map(({ source }) => client.sendCommand(['SCRIPT', 'LOAD', source])));
}
