/** One call of a multiplexed WebSocket, from `open` to `end`. */
import { isSingle, type Message, type Metadata, type Reply, type Requests } from '../../src/call.js';
import { DEADLINE_TEXT, LONGEST_TIMER } from '../../src/policy/deadline.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { responseHeaders } from '../http/headers.js';
import type { Bound, Endpoint } from '../http/table.js';
import type { Gateway } from './door.js';
import type { Framing, Payload, ServerFrame } from './ws_frames.js';
import { Inbox } from './ws_inbox.js';

/** What a stream needs of the socket it is on. */
export interface StreamHost {
  readonly gateway: Pick<Gateway, 'config' | 'invoke' | 'log'>;
  readonly framing: Framing;
  /** A reply: resolves when it is safe to send more. */
  send(data: string | Uint8Array): Promise<void>;
  /** Any other frame. */
  control(frame: ServerFrame): void;
  /** Bytes of the client that wait for services, over all streams of the socket. */
  queuedBytes(): number;
  /** The stream has sent its end. */
  ended(sid: number): void;
}

export interface StreamOptions {
  readonly host: StreamHost;
  readonly sid: number;
  readonly endpoint: Endpoint;
  /** Binds the URL, once; throws StatusError INVALID_ARGUMENT. Called when every policy has accepted the call. */
  readonly bound: () => Bound;
  /** The request, or the first of a client stream. */
  readonly message: Payload | undefined;
  /** Replies that may be sent before the client grants more; undefined: no limit. */
  readonly credit: number | undefined;
  readonly id: string;
  readonly metadata: Metadata;
  readonly principal: Principal;
  readonly deadline: number | undefined;
}

const NO_TRAILERS: Metadata = Object.freeze({});

export class Stream {
  readonly #options: StreamOptions;
  readonly #controller = new AbortController();
  /** Of a client stream. */
  readonly #inbox: Inbox | undefined;
  /** What came before every policy had accepted the call: not looked at yet. */
  #early: Payload[] | undefined = [];
  #halfClosed = false;
  /** Messages that the client may still send before we grant more. */
  #window: number;
  #taken = 0;
  /** Replies that we may still send before the client grants more. */
  #credit: number;
  #creditCame: (() => void) | undefined;
  #ended = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    const { clientStreaming } = options.endpoint.method;
    this.#window = clientStreaming ? this.#limits.queuedMessages : 0;
    this.#credit = options.credit ?? Number.POSITIVE_INFINITY;
    if (clientStreaming) {
      this.#inbox = new Inbox({ taken: () => this.#tookOne(), wanted: () => this.#wanted() });
      if (options.message !== undefined) this.message(options.message);
    }
  }

  get #limits() {
    return this.#options.host.gateway.config.limits;
  }

  /** Bytes that wait for the service. */
  get queuedBytes(): number {
    return this.#inbox?.bytes ?? 0;
  }

  /** Makes the call and sends what comes of it. Never rejects. */
  async run(): Promise<void> {
    const { host, endpoint, id, metadata, principal, deadline } = this.#options;
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
        signal,
        deadline,
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
    if (this.#inbox !== undefined) return this.#inbox;
    const { message, bound, host } = this.#options;
    return () => (message === undefined ? bound().empty() : host.framing.request(bound(), message));
  }

  async #deliver(reply: Reply): Promise<void> {
    const { host, sid } = this.#options;
    const credit = this.#inbox === undefined ? 0 : this.#limits.queuedMessages;
    host.control({ type: 'opened', sid, headers: shown(reply.headers), credit });
    if (isSingle(reply.messages)) await this.#reply(reply.messages);
    else {
      for await (const message of reply.messages) {
        if (!this.#ended) await this.#reply(message);
        if (this.#ended) return;
      }
    }
    this.#end(undefined, reply.trailers());
  }

  /** Sends one reply, when the client has room for it. */
  async #reply(message: Message): Promise<void> {
    const { host, sid, endpoint } = this.#options;
    // The message is taken from the service before the credit is there, so that the end needs no credit.
    if (this.#credit <= 0) await this.#waitForCredit();
    if (this.#ended) return;
    this.#credit--;
    await host.send(host.framing.encodeMessage(sid, endpoint.binding, message));
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
  message(payload: Payload): void {
    if (this.#inbox === undefined) {
      this.#invalid(`msg: ${this.#options.endpoint.method.name} takes one message, which stands in open`);
    } else if (this.#halfClosed) {
      this.#invalid('msg after half_close');
    } else if (this.#window <= 0) {
      this.#exhausted(
        `msg: ${this.#limits.queuedMessages} messages wait for the service: send no more without credit`,
      );
    } else {
      this.#window--;
      if (this.#early === undefined) this.#accept(this.#inbox, payload);
      else this.#early.push(payload);
    }
  }

  #accept(inbox: Inbox, payload: Payload): void {
    const { host, bound } = this.#options;
    try {
      inbox.push(host.framing.request(bound(), payload));
    } catch (thrown) {
      this.fail(StatusError.from(thrown));
      return;
    }
    if (inbox.bytes > 0 && host.queuedBytes() > this.#limits.bodyBytes) {
      this.#exhausted(`msg: more than ${this.#limits.bodyBytes} bytes on this socket wait for services`);
    }
  }

  halfClose(): void {
    this.#halfClosed = true;
    if (this.#early === undefined) this.#inbox?.end();
  }

  /** The service asks for messages, so the policies have let the call pass. */
  #wanted(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const payload of early)
      if (!this.#ended && this.#inbox !== undefined) this.#accept(this.#inbox, payload);
    if (this.#halfClosed) this.#inbox?.end();
  }

  /** The client takes n more replies. */
  grant(n: number): void {
    this.#credit += n;
    this.#wake();
  }

  /** Ends the call from our side. */
  fail(error: StatusError): void {
    if (this.#ended) return;
    this.#end(error, error.metadata);
    this.#controller.abort(error);
    this.#inbox?.fail(error);
  }

  #invalid(message: string): void {
    this.fail(new StatusError(Code.INVALID_ARGUMENT, message));
  }

  #exhausted(message: string): void {
    this.fail(new StatusError(Code.RESOURCE_EXHAUSTED, message));
  }

  #wake(): void {
    const wake = this.#creditCame;
    this.#creditCame = undefined;
    wake?.();
  }

  /** The service took a message: tells the client in steps of half a window. */
  #tookOne(): void {
    this.#taken++;
    if (this.#taken * 2 < this.#limits.queuedMessages || this.#ended || this.#halfClosed) return;
    const { host, sid } = this.#options;
    this.#window += this.#taken;
    host.control({ type: 'credit', sid, n: this.#taken });
    this.#taken = 0;
  }

  #end(error: StatusError | undefined, trailers: Metadata): void {
    this.#ended = true;
    this.#inbox?.end();
    const { host, sid } = this.#options;
    host.control(endFrame(sid, error, trailers));
    host.ended(sid);
    this.#wake();
  }
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
