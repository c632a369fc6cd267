/** A shared stream on this node: one view of its log, one call of the service if no other node makes it, and any number of clients. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Broker, Logs, Position } from '../broker/broker.js';
import type { Call, Invoke, Metadata } from '../call.js';
import type { SlowReader } from '../method.js';
import { Code, StatusError } from '../status.js';
import { createBroadcast } from './broadcast.js';
import type { Cursors } from './cursor.js';
import { type History, type Shared, SharedDelivery } from './delivery.js';
import type { Delivery, Feed, ResetReason, Sink } from './feed.js';
import type { Located } from './locate.js';
import { LogView } from './log_view.js';
import type { Positions } from './positions.js';
import type { Item, Ring } from './ring.js';
import type { SourceOptions } from './source.js';
import { type StreamId, scopedMetadata, scopedPrincipal } from './stream_id.js';
import { Tenure } from './tenure.js';

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
  /** The stream has come to its end: the next client begins another one. */
  readonly ended: () => void;
  /** It is over, and has no clients any more. */
  readonly closed: () => void;
}

/** The ring holds what a reader may be behind, and this much even where that is less. In bytes and ms. */
const RING_BYTES_LEAST = 64 * 1024;
const RING_AGE_MS = 60_000;
const YOUNG_MS = 1_000;

export class Hub implements Shared {
  readonly slow: SlowReader;
  readonly keyOf: (message: Uint8Array) => string;
  readonly log: LogView;
  private readonly tenure: Tenure;
  private readonly life = new AbortController();
  private readonly deliveries = new Set<SharedDelivery>();
  private readonly createdAt = performance.now();
  /** Clients that are on their way: their place is looked for, or their feed was given out and not started yet. */
  private expected = 0;
  /** The end of the stream is in the ring. */
  private hasEnded = false;
  private running: Promise<void> | undefined;
  private idleTimer: NodeJS.Timeout | undefined;
  private endedWith: StatusError | undefined;

  constructor(readonly options: HubOptions) {
    const { broker, logs, id, call, cursors, positions, node, leaseMs, patienceMs } = options;
    const { signal } = this.life;
    const { slow } = call.method.stream;
    this.slow = slow;
    this.keyOf = options.keyOf;
    const bytes = Math.max(slow.bytes, RING_BYTES_LEAST);
    const ageMs = Math.max(slow.ageMs, RING_AGE_MS);
    this.log = new LogView({
      logs,
      id,
      cursors,
      hasTokens: positions !== undefined,
      limits: { bytes, ageMs },
      grown: createBroadcast(this.deliveries, () => this.endAtEnd()),
      broken: (number) => {
        for (const delivery of this.deliveries) delivery.leaveLog(number);
      },
      signal,
    });
    const failed = (error: StatusError): void => this.close(error);
    const source = this.sourceOptions.bind(this);
    this.tenure = new Tenure({
      broker,
      logs,
      name: id.name,
      node,
      leaseMs,
      patienceMs,
      source,
      failed,
      signal,
    });
  }

  get ring(): Ring {
    return this.log.ring;
  }

  /** Whether it has run for a moment only. */
  get isYoung(): boolean {
    return performance.now() - this.createdAt < YOUNG_MS;
  }

  get isClosed(): boolean {
    return this.life.signal.aborted;
  }

  get isOwner(): boolean {
    return this.tenure.isOwner;
  }

  get clients(): number {
    return this.deliveries.size;
  }

  get headers(): Metadata {
    return this.tenure.headers;
  }

  /** Once: for the client whose position the service did not know. */
  takeLost(): ResetReason | undefined {
    return this.tenure.takeLost();
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
    const { done } = await this.log.begin();
    done.catch((thrown: unknown) => this.close(StatusError.from(thrown)));
    const offset = await this.tenure.begin(token);
    // The first cursor that a client gets is one of a log that has begun; another node is about to begin it if this one is not.
    const until = Date.now() + 2 * leaseMs;
    while (this.log.place.epoch === '' || this.log.place.offset < offset) {
      if (Date.now() > until || this.isClosed)
        throw this.endedWith ?? new StatusError(Code.UNAVAILABLE, 'the stream has not begun in time');
      await Promise.race([this.log.grown(), sleep(leaseMs / 10, undefined, { ref: false })]);
    }
  }

  /** What is asked of the service for this stream, on behalf of all its clients or of one that is behind. */
  sourceOptions(token: Uint8Array | undefined, signal: AbortSignal): SourceOptions {
    const { call, invoke, request, positions, patienceMs } = this.options;
    const { id, method } = call;
    const scoped = { metadata: scopedMetadata(call), principal: scopedPrincipal(call) };
    return {
      invoke,
      call: { id, method, ...scoped, deadline: undefined },
      request,
      positions,
      token,
      signal,
      patienceMs,
    };
  }

  follows(item: Item): number | undefined {
    return this.log.follows(item);
  }

  history(after: Position): History {
    return this.log.history(after);
  }

  /** A client is on its way, and the stream goes on for it; `arrived` is to be called once. */
  expect(): void {
    this.expected++;
    clearTimeout(this.idleTimer);
  }

  /** The stream from `start` on, for one client that is expected: its feed says when it has arrived. */
  feed({ signal }: Call, start: Located): Feed {
    return new HubFeed(this, signal, start);
  }

  /** A client that was expected is there, or never will be. */
  arrived(): void {
    this.expected--;
    this.restIfIdle();
  }

  /** A client whose feed is started. `arrived` is called once it is counted. */
  serve(delivery: SharedDelivery, signal: AbortSignal, arrived: () => void): void {
    this.deliveries.add(delivery);
    arrived();
    if (this.isClosed) delivery.end(this.endedWith);
    else if (signal.aborted) delivery.handleEvent();
    else delivery.deliver();
    if (this.hasEnded) delivery.endIfDone();
  }

  left(delivery: SharedDelivery): void {
    this.deliveries.delete(delivery);
    this.restIfIdle();
  }

  /** The stream may have come to its end. Those who have not read so far still do; for new clients it begins anew. */
  private endAtEnd(): void {
    const { ring } = this;
    if (this.hasEnded || ring.end === ring.begin || ring.at(ring.end - 1).record.kind !== 'end') return;
    this.hasEnded = true;
    for (const delivery of [...this.deliveries]) delivery.endIfDone();
    this.options.ended();
    this.tenure.release();
    this.restIfIdle();
  }

  /** Called about once a second: looks after slow clients, and after the call that the stream depends on. */
  tick(now: number): void {
    for (const delivery of this.deliveries) delivery.judge();
    if (this.running !== undefined && !this.isClosed && !this.hasEnded) this.tenure.tick(now);
  }

  /** With nobody left, the call goes on for a while: a client that comes right back finds it as it was. */
  private restIfIdle(): void {
    if (this.deliveries.size > 0 || this.expected > 0 || this.isClosed) return;
    if (this.hasEnded) {
      this.close(undefined);
      return;
    }
    const { lingerMs } = this.options.call.method.stream;
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => {
      this.closeUnlessNeeded().catch(() => this.restIfIdle());
    }, lingerMs).unref();
  }

  private async closeUnlessNeeded(): Promise<void> {
    const needed = await this.tenure.isNeeded();
    if (this.deliveries.size > 0 || this.expected > 0) return;
    if (needed) this.restIfIdle();
    else this.close(undefined);
  }

  /** Ends the stream here; clients that are still there are told `error`, or that it is over. */
  close(error: StatusError | undefined): void {
    if (this.isClosed) return;
    this.endedWith = error;
    this.life.abort(error ?? new StatusError(Code.CANCELLED, 'nobody listens'));
    clearTimeout(this.idleTimer);
    this.options.closed();
    for (const delivery of [...this.deliveries]) delivery.end(error);
    this.tenure.release();
  }
}

/** One client's, until it is started. */
class HubFeed implements Feed {
  readonly resumable = true;
  readonly resumed: boolean;
  readonly replay: boolean;
  readonly cursor: string;
  private expected = true;

  constructor(
    private readonly hub: Hub,
    private readonly signal: AbortSignal,
    private readonly from: Located,
  ) {
    this.resumed = from.resumed;
    this.replay = from.target !== undefined;
    this.cursor = from.cursor;
    signal.addEventListener('abort', this);
  }

  /** The client has left before it was started. */
  handleEvent(): void {
    if (!this.expected) return;
    this.expected = false;
    this.signal.removeEventListener('abort', this);
    this.hub.arrived();
  }

  start(sink: Sink): Delivery {
    const { hub, signal } = this;
    const delivery = new SharedDelivery(hub, sink, signal, this.from);
    hub.serve(delivery, signal, () => this.handleEvent());
    return delivery;
  }
}
