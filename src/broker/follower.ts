/** A follower that misses nothing: what a log tells live is checked against what came before, and what was missed is read. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BrokerError,
  type Entry,
  type Logs,
  type Page,
  type Position,
  type ReadOptions,
  type Tail,
} from './broker.js';
import { createInbox, type Inbox } from './inbox.js';

/** Where an entry stands, and in which incarnation of its log. */
export interface LogPosition extends Position {
  /** Undefined for the position before the first entry of a log that was empty then; offset and nonce are 0. */
  readonly epoch: string | undefined;
}

/** Before the first entry that a log will ever have. */
export const BEGINNING: LogPosition = Object.freeze({ epoch: undefined, offset: 0, nonce: 0 });

/**
 * `truncated`: what follows the position, or the entry at it, is no longer kept. `diverged`: the log has another entry there, or ends
 * before it: it has lost its tail. `epoch_changed`: the log was lost as a whole.
 */
export type LogLoss = 'truncated' | 'diverged' | 'epoch_changed';

/** What follows a position cannot be told without a hole. */
export class LogLost extends Error {
  override readonly name = 'LogLost';
  constructor(
    readonly loss: LogLoss,
    readonly position: LogPosition,
    /** The end of the log as it is now: where to go on. */
    readonly tail: Tail,
  ) {
    super(`the log cannot be followed after ${position.offset}: ${loss}`);
  }
}

/** Entries that follow each other, and the batch before. */
export interface Batch {
  /** None only in the batch that tells for the first time that the follower is at the end of the log. */
  readonly entries: readonly Entry[];
  /** Of all of them: with an entry's offset and nonce it is its position. */
  readonly epoch: string | undefined;
  /** Whether this was the end of the log when it was read: what follows happens now. */
  readonly caughtUp: boolean;
}

export interface FollowOptions {
  readonly logs: Logs;
  /** Of the log. */
  readonly name: string;
  /** After an entry; `now`: only what is appended from now on; `earliest`: what is kept comes first. */
  readonly after: LogPosition | 'now' | 'earliest';
  /** Ends the follower: at the next batch, without an error. */
  readonly signal: AbortSignal;
  /** Entries of a batch, and of those that wait to be taken, at most; default 256. What does not fit is read later. */
  readonly entries?: number;
  /** The same in bytes of data, but always one entry; default 1 MiB. */
  readonly bytes?: number;
}

/** To be iterated once. Nothing is read before it is asked for: a slow reader is a position, not a queue. */
export interface LogFollower extends AsyncIterable<Batch> {
  /** Where it began; for `earliest` the beginning of the log, whether that is kept or not. */
  readonly start: LogPosition;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
/** Of one page, before the broker counts as confused. */
const MOST_TRIES = 3;

/**
 * Resolves when the position is known to be in the log; rejects with LogLost when it is not, and with BrokerError. From then on the
 * iteration throws LogLost alone: while the broker does not answer it waits, and goes on where it was.
 */
export async function followLog(options: FollowOptions): Promise<LogFollower> {
  const { logs, name, signal, entries = 256, bytes = 1024 * 1024 } = options;
  const inbox = createInbox({ entries, bytes });
  const stopFollowing = await logs.follow(name, inbox);
  const stop = () => {
    signal.removeEventListener('abort', stop);
    inbox.wake();
    stopFollowing();
  };
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  const reader = new Reader({ logs, name, entries, bytes }, inbox);
  try {
    const first = await reader.begin(options.after);
    const { start } = reader;
    return { start, [Symbol.asyncIterator]: () => batches(reader, first, { inbox, signal, stop }) };
  } catch (thrown) {
    stop();
    throw thrown;
  }
}

interface Life {
  readonly inbox: Inbox;
  readonly signal: AbortSignal;
  readonly stop: () => void;
}

async function* batches(
  reader: Reader,
  first: Batch,
  { inbox, signal, stop }: Life,
): AsyncGenerator<Batch, void> {
  try {
    let told = first.caughtUp;
    if (signal.aborted) return;
    if (told || first.entries.length > 0) yield first;
    for (let behind = !first.caughtUp; ; ) {
      if (!behind) await inbox.some(signal);
      if (signal.aborted) return;
      const live = behind ? undefined : reader.takeLive();
      const batch = live ?? (await persist(() => reader.read(), signal));
      if (batch === undefined) return;
      behind = !batch.caughtUp;
      if (batch.entries.length === 0 && (behind || told)) continue;
      told ||= batch.caughtUp;
      yield batch;
    }
  } finally {
    stop();
  }
}

/** Asks again, with growing pauses, while the broker does not answer. Undefined when the signal is aborted first. */
async function persist<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await unlessAborted(ask(), signal);
    } catch (thrown) {
      if (!(thrown instanceof BrokerError)) throw thrown;
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
      if (signal.aborted) return undefined;
    }
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const abort = () => resolve(undefined);
    const done = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort);
    promise.finally(done).then(resolve, reject);
  });
}

interface Source {
  readonly logs: Logs;
  readonly name: string;
  readonly entries: number;
  readonly bytes: number;
}

/** Holds the position, and moves it over entries that are known to follow it. */
class Reader {
  start: LogPosition = BEGINNING;
  #position: LogPosition = BEGINNING;

  constructor(
    private readonly source: Source,
    private readonly inbox: Inbox,
  ) {}

  /** The first batch; it may be empty. */
  async begin(after: FollowOptions['after']): Promise<Batch> {
    if (after === 'earliest') return this.#beginAtOldest();
    if (after === 'now') {
      const { epoch, offset, nonce } = await this.source.logs.tail(this.source.name);
      this.#position = { epoch, offset, nonce };
      this.inbox.forget(offset);
    } else this.#position = after;
    this.start = this.#position;
    return after === 'now' ? { entries: [], epoch: this.start.epoch, caughtUp: true } : this.read();
  }

  /** With the oldest entry that is kept, whatever was before it; on a log of which nothing is kept, behind its end. */
  async #beginAtOldest(): Promise<Batch> {
    const { entries, tail } = await this.#page(0, { limit: this.source.entries });
    if (entries.length === 0) this.#position = { epoch: tail.epoch, offset: tail.offset, nonce: tail.nonce };
    return this.#moved(entries, tail);
  }

  /** What was told live and follows the position; undefined when it has to be read instead. */
  takeLive(): Batch | undefined {
    const { epoch } = this.#position;
    // Entries do not say their epoch, and it is not known before the first one was read.
    const entries = epoch === undefined ? undefined : this.inbox.take(this.#position);
    if (entries === undefined) return undefined;
    this.#move(entries, epoch);
    return { entries, epoch, caughtUp: true };
  }

  /**
   * The page behind the position. It is read together with the entry at the position: only that one's nonce tells that the log is still the
   * one that was followed, and what stands beside it in one page, that nothing is missing between.
   */
  async read(): Promise<Batch> {
    const position = this.#position;
    const [after, beside] = position.offset === 0 ? [0, 0] : [position.offset - 1, 1];
    let page = await this.#page(after, { limit: this.source.entries + beside });
    let entries = verifyPage(position, page);
    if (entries.length === 0 && page.entries.length > 0 && page.tail.offset > position.offset) {
      // The entry at the position leaves no room for a large one behind it.
      page = await this.#page(after, { limit: 2, bytes: Number.MAX_SAFE_INTEGER });
      entries = verifyPage(position, page);
    }
    return this.#moved(entries, page.tail);
  }

  async #page(after: number, size: Pick<ReadOptions, 'limit' | 'bytes'>): Promise<Page> {
    const { logs, name, bytes } = this.source;
    for (let tries = 1; ; tries += 1) {
      // What came before this is in the page, or behind it.
      this.inbox.clear();
      const page = await logs.read(name, { after, bytes, ...size });
      const { first, offset } = page.tail;
      // An empty page of a log that has something there: it was appended since.
      if (page.entries.length > 0 || first > offset || offset <= after) return page;
      if (tries === MOST_TRIES) throw new BrokerError(`the log ${name} has entries that it does not show`);
    }
  }

  #moved(entries: readonly Entry[], tail: Tail): Batch {
    this.#move(entries, tail.epoch);
    // Told while the page was on its way, and in it.
    this.inbox.forget(this.#position.offset);
    return { entries, epoch: tail.epoch, caughtUp: this.#position.offset >= tail.offset };
  }

  #move(entries: readonly Entry[], epoch: string | undefined): void {
    const last = entries.at(-1);
    if (last !== undefined) this.#position = { epoch, offset: last.offset, nonce: last.nonce };
  }
}

/**
 * The entries of a page that follow the position. The page was read after `offset - 1`, so that the entry at the position is in it too. Throws
 * LogLost unless it is certain that nothing is missing.
 */
export function verifyPage(position: LogPosition, { entries, tail }: Page): readonly Entry[] {
  const lost = (loss: LogLoss) => new LogLost(loss, position, tail);
  if (position.epoch !== undefined && position.epoch !== tail.epoch) throw lost('epoch_changed');
  const [first, ...others] = entries;
  if (position.offset === 0) {
    if (first === undefined ? tail.offset === 0 : first.previous === 0) return entries;
    throw lost('truncated');
  }
  if (position.offset > tail.offset) throw lost('diverged');
  if (position.offset === tail.offset && position.nonce !== tail.nonce) throw lost('diverged');
  if (first?.offset === position.offset) {
    if (first.nonce === position.nonce) return others;
    throw lost('diverged');
  }
  // The last entry is known by its nonce in the tail, whether it is kept or not.
  if (position.offset === tail.offset) return [];
  throw lost(position.offset < tail.first ? 'truncated' : 'diverged');
}
