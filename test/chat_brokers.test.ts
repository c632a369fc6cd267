/** Chat on two servers over every kind of broker: the same rooms, numbers without holes, and nothing lost between them. */
import { randomUUID } from 'node:crypto';
import { type ServiceError, status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CreateRoomRequest, JoinRoomRequest, type RoomEvent, RoomEvent_Type } from '../gen/chat/v1/chat.js';
import { hubOver } from '../services/channels/hub.js';
import { Rooms } from '../services/chat/rooms.js';
import { createChatService } from '../services/chat/service.js';
import { createServer } from '../services/server.js';
import { startServices } from '../services/services.js';
import { type Cluster, KINDS, SERVERS } from './support/brokers.js';
import { accepted, as, ask, connect, drain, refusal, refusalOf, take } from './support/services_client.js';

const { MESSAGE, JOINED, LEFT } = RoomEvent_Type;
const LIMITS = { messages: 40, members: 3, rate: { perSecond: 10_000, burst: 10_000 } };

describe.each(KINDS.filter(({ missing }) => missing === undefined))('on $kind', ({ start }) => {
  let cluster: Cluster;
  let one: ReturnType<typeof connect>;
  let other: ReturnType<typeof connect>;

  beforeAll(async () => {
    cluster = await start();
    const servers = await Promise.all(
      cluster.nodes.map((broker) => {
        const rooms = new Rooms({ hub: hubOver(broker), limits: LIMITS, report: console.error });
        return createServer((handlers) => [createChatService(rooms, handlers)], { graceMs: 500 });
      }),
    );
    [one, other] = servers.map(({ address }) => connect(address)) as [typeof one, typeof other];
    return async () => {
      one.close();
      other.close();
      await Promise.all(servers.map((server) => server.close()));
      await cluster.close();
    };
  });

  const open = async () => {
    const room = `r${randomUUID()}`;
    const state = {
      roomId: room,
      title: '',
      creator: '',
      createTime: undefined,
      members: [],
      memberCount: 0,
    };
    await ask(one.chat, one.chat.createRoom, { room: { ...state, lastSequence: 0n } }, as('ada'));
    return room;
  };
  const post = (room: string, text: string, at = one) =>
    ask(at.chat, at.chat.postMessage, { room, text }, as('ada'));
  const list = (room: string, afterSequence: bigint) =>
    ask(other.chat, other.chat.listMessages, {
      room,
      start: { $case: 'afterSequence' as const, value: afterSequence },
      endTime: undefined,
      pageSize: 0,
    });
  const watch = (room: string, query: { afterSequence?: bigint; after?: string } = {}) =>
    other.chat.watchRoom({ room, afterSequence: undefined, after: undefined, ...query });
  const texts = (events: readonly RoomEvent[]) => events.map(({ message }) => message?.text).join(' ');

  test('a room that was opened at one is there at the other, and cannot be opened again', async () => {
    const room = await open();
    expect(await ask(other.chat, other.chat.getRoom, { room })).toMatchObject({
      roomId: room,
      creator: 'ada',
    });
    const state = {
      roomId: room,
      title: '',
      creator: '',
      createTime: undefined,
      members: [],
      memberCount: 0,
    };
    const again = ask(other.chat, other.chat.createRoom, { room: { ...state, lastSequence: 0n } }, as('bob'));
    expect((await refusalOf(again)).code).toBe(status.ALREADY_EXISTS);
    expect((await refusalOf(ask(other.chat, other.chat.getRoom, { room: 'nowhere' }))).code).toBe(5);
  });

  test('a room that several open at once is opened by one', async () => {
    const roomId = `r${randomUUID()}`;
    const room = {
      roomId,
      title: '',
      creator: '',
      createTime: undefined,
      members: [],
      memberCount: 0,
      lastSequence: 0n,
    };
    const opening = [one, other, one, other].map(({ chat }) =>
      ask(chat, chat.createRoom, { room }, as('ada')),
    );
    const outcomes = (await Promise.allSettled(opening)).map((each) => each.status);
    expect(outcomes.filter((outcome) => outcome === 'fulfilled')).toHaveLength(1);
  });

  test('what is said at both has one numbering without holes, which every watcher sees', async () => {
    const room = await open();
    const watching = watch(room, { afterSequence: 0n });
    const said = await Promise.all(
      Array.from({ length: 30 }, (_, n) => post(room, `${n}`, n % 2 === 0 ? one : other)),
    );
    const sequences = said.map(({ sequence }) => Number(sequence)).sort((a, b) => a - b);
    expect(sequences).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    const seen = await take(watching, 30);
    watching.cancel();
    expect(seen.map(({ sequence }) => Number(sequence))).toEqual(sequences);
    const { messages } = await list(room, 0n);
    expect(messages).toEqual(seen.map(({ message }) => message));
    for (const message of said) expect(messages).toContainEqual(message);
  });

  test('a watcher goes on after the position of any event, and after any number', async () => {
    const room = await open();
    const watching = watch(room);
    await accepted(watching);
    const joining = one.chat.joinRoom(as('bob'));
    joining.write(JoinRoomRequest.fromPartial({ room, action: { $case: 'text', value: 'hello' } }));
    await take(joining, 2);
    await post(room, 'again');
    joining.end();
    await drain(joining);
    const seen = await take(watching, 4);
    watching.cancel();
    expect(seen.map(({ type }) => type).sort()).toEqual([MESSAGE, MESSAGE, JOINED, LEFT]);
    for (const [index, { position }] of seen.entries()) {
      const rest = watch(room, { after: position });
      const expected = seen.slice(index + 1).map(({ type, user, message }) => ({ type, user, message }));
      const got = (await take(rest, expected.length)).map(({ type, user, message }) => ({
        type,
        user,
        message,
      }));
      rest.cancel();
      expect(got).toHaveLength(expected.length);
      for (const event of expected) expect(got).toContainEqual(event);
    }
    const second = watch(room, { afterSequence: 1n });
    expect(texts(await take(second, 1))).toBe('again');
    second.cancel();
  });

  test('history is bounded, and says what it has forgotten', async () => {
    const room = await open();
    const positions = watch(room);
    await accepted(positions);
    for (let n = 1; n <= 60; n += 1) await post(room, `${n}`);
    const [first] = await take(positions, 1);
    positions.cancel();
    const page = await list(room, 0n);
    expect(page.truncated).toBe(true);
    const oldest = Number(page.messages[0]?.sequence);
    expect(oldest).toBeGreaterThan(1);
    const whole = watch(room, { afterSequence: BigInt(oldest - 1) });
    expect((await take(whole, 1))[0]?.sequence).toBe(BigInt(oldest));
    whole.cancel();
    const all = watch(room, { after: '' });
    expect((await take(all, page.messages.length)).map(({ sequence }) => sequence)).toEqual(
      page.messages.map(({ sequence }) => sequence),
    );
    all.cancel();
    for (const query of [{ afterSequence: BigInt(oldest - 2) }, { after: first?.position as string }]) {
      const { error } = await drain(watch(room, query));
      expect(error?.code).toBe(status.OUT_OF_RANGE);
      expect(refusal(error as ServiceError).details.ErrorInfo?.reason).toBe('HISTORY_TRUNCATED');
    }
    const { error } = await drain(watch(room, { afterSequence: 61n }));
    expect(refusal(error as ServiceError).details.ErrorInfo?.reason).toBe('SEQUENCE_NOT_REACHED');
    expect((await list(room, 61n)).messages).toEqual([]);
    expect((await list(room, 55n)).messages.map(({ text }) => text)).toEqual(['56', '57', '58', '59', '60']);
  });

  test('members are the same at both, each once, and no more than there is room for', async () => {
    const room = await open();
    const enter = async (user: string, at = one) => {
      const stream = at.chat.joinRoom(as(user));
      stream.write(JoinRoomRequest.fromPartial({ room }));
      await take(stream, 1);
      return stream;
    };
    const streams = [await enter('a'), await enter('b', other), await enter('a', other), await enter('c')];
    const full = other.chat.joinRoom(as('d'));
    full.write(JoinRoomRequest.fromPartial({ room }));
    expect((await drain(full)).error?.code).toBe(status.RESOURCE_EXHAUSTED);
    const state = await ask(other.chat, other.chat.getRoom, { room });
    expect([state.members, state.memberCount]).toEqual([['a', 'b', 'c'], 3]);
    for (const stream of streams) stream.end();
    for (const stream of streams) expect((await drain(stream)).messages.at(-1)).toMatchObject({ type: LEFT });
    expect((await ask(one.chat, one.chat.getRoom, { room })).memberCount).toBe(0);
  });

  test('a position and a number together are refused, and what is no position', async () => {
    const room = await open();
    const both = await drain(watch(room, { after: 'x', afterSequence: 0n }));
    expect(both.error?.details).toBe('after: not together with after_sequence');
    expect((await drain(watch(room, { after: 'x' }))).error?.details).toBe('after: is no position');
  });
});

describe.each(SERVERS.filter(({ missing }) => missing === undefined))('$kind that was wiped', (kind) => {
  test('has no rooms but the lobby, tells those who watch, and counts from 1 again', async () => {
    const wiped = await kind.startServer();
    onTestFinished(() => wiped.stop());
    const server = await startServices({ broker: wiped.url, graceMs: 500 });
    const { chat, close } = connect(server.address);
    onTestFinished(async () => {
      close();
      await server.close();
    });
    const post = (room: string) => ask(chat, chat.postMessage, { room, text: 'hello' }, as('ada'));
    const open = (roomId: string) =>
      ask(chat, chat.createRoom, CreateRoomRequest.fromPartial({ room: { roomId } }), as('ada'));
    await open('harbour');
    for (const room of ['harbour', 'lobby', 'lobby']) await post(room);
    const watching = chat.watchRoom({ room: 'lobby', afterSequence: undefined, after: undefined });
    await accepted(watching);
    const watched = drain(watching);
    await kind.wipe(wiped);
    expect((await post('lobby')).sequence).toBe(1n);
    const { error } = await watched;
    expect(refusal(error as ServiceError)).toMatchObject({
      code: status.OUT_OF_RANGE,
      details: { ErrorInfo: { reason: 'EPOCH_CHANGED' } },
    });
    await open('quay');
    expect((await refusalOf(ask(chat, chat.getRoom, { room: 'harbour' }))).code).toBe(status.NOT_FOUND);
    await open('harbour');
    expect((await post('harbour')).sequence).toBe(1n);
  });
});
