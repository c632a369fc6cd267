/** What the retention leaves of a log in NATS. The server keeps a little more: it counts messages, and drops what it is told to. */
import type { Retention, Tail } from './broker.js';
import { endOf, type LogRecord, offsetOf, sizeOf } from './nats_record.js';

/** The records of one log. */
export interface Search {
  last(): Promise<LogRecord | undefined>;
  /** The first one with this sequence or a greater one. */
  next(seq: number): Promise<LogRecord | undefined>;
  /** In order, until there are no more of them or `take` answers false. */
  scan(from: number, take: (record: LogRecord) => boolean): Promise<void>;
}

export interface Kept {
  readonly tail: Tail;
  /** With the first entry that is kept; undefined when none is. */
  readonly record: LogRecord | undefined;
  /** The oldest one that the server has. */
  readonly oldest: LogRecord;
}

interface KeptOptions {
  readonly retention: Retention;
  readonly search: Search;
  /** No message has a smaller sequence. */
  readonly from: number;
}

/** Of a log that ends with `last`. */
export async function keptOf(last: LogRecord, { retention, search, from }: KeptOptions): Promise<Kept> {
  const end = last.count + last.entries.length;
  const sum = last.sum + sizeOf(last.entries);
  const since = Date.now() - retention.ageMs;
  /** Whether the entry at this place is kept, before which there are so many bytes. */
  const isKept = (count: number, before: number): boolean =>
    end - count <= retention.entries && (sum - before <= retention.bytes || count === end - 1);
  const hasKept = (record: LogRecord): boolean => {
    const { at, entries, count } = record;
    const newest = entries.at(-1);
    if (!newest || at < since) return false;
    return isKept(count + entries.length - 1, record.sum + sizeOf(entries) - newest.data.length);
  };
  const tailWith = (first: number): Tail => ({ epoch: last.epoch, ...endOf(last), first });

  const found = await search.next(from);
  // All between was removed while we asked.
  const oldest = found && found.seq <= last.seq ? found : last;
  if (!hasKept(last)) return { tail: tailWith(endOf(last).offset + 1), record: undefined, oldest };
  const record = hasKept(oldest) ? oldest : await firstThat(search, { low: oldest.seq + 1, last }, hasKept);
  let before = record.sum;
  let index = 0;
  for (const { data } of record.entries) {
    if (isKept(record.count + index, before)) break;
    before += data.length;
    index++;
  }
  return { tail: tailWith(offsetOf(record.seq, index)), record, oldest };
}

/**
 * The first record from the sequence `low` on for which it holds, as it does for all after it; `last` at the latest. Looks near `low` first:
 * the sequences of a log are spread among those of the others of its space.
 */
export async function firstThat(
  search: Search,
  { low, last }: { readonly low: number; readonly last: LogRecord },
  holds: (record: LogRecord) => boolean,
): Promise<LogRecord> {
  let best = last;
  let from = low;
  // None from here to the best one.
  let to = last.seq;
  for (let step = 1; from < to; step *= 2) {
    const middle = Math.min(from + step - 1, Math.floor((from + to) / 2));
    const found = await search.next(middle);
    if (found === undefined || found.seq >= to) to = middle;
    else if (holds(found)) {
      best = found;
      to = middle;
    } else from = found.seq + 1;
  }
  return best;
}
