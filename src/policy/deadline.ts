/** Ends calls at their deadline, whatever the service and the layers between do. */
import { type Call, type Interceptor, type Invoke, isSingle, type Message, type Reply } from '../call.js';
import { Code, StatusError } from '../status.js';
import { feedOf } from '../stream/pump.js';
import { type FeedWatcher, WatchedFeed } from '../stream/watched.js';

/** What the gateway says of a deadline, wherever it is the first to notice. */
export const DEADLINE_TEXT = 'the deadline passed before the call ended';

/** The longest delay that a timer takes, in ms; a longer one would fire at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Refuses a call whose deadline has passed, and ends one with DEADLINE_EXCEEDED when it passes: the inner call's
 * signal is aborted, and the caller is answered at once even if nothing inside heeds that. Covers the iteration
 * of a stream. Calls without a deadline pass untouched.
 */
export function deadline(): Interceptor {
  return (next) => (call) => {
    if (call.deadline === undefined) return next(call);
    if (call.deadline <= Date.now()) return Promise.reject(exceeded());
    return new Bounded(next, call, call.deadline).reply;
  };
}

function exceeded(): StatusError {
  return new StatusError(Code.DEADLINE_EXCEEDED, DEADLINE_TEXT);
}

/** One call under a deadline. Listens to the client's signal itself, so that it costs no closures. */
class Bounded implements AsyncIterableIterator<Message>, FeedWatcher {
  readonly reply: Promise<Reply>;
  private readonly controller = new AbortController();
  private timer: NodeJS.Timeout | undefined;
  private inner: AsyncIterator<Message> | undefined;
  private feed: WatchedFeed | undefined;
  private stopped = false;
  /** Of the promise that the caller waits for just now: the reply, then one message after the other. */
  private waiting: ((error: unknown) => void) | undefined;
  /** Set when the call was stopped while nobody waited: thrown once, by the next pull. */
  private error: StatusError | undefined;

  constructor(
    next: Invoke,
    private readonly call: Call,
    private readonly deadline: number,
  ) {
    this.reply = new Promise((resolve, reject) => {
      this.waiting = reject;
      if (call.signal.aborted) {
        reject(StatusError.from(call.signal.reason));
        return;
      }
      call.signal.addEventListener('abort', this);
      this.arm();
      next({ ...call, signal: this.controller.signal }).then(
        (reply) => resolve(this.accepted(reply)),
        (thrown) => this.failed(thrown, reject),
      );
    });
  }

  /** The client left, or the gateway stops. */
  handleEvent(): void {
    this.stop(StatusError.from(this.call.signal.reason));
  }

  expire(): void {
    if (Date.now() < this.deadline) this.arm();
    else this.stop(exceeded());
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const { error, inner } = this;
    if (error) {
      this.error = undefined;
      return Promise.reject(error);
    }
    if (this.stopped || !inner) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.waiting = reject;
      inner.next().then(
        (result) => {
          this.waiting = undefined;
          if (result.done) this.release();
          resolve(result);
        },
        (thrown) => this.failed(thrown, reject),
      );
    });
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    this.release();
    await this.inner?.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  ended(): void {
    this.release();
  }

  left(): void {
    this.release();
  }

  private accepted(reply: Reply): Reply {
    this.waiting = undefined;
    if (isSingle(reply.messages)) {
      this.release();
      return reply;
    }
    this.inner = reply.messages[Symbol.asyncIterator]();
    // Accepted too late: nobody will iterate.
    if (this.stopped) this.inner.return?.().catch(() => {});
    // Of messages alone, nobody may ask for the next one when the deadline passes: the client takes none.
    const feed = reply.feed ?? feedOf({ ...reply, messages: this }, this.controller.signal);
    this.feed = new WatchedFeed(feed, this);
    if (this.stopped) this.feed.interrupt(this.error ?? exceeded());
    return { ...reply, messages: this, feed: this.feed };
  }

  private failed(thrown: unknown, reject: (error: unknown) => void): void {
    this.waiting = undefined;
    this.release();
    reject(thrown);
  }

  private arm(): void {
    // A timer may fire a millisecond early; expire() looks at the clock.
    this.timer = setTimeout(expire, Math.min(this.deadline - Date.now(), LONGEST_TIMER), this);
  }

  private stop(error: StatusError): void {
    this.release();
    this.stopped = true;
    this.feed?.interrupt(error);
    if (this.waiting) this.waiting(error);
    else this.error = error;
    this.waiting = undefined;
    this.controller.abort(error);
  }

  private release(): void {
    clearTimeout(this.timer);
    this.call.signal.removeEventListener('abort', this);
  }
}

function expire(bounded: Bounded): void {
  bounded.expire();
}
