/** Tells observers (metrics, logs) how every call went: its start, its acceptance, and its end exactly once. */
import {
  type Call,
  type Interceptor,
  type Invoke,
  isSingle,
  type Message,
  type Reply,
  type Requests,
} from '../call.js';
import { Code, StatusError } from '../status.js';
import { type FeedWatcher, WatchedFeed } from '../stream/watched.js';

/** How a call ended. */
export interface CallEnd {
  readonly code: Code;
  /** Why, unless the code is OK. Its cause is for logs alone. */
  readonly error: StatusError | undefined;
  /** From start to end, in ms. */
  readonly durationMs: number;
  /** From start until the call was accepted, in ms; undefined for a call that was refused. */
  readonly acceptedMs: number | undefined;
  /** Messages taken from the client. */
  readonly messagesIn: number;
  /** Messages handed to the client's door. */
  readonly messagesOut: number;
}

/** What an observer hears of one call. Must not throw. */
export interface CallObserver {
  /** The call was accepted; not called for one that is refused. */
  accepted?(acceptedMs: number): void;
  /** Called exactly once, last. */
  end(end: CallEnd): void;
}

export interface Observer {
  /** Must not throw. */
  start(call: Call): CallObserver;
}

/**
 * Reports every call to all observers. A reply stream that is left early ends as CANCELLED, or with the reason
 * of the call's signal; so does one that nobody iterates once the signal is aborted.
 */
export function observe(...observers: readonly Observer[]): Interceptor {
  return (next) => (call) => new Observed(call, observers).run(call, next);
}

/** One call while it is observed. */
class Observed implements FeedWatcher {
  private readonly startedAt = performance.now();
  /** All that is held of the call: a stream outlives its request by hours. */
  private readonly signal: AbortSignal;
  private readonly observers: readonly CallObserver[];
  private acceptedMs: number | undefined;
  private over = false;
  private feed: WatchedFeed | undefined;
  messagesIn = 0;
  messagesOut = 0;

  constructor(call: Call, observers: readonly Observer[]) {
    this.signal = call.signal;
    this.observers = observers.map((observer) => observer.start(call));
  }

  async run(call: Call, next: Invoke): Promise<Reply> {
    let reply: Reply;
    try {
      reply = await next({ ...call, requests: this.countRequests(call.requests) });
    } catch (thrown) {
      this.end(StatusError.from(thrown));
      throw thrown;
    }
    const acceptedMs = performance.now() - this.startedAt;
    this.acceptedMs = acceptedMs;
    for (const observer of this.observers) observer.accepted?.(acceptedMs);
    if (isSingle(reply.messages)) {
      this.messagesOut = 1;
      this.end(undefined);
      return reply;
    }
    if (this.signal.aborted) this.handleEvent();
    else this.signal.addEventListener('abort', this);
    const messages = new Replies(this, reply.messages[Symbol.asyncIterator]());
    if (reply.feed === undefined) return { ...reply, messages };
    this.feed = new WatchedFeed(reply.feed, this);
    return { ...reply, messages, feed: this.feed };
  }

  /** The call's signal was aborted: whether anybody reads on or not, this is how it ended. */
  handleEvent(): void {
    this.end(StatusError.from(this.signal.reason));
  }

  ended(error: StatusError | undefined): void {
    this.end(error);
  }

  left(): void {
    this.end(new StatusError(Code.CANCELLED, 'the reader left the stream'));
  }

  end(error: StatusError | undefined): void {
    if (this.over) return;
    this.over = true;
    this.signal.removeEventListener('abort', this);
    const end: CallEnd = {
      code: error?.code ?? Code.OK,
      error,
      durationMs: performance.now() - this.startedAt,
      acceptedMs: this.acceptedMs,
      messagesIn: this.messagesIn,
      messagesOut: this.messagesOut + (this.feed?.sent ?? 0),
    };
    for (const observer of this.observers) observer.end(end);
  }

  private countRequests(requests: Requests): Requests {
    if (typeof requests !== 'function') {
      return { [Symbol.asyncIterator]: () => new RequestCount(this, requests[Symbol.asyncIterator]()) };
    }
    return () => {
      this.messagesIn = 1;
      return requests();
    };
  }
}

/** The service's messages on their way to the door, counted, and watched for how they end. */
class Replies implements AsyncIterableIterator<Message> {
  constructor(
    private readonly observed: Observed,
    private readonly inner: AsyncIterator<Message>,
  ) {}

  next(): Promise<IteratorResult<Message, undefined>> {
    return this.inner.next().then(this.onResult, this.onFailure);
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    this.observed.left();
    await this.inner.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  // Bound once for a stream instead of once for each message.
  private readonly onResult = (result: IteratorResult<Message, undefined>) => {
    if (result.done) this.observed.end(undefined);
    else this.observed.messagesOut++;
    return result;
  };

  private readonly onFailure = (thrown: unknown): never => {
    this.observed.end(StatusError.from(thrown));
    throw thrown;
  };
}

/** The client's messages, counted. */
class RequestCount implements AsyncIterator<Message> {
  constructor(
    private readonly observed: Observed,
    private readonly inner: AsyncIterator<Message>,
  ) {}

  next(): Promise<IteratorResult<Message>> {
    return this.inner.next().then(this.onResult);
  }

  async return(): Promise<IteratorResult<Message>> {
    await this.inner.return?.();
    return { done: true, value: undefined };
  }

  private readonly onResult = (result: IteratorResult<Message>) => {
    if (!result.done) this.observed.messagesIn++;
    return result;
  };
}
