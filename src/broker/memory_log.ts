/** One log in the memory of this process. */
import { randomBytes } from 'node:crypto';
import { KEY_MS, PAGE_BYTES } from './arguments.js';
import {
  type Appended,
  type AppendOptions,
  type Entry,
  type Follower,
  LogConflict,
  type NewEntry,
  type Page,
  type Position,
  type ReadOptions,
  type Retention,
  type Tail,
} from './broker.js';
import type { MemoryBudget, Spender } from './memory_budget.js';

/** A log without entries and followers is forgotten after this long: its next append begins a new epoch. */
const FORGOTTEN_MS = 24 * 3_600_000;

interface KeptKey {
  readonly position: Position;
  readonly at: number;
}

export class MemoryLog implements Spender {
  readonly followers = new Set<Follower>();
  #epoch: string | undefined;
  #last: Position = { offset: 0, nonce: 0 };
  #lastAt = 0;
  /** Offsets are contiguous. Those before `#head` were dropped, and make room when they are as many as the others. */
  #entries: (Entry | undefined)[] = [];
  #head = 0;
  #bytes = 0;
  /** In the order of their time. */
  readonly #keys = new Map<string, KeptKey>();
  /** Appended and not yet told. */
  #untold: Entry[] = [];

  /** @param budget of all logs together */
  constructor(
    readonly retention: Retention,
    private readonly budget: MemoryBudget,
  ) {}

  /** Now, so that what has aged is not in it. */
  tail(): Tail {
    this.dropAged();
    return { epoch: this.#epoch, ...this.#last, first: this.#first };
  }

  append(entries: readonly NewEntry[], { expect, key }: AppendOptions): Appended {
    this.dropAged();
    const before = key === undefined ? undefined : this.#keys.get(key);
    if (before) return { epoch: this.#begun(), positions: [before.position], duplicate: true };
    if (expect && !this.#endsAt(expect)) {
      const done = this.#done(expect, entries);
      if (done) return { epoch: this.#begun(), positions: done, duplicate: false };
      throw new LogConflict(this.tail());
    }
    const epoch = this.#begun();
    // A clock that was set back does not let the times of a log go back.
    this.#lastAt = Math.max(Date.now(), this.#lastAt);
    const positions = entries.map((entry) => this.#push(entry));
    if (key !== undefined) this.#keys.set(key, { position: this.#last, at: this.#lastAt });
    this.#dropSurplus();
    this.budget.settle(this);
    return { epoch, positions, duplicate: false };
  }

  read({ after, limit, bytes = PAGE_BYTES, since = 0, reverse = false }: ReadOptions): Page {
    const tail = this.tail();
    const entries: Entry[] = [];
    const step = reverse ? -1 : 1;
    let offset = reverse
      ? Math.min(after === 0 ? Number.POSITIVE_INFINITY : after - 1, tail.offset)
      : Math.max(after + 1, tail.first);
    let room = bytes;
    for (; entries.length < limit; offset += step) {
      const entry = this.#at(offset);
      if (!entry) break;
      if (entry.at < since) {
        if (reverse) break;
        continue;
      }
      room -= entry.data.length;
      if (room < 0 && entries.length > 0) break;
      entries.push(entry);
    }
    return { entries, tail };
  }

  /** Drops what is too old. Whether nothing is left that anybody could miss. */
  dropAged(now = Date.now()): boolean {
    for (const [key, { at }] of this.#keys) {
      if (at > now - Math.min(KEY_MS, this.retention.ageMs)) break;
      this.#keys.delete(key);
    }
    for (let oldest = this.#oldest(); oldest && oldest.at < now - this.retention.ageMs; ) {
      this.#dropOldest(oldest);
      oldest = this.#oldest();
    }
    if (this.#oldest() === undefined) this.budget.forget(this);
    return (
      this.#oldest() === undefined &&
      this.followers.size === 0 &&
      now > this.#lastAt + this.retention.ageMs + FORGOTTEN_MS
    );
  }

  /** The newest entry stays: those who follow have not heard of it yet. */
  dropOne(): boolean {
    const oldest = this.#oldest();
    if (oldest === undefined || oldest.offset === this.#last.offset) return false;
    this.#dropOldest(oldest);
    return true;
  }

  get #first(): number {
    return this.#last.offset + 1 - (this.#entries.length - this.#head);
  }

  #at(offset: number): Entry | undefined {
    return offset < this.#first ? undefined : this.#entries[offset - this.#first + this.#head];
  }

  #oldest(): Entry | undefined {
    return this.#entries[this.#head];
  }

  #begun(): string {
    this.#epoch ??= randomBytes(6).toString('hex');
    return this.#epoch;
  }

  #endsAt({ epoch, offset, nonce }: Pick<Tail, 'epoch' | 'offset' | 'nonce'>): boolean {
    return epoch === this.#epoch && offset === this.#last.offset && nonce === this.#last.nonce;
  }

  /** The positions of entries that were appended before, exactly here; those that were dropped since are taken for granted. */
  #done(
    expect: Pick<Tail, 'epoch' | 'offset'>,
    entries: readonly NewEntry[],
  ): readonly Position[] | undefined {
    if (expect.epoch !== undefined && expect.epoch !== this.#epoch) return undefined;
    const positions = entries.map(({ nonce }, index) => ({ offset: expect.offset + 1 + index, nonce }));
    const found = positions.every(({ offset, nonce }) => {
      const there = offset === this.#last.offset ? this.#last : this.#at(offset);
      return there ? there.nonce === nonce : offset < this.#first;
    });
    return found && positions.some(({ offset }) => offset >= this.#first) ? positions : undefined;
  }

  #push({ nonce, data }: NewEntry): Position {
    const previous = this.#last.offset;
    const entry: Entry = { offset: previous + 1, previous, nonce, at: this.#lastAt, data };
    this.#last = { offset: entry.offset, nonce };
    this.#entries.push(entry);
    this.#bytes += data.length;
    this.budget.take(data.length);
    this.#tell(entry);
    return this.#last;
  }

  #dropSurplus(): void {
    const { entries, bytes } = this.retention;
    for (;;) {
      const kept = this.#entries.length - this.#head;
      const oldest = this.#oldest();
      if (!oldest || kept <= 1 || (kept <= entries && this.#bytes <= bytes)) return;
      this.#dropOldest(oldest);
    }
  }

  #dropOldest({ data }: Entry): void {
    this.#bytes -= data.length;
    this.budget.give(data.length);
    this.#entries[this.#head++] = undefined;
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }

  /** After this turn, as from a server: an appender hears of its own entry when its call has returned, and all hear one order. */
  #tell(entry: Entry): void {
    if (this.followers.size === 0) return;
    this.#untold.push(entry);
    if (this.#untold.length > 1) return;
    queueMicrotask(() => {
      const told = this.#untold;
      this.#untold = [];
      const followers = [...this.followers];
      for (const entry of told) {
        for (const follower of followers) if (this.followers.has(follower)) follower.entry(entry);
      }
    });
  }
}
