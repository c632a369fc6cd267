/** What other services build on: logs, and who is present, over one broker. */
import type { Broker, Retention } from '../../src/broker/broker.js';
import { openBroker } from '../../src/broker/open.js';
import { Attendance, type AttendanceOptions } from './attendance.js';
import { newNonce, type Topic, topicOf } from './topic.js';

/** Longer than anything is kept: for logs that are bounded by their entries alone. */
export const FOR_EVER_MS = 10 * 365 * 24 * 3_600_000;

export interface Hub {
  /** A log. Of one space all logs have the same retention, and `kind` tells apart topics of one name. */
  topic(of: {
    readonly space: string;
    readonly retention: Retention;
    readonly kind: string;
    readonly name: string;
  }): Topic;
  /** Closed with the hub. */
  attend(options: Omit<AttendanceOptions, 'members'>): Attendance;
  close(): Promise<void>;
}

/** Over the broker of an URL, which it opens and closes. Default: memory. */
export async function openHub(url?: string): Promise<Hub> {
  return hubOver(await openBroker(url));
}

/** Takes the broker over. */
export function hubOver(broker: Broker): Hub {
  const attending: Attendance[] = [];
  return {
    topic: ({ space, retention, kind, name }) => topicOf(broker.logs(space, retention), kind, name),
    attend(options) {
      const attendance = new Attendance({ ...options, members: broker.members });
      attending.push(attendance);
      return attendance;
    },
    async close() {
      for (const each of attending) each.close();
      await broker.close();
    },
  };
}

/** Appends to a topic without numbers; rejects with BrokerError. */
export async function tellTopic({ logs, name }: Topic, data: Uint8Array): Promise<void> {
  await logs.append(name, [{ nonce: newNonce(), data }]);
}
