/** The messages of a feed one by one, for readers that show no positions. */
import type { Message } from '../call.js';
import { Code, StatusError } from '../status.js';
import type { Delivery, Feed, Sink } from './feed.js';
import { createPackedEncoder, reasonOf, unpack } from './packed.js';

/** How many messages are taken from the feed before the reader wants them. */
const QUEUED = 16;
const DONE: IteratorResult<Message, undefined> = Object.freeze({ done: true, value: undefined });
/** One for all, so that the messages of a shared stream are packed once. */
const ENCODER = createPackedEncoder((message) => message);

interface Waiter {
  readonly resolve: (result: IteratorResult<Message, undefined>) => void;
  readonly reject: (error: StatusError) => void;
}

/**
 * To be iterated once; the feed is started by the first `next()`. Throws StatusError ABORTED, naming the reason, when the feed is reset after
 * the first message, since messages alone cannot tell of it; the reason of `signal` as soon as that is aborted; or how the stream failed.
 */
export function messagesOf(feed: Feed, signal: AbortSignal): AsyncIterableIterator<Message> {
  return new Messages(feed, signal);
}

class Messages implements AsyncIterableIterator<Message>, Sink {
  readonly encoder = ENCODER;
  private readonly queue: Message[] = [];
  private delivery: Delivery | undefined;
  private started = false;
  /** Whether the feed was told that there is no room. */
  private full = false;
  private begun = false;
  private over = false;
  private error: StatusError | undefined;
  private waiter: Waiter | undefined;

  constructor(
    private readonly feed: Feed,
    private readonly signal: AbortSignal,
  ) {}

  next(): Promise<IteratorResult<Message, undefined>> {
    if (!this.started) this.start();
    const message = this.queue.shift();
    if (message !== undefined) {
      if (this.full && this.queue.length * 2 <= QUEUED) {
        this.full = false;
        this.delivery?.ready();
      }
      return Promise.resolve({ done: false, value: message });
    }
    const { error } = this;
    if (error !== undefined) {
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.over) return Promise.resolve(DONE);
    if (this.waiter !== undefined) {
      return Promise.reject(new StatusError(Code.INTERNAL, 'a stream is read by two readers'));
    }
    return new Promise((resolve, reject) => {
      this.waiter = { resolve, reject };
    });
  }

  /** Leaves the stream, also one that was not begun. */
  return(): Promise<IteratorResult<Message, undefined>> {
    this.close();
    this.queue.length = 0;
    if (!this.started) this.start();
    this.settle(DONE);
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private start(): void {
    this.started = true;
    this.signal.addEventListener('abort', this);
    this.delivery = this.feed.start(this);
    if (this.signal.aborted) this.handleEvent();
    // It ended while it was started.
    if (this.over) this.close();
  }

  /** The call's signal: what waits is of no more interest. */
  handleEvent(): void {
    if (this.over) return;
    this.queue.length = 0;
    this.fail(StatusError.from(this.signal.reason));
  }

  room(): number {
    const room = this.over ? 0 : Math.max(0, QUEUED - this.queue.length);
    this.full ||= room === 0;
    return room;
  }

  write(bytes: Uint8Array): void {
    for (const event of unpack(bytes)) {
      if (this.over) return;
      if (event.kind === 'message') this.push(event.payload);
      else if (event.kind === 'reset' && this.begun) {
        this.fail(
          new StatusError(Code.ABORTED, `the stream does not go on where it was: ${reasonOf(event)}`),
        );
      }
    }
  }

  end(error: StatusError | undefined): void {
    if (this.over) return;
    if (error !== undefined) this.fail(error);
    else {
      this.close();
      this.settle(DONE);
    }
  }

  private push(message: Message): void {
    this.begun = true;
    if (this.waiter === undefined) this.queue.push(message);
    else this.settle({ done: false, value: message });
  }

  private fail(error: StatusError): void {
    this.close();
    if (this.waiter === undefined) this.error = error;
    else this.waiter.reject(error);
    this.waiter = undefined;
  }

  private settle(result: IteratorResult<Message, undefined>): void {
    this.waiter?.resolve(result);
    this.waiter = undefined;
  }

  private close(): void {
    this.over = true;
    this.signal.removeEventListener('abort', this);
    this.delivery?.stop();
  }
}
