/** Writing a streamed response at the client's pace, and breaking it off. */
import type { ServerResponse } from 'node:http';

/**
 * Resolves when it is safe to write more: at once while the socket takes it, else on `drain`, or when the client is
 * gone (the caller's signal tells that; a wait that never ends would leak the stream).
 */
export function write(response: ServerResponse, chunk: string | Uint8Array): Promise<void> | undefined {
  if (response.destroyed || response.write(chunk)) return undefined;
  return drained(response);
}

/** Resolves when the socket takes more, or the client is gone. Only for a response that is neither drained nor destroyed. */
export function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}

/**
 * Ends a response so that it cannot look complete. The end of an HTTP/1.0 response is the end of its connection, so that a reset
 * alone tells the two apart.
 */
export function cut(response: ServerResponse): void {
  if (response.req.httpVersionMajor === 1 && response.req.httpVersionMinor === 0) {
    response.socket?.resetAndDestroy();
  }
  response.destroy();
}

/**
 * The answer is written, but for what the client has not taken yet: from now on it takes a part of it every `ms`, or is cut off; 0 is never. The rest
 * of a large answer would else be held for as long as the client likes.
 */
export function hurry(response: ServerResponse, ms: number): void {
  const { socket } = response;
  if (ms === 0 || socket === null || socket.writableLength === 0) return;
  // Node looks whether anything has left since, and destroys a connection on which nobody listens to its timeout.
  socket.setTimeout(ms);
  response.once('finish', () => {
    // With a time for idle connections, Node has just set that.
    if (socket.timeout === ms) socket.setTimeout(0);
  });
}
