/** Acknowledged messages on WebSockets: numbers, what is delivered once, and what happens when nobody can remember. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createRaise, type Raise, Senders, senderName } from '../gateway/doors/ws_acks.js';
import { createJsonFraming } from '../gateway/doors/ws_json.js';
import { Session } from '../gateway/doors/ws_session.js';
import type { Socket } from '../gateway/doors/ws_socket.js';
import { BrokerError } from '../src/broker/broker.js';
import { ANONYMOUS } from '../src/principal.js';
import { type Backend, type BackendOptions, createBackend } from './support/ws_backend.js';
import { readFrames } from './support/ws_wire.js';

type Frame = Record<string, unknown>;
const KEY = 'sender-0001';

class FakeSocket implements Socket {
  readonly sent: Frame[] = [];
  closed: number | undefined;

  send(data: string | Uint8Array): Promise<void> {
    this.sent.push(JSON.parse(String(data)) as Frame);
    return Promise.resolve();
  }
  write(bytes: Uint8Array): void {
    for (const { payload } of readFrames(bytes)) this.sent.push(JSON.parse(payload.toString()) as Frame);
  }
  isFull(): boolean {
    return false;
  }
  close(code: number): void {
    this.closed = code;
  }
  pause(): void {}
  resume(): void {}
  ping(): void {}
}

const sessions: Session[] = [];
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

afterEach(() => {
  for (const session of sessions.splice(0)) session.gone();
});

interface Client {
  readonly socket: FakeSocket;
  readonly session: Session;
  send(...frames: object[]): Promise<void>;
  /** Those of a type, of a sid. */
  of(type: string, sid?: number): Frame[];
}

/** A socket on a backend, after hello. */
async function connect(
  backend: Backend,
  senders: Senders,
  { features = ['ack'], subject = 'u1' } = {},
): Promise<Client> {
  const socket = new FakeSocket();
  const framing = createJsonFraming((status) => backend.gateway.table().codec.printStatus(status));
  const principal = { ...ANONYMOUS, subject };
  const caller = { id: 'r1', principal, metadata: {}, deadline: undefined };
  const session = new Session({
    socket,
    framing,
    gateway: backend.gateway,
    senders,
    caller,
    identify: () => caller,
  });
  sessions.push(session);
  const send = async (...frames: object[]): Promise<void> => {
    for (const frame of frames) session.receive(JSON.stringify(frame));
    await settle();
    await settle();
  };
  await send({ type: 'hello', features });
  const of = (type: string, sid?: number): Frame[] =>
    socket.sent.filter((frame) => frame.type === type && (sid === undefined || frame.sid === sid));
  return { socket, session, send, of };
}

const backend = (options?: BackendOptions): Backend => createBackend(options);
const open = (sid: number, name = 'Chat', rest: object = { idempotency_key: KEY }): object => ({
  type: 'open',
  sid,
  method: `t.Test/${name}`,
  ...rest,
});
const msg = (sid: number, seq: number | undefined, data: unknown = seq): object => ({
  type: 'msg',
  sid,
  data,
  seq,
});
const taken = ({ seen }: Backend): unknown[] =>
  seen.flatMap((one) => one.taken).map((text) => JSON.parse(String(text)));

describe('numbered messages', () => {
  test('are acknowledged when the service has been sent them; one without a number is not', async () => {
    const one = backend();
    const { send, of } = await connect(one, new Senders());
    await send(open(1, 'Chat', {}), msg(1, 1), msg(1, undefined, 'x'), msg(1, 2));
    expect(of('opened')[0]).not.toHaveProperty('acked');
    expect(of('ack').map(({ seq }) => seq)).toEqual([1, 2]);
    expect(taken(one)).toEqual([1, 'x', 2]);
  });

  test('are acknowledged only when the service comes back for the next one', async () => {
    const one = backend();
    const { send, of } = await connect(one, new Senders());
    await send(open(1, 'Hold'), msg(1, 1), msg(1, 2));
    expect(of('opened', 1)).toHaveLength(1);
    expect(of('ack')).toEqual([]);
    one.release();
    await settle();
    await settle();
    expect(of('ack').at(-1)).toEqual({ type: 'ack', sid: 1, seq: 2 });
  });

  test('have no gaps; the first number is free', async () => {
    const { send, of } = await connect(backend(), new Senders());
    await send(open(1), msg(1, 7), msg(1, 8), msg(1, 10));
    expect(of('end', 1)).toMatchObject([{ status: { code: 3, message: 'msg.seq: expected 9, got 10' } }]);
    await send(open(2, 'Chat', {}), msg(2, 1), msg(2, 1));
    expect(of('end', 2)).toMatchObject([{ status: { code: 3, message: 'msg.seq: expected 2, got 1' } }]);
  });

  test('need the feature, and so does a key', async () => {
    const one = backend();
    const { send, of } = await connect(one, new Senders(), { features: [] });
    await send(open(1, 'Chat', {}), msg(1, 1), open(2));
    expect(of('end', 1)).toMatchObject([{ status: { code: 3, message: 'msg.seq: needs the feature ack' } }]);
    expect(of('end', 2)).toMatchObject([
      { status: { code: 3, message: 'open.idempotency_key: needs the feature ack' } },
    ]);
    expect(one.seen).toHaveLength(1);
  });

  test.each(['short', 'x'.repeat(129), 'with space', 'nön-ascii', 'line\nbreak'])(
    'a key must be one: %j',
    async (key) => {
      const one = backend();
      const { send, of } = await connect(one, new Senders());
      await send(open(1, 'Chat', { idempotency_key: key }));
      expect(of('end', 1)).toMatchObject([
        {
          status: { code: 3, message: 'open.idempotency_key: expected 8 to 128 visible ASCII characters' },
        },
      ]);
      expect(one.seen).toHaveLength(0);
    },
  );

  test('a key is told to the service, whatever the headers say', async () => {
    const one = backend();
    const { send } = await connect(one, new Senders());
    const headers = { 'idempotency-key': 'another-one' };
    await send(open(1, 'Echo', { idempotency_key: KEY, headers, message: 1 }), open(2, 'Chat'));
    expect(one.seen.map(({ call }) => call.metadata['idempotency-key'])).toEqual([KEY, KEY]);
  });
});

describe('messages that are sent again', () => {
  test('on the next socket are acknowledged and not delivered again', async () => {
    const one = backend();
    const senders = new Senders();
    const first = await connect(one, senders);
    await first.send(open(1), msg(1, 1), msg(1, 2), msg(1, 3));
    expect(first.of('opened', 1)).toMatchObject([{ acked: 0 }]);
    expect(first.of('ack').at(-1)).toMatchObject({ seq: 3 });
    first.session.gone();
    const second = await connect(one, senders);
    await second.send(open(1), msg(1, 2), msg(1, 3), msg(1, 4));
    expect(second.of('opened', 1)).toMatchObject([{ acked: 3 }]);
    expect(second.of('ack').map(({ seq }) => seq)).toEqual([3, 4]);
    expect(taken(one)).toEqual([1, 2, 3, 4]);
  });

  test('give back the credit that they used', async () => {
    const one = backend();
    const senders = new Senders();
    const first = await connect(one, senders);
    const eight = [1, 2, 3, 4, 5, 6, 7, 8];
    await first.send(open(1), ...eight.map((n) => msg(1, n)));
    first.session.gone();
    const second = await connect(one, senders);
    await second.send(open(1), ...eight.map((n) => msg(1, n)));
    expect(second.of('end')).toEqual([]);
    const credit = second.of('credit').reduce((sum, { n }) => sum + Number(n), 0);
    expect(credit).toBe(8);
  });

  test.each([
    ['another principal', { subject: 'u2' }, open(1)],
    ['another method', {}, open(1, 'Upload')],
    ['another key', {}, open(1, 'Chat', { idempotency_key: 'sender-0002' })],
  ])('by %s are new', async (_, who, frame) => {
    const one = backend();
    const senders = new Senders();
    const first = await connect(one, senders);
    await first.send(open(1), msg(1, 1));
    const second = await connect(one, senders, who);
    await second.send(frame, msg(1, 1, 'again'), { type: 'half_close', sid: 1 });
    expect(taken(one)).toEqual([1, 'again']);
  });

  test('while the old socket still seems open: the old call ends, and what waited in it is not delivered', async () => {
    const one = backend();
    const senders = new Senders();
    const first = await connect(one, senders);
    await first.send(open(1, 'Hold'), msg(1, 1), msg(1, 2));
    const second = await connect(one, senders);
    await second.send(open(1, 'Hold'), msg(1, 1), msg(1, 2));
    expect(first.of('end', 1)).toMatchObject([
      {
        status: { code: 10, message: 'open.idempotency_key: the same sender has opened another call' },
      },
    ]);
    expect(first.socket.closed).toBeUndefined();
    one.release();
    await settle();
    await settle();
    expect(second.of('ack').at(-1)).toMatchObject({ seq: 2 });
    expect(one.seen[1]?.taken).toContain(2);
    expect(one.seen[0]?.taken).not.toContain(2);
  });

  test('a call that a policy refuses ends no other, and asks nobody what was sent', async () => {
    const raise = vi.fn(createRaise());
    const senders = new Senders(raise);
    const one = backend();
    const client = await connect(one, senders);
    await client.send(open(1, 'Denied'));
    expect(client.of('end', 1)).toMatchObject([{ status: { code: 7 } }]);
    expect(raise).not.toHaveBeenCalled();
  });
});

describe('the memory of it', () => {
  test('is asked to last as long as it is configured to', async () => {
    const raise = vi.fn(createRaise());
    const one = backend();
    const client = await connect(one, new Senders(raise, 5_000));
    await client.send(open(1), msg(1, 1));
    expect(raise).toHaveBeenCalled();
    expect(raise.mock.calls.map(([, , ttlMs]) => ttlMs)).toEqual(raise.mock.calls.map(() => 5_000));
  });

  test('is asked before anything is delivered, and told before anything is acknowledged', async () => {
    const steps: string[] = [];
    const answers: ((value: number) => void)[] = [];
    const raise: Raise = (_, value) => {
      steps.push(`raise ${value}`);
      return new Promise((resolve) => answers.push(resolve));
    };
    const one = backend();
    const client = await connect(one, new Senders(raise));
    await client.send(open(1), msg(1, 1), msg(1, 2), msg(1, 3));
    expect(taken(one)).toEqual([]);
    answers.shift()?.(1);
    await settle();
    await settle();
    expect(taken(one)).toEqual([2, 3]);
    expect(client.of('ack').map(({ seq }) => seq)).toEqual([1]);
    expect(steps).toEqual(['raise 0', 'raise 2']);
    answers.shift()?.(2);
    await settle();
    // What was delivered meanwhile is recorded at once with the next.
    expect(client.of('ack').map(({ seq }) => seq)).toEqual([1, 2]);
    expect(steps).toEqual(['raise 0', 'raise 2', 'raise 3']);
    answers.shift()?.(3);
    await settle();
    expect(client.of('ack').map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });

  test.each([0, 1])(
    'that does not answer (call %i of it) ends the call: nothing is promised',
    async (failing) => {
      let calls = 0;
      const raise: Raise = async (_, value) => {
        if (calls++ === failing) throw new BrokerError('away');
        return value;
      };
      const one = backend();
      const client = await connect(one, new Senders(raise));
      await client.send(open(1), msg(1, 1));
      await settle();
      expect(client.of('end', 1)).toMatchObject([
        {
          status: { code: 14, message: 'it cannot be recorded now which messages were delivered' },
        },
      ]);
      expect(client.of('ack')).toEqual([]);
      expect(taken(one)).toEqual(failing === 0 ? [] : [1]);
      expect(one.running()).toBe(0);
    },
  );

  test('in this process grows only, is bounded, and is forgotten in time', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const raise = createRaise(2);
      expect(await raise('a', 5, 1000)).toBe(5);
      expect(await raise('a', 3, 1000)).toBe(5);
      expect(await raise('a', 0, 1000)).toBe(5);
      await raise('b', 1, 1000);
      await raise('a', 6, 1000);
      await raise('c', 1, 1000);
      expect(await raise('a', 0, 1000)).toBe(6);
      expect(await raise('b', 0, 1000)).toBe(0);
      vi.advanceTimersByTime(1001);
      expect(await raise('a', 0, 1000)).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test('has names of one length that tell the three parts apart', () => {
    const names = [
      senderName('a', 'bc', 'd'),
      senderName('ab', 'c', 'd'),
      senderName('a', 'b', 'cd'),
      senderName('', 'a'.repeat(500), 'd'),
    ];
    expect(new Set(names).size).toBe(4);
    expect(new Set(names.map((name) => name.length)).size).toBe(1);
  });
});
