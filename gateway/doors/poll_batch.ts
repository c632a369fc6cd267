/** What one long poll is answered with: the events that come while it waits, up to a limit. */
import type { Metadata } from '../../src/call.js';
import type { StatusError } from '../../src/status.js';
import type { Delivery, Encoder, Feed, ResetReason, Sink } from '../../src/stream/feed.js';
import { reasonOf, type Unpacked, unpack } from '../../src/stream/packed.js';

/** What one answer holds at most: so many messages, and once it has so many bytes, no more. */
const MESSAGES_MOST = 1000;
const BYTES_MOST = 1024 * 1024;
/** Between the first event and the answer, so that a burst shares it. In ms. */
const COLLECT_MS = 20;
/** The same while history is read. */
const REPLAY_MS = 500;

export interface Collected {
  /** JSON texts, in order. */
  readonly messages: readonly Uint8Array[];
  /** Where the next poll goes on. */
  readonly cursor: string;
  /** What the messages do not continue; before all of them. */
  readonly reset: ResetReason | undefined;
  /** Whether what comes next happens from now on. */
  readonly caughtUp: boolean;
  /** How the stream ended, if it did. */
  readonly end: { readonly error: StatusError | undefined; readonly trailers: Metadata } | undefined;
}

export interface BatchOptions {
  readonly feed: Feed;
  /** Packs messages as JSON. */
  readonly encoder: Encoder;
  readonly waitMs: number;
  /** Called once, with what there is then. */
  readonly done: (collected: Collected) => void;
}

export class Batch implements Sink {
  readonly encoder: Encoder;
  private readonly messages: Uint8Array[] = [];
  private bytes = 0;
  private cursor: string;
  private reset: ResetReason | undefined;
  private caughtUp: boolean;
  private ended: Collected['end'];
  /** Whether something was left for the next poll. */
  private cut = false;
  private over = false;
  private timer: NodeJS.Timeout;
  /** When there may be an answer with nothing in it. */
  private readonly answerAt: number;
  private collecting = false;
  private delivery: Delivery | undefined;

  constructor(private readonly options: BatchOptions) {
    const { feed, encoder, waitMs } = options;
    this.encoder = encoder;
    this.cursor = feed.cursor;
    this.caughtUp = !feed.replay;
    this.answerAt = performance.now() + waitMs;
    this.timer = setTimeout(finish, this.caughtUp ? waitMs : Math.max(waitMs, REPLAY_MS), this);
  }

  start(): void {
    this.delivery = this.options.feed.start(this);
    // It was answered while it was started.
    if (this.over) this.delivery.stop();
  }

  room(): number {
    return this.over || this.bytes >= BYTES_MOST ? 0 : MESSAGES_MOST - this.messages.length;
  }

  write(bytes: Uint8Array): void {
    if (this.over) return;
    for (const event of unpack(bytes)) {
      if (event.kind === 'reset' && this.messages.length > 0) {
        // It comes first in the next answer: that poll begins before it.
        this.cut = true;
        break;
      }
      this.take(event);
    }
    if (this.isSomething) this.collect();
    else if (this.caughtUp && this.options.feed.replay) this.waitUntil(this.answerAt);
  }

  end(error: StatusError | undefined, trailers: Metadata): void {
    if (this.over) return;
    this.ended = { error, trailers };
    this.finish();
  }

  /** Answers with what there is. Without effect when that has happened. */
  finish(): void {
    if (this.over) return;
    const atEnd = !this.cut && this.room() > 0;
    this.over = true;
    clearTimeout(this.timer);
    const { delivery, messages, reset, caughtUp, ended: end } = this;
    delivery?.stop();
    // A position that moved on without a message is worth telling too.
    const cursor = atEnd && delivery !== undefined ? delivery.cursor() : this.cursor;
    this.options.done({ messages, cursor, reset, caughtUp: caughtUp && atEnd, end });
  }

  private get isSomething(): boolean {
    return this.messages.length > 0 || this.reset !== undefined;
  }

  private take(event: Unpacked): void {
    this.cursor = event.cursor;
    if (event.kind === 'message') {
      this.messages.push(event.payload);
      this.bytes += event.payload.length;
    } else if (event.kind === 'reset') this.reset = reasonOf(event);
    else this.caughtUp = true;
  }

  /** There is something to answer with: a burst may share the answer, history that is still being read may not be cut short. */
  private collect(): void {
    const { replay } = this.options.feed;
    if (this.cut || this.room() === 0 || (replay && this.caughtUp)) this.finish();
    else if (!this.collecting) {
      this.collecting = true;
      this.waitUntil(performance.now() + (this.caughtUp ? COLLECT_MS : REPLAY_MS));
    }
  }

  private waitUntil(at: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(finish, Math.max(at - performance.now(), 0), this);
  }
}

function finish(batch: Batch): void {
  batch.finish();
}
