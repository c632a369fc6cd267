/** The Server-Sent Events door: a server stream for EventSource and for fetch, told to its very end. Wire: PROTOCOL.md. */
import type { ServerResponse } from 'node:http';
import type { Metadata, Reply } from '../../src/call.js';
import { readRetryDelay } from '../../src/details.js';
import type { StatusError } from '../../src/status.js';
import { feedOf } from '../../src/stream/pump.js';
import { ServedCall } from '../http/call.js';
import { type Coding, codingOfStream } from '../http/compress.js';
import { printStatus } from '../http/error_body.js';
import { addVary, responseHeaders } from '../http/headers.js';
import { isCursor } from '../http/resume.js';
import { guardReply } from '../http/safety.js';
import { jitter } from '../streams.js';
import type { Exchange, Gateway } from './door.js';
import { createEventEncoders, endEvent } from './sse_events.js';
import { EventStream, RETRY_MS } from './sse_stream.js';

/** What a client sends that wants the HTTP status of every refusal: `http`. A browser's own EventSource closes for good on one. */
const ERRORS_HEADER = 'tidegate-errors';

const NO_METADATA: Metadata = Object.freeze({});

function codingOf({ config: { http } }: Gateway, { request }: Exchange): Coding | undefined {
  return http.compressEvents ? codingOfStream(request.headers['accept-encoding']) : undefined;
}

interface Head {
  readonly metadata: Metadata;
  readonly id: string;
  readonly coding: Coding | undefined;
}

function writeHead({ config: { http } }: Gateway, response: ServerResponse, head: Head): void {
  const headers = responseHeaders(head.metadata, http.headers);
  headers['content-type'] = 'text/event-stream';
  headers['cache-control'] = 'no-cache, no-transform';
  headers['x-accel-buffering'] = 'no';
  headers['x-request-id'] = head.id;
  guardReply(headers, response.req);
  addVary(headers, 'accept');
  if (http.compressEvents) addVary(headers, 'accept-encoding');
  if (head.coding !== undefined) headers['content-encoding'] = head.coding;
  response.writeHead(200, headers);
}

/** Until a client comes back: what the refusal says, but not the same for all. */
function retryMs(error: StatusError): number {
  return jitter(Math.max(readRetryDelay(error.details) ?? 0, RETRY_MS));
}

/**
 * Trouble that may pass, told to a client that comes back in a stream that ends at once: an EventSource tries again after that, and never after
 * an HTTP error. False for a refusal that is to be an HTTP error.
 */
function refuseInStream(gateway: Gateway, exchange: Exchange, error: StatusError, id: string): boolean {
  const { request, response, resume, table } = exchange;
  if (!error.row.retryable || response.headersSent || response.destroyed) return false;
  const wantsStatus = String(request.headers[ERRORS_HEADER] ?? '').toLowerCase() === 'http';
  const ms = retryMs(error);
  if (resume?.again !== true || wantsStatus) {
    response.setHeader('retry-after', Math.ceil(ms / 1000));
    return false;
  }
  writeHead(gateway, response, { metadata: NO_METADATA, id, coding: undefined });
  const status = printStatus({ codec: table.codec, http: gateway.config.http, id }, error);
  response.end(`retry: ${ms}\n${endEvent(status, error.metadata, false)}`);
  return true;
}

/**
 * Answers one exchange with an event stream, and calls `done` when its last event is written. Refused before it is accepted: an HTTP status, as a
 * rule; later: an event. Never throws.
 */
export function createSseDoor(gateway: Gateway): (exchange: Exchange, done: () => void) => void {
  const encodersOf = createEventEncoders();
  const { draining, invoke, counts } = gateway;

  const respond = (served: ServedCall, reply: Reply, done: () => void): void => {
    const { exchange, call } = served;
    const { resume, endpoint, table, response } = exchange;
    call.signal.throwIfAborted();
    const feed = feedOf(reply, call.signal);
    if (isCursor(resume?.cursor) && feed.resumable) counts.resumed('sse', feed.resumed);
    const coding = codingOf(gateway, exchange);
    writeHead(gateway, response, { metadata: reply.headers, id: call.id, coding });
    served.forgetRequest();
    new EventStream({ served, feed, coding, encoders: encodersOf(endpoint, table), done }).start(feed);
  };

  return (exchange, done) => {
    const served = new ServedCall(gateway, exchange);
    const over = (): void => {
      served.end();
      done();
    };
    const refused = (thrown: unknown): void => {
      served.refused(thrown, (error, id) => refuseInStream(gateway, exchange, error, id));
      over();
    };
    try {
      // A stream that begins now would have to end at once.
      draining.throwIfAborted();
      const begun = served.begin();
      (begun instanceof Promise ? begun.then(invoke) : invoke(begun))
        .then((reply) => respond(served, reply, over))
        .catch(refused);
    } catch (thrown) {
      refused(thrown);
    }
  };
}
