/** One request at a time on a connection, however many a client sends ahead (RFC 9112 section 9.3.2, pipelining). */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** Requests that may wait behind the one that is being served; a client that sends more is cut off. */
const MAX_WAITING = 100;

export interface Turns {
  /**
   * Serves a request when those before it on its connection are answered. Node hands over every request that it has
   * parsed, and tells nobody when a client leaves whose turn has not come: its calls would go on for ever.
   */
  readonly take: RequestListener;
  /** Whether a request on this connection is not answered yet. */
  isBusy(socket: Duplex): boolean;
}

export function createTurns(serve: RequestListener): Turns {
  /** Requests being served or waiting, by connection; without those that have none. */
  const unanswered = new WeakMap<Duplex, number>();

  const run = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    response.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1));
    serve(request, response);
  };
  return {
    take(request, response) {
      const { socket } = request;
      const count = (unanswered.get(socket) ?? 0) + 1;
      unanswered.set(socket, count);
      // A response has its socket from the start, unless it has to wait for one before it.
      if (response.socket !== null) run(request, response);
      else if (count > MAX_WAITING) socket.destroy();
      else response.once('socket', () => run(request, response));
    },
    isBusy: (socket) => (unanswered.get(socket) ?? 0) > 0,
  };
}
