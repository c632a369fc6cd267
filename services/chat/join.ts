/** Being in a room: the caller's messages go in while the room's events come out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type JoinRoomRequest, RoomEvent, RoomEvent_Type as Type } from '../../gen/chat/v1/chat.js';
import { userOf } from '../caller.js';
import { merge } from '../channels/merge.js';
import type { Context } from '../handlers.js';
import { check } from '../validation.js';
import type { Room, Visit } from './room.js';
import { checkText, type Rooms } from './rooms.js';

/** Accepted when the first request has named a room that there is, and the caller is in it. */
export async function joinRoom(
  rooms: Rooms,
  requests: AsyncIterable<JoinRoomRequest>,
  { caller, signal }: Omit<Context, 'beginsAt'>,
): Promise<AsyncIterable<RoomEvent>> {
  const user = userOf(caller);
  const incoming = requests[Symbol.asyncIterator]();
  const { value: first, done } = await incoming.next();
  check(done !== true, 'room', 'is required in the first message');
  const room = await rooms.get(first.room);
  // Ends the reading of the room, when the caller has left by itself too.
  const over = new AbortController();
  const leave = () => over.abort();
  signal.addEventListener('abort', leave, { once: true });
  const visit = await room.enter(user, first.afterSequence, over.signal);
  const speaker: Speaker = { rooms, room, user, signal, said: 0n };
  const listen = async () => {
    for (
      let next: IteratorResult<JoinRoomRequest> = { value: first };
      next.done !== true;
      next = await incoming.next()
    ) {
      await hear(speaker, next.value);
    }
  };
  return talk(visit, { speaker, listen, leave });
}

/** Who is in the room by this stream. */
interface Speaker {
  readonly rooms: Rooms;
  readonly room: Room;
  readonly user: string;
  readonly signal: AbortSignal;
  /** The number of the last message that came in by this stream. */
  said: bigint;
}

interface Talk {
  readonly speaker: Speaker;
  /** Resolves when the caller has ended its requests, rejects at one that is wrong. */
  readonly listen: () => Promise<void>;
  /** Ends the events. */
  readonly leave: () => void;
}

async function* talk(
  { stay, joined, events }: Visit,
  { speaker, listen, leave }: Talk,
): AsyncGenerator<RoomEvent, void> {
  let leaving = false;
  /** What the others were told of the caller's leaving. */
  let left: RoomEvent | undefined;
  let { sequence } = joined;
  const ending = async function* () {
    await listen();
    leaving = true;
    yield { hasLeft: await stay.leave() };
  };
  try {
    yield joined;
    // Undefined as long as the caller is there.
    let isTold: boolean | undefined;
    for await (const next of merge<RoomEvent | { readonly hasLeft: boolean }>([events, ending()])) {
      if ('hasLeft' in next) isTold = next.hasLeft;
      else if (leaving && next.type === Type.LEFT && next.user === speaker.user) left = next;
      else {
        ({ sequence } = next);
        yield next;
      }
      const isComplete = isTold !== undefined && sequence >= speaker.said && (left !== undefined || !isTold);
      if (!isComplete) continue;
      yield left ?? leavingOf(speaker.user, sequence);
      return;
    }
  } finally {
    leave();
    await stay.leave();
  }
}

/** For a caller who is still in the room by another stream: the others are told nothing. */
function leavingOf(user: string, sequence: bigint): RoomEvent {
  return RoomEvent.fromPartial({ type: Type.LEFT, sequence, user, eventTime: new Date() });
}

async function hear(speaker: Speaker, request: JoinRoomRequest): Promise<void> {
  const { rooms, room, user, signal } = speaker;
  check(
    request.room === '' || request.room === room.name,
    'room',
    `must be empty or ${room.name}, which was joined`,
  );
  const { action } = request;
  if (action?.$case === 'typing' && action.value) await room.typing(user);
  if (action?.$case !== 'text') return;
  checkText(action.value);
  // Here nothing needs to be refused: until the wait is over no further request is read, and flow control slows the caller.
  for (let wait = rooms.waitOf(user); wait > 0; wait = rooms.waitOf(user))
    await sleep(wait, undefined, { signal });
  const { sequence } = await room.say(user, action.value);
  speaker.said = sequence;
}
