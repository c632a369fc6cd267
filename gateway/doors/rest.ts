/** The REST door: one reply as JSON (or protobuf), a stream of replies as JSON lines or one JSON array. */
import type { OutgoingHttpHeaders } from 'node:http';
import { isSingle, type Message, type Reply } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import { negotiate } from '../http/accept.js';
import { logFailure, serveCall } from '../http/call.js';
import { responseHeaders } from '../http/headers.js';
import { write } from '../http/write.js';
import type { Exchange, Gateway, LiveCall } from './door.js';

const JSON_TYPE = 'application/json';
const PROTOBUF = 'application/x-protobuf';
const SINGLE_OFFERS = [JSON_TYPE, PROTOBUF, 'application/protobuf'];
/** The first is what a client gets that does not care: lines are useful at once, even when the stream never ends. */
const STREAM_OFFERS = ['application/x-ndjson', 'application/jsonl', JSON_TYPE];

function headersOf(reply: Reply, id: string, type: string): OutgoingHttpHeaders {
  const headers = responseHeaders(reply.headers);
  headers['content-type'] = type;
  headers['x-request-id'] = id;
  headers['vary'] = 'accept';
  return headers;
}

function sendSingle(exchange: Exchange, reply: Reply, message: Message, { call }: LiveCall): void {
  const { request, response, endpoint } = exchange;
  const { accept } = request.headers;
  const type =
    accept === undefined || accept === '*/*' ? JSON_TYPE : (negotiate(accept, SINGLE_OFFERS) ?? JSON_TYPE);
  // A response_body field has no protobuf form of its own: such a route answers JSON alone.
  const binary = type !== JSON_TYPE && endpoint.rule.responseBody === '';
  const body = binary ? message : Buffer.from(endpoint.binding.print(message));
  const headers = headersOf(reply, call.id, binary ? type : JSON_TYPE);
  Object.assign(headers, responseHeaders(reply.trailers()));
  headers['content-length'] = body.length;
  response.writeHead(200, headers).end(body);
}

async function writeMessages(
  exchange: Exchange,
  messages: AsyncIterable<Message>,
  array: boolean,
): Promise<void> {
  const { response, endpoint } = exchange;
  let before = array ? '[' : '';
  for await (const message of messages) {
    const text = endpoint.binding.print(message);
    await write(response, array ? `${before}${text}` : `${text}\n`);
    before = ',';
  }
  response.end(array ? (before === '[' ? '[]' : ']') : '');
}

/** Failure after the head: lines say so in a last line; an array is cut, so that it cannot look complete. */
async function sendStream(gateway: Gateway, exchange: Exchange, reply: Reply, live: LiveCall): Promise<void> {
  const { request, response } = exchange;
  const type = negotiate(request.headers.accept, STREAM_OFFERS) ?? (STREAM_OFFERS[0] as string);
  response.writeHead(200, { ...headersOf(reply, live.call.id, type), 'x-accel-buffering': 'no' });
  response.flushHeaders();
  if (request.method === 'HEAD') {
    live.cancel(new StatusError(Code.CANCELLED, 'HEAD has no body'));
    response.end();
    return;
  }
  try {
    await writeMessages(exchange, reply.messages as AsyncIterable<Message>, type === JSON_TYPE);
  } catch (thrown) {
    const error = StatusError.from(thrown);
    logFailure(gateway, live.call.id, error);
    if (type === JSON_TYPE) response.destroy();
    else response.end(`{"error":${gateway.table().codec.printStatus(error)}}\n`);
  }
}

/** Answers one exchange. Never rejects: what goes wrong is answered or, once the client is gone, dropped. */
export function createRestDoor(gateway: Gateway): (exchange: Exchange) => Promise<void> {
  return (exchange) =>
    serveCall(gateway, exchange, async (reply, live) => {
      if (isSingle(reply.messages)) sendSingle(exchange, reply, reply.messages, live);
      else await sendStream(gateway, exchange, reply, live);
    });
}
