/** A feed whose messages and end somebody else hears of too, and may end: for the policies around a call. */
import type { Metadata } from '../call.js';
import type { StatusError } from '../status.js';
import type { Delivery, Encoder, Feed, Outlet, Sink } from './feed.js';

/** Must not throw. */
export interface FeedWatcher {
  /** The stream is over: OK without an error. Called at most once, and not after `left`. */
  ended(error: StatusError | undefined): void;
  /** The door has stopped it. Called at most once, and not after `ended`. */
  left(): void;
}

/** The feed of `inner` for its door. */
export class WatchedFeed implements Feed {
  readonly resumable: boolean;
  readonly resumed: boolean;
  readonly replay: boolean;
  readonly cursor: string;
  /** Until it is started: it may hold what nobody needs any more. */
  private inner: Feed | undefined;
  private watch: Watch | undefined;
  /** Why it was ended before it was started. */
  private early: StatusError | undefined;

  constructor(
    inner: Feed,
    private readonly watcher: FeedWatcher,
  ) {
    this.inner = inner;
    this.resumable = inner.resumable;
    this.resumed = inner.resumed;
    this.replay = inner.replay;
    this.cursor = inner.cursor;
  }

  /** Messages that were handed to the door. */
  get sent(): number {
    return this.watch?.sent ?? 0;
  }

  start(sink: Sink): Delivery {
    const { inner } = this;
    if (inner === undefined) throw new Error('a feed is started twice');
    const watch = new Watch(this.watcher, sink, inner.cursor);
    this.inner = undefined;
    this.watch = watch;
    watch.begin(inner, this.early);
    return watch;
  }

  /** Ends it for its door, whatever the inner feed does. Without effect once it is over. */
  interrupt(error: StatusError): void {
    if (this.watch === undefined) this.early ??= error;
    else this.watch.interrupt(error);
  }
}

/** One client, between its feed and its door. */
class Watch implements Sink, Delivery {
  declare readonly outlet?: Outlet;
  private counted = 0;
  private delivery: Delivery | undefined;
  private over = false;

  constructor(
    private readonly watcher: FeedWatcher,
    private readonly sink: Sink,
    /** Where it begins. */
    private readonly first: string,
  ) {
    if (sink.outlet !== undefined) this.outlet = sink.outlet;
  }

  /** Read at the end: whoever watches is out of the way of what is written. */
  get sent(): number {
    return this.outlet?.sent ?? this.counted;
  }

  get encoder(): Encoder {
    return this.sink.encoder;
  }

  begin(feed: Feed, early: StatusError | undefined): void {
    if (early !== undefined) {
      this.interrupt(early);
      return;
    }
    this.delivery = feed.start(this);
    // It was stopped while it was started.
    if (this.over) this.delivery.stop();
  }

  room(): number {
    return this.over ? 0 : this.sink.room();
  }

  write(bytes: Uint8Array, messages: number): void {
    if (this.over) return;
    this.counted += messages;
    this.sink.write(bytes, messages);
  }

  end(error: StatusError | undefined, trailers: Metadata): void {
    if (this.over) return;
    this.over = true;
    this.watcher.ended(error);
    this.sink.end(error, trailers);
  }

  ready(): void {
    if (!this.over) this.delivery?.ready();
  }

  cursor(): string {
    return this.delivery?.cursor() ?? this.first;
  }

  stop(): void {
    if (this.over) return;
    this.over = true;
    this.watcher.left();
    this.delivery?.stop();
  }

  interrupt(error: StatusError): void {
    if (this.over) return;
    this.delivery?.stop();
    this.end(error, error.metadata);
  }
}
