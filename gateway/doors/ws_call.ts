/** One call on a WebSocket of its own, opened on the route itself. Normative text: PROTOCOL.md. */
import { isSingle, type Message, type Reply, type Requests } from '../../src/call.js';
import { parseJson } from '../../src/codec/json_text.js';
import { placeIn } from '../../src/codec/pointer.js';
import { retryInfo } from '../../src/details.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { type Feed, type ResetReason, SlowConsumerError } from '../../src/stream/feed.js';
import { feedOf } from '../../src/stream/pump.js';
import { revoked } from '../auth/refusals.js';
import { drainError } from '../drain.js';
import { expired } from '../expiry.js';
import { isCursor } from '../http/resume.js';
import { type Farewell, spanOf } from '../streams.js';
import { type Ending, forgotten, NO_METADATA, nothing, type SocketCallOptions } from './ws_call_options.js';
import { Close, closeOf, FLOOD_TEXT } from './ws_close.js';
import { encodersOf, type FrameEncoder } from './ws_encoder.js';
import { Inbox } from './ws_inbox.js';
import { Replies, type Replying } from './ws_replies.js';
import type { Connection, Socket } from './ws_socket.js';
import { resetError } from './ws_stream.js';
import { Watch, type Watched } from './ws_watch.js';

export class SocketCall implements Connection, Watched, Replying {
  #options: SocketCallOptions;
  readonly #controller = new AbortController();
  /** Undefined once the service has all that the client had to say. */
  #inbox: Inbox | undefined;
  /** Whether the client's messages are part of the request at all. */
  readonly #takesMessages: boolean;
  #reply: Promise<Reply> | undefined;
  #wanted: () => void = nothing;
  #socket: Socket | undefined;
  #watch: Watch | undefined;
  #replies: Replies | undefined;
  #binary: boolean | undefined;
  #encoder: FrameEncoder | undefined;
  #received = 0;
  #paused = false;
  #ended = false;

  constructor(options: SocketCallOptions) {
    this.#options = options;
    this.#binary = options.binary;
    this.#takesMessages = options.endpoint.rule.body !== '';
  }

  /**
   * Makes the call. Resolves when every policy has let it pass, which is when the upstream asks for the request;
   * rejects with StatusError when one refuses it or the URL does not bind. The service has not answered yet.
   */
  async accepted(): Promise<void> {
    const { gateway, endpoint, caller, bound, resume } = this.#options;
    const { signal } = this.#controller;
    const { method } = endpoint;
    const inbox = new Inbox({ taken: () => this.#tookOne(), wanted: () => this.#wanted() });
    this.#inbox = inbox;
    const wanted = new Promise<void>((resolve, reject) => {
      const aborted = (): void => reject(signal.reason);
      this.#wanted = () => {
        this.#wanted = nothing;
        signal.removeEventListener('abort', aborted);
        try {
          const url = bound();
          if (!this.#takesMessages) {
            inbox.push(url.empty());
            inbox.end();
          }
          resolve();
        } catch (thrown) {
          reject(thrown);
        }
      };
      signal.addEventListener('abort', aborted);
    });
    this.#reply = gateway.invoke({ ...caller, method, requests: this.#requests(inbox), signal, resume });
    // Whoever loses the race is looked at in `run`, or is of no more interest.
    this.#reply.catch(() => {});
    wanted.catch(() => {});
    try {
      await Promise.race([wanted, this.#reply]);
    } catch (thrown) {
      this.#stop(StatusError.from(thrown));
      throw thrown;
    }
  }

  #requests(inbox: Inbox): Requests {
    if (this.#options.endpoint.method.clientStreaming) return inbox;
    let first: Promise<Message> | undefined;
    return () => {
      first ??= this.#first(inbox);
      return first;
    };
  }

  /** The one message of a method that takes one; without any, what the URL says. */
  async #first(inbox: Inbox): Promise<Message> {
    const { done, value } = await inbox.next();
    return done === true ? this.#options.bound().empty() : value;
  }

  /** Runs the call on its socket. Resolves when it has ended or its replies flow. Never rejects. */
  async run(socket: Socket): Promise<void> {
    const { gateway, caller } = this.#options;
    this.#socket = socket;
    this.#watch = this.#startWatch();
    try {
      const reply = (await this.#reply) as Reply;
      this.#reply = undefined;
      if (isSingle(reply.messages)) {
        await socket.send(this.#print(reply.messages));
        this.#end(undefined);
      } else this.#start(socket, feedOf(reply, this.#controller.signal));
    } catch (thrown) {
      if (!this.#ended && !(thrown instanceof StatusError)) {
        gateway.log.error({ err: thrown, call: caller.id }, 'a WebSocket call failed in the gateway');
      }
      this.#end(StatusError.from(thrown));
    }
  }

  #startWatch(): Watch {
    const { agenda, config } = this.#options.gateway;
    const span = spanOf(config, this.#options.caller.principal);
    return new Watch({
      agenda,
      intervalMs: config.timeouts.heartbeatMs,
      // Its client knows no cursors, so that it would lose what happens until it is back.
      span: { ...span, lifeEnds: Number.POSITIVE_INFINITY },
      watched: this,
    });
  }

  askForLife(): void {
    this.#socket?.ping();
  }

  dead(): void {
    this.#stop(new StatusError(Code.CANCELLED, 'the client left'));
    this.#count('no_pong');
    this.#socket?.close(Close.NO_PONG, 'no answer to three pings');
  }

  expire(): void {
    this.#end(expired(), { code: Close.EXPIRED, why: 'expired' });
  }

  age(): void {}

  expiring(): void {
    // Its client could not do anything about it: there is no frame for that.
  }

  get principal(): Principal {
    return this.#options.caller.principal;
  }

  revoke(): void {
    this.#end(revoked(), { code: Close.REVOKED, why: 'revoked' });
  }

  #start(socket: Socket, feed: Feed): void {
    const { resume, gateway } = this.#options;
    if (isCursor(resume) && feed.resumable) gateway.counts.resumed('ws', feed.resumed);
    const credit = Number.POSITIVE_INFINITY;
    this.#replies = new Replies({ call: this, socket, sid: 0, counts: gateway.counts, credit }, feed);
    this.#replies.start(feed);
    this.#forgetRequest();
  }

  /** An idle call is held for hours: what was asked is of no more use once the service has all of it. */
  #forgetRequest(): void {
    const { endpoint, caller } = this.#options;
    if (endpoint.method.clientStreaming || this.#inbox?.ended !== true || this.#inbox.size > 0) return;
    this.#inbox = undefined;
    this.#options = {
      ...this.#options,
      bound: forgotten,
      caller: { id: caller.id, principal: caller.principal, metadata: NO_METADATA, deadline: undefined },
    };
  }

  get encoder(): FrameEncoder {
    this.#binary ??= false;
    this.#encoder ??= encodersOf(this.#options.endpoint).bare(this.#binary);
    return this.#encoder;
  }

  wasReset(reason: ResetReason): void {
    this.#end(resetError(reason), { code: Close.RESET });
  }

  replied(error: StatusError | undefined): void {
    if (error instanceof SlowConsumerError) this.#end(error, { code: Close.SLOW, why: 'slow' });
    else this.#end(error);
  }

  #print(message: Message): string | Uint8Array {
    this.#binary ??= false;
    return this.#binary ? message : this.#options.endpoint.binding.print(message);
  }

  receive(data: string | Uint8Array): void {
    this.alive();
    if (this.#ended) return;
    this.#received++;
    try {
      this.#take(data);
    } catch (thrown) {
      this.#end(StatusError.from(thrown));
    }
  }

  #take(data: string | Uint8Array): void {
    if (data === '') {
      // An empty text is never a message: JSON is not empty. Thus it can say what a WebSocket cannot: half-close.
      this.#inbox?.end();
      return;
    }
    if (!this.#takesMessages) throw this.#invalid('this route takes no message');
    const inbox = this.#inbox;
    if (inbox === undefined || inbox.ended)
      throw this.#invalid('nothing may follow the end of the client stream');
    const binary = typeof data !== 'string';
    this.#binary ??= binary;
    if (binary !== this.#binary) throw this.#invalid(`expected ${this.#binary ? 'binary' : 'text'}`);
    const bound = this.#options.bound();
    inbox.push(
      typeof data === 'string'
        ? bound.json(parseJson(data, placeIn(`message ${this.#received}`)))
        : bound.bytes(data),
    );
    if (!this.#options.endpoint.method.clientStreaming) inbox.end();
    else if (inbox.size >= this.#options.gateway.config.limits.queuedMessages) this.#setReading(false);
  }

  #invalid(problem: string): StatusError {
    return new StatusError(Code.INVALID_ARGUMENT, `message ${this.#received}: ${problem}`);
  }

  /** Flow control is that of TCP: while the queue is full, the socket is not read. */
  #setReading(reading: boolean): void {
    if (this.#paused !== reading) return;
    this.#paused = !reading;
    this.#watch?.setReading(reading);
    if (reading) this.#socket?.resume();
    else this.#socket?.pause();
  }

  #tookOne(): void {
    const { size = 0 } = this.#inbox ?? {};
    if (size * 2 <= this.#options.gateway.config.limits.queuedMessages) this.#setReading(true);
  }

  alive(): void {
    this.#watch?.alive();
  }

  flooded(): void {
    const error = new StatusError(Code.RESOURCE_EXHAUSTED, FLOOD_TEXT);
    this.#end(error, { code: Close.OVERLOAD, why: 'overload' });
  }

  roomy(): void {
    this.#replies?.roomy();
  }

  drain(): void {
    // Its client cannot go on elsewhere: the call may come to its end.
  }

  leave(): void {}

  cut(all: boolean): void {
    // One reply is soon there; a stream may have no end of its own.
    if (!all && !this.#options.endpoint.method.serverStreaming) return;
    const { draining, config } = this.#options.gateway;
    const { code, message } = drainError(draining);
    const details = [retryInfo(Math.floor(Math.random() * config.timeouts.drainMs))];
    this.#end(new StatusError(code, message, { details }), { code: Close.DRAIN, why: 'drain' });
  }

  gone(): void {
    this.#stop(new StatusError(Code.CANCELLED, 'the client left'));
  }

  #count(why: Farewell | undefined): void {
    if (why !== undefined) this.#options.gateway.counts.left('ws', why);
  }

  /** Tells the client how the call ended: the status as a last message, unless it is OK, and the close code. */
  #end(error: StatusError | undefined, { code, why }: Ending = {}): void {
    if (this.#ended) return;
    this.#stop(error);
    this.#count(why);
    const socket = this.#socket;
    if (error === undefined) {
      socket?.close(1000, '');
      return;
    }
    const { table, gateway } = this.#options;
    const { draining } = gateway;
    void socket?.send(`{"error":${table.codec.printStatus(error)}}`);
    const close = closeOf(error);
    socket?.close(code ?? (error === draining.reason ? Close.DRAIN : close.code), close.reason);
  }

  /** With an error: cancels the call. */
  #stop(error: StatusError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch?.stop();
    this.#replies?.stop();
    if (error === undefined) {
      this.#inbox?.end();
      return;
    }
    this.#controller.abort(error);
    this.#inbox?.fail(error);
  }
}
