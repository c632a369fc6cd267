/** A page of a log in NATS. */
import { PAGE_BYTES } from './arguments.js';
import type { Entry, Page, ReadOptions } from './broker.js';
import { entriesOf, type LogRecord, seqOf, sizeOf } from './nats_record.js';
import { firstThat, type Kept, type Search } from './nats_retention.js';

export interface PageOptions {
  readonly search: Search;
  /** Where the page's tail is. */
  readonly last: LogRecord;
  readonly kept: Kept;
  readonly options: ReadOptions;
}

export function readPage(page: PageOptions): Promise<Page> {
  return page.options.reverse ? readBack(page) : readOn(page);
}

async function readOn({ search, last, kept, options }: PageOptions): Promise<Page> {
  const { limit, bytes = PAGE_BYTES, since = 0 } = options;
  const { tail, record: oldest } = kept;
  const after = Math.max(options.after, tail.first - 1);
  if (!oldest || after >= tail.offset || last.at < since) return { entries: [], tail };
  const begin = async (): Promise<number> => {
    if (after >= last.previous.offset) return last.seq;
    // The record with the entry, or the one behind it.
    const seq = Math.max(oldest.seq, seqOf(after));
    if (since === 0 || oldest.at >= since) return seq;
    return (await firstThat(search, { low: seq, last }, ({ at }) => at >= since)).seq;
  };
  const from = await begin();
  const entries: Entry[] = [];
  let room = bytes;
  let first: number | undefined;
  const take = (record: LogRecord): boolean => {
    if (record.seq > last.seq) return false;
    for (const entry of entriesOf(record)) {
      if (entry.offset <= after || entry.at < since) continue;
      // What stood between was dropped since the tail was read.
      first ??= (entry.previous ?? 0) > after ? entry.offset : tail.first;
      room -= entry.data.length;
      if (entries.length === limit || (room < 0 && entries.length > 0)) return false;
      entries.push(entry);
    }
    return true;
  };
  if (from === last.seq) take(last);
  else await search.scan(from, take);
  return { entries, tail: { ...tail, first: since === 0 ? (first ?? tail.first) : tail.first } };
}

async function readBack({ search, last, kept, options }: PageOptions): Promise<Page> {
  const { limit, bytes = PAGE_BYTES, since = 0 } = options;
  const { tail, record: oldest } = kept;
  const before = options.after === 0 ? Number.POSITIVE_INFINITY : options.after;
  if (!oldest || before <= tail.first) return { entries: [], tail };
  // The record with the entry before, or the one behind it.
  const high = before > last.previous.offset + 1 ? last : ((await search.next(seqOf(before - 1))) ?? last);
  const here = entriesOf(high).filter(({ offset }) => offset < before).length;
  const end = high.count + here;
  const sum = high.sum + sizeOf(high.entries.slice(0, here));
  /** Whether it has entries of the page, if all between have. */
  const holds = (record: LogRecord): boolean => {
    const behind = record.sum + sizeOf(record.entries);
    return (
      record.count + record.entries.length > end - limit &&
      (sum - behind < bytes || record.count + record.entries.length >= end) &&
      record.at >= since
    );
  };
  const isEnough = here > 0 && (high.count <= end - limit || sum - high.sum >= bytes);
  const low =
    isEnough || high.seq <= oldest.seq
      ? high
      : holds(oldest)
        ? oldest
        : await firstThat(search, { low: oldest.seq + 1, last: high }, holds);
  const found: Entry[] = [];
  const take = (record: LogRecord): boolean => {
    if (record.seq > high.seq) return false;
    for (const entry of entriesOf(record)) {
      if (entry.offset < before && entry.offset >= tail.first && entry.at >= since) found.push(entry);
    }
    return true;
  };
  if (low.seq === high.seq) take(high);
  else await search.scan(low.seq, take);
  const entries: Entry[] = [];
  let room = bytes;
  for (const entry of found.reverse()) {
    room -= entry.data.length;
    if (entries.length === limit || (room < 0 && entries.length > 0)) break;
    entries.push(entry);
  }
  return { entries, tail };
}
