/** A log with the name by which positions know it; and several of them followed as one. */
import { randomInt } from 'node:crypto';
import type { Entry, Logs } from '../../src/broker/broker.js';
import { followLog, type LogFollower, LogLost, type LogPosition } from '../../src/broker/follower.js';
import { check } from '../validation.js';
import { merge } from './merge.js';
import { keyOf, parsePositions, printPosition } from './position.js';
import { answered, lossOf } from './refusals.js';

/** Where a topic can be followed from; services need nothing else of the brokers. */
export { BEGINNING, type LogPosition } from '../../src/broker/follower.js';

export interface Topic {
  readonly logs: Logs;
  readonly name: string;
  readonly key: string;
}

/** `kind` tells apart what has the same name: the events of a channel, and who is present in it. */
export function topicOf(logs: Logs, kind: string, name: string): Topic {
  return { logs, name, key: keyOf(kind, name) };
}

/** One entry with the position behind it, which is that of all topics that are followed. */
export interface Located<T extends Topic> {
  readonly topic: T;
  readonly entry: Entry;
  readonly position: string;
}

export interface Following<T extends Topic> {
  /** Where it begins. */
  readonly start: string;
  /** Throws OUT_OF_RANGE when entries were lost; ends with the signal. */
  readonly entries: AsyncIterable<Located<T>>;
  /** For who does not iterate, after all. */
  readonly stop: () => void;
}

type Begin = LogPosition | 'now' | 'earliest';

export interface FollowOptions {
  /** A position, of one or several topics; empty or `earliest`; undefined or `now`; or where each topic begins. */
  readonly after: string | undefined | ((topic: Topic) => Begin);
  readonly signal: AbortSignal;
}

/** Any number: what tells an entry from another one that took its offset. */
export const newNonce = (): number => randomInt(2 ** 32);

/** Follows topics as one. Throws INVALID_ARGUMENT, OUT_OF_RANGE and UNAVAILABLE before the first entry. */
export async function followTopics<T extends Topic>(
  topics: readonly T[],
  { after, signal }: FollowOptions,
): Promise<Following<T>> {
  const begin = beginningOf(topics, after);
  const ended = new AbortController();
  const end = () => {
    signal.removeEventListener('abort', end);
    ended.abort();
  };
  signal.addEventListener('abort', end);
  if (signal.aborted) end();
  const opening = topics.map((topic) => follow(topic, begin(topic), ended.signal));
  try {
    const sources = await Promise.all(opening);
    const positions = new Map(sources.map(({ topic, start }) => [topic.key, start]));
    const start = [...positions.values()].join('~');
    return { start, entries: locate(sources, positions, end), stop: end };
  } catch (thrown) {
    end();
    throw thrown;
  }
}

/** Where each topic begins. */
function beginningOf(topics: readonly Topic[], after: FollowOptions['after']): (topic: Topic) => Begin {
  if (typeof after === 'function') return after;
  if (after === undefined || after === 'now') return () => 'now';
  if (after === '' || after === 'earliest') return () => 'earliest';
  const positions = parsePositions(after, 'after');
  const known = topics.some(({ key }) => positions.has(key));
  check(known, 'after', 'is a position of something else');
  return ({ key }) => positions.get(key) ?? 'now';
}

interface Source<T extends Topic> {
  readonly topic: T;
  readonly start: string;
  readonly entries: AsyncIterable<Omit<Located<T>, 'position'> & { readonly own: string }>;
}

async function follow<T extends Topic>(topic: T, after: Begin, signal: AbortSignal): Promise<Source<T>> {
  const { logs, name, key } = topic;
  const follower = await answered(followLog({ logs, name, after, signal })).catch((thrown: unknown) => {
    throw thrown instanceof LogLost ? lossOf(thrown, name, key) : thrown;
  });
  return { topic, start: printPosition(key, follower.start), entries: entriesOf(topic, follower) };
}

async function* entriesOf<T extends Topic>(topic: T, follower: LogFollower) {
  const { name, key } = topic;
  try {
    for await (const { entries, epoch } of follower) {
      for (const entry of entries) yield { topic, entry, own: printPosition(key, positionIn(epoch, entry)) };
    }
  } catch (thrown) {
    throw thrown instanceof LogLost ? lossOf(thrown, name, key) : thrown;
  }
}

const positionIn = (epoch: string | undefined, { offset, nonce }: Entry): LogPosition => ({
  epoch,
  offset,
  nonce,
});

/** `positions`: of all topics, each behind its last entry. */
async function* locate<T extends Topic>(
  sources: readonly Source<T>[],
  positions: Map<string, string>,
  end: () => void,
): AsyncGenerator<Located<T>, void> {
  try {
    const [first, ...others] = sources;
    const all = others.length === 0 && first ? first.entries : merge(sources.map(({ entries }) => entries));
    for await (const { topic, entry, own } of all) {
      positions.set(topic.key, own);
      const position = sources.length === 1 ? own : [...positions.values()].join('~');
      yield { topic, entry, position };
    }
  } finally {
    end();
  }
}
