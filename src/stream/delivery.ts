/** One client of a shared stream: a position, moved on as fast as the client takes events. A slow one costs no more than a fast one. */
import type { Position } from '../broker/broker.js';
import type { SlowReader } from '../method.js';
import { StatusError } from '../status.js';
import {
  type Delivery,
  type Encoder,
  type ResetReason,
  type Sink,
  SlowConsumerError,
  type StreamEvent,
} from './feed.js';
import { eventOf, type Item, isEvent, type Ring, type Seen, seenOf } from './ring.js';

/** What came before the ring: pages of items, in order, never empty. It ends only by throwing. */
export type History = AsyncIterator<readonly Item[]>;

/** Where a delivery begins. */
export interface Start {
  /** The number in the ring, or what to read until the ring has what follows: the log behind `after`, or the service's own history. */
  readonly at: number | 'log' | History;
  /** What the client has seen last, in the log. */
  readonly after: Position;
  /** Why the client has to forget what it knows, before anything else. */
  readonly reset: ResetReason | undefined;
  /** The client is told once it has everything up to this offset; undefined: it is not. */
  readonly target: number | undefined;
  readonly cursor: string;
}

/** What a delivery needs of the stream that it is part of. */
export interface Shared {
  readonly ring: Ring;
  readonly slow: SlowReader;
  /** By `slow.key`: the bytes that make two messages the same for conflation. */
  readonly keyOf: (message: Uint8Array) => string;
  /** The number in the ring of what follows an item, once the ring has come so far. */
  follows(item: Item): number | undefined;
  /** What the log has behind a position. */
  history(after: Position): History;
  /** The delivery is over. */
  left(delivery: SharedDelivery): void;
}

export class SharedDelivery implements Delivery {
  /** The number in the ring of what comes next; undefined while history is read. */
  private next: number | undefined;
  private seen: Seen;
  private readonly out: Pick<Sink, 'encoder' | 'room' | 'write'>;
  /** Known from the first event on. */
  private encoder: Encoder | undefined;
  private target: number | undefined;
  /** Whether the client did not take what there was. */
  private blocked = false;
  private unblock: (() => void) | undefined;
  private over = false;
  private history: History | undefined;
  private readsLog = false;
  /** What was read from history last, while the next page is waited for. */
  private read: Item | undefined;

  constructor(
    private readonly shared: Shared,
    private readonly sink: Sink,
    private readonly signal: AbortSignal,
    { at, after, reset, target, cursor }: Start,
  ) {
    signal.addEventListener('abort', this);
    this.out = sink.outlet ?? sink;
    this.seen = { offset: after.offset, nonce: after.nonce, cursor };
    this.target = target;
    if (reset !== undefined) this.tellReset(reset);
    if (typeof at === 'number') this.next = at;
    else if (at === 'log') this.readLog();
    else this.begin(at);
  }

  cursor(): string {
    return this.seen.cursor;
  }

  /** The client left, its deadline passed, or the gateway stops. */
  handleEvent(): void {
    this.end(StatusError.from(this.signal.reason));
  }

  ready(): void {
    this.unblock?.();
    this.unblock = undefined;
    this.deliver();
  }

  stop(): void {
    if (this.over) return;
    this.over = true;
    this.signal.removeEventListener('abort', this);
    this.unblock?.();
    this.endHistory();
    this.shared.left(this);
  }

  /** The stream is over for this client. */
  end(error: StatusError | undefined, trailers = error?.metadata ?? {}): void {
    if (this.over) return;
    this.stop();
    this.sink.end(error, trailers);
  }

  /** The ring ends with the end of the stream: a client that began behind it is told too. */
  endIfDone(): void {
    const { ring } = this.shared;
    if (this.next === ring.end) this.endAt(ring.end - 1);
  }

  /** Sends what the ring has and the client takes. Called whenever either may have changed. */
  deliver(): void {
    const { ring } = this.shared;
    if (!this.over && this.next === undefined) this.join();
    while (!this.over && this.next !== undefined) {
      if (this.next >= ring.end) {
        if (this.target !== undefined) this.tellCaughtUp();
        this.blocked = false;
        return;
      }
      const room = this.out.room();
      if (room <= 0) {
        this.blocked = true;
        this.judge();
        return;
      }
      if (this.blocked) this.skip(room);
      else if (this.next < ring.begin) this.readLog();
      else this.send(this.next, room);
    }
  }

  /** Whether the client is too slow to be kept. Called while it takes nothing, again and again. */
  judge(): void {
    const { ring, slow } = this.shared;
    if (!this.blocked || this.next === undefined || slow.policy !== 'disconnect') return;
    if (this.isBehind(Math.max(this.next, ring.begin)) || this.next < ring.begin)
      this.end(new SlowConsumerError());
  }

  private isBehind(number: number): boolean {
    const { ring, slow } = this.shared;
    if (number >= ring.end) return false;
    return ring.bytesFrom(number) > slow.bytes || performance.now() - ring.at(number).at > slow.ageMs;
  }

  /** One write of items from a number on. */
  private send(from: number, room: number): void {
    this.encoder ??= this.out.encoder;
    const { to, bytes, messages, seen, end } = this.shared.ring.step(this.encoder, from, room);
    this.next = to;
    if (seen !== undefined) {
      this.seen = seen;
      if (bytes.length > 0) this.out.write(bytes, messages);
      if (this.target !== undefined) this.reached(seen.offset);
    }
    if (end !== undefined) this.end(end.error, end.trailers);
  }

  private endAt(number: number): void {
    const { ring } = this.shared;
    if (this.over || number >= ring.end) return;
    const { record } = ring.at(number);
    if (record.kind === 'end') this.end(record.error, record.trailers);
  }

  /** A client that was too slow takes events again: the method says which. */
  private skip(room: number): void {
    const { ring, slow } = this.shared;
    let from = this.next as number;
    this.blocked = false;
    const lost = from < ring.begin;
    if (slow.policy === 'disconnect') {
      if (lost) this.end(new SlowConsumerError());
      return;
    }
    from = Math.max(from, ring.begin);
    while (slow.policy === 'drop_oldest' && this.isBehind(from) && from < ring.end - 1) from++;
    if (lost || (slow.policy === 'drop_oldest' && from > (this.next as number)))
      this.tellReset('slow_consumer');
    this.next = from;
    if (slow.policy !== 'drop_oldest') this.sendChosen(from, room);
  }

  /** Of what has waited, what the policy leaves: messages by key or the last one, and every break. */
  private sendChosen(from: number, room: number): void {
    const { ring, slow, keyOf } = this.shared;
    const last = new Map<string, number>();
    let to = from;
    for (; to < ring.end; to++) {
      const { record } = ring.at(to);
      if (record.kind === 'end') break;
      if (record.kind === 'begin') continue;
      const key = record.kind === 'reset' ? `\n${to}` : slow.policy === 'latest' ? '' : keyOf(record.message);
      last.delete(key);
      last.set(key, to);
    }
    // In the order of the stream; what there is no room for is looked at again, with what has come by then.
    const chosen = [...last.values()].slice(0, room);
    if (chosen.length < last.size) to = (chosen.at(-1) as number) + 1;
    this.next = to;
    if (chosen.length > 0) {
      const { encoder } = this.out;
      const messages = chosen.filter((number) => ring.at(number).record.kind === 'message').length;
      this.seen = seenOf(ring.at(to - 1));
      this.out.write(encoder.join(chosen.map((number) => ring.encodedItem(encoder, number))), messages);
      this.reached(ring.at(to - 1).offset);
    }
    this.endAt(to);
  }

  /**
   * What follows is not in the ring: the client comes from before, or more came at once than the ring holds before the client had its turn,
   * which is not its fault.
   */
  private readLog(): void {
    this.next = undefined;
    this.readsLog = true;
    this.begin(this.shared.history(this.seen));
  }

  /** The log that is being read has lost something: what is left of it follows in the ring, behind the break. */
  leaveLog(number: number): void {
    if (this.next !== undefined || !this.readsLog) return;
    this.endHistory();
    this.next = number;
    this.unblock?.();
  }

  private endHistory(): void {
    this.readsLog = false;
    this.read = undefined;
    this.history?.return?.()?.catch(() => {});
    this.history = undefined;
  }

  private begin(history: History): void {
    this.history = history;
    this.replay(history).catch((thrown: unknown) => this.end(StatusError.from(thrown)));
  }

  /** Reads history to the client until the ring has what follows. */
  private async replay(history: History): Promise<void> {
    while (this.history === history) {
      const page = await history.next();
      if (page.done === true || this.history !== history) return;
      this.read = undefined;
      for (const item of page.value) {
        await this.sendItem(item, history);
        if (this.history !== history) return;
      }
      this.read = page.value.at(-1);
      this.join();
    }
    this.deliver();
  }

  /**
   * Leaves history for the ring, once that holds what was read last. The service's own history may be ahead of the ring always, by the
   * time that the log takes: so this is looked at when the ring has grown too, between two pages.
   */
  private join(): void {
    if (this.read === undefined) return;
    this.next = this.shared.follows(this.read);
    if (this.next !== undefined) this.endHistory();
  }

  private async sendItem(item: Item, history: History): Promise<void> {
    const { record } = item;
    while (this.history === history && isEvent(item) && this.out.room() <= 0) {
      await new Promise<void>((resolve) => {
        this.unblock = resolve;
      });
    }
    if (this.history !== history) return;
    if (record.kind === 'end') {
      this.end(record.error, record.trailers);
      return;
    }
    this.seen = seenOf(item);
    if (!isEvent(item)) return;
    const { encoder } = this.out;
    this.out.write(encoder.join([encoder.encode(eventOf(item))]), record.kind === 'message' ? 1 : 0);
    this.reached(item.offset);
  }

  private reached(offset: number): void {
    if (this.target !== undefined && offset >= this.target) this.tellCaughtUp();
  }

  private tellCaughtUp(): void {
    if (this.target === undefined) return;
    this.target = undefined;
    this.tell({ kind: 'caught_up', cursor: this.seen.cursor });
  }

  private tellReset(reason: ResetReason): void {
    this.tell({ kind: 'reset', reason, cursor: this.seen.cursor });
  }

  private tell(event: StreamEvent): void {
    const { encoder } = this.out;
    this.out.write(encoder.join([encoder.encode(event)]), 0);
  }
}
