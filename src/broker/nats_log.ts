/** One log in NATS: the messages of one subject, each the record of an append. Appends of this node wait for each other, and share messages. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Appended,
  BrokerError,
  LogConflict,
  type NewEntry,
  type Page,
  type Position,
  type ReadOptions,
  type Retention,
  type Tail,
} from './broker.js';
import { readPage } from './nats_page.js';
import {
  endOf,
  type LogRecord,
  MOST_ENTRIES,
  type NewRecord,
  overhead,
  parseRecord,
  positionsOf,
  printRecord,
  seqOf,
  sizeOf,
} from './nats_record.js';
import { type Kept, keptOf, type Search } from './nats_retention.js';
import { Conflict, type NatsStore } from './nats_store.js';

export interface Append {
  readonly entries: readonly NewEntry[];
  readonly expect?: Pick<Tail, 'epoch' | 'offset' | 'nonce'> | undefined;
  readonly key?: string | undefined;
}

interface Waiting extends Append {
  readonly resolve: (done: Appended) => void;
  readonly reject: (error: unknown) => void;
}

export interface NatsLogOptions {
  readonly store: NatsStore;
  readonly subject: string;
  readonly retention: Retention;
  /** How long an append may lose against others before it is given up. */
  readonly callMs: number;
}

/** Data of appends that share one message, in bytes at most. */
const SHARED_BYTES = 64 << 10;
/** What is outside the retention is removed from the server when it is this part of all, and so many entries, so many bytes, or so much too old. */
const SURPLUS = 0.1;
const SURPLUS_ENTRIES = 16;
const SURPLUS_BYTES = 64 << 10;
const LONGEST_PAUSE_MS = 100;

const EMPTY: Tail = { epoch: undefined, offset: 0, nonce: 0, first: 1 };

export class NatsLog {
  readonly #options: NatsLogOptions;
  readonly #search: Search;
  #waiting: Waiting[] = [];
  #appending = false;
  #trimming = false;
  /** The last record, as far as this node knows; what is stored after it is noticed by a conflict. Undefined: not known. */
  #last: { readonly record: LogRecord | undefined; readonly of: number } | undefined;
  /** Of the oldest message, or one that has been removed. */
  #oldest: { readonly record: LogRecord; readonly of: number } | undefined;

  constructor(options: NatsLogOptions) {
    this.#options = options;
    this.#search = {
      last: () => this.#load(),
      next: async (seq) => this.#parsed(await options.store.next(options.subject, seq)),
      scan: (from, take) =>
        options.store.scan(options.subject, from, ({ seq, data }) => take(parseRecord(seq, data))),
    };
  }

  get isIdle(): boolean {
    return !this.#appending && !this.#trimming;
  }

  append(wanted: Append): Promise<Appended> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...wanted, resolve, reject });
      if (!this.#appending) void this.#appendAll();
    });
  }

  async read(options: ReadOptions): Promise<Page> {
    const last = await this.#load();
    if (!last) return { entries: [], tail: EMPTY };
    const kept = await this.#kept(last);
    return readPage({ search: this.#search, last, kept, options });
  }

  async tail(): Promise<Tail> {
    const last = await this.#load();
    return last ? (await this.#kept(last)).tail : EMPTY;
  }

  /** When everything has aged: leaves a record of where the log ends, and nothing else. Whether that is so. */
  async dropAged(now: number): Promise<boolean> {
    const last = this.#known();
    if (!last || last.at >= now - this.#options.retention.ageMs) return false;
    if (last.entries.length === 0) return true;
    const end = { ...follows(last), epoch: last.epoch, at: last.at, entries: [] };
    await this.#store(end, last.seq, undefined).catch((error: unknown) => {
      this.#last = undefined;
      throw error;
    });
    await this.#removeBefore(this.#known() ?? last);
    return true;
  }

  async #appendAll(): Promise<void> {
    this.#appending = true;
    // What comes in the same turn goes into the same message.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#nextGroup();
      try {
        await this.#appendGroup(group);
      } catch (error) {
        this.#last = undefined;
        for (const { reject } of group) reject(error);
      }
    }
    this.#appending = false;
  }

  /** Those that wait and can be one message: an append with conditions is alone. */
  #nextGroup(): Waiting[] {
    const alone = ({ expect, key }: Append): boolean => expect !== undefined || key !== undefined;
    const [first] = this.#waiting as [Waiting];
    let count = 1;
    let entries = first.entries.length;
    let bytes = sizeOf(first.entries);
    for (; !alone(first) && count < this.#waiting.length; count++) {
      const next = this.#waiting[count] as Waiting;
      entries += next.entries.length;
      bytes += sizeOf(next.entries);
      if (alone(next) || entries > MOST_ENTRIES || bytes > SHARED_BYTES) break;
    }
    return this.#waiting.splice(0, count);
  }

  async #appendGroup(group: readonly Waiting[]): Promise<void> {
    const limit = performance.now() + this.#options.callMs;
    for (let tries = 1; ; tries++) {
      const known = this.#known();
      const last = known ?? (await this.#load());
      const [{ expect, entries: wanted }] = group as [Waiting];
      if (expect && !endsAt(last, expect)) {
        const before = await this.#done(expect, wanted, last);
        if (before) return settle(group, before, false);
        const found = known ? await this.#load() : last;
        if (known && endsAt(found, expect)) continue;
        throw new LogConflict(found ? (await this.#kept(found)).tail : EMPTY);
      }
      try {
        const stored = await this.#storeGroup(group, last);
        settle(group, stored.record, stored.duplicate);
        if (!stored.duplicate) this.#trimSoon(stored.record);
        return;
      } catch (error) {
        if (!(error instanceof Conflict)) throw error;
        this.#last = undefined;
        if (performance.now() > limit)
          throw new BrokerError(`${this.#options.subject}: others append without end`);
        if (tries > 2) await sleep(Math.random() * Math.min(2 ** tries, LONGEST_PAUSE_MS));
      }
    }
  }

  #storeGroup(
    group: readonly Waiting[],
    last: LogRecord | undefined,
  ): Promise<{ readonly record: LogRecord; readonly duplicate: boolean }> {
    const record: NewRecord = {
      ...(last ? follows(last) : { previous: { offset: 0, nonce: 0 }, count: 0, sum: 0 }),
      epoch: last?.epoch ?? randomBytes(6).toString('hex'),
      at: Math.max(Date.now(), last?.at ?? 0),
      entries: group.flatMap(({ entries }) => entries),
    };
    return this.#store(record, last?.seq ?? 0, group[0]?.key);
  }

  async #store(
    record: NewRecord,
    expect: number,
    key: string | undefined,
  ): Promise<{ readonly record: LogRecord; readonly duplicate: boolean }> {
    const { store, subject } = this.#options;
    const id = key === undefined ? undefined : `${subject}:${Buffer.from(key).toString('base64url')}`;
    const of = store.incarnation;
    const { seq, duplicate } = await store.publish(subject, printRecord(record), { expect, id });
    if (!duplicate) {
      this.#last = { record: { ...record, seq }, of };
      return { record: { ...record, seq }, duplicate };
    }
    const made = await store.at(seq);
    const [entry] = record.entries;
    // Dropped meanwhile: nobody can tell its nonce, nor ask for it.
    const lost = { ...record, seq, entries: entry ? [{ ...entry, nonce: 0 }] : [] };
    return { record: made ? parseRecord(seq, made.data) : lost, duplicate };
  }

  /** The record of these entries, if they were appended exactly there before. */
  async #done(
    { epoch, offset, nonce }: Pick<Tail, 'epoch' | 'offset' | 'nonce'>,
    entries: readonly NewEntry[],
    last: LogRecord | undefined,
  ): Promise<LogRecord | undefined> {
    if (!last || (epoch !== undefined && epoch !== last.epoch)) return undefined;
    const found = await this.#search.next(offset === 0 ? 1 : seqOf(offset) + 1);
    const isIt =
      found?.epoch === last.epoch &&
      found.previous.offset === offset &&
      found.previous.nonce === nonce &&
      found.entries.length === entries.length &&
      found.entries.every((entry, index) => entry.nonce === entries[index]?.nonce);
    return isIt ? found : undefined;
  }

  async #load(): Promise<LogRecord | undefined> {
    const { store, subject } = this.#options;
    await store.ready();
    const of = store.incarnation;
    const record = this.#parsed(await store.last(subject));
    this.#last = { record, of };
    return record;
  }

  #known(): LogRecord | undefined {
    return this.#last?.of === this.#options.store.incarnation ? this.#last.record : undefined;
  }

  #parsed(stored: { readonly seq: number; readonly data: Uint8Array } | undefined): LogRecord | undefined {
    return stored && parseRecord(stored.seq, stored.data);
  }

  /** What the retention leaves of a log that ends so; the rest is removed from the server when it is worth it. */
  async #kept(last: LogRecord): Promise<Kept> {
    const { store, retention } = this.#options;
    const of = store.incarnation;
    const from = this.#oldest?.of === of ? this.#oldest.record.seq : 1;
    const kept = await keptOf(last, { retention, search: this.#search, from });
    this.#oldest = { record: kept.oldest, of };
    if (!this.#trimming && this.#isWorthTrimming(last, kept)) {
      this.#trimming = true;
      this.#removeBefore(kept.record ?? last)
        .catch(() => {})
        .finally(() => {
          this.#trimming = false;
        });
    }
    return kept;
  }

  #isWorthTrimming(last: LogRecord, { record = last, oldest }: Kept): boolean {
    const surplus = record.count - oldest.count;
    if (surplus <= SURPLUS * (last.count + last.entries.length - oldest.count)) return false;
    const isOld = oldest.at < Date.now() - this.#options.retention.ageMs * (1 + SURPLUS);
    return surplus >= SURPLUS_ENTRIES || record.sum - oldest.sum >= SURPLUS_BYTES || isOld;
  }

  async #removeBefore(record: LogRecord): Promise<void> {
    const { store, subject } = this.#options;
    const of = store.incarnation;
    await store.purge(subject, record.seq);
    this.#oldest = { record, of };
  }

  /** Looks what the retention drops, if that may be worth while after an append. */
  #trimSoon(last: LogRecord): void {
    const { retention, store } = this.#options;
    const oldest = this.#oldest?.of === store.incarnation ? this.#oldest.record : undefined;
    const most = 1 + SURPLUS;
    const isFull =
      !oldest ||
      last.count - oldest.count > retention.entries * most + SURPLUS_ENTRIES ||
      last.sum - oldest.sum > retention.bytes * most + SURPLUS_BYTES ||
      last.at - oldest.at > retention.ageMs * most;
    if (!isFull || this.#trimming) return;
    this.#kept(last).catch(() => {});
  }
}

function settle(group: readonly Waiting[], record: LogRecord, duplicate: boolean): void {
  const positions: readonly Position[] = positionsOf(record);
  let index = 0;
  for (const { entries, resolve } of group) {
    const own = positions.slice(index, index + entries.length);
    index += entries.length;
    resolve({ epoch: record.epoch, positions: own, duplicate });
  }
}

function follows(last: LogRecord): Pick<NewRecord, 'previous' | 'count' | 'sum'> {
  return {
    previous: endOf(last),
    count: last.count + last.entries.length,
    sum: last.sum + sizeOf(last.entries),
  };
}

function endsAt(
  last: LogRecord | undefined,
  { epoch, offset, nonce }: NonNullable<Append['expect']>,
): boolean {
  if (!last) return epoch === undefined && offset === 0 && nonce === 0;
  const end = endOf(last);
  return epoch === last.epoch && offset === end.offset && nonce === end.nonce;
}

/** Bytes of a message that holds these entries, at most. */
export const messageSize = (entries: readonly NewEntry[]): number =>
  overhead(entries.length) + sizeOf(entries);
