/** One call of a multiplexed WebSocket, from `open` to `end`. */
import { isSingle, type Message, type Metadata, type Reply, type Requests } from '../../src/call.js';
import { DEADLINE_TEXT, LONGEST_TIMER } from '../../src/policy/deadline.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import type { Feed, ResetReason } from '../../src/stream/feed.js';
import { feedOf } from '../../src/stream/pump.js';
import { responseHeaders } from '../http/headers.js';
import { isCursor } from '../http/resume.js';
import type { Bound, Endpoint } from '../http/table.js';
import type { Gateway } from './door.js';
import { Acks, type Sender } from './ws_acks.js';
import { encodersOf, type FrameEncoder } from './ws_encoder.js';
import type { Framing, OpenedFrame, Payload, ServerFrame } from './ws_frames.js';
import type { Feature } from './ws_hello.js';
import { Replies, type Replying } from './ws_replies.js';
import type { Socket } from './ws_socket.js';
import { Upload } from './ws_upload.js';

/** What a stream needs of the socket it is on. */
export interface StreamHost {
  readonly gateway: Pick<Gateway, 'config' | 'invoke' | 'log' | 'counts'>;
  readonly framing: Framing;
  readonly socket: Pick<Socket, 'write' | 'isFull'>;
  /** Those that are in force. */
  readonly features: ReadonlySet<Feature>;
  /** Any frame but those of a stream of replies. */
  control(frame: ServerFrame): void;
  /** Bytes of the client that wait for services, over all streams of the socket. */
  queuedBytes(): number;
  /** The stream is over, and has sent its end unless the socket closes: why, unless it is OK. */
  ended(sid: number, error: StatusError | undefined): void;
}

export interface StreamOptions {
  readonly host: StreamHost;
  readonly sid: number;
  readonly endpoint: Endpoint;
  /** Binds the URL, once; throws StatusError INVALID_ARGUMENT. Called when every policy has accepted the call. */
  readonly bound: () => Bound;
  /** Where the stream of replies shall go on. */
  readonly resume: string | undefined;
  /** Remembers what this client has sent. */
  readonly sender: Sender | undefined;
  /** The request, or the first of a client stream. */
  readonly message: Payload | undefined;
  /** Replies that may be sent before the client grants more; undefined: no limit. */
  readonly credit: number | undefined;
  readonly id: string;
  readonly metadata: Metadata;
  readonly principal: Principal;
  readonly peer?: string | undefined;
  readonly deadline: number | undefined;
}

const NO_TRAILERS: Metadata = Object.freeze({});

export class Stream implements Replying {
  readonly #options: StreamOptions;
  readonly #controller = new AbortController();
  /** Of a client stream. */
  readonly #upload: Upload | undefined;
  readonly #acks: Acks | undefined;
  /** Of a stream of replies, once it was accepted. */
  #replies: Replies | undefined;
  #encoder: FrameEncoder | undefined;
  #resumable = false;
  /** Replies that we may send before the client grants more, until there is a stream of them. */
  #credit: number;
  #creditCame: (() => void) | undefined;
  #ended = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#credit = options.credit ?? Number.POSITIVE_INFINITY;
    if (!options.endpoint.method.clientStreaming) return;
    const { host, sender, bound } = options;
    const fail = (error: StatusError): void => this.fail(error);
    if (host.features.has('ack')) this.#acks = new Acks({ sender, send: (seq) => this.#acked(seq), fail });
    this.#upload = new Upload({
      framing: host.framing,
      bound,
      queuedMessages: this.#limits.queuedMessages,
      queuedBytes: this.#limits.bodyBytes,
      waiting: () => host.queuedBytes(),
      grant: (n) => this.#control({ type: 'credit', sid: options.sid, n }),
      acks: this.#acks,
      fail,
    });
    if (options.message !== undefined) this.#upload.message(options.message);
  }

  get #limits() {
    return this.#options.host.gateway.config.limits;
  }

  /** Bytes that wait for the service. */
  get queuedBytes(): number {
    return this.#upload?.inbox.bytes ?? 0;
  }

  /** Whether the client can go on with it on another socket. */
  get resumable(): boolean {
    return this.#resumable;
  }

  /** Whether it is ended by a drain before the time is over: a stream may have no end of its own, and its client begins anew elsewhere. */
  get isCutEarly(): boolean {
    return !this.#resumable && this.#replies !== undefined;
  }

  /** Makes the call and sends what comes of it. Never rejects. */
  async run(): Promise<void> {
    const { host, endpoint, id, metadata, principal, peer, deadline, resume } = this.#options;
    try {
      const requests = this.#requests();
      const { method } = endpoint;
      const { signal } = this.#controller;
      const reply = await host.gateway.invoke({
        id,
        method,
        requests,
        metadata,
        principal,
        peer,
        signal,
        deadline,
        resume: method.serverStreaming ? resume : undefined,
      });
      if (!this.#ended) await this.#deliver(reply);
    } catch (thrown) {
      if (!this.#ended && !(thrown instanceof StatusError)) {
        host.gateway.log.error({ err: thrown, call: id }, 'a WebSocket call failed in the gateway');
      }
      this.fail(StatusError.from(thrown));
    }
  }

  #requests(): Requests {
    if (this.#upload !== undefined) return this.#upload.inbox;
    const { message, bound, host } = this.#options;
    return () => (message === undefined ? bound().empty() : host.framing.request(bound(), message));
  }

  async #deliver(reply: Reply): Promise<void> {
    const acked = this.#options.sender === undefined ? undefined : await this.#acks?.known();
    if (this.#ended) return;
    if (isSingle(reply.messages)) {
      this.#opened(reply, { ...(acked !== undefined && { acked }) });
      await this.#single(reply.messages);
      this.#end(undefined, reply.trailers());
      return;
    }
    const feed = feedOf(reply, this.#controller.signal);
    const { resumable, resumed, replay, cursor } = feed;
    this.#resumable = resumable && this.#cursors;
    this.#opened(reply, {
      ...(this.#cursors && { resumed, replay, ...(cursor !== '' && { cursor }) }),
      ...(acked !== undefined && { acked }),
    });
    this.#start(feed);
  }

  /** Whether the client is told cursors, and of resets. */
  get #cursors(): boolean {
    return this.#options.host.features.has('resume');
  }

  #opened({ headers }: Reply, rest: Partial<OpenedFrame>): void {
    const { sid } = this.#options;
    const credit = this.#upload === undefined ? 0 : this.#limits.queuedMessages;
    this.#control({ type: 'opened', sid, headers: shown(headers), credit, ...rest });
  }

  #start(feed: Feed): void {
    const { host, sid, resume } = this.#options;
    const { counts } = host.gateway;
    if (isCursor(resume) && feed.resumable) counts.resumed('ws', feed.resumed);
    this.#encoder = this.#encoderOf(this.#cursors);
    const credit = this.#credit;
    this.#replies = new Replies({ call: this, socket: host.socket, sid, counts, credit }, feed);
    this.#replies.start(feed);
  }

  #encoderOf(cursors: boolean): FrameEncoder {
    const { host, sid, endpoint } = this.#options;
    return encodersOf(endpoint).framed({ framing: host.framing, sid, cursors });
  }

  get encoder(): FrameEncoder {
    this.#encoder ??= this.#encoderOf(this.#cursors);
    return this.#encoder;
  }

  wasReset(reason: ResetReason): void {
    if (!this.#cursors) this.fail(resetError(reason));
  }

  replied(error: StatusError | undefined, trailers: Metadata): void {
    this.#end(error, trailers);
  }

  /** Sends the one reply, when the client has room for it. */
  async #single(message: Message): Promise<void> {
    const { host, sid } = this.#options;
    if (this.#credit <= 0) await this.#waitForCredit();
    if (this.#ended) return;
    const encoder = this.#encoderOf(false);
    host.socket.write(encoder.frames(encoder.encode({ kind: 'message', message, cursor: '' }), sid));
  }

  /** Until the client grants credit or the call has ended; the deadline ends it too, though nobody reads the reply then. */
  async #waitForCredit(): Promise<void> {
    const { deadline } = this.#options;
    const late = (): void => this.fail(new StatusError(Code.DEADLINE_EXCEEDED, DEADLINE_TEXT));
    const left =
      deadline === undefined ? undefined : Math.min(Math.max(deadline - Date.now(), 0), LONGEST_TIMER);
    const timer = left === undefined ? undefined : setTimeout(late, left);
    while (this.#credit <= 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#creditCame = resolve;
      });
    }
    clearTimeout(timer);
  }

  /** A message of the client. Ends the stream if it does not fit. */
  message(payload: Payload, seq: number | undefined): void {
    const { name } = this.#options.endpoint.method;
    if (this.#upload !== undefined) this.#upload.message(payload, seq);
    else {
      this.fail(
        new StatusError(Code.INVALID_ARGUMENT, `msg: ${name} takes one message, which stands in open`),
      );
    }
  }

  halfClose(): void {
    this.#upload?.halfClose();
  }

  #acked(seq: number): void {
    this.#control({ type: 'ack', sid: this.#options.sid, seq });
  }

  #control(frame: ServerFrame): void {
    if (!this.#ended) this.#options.host.control(frame);
  }

  /** The client takes n more replies. */
  grant(n: number): void {
    if (this.#replies !== undefined) {
      this.#replies.grant(n);
      return;
    }
    this.#credit += n;
    this.#wake();
  }

  /** The socket takes bytes again. */
  roomy(): void {
    this.#replies?.roomy();
  }

  /** Tells the client a position that it has not heard of. */
  bookmark(): void {
    const cursor = this.#resumable ? this.#replies?.takeBookmark() : undefined;
    if (cursor !== undefined) this.#control({ type: 'bookmark', sid: this.#options.sid, cursor });
  }

  /** Ends the call from our side. */
  fail(error: StatusError): void {
    this.#end(error, error.metadata);
  }

  #wake(): void {
    const wake = this.#creditCame;
    this.#creditCame = undefined;
    wake?.();
  }

  #end(error: StatusError | undefined, trailers: Metadata): void {
    if (this.#ended) return;
    const { host, sid, sender } = this.#options;
    this.#ended = true;
    this.#replies?.stop();
    this.#upload?.end(error);
    sender?.close();
    host.control(endFrame(sid, error, trailers));
    host.ended(sid, error);
    if (error !== undefined) this.#controller.abort(error);
    this.#wake();
  }
}

export function resetError(reason: string): StatusError {
  return new StatusError(Code.ABORTED, `the stream does not go on where it was: ${reason}`);
}

function shown(metadata: Metadata): Metadata {
  // The values are those of the metadata: only names are left out.
  return responseHeaders(metadata) as Metadata;
}

/** `end`: with no error, OK. */
export function endFrame(
  sid: number,
  error: StatusError | undefined,
  trailers: Metadata = NO_TRAILERS,
): ServerFrame {
  const status = error ?? { code: Code.OK, message: '', details: [] };
  return { type: 'end', sid, status, trailers: shown(trailers) };
}
