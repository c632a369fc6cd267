/** The HTTP server: listening, what its parser refuses, and closing without cutting an answer short. */
import { randomUUID } from 'node:crypto';
import { createServer, type RequestListener, type Server, type ServerOptions, STATUS_CODES } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createCodec } from '../../src/codec/codec.js';
import { badRequest, errorDetailTypes } from '../../src/details.js';
import { Code, StatusError } from '../../src/status.js';
import type { Config } from '../config.js';
import type { Certificates } from '../tls/certificates.js';
import { HttpError, headersTooLarge, httpStatus } from './error.js';
import { type ErrorConfig, printError } from './error_body.js';
import { createTurns } from './turns.js';
import { declineUpgrade, isWebSocket, type UpgradeListener } from './upgrade.js';

/** Between two looks at connections whose headers do not come, in ms: at most, and at least. */
const CHECK_AT_MOST_MS = 5_000;
const CHECK_AT_LEAST_MS = 50;

export interface Listener {
  /** Rejects with the listen error, for example EADDRINUSE. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /** Stops accepting. Resolves when every connection has ended; those without a request end at once. */
  stopAccepting(): Promise<void>;
  /** Ends connections that have no request, and after `graceMs` the others. */
  end(graceMs: number): Promise<void>;
}

export interface ListenerOptions {
  readonly config: Config;
  /** With them https alone is spoken; default: plaintext. */
  readonly certificates?: Certificates | undefined;
  readonly handle: RequestListener;
  /** For WebSocket handshakes; any other offer to upgrade is declined. */
  readonly upgrade: UpgradeListener;
  /** Told of headers that are too large or too slow; default: nobody. */
  readonly reached?: (limit: string) => void;
  /** Called with the server before it listens. */
  readonly guard?: (server: Server | SecureServer) => void;
  /** Called once it listens, for what asks this gateway itself, as an issuer behind it may be asked for its keys. */
  readonly listening?: () => void;
}

/** The parts of HTTP that a parser's error is about; of the others nothing is known but that it is no HTTP. */
const PLACES: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD: 'method',
  HPE_INVALID_URL: 'path',
  HPE_INVALID_VERSION: 'version',
  HPE_INVALID_HEADER_TOKEN: 'headers',
  HPE_INVALID_CONTENT_LENGTH: 'header content-length',
  HPE_UNEXPECTED_CONTENT_LENGTH: 'header content-length',
  HPE_INVALID_TRANSFER_ENCODING: 'header transfer-encoding',
  HPE_INVALID_CHUNK_SIZE: 'body',
};

/** For answers before there is a contract, or to nobody in particular. */
export const refusalCodec = createCodec(errorDetailTypes);

function parserError({ code = '' }: NodeJS.ErrnoException): StatusError {
  if (code === 'HPE_HEADER_OVERFLOW') return headersTooLarge('headers: too large');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new HttpError(Code.DEADLINE_EXCEEDED, 'the headers of the request did not come in time', {
      http: 408,
      limit: 'headers_timeout',
    });
  }
  const place = PLACES[code] ?? 'request';
  return new StatusError(Code.INVALID_ARGUMENT, `${place}: not valid HTTP`, {
    details: [badRequest([{ field: place, description: 'not valid HTTP' }])],
  });
}

/** HTTP that the parser refuses, answered as far as a broken connection allows: nothing is known of what was asked. */
function createParserErrorListener(http: ErrorConfig, reached: (limit: string) => void) {
  const codec = refusalCodec;
  return (thrown: NodeJS.ErrnoException, socket: Duplex): void => {
    const error = parserError(thrown);
    if (error.limit !== undefined) reached(error.limit);
    // Behind an answer that has begun, another one would be taken for a part of it.
    const answering =
      (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent === true;
    if (thrown.code === 'ECONNRESET' || !socket.writable || answering) {
      socket.destroy();
      return;
    }
    const status = httpStatus(error);
    const id = randomUUID();
    const { type, text } = printError({ codec, http, id, error, status, shape: http.errors, path: '' });
    const lines = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      'connection: close',
      `content-type: ${type}`,
      `content-length: ${Buffer.byteLength(text)}`,
      `x-request-id: ${id}`,
    ];
    // Whether the client closes its side or not: there is nothing more to say.
    socket.end(`${lines.join('\r\n')}\r\n\r\n${text}`, () => socket.destroy());
  };
}

/** For the handshake of TLS, in ms. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** New certificates are those of new connections: the others go on. */
function createHttpsServer(
  options: ServerOptions,
  certificates: Certificates,
  handle: RequestListener,
): SecureServer {
  const pems = () => {
    const { cert, key } = certificates.current();
    return { ...(cert && { cert }), ...(key && { key }), minVersion: 'TLSv1.2' as const };
  };
  const secure = { ALPNProtocols: ['http/1.1'], handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
  const server = createSecureServer({ ...options, ...pems(), ...secure }, handle);
  const stop = certificates.onChange(() => server.setSecureContext(pems()));
  server.on('close', stop);
  // No answer could be read.
  server.on('tlsClientError', (_, socket) => socket.destroy());
  return server;
}

export function createListener(given: ListenerOptions): Listener {
  const { config, certificates, handle, upgrade, reached = () => {}, guard, listening } = given;
  const { headersMs, keepAliveMs } = config.timeouts;
  const turns = createTurns(handle);
  const options: ServerOptions = {
    maxHeaderSize: config.limits.headerBytes,
    // Streams from clients last as long as they last: no limit on the time of a whole request. Node takes the limit on
    // the headers from it, so that one is named.
    requestTimeout: 0,
    headersTimeout: headersMs,
    connectionsCheckingInterval: checkEveryMs(headersMs),
    keepAliveTimeout: keepAliveMs,
  };
  const server =
    certificates === undefined
      ? createServer(options, turns.take)
      : createHttpsServer(options, certificates, turns.take);
  // By default Node drops what comes after the 2,000th header, framing and identity included. Their size is limited.
  server.maxHeadersCount = 0;
  server.on('clientError', createParserErrorListener(config.http, reached));
  guard?.(server);
  if (listening !== undefined) server.once('listening', listening);
  server.on('upgrade', (request, socket, head) => {
    // The connection still owes an answer, which the new protocol would be mixed with.
    if (turns.isBusy(socket)) socket.destroy();
    else if (isWebSocket(request)) upgrade(request, socket, head);
    else declineUpgrade(server, request, socket, head);
  });
  return {
    listen: () => listen(server, config),
    stopAccepting: () =>
      new Promise((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
      }),
    async end(graceMs) {
      server.closeIdleConnections();
      await new Promise((resolve) => setTimeout(resolve, graceMs));
      server.closeAllConnections();
    },
  };
}

function checkEveryMs(headersMs: number): number {
  if (headersMs === 0) return CHECK_AT_MOST_MS;
  return Math.min(Math.max(headersMs / 4, CHECK_AT_LEAST_MS), CHECK_AT_MOST_MS);
}

function listen(
  server: Server | SecureServer,
  { host, port }: Config,
): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({ host, port: (server.address() as AddressInfo).port });
    });
  });
}
