/** The messages of a client that wait for the service to take them. */
import type { Message } from '../../src/call.js';
import type { StatusError } from '../../src/status.js';

interface Waiter {
  readonly resolve: (result: IteratorResult<Message>) => void;
  readonly reject: (error: StatusError) => void;
}

export interface InboxOptions {
  /** The service took this message. */
  readonly taken?: (message: Message) => void;
  /** The service asks for messages: every policy has accepted the call. Called once. */
  readonly wanted?: () => void;
  /** The service comes back for another one: the one that it took last has left the gateway. */
  readonly delivered?: () => void;
}

/** A queue between a socket and a call. It does not bound itself: its owner reads `size` and `bytes` and acts. */
export class Inbox implements AsyncIterable<Message> {
  readonly #options: InboxOptions;
  readonly #queue: Message[] = [];
  #bytes = 0;
  #wanted = false;
  /** Whether a message was taken since the service last came. */
  #handed = false;
  #ended = false;
  #failure: StatusError | undefined;
  #waiter: Waiter | undefined;

  constructor(options: InboxOptions = {}) {
    this.#options = options;
  }

  /** Messages that wait. */
  get size(): number {
    return this.#queue.length;
  }

  /** Their length in all. */
  get bytes(): number {
    return this.#bytes;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Ignored after the end. */
  push(message: Message): void {
    if (this.#ended) return;
    const waiter = this.#waiter;
    if (waiter === undefined) {
      this.#queue.push(message);
      this.#bytes += message.length;
      return;
    }
    this.#waiter = undefined;
    this.#handed = true;
    waiter.resolve({ done: false, value: message });
    this.#options.taken?.(message);
  }

  /** The client sends no more; what waits is still delivered. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiter?.resolve({ done: true, value: undefined });
    this.#waiter = undefined;
  }

  /** The call is over: what waits is dropped, and whoever still asks is told why. */
  fail(error: StatusError): void {
    this.#failure ??= error;
    this.#drop();
    this.#waiter?.reject(error);
    this.#waiter = undefined;
  }

  #drop(): void {
    this.#ended = true;
    this.#queue.length = 0;
    this.#bytes = 0;
  }

  #want(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#options.wanted?.();
  }

  /** The next message, or the end. */
  next(): Promise<IteratorResult<Message>> {
    this.#want();
    if (this.#handed) {
      this.#handed = false;
      this.#options.delivered?.();
    }
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#handed = true;
      this.#bytes -= message.length;
      this.#options.taken?.(message);
      return Promise.resolve({ done: false, value: message });
    }
    if (this.#ended && this.#failure === undefined) return Promise.resolve({ done: true, value: undefined });
    const promise = new Promise<IteratorResult<Message>>((resolve, reject) => {
      if (this.#failure === undefined) this.#waiter = { resolve, reject };
      else reject(this.#failure);
    });
    // An upstream that was aborted may never look at it again.
    promise.catch(() => {});
    return promise;
  }

  [Symbol.asyncIterator](): AsyncIterator<Message> {
    const done = { done: true, value: undefined } as const;
    return {
      next: () => this.next(),
      return: () => {
        this.#drop();
        return Promise.resolve(done);
      },
    };
  }
}
