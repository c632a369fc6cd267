/** The multiplex machine: many calls on one WebSocket. Normative text: PROTOCOL.md, in the order of `take`. */
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { SlowConsumerError } from '../../src/stream/feed.js';
import { revoked } from '../auth/refusals.js';
import { drainError } from '../drain.js';
import { expired } from '../expiry.js';
import { type Farewell, spanOf } from '../streams.js';
import type { Gateway, Meter } from './door.js';
import { Senders } from './ws_acks.js';
import { Bearer, type BearerHost, type BearerOptions } from './ws_bearer.js';
import { Close, closeOf, closeOfThrown, FLOOD_TEXT, FrameFault } from './ws_close.js';
import { type Departing, Departure, type Reason } from './ws_departure.js';
import type { ClientFrame, Framing, OpenFrame, ServerFrame } from './ws_frames.js';
import { type Feature, welcomeFrame } from './ws_hello.js';
import { Idle } from './ws_idle.js';
import { openStream } from './ws_open.js';
import type { Connection, Socket } from './ws_socket.js';
import { endFrame, type Stream, type StreamHost } from './ws_stream.js';
import { type Receiver, Traffic } from './ws_traffic.js';
import { Watch, type Watched } from './ws_watch.js';

export interface SessionOptions extends BearerOptions {
  readonly socket: Socket;
  readonly framing: Framing;
  readonly gateway: Pick<
    Gateway,
    'config' | 'invoke' | 'table' | 'draining' | 'log' | 'agenda' | 'counts' | 'verify'
  >;
  /** Who sends numbered messages, on whichever socket; default: on this one alone. */
  readonly senders?: Senders;
  /** What the client may send; default: as much as it likes. A message was counted before it comes here, as one. */
  readonly meter?: Meter | undefined;
}

type Frame<Type extends ClientFrame['type']> = Extract<ClientFrame, { type: Type }>;

export class Session implements Connection, StreamHost, Watched, Departing, Receiver, BearerHost {
  readonly socket: Socket;
  readonly framing: Framing;
  readonly gateway: SessionOptions['gateway'];
  readonly #bearer: Bearer;
  readonly #streams = new Map<number, Stream>();
  readonly #helloTimer: NodeJS.Timeout;
  readonly #senders: Senders;
  #state: 'greeting' | 'open' | 'closed' = 'greeting';
  #watch: Watch | undefined;
  /** The greatest sid so far: a lower one that is not live has ended. */
  #lastSid = 0;
  readonly #departure = new Departure(this);
  readonly #meter: Meter | undefined;
  readonly #idle: Idle;
  readonly #traffic = new Traffic(this);

  constructor(options: SessionOptions) {
    this.socket = options.socket;
    this.framing = options.framing;
    this.gateway = options.gateway;
    this.#bearer = new Bearer(this, options);
    this.#senders = options.senders ?? new Senders();
    this.#meter = options.meter;
    const { helloMs, idleMs } = this.gateway.config.timeouts;
    this.#idle = new Idle(idleMs);
    this.#helloTimer = setTimeout(() => {
      this.#close(Close.HELLO_LATE, `no hello within ${helloMs} ms`);
    }, helloMs);
  }

  get features(): ReadonlySet<Feature> {
    return this.#bearer.features;
  }

  get over(): boolean {
    return this.#state === 'closed';
  }

  /** Calls that run. */
  get liveCalls(): number {
    return this.#streams.size;
  }

  receive(data: string | Uint8Array): void {
    if (this.over) return;
    this.alive();
    this.#traffic.receive(data);
  }

  /** One frame more of a message that was counted as one. */
  admits(): boolean {
    if (this.#meter?.take() === false) this.flooded();
    return !this.over;
  }

  fail(thrown: unknown): void {
    if (this.over) return;
    if (!(thrown instanceof FrameFault || thrown instanceof StatusError)) {
      this.gateway.log.error({ err: thrown }, 'a WebSocket frame failed in the gateway');
    }
    this.#meter?.failed(thrown);
    const { code, reason } = closeOfThrown(thrown);
    this.#close(code, reason);
  }

  alive(): void {
    this.#watch?.alive();
  }

  /** A promise for a frame that the next ones have to wait for. */
  take(frame: ClientFrame): Promise<void> | undefined {
    if (this.#state === 'greeting' && frame.type !== 'hello') {
      throw new FrameFault(Close.HELLO_MISSING, `expected hello, got ${frame.type}`);
    }
    switch (frame.type) {
      case 'hello':
        return this.#hello(frame);
      case 'auth':
        return this.#bearer.auth(frame);
      case 'open':
        this.#open(frame);
        break;
      case 'msg':
        this.#find(frame)?.message(frame.data, frame.seq);
        break;
      case 'half_close':
        this.#find(frame)?.halfClose();
        break;
      case 'cancel':
        this.#find(frame)?.fail(new StatusError(Code.CANCELLED, 'cancelled by the client'));
        break;
      case 'credit':
        this.#find(frame)?.grant(frame.n);
        break;
      case 'ping':
        this.control({ type: 'pong' });
        break;
      case 'pong':
        break;
    }
    return undefined;
  }

  #hello(frame: Frame<'hello'>): Promise<void> | undefined {
    if (this.#state !== 'greeting') throw new FrameFault(Close.HELLO_TWICE, 'a second hello');
    clearTimeout(this.#helloTimer);
    return this.#bearer.hello(frame);
  }

  welcome(): void {
    this.#meter?.become(this.#bearer.caller);
    this.#state = 'open';
    this.#watch = this.#startWatch();
    this.control(welcomeFrame(this.gateway.config, this.#bearer.caller, this.features));
  }

  renewed(lost: StatusError | undefined): void {
    if (lost !== undefined) for (const stream of [...this.#streams.values()]) stream.fail(lost);
    this.#watch?.renew(spanOf(this.gateway.config, this.principal).expires);
  }

  #startWatch(): Watch {
    const { agenda, config } = this.gateway;
    const span = spanOf(config, this.principal);
    return new Watch({
      agenda,
      intervalMs: config.timeouts.heartbeatMs,
      span: this.features.has('resume') ? span : { ...span, lifeEnds: Number.POSITIVE_INFINITY },
      watched: this,
    });
  }

  askForLife(): void {
    for (const stream of this.#streams.values()) stream.bookmark();
    if (!this.#idle.isOver(this.#streams.size > 0)) this.control({ type: 'ping' });
    else this.#farewell(Close.IDLE, `no call for ${this.#idle.ms} ms`, 'idle');
  }

  #open(frame: OpenFrame): void {
    this.#idle.end();
    const { sid } = frame;
    const live = this.#streams.get(sid);
    try {
      if (sid <= this.#lastSid) {
        const problem = live === undefined ? `is not greater than ${this.#lastSid}` : 'is open already';
        throw new StatusError(Code.INVALID_ARGUMENT, `open: sid ${sid} ${problem}`);
      }
      this.#lastSid = sid;
      const stream = openStream(frame, {
        host: this,
        table: this.gateway.table(),
        caller: this.#bearer.caller,
        senders: this.#senders,
        live: this.#streams.size,
        leaving: this.#departure.reason?.text,
      });
      this.#streams.set(sid, stream);
      stream.run().catch((thrown: unknown) => this.fail(thrown));
    } catch (thrown) {
      const error = StatusError.from(thrown);
      this.#meter?.failed(error);
      if (live !== undefined) live.fail(error);
      else this.control(endFrame(sid, error));
    }
  }

  /** The live stream of a frame, or undefined for one that has ended. Throws FrameFault if there was none. */
  #find({ type, sid }: { readonly type: string; readonly sid: number }): Stream | undefined {
    if (sid > this.#lastSid)
      throw new FrameFault(Close.SID_UNKNOWN, `${type} for sid ${sid}, which was never opened`);
    return this.#streams.get(sid);
  }

  control(frame: ServerFrame): void {
    this.#traffic.send(frame);
  }

  queuedBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) bytes += stream.queuedBytes;
    return bytes;
  }

  ended(sid: number, error: StatusError | undefined): void {
    this.#streams.delete(sid);
    if (error instanceof SlowConsumerError && this.#state !== 'closed') this.#tooSlow();
    this.#departure.check();
  }

  /** A stream that waits for credit is slow by itself; a socket that takes nothing would not even take the end of it. */
  #tooSlow(): void {
    if (this.socket.isFull()) this.#farewell(Close.SLOW, 'the client reads too slowly', 'slow');
    else this.gateway.counts.left('ws', 'slow');
  }

  roomy(): void {
    for (const stream of this.#streams.values()) stream.roomy();
  }

  drain(leaveMs: number): void {
    if (this.#state === 'closed') return;
    const { message } = drainError(this.gateway.draining);
    this.#giveUp({ code: Close.DRAIN, text: message, why: 'drain' }, leaveMs);
  }

  leave(): void {
    this.#departure.leave();
  }

  cut(all: boolean): void {
    for (const stream of [...this.#streams.values()]) {
      if (all ? !stream.resumable : stream.isCutEarly) stream.fail(drainError(this.gateway.draining));
    }
    this.leave();
  }

  flooded(): void {
    this.#farewell(Close.OVERLOAD, FLOOD_TEXT, 'overload');
  }

  dead(): void {
    this.#farewell(Close.NO_PONG, 'no answer to three pings', 'no_pong');
  }

  age(): void {
    const text = 'the connection has lasted long enough';
    this.#giveUp({ code: Close.LIFETIME, text, why: 'lifetime' }, 0);
    this.leave();
  }

  isFree(): boolean {
    return [...this.#streams.values()].every(({ resumable }) => resumable);
  }

  depart({ code, text, why }: Reason): void {
    this.#farewell(code, text, why);
  }

  #giveUp(reason: Reason, leaveMs: number): void {
    this.#departure.announce(reason);
    if (this.#state !== 'open') return;
    this.control({ type: 'goaway', reconnect_after_ms: leaveMs, reason: reason.text });
  }

  expiring(): void {
    this.#bearer.expiring();
  }

  get principal(): Principal {
    return this.#bearer.caller.principal;
  }

  revoke(): void {
    this.#endAll(revoked(), Close.REVOKED, 'revoked');
  }

  expire(): void {
    this.#endAll(expired(), Close.EXPIRED, 'expired');
  }

  #endAll(error: StatusError, code: number, why: Farewell): void {
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#farewell(code, closeOf(error).reason, why);
  }

  gone(): void {
    this.#stop();
  }

  /** A close that is not the client's doing. */
  #farewell(code: number, reason: string, why: Farewell): void {
    if (this.#state === 'closed') return;
    this.gateway.counts.left('ws', why);
    this.#close(code, reason);
  }

  #close(code: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#stop();
    this.socket.close(code, reason);
  }

  /** Cancels everything: nothing can be told to the client any more. */
  #stop(): void {
    this.#state = 'closed';
    clearTimeout(this.#helloTimer);
    this.#watch?.stop();
    const left = new StatusError(Code.CANCELLED, 'the client left');
    for (const stream of [...this.#streams.values()]) stream.fail(left);
  }
}
