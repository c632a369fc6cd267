/** A feed whose messages and end somebody else hears of too, and may end: for the policies around a call. */
import type { Metadata } from '../call.js';
import type { StatusError } from '../status.js';
import type { Delivery, Encoder, Feed, Sink } from './feed.js';

/** Must not throw. */
export interface FeedWatcher {
  /** So many messages were handed to the door. */
  wrote?(messages: number): void;
  /** The stream is over: OK without an error. Called at most once, and not after `left`. */
  ended(error: StatusError | undefined): void;
  /** The door has stopped it. Called at most once, and not after `ended`. */
  left(): void;
}

export interface WatchedFeed extends Feed {
  /** Ends it for its door, whatever the inner feed does. Without effect once it is over. */
  interrupt(error: StatusError): void;
}

export function watchFeed(inner: Feed, watcher: FeedWatcher): WatchedFeed {
  const { resumable, resumed, replay, cursor } = inner;
  let watch: Watch | undefined;
  let early: StatusError | undefined;
  return {
    resumable,
    resumed,
    replay,
    cursor,
    start(sink) {
      watch = new Watch(inner, watcher, sink);
      watch.begin(early);
      return watch;
    },
    interrupt(error) {
      if (watch === undefined) early ??= error;
      else watch.interrupt(error);
    },
  };
}

/** One client, between its feed and its door. */
class Watch implements Sink, Delivery {
  private delivery: Delivery | undefined;
  private over = false;

  constructor(
    private readonly feed: Feed,
    private readonly watcher: FeedWatcher,
    private readonly sink: Sink,
  ) {}

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
    this.watcher.wrote?.(messages);
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

  readonly cursor = (): string => this.delivery?.cursor() ?? this.feed.cursor;

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
