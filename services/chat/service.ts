/** chat.v1.ChatService: the contract's methods over the rooms. */
import { type ChatServiceServer, ChatServiceService, type RoomEvent } from '../../gen/chat/v1/chat.js';
import { userOf } from '../caller.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { check } from '../validation.js';
import { joinRoom } from './join.js';
import type { Rooms } from './rooms.js';

export function createChatService(rooms: Rooms, { unary, serverStream, bidi }: Handlers): Service {
  const implementation: ChatServiceServer = {
    createRoom: unary(({ room }, caller) => {
      check(room !== undefined, 'room', 'is required');
      return rooms.create(room.roomId, room.title, userOf(caller)).state();
    }),
    getRoom: unary(({ room }) => rooms.get(room).state()),
    postMessage: unary(({ room, text }, caller) => rooms.post(room, userOf(caller), text)),
    listMessages: unary((request) => rooms.list(request)),
    watchRoom: serverStream(({ room: name, afterSequence }, { signal }) => {
      const room = rooms.get(name);
      const { events, position } = room.replay(afterSequence);
      return replayThen(events, room.feed.follow(position, signal));
    }),
    joinRoom: bidi((requests, context) => joinRoom(rooms, requests, context)),
  };
  return { definition: ChatServiceService, implementation };
}

async function* replayThen(
  events: readonly RoomEvent[],
  live: AsyncIterable<RoomEvent>,
): AsyncGenerator<RoomEvent, void> {
  yield* events;
  yield* live;
}
