/** Writing a streamed response at the client's pace. */
import type { ServerResponse } from 'node:http';

/**
 * Resolves when it is safe to write more: at once while the socket takes it, else on `drain`, or when the client is
 * gone (the caller's signal tells that; a wait that never ends would leak the stream).
 */
export function write(response: ServerResponse, chunk: string | Uint8Array): Promise<void> | undefined {
  if (response.destroyed || response.write(chunk)) return undefined;
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}
