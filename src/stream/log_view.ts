/** The log of a shared stream as this node sees it: followed into a ring, checked, and mended where it has lost something. */
import type { Entry, Logs, Position, Tail } from '../broker/broker.js';
import { followLog, type LogFollower, type LogLoss, LogLost, type LogPosition } from '../broker/follower.js';
import type { Cursors, Place } from './cursor.js';
import type { History } from './delivery.js';
import type { ResetReason } from './feed.js';
import { itemOfEntry, readLog } from './history.js';
import { type LogRecord, parseRecord, tokenOf } from './record.js';
import { retried } from './retried.js';
import { type Item, Ring, type RingLimits } from './ring.js';
import type { StreamId } from './stream_id.js';

export interface LogViewOptions {
  readonly logs: Logs;
  readonly id: StreamId;
  readonly cursors: Cursors;
  /** Whether the service has positions, which then stand in the log. */
  readonly hasTokens: boolean;
  readonly limits: RingLimits;
  /** Something is new in the ring. */
  readonly grown: () => void;
  /** The log has lost something: whoever still reads it goes on in the ring with the break, at this number. */
  readonly broken: (number: number) => void;
  /** Ends it. */
  readonly signal: AbortSignal;
}

const REASONS: Readonly<Record<LogLoss, ResetReason>> = {
  truncated: 'history_truncated',
  diverged: 'log_diverged',
  epoch_changed: 'epoch_changed',
};

export class LogView {
  readonly ring: Ring;
  /** Behind all that is in the ring. */
  private head: Place = { epoch: '', offset: 0, nonce: 0, token: undefined };
  private waiters: (() => void)[] = [];
  /** The last cursor that was printed. */
  private last: Place & { readonly text: string };

  constructor(private readonly options: LogViewOptions) {
    this.ring = new Ring(options.limits);
    this.last = { ...this.head, text: options.cursors.print(options.id, this.head) };
    options.signal.addEventListener('abort', () => this.wake(), { once: true });
  }

  get place(): Place {
    return this.head;
  }

  /** Resolves when everything that is appended from now on will be in the ring. `done` rejects with what ends that, if anything does. */
  async begin(): Promise<{ readonly done: Promise<void> }> {
    const follower = await this.open('now');
    await this.readToken();
    return { done: this.follow(follower) };
  }

  private async open(after: LogPosition | 'now' | 'earliest'): Promise<LogFollower> {
    const { logs, id, signal } = this.options;
    const follower = await followLog({ logs, name: id.name, after, signal });
    const { epoch = '', offset, nonce } = follower.start;
    this.head = { epoch, offset, nonce, token: undefined };
    return follower;
  }

  /** The service's position at the end of the log, for a client that will see nothing before it comes back. */
  private async readToken(): Promise<void> {
    const { offset, nonce } = this.head;
    if (offset === 0 || !this.options.hasTokens) return;
    const last = await this.entryAt(offset);
    if (last?.nonce === nonce && this.head.offset === offset)
      this.head = { ...this.head, token: tokenOf(parseRecord(last.data)) };
  }

  private async entryAt(offset: number): Promise<Entry | undefined> {
    const { logs, id } = this.options;
    const [entry] = (await logs.read(id.name, { after: offset - 1, limit: 1 })).entries;
    return entry?.offset === offset ? entry : undefined;
  }

  private async follow(first: LogFollower): Promise<void> {
    const { signal } = this.options;
    for (let follower = first; ; ) {
      try {
        for await (const { epoch, entries } of follower) this.take(epoch, entries);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        if (!(thrown instanceof LogLost)) throw thrown;
        follower = await retried(() => this.mend(thrown), signal);
      }
    }
  }

  private take(epoch = '', entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { offset, nonce } = entry;
      this.head = { epoch, offset, nonce, token: undefined };
      const item = this.itemOf(entry);
      this.head = { ...this.head, token: tokenOf(item.record) };
      this.ring.push(item);
    }
    this.changed();
  }

  private readonly itemOf = (entry: Entry): Item =>
    itemOfEntry(entry, (record) => {
      const { offset, nonce } = entry;
      return this.print({ epoch: this.head.epoch, offset, nonce, token: tokenOf(record) });
    });

  /** A break that stands in no log, but shows in what is left of one. */
  private readonly breakAt = (reason: ResetReason, { offset, nonce }: Position): Item => {
    const cursor = this.print({ epoch: this.head.epoch, offset, nonce, token: undefined });
    const record: LogRecord = { kind: 'reset', reason, token: undefined };
    return { offset, nonce, at: performance.now(), record, bytes: 0, cursor };
  };

  /** The log is not what it was: every client is told, and goes on with what the log has now. */
  private async mend({ loss, tail }: LogLost): Promise<LogFollower> {
    const follower = await this.open((await this.commonWith(tail, loss)) ?? 'earliest');
    this.ring.pushBreak(this.breakAt(REASONS[loss], this.head));
    this.options.broken(this.ring.end - 1);
    this.changed();
    return follower;
  }

  /** The last place that the ring and the log still have in common, if there is one. */
  private async commonWith({ epoch, offset: last }: Tail, loss: LogLoss): Promise<LogPosition | undefined> {
    const { ring } = this;
    for (let number = ring.end - 1; loss === 'diverged' && number >= ring.begin; number--) {
      const { offset, nonce } = ring.at(number);
      if (offset <= last && (await this.entryAt(offset))?.nonce === nonce) return { epoch, offset, nonce };
    }
    return undefined;
  }

  /** The same string for all clients that begin at the same place. */
  print(place: Place): string {
    const { epoch, offset, nonce, token } = place;
    const { last } = this;
    if (last.offset === offset && last.nonce === nonce && last.epoch === epoch && last.token === token)
      return last.text;
    const text = this.options.cursors.print(this.options.id, place);
    this.last = { ...place, text };
    return text;
  }

  /** The number in the ring of what follows a position, if the ring has come so far and still holds it. */
  behind({ offset, nonce }: Position): number | undefined {
    if (offset === this.head.offset && nonce === this.head.nonce) return this.ring.end;
    return this.ring.after(offset, nonce);
  }

  /** The same for an item, which may be one of the service's own history. */
  follows({ offset, nonce, record }: Item): number | undefined {
    if (offset > 0) return this.behind({ offset, nonce });
    const token = tokenOf(record);
    return token === undefined ? undefined : this.ring.behindToken(token);
  }

  /** What the log has behind a position, whether the ring holds it or not. */
  history(after: Position): History {
    const { logs, id, signal } = this.options;
    const { itemOf, breakAt } = this;
    return readLog({ logs, name: id.name, after, itemOf, breakAt, signal, grown: () => this.grown() });
  }

  /** Resolves when the ring has got something new, or never will again. */
  grown(): Promise<void> {
    return new Promise((resolve) => {
      if (this.options.signal.aborted) resolve();
      else this.waiters.push(resolve);
    });
  }

  private changed(): void {
    this.wake();
    this.options.grown();
  }

  private wake(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}
