/** The multiplex machine without a network: every frame in and out of order, credit both ways, drain, and the end. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Close } from '../gateway/doors/ws_close.js';
import { createJsonFraming } from '../gateway/doors/ws_json.js';
import { type AnyFrame, decodeFrames, encodeFrame, PROTO_FRAMING } from '../gateway/doors/ws_proto.js';
import { Session } from '../gateway/doors/ws_session.js';
import type { Socket } from '../gateway/doors/ws_socket.js';
import { deadline } from '../src/policy/deadline.js';
import { type Backend, type BackendOptions, bytes, createBackend, identify } from './support/ws_backend.js';
import { readFrames } from './support/ws_wire.js';

type Sent = AnyFrame & { readonly sid?: number };

/** A socket that keeps what is sent, and that can stall. */
class FakeSocket implements Socket {
  readonly sent: Sent[] = [];
  /** Raw writes: how many messages were in each. */
  readonly writes: number[] = [];
  closed: { code: number; reason: string } | undefined;
  paused = false;
  #stalled: Promise<void> | undefined;
  #flow: () => void = () => {};

  send(data: string | Uint8Array): Promise<void> {
    expect(this.closed).toBeUndefined();
    if (typeof data === 'string') this.sent.push(JSON.parse(data) as Sent);
    else this.sent.push(...(decodeFrames(data) as Iterable<Sent>));
    return this.#stalled ?? Promise.resolve();
  }

  write(bytes: Uint8Array): void {
    expect(this.closed).toBeUndefined();
    const frames = readFrames(bytes);
    this.writes.push(frames.length);
    for (const { opcode, payload } of frames) {
      if (opcode === 1) this.sent.push(JSON.parse(payload.toString()) as Sent);
      else if (opcode === 2) this.sent.push(...(decodeFrames(payload) as Iterable<Sent>));
    }
  }

  isFull(): boolean {
    return this.#stalled !== undefined;
  }

  close(code: number, reason: string): void {
    expect(this.closed).toBeUndefined();
    this.closed = { code, reason };
  }

  stall(): void {
    this.#stalled = new Promise((resolve) => {
      this.#flow = resolve;
    });
  }

  flow(): void {
    this.#stalled = undefined;
    this.#flow();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  ping(): void {}

  of(sid: number): Sent[] {
    return this.sent.filter((frame) => frame.sid === sid);
  }

  types(sid: number): string[] {
    return this.of(sid).map(({ type }) => type);
  }

  end(sid: number): { code: number; message: string } | undefined {
    return this.of(sid).find(({ type }) => type === 'end')?.status as
      | { code: number; message: string }
      | undefined;
  }

  data(sid: number): unknown[] {
    return this.of(sid)
      .filter(({ type }) => type === 'msg')
      .map(({ data }) => data);
  }
}

interface Rig extends Backend {
  readonly socket: FakeSocket;
  readonly session: Session;
  /** The socket takes bytes again. */
  flow(): void;
  /** Sends frames, then lets everything that follows from them happen. */
  send(...frames: (object | string)[]): Promise<void>;
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function rig(options?: BackendOptions, token?: string): Rig {
  const backend = createBackend(options);
  const socket = new FakeSocket();
  const framing = createJsonFraming((status) => backend.gateway.table().codec.printStatus(status));
  const session = new Session({
    socket,
    framing,
    gateway: backend.gateway,
    caller: identify(token),
    identify,
  });
  rigs.push(session);
  return {
    ...backend,
    socket,
    session,
    flow: () => {
      socket.flow();
      session.roomy();
    },
    send: async (...frames) => {
      for (const frame of frames) session.receive(typeof frame === 'string' ? frame : JSON.stringify(frame));
      await settle();
      await settle();
    },
  };
}

/** The same, after hello. */
async function greeted(options?: BackendOptions, token?: string): Promise<Rig> {
  const one = rig(options, token);
  await one.send({ type: 'hello' });
  expect(one.socket.sent.splice(0)).toMatchObject([{ type: 'welcome' }]);
  return one;
}

const rigs: Session[] = [];
const open = (sid: number, name: string, rest: object = {}): object => ({
  type: 'open',
  sid,
  method: `t.Test/${name}`,
  ...rest,
});

afterEach(() => {
  for (const session of rigs.splice(0)) session.gone();
  vi.useRealTimers();
});

describe('hello', () => {
  test('is answered by welcome with the session, the limits and the features that both know', async () => {
    const { socket, send } = rig();
    await send({ type: 'hello', token: 'good', features: ['join', 'resume'] });
    expect(socket.sent).toEqual([
      {
        type: 'welcome',
        session: 'r1',
        heartbeat_ms: 25_000,
        limits: { frame_bytes: 4096, streams: 4, queued_messages: 8, queued_bytes: 10_000 },
        features: ['resume'],
      },
    ]);
  });

  test('that does not come in time closes the socket', async () => {
    vi.useFakeTimers();
    const { socket } = rig();
    vi.advanceTimersByTime(9_999);
    expect(socket.closed).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(socket.closed).toEqual({ code: Close.HELLO_LATE, reason: 'no hello within 10000 ms' });
  });

  test('must be the first frame, and comes once', async () => {
    const early = rig();
    await early.send(open(1, 'Echo'));
    expect(early.socket.closed).toEqual({ code: Close.HELLO_MISSING, reason: 'expected hello, got open' });
    expect(early.seen).toHaveLength(0);
    const twice = await greeted();
    await twice.send({ type: 'hello' });
    expect(twice.socket.closed).toEqual({ code: Close.HELLO_TWICE, reason: 'a second hello' });
  });

  test('with a bad token closes the socket with the code that asks for a new one', async () => {
    const { socket, send } = rig();
    await send({ type: 'hello', token: 'forged' });
    expect(socket.closed).toEqual({ code: 4316, reason: 'UNAUTHENTICATED: token: not valid' });
  });

  test('its token is the one that calls are made with', async () => {
    const { send, seen } = rig();
    await send({ type: 'hello', token: 'good' }, open(1, 'Echo', { message: {} }));
    expect(seen[0]?.call.principal.subject).toBe('u1');
  });
});

describe('open', () => {
  test('makes a unary call: opened, msg, end', async () => {
    const { socket, send, seen } = await greeted();
    await send(open(1, 'Echo', { message: { a: 1 }, headers: { 'X-Trace': 't' } }));
    expect(socket.sent).toEqual([
      { type: 'opened', sid: 1, headers: { 'x-method': 'yes' }, credit: 0 },
      { type: 'msg', sid: 1, data: { a: 1 } },
      { type: 'end', sid: 1, status: { code: 0 }, trailers: { 'x-trailer': 'end' } },
    ]);
    expect(seen[0]?.call.metadata).toEqual({ 'user-agent': 'test', 'x-trace': 't' });
    expect(seen[0]?.call.id).toBe('r1-1');
  });

  test('by route goes through the router, with path and query', async () => {
    const { socket, send } = await greeted();
    await send(
      { type: 'open', sid: 1, route: 'GET /v1/Get?x=1' },
      { type: 'open', sid: 2, route: 'POST /v1/Echo', message: 7 },
    );
    expect(socket.data(1)).toEqual([{ query: 'x=1' }]);
    expect(socket.data(2)).toEqual([7]);
  });

  test.each([
    ['an unknown method', { method: 't.Test/Nope' }, 12, 'open.method: no method t.Test/Nope'],
    ['an unknown route', { route: 'GET /v1/Nope' }, 5, 'open.route: no route for /v1/Nope'],
    ['a wrong verb', { route: 'DELETE /v1/Get' }, 12, 'open.route: this path takes GET'],
    [
      'no route at all',
      { route: '/v1/Get' },
      3,
      'open.route: expected a verb and a path, such as GET /v1/orders/42',
    ],
    ['both', { route: 'GET /v1/Get', method: 't.Test/Get' }, 3, 'open: expected either method or route'],
    ['neither', {}, 3, 'open: expected either method or route'],
    ['a bad query', { route: 'GET /v1/Get?bad' }, 3, 'query parameter bad: unknown'],
    ['a bad message', { method: 't.Test/Echo', message: 'wrong' }, 3, 'body: wrong'],
    [
      'a bad header',
      { method: 't.Test/Echo', headers: { 'x-a': 'ü' } },
      3,
      'header x-a: only printable ASCII',
    ],
    ['a call that policy refuses', { method: 't.Test/Denied' }, 7, 'orders:read is needed'],
    ['a call that the service refuses', { method: 't.Test/Missing' }, 5, 'no such thing'],
    ['a call that breaks inside', { method: 't.Test/Broken' }, 13, 'internal error'],
  ])('with %s ends that stream alone', async (_, fields, code, message) => {
    const { socket, send, running } = await greeted();
    await send({ type: 'open', sid: 1, ...fields }, open(2, 'Echo', { message: {} }));
    expect(socket.end(1)?.code).toBe(code);
    expect(socket.end(1)?.message).toMatch(message);
    expect(socket.types(1)).toEqual(['end']);
    expect(socket.end(2)).toEqual({ code: 0 });
    expect(socket.closed).toBeUndefined();
    expect(running()).toBe(0);
  });

  test('identity headers and unverified tokens never reach the service', async () => {
    const { send, seen } = await greeted();
    const headers = {
      'X-User-Id': 'root',
      'x-permissions': '*',
      Authorization: 'Bearer forged',
      'grpc-timeout': '1S',
    };
    await send(open(1, 'Echo', { message: {}, headers }));
    expect(seen[0]?.call.metadata).toEqual({ 'user-agent': 'test' });
  });

  test('deadline_ms, else the default for the method, becomes the deadline', async () => {
    const { send, seen } = await greeted();
    const now = Date.now();
    await send(
      open(1, 'Echo', { message: {}, deadline_ms: 500 }),
      open(2, 'Echo', { message: {} }),
      open(3, 'Chat'),
    );
    expect(seen[0]?.call.deadline).toBeGreaterThanOrEqual(now + 500);
    expect(seen[0]?.call.deadline).toBeLessThan(now + 5_000);
    expect(seen[1]?.call.deadline).toBeGreaterThanOrEqual(now + 30_000);
    expect(seen[2]?.call.deadline).toBeUndefined();
  });

  test('of a live sid ends that stream, with one end', async () => {
    const { socket, send, running } = await greeted();
    await send(open(1, 'Chat'), open(1, 'Chat'));
    expect(socket.end(1)).toEqual({ code: 3, message: 'open: sid 1 is open already' });
    expect(socket.types(1).filter((type) => type === 'end')).toHaveLength(1);
    expect(running()).toBe(0);
    expect(socket.closed).toBeUndefined();
  });

  test('of a sid that is not greater than those before is refused', async () => {
    const { socket, send, seen } = await greeted();
    await send(open(5, 'Echo', { message: {} }));
    await send(open(5, 'Echo', { message: {} }), open(4, 'Echo', { message: {} }));
    expect(socket.of(5).at(-1)).toMatchObject({
      status: { code: 3, message: 'open: sid 5 is not greater than 5' },
    });
    expect(socket.end(4)?.code).toBe(3);
    expect(seen).toHaveLength(1);
  });

  test('of more calls than a socket may have ends RESOURCE_EXHAUSTED', async () => {
    const { socket, send, running } = await greeted();
    await send(...[1, 2, 3, 4, 5].map((sid) => open(sid, 'Never')));
    expect(socket.end(5)).toEqual({ code: 8, message: 'open: 4 calls are open on this socket' });
    expect(running()).toBe(4);
    await send({ type: 'cancel', sid: 1 }, open(6, 'Never'));
    expect(running()).toBe(4);
  });

  test('after the token has expired ends UNAUTHENTICATED', async () => {
    const { socket, send } = rig({}, 'old');
    // At once: in the next turn the whole socket ends with its token.
    await send({ type: 'hello' }, open(1, 'Echo', { message: {} }));
    expect(socket.end(1)?.code).toBe(16);
  });
});

describe('msg and half_close', () => {
  test('carry a client stream, whose first message may stand in open', async () => {
    const { socket, send } = await greeted();
    await send(
      open(1, 'Upload', { message: 'a' }),
      { type: 'msg', sid: 1, data: 'b' },
      { type: 'half_close', sid: 1 },
    );
    expect(socket.data(1)).toEqual([{ count: 2 }]);
    expect(socket.end(1)).toEqual({ code: 0 });
  });

  test('carry a conversation', async () => {
    const { socket, send } = await greeted();
    await send(open(1, 'Chat'));
    expect(socket.of(1)).toEqual([{ type: 'opened', sid: 1, headers: {}, credit: 8 }]);
    await send({ type: 'msg', sid: 1, data: 1 });
    await send({ type: 'msg', sid: 1, data: null });
    expect(socket.data(1)).toEqual([1, null]);
    await send({ type: 'half_close', sid: 1 });
    expect(socket.end(1)).toEqual({ code: 0 });
  });

  test.each([
    ['after half_close', 'Hold', 'msg after half_close'],
    [
      'for a method that takes one message',
      'Never',
      'msg: t.Test/Never takes one message, which stands in open',
    ],
  ])('msg %s ends the stream INVALID_ARGUMENT', async (_, name, message) => {
    const { socket, send, running } = await greeted();
    await send(open(1, name), { type: 'half_close', sid: 1 }, { type: 'msg', sid: 1, data: 1 });
    expect(socket.end(1)).toEqual({ code: 3, message });
    expect(running()).toBe(0);
    expect(socket.closed).toBeUndefined();
  });

  test('a message that is wrong ends the stream and cancels the call', async () => {
    const { socket, send, seen } = await greeted();
    await send(open(1, 'Chat'), { type: 'msg', sid: 1, data: 'wrong' });
    expect(socket.end(1)).toEqual({ code: 3, message: 'body: wrong' });
    expect(seen[0]?.call.signal.aborted).toBe(true);
  });

  test('frames for sids that have ended are ignored, for sids that never were they close the socket', async () => {
    const { socket, send } = await greeted();
    await send(open(2, 'Echo', { message: {} }));
    const before = socket.sent.length;
    for (const sid of [1, 2]) {
      await send(
        { type: 'msg', sid, data: 1 },
        { type: 'half_close', sid },
        { type: 'cancel', sid },
        { type: 'credit', sid, n: 1 },
      );
    }
    expect(socket.sent).toHaveLength(before);
    expect(socket.closed).toBeUndefined();
    await send({ type: 'msg', sid: 3, data: 1 });
    expect(socket.closed).toEqual({
      code: Close.SID_UNKNOWN,
      reason: 'msg for sid 3, which was never opened',
    });
  });
});

describe('credit from the client', () => {
  test('a deadline that passes while a reply waits for credit ends the call', async () => {
    const { socket, send, seen } = await greeted({ policies: [deadline()] });
    await send({ type: 'open', sid: 1, route: 'GET /v1/Watch', credit: 1, deadline_ms: 100 });
    await vi.waitFor(() => expect(socket.types(1)).toEqual(['opened', 'msg', 'end']));
    expect(socket.of(1).at(-1)).toMatchObject({ status: { code: 4 } });
    expect(seen[0]?.over).toBe(true);
  });

  test('stops the reading of the service when it is used up, and starts it again', async () => {
    const { socket, send, seen } = await greeted();
    await send({ type: 'open', sid: 1, route: 'GET /v1/Watch', credit: 2 });
    expect(socket.data(1)).toEqual([{ n: 1 }, { n: 2 }]);
    expect(seen[0]?.produced).toBe(3);
    await send({ type: 'credit', sid: 1, n: 3 });
    expect(socket.data(1)).toHaveLength(5);
    expect(seen[0]?.produced).toBe(6);
    await send({ type: 'cancel', sid: 1 });
    expect(seen[0]?.over).toBe(true);
  });

  test('is not needed for the end', async () => {
    const { socket, send } = await greeted();
    await send({ type: 'open', sid: 1, route: 'GET /v1/Watch?2', credit: 2 });
    expect(socket.types(1)).toEqual(['opened', 'msg', 'msg', 'end']);
  });

  test('of zero holds back even a single reply', async () => {
    const { socket, send } = await greeted();
    await send(open(1, 'Echo', { message: 1, credit: 0 }));
    expect(socket.types(1)).toEqual(['opened']);
    await send({ type: 'credit', sid: 1, n: 1 });
    expect(socket.types(1)).toEqual(['opened', 'msg', 'end']);
  });

  test('a stalled socket stops the reading of the service', async () => {
    const { socket, send, seen, flow } = await greeted();
    socket.stall();
    await send({ type: 'open', sid: 1, route: 'GET /v1/Watch?50' });
    expect(seen[0]?.produced).toBe(1);
    flow();
    await settle();
    expect(socket.data(1)).toHaveLength(50);
  });
});

describe('credit from the gateway', () => {
  test('comes in steps of half a window as the service takes messages', async () => {
    const { socket, send } = await greeted();
    await send(open(1, 'Chat'));
    for (let n = 0; n < 40; n++) await send({ type: 'msg', sid: 1, data: n });
    expect(socket.data(1)).toHaveLength(40);
    const granted = socket.of(1).filter(({ type }) => type === 'credit');
    expect(granted).toEqual(Array.from({ length: 10 }, () => ({ type: 'credit', sid: 1, n: 4 })));
  });

  test('more messages than the window hold end the stream RESOURCE_EXHAUSTED', async () => {
    const { socket, send, running } = await greeted();
    await send(open(1, 'Hold'), ...Array.from({ length: 9 }, (_, n) => ({ type: 'msg', sid: 1, data: n })));
    expect(socket.end(1)).toMatchObject({
      code: 8,
      message: expect.stringMatching('8 messages wait for the service'),
    });
    expect(running()).toBe(0);
  });

  test('more bytes than a socket may queue end the stream that exceeds them', async () => {
    const { socket, send } = await greeted();
    const data = 'x'.repeat(3000);
    await send(open(1, 'Hold'), open(2, 'Hold'));
    await send(...[1, 1, 2, 2, 2, 2].map((sid) => ({ type: 'msg', sid, data })));
    expect(socket.end(1)).toBeUndefined();
    expect(socket.end(2)).toMatchObject({
      code: 8,
      message: 'msg: more than 10000 bytes on this socket wait for services',
    });
  });

  test('what comes before the policies have decided is not looked at', async () => {
    const { socket, send, seen } = await greeted();
    await send(
      open(1, 'Chat', { message: 1 }),
      { type: 'msg', sid: 1, data: 2 },
      { type: 'half_close', sid: 1 },
    );
    expect(seen[0]?.taken).toEqual(['1', '2']);
    expect(socket.end(1)).toEqual({ code: 0 });
    await send({ type: 'open', sid: 2, method: 't.Test/Denied' });
    expect(socket.end(2)?.code).toBe(7);
  });
});

describe('cancel', () => {
  test('cancels the call and is confirmed by an end', async () => {
    const { socket, send, seen } = await greeted();
    await send(open(1, 'Never'), { type: 'cancel', sid: 1 });
    expect(socket.of(1)).toEqual([
      { type: 'end', sid: 1, status: { code: 1, message: 'cancelled by the client' }, trailers: {} },
    ]);
    expect(seen[0]?.call.signal.reason).toMatchObject({ code: 1 });
  });
});

test('a failure in the middle of a stream comes after what was sent, with its trailers', async () => {
  const { socket, send } = await greeted();
  await send(open(1, 'Break'));
  expect(socket.of(1)).toMatchObject([
    { type: 'opened' },
    { type: 'msg', data: { n: 1 } },
    { type: 'end', status: { code: 15, message: 'the disk broke' }, trailers: { 'x-disk': '1' } },
  ]);
});

test('several frames may come in one message', async () => {
  const { socket, send } = rig();
  await send(`{"type":"hello"}\n${JSON.stringify(open(1, 'Echo', { message: 1 }))}\n{"type":"ping"}`);
  expect(socket.sent.map(({ type }) => type)).toEqual(['welcome', 'pong', 'opened', 'msg', 'end']);
});

test('the protobuf form passes messages through untouched', async () => {
  const { gateway } = createBackend();
  const socket = new FakeSocket();
  const session = new Session({
    socket,
    framing: PROTO_FRAMING,
    gateway,
    caller: identify(undefined),
    identify,
  });
  rigs.push(session);
  const message = bytes({ any: 'bytes' });
  session.receive(encodeFrame({ type: 'hello', features: [] }));
  session.receive(encodeFrame({ type: 'open', sid: 1, method: 't.Test/Echo', headers: {}, message }));
  await settle();
  expect(socket.sent.map(({ type }) => type)).toEqual(['welcome', 'opened', 'msg', 'end']);
  expect(Buffer.from(socket.data(1)[0] as Uint8Array)).toEqual(Buffer.from(message));
  expect(socket.end(1)).toEqual({ code: 0, message: '', details: [] });
});

describe('the watch', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });

  test('pings, and closes after three pings without an answer, cancelling everything', async () => {
    const { socket, send, running } = await greeted({ timeouts: { heartbeatMs: 1000 } });
    await send(open(1, 'Never'));
    vi.advanceTimersByTime(3999);
    expect(socket.sent.map(({ type }) => type)).toEqual(['ping', 'ping', 'ping']);
    expect(socket.closed).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(socket.closed).toEqual({ code: Close.NO_PONG, reason: 'no answer to three pings' });
    expect(running()).toBe(0);
  });

  test.each([{ type: 'pong' }, { type: 'ping' }])('anything that is heard resets it: %o', async (frame) => {
    const { socket, send } = await greeted({ timeouts: { heartbeatMs: 1000 } });
    for (let round = 0; round < 5; round++) {
      vi.advanceTimersByTime(2500);
      await send(frame);
    }
    expect(socket.closed).toBeUndefined();
  });

  test('a client that makes us answer and does not read is not read either', async () => {
    const { socket, send } = await greeted();
    socket.stall();
    await send(...Array.from({ length: 64 }, () => ({ type: 'ping' })));
    expect(socket.paused).toBe(false);
    await send({ type: 'ping' });
    expect(socket.paused).toBe(true);
    socket.flow();
    await settle();
    expect(socket.paused).toBe(false);
  });
});

describe('drain', () => {
  test('an idle socket is told when it will be closed, and is closed then', async () => {
    const { socket, session, drain } = await greeted();
    drain();
    session.drain(120);
    expect(socket.sent).toMatchObject([
      { type: 'goaway', reason: 'the gateway is shutting down', reconnect_after_ms: 120 },
    ]);
    expect(socket.closed).toBeUndefined();
    session.leave();
    expect(socket.closed).toEqual({ code: Close.DRAIN, reason: 'the gateway is shutting down' });
  });

  test('a socket that has not said hello is closed at its moment', () => {
    const { socket, session } = rig();
    session.drain(1);
    expect(socket.sent).toEqual([]);
    session.leave();
    expect(socket.closed?.code).toBe(Close.DRAIN);
  });

  test('live calls may end, new ones are refused, then the socket closes', async () => {
    const { socket, session, send } = await greeted();
    await send(open(1, 'Chat'));
    session.drain(1);
    session.leave();
    await send(open(2, 'Echo', { message: 1 }), { type: 'msg', sid: 1, data: 'last' });
    expect(socket.end(2)?.code).toBe(14);
    expect(socket.data(1)).toEqual(['last']);
    expect(socket.closed).toBeUndefined();
    await send({ type: 'half_close', sid: 1 });
    expect(socket.end(1)).toEqual({ code: 0 });
    expect(socket.closed?.code).toBe(Close.DRAIN);
  });

  test('what still runs at the end of the time is cut with an end', async () => {
    const { socket, session, send, running } = await greeted();
    await send(open(1, 'Never'), open(2, 'Never'));
    session.drain(1);
    session.cut(true);
    expect([socket.end(1)?.code, socket.end(2)?.code]).toEqual([14, 14]);
    expect(socket.closed?.code).toBe(Close.DRAIN);
    expect(running()).toBe(0);
  });
});

describe('whatever a client sends', () => {
  const sid = fc.integer({ min: 1, max: 5 });
  const data = fc.constantFrom(1, 'wrong', null, { a: 1 });
  const method = fc.constantFrom(
    ...['Echo', 'Watch', 'Break', 'Chat', 'Upload', 'Hold', 'Denied', 'Missing', 'Broken', 'Never', 'Nope'],
  );
  const frame = fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .tuple(sid, method, fc.option(data, { nil: undefined }), fc.nat(3))
        .map(([one, name, message, credit]) => open(one, name, { message, credit })),
    },
    { weight: 6, arbitrary: fc.record({ type: fc.constant('msg'), sid, data }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('half_close', 'cancel'), sid }) },
    {
      weight: 3,
      arbitrary: fc.record({ type: fc.constant('credit'), sid, n: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('ping', 'pong') }) },
    {
      weight: 1,
      arbitrary: fc
        .oneof(fc.json(), fc.record({ type: fc.string(), sid: fc.anything() }))
        .map((one) => one as object),
    },
  );

  test('the machine never throws, ends each stream at most once, and leaves no live call after the close', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(frame, fc.boolean()), { maxLength: 30 }),
        fc.boolean(),
        async (frames, drains) => {
          const { socket, session, send, running, seen } = await greeted();
          for (const [one, pause] of frames) {
            if (pause) await send(one);
            else session.receive(typeof one === 'string' ? one : (JSON.stringify(one) ?? ''));
          }
          if (drains) session.drain(0);
          if (drains) session.leave();
          await settle();
          for (let one = 1; one <= 5; one++) {
            const types = socket.types(one);
            const accepted = seen.filter(({ call }) => call.id === `r1-${one}`).length;
            expect(accepted).toBeLessThanOrEqual(1);
            if (accepted === 1)
              expect(
                types.slice(types.indexOf('end') + 1 || types.length).filter((type) => type !== 'end'),
              ).toEqual([]);
          }
          session.gone();
          await settle();
          await settle();
          expect(session.liveCalls).toBe(0);
          expect(running()).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
