/** A feed made of an async iterable: events are pulled one by one, and only while the client takes them. */
import type { Message, Metadata, Reply } from '../call.js';
import { StatusError } from '../status.js';
import type { Delivery, Feed, Sink, StreamEvent } from './feed.js';

export interface PumpOptions extends Pick<Feed, 'resumable' | 'resumed' | 'replay' | 'cursor'> {
  /** Iterated once. Leaving it early ends whatever is behind it. */
  readonly events: AsyncIterable<StreamEvent>;
  /** Complete when the last event has been read. */
  readonly trailers: () => Metadata;
  /** Of the call: the stream ends with its reason as soon as it is aborted, whatever the events do. */
  readonly signal: AbortSignal;
}

/**
 * A feed of one client's own events. One event is pulled ahead of what the client takes, so that the end of the stream needs no room; events
 * that are there at once share a write.
 */
export function pumpFeed(options: PumpOptions): Feed {
  const { events, resumable, resumed, replay, cursor } = options;
  const start = (sink: Sink): Delivery => new Pump({ ...options, sink, source: events, eventOf: asItIs });
  return { resumable, resumed, replay, cursor, start };
}

/** The feed of a reply that is a stream: its own, or one of its messages without positions. `signal` is that of the call. */
export function feedOf({ feed, messages, trailers }: Reply, signal: AbortSignal): Feed {
  if (feed !== undefined) return feed;
  const source = messages as AsyncIterable<Message>;
  const start = (sink: Sink): Delivery =>
    new Pump({ source, eventOf: withoutCursor, sink, cursor: '', trailers, signal });
  return { resumable: false, resumed: false, replay: false, cursor: '', start };
}

const asItIs = (event: StreamEvent): StreamEvent => event;
const withoutCursor = (message: Message): StreamEvent => ({ kind: 'message', message, cursor: '' });

/** What one write holds at most, a single event aside: a source that is never out of events would never let the turn end. */
const WRITE_EVENTS = 64;
const WRITE_BYTES = 64 * 1024;

interface PumpSource<T> extends Pick<PumpOptions, 'trailers' | 'signal' | 'cursor'> {
  readonly source: AsyncIterable<T>;
  readonly eventOf: (item: T) => StreamEvent;
  readonly sink: Sink;
}

/** An event as it is on the client's wire. */
interface Encoded {
  readonly bytes: Uint8Array;
  readonly messages: 0 | 1;
  readonly cursor: string;
}

class Pump<T> implements Delivery {
  private readonly iterator: AsyncIterator<T>;
  /** Behind all that was written. */
  private position: string;
  /** What shares the next write. */
  private gathered: Uint8Array[] = [];
  private gatheredBytes = 0;
  private gatheredMessages = 0;
  private gatheredCursor = '';
  private willFlush = false;
  /** A message that the client does not take yet. */
  private held: Encoded | undefined;
  private over = false;

  constructor(private readonly options: PumpSource<T>) {
    const { source, signal, cursor } = options;
    this.iterator = source[Symbol.asyncIterator]();
    this.position = cursor;
    if (signal.aborted) {
      this.handleEvent();
      return;
    }
    signal.addEventListener('abort', this);
    this.pull();
  }

  cursor(): string {
    return this.position;
  }

  ready(): void {
    const { held } = this;
    if (held === undefined || this.over || this.options.sink.room() <= 0) return;
    this.held = undefined;
    this.gather(held);
    this.pull();
  }

  stop(): void {
    if (this.over) return;
    this.close();
    this.leave();
  }

  /** The call's signal. */
  handleEvent(): void {
    this.fail(StatusError.from(this.options.signal.reason));
    this.leave();
  }

  private pull(): void {
    this.iterator.next().then(this.onResult, this.onFailure);
  }

  // Bound once for a stream instead of once for each event.
  private readonly onResult = (result: IteratorResult<T>): void => {
    if (this.over) return;
    if (result.done) {
      this.flush();
      this.close();
      this.options.sink.end(undefined, this.options.trailers());
      return;
    }
    let encoded: Encoded;
    try {
      encoded = this.encode(this.options.eventOf(result.value));
    } catch (thrown) {
      this.fail(StatusError.from(thrown));
      this.leave();
      return;
    }
    if (this.take(encoded)) this.pull();
  };

  private readonly onFailure = (thrown: unknown): void => {
    this.fail(StatusError.from(thrown));
  };

  private encode(event: StreamEvent): Encoded {
    const bytes = this.options.sink.encoder.encode(event);
    return { bytes, messages: event.kind === 'message' ? 1 : 0, cursor: event.cursor };
  }

  /** Whether there may be room for another one. */
  private take(encoded: Encoded): boolean {
    const { sink } = this.options;
    if (encoded.messages > 0 && sink.room() - this.gatheredMessages <= 0) {
      this.flush();
      if (sink.room() <= 0) {
        this.held = encoded;
        return false;
      }
    }
    this.gather(encoded);
    return !this.over;
  }

  private gather({ bytes, messages, cursor }: Encoded): void {
    this.gathered.push(bytes);
    this.gatheredBytes += bytes.length;
    this.gatheredMessages += messages;
    this.gatheredCursor = cursor;
    if (this.gathered.length >= WRITE_EVENTS || this.gatheredBytes >= WRITE_BYTES) this.flush();
    else if (!this.willFlush) {
      this.willFlush = true;
      // After all microtasks, so that everything is here that the iterator has at once.
      process.nextTick(flush, this);
    }
  }

  flush(): void {
    this.willFlush = false;
    if (this.gathered.length === 0 || this.over) return;
    const { sink } = this.options;
    const bytes = sink.encoder.join(this.gathered);
    const messages = this.gatheredMessages;
    this.gathered = [];
    this.gatheredBytes = 0;
    this.gatheredMessages = 0;
    this.position = this.gatheredCursor;
    if (bytes.length > 0) sink.write(bytes, messages);
  }

  private fail(error: StatusError): void {
    if (this.over) return;
    this.flush();
    this.close();
    this.options.sink.end(error, error.metadata);
  }

  private close(): void {
    this.over = true;
    this.held = undefined;
    this.gathered = [];
    this.options.signal.removeEventListener('abort', this);
  }

  private leave(): void {
    this.iterator.return?.().catch(() => {});
  }
}

function flush(pump: { flush(): void }): void {
  pump.flush();
}
