/** Who follows which log, over NATS: the server tells what it has stored, in order, to whoever has subscribed to the log's subject. */
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { Follower } from './broker.js';
import type { NatsLink } from './nats_connection.js';
import { entriesOf, parseRecord } from './nats_record.js';

interface Channel {
  readonly followers: Set<Follower>;
  /** Of the present connection. */
  subscription: Subscription | undefined;
  subscribed: Promise<void>;
}

export interface NatsFollowers {
  /** @param answered asks the server that tells: what it stores after it has answered is told. */
  follow(subject: string, follower: Follower, answered: () => Promise<unknown>): Promise<() => void>;
  /** Subscribes again, on a new connection. */
  prepare(client: NatsConnection): Promise<void>;
  /** What was told meanwhile is lost: everybody has to look. */
  gap(): void;
}

export function createNatsFollowers(link: () => NatsLink): NatsFollowers {
  const channels = new Map<string, Channel>();

  function subscribe(client: NatsConnection, subject: string, channel: Channel): void {
    channel.subscription = client.subscribe(subject, {
      callback: (error, message) => hear(channel, error, message),
    });
  }

  function open(subject: string, answered: () => Promise<unknown>): Channel {
    const channel: Channel = {
      followers: new Set(),
      subscription: undefined,
      subscribed: Promise.resolve(),
    };
    channels.set(subject, channel);
    channel.subscribed = link()
      .use(`following ${subject}`, async (client) => subscribe(client, subject, channel))
      .then(answered)
      .then(() => {});
    return channel;
  }

  function leave(subject: string, channel: Channel, own: Follower): void {
    if (!channel.followers.delete(own) || channel.followers.size > 0) return;
    channels.delete(subject);
    if (link().connected()) channel.subscription?.unsubscribe();
  }

  return {
    async follow(subject, follower, answered) {
      // The same follower may follow twice, and each of them ends by itself.
      const own: Follower = { entry: (entry) => follower.entry(entry), gap: () => follower.gap() };
      const channel = channels.get(subject) ?? open(subject, answered);
      channel.followers.add(own);
      try {
        await channel.subscribed;
        // A channel that was there before may have lost its connection.
        await link().use(`following ${subject}`, async () => {});
      } catch (error) {
        leave(subject, channel, own);
        throw error;
      }
      return () => leave(subject, channel, own);
    },
    async prepare(client) {
      for (const [subject, channel] of channels) subscribe(client, subject, channel);
      await client.flush();
      for (const channel of channels.values()) channel.subscribed = Promise.resolve();
    },
    gap() {
      for (const { followers } of channels.values()) for (const follower of followers) follower.gap();
    },
  };
}

function hear({ followers }: Channel, error: Error | null, message: Msg): void {
  try {
    if (error) throw error;
    const seq = Number(message.headers?.get('Nats-Sequence'));
    const entries = entriesOf(parseRecord(seq, message.data));
    for (const entry of entries) for (const follower of followers) follower.entry(entry);
  } catch {
    // Not one of ours: whoever reads will hear of it.
    for (const follower of followers) follower.gap();
  }
}
