/** The bytes of a request body, chunk by chunk, at the pace of their reader, with an eye on the client. */
import type { IncomingMessage } from 'node:http';
import { Code, StatusError } from '../../src/status.js';
import { HttpError } from './error.js';

/** What waits here for a reader that takes its time, in bytes. */
const AHEAD_BYTES = 64 * 1024;
/**
 * What is read in any case from a client whose reader has stopped, in bytes. A connection that is not read from does not
 * tell that its client has left: that news comes behind everything the client had sent before.
 */
const WATCH_BYTES = 1024 * 1024;
/** What a chunk costs beside its bytes: clients may send them one by one. */
const CHUNK_BYTES = 128;
/** How long a reader may take nothing until it counts as stopped, in ms. */
const PATIENCE_MS = 250;

/** The client is slower than it may be. RFC 9110 section 15.5.9. */
export function stalled(ms: number): HttpError {
  return new HttpError(Code.DEADLINE_EXCEEDED, `body: nothing more came for ${ms} ms`, {
    http: 408,
    headers: { connection: 'close' },
    limit: 'body_timeout',
  });
}

interface PaceOptions {
  /** How slow a client may be at first, in ms; 0 is for ever. */
  readonly stallMs: number;
  readonly bytesPerSecond?: number;
}

/** Whether a client sends a body fast enough: one byte now and then would keep the limit on silence from ever being reached. */
export class Pace {
  private readonly bytesPerSecond: number;
  private readonly stallMs: number;
  private bytes = 0;
  private waitedMs = 0;
  /** Since when it is waited for; undefined: it is not. */
  private since: number | undefined;

  constructor({ stallMs, bytesPerSecond = 0 }: PaceOptions) {
    this.stallMs = stallMs;
    this.bytesPerSecond = stallMs === 0 ? 0 : bytesPerSecond;
  }

  /** The client is waited for from now on. */
  wait(): void {
    if (this.bytesPerSecond > 0) this.since ??= performance.now();
  }

  /** So many bytes have come, and nobody waits until the next `wait`. Whether they came too slowly. */
  came(bytes: number): boolean {
    if (this.bytesPerSecond === 0) return false;
    this.bytes += bytes;
    if (this.since !== undefined) this.waitedMs += performance.now() - this.since;
    this.since = undefined;
    return this.waitedMs > this.stallMs && this.bytes < (this.bytesPerSecond * this.waitedMs) / 1000;
  }

  /** What has been so far is forgotten. */
  restart(): void {
    this.bytes = 0;
    this.waitedMs = 0;
  }

  tooSlow(): HttpError {
    return new HttpError(
      Code.DEADLINE_EXCEEDED,
      `body: it comes more slowly than ${this.bytesPerSecond} bytes a second`,
      { http: 408, headers: { connection: 'close' }, limit: 'body_rate' },
    );
  }
}

export function clientLeft(): StatusError {
  return new StatusError(Code.CANCELLED, 'the client left before the end of the body');
}

/** How much of a body may be on its way unread before a paused connection hides that the client has left. */
export function isLarge({ headers }: IncomingMessage): boolean {
  return headers['content-length'] === undefined || Number(headers['content-length']) > AHEAD_BYTES / 4;
}

interface Waiting {
  readonly resolve: (chunk: Buffer | undefined) => void;
  readonly reject: (error: Error) => void;
}

/** One reader at a time. Nothing is read before the first `next` or `watch`. */
export class BodySource {
  private readonly queue: Buffer[] = [];
  private queued = 0;
  private limit = AHEAD_BYTES;
  private started = false;
  private ended = false;
  private failure: Error | undefined;
  private waiting: Waiting | undefined;
  private stallTimer: NodeJS.Timeout | undefined;
  private patienceTimer: NodeJS.Timeout | undefined;

  private readonly pace: Pace;

  /** `stallMs`: how long the client may send nothing while it is waited for; 0 is for ever. */
  constructor(
    private readonly request: IncomingMessage,
    private readonly stallMs: number,
    bytesPerSecond?: number,
  ) {
    this.pace = new Pace({ stallMs, ...(bytesPerSecond !== undefined && { bytesPerSecond }) });
  }

  /**
   * The next chunk, undefined at the end. Rejects with CANCELLED when the client leaves, with HttpError 408 when it stalls.
   * `mayRest`: the client may take as long as it likes, since it is between two messages.
   */
  next(mayRest = false): Promise<Buffer | undefined> {
    const chunk = this.queue.shift();
    if (chunk !== undefined) {
      this.taken(chunk);
      return Promise.resolve(chunk);
    }
    if (this.failure !== undefined) return Promise.reject(this.failure);
    if (this.ended) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      if (mayRest) this.pace.restart();
      else this.pace.wait();
      if (!mayRest && this.stallMs > 0) this.stallTimer = setTimeout(this.onStall, this.stallMs);
      this.start();
    });
  }

  /** All chunks. Leaving the loop drops the rest. */
  async *chunks(mayRest?: () => boolean): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const chunk = await this.next(mayRest?.());
        if (chunk === undefined) return;
        yield chunk;
      }
    } finally {
      this.release();
    }
  }

  /** Begins to read although nobody asked for it yet: else a client that leaves would not be noticed. */
  watch(): void {
    if (this.started) return;
    this.limit = WATCH_BYTES;
    this.start();
  }

  /** No more is wanted: the rest is dropped as it comes. */
  release(): void {
    this.stop();
    this.queue.length = 0;
    this.ended = true;
    this.request.resume();
  }

  private start(): void {
    if (this.started) return;
    this.started = true;
    const { request } = this;
    if (request.readableEnded) this.onEnd();
    else if (request.destroyed) this.onClose();
    else
      request
        .on('data', this.onData)
        .on('end', this.onEnd)
        .on('close', this.onClose)
        .on('error', this.onClose);
  }

  private stop(): void {
    clearTimeout(this.stallTimer);
    clearTimeout(this.patienceTimer);
    this.request
      .off('data', this.onData)
      .off('end', this.onEnd)
      .off('close', this.onClose)
      .off('error', this.onClose);
  }

  private readonly onData = (chunk: Buffer): void => {
    const { waiting, pace } = this;
    if (pace.came(chunk.length)) {
      this.fail(pace.tooSlow());
      return;
    }
    if (waiting !== undefined) {
      this.waiting = undefined;
      clearTimeout(this.stallTimer);
      waiting.resolve(chunk);
      return;
    }
    this.queue.push(chunk);
    this.queued += chunk.length + CHUNK_BYTES;
    if (this.queued < this.limit) return;
    this.request.pause();
    if (this.limit < WATCH_BYTES) this.patienceTimer ??= setTimeout(this.onImpatience, PATIENCE_MS);
  };

  private taken(chunk: Buffer): void {
    this.queued -= chunk.length + CHUNK_BYTES;
    this.limit = AHEAD_BYTES;
    clearTimeout(this.patienceTimer);
    this.patienceTimer = undefined;
    if (this.queued < AHEAD_BYTES && !this.ended && this.failure === undefined) this.request.resume();
  }

  private readonly onImpatience = (): void => {
    this.patienceTimer = undefined;
    this.limit = WATCH_BYTES;
    this.request.resume();
  };

  private readonly onEnd = (): void => {
    this.ended = true;
    this.stop();
    this.waiting?.resolve(undefined);
    this.waiting = undefined;
  };

  private readonly onClose = (): void => this.fail(clientLeft());

  private readonly onStall = (): void => this.fail(stalled(this.stallMs));

  private fail(error: Error): void {
    this.failure = error;
    this.stop();
    this.waiting?.reject(error);
    this.waiting = undefined;
  }
}
