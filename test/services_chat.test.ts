/** The example chat service: every method over the network, with the generated client. */
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JoinRoomRequest, type ListMessagesRequest, RoomEvent_Type } from '../gen/chat/v1/chat.js';
import type { RunningServer } from '../services/server.js';
import { startServices } from '../services/services.js';
import { as, ask, connect, drain, eventually, refusal, refusalOf, take } from './support/services_client.js';

let server: RunningServer;
let clients: ReturnType<typeof connect>;

beforeAll(async () => {
  server = await startServices({
    graceMs: 500,
    chat: { rooms: 8, messages: 5, rate: { perSecond: 50, burst: 5 } },
  });
  clients = connect(server.address);
});
afterAll(async () => {
  clients.close();
  await server.close();
});

describe('chat', () => {
  const post = (room: string, text: string, user = as('ada')) =>
    ask(clients.chat, clients.chat.postMessage, { room, text }, user);
  const open = (roomId: string) => {
    const room = {
      roomId,
      title: '',
      creator: '',
      createTime: undefined,
      members: [],
      memberCount: 0,
      lastSequence: 0n,
    };
    return ask(clients.chat, clients.chat.createRoom, { room }, as('ada'));
  };
  const list = (request: Partial<ListMessagesRequest> & { room: string }) => {
    const defaults = { start: undefined, endTime: undefined, pageSize: 0 };
    return ask(clients.chat, clients.chat.listMessages, { ...defaults, ...request });
  };
  const texts = (messages: readonly { text: string }[]) => messages.map(({ text }) => text).join('');
  const say = (text: string) => JoinRoomRequest.fromPartial({ action: { $case: 'text', value: text } });
  const join = (user: string, request: Parameters<typeof JoinRoomRequest.fromPartial>[0]) => {
    const call = clients.chat.joinRoom(as(user));
    call.write(JoinRoomRequest.fromPartial(request));
    return call;
  };

  test('a room is opened once, under a name that a path can hold', async () => {
    expect(await open('harbour')).toMatchObject({ roomId: 'harbour', title: 'harbour', creator: 'ada' });
    const again = await refusalOf(open('harbour'));
    expect(again).toMatchObject({
      code: status.ALREADY_EXISTS,
      details: { ResourceInfo: { resourceName: 'harbour' } },
    });
    expect((await refusalOf(open('No Room'))).message).toMatch(/^room\.room_id: /);
    const room = await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' });
    expect(room).toMatchObject({ creator: 'system', memberCount: 0, lastSequence: 0n });
    expect((await refusalOf(ask(clients.chat, clients.chat.getRoom, { room: 'cellar' }))).code).toBe(5);
  });

  test('history is read by position and by time, and says what it has forgotten', async () => {
    await open('past');
    const said = [];
    for (const text of 'abcdefg') {
      said.push(await post('past', text, as(`author-${text}`)));
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
    expect(texts((await list({ room: 'past', pageSize: 2 })).messages)).toBe('fg');
    const page = await list({ room: 'past', start: { $case: 'afterSequence', value: 3n }, pageSize: 2 });
    expect([texts(page.messages), page.more, page.truncated]).toEqual(['de', true, false]);
    const all = await list({ room: 'past', start: { $case: 'afterSequence', value: 0n } });
    expect([texts(all.messages), all.more, all.truncated]).toEqual(['cdefg', false, true]);
    const from = said[4]?.createTime as Date;
    const byTime = await list({
      room: 'past',
      start: { $case: 'startTime', value: from },
      endTime: said[6]?.createTime,
    });
    expect([texts(byTime.messages), byTime.truncated]).toEqual(['ef', false]);
    expect((await refusalOf(list({ room: 'past', pageSize: -1 }))).code).toBe(status.INVALID_ARGUMENT);
  });

  test('who talks too fast is told how long to wait', async () => {
    const burst = await Promise.allSettled([...'1234567'].map((text) => post('lobby', text, as('fast'))));
    expect(burst.filter(({ status: outcome }) => outcome === 'fulfilled').length).toBeLessThan(7);
    const last = burst.findLast((each) => each.status === 'rejected');
    const { code, details } = refusal(last?.reason);
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    expect(details.RetryInfo).toHaveProperty('retryDelay');
    expect((await refusalOf(post('lobby', ''))).message).toMatch(/^text: /);
    expect((await refusalOf(post('lobby', 'x', as('')))).code).toBe(status.UNAUTHENTICATED);
  });

  test('a watcher gets what it missed and then what happens, without being there', async () => {
    await open('watched');
    for (const text of 'abc') await post('watched', text);
    const watcher = clients.chat.watchRoom({ room: 'watched', afterSequence: 1n, after: undefined });
    const missed = await take(watcher, 2);
    expect(texts(missed.map(({ message }) => message as { text: string }))).toBe('bc');
    await post('watched', 'd', as('bob'));
    const [event] = await take(watcher, 1);
    expect(event).toMatchObject({
      type: RoomEvent_Type.MESSAGE,
      sequence: 4n,
      user: 'bob',
      message: { text: 'd' },
    });
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'watched' })).members).toEqual([]);
    watcher.cancel();
    const future = await drain(
      clients.chat.watchRoom({ room: 'watched', afterSequence: 9n, after: undefined }),
    );
    expect(future.error?.code).toBe(status.OUT_OF_RANGE);
  });

  test('those in a room see each other come, type, talk and go', async () => {
    await open('shared');
    const { JOINED, TYPING, MESSAGE, LEFT } = RoomEvent_Type;
    const bob = join('bob', { room: 'shared' });
    expect(await take(bob, 1)).toMatchObject([{ type: JOINED, user: 'bob' }]);
    const eve = join('eve', { room: 'shared', action: { $case: 'text', value: 'hello' } });
    eve.write(JoinRoomRequest.fromPartial({ action: { $case: 'typing', value: true } }));
    eve.write(say('again'));
    eve.end();
    const seen = (await drain(eve)).messages;
    expect(seen.map(({ type }) => type)).toEqual([JOINED, MESSAGE, TYPING, MESSAGE, LEFT]);
    expect(await take(bob, 5)).toEqual(seen);
    bob.end();
    expect((await drain(bob)).messages).toMatchObject([{ type: LEFT, user: 'bob' }]);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'shared' })).memberCount).toBe(0);
  });

  test("a second connection of a user is nobody else's business", async () => {
    await open('twice');
    const first = join('bob', { room: 'twice' });
    await take(first, 1);
    const second = join('bob', { room: 'twice', afterSequence: 0n });
    second.end();
    expect((await drain(second)).messages).toMatchObject([{ type: 2, sequence: 0n }, { type: 3 }]);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'twice' })).members).toEqual(['bob']);
    first.end();
    expect((await drain(first)).messages).toMatchObject([{ type: RoomEvent_Type.LEFT }]);
  });

  test('in a room, who talks too fast is slowed down instead of refused', async () => {
    const call = join('talker', { room: 'lobby' });
    for (const text of 'abcdefghijklmnop') call.write(say(text));
    call.end();
    const { messages, error } = await drain(call);
    expect(error).toBeUndefined();
    expect(texts(messages.flatMap(({ message }) => message ?? []))).toBe('abcdefghijklmnop');
  });

  test('a wrong request ends the stream of who sent it, who has then left', async () => {
    const begin = async (user: string, request: Parameters<typeof join>[1]) =>
      (await drain(join(user, request))).error;
    expect((await begin('bob', { room: 'cellar' }))?.code).toBe(status.NOT_FOUND);
    expect((await begin('', { room: 'lobby' }))?.code).toBe(status.UNAUTHENTICATED);
    expect((await begin('bob', { room: 'lobby', afterSequence: 999n }))?.code).toBe(status.OUT_OF_RANGE);
    const silent = clients.chat.joinRoom(as('bob'));
    silent.end();
    expect((await drain(silent)).error?.details).toBe('room: is required in the first message');
    const moving = join('bob', { room: 'lobby' });
    moving.write(JoinRoomRequest.fromPartial({ room: 'past' }));
    expect((await drain(moving)).error?.details).toMatch(/^room: must be empty or lobby/);
    const members = async () => (await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' })).members;
    expect(await members()).toEqual([]);
  });

  test('who is cut off has left', async () => {
    const call = join('bob', { room: 'lobby' });
    await take(call, 1);
    call.cancel();
    await eventually(() => server.load().streams === 0);
    expect((await ask(clients.chat, clients.chat.getRoom, { room: 'lobby' })).memberCount).toBe(0);
  });
});
