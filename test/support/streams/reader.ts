/** A client of a feed that writes down what it is told, and can be as slow as it likes. */
import type { Invoke } from '../../../src/call.js';
import type { Method } from '../../../src/method.js';
import { Code, StatusError } from '../../../src/status.js';
import type { Delivery, Encoder, Feed, Sink, StreamEvent } from '../../../src/stream/feed.js';
import { type CallOptions, callOf, textOf } from './ticker.js';

const encoder: Encoder = {
  encode: (event) => Buffer.from(`${JSON.stringify({ ...plain(event) })}\n`),
  join: (events) => Buffer.concat(events),
};

function plain(event: StreamEvent): Seen {
  if (event.kind === 'message') return { what: textOf(event.message), cursor: event.cursor };
  return { what: event.kind === 'reset' ? `!${event.reason}` : '!caught_up', cursor: event.cursor };
}

interface Seen {
  readonly what: string;
  readonly cursor: string;
}

export class FeedReader implements Sink {
  readonly encoder = encoder;
  readonly seen: Seen[] = [];
  /** `ok`, or what ended the stream. */
  ended: StatusError | 'ok' | undefined;
  writes = 0;
  takes = Number.POSITIVE_INFINITY;
  delivery!: Delivery;
  private readonly controller: AbortController;

  constructor(
    readonly feed: Feed,
    controller: AbortController,
  ) {
    this.controller = controller;
  }

  static async open(invoke: Invoke, method: Method, options: CallOptions = {}): Promise<FeedReader> {
    const controller = new AbortController();
    const { feed } = await invoke(callOf(method, options, controller.signal));
    if (feed === undefined) throw new Error('the reply has no feed');
    const reader = new FeedReader(feed, controller);
    reader.delivery = feed.start(reader);
    return reader;
  }

  /** What it was told, in order. */
  get told(): string[] {
    return this.seen.map(({ what }) => what);
  }

  /** The cursor that it would come back with. */
  get cursor(): string {
    return this.seen.at(-1)?.cursor ?? this.feed.cursor;
  }

  room(): number {
    return this.takes;
  }

  write(bytes: Uint8Array, messages: number): void {
    this.writes++;
    this.takes -= messages;
    for (const line of Buffer.from(bytes).toString().trimEnd().split('\n'))
      this.seen.push(JSON.parse(line) as Seen);
  }

  end(error: StatusError | undefined): void {
    this.ended = error ?? 'ok';
  }

  take(count: number): void {
    this.takes = count;
    this.delivery.ready();
  }

  leave(): void {
    this.controller.abort(new StatusError(Code.CANCELLED, 'the client left'));
    this.delivery.stop();
  }
}
