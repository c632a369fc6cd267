/** A log in memory that misbehaves when it is told to: live entries that get lost, gaps, a lost tail, a wiped log, no answer. */
import {
  type Appended,
  BrokerError,
  type Entry,
  type Follower,
  type Logs,
  type NewEntry,
  type Page,
  type ReadOptions,
  type Tail,
} from '../../src/broker/broker.js';

export interface ShakyLog {
  readonly logs: Logs;
  /** What has been appended and is in the log now, kept or not. */
  readonly entries: () => readonly Entry[];
  readonly tail: () => Tail;
  /** Appends one entry with this text. `lost`: no follower hears of it. */
  say(text: string, options?: { readonly lost?: boolean }): Entry;
  /** Tells entries again, in this order, whatever followers think of it. */
  tell(...entries: readonly Entry[]): void;
  gap(): void;
  /** Forgets the newest entries: what is appended next takes their offsets. No follower hears of it. */
  loseTail(count: number): void;
  /** Drops the oldest entries, as a retention does. */
  drop(count: number): void;
  /** Loses the log as a whole, with its epoch. */
  wipe(): void;
  /** Do not answer this many times. */
  fail(times: number): void;
  readonly followers: () => number;
  readonly reads: () => number;
}

/** `sparse`: offsets with holes between them, as those of a log that shares its numbers with others. */
export function createShakyLog(sparse = false): ShakyLog {
  let incarnation = 1;
  let all: Entry[] = [];
  let dropped = 0;
  let failures = 0;
  let reads = 0;
  let nonce = 0;
  const followers = new Set<Follower>();

  const tail = (): Tail => {
    const last = all.at(-1);
    if (last === undefined) return { epoch: undefined, offset: 0, nonce: 0, first: 1 };
    const first = all[dropped]?.offset ?? last.offset + 1;
    return { epoch: `epoch${incarnation}xx`, offset: last.offset, nonce: last.nonce, first };
  };

  const answer = async <T>(value: () => T): Promise<T> => {
    await Promise.resolve();
    if (failures > 0) {
      failures -= 1;
      throw new BrokerError('the broker does not answer');
    }
    return value();
  };

  const page = ({ after, limit, bytes = 1024 * 1024 }: ReadOptions): Page => {
    const entries: Entry[] = [];
    let size = 0;
    for (const entry of all.slice(dropped)) {
      if (entry.offset <= after) continue;
      size += entry.data.length;
      if (entries.length === limit || (entries.length > 0 && size > bytes)) break;
      entries.push(entry);
    }
    return { entries, tail: tail() };
  };

  const append = ({ data, nonce }: NewEntry): Entry => {
    const previous = all.at(-1)?.offset ?? 0;
    const offset = previous + (sparse ? 1 + (nonce % 5) : 1);
    const entry = { offset, previous, nonce, at: Date.now(), data };
    all.push(entry);
    return entry;
  };

  const tell = (...entries: readonly Entry[]) => {
    for (const entry of entries) for (const each of [...followers]) each.entry(entry);
  };

  return {
    logs: {
      append: (_name, entries): Promise<Appended> =>
        answer(() => {
          const positions = entries.map(append);
          tell(...positions);
          return { epoch: tail().epoch ?? '', positions, duplicate: false };
        }),
      read: (_name, options) => {
        reads += 1;
        return answer(() => page(options));
      },
      tail: () => answer(tail),
      follow: (_name, follower) =>
        answer(() => {
          followers.add(follower);
          return () => void followers.delete(follower);
        }),
    },
    entries: () => all,
    tail,
    say(text, { lost = false } = {}) {
      nonce += 1;
      const entry = append({ nonce, data: new TextEncoder().encode(text) });
      if (!lost) tell(entry);
      return entry;
    },
    tell,
    gap() {
      for (const each of [...followers]) each.gap();
    },
    loseTail(count) {
      all = all.slice(0, Math.max(all.length - count, 0));
      dropped = Math.min(dropped, all.length);
    },
    drop(count) {
      dropped = Math.min(dropped + count, all.length);
    },
    wipe() {
      incarnation += 1;
      all = [];
      dropped = 0;
    },
    fail(times) {
      failures = times;
    },
    followers: () => followers.size,
    reads: () => reads,
  };
}
