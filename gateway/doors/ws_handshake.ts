/** The WebSocket handshake (RFC 6455 section 4.2): what is read from it, and how it is refused. */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket as NetSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Codec } from '../../src/codec/codec.js';
import { Code, StatusError } from '../../src/status.js';
import { HttpError, invalid, urlTooLong } from '../http/error.js';
import type { ErrorConfig } from '../http/error_body.js';
import { isNamed, isOwnHost, type OriginRules } from '../http/origin.js';
import { sendError } from '../http/send_error.js';

export type Protocol = 'tidegate.v1.json' | 'tidegate.v1.proto';

const JSON_PROTOCOL = 'tidegate.v1.json';
const PROTO_PROTOCOL = 'tidegate.v1.proto';
const BEARER = 'bearer.';
const PROTOCOL_HEADER = 'header sec-websocket-protocol';

/** RFC 6455 section 4.1: 16 bytes in base64. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const BASE64URL = /^[A-Za-z0-9_-]+$/;

function refused(http: number, message: string, headers: Readonly<Record<string, string>> = {}): HttpError {
  const code = http === 403 ? Code.PERMISSION_DENIED : Code.INVALID_ARGUMENT;
  return new HttpError(code, message, { http, headers });
}

/** Throws HttpError 405 or 426, or INVALID_ARGUMENT, for a request that is no WebSocket handshake of version 13. */
export function checkHandshake({ method, headers }: IncomingMessage): void {
  if (method !== 'GET') throw refused(405, 'a WebSocket handshake is a GET', { allow: 'GET' });
  if (headers.upgrade?.toLowerCase() !== 'websocket') {
    throw invalid('header upgrade', 'only websocket is served here');
  }
  if (headers['sec-websocket-version'] !== '13') {
    throw refused(426, 'header sec-websocket-version: expected 13', {
      'sec-websocket-version': '13',
      upgrade: 'websocket',
    });
  }
  if (!KEY.test(headers['sec-websocket-key'] ?? '')) {
    throw invalid('header sec-websocket-key', 'expected 16 bytes in base64');
  }
}

/** Throws HttpError 414 for a request target over `limit` bytes; 0 is any. */
export function checkUrl({ url = '' }: IncomingMessage, limit: number): void {
  if (limit > 0 && url.length > limit) throw urlTooLong(limit);
}

/**
 * Throws HttpError 403 for a page of an origin that may not open WebSockets here (RFC 6455 section 10.2). Allowed are
 * the host that was asked (of trusted proxies, if there are any), every one of `origins` (`*` is all), and clients that send no Origin: no browsers.
 */
export function checkOrigin(request: IncomingMessage, { origins, trustedHops }: OriginRules): void {
  const { origin } = request.headers;
  if (origin === undefined || origins.includes('*')) return;
  if (isOwnHost(request, origin, trustedHops) || isNamed(origin, origins)) return;
  throw refused(403, 'header origin: pages of this origin may not open WebSockets here');
}

export interface Offer {
  /** Of ours, the first that the client named. */
  readonly protocol: Protocol | undefined;
  /** From `bearer.<base64url>`. */
  readonly token: string | undefined;
}

function readBearer(protocol: string): string {
  const text = protocol.slice(BEARER.length);
  if (!BASE64URL.test(text)) {
    throw new StatusError(Code.UNAUTHENTICATED, `${PROTOCOL_HEADER}: expected base64url after bearer.`);
  }
  return Buffer.from(text, 'base64url').toString();
}

/**
 * Reads the offered subprotocols. `required`: without one of ours, INVALID_ARGUMENT; else it is that only when something
 * was offered and nothing of ours, since a browser fails a connection whose server picks none of its offer (WHATWG
 * WebSockets, "establish a WebSocket connection"). Throws StatusError UNAUTHENTICATED for a bearer that is not base64url.
 */
export function readOffer({ headers }: IncomingMessage, required: boolean): Offer {
  const header = headers['sec-websocket-protocol'];
  const offered = header === undefined ? [] : header.split(',').map((one) => one.trim());
  if (!offered.every((one) => TOKEN.test(one)) || new Set(offered).size !== offered.length) {
    throw invalid(PROTOCOL_HEADER, 'expected different names, separated by commas');
  }
  const bearers = offered.filter((one) => one.startsWith(BEARER));
  if (bearers.length > 1) throw invalid(PROTOCOL_HEADER, 'more than one bearer.');
  const protocol = pickProtocol(offered);
  if (protocol === undefined && (required || offered.length > 0)) {
    throw invalid(PROTOCOL_HEADER, `offer ${JSON_PROTOCOL} or ${PROTO_PROTOCOL}`);
  }
  return { protocol, token: bearers[0] === undefined ? undefined : readBearer(bearers[0]) };
}

/** The first of ours: never the bearer's. */
export function pickProtocol(offered: Iterable<string>): Protocol | undefined {
  for (const one of offered) if (one === JSON_PROTOCOL || one === PROTO_PROTOCOL) return one;
  return undefined;
}

export interface Refusal {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly error: StatusError;
  readonly codec: Codec;
  readonly http: ErrorConfig;
  /** Request id, where the caller is known. */
  readonly id: string | undefined;
}

/** Answers a handshake like any refused HTTP call, and closes the connection. */
export function refuse({ request, socket, error, codec, http, id }: Refusal): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as NetSocket);
  response.once('finish', () => {
    response.detachSocket(socket as NetSocket);
    (socket as NetSocket).destroySoon();
  });
  sendError(response, error, { codec, http, id });
}

/**
 * Listens to a client whose handshake is not answered yet: one that leaves is noticed only by reading. `stop` gives the
 * head with what came meanwhile, to be read again.
 */
export function listenEarly(socket: Duplex, head: Buffer, gone: () => void): { stop(): Buffer } {
  const chunks = [head];
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    // A client that sends before it was accepted is read no further.
    socket.pause();
  };
  socket.on('data', onData).once('end', gone).once('close', gone);
  return {
    stop() {
      socket.off('data', onData).off('end', gone).off('close', gone);
      if (socket.isPaused()) socket.resume();
      return chunks.length === 1 ? head : Buffer.concat(chunks);
    },
  };
}
