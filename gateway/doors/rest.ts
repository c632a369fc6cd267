/** The REST door: one reply as JSON, protobuf or the bytes that it holds; streams of replies are in rest_stream.ts. */
import { isSingle, type Message, type Metadata, type Reply } from '../../src/call.js';
import { negotiate } from '../http/accept.js';
import { serveCall } from '../http/call.js';
import { addVary, chosenStatus } from '../http/headers.js';
import { contentTypeOf, rawBodiesOf, readHttpBody } from '../http/http_body.js';
import { sendWhole } from '../http/reply.js';
import { guardReply } from '../http/safety.js';
import { headOf } from '../http/trailers.js';
import type { Exchange, Gateway, LiveCall } from './door.js';
import { sendStream } from './rest_stream.js';

const JSON_TYPE = 'application/json';
const PROTOBUF = 'application/x-protobuf';
const OFFERS = [JSON_TYPE, PROTOBUF, 'application/protobuf'];

/** The status that the service chose by `x-http-code`, if its upstream is trusted; else 200. */
function statusOfReply(
  { config }: Gateway,
  { endpoint }: Exchange,
  reply: Reply,
  trailers: Metadata,
): number {
  if (reply.headers['x-http-code'] === undefined && trailers['x-http-code'] === undefined) return 200;
  const upstream = config.upstreams.find(({ name }) => name === endpoint.method.upstream);
  return chosenStatus({ ...reply.headers, ...trailers }, 200, upstream) ?? 200;
}

interface Content {
  readonly type: string;
  readonly body: Uint8Array;
  /** Whether another Accept would have been answered differently. */
  readonly negotiated: boolean;
}

/** Accept chooses between JSON and protobuf. A client that accepts neither gets JSON: better that than nothing it can read. */
function contentOf({ request, endpoint }: Exchange, message: Message): Content {
  const raw = rawBodiesOf(endpoint).response;
  if (raw !== undefined) {
    const body = readHttpBody(raw, message);
    return { type: contentTypeOf(body), body: body.data, negotiated: false };
  }
  const { accept } = request.headers;
  const type =
    accept === undefined || accept === '*/*' ? JSON_TYPE : (negotiate(accept, OFFERS) ?? JSON_TYPE);
  // A response_body field has no protobuf form of its own: such a route answers JSON alone.
  if (type !== JSON_TYPE && endpoint.rule.responseBody === '')
    return { type, body: message, negotiated: true };
  return { type: JSON_TYPE, body: Buffer.from(endpoint.binding.print(message)), negotiated: true };
}

function sendSingle(
  gateway: Gateway,
  exchange: Exchange,
  reply: Reply,
  { call }: LiveCall,
): Promise<void> | undefined {
  const { type, body, negotiated } = contentOf(exchange, reply.messages as Message);
  const { http } = gateway.config;
  const metadata = { headers: reply.headers, trailers: reply.trailers() };
  const status = statusOfReply(gateway, exchange, reply, metadata.trailers);
  const { headers, trailers } = headOf(exchange.request, metadata, http.headers);
  headers['content-type'] = type;
  headers['x-request-id'] = call.id;
  guardReply(headers, exchange.request);
  if (negotiated && headers.vary === undefined) headers.vary = 'accept';
  else if (negotiated) addVary(headers, 'accept');
  return sendWhole(exchange.response, { status, headers, trailers, body }, http);
}

/** Answers one exchange. Never rejects: what goes wrong is answered or, once the client is gone, dropped. */
export function createRestDoor(gateway: Gateway): (exchange: Exchange) => Promise<void> {
  return (exchange) =>
    serveCall(gateway, exchange, async (reply, live) => {
      if (isSingle(reply.messages)) await sendSingle(gateway, exchange, reply, live);
      else await sendStream(gateway, exchange, reply, live);
    });
}
