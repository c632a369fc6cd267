/** chat.v1.ChatService: the contract's methods over the rooms. */
import { type ChatServiceServer, ChatServiceService } from '../../gen/chat/v1/chat.js';
import { userOf } from '../caller.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { check } from '../validation.js';
import { joinRoom } from './join.js';
import type { Rooms } from './rooms.js';

export function createChatService(rooms: Rooms, { unary, serverStream, bidi }: Handlers): Service {
  const implementation: ChatServiceServer = {
    createRoom: unary(async ({ room }, caller) => {
      check(room !== undefined, 'room', 'is required');
      return (await rooms.create(room.roomId, room.title, userOf(caller))).state();
    }),
    getRoom: unary(async ({ room }) => (await rooms.get(room)).state()),
    postMessage: unary(({ room, text }, caller) => rooms.post(room, userOf(caller), text)),
    listMessages: unary((request) => rooms.list(request)),
    watchRoom: serverStream(async ({ room: name, afterSequence, after }, { signal, beginsAt }) => {
      const room = await rooms.get(name);
      const isNumbered = after === undefined;
      check(isNumbered || afterSequence === undefined, 'after', 'not together with after_sequence');
      const stream = isNumbered ? room.follow(afterSequence, signal) : room.followAfter(after, signal);
      const { events, position } = await stream;
      beginsAt(position);
      return events;
    }),
    joinRoom: bidi((requests, context) => joinRoom(rooms, requests, context)),
  };
  return { definition: ChatServiceService, implementation };
}
