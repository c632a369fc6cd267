/** Cancels a client stream so that the service cannot take what it has for the whole. */
import { addAbortSignal, Writable } from 'node:stream';

const ABORTED = AbortSignal.abort();

/**
 * Resets the HTTP/2 stream of a grpc-js call whose messages have not come to their end.
 *
 * grpc-js cancels by Http2Stream.close(), and that ends the writable side before it resets the stream: the service sees
 * END_STREAM, which is how a client stream is complete, and only then RST_STREAM. It may have stored half an upload by
 * then. A stream that is destroyed by an abort sends RST_STREAM (CANCEL) alone.
 *
 * grpc-js shows its streams to nobody, so its own fields are followed. Where they are not those of 1.14, nothing happens
 * here, and the cancel that follows is the plain one; test/upstream_reset.test.ts would tell.
 */
export function resetUnfinished(call: unknown): void {
  for (const stream of streamsOf(call)) {
    if (!stream.destroyed && !stream.writableEnded) addAbortSignal(ABORTED, stream);
  }
}

/** A resolving call holds a retrying one; that holds its attempts, load-balancing calls; each holds one on a subchannel. */
function streamsOf(call: unknown): Writable[] {
  const attempts = fieldOf(fieldOf(call, 'child'), 'underlyingCalls');
  if (!Array.isArray(attempts)) return [];
  return attempts.flatMap((attempt: unknown) => {
    const stream = fieldOf(fieldOf(fieldOf(attempt, 'call'), 'child'), 'http2Stream');
    return stream instanceof Writable ? [stream] : [];
  });
}

function fieldOf(owner: unknown, name: string): unknown {
  if (typeof owner !== 'object' || owner === null || !(name in owner)) return undefined;
  return (owner as Readonly<Record<string, unknown>>)[name];
}
