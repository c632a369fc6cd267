/** A stream of one client whose service has positions: the service keeps the history, the cursor says where in it the client is. */
import type { Call, Invoke, Reply } from '../call.js';
import { type Cursors, placeOfToken } from './cursor.js';
import type { StreamEvent } from './feed.js';
import { tokenOfWish, type Wish } from './locate.js';
import { messagesOf } from './messages.js';
import type { Positions } from './positions.js';
import { pumpFeed } from './pump.js';
import { openSource, type Source } from './source.js';
import type { StreamId } from './stream_id.js';

export interface PrivateOptions {
  readonly call: Call;
  readonly invoke: Invoke;
  readonly id: StreamId;
  /** The request as the client made it. */
  readonly request: Uint8Array;
  readonly positions: Positions;
  readonly cursors: Cursors;
  readonly wish: Wish;
  readonly patienceMs: number;
}

/** Resolves when the service has accepted; rejects with its refusal. */
export async function openPrivate(options: PrivateOptions): Promise<Reply> {
  const { call, invoke, request, positions, wish, patienceMs } = options;
  const { signal } = call;
  const token = tokenOfWish(wish, positions);
  const source = await openSource({ invoke, call, request, positions, token, signal, patienceMs });
  // A place without a position was a stream of which its client had seen nothing: what it has missed, nobody knows.
  const unknown = wish.kind === 'place' && token === undefined ? 'epoch_changed' : undefined;
  const reset = wish.kind === 'none' ? wish.reason : (source.lost ?? unknown);
  const print = (position: Uint8Array | undefined): string =>
    options.cursors.print(options.id, placeOfToken(position));
  const cursor = print(source.position);
  const first: StreamEvent[] = reset === undefined ? [] : [{ kind: 'reset', reason: reset, cursor }];
  const feed = pumpFeed({
    events: eventsOf(first, source, print),
    trailers: source.trailers,
    signal,
    resumable: true,
    resumed: wish.kind === 'place' && reset === undefined,
    replay: false,
    cursor,
  });
  return {
    headers: source.headers,
    messages: messagesOf(feed, call.signal),
    trailers: source.trailers,
    feed,
  };
}

/** An iterator of its own, so that leaving it reaches the service also while it waits for a message. */
function eventsOf(
  first: StreamEvent[],
  { events }: Source,
  print: (position: Uint8Array | undefined) => string,
): AsyncIterableIterator<StreamEvent, undefined> {
  return {
    async next() {
      const before = first.shift();
      if (before !== undefined) return { done: false, value: before };
      const next = await events.next();
      if (next.done === true) return { done: true, value: undefined };
      const cursor = print(next.value.token);
      const { value } = next;
      if (value.kind === 'message')
        return { done: false, value: { kind: 'message', message: value.message, cursor } };
      return { done: false, value: { kind: 'reset', reason: value.reason, cursor } };
    },
    async return() {
      await events.return?.(undefined);
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
