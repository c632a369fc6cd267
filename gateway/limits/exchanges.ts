/** Requests and WebSockets that each client has open behind proxies, whose connections say nothing of who comes through them. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Tally, tooMany } from '../../src/policy/limit.js';

export interface Exchanges {
  /** Counts a request until its response is over. */
  request(request: IncomingMessage, response: ServerResponse): void;
  /** Counts a handshake until its socket is gone. */
  upgrade(request: IncomingMessage, socket: Duplex): void;
  /** Throws LimitError for a client that has too many open, the one that is asked about among them. */
  check(peer: string): void;
}

export function createExchanges(perAddress: number, peerOf: (request: IncomingMessage) => string): Exchanges {
  const open = new Tally();
  const count = (request: IncomingMessage, over: ServerResponse | Duplex): void => {
    const peer = peerOf(request);
    if (peer === '') return;
    open.enter(peer);
    over.once('close', () => open.leave(peer));
  };
  return {
    request: count,
    upgrade: count,
    check(peer) {
      if (open.of(peer) > perAddress) throw tooMany('connections_per_address', perAddress, `address:${peer}`);
    },
  };
}
