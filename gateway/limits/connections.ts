/** How many connections a server has, in all and from one address: what is too much is turned away before anything is read of it. */
import type { Server } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { retryInfo } from '../../src/details.js';
import { Tally } from '../../src/policy/limit.js';
import { Code, StatusError } from '../../src/status.js';
import { type ErrorConfig, printError } from '../http/error_body.js';
import { refusalCodec } from '../http/listener.js';
import { addressKey } from './address.js';

export type ConnectionLimit = 'connections' | 'connections_per_address';

export interface GuardOptions {
  /** Connections in all; 0: any number. */
  readonly total: number;
  /** From one address; 0: any number, as behind proxies, where it says nothing. */
  readonly perAddress: number;
  readonly http: ErrorConfig;
  readonly reached: (limit: ConnectionLimit) => void;
}

export interface ConnectionGuard {
  /** Turns away what is too much on this server, from now on. */
  watch(server: Server | SecureServer): void;
  /** Connections that are open. */
  readonly open: () => number;
}

/** Turned away connections that are waited for, so that their clients read why. Beyond these, they are cut. */
const MOST_LEAVING = 256;
/** How long each is waited for, in ms. */
const LEAVE_MS = 500;
const RETRY_SECONDS = 2;

const isEncrypted = (server: Server | SecureServer): boolean => server.listenerCount('secureConnection') > 0;

export function createConnectionGuard({ total, perAddress, http, reached }: GuardOptions): ConnectionGuard {
  /** By connection: the address it is counted under. */
  const counted = new WeakMap<Socket, string>();
  const byAddress = new Tally();
  const answer = printRefusal(http);
  let open = 0;
  let leaving = 0;

  // One for all connections: there are many of them.
  function onClose(this: Socket): void {
    open--;
    const address = counted.get(this) ?? '';
    if (address !== '') byAddress.leave(address);
  }

  const turnAway = (socket: Socket, mayAnswer: boolean): void => {
    socket.on('error', () => {});
    if (!mayAnswer || leaving >= MOST_LEAVING) {
      socket.destroy();
      return;
    }
    leaving++;
    const timer = setTimeout(() => socket.destroy(), LEAVE_MS);
    socket.once('close', () => {
      leaving--;
      clearTimeout(timer);
    });
    // To close on what the client has sent would reset the connection, and it would see that instead of the answer.
    socket.resume().end(answer);
  };

  const limitOf = (address: string): ConnectionLimit | undefined => {
    if (total > 0 && open >= total) return 'connections';
    return perAddress > 0 && byAddress.of(address) >= perAddress ? 'connections_per_address' : undefined;
  };

  /** Whether the connection may stay. */
  const admit = (socket: Socket, mayAnswer: boolean): boolean => {
    // One that is given back to the server, after a declined upgrade, is no new one.
    if (counted.has(socket)) return true;
    const address = perAddress > 0 ? addressKey(socket.remoteAddress) : '';
    const limit = limitOf(address);
    if (limit !== undefined) {
      reached(limit);
      turnAway(socket, mayAnswer);
      return false;
    }
    open++;
    counted.set(socket, address);
    if (address !== '') byAddress.enter(address);
    socket.on('close', onClose);
    return true;
  };

  return {
    open: () => open,
    watch(server) {
      // The server's own listener would put a parser on the connection, which costs more than all the rest.
      const own = server.listeners('connection') as ((socket: Socket) => void)[];
      const mayAnswer = !isEncrypted(server);
      server.removeAllListeners('connection');
      server.on('connection', (socket: Socket) => {
        if (!admit(socket, mayAnswer)) return;
        for (const listener of own) listener.call(server, socket);
      });
    },
  };
}

/** 503 with everything that a client may look for, made once. */
function printRefusal(http: ErrorConfig): Buffer {
  const error = new StatusError(Code.UNAVAILABLE, 'connections: too many are open', {
    details: [retryInfo(RETRY_SECONDS * 1000)],
  });
  const context = { codec: refusalCodec, http: { ...http, requestInfo: false }, id: '' };
  const { type, text } = printError({ ...context, error, status: 503, shape: http.errors, path: '' });
  const head = [
    'HTTP/1.1 503 Service Unavailable',
    'connection: close',
    `retry-after: ${RETRY_SECONDS}`,
    `content-type: ${type}`,
    `content-length: ${Buffer.byteLength(text)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${text}`);
}
