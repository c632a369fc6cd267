/** The brokers that one list of behaviours is held against, each with two nodes; and what tests of brokers ask for. */
import { randomInt } from 'node:crypto';
import type {
  Appended,
  Broker,
  Entry,
  Follower,
  Logs,
  NewEntry,
  Retention,
} from '../../src/broker/broker.js';
import { openBroker } from '../../src/broker/open.js';
import { natsCommand, natsStreams } from './nats_command.js';
import { redisCommand } from './redis_command.js';
import { missingNats, missingRedis, startNats, startRedis, type TestServer } from './servers.js';

export interface Cluster {
  /** Two nodes that share what they know; of memory, one twice. */
  readonly nodes: readonly [Broker, Broker];
  close(): Promise<void>;
}

export interface BrokerKind {
  readonly kind: string;
  /** What to install before it can be tested; undefined when nothing is missing. */
  readonly missing: string | undefined;
  start(): Promise<Cluster>;
}

export const KINDS: readonly BrokerKind[] = [
  {
    kind: 'memory',
    missing: undefined,
    async start() {
      const broker = await openBroker('memory');
      return { nodes: [broker, broker], close: () => broker.close() };
    },
  },
  { kind: 'redis', missing: missingRedis(), start: () => startCluster(startRedis) },
  { kind: 'nats', missing: missingNats(), start: () => startCluster(startNats) },
];

export interface ServerKind {
  readonly kind: string;
  readonly missing: string | undefined;
  /** Keeps what it has answered when it is killed. */
  startServer(): Promise<TestServer>;
  /** Loses everything while it runs. */
  wipe(server: TestServer): Promise<void>;
  /** What it keeps, in its folder: to be removed while it does not run. */
  readonly data: string;
}

/** The servers of brokers. */
export const SERVERS: readonly ServerKind[] = [
  {
    kind: 'redis',
    missing: missingRedis(),
    startServer: () => startRedis(),
    wipe: async ({ port }) => void (await redisCommand(port, 'FLUSHALL')),
    data: 'appendonlydir',
  },
  {
    kind: 'nats',
    missing: missingNats(),
    startServer: () => startNats(),
    wipe: async ({ port }) => {
      for (const stream of await natsStreams(port)) await natsCommand(port, `STREAM.PURGE.${stream}`);
    },
    data: 'jetstream',
  },
];

async function startCluster(startServer: () => Promise<TestServer>): Promise<Cluster> {
  const server = await startServer();
  const [one, other] = await Promise.all([openBroker(server.url), openBroker(server.url)]);
  return {
    nodes: [one, other],
    async close() {
      await Promise.all([one.close(), other.close()]);
      await server.stop();
    },
  };
}

/** More than any test appends. */
export const PLENTY: Retention = { entries: 10_000, ageMs: 3_600_000, bytes: 64 << 20 };

export const nonce = (): number => randomInt(2 ** 32);

export function entry(text: string): NewEntry {
  return { nonce: nonce(), data: Buffer.from(text) };
}

export const text = ({ data }: Pick<Entry, 'data'>): string => Buffer.from(data).toString();

/** One append for each text, one after the other. */
export async function appendAll(logs: Logs, name: string, texts: readonly string[]): Promise<Appended[]> {
  const done: Appended[] = [];
  for (const each of texts) done.push(await logs.append(name, [entry(each)]));
  return done;
}

/** Resolves when the condition holds; rejects with what it was about after 15 s. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > limit) throw new Error(`not within 15 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Recorded extends Follower {
  readonly entries: Entry[];
  gaps: number;
}

/** Keeps what it hears. */
export function recorder(): Recorded {
  return {
    entries: [],
    gaps: 0,
    entry(heard) {
      this.entries.push(heard);
    },
    gap() {
      this.gaps++;
    },
  };
}
