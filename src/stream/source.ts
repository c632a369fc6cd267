/** One stream of a service that outlives its calls: when the service goes away, the call is made again after the last position. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call, Invoke, Message, Metadata, Reply } from '../call.js';
import { readErrorReason } from '../details.js';
import { Code, StatusError } from '../status.js';
import type { ResetReason } from './feed.js';
import type { Positions } from './positions.js';

export type SourceEvent =
  | { readonly kind: 'message'; readonly message: Message; readonly token: Uint8Array | undefined }
  /** The call was made again, and nobody knows what was missed. */
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly token: Uint8Array | undefined };

export interface SourceOptions {
  readonly invoke: Invoke;
  /** What is asked for, and by whom. */
  readonly call: Omit<Call, 'requests' | 'signal' | 'resume'>;
  readonly request: Message;
  /** Undefined for a method without positions: each new call is then a break. */
  readonly positions: Positions | undefined;
  /** The position to go on after; undefined: where the request says. */
  readonly token: Uint8Array | undefined;
  /** Ends everything, with a StatusError as its reason. */
  readonly signal: AbortSignal;
  /** How long a service may be gone before its clients are told, in ms. */
  readonly patienceMs: number;
}

export interface Source {
  /** Of the first call. */
  readonly headers: Metadata;
  /** Why the first call could not go on after the token: it was made anew, for all that the service still has. */
  readonly lost: ResetReason | undefined;
  /** The position before the first event, if it is known. */
  readonly position: Uint8Array | undefined;
  /** To be iterated once, by one reader. Throws what ended the stream. Leaving it cancels the call. */
  readonly events: AsyncIterableIterator<SourceEvent, undefined>;
  /** Of the last call, complete when the events are done. */
  readonly trailers: () => Metadata;
}

/** A service may tell in its headers where a stream begins, so that a client which sees no message can resume it. */
export const POSITION_HEADER = 'tidegate-position';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;
/** A call that lived this long, or brought a message, was good: the next failure is a new one. */
const GOOD_AFTER_MS = 5_000;

/** Resolves when the service has accepted the call; rejects with its refusal. */
export async function openSource(options: SourceOptions): Promise<Source> {
  const run = new Run(options);
  const reply = await run.open();
  return {
    headers: withoutPosition(reply.headers),
    lost: run.takeLost(),
    position: run.token,
    events: run.events(reply),
    trailers: run.trailers,
  };
}

/** The calls of one source, one after the other. */
class Run {
  token: Uint8Array | undefined;
  private readonly controller = new AbortController();
  private last: Reply | undefined;
  private lost: ResetReason | undefined;
  /** Whether the present call goes on after a position, so that the service may know better. */
  private resumes = false;
  private openedAt = 0;
  private failingSince = 0;
  private delayMs = FIRST_DELAY_MS;

  constructor(private readonly options: SourceOptions) {
    this.token = options.token;
    const { signal } = options;
    if (signal.aborted) this.controller.abort(signal.reason);
    else
      signal.addEventListener('abort', () => this.controller.abort(signal.reason), {
        once: true,
        signal: this.controller.signal,
      });
  }

  readonly trailers = (): Metadata => this.last?.trailers() ?? {};

  takeLost(): ResetReason | undefined {
    const { lost } = this;
    this.lost = undefined;
    return lost;
  }

  /** Makes the call, after the last position if there is one and the service still knows it. */
  async open(): Promise<Reply> {
    const { invoke, call, request, positions } = this.options;
    const { token } = this;
    this.resumes = token !== undefined && positions !== undefined;
    const message =
      token === undefined || positions === undefined ? request : positions.after(request, token);
    try {
      const reply = await invoke({ ...call, requests: () => message, signal: this.controller.signal });
      this.openedAt = Date.now();
      this.last = reply;
      if (positions !== undefined) this.token ??= positionIn(reply.headers);
      return reply;
    } catch (thrown) {
      if (!this.forgets(thrown)) throw thrown;
      return this.open();
    }
  }

  /**
   * Whether the service refuses the position, or has lost what follows it under a running call. The call is then to be made for all that it
   * still has; and where that is refused too, for what happens from now on.
   */
  private forgets(thrown: unknown): boolean {
    const { positions } = this.options;
    const { token } = this;
    if (token === undefined || positions === undefined) return false;
    if (!(thrown instanceof StatusError) || thrown.code !== Code.OUT_OF_RANGE) return false;
    // A call that was not asked to go on after a position may be out of range in its own sense.
    if (!this.resumes && lossIn(thrown) === undefined) return false;
    this.lost ??= reasonOf(thrown);
    this.token = Buffer.compare(token, positions.earliest) === 0 ? undefined : positions.earliest;
    return true;
  }

  events(first: Reply): AsyncIterableIterator<SourceEvent, undefined> {
    const events = this.generate(first);
    return {
      next: () => events.next(),
      return: () => {
        // A generator that waits for a message does not hear of `return` before there is one.
        this.controller.abort(new StatusError(Code.CANCELLED, 'the call was cancelled'));
        return events.return(undefined);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  private async *generate(first: Reply): AsyncGenerator<SourceEvent, undefined> {
    const read = this.options.positions?.read;
    for (let reply: Reply = first; ; reply = await this.reopen()) {
      const lost = this.takeLost();
      if (lost !== undefined) yield { kind: 'reset', reason: lost, token: this.token };
      try {
        for await (const message of reply.messages as AsyncIterable<Message>) {
          this.failingSince = 0;
          this.resumes = false;
          this.token = read?.(message) ?? this.token;
          yield { kind: 'message', message, token: this.token };
        }
        return undefined;
      } catch (thrown) {
        if (this.controller.signal.aborted || !(this.forgets(thrown) || isOutage(thrown))) throw thrown;
      }
    }
  }

  /** Makes the call again until the service has it or patience is over: then throws what the service, or nobody, said last. */
  private async reopen(): Promise<Reply> {
    const { signal } = this.controller;
    const now = Date.now();
    if (this.failingSince === 0 || now - this.openedAt > GOOD_AFTER_MS) {
      this.failingSince = now;
      this.delayMs = FIRST_DELAY_MS;
    }
    // Without a position nobody knows what happens while nobody listens.
    if (this.token === undefined) this.lost ??= 'epoch_changed';
    for (;;) {
      await sleep(this.delayMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {
        throw StatusError.from(signal.reason);
      });
      this.delayMs = Math.min(this.delayMs * 2, LONGEST_DELAY_MS);
      try {
        return await this.open();
      } catch (thrown) {
        const over = Date.now() - this.failingSince > this.options.patienceMs;
        if (signal.aborted || over || !isOutage(thrown)) throw thrown;
      }
    }
  }
}

function isOutage(thrown: unknown): boolean {
  return thrown instanceof StatusError && thrown.code === Code.UNAVAILABLE;
}

/** By google.rpc.ErrorInfo, as docs/streams.md asks services to say it. */
const REASONS: Readonly<{ [reason: string]: ResetReason }> = {
  HISTORY_TRUNCATED: 'history_truncated',
  LOG_DIVERGED: 'log_diverged',
  EPOCH_CHANGED: 'epoch_changed',
};

/** Undefined for an error that does not say that something was lost. */
function lossIn({ details }: StatusError): ResetReason | undefined {
  return REASONS[readErrorReason(details) ?? ''];
}

function reasonOf(error: StatusError): ResetReason {
  return lossIn(error) ?? 'log_diverged';
}

function positionIn(headers: Metadata): Uint8Array | undefined {
  const position = headers[POSITION_HEADER];
  return typeof position === 'string' ? Buffer.from(position) : undefined;
}

function withoutPosition(headers: Metadata): Metadata {
  if (headers[POSITION_HEADER] === undefined) return headers;
  const { [POSITION_HEADER]: _, ...rest } = headers;
  return rest;
}
