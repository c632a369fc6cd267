/** Who follows which log, over one connection of its own: published entries, in order, and what was too large to be published read in its place. */
import type { Entry, Follower, Page } from './broker.js';
import { connectRedis, type RedisClient, type RedisConnection } from './redis_connection.js';

/** Channels in one SUBSCRIBE. */
const BATCH = 1000;
/** Messages that wait while one is read from its log; more than these are a gap. */
const WAITING = 1000;

/** Flag, previous offset, time. */
const HEAD_BYTES = 17;

interface Channel {
  readonly followers: Set<Follower>;
  readonly listener: (message: Buffer) => void;
  /** Of the present connection. */
  subscribed: Promise<void>;
  /** Messages behind the one that is being read from the log; undefined when none is. */
  waiting: Buffer[] | undefined;
}

/** Reads the log of a channel after an offset. */
type Read = (after: number) => Promise<Page>;

export interface RedisFollowers {
  readonly connection: RedisConnection;
  follow(channel: string, follower: Follower, read: Read): Promise<() => void>;
}

export async function createRedisFollowers(
  options: Omit<Parameters<typeof connectRedis>[0], 'prepare'>,
): Promise<RedisFollowers> {
  const channels = new Map<string, Channel>();

  /** What was published meanwhile is lost: everybody has to look. */
  async function prepare(client: RedisClient): Promise<void> {
    const subscribing: Promise<void>[] = [];
    for (const [name, channel] of channels) {
      channel.waiting = undefined;
      subscribing.push(client.subscribe(name, channel.listener, true));
      if (subscribing.length % BATCH === 0) await Promise.all(subscribing);
    }
    await Promise.all(subscribing);
    for (const channel of channels.values()) channel.subscribed = Promise.resolve();
  }

  const connection = await connectRedis({
    ...options,
    prepare,
    changed(connected) {
      options.changed(connected);
      if (!connected) return;
      for (const { followers } of channels.values()) for (const follower of followers) follower.gap();
    },
  });

  function open(name: string, read: Read): Channel {
    const followers = new Set<Follower>();
    const channel: Channel = {
      followers,
      listener: (message) => hear(channel, message, read),
      subscribed: Promise.resolve(),
      waiting: undefined,
    };
    channel.subscribed = connection.use('SUBSCRIBE', (client) =>
      client.subscribe(name, channel.listener, true),
    );
    channels.set(name, channel);
    return channel;
  }

  function leave(name: string, channel: Channel, own: Follower): void {
    if (!channel.followers.delete(own) || channel.followers.size > 0) return;
    channels.delete(name);
    if (!connection.connected()) return;
    // Naming the listener lets the same channel be subscribed to again before the server has answered.
    connection
      .use('UNSUBSCRIBE', (client) => client.unsubscribe(name, channel.listener, true))
      .catch(() => {});
  }

  return {
    connection,
    async follow(name, follower, read) {
      // The same follower may follow twice, and each of them ends by itself.
      const own: Follower = { entry: (entry) => follower.entry(entry), gap: () => follower.gap() };
      const channel = channels.get(name) ?? open(name, read);
      channel.followers.add(own);
      try {
        await channel.subscribed;
        // A channel that was there before may have lost its connection.
        await connection.use('SUBSCRIBE', async () => {});
      } catch (error) {
        leave(name, channel, own);
        throw error;
      }
      return () => leave(name, channel, own);
    },
  };
}

function hear(channel: Channel, message: Buffer, read: Read): void {
  if (channel.waiting) {
    if (channel.waiting.length < WAITING) channel.waiting.push(message);
    return;
  }
  const { entries, whole } = parse(message);
  if (whole) for (const entry of entries) tell(channel, entry);
  else void fetch(channel, entries, read);
}

async function fetch(channel: Channel, hinted: readonly Entry[], read: Read): Promise<void> {
  const waiting: Buffer[] = [];
  channel.waiting = waiting;
  let after = hinted[0]?.previous ?? 0;
  const end = hinted.at(-1)?.offset ?? 0;
  let missed = false;
  try {
    while (after < end) {
      const { entries } = await read(after);
      // Another connection has begun, and everybody has been told to look.
      if (channel.waiting !== waiting) return;
      for (const entry of entries) if (entry.offset <= end) tell(channel, entry);
      missed = entries.length === 0;
      after = entries.at(-1)?.offset ?? end;
    }
  } catch {
    missed = true;
  }
  if (channel.waiting !== waiting) return;
  channel.waiting = undefined;
  if (missed || waiting.length >= WAITING) for (const follower of channel.followers) follower.gap();
  for (const message of waiting) hear(channel, message, read);
}

function tell({ followers }: Channel, entry: Entry): void {
  for (const follower of followers) follower.entry(entry);
}

/** See APPEND of redis_scripts.ts. Data that are not in it are empty. */
function parse(message: Buffer): { readonly entries: readonly Entry[]; readonly whole: boolean } {
  const whole = message.readUInt8(0) === 1;
  let previous = message.readDoubleBE(1);
  const at = message.readDoubleBE(9);
  const entries: Entry[] = [];
  for (let index = HEAD_BYTES; index < message.length; previous++) {
    const nonce = message.readUInt32BE(index);
    const length = message.readUInt32BE(index + 4);
    index += 8;
    const data = whole ? message.subarray(index, index + length) : message.subarray(0, 0);
    entries.push({ offset: previous + 1, previous, nonce, at, data });
    if (whole) index += length;
  }
  return { entries, whole };
}
