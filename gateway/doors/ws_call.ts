/** One call on a WebSocket of its own, opened on the route itself. Normative text: PROTOCOL.md. */
import { isSingle, type Message, type Reply, type Requests } from '../../src/call.js';
import { parseJson } from '../../src/codec/json_text.js';
import { placeIn } from '../../src/codec/pointer.js';
import { Code, StatusError } from '../../src/status.js';
import type { Bound, Endpoint } from '../http/table.js';
import type { Caller, Gateway } from './door.js';
import { Close, closeOf } from './ws_close.js';
import { Inbox } from './ws_inbox.js';
import { drainError } from './ws_session.js';
import type { Connection, Socket } from './ws_socket.js';
import { createWatch, type Watch } from './ws_watch.js';

export interface SocketCallOptions {
  readonly gateway: Pick<Gateway, 'config' | 'invoke' | 'table' | 'draining' | 'log'>;
  readonly endpoint: Endpoint;
  /** Binds the URL, once; throws StatusError INVALID_ARGUMENT. */
  readonly bound: () => Bound;
  readonly caller: Caller;
  /** What messages are: chosen by subprotocol, or undefined: the first message of the client decides. */
  readonly binary: boolean | undefined;
}

export class SocketCall implements Connection {
  readonly #options: SocketCallOptions;
  readonly #controller = new AbortController();
  readonly #inbox: Inbox;
  /** Whether the client's messages are part of the request at all. */
  readonly #takesMessages: boolean;
  #reply: Promise<Reply> | undefined;
  #wanted: () => void = () => {};
  #socket: Socket | undefined;
  #watch: Watch | undefined;
  #binary: boolean | undefined;
  #received = 0;
  #paused = false;
  #ended = false;

  constructor(options: SocketCallOptions) {
    this.#options = options;
    this.#binary = options.binary;
    this.#takesMessages = options.endpoint.rule.body !== '';
    this.#inbox = new Inbox({ taken: () => this.#tookOne(), wanted: () => this.#wanted() });
  }

  /**
   * Makes the call. Resolves when every policy has let it pass, which is when the upstream asks for the request;
   * rejects with StatusError when one refuses it or the URL does not bind. The service has not answered yet.
   */
  async accepted(): Promise<void> {
    const { gateway, endpoint, caller, bound } = this.#options;
    const { signal } = this.#controller;
    const wanted = new Promise<void>((resolve, reject) => {
      this.#wanted = () => {
        try {
          const url = bound();
          if (!this.#takesMessages) {
            this.#inbox.push(url.empty());
            this.#inbox.end();
          }
          resolve();
        } catch (thrown) {
          reject(thrown);
        }
      };
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    this.#reply = gateway.invoke({ ...caller, method: endpoint.method, requests: this.#requests(), signal });
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

  #requests(): Requests {
    if (this.#options.endpoint.method.clientStreaming) return this.#inbox;
    let first: Promise<Message> | undefined;
    return () => {
      first ??= this.#first();
      return first;
    };
  }

  /** The one message of a method that takes one; without any, what the URL says. */
  async #first(): Promise<Message> {
    const { done, value } = await this.#inbox.next();
    return done === true ? this.#options.bound().empty() : value;
  }

  /** Runs the call on its socket to the end. Never rejects. */
  async run(socket: Socket): Promise<void> {
    const { gateway, caller } = this.#options;
    this.#socket = socket;
    this.#watch = createWatch({
      intervalMs: gateway.config.timeouts.heartbeatMs,
      ping: () => socket.ping(),
      dead: () => {
        this.#stop(new StatusError(Code.CANCELLED, 'the client left'));
        socket.close(Close.NO_PONG, 'no answer to three pings');
      },
    });
    try {
      await this.#deliver(socket);
      this.#end(undefined);
    } catch (thrown) {
      if (!this.#ended && !(thrown instanceof StatusError)) {
        gateway.log.error({ err: thrown, call: caller.id }, 'a WebSocket call failed in the gateway');
      }
      this.#end(StatusError.from(thrown));
    }
  }

  async #deliver(socket: Socket): Promise<void> {
    const { messages } = (await this.#reply) as Reply;
    if (isSingle(messages)) {
      await socket.send(this.#print(messages));
      return;
    }
    for await (const message of messages) {
      if (this.#ended) return;
      await socket.send(this.#print(message));
    }
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
      this.#inbox.end();
      return;
    }
    if (!this.#takesMessages) throw this.#invalid('this route takes no message');
    if (this.#inbox.ended) throw this.#invalid('nothing may follow the end of the client stream');
    const binary = typeof data !== 'string';
    this.#binary ??= binary;
    if (binary !== this.#binary) throw this.#invalid(`expected ${this.#binary ? 'binary' : 'text'}`);
    const bound = this.#options.bound();
    this.#inbox.push(
      typeof data === 'string'
        ? bound.json(parseJson(data, placeIn(`message ${this.#received}`)))
        : bound.bytes(data),
    );
    if (!this.#options.endpoint.method.clientStreaming) this.#inbox.end();
    else if (this.#inbox.size >= this.#options.gateway.config.limits.queuedMessages) this.#setReading(false);
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
    if (this.#inbox.size * 2 <= this.#options.gateway.config.limits.queuedMessages) this.#setReading(true);
  }

  alive(): void {
    this.#watch?.alive();
  }

  drain(): void {
    // One reply is soon there; a stream has no end of its own, and its client has to hear of the drain in time.
    if (this.#options.endpoint.method.serverStreaming) this.cut();
  }

  cut(): void {
    this.#end(drainError(this.#options.gateway), Close.DRAIN);
  }

  gone(): void {
    this.#stop(new StatusError(Code.CANCELLED, 'the client left'));
  }

  /** Tells the client how the call ended: the status as a last message, unless it is OK, and the close code. */
  #end(error: StatusError | undefined, code?: number): void {
    if (this.#ended) return;
    this.#stop(error);
    const socket = this.#socket;
    if (error === undefined) {
      socket?.close(1000, '');
      return;
    }
    const { table, draining } = this.#options.gateway;
    void socket?.send(`{"error":${table().codec.printStatus(error)}}`);
    const close = closeOf(error);
    socket?.close(code ?? (error === draining.reason ? Close.DRAIN : close.code), close.reason);
  }

  /** With an error: cancels the call. */
  #stop(error: StatusError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#watch?.stop();
    if (error === undefined) {
      this.#inbox.end();
      return;
    }
    this.#controller.abort(error);
    this.#inbox.fail(error);
  }
}
