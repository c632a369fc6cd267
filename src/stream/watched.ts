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
  private watch: Watch | undefined;
  /** Why it was ended before it was started. */
  private early: StatusError | undefined;

  constructor(
    private readonly inner: Feed,
    private readonly watcher: FeedWatcher,
  ) {
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
    const watch = new Watch(this.inner, this.watcher, sink);
    this.watch = watch;
    watch.begin(this.early);
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
    private readonly feed: Feed,
    private readonly watcher: FeedWatcher,
    private readonly sink: Sink,
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

  begin(early: StatusError | undefined): void {
    if (early !== undefined) {
      this.interrupt(early);
      return;
    }
    this.delivery = this.feed.start(this);
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
    return this.delivery?.cursor() ?? this.feed.cursor;
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
