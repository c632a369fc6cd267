/** Feeds and sinks for tests of streams: events by hand, clients that take what they are told to take. */
import type { Metadata } from '../../src/call.js';
import type { StatusError } from '../../src/status.js';
import type { Delivery, Encoder, Feed, Sink, StreamEvent } from '../../src/stream/feed.js';

export const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

export const message = (value: string, cursor = ''): StreamEvent => ({
  kind: 'message',
  message: Buffer.from(value),
  cursor,
});

/** Events as readable text: `m:hello@c1`, `reset:epoch_changed@c2`, `caught_up@c3`, joined by commas. */
export const TEXT_ENCODER: Encoder = {
  encode: (event) => {
    if (event.kind === 'message') return Buffer.from(`${text(event.message)}@${event.cursor}`);
    return Buffer.from(
      event.kind === 'reset' ? `reset:${event.reason}@${event.cursor}` : `caught_up@${event.cursor}`,
    );
  },
  join: (events) => Buffer.from(events.map(text).join(',')),
};

/** A client that takes as many messages as `space` says. */
export class TestSink implements Sink {
  readonly writes: string[] = [];
  messages = 0;
  ended: { readonly error: StatusError | undefined; readonly trailers: Metadata } | undefined;
  ends = 0;

  constructor(
    public space = Number.POSITIVE_INFINITY,
    readonly encoder: Encoder = TEXT_ENCODER,
  ) {}

  room(): number {
    return this.space;
  }

  write(bytes: Uint8Array, messages: number): void {
    if (messages > this.space) throw new Error(`${messages} messages for a client that takes ${this.space}`);
    if (this.ends > 0) throw new Error('a write after the end');
    this.space -= messages;
    this.messages += messages;
    this.writes.push(text(bytes));
  }

  end(error: StatusError | undefined, trailers: Metadata): void {
    this.ends++;
    this.ended = { error, trailers };
  }
}

/** A feed whose events a test sends by hand, to any number of clients that are started on it. It keeps nothing for a client without room. */
export class HandFeed implements Feed {
  readonly resumable: boolean;
  readonly resumed: boolean;
  readonly replay: boolean;
  readonly cursor: string;
  readonly sinks: Sink[] = [];
  stopped = 0;
  readied = 0;
  /** What `cursor()` of every delivery says. */
  position: string;

  constructor(options: Partial<Pick<Feed, 'resumable' | 'resumed' | 'replay' | 'cursor'>> = {}) {
    this.resumable = options.resumable ?? true;
    this.resumed = options.resumed ?? false;
    this.replay = options.replay ?? false;
    this.cursor = options.cursor ?? 'c0';
    this.position = this.cursor;
  }

  start(sink: Sink): Delivery {
    this.sinks.push(sink);
    return {
      ready: () => {
        this.readied++;
      },
      cursor: () => this.position,
      stop: () => {
        this.stopped++;
      },
    };
  }

  /** One write of these events to every client. */
  send(...events: readonly StreamEvent[]): void {
    const messages = events.filter(({ kind }) => kind === 'message').length;
    const written = new Map<Encoder, Uint8Array>();
    this.position = events.at(-1)?.cursor ?? this.position;
    for (const sink of this.sinks) {
      const { encoder } = sink;
      const bytes = written.get(encoder) ?? encoder.join(events.map((event) => encoder.encode(event)));
      written.set(encoder, bytes);
      sink.write(bytes, messages);
    }
  }

  end(error?: StatusError, trailers: Metadata = error?.metadata ?? {}): void {
    for (const sink of this.sinks.splice(0)) sink.end(error, trailers);
  }
}

/** An iterable of what is pushed, that counts how often it was asked. */
export class Pushed<T> implements AsyncIterableIterator<T> {
  asked = 0;
  returned = 0;
  private readonly items: (T | Error | undefined)[] = [];
  private waiting: ((item: T | Error | undefined) => void) | undefined;

  /** An Error is thrown; undefined is the end. */
  push(...items: (T | Error | undefined)[]): void {
    this.items.push(...items);
    if (this.waiting !== undefined && this.items.length > 0) {
      const { waiting } = this;
      this.waiting = undefined;
      waiting(this.items.shift());
    }
  }

  async next(): Promise<IteratorResult<T>> {
    this.asked++;
    const item =
      this.items.length > 0
        ? this.items.shift()
        : await new Promise<T | Error | undefined>((resolve) => {
            this.waiting = resolve;
          });
    if (item instanceof Error) throw item;
    return item === undefined ? { done: true, value: undefined } : { done: false, value: item };
  }

  async return(): Promise<IteratorResult<T>> {
    this.returned++;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
