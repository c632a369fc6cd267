/** The long-polling door: a stream with cursors, one answer after the other, for networks that break streams. Wire: PROTOCOL.md. */
import type { Reply } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Encoder } from '../../src/stream/feed.js';
import { createPackedEncoder } from '../../src/stream/packed.js';
import { feedOf } from '../../src/stream/pump.js';
import { serveCall } from '../http/call.js';
import { printStatus } from '../http/error_body.js';
import { responseHeaders } from '../http/headers.js';
import { sendWhole } from '../http/reply.js';
import { FINISHED, isCursor } from '../http/resume.js';
import { guardReply } from '../http/safety.js';
import type { Endpoint } from '../http/table.js';
import { spanOf } from '../streams.js';
import type { Exchange, Gateway, LiveCall } from './door.js';
import { Batch, type Collected } from './poll_batch.js';

const DOOR = 'poll';

/** One for all polls of an endpoint, so that each message is printed once for those that wait at the same time. */
function createEncoders(): (endpoint: Endpoint) => Encoder {
  const known = new WeakMap<Endpoint, Encoder>();
  return (endpoint) => {
    let encoder = known.get(endpoint);
    if (encoder === undefined) {
      encoder = createPackedEncoder((message) => Buffer.from(endpoint.binding.print(message)));
      known.set(endpoint, encoder);
    }
    return encoder;
  };
}

/** As it is known when the answer is written. */
interface Answered {
  readonly collected: Collected;
  readonly resumed: boolean;
  readonly id: string;
}

function printEnd({ config }: Gateway, { table }: Exchange, { collected, id }: Answered): string {
  const { error, trailers = {} } = collected.end ?? {};
  const status =
    error === undefined
      ? table.codec.printStatus({ code: Code.OK, message: '', details: [] })
      : printStatus({ codec: table.codec, http: config.http, id }, error);
  const shown = responseHeaders(trailers);
  return Object.keys(shown).length === 0
    ? status
    : `${status.slice(0, -1)},"trailers":${JSON.stringify(shown)}}`;
}

/** Whether another poll would be of no use. */
function isFinal({ end }: Collected): boolean {
  if (end === undefined) return false;
  return end.error === undefined || !(end.error.row.retryable || end.error.code === Code.UNAUTHENTICATED);
}

function printAnswer(gateway: Gateway, exchange: Exchange, answered: Answered): Buffer {
  const { collected, resumed } = answered;
  const { messages, reset, caughtUp, end } = collected;
  const rest = {
    cursor: isFinal(collected) ? FINISHED : collected.cursor,
    resumed,
    ...(reset !== undefined && { reset }),
    caughtUp,
  };
  const parts = ['{"messages":[', ...messages.flatMap((one, index) => (index === 0 ? [one] : [',', one]))];
  parts.push(`],${JSON.stringify(rest).slice(1, -1)}`);
  parts.push(end === undefined ? '}' : `,"end":${printEnd(gateway, exchange, answered)}}`);
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

/** Answers one exchange that waits. What goes wrong before the first message is an HTTP error. */
export function createPollDoor(gateway: Gateway): (exchange: Exchange) => Promise<void> {
  const encoderOf = createEncoders();
  const { config, counts } = gateway;

  const collect = (exchange: Exchange, reply: Reply, live: LiveCall, waitMs: number) => {
    const { endpoint, resume } = exchange;
    live.call.signal.throwIfAborted();
    const feed = feedOf(reply, live.call.signal);
    if (!feed.resumable) {
      throw new StatusError(Code.UNIMPLEMENTED, 'query parameter "wait": this stream has no cursors');
    }
    if (isCursor(resume?.cursor)) counts.resumed(DOOR, feed.resumed);
    return new Promise<Answered>((resolve, reject) => {
      const done = (collected: Collected): void => {
        live.client = undefined;
        const { end, messages, reset } = collected;
        if (end?.error !== undefined && messages.length === 0 && reset === undefined) reject(end.error);
        else resolve({ collected, resumed: feed.resumed, id: live.call.id });
      };
      const batch = new Batch({ feed, encoder: encoderOf(endpoint), waitMs, done });
      // A gateway that drains answers at once, and the next poll goes elsewhere.
      live.client = { leave: () => batch.finish(), gone: () => {} };
      batch.start();
      if (gateway.draining.aborted) batch.finish();
    });
  };

  const respond = async (exchange: Exchange, reply: Reply, live: LiveCall): Promise<void> => {
    const { response, wait } = exchange;
    const { expires } = spanOf(config, live.call.principal);
    const waitMs = Math.min(wait?.ms ?? 0, config.streams.pollMaxMs);
    const left = Math.max(Math.min(waitMs, expires - performance.now()), 0);
    const answered = await collect(exchange, reply, live, left);
    const { error } = answered.collected.end ?? {};
    if (error !== undefined) gateway.report(live.call.id, error);
    if (answered.collected.reset !== undefined) counts.reset(DOOR, answered.collected.reset);
    const headers = responseHeaders(reply.headers, config.http.headers);
    headers['content-type'] = 'application/json';
    headers['cache-control'] = 'no-store';
    headers['x-request-id'] = live.call.id;
    guardReply(headers, response.req);
    if (wait?.preferred === true) headers['preference-applied'] = `wait=${Math.floor(waitMs / 1000)}`;
    const body = printAnswer(gateway, exchange, answered);
    const whole = { status: 200, headers, trailers: undefined, body };
    await sendWhole(response, whole, { ...config.http, etag: false });
  };

  return (exchange) => serveCall(gateway, exchange, (reply, live) => respond(exchange, reply, live));
}
