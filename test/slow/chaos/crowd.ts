/** The clients of a chaos run: every way to read a stream, many of each, on many streams. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { History } from '../../e2e/properties/history.js';
import { resumes } from '../../e2e/properties/history.js';
import { type Client, type Door, startClient } from '../../support/resume/client.js';
import { longPoll } from '../../support/resume/poll.js';
import { jsonSocket, protoSocket } from '../../support/resume/socket.js';
import { sse } from '../../support/resume/sse.js';
import { type Kind, tickerPath } from '../../support/ticker.js';

export interface ChaosStream {
  readonly kind: Kind;
  readonly name: string;
}

/** Of ten streams: most are shared, with and without a history of the service. */
const KINDS: readonly Kind[] = [
  'Log',
  'Live',
  'Log',
  'Live',
  'Log',
  'Private',
  'Live',
  'Log',
  'Node',
  'Live',
];

/** Of ten clients of a stream. */
const DOORS: readonly Door[] = [
  sse,
  jsonSocket,
  longPoll,
  sse,
  protoSocket,
  sse,
  longPoll,
  jsonSocket,
  sse,
  protoSocket,
];

export function chaosStreams(count: number): ChaosStream[] {
  return Array.from({ length: count }, (_, index) => {
    const kind = KINDS[index % KINDS.length] as Kind;
    return { kind, name: `${kind.toLowerCase()}-${index}` };
  });
}

export interface Crowd {
  readonly clients: readonly Client[];
  /** Cuts each client once or twice within `ms`, at random, half of them in the middle of an event. */
  cutAll(ms: number): Promise<void>;
  /** Resolves when every client has seen event `n`; after `withinMs` all the same, with those that have not. */
  untilAllSaw(n: number, withinMs: number): Promise<readonly Client[]>;
  leave(): Promise<void>;
}

interface CrowdOptions {
  readonly streams: readonly ChaosStream[];
  readonly clients: number;
  /** The port of a gateway, another one at each call. */
  readonly port: () => number;
}

/**
 * Nobody polls a private stream: each poll is a call of the service that is cancelled, and Node's HTTP/2 servers close a connection on
 * which more than 33 a second are.
 */
export function gatherCrowd({ streams, clients: count, port }: CrowdOptions): Crowd {
  const clients = Array.from({ length: count }, (_, index) => {
    const { kind, name } = streams[index % streams.length] as ChaosStream;
    const turn = DOORS[Math.floor(index / streams.length) % DOORS.length] as Door;
    const door = kind === 'Private' && turn === longPoll ? sse : turn;
    return startClient({
      name: `${index} ${door.name}`,
      door,
      stream: name,
      path: tickerPath(kind, name),
      port,
    });
  });
  return {
    clients,
    cutAll: async (ms) => {
      const cuts = clients.map(async (client, index) => {
        for (let left = 1 + Math.floor(Math.random() * 2); left > 0; left--) {
          await sleep((Math.random() * ms) / 2);
          client.cut(index % 2 === 0);
        }
      });
      await Promise.all(cuts);
    },
    untilAllSaw: async (n, withinMs) => {
      const limit = performance.now() + withinMs;
      for (;;) {
        const behind = clients.filter((client) => client.last() < n);
        if (behind.length === 0 || performance.now() > limit) return behind;
        await sleep(100);
      }
    },
    leave: () => leaveAll(clients),
  };
}

async function leaveAll(clients: readonly Client[]): Promise<void> {
  for (const client of clients) client.leave();
  await Promise.all(clients.map(({ gone }) => gone));
}

interface Probing {
  readonly streams: readonly ChaosStream[];
  readonly histories: readonly History[];
  readonly count: number;
  readonly last: number;
  readonly port: () => number;
}

/**
 * Resumes from cursors that anybody has seen anywhere, picked at random, and reads to the end of the stream: the histories of
 * these readers, for whom the suffix has to be exactly what lies behind the cursor.
 */
export async function probe({ streams, histories, count, last, port }: Probing): Promise<History[]> {
  const seen: { readonly cursor: string; readonly stream: string }[] = [];
  for (const { stream, happenings } of histories) {
    for (const happening of happenings) {
      if (happening.kind !== 'connect' && 'cursor' in happening && resumes(happening.cursor))
        seen.push({ cursor: happening.cursor, stream });
    }
  }
  const probes: Client[] = [];
  for (let index = 0; index < count && seen.length > 0; index++) {
    const { cursor, stream } = seen[Math.floor(Math.random() * seen.length)] as (typeof seen)[number];
    const { kind } = streams.find(({ name }) => name === stream) as ChaosStream;
    const turn = DOORS[index % DOORS.length] as Door;
    const door = kind === 'Private' && turn === longPoll ? sse : turn;
    const client = startClient({
      name: `probe ${index} ${door.name}`,
      door,
      stream,
      path: tickerPath(kind, stream),
      cursor,
      port,
    });
    probes.push(client);
  }
  const limit = performance.now() + 30_000;
  // A cursor behind the last event has no suffix: it is enough that it opens.
  while (!probes.every((client) => client.last() >= last || client.connected()) && performance.now() < limit)
    await sleep(50);
  while (!probes.every((client) => settled(client, last)) && performance.now() < limit) await sleep(50);
  await leaveAll(probes);
  return probes.map(({ history }) => history);
}

/** Whether it has seen the last event, or nothing for a while after it opened. */
function settled({ history, last }: Client, end: number): boolean {
  const { happenings } = history;
  return last() >= end || performance.timeOrigin + performance.now() - (happenings.at(-1)?.at ?? 0) > 3000;
}
