/** Connections to Redis: commands and scripts over one that is made again whenever it fails. */
import type { createClient } from '@redis/client';
import { type Connection, keepConnected, messageOf, Refusal } from './connection.js';
import type { Script } from './redis_scripts.js';

export type RedisClient = ReturnType<typeof createClient>;
export type RedisArgument = string | Buffer;

export interface RedisConnectionOptions {
  readonly url: string;
  /** The URL without its password, for errors. */
  readonly shown: string;
  /** How long a call may take. */
  readonly callMs: number;
  /** Called on each new connection; it counts as connected when this resolves, and has failed if it rejects. */
  prepare(client: RedisClient): Promise<void>;
  /** Connected, or no longer. */
  changed(connected: boolean): void;
}

export interface RedisConnection extends Connection<RedisClient> {
  /** A reply as the client decodes it, its strings as Buffers. Rejects with BrokerError. */
  call(args: readonly RedisArgument[]): Promise<unknown>;
  /** EVALSHA, and EVAL when the server does not know it (any more). */
  run(script: Script, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown>;
}

/** What no waiting cures: a password, a permission. */
const REFUSED = /^(?:WRONGPASS|NOAUTH|NOPERM|ERR AUTH)/;
/** What a server says that is not the one to talk to now, though it answers. */
const ELSEWHERE = /^(?:READONLY|LOADING|MASTERDOWN)/;
const NO_SCRIPT = /^NOSCRIPT/;

export async function connectRedis(options: RedisConnectionOptions): Promise<RedisConnection> {
  // Imported here: a gateway without Redis does not pay for it.
  const redis = await import('@redis/client');
  const { url, shown, callMs } = options;
  const clientOptions = {
    url,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    // Ours: the client's own limit costs an AbortSignal a command.
    commandOptions: { timeout: 0, typeMapping: { [redis.RESP_TYPES.BLOB_STRING]: Buffer } },
    socket: { connectTimeout: callMs, reconnectStrategy: false },
  } as const;

  const connection = keepConnected<RedisClient>({
    shown,
    callMs,
    dial(failed) {
      const client = redis.createClient(clientOptions) as unknown as RedisClient;
      client.on('error', failed);
      const prepared = client.connect().then(() => options.prepare(client));
      return { client: prepared.then(() => client), destroy: () => client.destroy() };
    },
    ping: (client) => client.sendCommand(['PING']),
    isRefusal: (error) => error instanceof Refusal || REFUSED.test(messageOf(error)),
    isElsewhere: (error) => ELSEWHERE.test(messageOf(error)),
    passes: (error) => NO_SCRIPT.test(messageOf(error)),
    changed: options.changed,
  });
  const call = (args: readonly RedisArgument[]): Promise<unknown> =>
    connection.use(`${shown}: ${args[0]}`, (client) => client.sendCommand(args));

  return {
    ...connection,
    call,
    async run({ source, sha }, keys, args) {
      const rest = [String(keys.length), ...keys, ...args];
      try {
        return await call(['EVALSHA', sha, ...rest]);
      } catch (error) {
        if (!NO_SCRIPT.test(messageOf(error))) throw error;
        return call(['EVAL', source, ...rest]);
      }
    },
  };
}
