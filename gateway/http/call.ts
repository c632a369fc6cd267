/** From an HTTP exchange to a call and its answer: the part that all HTTP doors share. */
import type { Call, Metadata, Reply } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Caller, Client, Exchange, Gateway, LiveCall } from '../doors/door.js';
import { requestsOf } from './body.js';
import { requestId } from './request.js';
import { discardRest, sendError } from './send_error.js';
import { hurry } from './write.js';

/** Writes an accepted reply to the client. Rejects only while nothing has been written yet. */
export type Respond = (reply: Reply, live: LiveCall) => Promise<void>;

function callOf(gateway: Gateway, exchange: Exchange, caller: Caller, signal: AbortSignal): Call {
  const { limits, timeouts } = gateway.config;
  return {
    id: caller.id,
    method: exchange.endpoint.method,
    requests: requestsOf(exchange, {
      bytes: limits.bodyBytes,
      stallMs: timeouts.bodyMs,
      bytesPerSecond: limits.bodyBytesPerSecond,
    }),
    metadata: caller.metadata,
    principal: caller.principal,
    peer: caller.peer,
    signal,
    deadline: caller.deadline,
    resume: exchange.resume?.cursor,
  };
}

const NO_METADATA: Metadata = Object.freeze({});

function forgotten(): never {
  throw new StatusError(Code.INTERNAL, 'the request was taken already');
}

/** One call on its exchange, from its request to its end: one object, since an idle stream holds it for hours. */
export class ServedCall implements LiveCall {
  call!: Call;
  client: Client | undefined;
  private readonly controller = new AbortController();
  private readonly onClose = (): void => this.close();

  constructor(
    readonly gateway: Gateway,
    readonly exchange: Exchange,
  ) {
    exchange.response.on('close', this.onClose);
  }

  /** Identifies the caller; a promise only when somebody has to be asked. Throws, or rejects with, StatusError. */
  begin(): Call | Promise<Call> {
    const { gateway, exchange } = this;
    const caller = gateway.identify(exchange.request, exchange.endpoint);
    return caller instanceof Promise ? caller.then((known) => this.beginAs(known)) : this.beginAs(caller);
  }

  private beginAs(caller: Caller): Call {
    const { gateway, exchange } = this;
    this.call = callOf(gateway, exchange, caller, this.controller.signal);
    gateway.live.add(this);
    return this.call;
  }

  /** The service has all of it: what was asked is of no more use for as long as the stream lasts, which may be hours. */
  forgetRequest(): void {
    const { id, method, principal, signal, deadline } = this.call;
    this.call = { id, method, requests: forgotten, metadata: NO_METADATA, principal, signal, deadline };
  }

  cancel(reason: StatusError): void {
    this.controller.abort(reason);
  }

  leave(): void {
    this.client?.leave();
  }

  /** Nothing has been written yet. `refuse` may answer in the door's own way, and says whether it did. */
  refused(thrown: unknown, refuse?: (error: StatusError, id: string) => boolean): void {
    const error = StatusError.from(thrown);
    // A reply that could not be shown has a service behind it that is still sending.
    this.cancel(error);
    const known: Call | undefined = this.call;
    const id = known?.id ?? requestId(this.exchange.request.headers['x-request-id']);
    this.gateway.report(id, error);
    if (refuse?.(error, id) !== true) this.sendRefusal(error, id);
  }

  /** Everything is written. */
  end(): void {
    const { request, response } = this.exchange;
    response.off('close', this.onClose);
    this.gateway.live.delete(this);
    hurry(response, this.gateway.config.timeouts.writeMs);
    if (!request.complete) discardRest(request);
  }

  private sendRefusal(error: StatusError, id: string): void {
    const { response, endpoint, table } = this.exchange;
    const { http, upstreams } = this.gateway.config;
    const { method, options } = endpoint;
    const upstream = upstreams.find(({ name }) => name === method.upstream);
    const known: Call | undefined = this.call;
    const inResults = known !== undefined && method.serverStreaming && options.http.streams === 'result';
    sendError(response, error, { codec: table.codec, http, id, upstream, inResults });
  }

  private close(): void {
    if (!this.exchange.response.writableFinished) {
      this.cancel(new StatusError(Code.CANCELLED, 'the client left'));
    }
    this.client?.gone();
  }
}

/**
 * Identifies the caller, invokes, and lets the door respond. A refusal becomes an HTTP error; the client's leaving
 * cancels the call. Never rejects.
 */
export async function serveCall(gateway: Gateway, exchange: Exchange, respond: Respond): Promise<void> {
  const served = new ServedCall(gateway, exchange);
  try {
    const begun = served.begin();
    const call = begun instanceof Promise ? await begun : begun;
    await respond(await gateway.invoke(call), served);
  } catch (thrown) {
    served.refused(thrown);
  } finally {
    served.end();
  }
}
