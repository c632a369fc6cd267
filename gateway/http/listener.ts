/** The HTTP server: listening, what its parser refuses, and closing without cutting an answer short. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Code } from '../../src/status.js';
import type { Config } from '../config.js';
import { declineUpgrade, isWebSocket, type UpgradeListener } from './upgrade.js';

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
  readonly handle: RequestListener;
  /** For WebSocket handshakes; any other offer to upgrade is declined. */
  readonly upgrade: UpgradeListener;
}

/** HTTP that the parser refuses, answered as far as a broken connection allows. */
function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const tooLarge = error.code === 'HPE_HEADER_OVERFLOW';
  const line = tooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  const message = tooLarge ? 'headers: too large' : 'the request is not valid HTTP';
  const body = JSON.stringify({ code: Code.INVALID_ARGUMENT, message, details: [] });
  socket.end(
    `HTTP/1.1 ${line}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

export function createListener({ config, handle, upgrade }: ListenerOptions): Listener {
  // Streams from clients last as long as they last: no limit on the time of a whole request.
  const server = createServer({ maxHeaderSize: config.limits.headerBytes, requestTimeout: 0 }, handle);
  server.on('clientError', onClientError);
  server.on('upgrade', (request, socket, head) => {
    if (isWebSocket(request)) upgrade(request, socket, head);
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

function listen(server: Server, { host, port }: Config): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve({ host, port: (server.address() as AddressInfo).port });
    });
  });
}
