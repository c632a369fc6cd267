/** The multiplex machine: many calls on one WebSocket. Normative text: PROTOCOL.md, in the order of `#take`. */
import { Code, StatusError } from '../../src/status.js';
import { effectiveTimeout } from '../http/request.js';
import type { Caller, Gateway } from './door.js';
import { Close, closeOf, closeOfThrown, FrameFault } from './ws_close.js';
import type { ClientFrame, Framing, OpenFrame, ServerFrame } from './ws_frames.js';
import { callId, callMetadata, resolveOpen } from './ws_open.js';
import type { Connection, Socket } from './ws_socket.js';
import { endFrame, Stream, type StreamHost } from './ws_stream.js';
import { createWatch, type Watch } from './ws_watch.js';

export interface SessionOptions {
  readonly socket: Socket;
  readonly framing: Framing;
  readonly gateway: Pick<Gateway, 'config' | 'invoke' | 'table' | 'draining' | 'log'>;
  /** Who the handshake said it is. */
  readonly caller: Caller;
  /** The same with another token, from hello. Throws StatusError UNAUTHENTICATED. */
  readonly identify: (token: string) => Caller;
}

type Frame<Type extends ClientFrame['type']> = Extract<ClientFrame, { type: Type }>;

/** Control frames that the socket has not taken before we stop reading what causes them. */
const UNSENT_MOST = 64;

export class Session implements Connection, StreamHost {
  readonly #options: SessionOptions;
  readonly #streams = new Map<number, Stream>();
  readonly #helloTimer: NodeJS.Timeout;
  #state: 'greeting' | 'open' | 'closed' = 'greeting';
  #caller: Caller;
  #watch: Watch | undefined;
  /** The greatest sid so far: a lower one that is not live has ended. */
  #lastSid = 0;
  #draining = false;
  #unsent = 0;
  #reading = true;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#caller = options.caller;
    const { helloMs } = this.gateway.config.timeouts;
    this.#helloTimer = setTimeout(() => {
      this.#close(Close.HELLO_LATE, `no hello within ${helloMs} ms`);
    }, helloMs);
  }

  get gateway(): SessionOptions['gateway'] {
    return this.#options.gateway;
  }

  get framing(): Framing {
    return this.#options.framing;
  }

  get #over(): boolean {
    return this.#state === 'closed';
  }

  /** Calls that run. */
  get liveCalls(): number {
    return this.#streams.size;
  }

  receive(data: string | Uint8Array): void {
    if (this.#over) return;
    this.alive();
    try {
      for (const frame of this.framing.decode(data)) {
        if (this.#over) return;
        this.#take(frame);
      }
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    if (!(thrown instanceof FrameFault || thrown instanceof StatusError)) {
      this.gateway.log.error({ err: thrown }, 'a WebSocket frame failed in the gateway');
    }
    const { code, reason } = closeOfThrown(thrown);
    this.#close(code, reason);
  }

  alive(): void {
    this.#watch?.alive();
  }

  #take(frame: ClientFrame): void {
    if (this.#state === 'greeting' && frame.type !== 'hello') {
      throw new FrameFault(Close.HELLO_MISSING, `expected hello, got ${frame.type}`);
    }
    switch (frame.type) {
      case 'hello':
        this.#hello(frame);
        break;
      case 'open':
        this.#open(frame);
        break;
      case 'msg':
        this.#find(frame)?.message(frame.data);
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
  }

  #hello({ token }: Frame<'hello'>): void {
    if (this.#state !== 'greeting') throw new FrameFault(Close.HELLO_TWICE, 'a second hello');
    clearTimeout(this.#helloTimer);
    const { caller, identify } = this.#options;
    // The handshake's id stays the session's, whatever the token.
    if (token !== undefined) this.#caller = { ...identify(token), id: caller.id };
    const { limits, timeouts } = this.gateway.config;
    const { expiresAt } = this.#caller.principal;
    this.#state = 'open';
    this.#watch = createWatch({
      intervalMs: timeouts.heartbeatMs,
      ping: () => this.control({ type: 'ping' }),
      dead: () => this.#close(Close.NO_PONG, 'no answer to three pings'),
    });
    this.control({
      type: 'welcome',
      session: caller.id,
      heartbeat_ms: timeouts.heartbeatMs,
      ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
      limits: {
        frame_bytes: limits.frameBytes,
        streams: limits.streamsPerSocket,
        queued_messages: limits.queuedMessages,
        queued_bytes: limits.bodyBytes,
      },
      features: [],
    });
  }

  #open(frame: OpenFrame): void {
    const { sid } = frame;
    const live = this.#streams.get(sid);
    try {
      if (sid <= this.#lastSid) {
        const problem = live === undefined ? `is not greater than ${this.#lastSid}` : 'is open already';
        throw new StatusError(Code.INVALID_ARGUMENT, `open: sid ${sid} ${problem}`);
      }
      this.#lastSid = sid;
      const stream = this.#begin(frame);
      this.#streams.set(sid, stream);
      stream.run().catch((thrown: unknown) => this.#fail(thrown));
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (live !== undefined) live.fail(error);
      else this.control(endFrame(sid, error));
    }
  }

  /** Throws StatusError for an open that cannot become a call. */
  #begin(frame: OpenFrame): Stream {
    const { config } = this.gateway;
    const { principal } = this.#caller;
    const { streamsPerSocket, headerBytes } = config.limits;
    if (this.#draining) throw drainError(this.gateway);
    if (this.#streams.size >= streamsPerSocket) {
      throw new StatusError(
        Code.RESOURCE_EXHAUSTED,
        `open: ${streamsPerSocket} calls are open on this socket`,
      );
    }
    if (principal.expiresAt !== undefined && principal.expiresAt <= Date.now()) {
      throw new StatusError(Code.UNAUTHENTICATED, 'token: expired since this socket was opened');
    }
    const { endpoint, bound } = resolveOpen(this.gateway.table(), frame);
    const timeout = effectiveTimeout(frame.deadline_ms, endpoint, config.timeouts);
    return new Stream({
      host: this,
      sid: frame.sid,
      endpoint,
      bound,
      message: frame.message,
      credit: frame.credit,
      id: callId(frame, this.#caller),
      metadata: callMetadata(frame, this.#caller, headerBytes),
      principal,
      deadline: timeout === undefined ? undefined : Date.now() + timeout,
    });
  }

  /** The live stream of a frame, or undefined for one that has ended. Throws FrameFault if there was none. */
  #find({ type, sid }: { readonly type: string; readonly sid: number }): Stream | undefined {
    if (sid > this.#lastSid)
      throw new FrameFault(Close.SID_UNKNOWN, `${type} for sid ${sid}, which was never opened`);
    return this.#streams.get(sid);
  }

  send(data: string | Uint8Array): Promise<void> {
    return this.#state === 'closed' ? Promise.resolve() : this.#options.socket.send(data);
  }

  control(frame: ServerFrame): void {
    if (this.#state === 'closed') return;
    const { socket } = this.#options;
    this.#unsent++;
    // A client that makes us answer and does not read the answers is not read either.
    if (this.#unsent > UNSENT_MOST && this.#reading) {
      this.#reading = false;
      socket.pause();
    }
    void socket.send(this.framing.encode(frame)).then(() => this.#sent());
  }

  #sent(): void {
    this.#unsent--;
    if (this.#reading || this.#unsent > UNSENT_MOST / 2 || this.#state === 'closed') return;
    this.#reading = true;
    this.alive();
    this.#options.socket.resume();
  }

  queuedBytes(): number {
    let bytes = 0;
    for (const stream of this.#streams.values()) bytes += stream.queuedBytes;
    return bytes;
  }

  ended(sid: number): void {
    this.#streams.delete(sid);
    if (this.#draining && this.#streams.size === 0) this.#closeDrained();
  }

  drain(): void {
    if (this.#draining || this.#state === 'closed') return;
    this.#draining = true;
    const { drainMs } = this.gateway.config.timeouts;
    if (this.#state === 'open') {
      const { message } = drainError(this.gateway);
      this.control({
        type: 'goaway',
        reconnect_after_ms: Math.floor(Math.random() * drainMs),
        reason: message,
      });
    }
    if (this.#streams.size === 0) this.#closeDrained();
  }

  cut(): void {
    for (const stream of [...this.#streams.values()]) stream.fail(drainError(this.gateway));
    this.#closeDrained();
  }

  #closeDrained(): void {
    this.#close(Close.DRAIN, closeOf(drainError(this.gateway)).reason);
  }

  gone(): void {
    this.#stop();
  }

  #close(code: number, reason: string): void {
    if (this.#state === 'closed') return;
    this.#stop();
    this.#options.socket.close(code, reason);
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

/** Why the gateway takes no more calls. */
export function drainError({ draining }: Pick<Gateway, 'draining'>): StatusError {
  const reason: unknown = draining.reason;
  return reason instanceof StatusError
    ? reason
    : new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
}
