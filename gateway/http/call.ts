/** From an HTTP exchange to a call and its answer: the part that all HTTP doors share. */
import type { Call, Reply } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Caller, Exchange, Gateway, LiveCall } from '../doors/door.js';
import { requestsOf } from './body.js';
import { requestId } from './request.js';
import { discardRest, sendError } from './send_error.js';

export interface Answer {
  /** Writes an accepted reply to the client. Rejects only while nothing has been written yet. */
  respond(reply: Reply, live: LiveCall): Promise<void>;
  /** Answers a refusal in the door's own way, and says whether it did; default: it is an HTTP error. */
  refuse?(error: StatusError, id: string): boolean;
}

function callOf(gateway: Gateway, exchange: Exchange, caller: Caller, signal: AbortSignal): Call {
  const { limits, timeouts } = gateway.config;
  return {
    id: caller.id,
    method: exchange.endpoint.method,
    requests: requestsOf(exchange, { bytes: limits.bodyBytes, stallMs: timeouts.bodyMs }),
    metadata: caller.metadata,
    principal: caller.principal,
    signal,
    deadline: caller.deadline,
    resume: exchange.resume?.cursor,
  };
}

/**
 * Identifies the caller, invokes, and lets the door respond. A refusal becomes an HTTP error; the client's leaving
 * cancels the call. Never rejects.
 */
export async function serveCall(gateway: Gateway, exchange: Exchange, answer: Answer): Promise<void> {
  const { request, response, endpoint } = exchange;
  const controller = new AbortController();
  const cancel = (reason: StatusError): void => controller.abort(reason);
  const onClose = (): void => {
    if (!response.writableFinished) cancel(new StatusError(Code.CANCELLED, 'the client left'));
  };
  response.on('close', onClose);
  let live: LiveCall | undefined;
  try {
    const call = callOf(gateway, exchange, gateway.identify(request, endpoint), controller.signal);
    live = { call, cancel, leave: undefined };
    gateway.live.add(live);
    await answer.respond(await gateway.invoke(call), live);
    if (!request.complete) discardRest(request);
  } catch (thrown) {
    const error = StatusError.from(thrown);
    // A reply that could not be shown has a service behind it that is still sending.
    cancel(error);
    const id = live?.call.id ?? requestId(request.headers['x-request-id']);
    gateway.report(id, error);
    if (answer.refuse?.(error, id) !== true) sendRefusal(gateway, exchange, { error, id, live });
  } finally {
    response.off('close', onClose);
    if (live !== undefined) gateway.live.delete(live);
  }
}

interface Refusal {
  readonly error: StatusError;
  readonly id: string;
  readonly live: LiveCall | undefined;
}

function sendRefusal({ config }: Gateway, exchange: Exchange, { error, id, live }: Refusal): void {
  const { response, endpoint, table } = exchange;
  const { http, upstreams } = config;
  const { method, options } = endpoint;
  const upstream = upstreams.find(({ name }) => name === method.upstream);
  const inResults = live !== undefined && method.serverStreaming && options.http.streams === 'result';
  sendError(response, error, { codec: table.codec, http, id, upstream, inResults });
}
