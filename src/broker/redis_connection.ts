/**
 * One connection to Redis that is made again whenever it fails. A client is used for one connection only: nothing waits in it for the next one, and
 * what is asked while there is none rejects at once.
 */
import type { createClient } from '@redis/client';
import { BrokerError } from './broker.js';
import type { Script } from './redis_scripts.js';
import { within } from './within.js';

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

export interface RedisConnection {
  readonly connected: () => boolean;
  /** A reply as the client decodes it, its strings as Buffers. Rejects with BrokerError. */
  call(args: readonly RedisArgument[]): Promise<unknown>;
  /** EVALSHA, and EVAL when the server does not know it (any more). */
  run(script: Script, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown>;
  /** What is done with the client, under the same limits. */
  use<T>(what: string, work: (client: RedisClient) => Promise<T>): Promise<T>;
  /** Rejects if no connection will ever be made: the server refuses us. Resolves at the first connection. */
  readonly first: Promise<void>;
  close(): void;
}

const RETRY_MS = 100;
const RETRY_AT_MOST_MS = 2000;
/** The server is asked this often in the time of a call whether it is there; when all of them stay unanswered, it is not. */
const BEATS = 3;

/** What no waiting cures: a password, a permission. */
const REFUSED = /^(?:WRONGPASS|NOAUTH|NOPERM|ERR AUTH)/;
/** What a server says that is not the one to talk to now, though it answers. */
const ELSEWHERE = /^(?:READONLY|LOADING|MASTERDOWN)/;

/** The server answers, and never will serve us. */
export class RedisRefusal extends Error {}

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

  let client: RedisClient | undefined;
  let ready = false;
  let closed = false;
  let failures = 0;
  let retry: NodeJS.Timeout | undefined;
  let reason: unknown = new Error('not yet connected');
  let connectedOnce = (): void => {};
  let refused = (_: BrokerError): void => {};
  const first = new Promise<void>((resolve, reject) => {
    connectedOnce = resolve;
    refused = reject;
  });
  first.catch(() => {});

  const fail = (failed: RedisClient, error: unknown): void => {
    if (failed !== client) return;
    client = undefined;
    reason = error;
    failed.destroy();
    if (error instanceof RedisRefusal || REFUSED.test(message(error))) {
      refused(new BrokerError(`${shown}: ${message(error)}`, { cause: error }));
    }
    const delay = Math.min(RETRY_MS * 2 ** failures++, RETRY_AT_MOST_MS);
    if (!closed) retry = setTimeout(open, delay * (0.5 + Math.random() / 2));
    if (!ready) return;
    ready = false;
    options.changed(false);
  };

  function open(): void {
    const opened = redis.createClient(clientOptions) as unknown as RedisClient;
    client = opened;
    opened.on('error', (error) => fail(opened, error));
    const prepared = opened.connect().then(() => options.prepare(opened));
    within(callMs, 'connecting', prepared).then(
      () => {
        if (opened !== client) return;
        ready = true;
        failures = 0;
        options.changed(true);
        connectedOnce();
      },
      (error) => fail(opened, error),
    );
  }

  let beating: RedisClient | undefined;
  let missed = 0;
  const heartbeat = setInterval(() => {
    if (!client || !ready) return;
    if (beating === client) {
      if (++missed >= BEATS) fail(client, new Error(`no answer in ${callMs} ms`));
      return;
    }
    const asked = client;
    beating = asked;
    missed = 0;
    const answered = (): void => {
      if (beating === asked) beating = undefined;
    };
    asked.sendCommand(['PING']).then(answered, (error) => {
      answered();
      fail(asked, error);
    });
  }, callMs / BEATS);

  async function use<T>(what: string, work: (client: RedisClient) => Promise<T>): Promise<T> {
    if (closed) throw new BrokerError('the broker is closed');
    const asked = client;
    if (!asked || !ready)
      throw new BrokerError(`${shown} is not connected: ${message(reason)}`, { cause: reason });
    try {
      return await within(callMs, what, work(asked));
    } catch (error) {
      if (ELSEWHERE.test(message(error))) fail(asked, error);
      if (error instanceof BrokerError || NO_SCRIPT.test(message(error))) throw error;
      throw new BrokerError(`${what}: ${message(error)}`, { cause: error });
    }
  }
  const call = (args: readonly RedisArgument[]): Promise<unknown> =>
    use(`${shown}: ${args[0]}`, (client) => client.sendCommand(args));

  open();
  return {
    connected: () => ready,
    call,
    async run({ source, sha }, keys, args) {
      const rest = [String(keys.length), ...keys, ...args];
      try {
        return await call(['EVALSHA', sha, ...rest]);
      } catch (error) {
        if (!NO_SCRIPT.test(message(error))) throw error;
        return call(['EVAL', source, ...rest]);
      }
    },
    use,
    first,
    close() {
      if (closed) return;
      closed = true;
      ready = false;
      clearInterval(heartbeat);
      clearTimeout(retry);
      client?.destroy();
      client = undefined;
      connectedOnce();
    },
  };
}

const NO_SCRIPT = /^NOSCRIPT/;

function message(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Of several addresses that were all refused, for example.
  return error.message || ('code' in error ? String(error.code) : error.name);
}
