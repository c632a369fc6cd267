/** A shared stream on this node: one reader of its log, one call of the service if no other node makes it, and any number of clients. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Broker,
  BrokerError,
  type Entry,
  type Lease,
  type Logs,
  type Position,
  type Tail,
} from '../broker/broker.js';
import { followLog, type LogFollower, type LogLoss, LogLost, type LogPosition } from '../broker/follower.js';
import type { Call, Invoke, Metadata } from '../call.js';
import type { SlowReader } from '../method.js';
import { Code, StatusError } from '../status.js';
import type { Cursors, Place } from './cursor.js';
import { type History, type Shared, SharedDelivery } from './delivery.js';
import type { Feed, ResetReason } from './feed.js';
import { itemOfEntry, readLog } from './history.js';
import type { Located } from './locate.js';
import { type Owner, startOwner } from './owner.js';
import type { Positions } from './positions.js';
import { type LogRecord, parseRecord } from './record.js';
import { retried } from './retried.js';
import { type Item, Ring } from './ring.js';
import type { SourceOptions } from './source.js';
import { type StreamId, scopedMetadata, scopedPrincipal } from './stream_id.js';

export interface HubOptions {
  readonly broker: Broker;
  readonly logs: Logs;
  readonly id: StreamId;
  /** The request without a position. */
  readonly request: Uint8Array;
  readonly invoke: Invoke;
  /** The first client's: what of it is in the scope of the stream is what the service is asked with. */
  readonly call: Call;
  readonly cursors: Cursors;
  readonly positions: Positions | undefined;
  readonly keyOf: (message: Uint8Array) => string;
  /** The name of this node among those of the cluster. */
  readonly node: string;
  readonly leaseMs: number;
  readonly patienceMs: number;
  /** It is over: the next client begins another one. */
  readonly closed: () => void;
}

/** The ring holds what a reader may be behind, and this much even where that is less. In bytes and ms. */
const RING_BYTES_LEAST = 64 * 1024;
const RING_AGE_MS = 60_000;
const YOUNG_MS = 1_000;
const REASONS: Readonly<Record<LogLoss, ResetReason>> = {
  truncated: 'history_truncated',
  diverged: 'log_diverged',
  epoch_changed: 'epoch_changed',
};
/** How long one slice of a broadcast may take before other work has its turn, in ms. */
const SLICE_MS = 4;
/** Between looks at the clock. */
const SLICE_DELIVERIES = 64;

export class Hub implements Shared {
  readonly ring: Ring;
  readonly slow: SlowReader;
  readonly keyOf: (message: Uint8Array) => string;
  /** The position of this node: behind all that is in the ring. */
  /** Why the service could not begin where the first client asked it to. */
  private lost: ResetReason | undefined;
  private endedWith: StatusError | undefined;
  private head: Place = { epoch: '', offset: 0, nonce: 0, token: undefined };
  private readonly life = new AbortController();
  private readonly deliveries = new Set<SharedDelivery>();
  /** Feeds that were given out and not started yet. */
  private expected = 0;
  private owner: Owner | undefined;
  private lease: Lease | undefined;
  private running: Promise<void> | undefined;
  private acquiring = false;
  private idleTimer: NodeJS.Timeout | undefined;
  private readonly createdAt = performance.now();
  private lastTick = 0;
  private failingSince = 0;
  private waiters: (() => void)[] = [];
  private broadcasting = false;
  private again = false;

  constructor(readonly options: HubOptions) {
    const { method } = options.call;
    this.slow = method.stream.slow;
    this.keyOf = options.keyOf;
    this.ring = new Ring({
      bytes: Math.max(this.slow.bytes, RING_BYTES_LEAST),
      ageMs: Math.max(this.slow.ageMs, RING_AGE_MS),
    });
  }

  /** Ends when the stream is over here. */
  get signal(): AbortSignal {
    return this.life.signal;
  }

  /** Whether it has run for a moment only. */
  get isYoung(): boolean {
    return performance.now() - this.createdAt < YOUNG_MS;
  }

  get isClosed(): boolean {
    return this.life.signal.aborted;
  }

  get isOwner(): boolean {
    return this.owner !== undefined;
  }

  get clients(): number {
    return this.deliveries.size;
  }

  get headers(): Metadata {
    return this.owner?.headers ?? {};
  }

  get place(): Place {
    return this.head;
  }

  /** Once: for the client whose position the service did not know. */
  takeLost(): ResetReason | undefined {
    const { lost } = this;
    this.lost = undefined;
    return lost;
  }

  /**
   * Resolves when the stream runs here: this node makes the call and the service has accepted it, or another node makes it. `token`: where
   * the service is asked to begin, if nothing of the stream is known. Rejects with the service's refusal.
   */
  run(token: Uint8Array | undefined): Promise<void> {
    this.running ??= this.start(token).catch((thrown: unknown) => {
      this.close(StatusError.from(thrown));
      throw thrown;
    });
    return this.running;
  }

  private async start(token: Uint8Array | undefined): Promise<void> {
    const { leaseMs } = this.options;
    this.follow(await this.open('now'));
    await this.readToken();
    const offset = await this.tryToOwn(token);
    this.lastTick = Date.now();
    await this.showInterest();
    // The first cursor that a client gets is one of a log that has begun; another node is about to begin it if this one is not.
    const patience = AbortSignal.timeout(leaseMs);
    while (this.head.epoch === '' || this.head.offset < offset) {
      if (patience.aborted) throw new StatusError(Code.UNAVAILABLE, 'the stream has not begun in time');
      await Promise.race([this.grown(), sleep(leaseMs / 10, undefined, { ref: false })]);
    }
  }

  /** The service's position at the end of the log, for a client that will see nothing before it comes back. */
  private async readToken(): Promise<void> {
    const { logs, id, positions } = this.options;
    const { offset, nonce } = this.head;
    if (offset === 0 || positions === undefined) return;
    const [last] = (await logs.read(id.name, { after: offset - 1, limit: 1 })).entries;
    if (last?.nonce === nonce && this.head.offset === offset)
      this.head = { ...this.head, token: tokenOf(parseRecord(last.data)) };
  }

  /** Becomes the one node that makes the call, unless there is one. Resolves with where the log ended when the service had accepted. */
  private async tryToOwn(token: Uint8Array | undefined): Promise<number> {
    const { broker, id, leaseMs } = this.options;
    this.acquiring = true;
    try {
      const lease = await broker.acquire(`stream:${id.name}`, leaseMs);
      if (lease === undefined) return 0;
      this.lease = lease;
      try {
        return await this.own(lease, token);
      } catch (thrown) {
        this.lease = undefined;
        await lease.release();
        throw thrown;
      }
    } finally {
      this.acquiring = false;
    }
  }

  private async own(lease: Lease, token: Uint8Array | undefined): Promise<number> {
    const { logs, id } = this.options;
    const signal = AbortSignal.any([this.life.signal, lease.lost]);
    const owner = await startOwner({
      logs,
      name: id.name,
      source: this.sourceOptions(token, signal),
      signal,
    });
    this.owner = owner;
    this.lost = owner.lost;
    const over = (thrown?: unknown): void => {
      this.owner = undefined;
      // Somebody else may hold the lease by now: this node goes on reading, and may have it again later.
      if (lease.lost.aborted) this.lease = undefined;
      else if (thrown !== undefined) this.close(StatusError.from(thrown));
    };
    owner.done.then(() => over(), over);
    return owner.offset;
  }

  /** What is asked of the service for this stream, on behalf of all its clients or of one that is behind. */
  sourceOptions(token: Uint8Array | undefined, signal: AbortSignal): SourceOptions {
    const { call, invoke, request, positions, patienceMs } = this.options;
    const { id, method } = call;
    return {
      invoke,
      call: {
        id,
        method,
        metadata: scopedMetadata(call),
        principal: scopedPrincipal(call),
        deadline: undefined,
      },
      request,
      positions,
      token,
      signal,
      patienceMs,
    };
  }

  private async open(after: LogPosition | 'now' | 'earliest'): Promise<LogFollower> {
    const { logs, id } = this.options;
    const { signal } = this.life;
    const follower = await followLog({ logs, name: id.name, after, signal });
    this.head = placeOf(follower.start);
    return follower;
  }

  /** Reads the log for as long as the stream runs here. */
  private follow(follower: LogFollower): void {
    this.read(follower).catch((thrown: unknown) => this.close(StatusError.from(thrown)));
  }

  private async read(first: LogFollower): Promise<void> {
    for (let follower = first; ; ) {
      try {
        for await (const { epoch, entries } of follower) this.take(epoch, entries);
        return;
      } catch (thrown) {
        if (this.isClosed) return;
        if (!(thrown instanceof LogLost)) throw thrown;
        follower = await retried(() => this.mend(thrown), this.life.signal);
      }
    }
  }

  private take(epoch = '', entries: readonly Entry[]): void {
    for (const entry of entries) {
      this.head = { epoch, offset: entry.offset, nonce: entry.nonce, token: undefined };
      const item = this.itemOf(entry);
      this.head = { ...this.head, token: tokenOf(item.record) };
      this.ring.push(item);
    }
    this.changed();
  }

  readonly itemOf = (entry: Entry): Item =>
    itemOfEntry(entry, (record) => {
      const { offset, nonce } = entry;
      return this.print({ epoch: this.head.epoch, offset, nonce, token: tokenOf(record) });
    });

  /** A break that stands in no log, but shows in what is left of one. */
  readonly breakAt = (reason: ResetReason, { offset, nonce }: Position): Item => {
    const cursor = this.print({ epoch: this.head.epoch, offset, nonce, token: undefined });
    const record: LogRecord = { kind: 'reset', reason, token: undefined };
    return { offset, nonce, at: performance.now(), record, bytes: 0, cursor };
  };

  /** The log is not what it was: every client is told, and goes on with what the log has now. */
  private async mend({ loss, tail }: LogLost): Promise<LogFollower> {
    const follower = await this.open((await this.commonWith(tail, loss)) ?? 'earliest');
    this.ring.push(this.breakAt(REASONS[loss], this.head));
    this.changed();
    return follower;
  }

  /** The last place that the ring and the log still have in common, if there is one. */
  private async commonWith({ epoch, offset: last }: Tail, loss: LogLoss): Promise<LogPosition | undefined> {
    const { logs, id } = this.options;
    for (let number = this.ring.end - 1; loss === 'diverged' && number >= this.ring.begin; number--) {
      const { offset, nonce } = this.ring.at(number);
      if (offset > last) continue;
      const [entry] = (await logs.read(id.name, { after: offset - 1, limit: 1 })).entries;
      if (entry?.offset === offset && entry.nonce === nonce) return { epoch, offset, nonce };
    }
    return undefined;
  }

  print(place: Place): string {
    return this.options.cursors.print(this.options.id, place);
  }

  follows({ offset, nonce, record }: Item): number | undefined {
    if (offset > 0) return this.behind({ offset, nonce });
    return record.kind !== 'end' && record.token !== undefined
      ? this.ring.behindToken(record.token)
      : undefined;
  }

  /** The number in the ring of what follows a position. */
  behind({ offset, nonce }: Position): number | undefined {
    if (offset === this.head.offset && nonce === this.head.nonce) return this.ring.end;
    return this.ring.after(offset, nonce);
  }

  history(after: Position): History {
    const { logs, id } = this.options;
    const { itemOf, breakAt, signal } = this;
    return readLog({ logs, name: id.name, after, itemOf, breakAt, signal, grown: () => this.grown() });
  }

  /** Resolves when the ring has got something new. */
  grown(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isClosed) resolve();
      else this.waiters.push(resolve);
    });
  }

  /** The stream from `start` on, for one client. */
  feed({ signal }: Call, start: Located): Feed {
    this.expected++;
    clearTimeout(this.idleTimer);
    let expected = true;
    const arrived = (): void => {
      if (!expected) return;
      expected = false;
      this.expected--;
      signal.removeEventListener('abort', arrived);
      this.restIfIdle();
    };
    signal.addEventListener('abort', arrived);
    return {
      resumable: true,
      resumed: start.resumed,
      replay: start.target !== undefined,
      cursor: start.cursor,
      start: (sink) => {
        const delivery = new SharedDelivery(this, sink, signal, start);
        this.deliveries.add(delivery);
        arrived();
        if (this.isClosed) delivery.end(this.endedWith);
        else if (signal.aborted) delivery.handleEvent();
        else delivery.deliver();
        return delivery;
      },
    };
  }

  left(delivery: SharedDelivery): void {
    this.deliveries.delete(delivery);
    this.restIfIdle();
  }

  /** Something is new in the ring. */
  private changed(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
    if (this.broadcasting) this.again = true;
    else {
      this.broadcasting = true;
      // What comes in the same turn of the event loop leaves in the same write.
      setImmediate(() => this.broadcast(this.deliveries.values()));
    }
  }

  /** Everybody gets what is new, in slices: thousands of writes in a row would keep all others waiting. */
  private broadcast(left: Iterator<SharedDelivery>): void {
    const until = performance.now() + SLICE_MS;
    for (let count = 1; ; count++) {
      const next = left.next();
      if (next.done === true) break;
      next.value.deliver();
      if (count % SLICE_DELIVERIES === 0 && performance.now() > until) {
        setImmediate(() => this.broadcast(left));
        return;
      }
    }
    this.broadcasting = false;
    if (!this.again) {
      this.closeAtEnd();
      return;
    }
    this.again = false;
    this.changed();
  }

  /** The stream has ended, and everybody here has been told. */
  private closeAtEnd(): void {
    const { ring } = this;
    if (ring.end > ring.begin && ring.at(ring.end - 1).record.kind === 'end') this.close(undefined);
  }

  /** Called about once a second: looks after slow clients, and after the call that the stream depends on. */
  tick(now: number): void {
    for (const delivery of this.deliveries) delivery.judge();
    if (now - this.lastTick < this.options.leaseMs / 2) return;
    this.lastTick = now;
    this.showInterest().catch(() => {});
    if (this.lease === undefined && !this.acquiring && !this.isClosed) void this.takeOver(now);
  }

  /** The node that made the call may be gone. */
  private async takeOver(now: number): Promise<void> {
    try {
      await this.tryToOwn(undefined);
      this.failingSince = 0;
    } catch (thrown) {
      if (thrown instanceof BrokerError || this.isClosed) return;
      const error = StatusError.from(thrown);
      this.failingSince ||= now;
      // The service may be gone with the node.
      const patient = now - this.failingSince < this.options.patienceMs;
      if (error.code !== Code.UNAVAILABLE || !patient) this.close(error);
    }
  }

  /** Tells other nodes that somebody here listens, so that the one that makes the call goes on with it. */
  private async showInterest(): Promise<void> {
    const { broker, id, node, leaseMs } = this.options;
    if (!broker.shared || this.isClosed) return;
    await broker.members.put(`interest:${id.name}`, node, { ttlMs: leaseMs * 2 });
  }

  /** With nobody left, the call goes on for a while: a client that comes right back finds it as it was. */
  private restIfIdle(): void {
    if (this.deliveries.size > 0 || this.expected > 0 || this.isClosed) return;
    const { lingerMs } = this.options.call.method.stream;
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => {
      this.closeUnlessNeeded().catch(() => this.restIfIdle());
    }, lingerMs).unref();
  }

  private async closeUnlessNeeded(): Promise<void> {
    const { broker, id, node } = this.options;
    if (broker.shared) {
      await broker.members.remove(`interest:${id.name}`, node);
      const needed = this.lease !== undefined && (await broker.members.count(`interest:${id.name}`)) > 0;
      if (this.deliveries.size > 0 || this.expected > 0) return;
      if (needed) {
        this.restIfIdle();
        return;
      }
    }
    this.close(undefined);
  }

  /** Ends the stream here; clients that are still there are told `error`, or that it is over. */
  close(error: StatusError | undefined): void {
    if (this.isClosed) return;
    this.endedWith = error;
    this.life.abort(error ?? new StatusError(Code.CANCELLED, 'nobody listens'));
    clearTimeout(this.idleTimer);
    this.options.closed();
    for (const delivery of [...this.deliveries]) delivery.end(error);
    for (const resolve of this.waiters.splice(0)) resolve();
    this.lease?.release().catch(() => {});
    this.lease = undefined;
  }
}

function tokenOf(record: LogRecord): Uint8Array | undefined {
  return record.kind === 'end' ? undefined : record.token;
}

function placeOf({ epoch = '', offset, nonce }: LogPosition): Place {
  return { epoch, offset, nonce, token: undefined };
}
