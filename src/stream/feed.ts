/** A stream on its way to a door: events with positions, pushed as fast as the client takes them. */
import type { Message, Metadata } from '../call.js';
import { Code, StatusError } from '../status.js';

/** Why a client has to forget what it knows: what follows does not continue what it has seen. */
export type ResetReason =
  | 'history_truncated'
  | 'epoch_changed'
  | 'log_diverged'
  | 'cursor_invalid'
  | 'scope_changed'
  | 'slow_consumer';

/** What a client of a stream is told, in order. `cursor` is the position behind the event; empty on a stream without positions. */
export type StreamEvent =
  | { readonly kind: 'message'; readonly message: Message; readonly cursor: string }
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly cursor: string }
  /** The replay is done: what follows happens now. */
  | { readonly kind: 'caught_up'; readonly cursor: string };

/** What an event is on a client's wire. Clients whose bytes are equal share one encoder, and each event is encoded once for them all. */
export interface Encoder {
  encode(event: StreamEvent): Uint8Array;
  /** Several encoded events as one write; also of one. */
  join(events: readonly Uint8Array[]): Uint8Array;
}

/** Where a door takes events for one client. */
export interface Sink {
  /** The same one from the first event on. */
  readonly encoder: Encoder;
  /**
   * How many messages it takes now; Infinity is any number. While it answers 0 nothing is written, and the door calls `ready` of its
   * Delivery once it takes some again.
   */
  room(): number;
  /** Bytes of `encoder.join`, and how many messages are in them: at most `room()`. Resets and the like come without messages, at any time. */
  write(bytes: Uint8Array, messages: number): void;
  /** The stream is over: OK without an error. Called once, last, unless the delivery was stopped. */
  end(error: StatusError | undefined, trailers: Metadata): void;
  /** Takes the bytes in place of the sink: past all who would only pass them on. Default: the sink does. */
  readonly outlet?: Outlet;
}

/** A sink that counts by itself, so that nobody has to stand between it and what is written. */
export interface Outlet extends Pick<Sink, 'encoder' | 'room' | 'write'> {
  /** Messages that were written so far. */
  readonly sent: number;
}

/** One client being served. */
export interface Delivery {
  /** The sink takes messages again. */
  ready(): void;
  /** The position of the client: behind all that it was sent, or was spared by the method's policy for slow readers. */
  cursor(): string;
  /** The client has left. Idempotent. */
  stop(): void;
}

/** An accepted stream that has not begun yet. */
export interface Feed {
  /** Whether events have cursors. */
  readonly resumable: boolean;
  /** Whether it goes on where the cursor of the call was. When it cannot, the first event is a reset. */
  readonly resumed: boolean;
  /** Whether what happened before comes first, and `caught_up` after it. */
  readonly replay: boolean;
  /** Where it begins: a client that sees no event at all resumes here. Empty without cursors. */
  readonly cursor: string;
  /** Called once. A feed that is never started ends with the signal of its call. */
  start(sink: Sink): Delivery;
}

/** The client did not take what its stream had for it: its connection is closed, and it may come back and resume. */
export class SlowConsumerError extends StatusError {
  constructor() {
    super(Code.RESOURCE_EXHAUSTED, 'the client reads too slowly');
  }
}
