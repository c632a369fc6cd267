/** A stretch of what a log has kept: after a position, between two times, in either direction. */
import type { Entry, ReadOptions, Tail } from '../../src/broker/broker.js';
import { LogLost, type LogPosition, verifyPage } from '../../src/broker/follower.js';
import { answered, lossOf } from './refusals.js';
import type { Topic } from './topic.js';

export interface StretchQuery {
  /** Entries after it, or with `reverse` before it. Undefined: from the oldest, or the newest. */
  readonly after: LogPosition | undefined;
  /** Only entries of this time or later. */
  readonly startTime: Date | undefined;
  /** Only entries before this time. */
  readonly endTime: Date | undefined;
  readonly limit: number;
  readonly reverse: boolean;
}

export interface Stretch {
  readonly entries: readonly Entry[];
  readonly tail: Tail;
  /** Whether there are more of the kind in this direction. */
  readonly more: boolean;
  /** Whether some between where it should begin and the first one here are no longer kept. By time, whether that may be. */
  readonly truncated: boolean;
}

/** Of the data of one stretch. */
const BYTES = 1024 * 1024;

/** Throws OUT_OF_RANGE for a position that the log has lost, other than by keeping it no longer. */
export async function readStretch(topic: Topic, query: StretchQuery): Promise<Stretch> {
  const { after, startTime, endTime, limit, reverse } = query;
  const isKept = after === undefined || (await isInLog(topic, after));
  const { logs, name } = topic;
  const read = (options: Pick<ReadOptions, 'after' | 'limit'>) => {
    const since = startTime === undefined ? {} : { since: Math.max(startTime.getTime(), 0) };
    return answered(logs.read(name, { ...options, ...since, reverse, bytes: BYTES }));
  };
  const begin = reverse ? await endOf(topic, query) : (after?.offset ?? 0);
  if (begin === undefined)
    return { entries: [], tail: await answered(logs.tail(name)), more: false, truncated: !isKept };
  const { entries: found, tail } = await read({ after: begin, limit: limit + 1 });
  const isMeant = (entry: Entry | undefined) =>
    entry !== undefined && (endTime === undefined || entry.at < endTime.getTime());
  const entries = found.slice(0, limit).filter(isMeant);
  const last = entries.at(-1);
  const isLast = last === undefined || last.offset === (reverse ? tail.first : tail.offset);
  const next = isLast
    ? undefined
    : (found[entries.length] ?? (await read({ after: last.offset, limit: 1 })).entries[0]);
  const byTime = !reverse && after === undefined && startTime !== undefined && mayMiss(found[0], tail);
  return { entries, tail, more: isMeant(next), truncated: !isKept || byTime };
}

/** Whether what follows the position is all there. Throws OUT_OF_RANGE when the log is another one than that of the position. */
async function isInLog({ logs, name, key }: Topic, position: LogPosition): Promise<boolean> {
  const page = await answered(logs.read(name, { after: Math.max(position.offset - 1, 0), limit: 1 }));
  try {
    verifyPage(position, page);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof LogLost)) throw thrown;
    if (thrown.loss === 'truncated') return false;
    throw lossOf(thrown, name, key);
  }
}

/** The offset before which to begin backwards, 0 for the end of the log; undefined when nothing can be before it. */
async function endOf({ logs, name }: Topic, { after, endTime }: StretchQuery): Promise<number | undefined> {
  if (after?.offset === 0) return undefined;
  if (endTime === undefined) return after?.offset ?? 0;
  const since = Math.max(endTime.getTime(), 0);
  const { entries } = await answered(logs.read(name, { after: 0, limit: 1, since }));
  const offsets = [after, entries[0]].flatMap((each) => each?.offset ?? []);
  return offsets.length === 0 ? 0 : Math.min(...offsets);
}

/** By time nobody knows what was there before the oldest that is kept, so that it may have been asked for must do. */
function mayMiss(first: Entry | undefined, tail: Tail): boolean {
  if (first === undefined) return tail.offset > 0 && tail.first > tail.offset;
  return first.offset === tail.first && first.previous !== 0;
}
