/** A call that is answered with a stream: read ahead a little, then only as fast as the iterator is pulled. */
import type { Metadata as GrpcMetadata, StatusObject } from '@grpc/grpc-js';
import type { Message, Metadata } from '../call.js';
import { Code, StatusError } from '../status.js';
import { fromGrpc, NO_METADATA } from './metadata.js';
import { Running } from './running.js';

/**
 * Messages read ahead of the iterator, so that a reader that keeps up never waits for a round through grpc-js.
 * Small, since each slow reader holds as much, and what is not read here the service cannot send. Not smaller,
 * since grpc-js drops what it has not handed out when a failure arrives (grpc-node issue 2764): a reader that
 * is further behind than this loses the messages between.
 */
const AHEAD_MESSAGES = 64;
const AHEAD_BYTES = 64 * 1024;

interface Pull {
  readonly resolve: (result: IteratorResult<Message, undefined>) => void;
  readonly reject: (error: StatusError) => void;
}

const DONE: IteratorResult<Message, undefined> = Object.freeze({ done: true, value: undefined });

/** The iterator of its own messages. One `next()` at a time; `return()` cancels the call. */
export class StreamReply extends Running implements AsyncIterableIterator<Message> {
  private readonly queue: Message[] = [];
  private queuedBytes = 0;
  private reading = true;
  private pull: Pull | undefined;
  private error: StatusError | undefined;
  private trailers: Metadata = NO_METADATA;
  private acceptTimer: NodeJS.Timeout | undefined;

  protected receiveHeaders(metadata: GrpcMetadata): void {
    try {
      this.acceptWith(fromGrpc(metadata));
    } catch (thrown) {
      this.fail(StatusError.from(thrown));
    }
  }

  onReceiveMessage(message: Message | null): void {
    if (this.isEnded || message === null) return;
    this.reading = false;
    const { pull } = this;
    if (pull) {
      this.pull = undefined;
      pull.resolve({ done: false, value: message });
    } else {
      this.queue.push(message);
      this.queuedBytes += message.length;
    }
    this.readAhead();
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    const message = this.queue.shift();
    if (message !== undefined) {
      this.queuedBytes -= message.length;
      this.readAhead();
      return Promise.resolve({ done: false, value: message });
    }
    if (this.isEnded) return this.finish();
    if (this.pull) {
      return Promise.reject(new StatusError(Code.INTERNAL, 'a stream is read by two readers'));
    }
    return new Promise((resolve, reject) => {
      this.pull = { resolve, reject };
    });
  }

  /** Leaves the stream: the service hears of it at once. */
  return(): Promise<IteratorResult<Message, undefined>> {
    this.queue.length = 0;
    this.pull?.resolve(DONE);
    this.pull = undefined;
    this.fail(new StatusError(Code.CANCELLED, 'the call was cancelled'));
    this.error = undefined;
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  protected override opened(): void {
    this.acceptTimer = setTimeout(acceptSilence, this.link.acceptMs, this);
  }

  /** A service that has the call and is silent has accepted it; one that is not reached yet has not. */
  acceptSilence(): void {
    if (this.foreignType !== undefined) return;
    if (this.isConnected) this.acceptWith(NO_METADATA);
    else this.opened();
  }

  protected complete(status: StatusObject): void {
    this.trailers = fromGrpc(status.metadata);
    this.acceptWith(NO_METADATA);
    this.settlePull();
  }

  protected override failed(error: StatusError): void {
    this.error = error;
    this.trailers = error.metadata;
    this.refuse(error);
    this.settlePull();
  }

  protected override closed(): void {
    clearTimeout(this.acceptTimer);
  }

  private acceptWith(headers: Metadata): void {
    clearTimeout(this.acceptTimer);
    this.accept({ headers, messages: this, trailers: () => this.trailers });
  }

  private readAhead(): void {
    if (this.reading || this.queue.length >= AHEAD_MESSAGES || this.queuedBytes >= AHEAD_BYTES) return;
    this.reading = true;
    this.read();
  }

  private settlePull(): void {
    const { pull } = this;
    if (!pull) return;
    this.pull = undefined;
    this.finish().then(pull.resolve, pull.reject);
  }

  /** A failure is thrown once; after it the stream is done, as with any iterator. */
  private finish(): Promise<IteratorResult<Message, undefined>> {
    const { error } = this;
    if (error === undefined) return Promise.resolve(DONE);
    this.error = undefined;
    return Promise.reject(error);
  }
}

function acceptSilence(stream: StreamReply): void {
  stream.acceptSilence();
}
