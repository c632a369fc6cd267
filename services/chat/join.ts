/** Being in a room: the caller's messages go in while the room's events come out. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JoinRoomRequest, RoomEvent } from '../../gen/chat/v1/chat.js';
import { userOf } from '../caller.js';
import type { Context } from '../handlers.js';
import { check } from '../validation.js';
import type { Room } from './room.js';
import { checkText, type Rooms } from './rooms.js';

/** Accepted when the first request has named a room that there is. */
export async function joinRoom(
  rooms: Rooms,
  requests: AsyncIterable<JoinRoomRequest>,
  { caller, signal }: Context,
): Promise<AsyncIterable<RoomEvent>> {
  const user = userOf(caller);
  const incoming = requests[Symbol.asyncIterator]();
  const { value: first, done } = await incoming.next();
  check(done !== true, 'room', 'is required in the first message');
  const room = rooms.get(first.room);
  // Before joining: who asks for what is no longer kept has not been here.
  room.replay(first.afterSequence);
  const listen = async () => {
    for (
      let next: IteratorResult<JoinRoomRequest> = { value: first };
      next.done !== true;
      next = await incoming.next()
    ) {
      await hear(rooms, room, { user, request: next.value, signal });
    }
  };
  return talk(room, { user, afterSequence: first.afterSequence, listen, signal });
}

interface Talk {
  readonly user: string;
  readonly afterSequence: bigint | undefined;
  /** Resolves when the caller has ended its requests, rejects at one that is wrong. */
  readonly listen: () => Promise<void>;
  readonly signal: AbortSignal;
}

async function* talk(
  room: Room,
  { user, afterSequence, listen, signal }: Talk,
): AsyncGenerator<RoomEvent, void> {
  const over = new AbortController();
  const leave = () => over.abort();
  let left: RoomEvent | undefined;
  const joined = room.join(user);
  signal.addEventListener('abort', leave);
  try {
    const { events, position } = room.replay(afterSequence);
    const listening = listen().finally(leave);
    // Awaited below; until then, a failure is not an unhandled one.
    listening.catch(() => {});
    let seen = position;
    // Replayed messages come after this event, so for this caller its position is the one asked for.
    yield { ...joined, sequence: afterSequence ?? joined.sequence };
    yield* events;
    for await (const event of room.feed.follow(position, over.signal)) {
      seen += 1n;
      yield event;
    }
    if (signal.aborted) return;
    await listening;
    const rest = room.feed.after(seen);
    left = room.leave(user);
    yield* rest;
    yield left;
  } finally {
    signal.removeEventListener('abort', leave);
    if (left === undefined) room.leave(user);
  }
}

interface Heard {
  readonly user: string;
  readonly request: JoinRoomRequest;
  readonly signal: AbortSignal;
}

async function hear(rooms: Rooms, room: Room, { user, request, signal }: Heard): Promise<void> {
  check(
    request.room === '' || request.room === room.name,
    'room',
    `must be empty or ${room.name}, which was joined`,
  );
  const { action } = request;
  if (action?.$case === 'typing' && action.value) room.typing(user);
  if (action?.$case !== 'text') return;
  checkText(action.value);
  // Here nothing needs to be refused: until the wait is over no further request is read, and flow control slows the caller.
  for (let wait = rooms.waitOf(user); wait > 0; wait = rooms.waitOf(user))
    await sleep(wait, undefined, { signal });
  room.say(user, action.value);
}
