/** What a consumer of a JetStream stream delivers, as it is asked for. */
import { randomUUID } from 'node:crypto';
import type { Msg, NatsConnection } from '@nats-io/transport-node';

export interface Stored {
  readonly subject: string;
  readonly seq: number;
  /** When it was stored, by the clock of the server, in ms since the epoch. */
  readonly time: number;
  readonly data: Uint8Array;
}

export interface Delivery {
  /** What has come, in order; none when the server says that none came within `waitMs`. To be asked by one at a time. */
  next(waitMs: number): Promise<readonly Stored[]>;
  close(): void;
}

/** Of one request, messages. */
const PULLED = 500;

/** JetStream counts time in nanoseconds. */
export const nanos = (ms: number): number => Math.min(ms * 1e6, Number.MAX_SAFE_INTEGER);

/**
 * @param consumer of pulls, as `stream.consumer`.
 * @param bytes of one request at most; no message may be larger.
 */
export function openDelivery(client: NatsConnection, consumer: string, bytes: number): Delivery {
  const inbox = `_INBOX.${randomUUID()}`;
  let waiting: Stored[] = [];
  /** Messages that the server may send still. */
  let room = 0;
  let wake = (): void => {};
  const subscription = client.subscribe(inbox, {
    callback(error, message) {
      if (error || !message.reply?.startsWith('$JS.ACK.')) room = 0;
      else {
        waiting.push(parse(message, message.reply));
        room--;
      }
      wake();
    },
  });

  return {
    async next(waitMs) {
      if (waiting.length === 0 && room === 0) {
        room = PULLED;
        // How many the server says are pending is no end of them: it counts those that were removed.
        const body = { batch: PULLED, max_bytes: bytes, expires: nanos(waitMs) };
        client.publish(`$JS.API.CONSUMER.MSG.NEXT.${consumer}`, JSON.stringify(body), { reply: inbox });
      }
      while (waiting.length === 0 && room > 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      const messages = waiting;
      waiting = [];
      return messages;
    },
    close: () => subscription.unsubscribe(),
  };
}

/** A reply is `$JS.ACK.stream.consumer.deliveries.sequence.consumer sequence.time in ns.pending`, perhaps with a domain and an account before the stream. */
function parse({ subject, data }: Msg, reply: string): Stored {
  const parts = reply.split('.');
  const [, seq, , time] = parts.length === 9 ? parts.slice(4) : parts.slice(6);
  return { subject, seq: Number(seq), time: Number(time) / 1e6, data };
}
