/** Values in NATS that expire, one message each, and are changed by compare and set: the ground of leases, marks, secrets and members. */
import { BrokerError } from './broker.js';
import type { NatsLink } from './nats_connection.js';
import { ALL_STATE, STATE_STREAM } from './nats_names.js';
import { Conflict, NatsStore, type Stored } from './nats_store.js';

export interface Value {
  /** Undefined: for ever. */
  readonly ttlMs: number | undefined;
  readonly parts: readonly string[];
}

export interface Cell extends Value {
  readonly subject: string;
  readonly seq: number;
  /** When it expires, by the clock of the server, in ms since the epoch. */
  readonly until: number;
}

/** What becomes of a cell, and what is answered then. */
export interface Change<T> {
  readonly put?: Value;
  readonly remove?: boolean;
  readonly answer: T;
}

/** What nobody has removed is removed this long after it has expired. */
const UNSWEPT_MS = 24 * 3_600_000;
/** How often some of all values are looked through for what is to be removed, and how many. */
const TIDY_MS = 30_000;
const TIDIED = 1000;

export class NatsState {
  readonly store: NatsStore;
  /** By subject: changes of this node wait for each other. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #tidy: NodeJS.Timeout;
  #tidied = 0;

  constructor(private readonly link: NatsLink) {
    this.store = new NatsStore(link, { name: STATE_STREAM, subjects: [ALL_STATE], messages: 1 });
    this.#tidy = setInterval(
      () => this.#removeOld().catch(() => {}),
      TIDY_MS * (0.5 + Math.random()),
    ).unref();
  }

  /** `decide` is asked again when somebody else was faster. */
  change<T>(subject: string, decide: (cell: Cell | undefined, now: number) => Change<T>): Promise<T> {
    const before = this.#changing.get(subject) ?? Promise.resolve();
    const mine = before.then(
      () => this.#change(subject, decide),
      () => this.#change(subject, decide),
    );
    this.#changing.set(subject, mine);
    const done = (): void => {
      if (this.#changing.get(subject) === mine) this.#changing.delete(subject);
    };
    mine.then(done, done);
    return mine;
  }

  /** Those that have not expired. */
  async list(filter: string): Promise<Cell[]> {
    const cells: Cell[] = [];
    await this.store.scan(filter, 1, (message) => {
      cells.push(parseCell(message));
      return true;
    });
    if (cells.length === 0) return cells;
    const now = await this.store.now();
    return cells.filter(({ until }) => until > now);
  }

  close(): void {
    clearInterval(this.#tidy);
  }

  async #change<T>(subject: string, decide: (cell: Cell | undefined, now: number) => Change<T>): Promise<T> {
    const limit = performance.now() + this.link.callMs;
    do {
      const now = await this.store.now();
      const message = await this.store.last(subject);
      const cell = message && parseCell(message);
      const { put, remove = false, answer } = decide(cell, now);
      if (put) {
        const expect = cell?.seq ?? 0;
        const isDone = await this.store.publish(subject, print(put), { expect }).catch((error: unknown) => {
          if (error instanceof Conflict) return undefined;
          throw error;
        });
        if (isDone) return answer;
      } else if (!remove || !cell || (await this.store.remove(cell.seq))) return answer;
    } while (performance.now() < limit);
    throw new BrokerError(`${subject}: others change it without end`);
  }

  /** Of the next ones in turn: who has left without a word is not kept for ever. */
  async #removeOld(): Promise<void> {
    if (!this.link.connected()) return;
    const now = await this.store.now();
    const old: number[] = [];
    let seen = 0;
    let last = 0;
    await this.store.scan(ALL_STATE, this.#tidied + 1, (message) => {
      last = message.seq;
      if (parseCell(message).until + UNSWEPT_MS < now) old.push(message.seq);
      return ++seen < TIDIED;
    });
    this.#tidied = seen < TIDIED ? 0 : last;
    for (const seq of old) await this.store.remove(seq);
  }
}

function print({ ttlMs, parts }: Value): Buffer {
  return Buffer.from(JSON.stringify([ttlMs ?? 0, ...parts]));
}

/** Throws BrokerError when somebody else has written there. */
export function parseCell({ subject, seq, time, data }: Stored): Cell {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data).toString());
  } catch {}
  const [ttlMs, ...parts] = Array.isArray(value) ? value : [];
  if (!Number.isFinite(ttlMs) || !parts.every((part) => typeof part === 'string'))
    throw new BrokerError(`${subject} does not hold a value of ours`);
  const until = ttlMs === 0 ? Number.POSITIVE_INFINITY : time + ttlMs;
  return { subject, seq, until, ttlMs: ttlMs || undefined, parts };
}
