/** Where a client of a shared stream begins: from what it sent to a place in the ring, in the log or in the service's own history. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../call.js';
import { type Place, placeOfToken } from './cursor.js';
import type { Start } from './delivery.js';
import type { ResetReason } from './feed.js';
import { readSource } from './history.js';
import type { Hub } from './hub.js';
import type { Positions } from './positions.js';
import { openSource } from './source.js';

/** What a client wants to see first. */
export type Wish =
  | { readonly kind: 'now' }
  /** All that is kept. */
  | { readonly kind: 'earliest' }
  /** What follows a place that it has seen. */
  | { readonly kind: 'place'; readonly place: Place }
  /** What it sent is no place of this stream. */
  | { readonly kind: 'none'; readonly reason: ResetReason };

/** Where the service is asked to begin for it; undefined: where the request says. */
export function tokenOfWish(wish: Wish, positions: Positions | undefined): Uint8Array | undefined {
  if (wish.kind === 'earliest') return positions?.earliest;
  return wish.kind === 'place' ? wish.place.token : undefined;
}

export interface Located extends Start {
  readonly resumed: boolean;
}

/** How long the ring may take to come to a position that another client has just begun with, in ms. */
const TOKEN_WAIT_MS = 250;

/** Rejects with StatusError when the service refuses. */
export async function locate(hub: Hub, call: Call, wish: Wish): Promise<Located> {
  const lost = hub.takeLost();
  if (lost !== undefined) return fromOldest(hub, lost);
  const { positions } = hub.options;
  switch (wish.kind) {
    case 'now':
      return fromNow(hub, undefined);
    case 'none':
      return fromNow(hub, wish.reason);
    case 'earliest':
      return positions === undefined ? fromOldest(hub, undefined) : byToken(hub, call, positions.earliest);
    case 'place':
      return fromPlace(hub, call, wish.place);
  }
}

function fromNow(hub: Hub, reset: ResetReason | undefined): Located {
  const { ring } = hub;
  const { place } = hub.log;
  return {
    at: ring.end,
    after: place,
    reset,
    target: undefined,
    cursor: hub.log.print(place),
    resumed: false,
  };
}

/** All that the log has: for those who ask for it, and for those who have to begin anew. */
function fromOldest(hub: Hub, reset: ResetReason | undefined): Located {
  const beginning = { offset: 0, nonce: 0 };
  const cursor = hub.log.print({ ...hub.log.place, ...beginning });
  return { at: 'log', after: beginning, reset, target: hub.log.place.offset, cursor, resumed: false };
}

async function fromPlace(hub: Hub, call: Call, place: Place): Promise<Located> {
  const { token } = place;
  const reset = place.epoch === hub.log.place.epoch ? await checkLog(hub, place) : 'epoch_changed';
  if (reset === undefined) return onLog(hub, place);
  // Our log does not know it: the service's own may.
  return token === undefined ? fromOldest(hub, reset) : byToken(hub, call, token);
}

function onLog(hub: Hub, place: Place): Located {
  const at = hub.log.behind(place) ?? 'log';
  return {
    at,
    after: place,
    reset: undefined,
    target: hub.log.place.offset,
    cursor: hub.log.print(place),
    resumed: true,
  };
}

/** Whether the log still has what follows a place; if not, why. */
async function checkLog(hub: Hub, { offset, nonce }: Place): Promise<ResetReason | undefined> {
  if (hub.log.behind({ offset, nonce }) !== undefined) return undefined;
  const { logs, id } = hub.options;
  const { entries, tail } = await logs.read(id.name, { after: Math.max(offset - 1, 0), limit: 1 });
  const [entry] = entries;
  if (entry?.offset === offset) return entry.nonce === nonce ? undefined : 'log_diverged';
  if (entry?.previous === offset) return undefined;
  // Offsets may have holes: in what is kept, one that is missing is of a tail that was lost.
  return offset < tail.first ? 'history_truncated' : 'log_diverged';
}

/** Behind a position of the service's own. */
async function byToken(hub: Hub, call: Call, token: Uint8Array): Promise<Located> {
  const number = await numberBehind(hub, token);
  if (number !== undefined) {
    const after = hub.ring.at(number - 1);
    const { cursor, record } = after;
    // A call that has just begun there: only the service knows how much of the past it is about to send.
    const target = record.kind === 'begin' && hub.isYoung ? undefined : hub.log.place.offset;
    return { at: number, after, reset: undefined, target, cursor, resumed: true };
  }
  const source = await openSource(hub.sourceOptions(token, call.signal));
  const { lost } = source;
  const at = readSource({ source, print: (place) => hub.log.print(place) });
  const cursor = hub.log.print(placeOfToken(source.position ?? token));
  return { at, after: NOWHERE, reset: lost, target: undefined, cursor, resumed: lost === undefined };
}

/** A client that reads the service's history is nowhere in ours. */
const NOWHERE = { offset: 0, nonce: 0 };

/** A moment after its first client has begun, the stream may be about to reach what the second one has seen. */
async function numberBehind(hub: Hub, token: Uint8Array): Promise<number | undefined> {
  const until = Date.now() + TOKEN_WAIT_MS;
  for (;;) {
    const number = hub.ring.behindToken(token);
    if (number !== undefined || !hub.isYoung || Date.now() > until || hub.isClosed) return number;
    await Promise.race([hub.log.grown(), sleep(TOKEN_WAIT_MS / 10, undefined, { ref: false })]);
  }
}
