/** The replies of one call on their way to a WebSocket: as fast as its client grants credit and its socket takes bytes. */
import type { Metadata } from '../../src/call.js';
import type { StatusError } from '../../src/status.js';
import type { Delivery, Feed, Outlet, ResetReason, Sink } from '../../src/stream/feed.js';
import type { StreamCounts } from '../streams.js';
import type { FrameEncoder } from './ws_encoder.js';
import type { Socket } from './ws_socket.js';

/** The call whose replies these are. */
export interface Replying {
  /** The same one from the first event on. */
  readonly encoder: FrameEncoder;
  /** There was a reset; the client was told, if its frames can tell it. */
  wasReset(reason: ResetReason): void;
  /** The stream is over. Called at most once, and not after `stop`. */
  replied(error: StatusError | undefined, trailers: Metadata): void;
}

export interface RepliesOptions {
  readonly call: Replying;
  readonly socket: Pick<Socket, 'write' | 'isFull'>;
  readonly sid: number;
  readonly counts: StreamCounts;
  /** Replies that may be written before the client grants more. */
  readonly credit: number;
}

export class Replies implements Sink, Outlet {
  readonly #call: Replying;
  readonly #socket: Pick<Socket, 'write' | 'isFull'>;
  readonly #sid: number;
  readonly #counts: StreamCounts;
  /** Known from the first event on. */
  #encoder: FrameEncoder | undefined;
  sent = 0;
  #credit: number;
  #delivery: Delivery | undefined;
  #over = false;
  /** Whether anything was written since the last look for a bookmark. */
  #wrote = false;
  #bookmark: string;

  constructor({ call, socket, sid, counts, credit }: RepliesOptions, feed: Feed) {
    this.#call = call;
    this.#socket = socket;
    this.#sid = sid;
    this.#counts = counts;
    this.#credit = credit;
    this.#bookmark = feed.cursor;
  }

  get encoder(): FrameEncoder {
    this.#encoder ??= this.#call.encoder;
    return this.#encoder;
  }

  get outlet(): Outlet {
    return this;
  }

  start(feed: Feed): void {
    this.#delivery = feed.start(this);
    if (this.#over) this.#delivery.stop();
  }

  room(): number {
    return this.#over || this.#socket.isFull() ? 0 : this.#credit;
  }

  write(bytes: Uint8Array, messages: number): void {
    if (this.#over) return;
    const { encoder } = this;
    this.sent += messages;
    this.#credit -= messages;
    this.#wrote = true;
    this.#socket.write(encoder.frames(bytes, this.#sid));
    const reason = encoder.resets.in(bytes);
    if (reason === undefined) return;
    this.#counts.reset('ws', reason);
    this.#call.wasReset(reason);
  }

  end(error: StatusError | undefined, trailers: Metadata): void {
    if (this.#over) return;
    this.#over = true;
    this.#call.replied(error, trailers);
  }

  /** The client takes n more replies. */
  grant(n: number): void {
    this.#credit += n;
    this.#delivery?.ready();
  }

  /** The socket takes bytes again. */
  roomy(): void {
    this.#delivery?.ready();
  }

  /** A position that the client has not heard of, though nothing was written since the last call: then it moved on without a message. */
  takeBookmark(): string | undefined {
    const wrote = this.#wrote;
    this.#wrote = false;
    const cursor = this.#delivery?.cursor();
    if (wrote || cursor === undefined || cursor === this.#bookmark) return undefined;
    this.#bookmark = cursor;
    return cursor;
  }

  /** The client has left, or wants no more. Idempotent. */
  stop(): void {
    this.#over = true;
    this.#delivery?.stop();
  }
}
