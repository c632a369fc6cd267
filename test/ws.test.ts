/** The WebSocket door over real sockets: handshakes and their refusals, calls, flow control, limits and drain. */
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createWebSocketDoor, type WebSocketDoor } from '../gateway/doors/ws.js';
import { decodeFrames, encodeFrame } from '../gateway/doors/ws_proto.js';
import { type Backend, type BackendOptions, bytes, createBackend } from './support/ws_backend.js';

interface Rig extends Backend {
  readonly port: number;
  readonly door: WebSocketDoor;
}

const open: { server: Server; door: WebSocketDoor; clients: { terminate(): void }[] }[] = [];

async function start(options?: BackendOptions): Promise<Rig> {
  const backend = createBackend(options);
  const door = createWebSocketDoor(backend.gateway);
  const server = createServer().on('upgrade', door.upgrade);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ server, door, clients: [] });
  return { ...backend, door, port: (server.address() as AddressInfo).port };
}

afterEach(async () => {
  for (const { server, door, clients } of open.splice(0)) {
    for (const client of clients) client.terminate();
    await door.close();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Client {
  readonly ws: WebSocket;
  readonly opened: Promise<void>;
  /** Messages so far: text as it is, binary as a Buffer. */
  readonly messages: (string | Buffer)[];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly refused: Promise<{ status: number; headers: IncomingMessage['headers']; body: string }>;
}

interface ClientOptions {
  readonly protocols?: string[];
  readonly headers?: Record<string, string>;
}

function client(port: number, path: string, { protocols = [], headers = {} }: ClientOptions = {}): Client {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { headers });
  open.at(-1)?.clients.push(ws);
  const messages: (string | Buffer)[] = [];
  ws.on('message', (data: Buffer, isBinary) => messages.push(isBinary ? data : data.toString()));
  ws.on('error', () => undefined);
  return {
    ws,
    messages,
    opened: new Promise((resolve) => ws.once('open', resolve)),
    closed: new Promise((resolve) => {
      ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    }),
    refused: new Promise((resolve) => {
      ws.once('unexpected-response', async (_, response: IncomingMessage) => {
        let body = '';
        for await (const chunk of response) body += chunk;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    }),
  };
}

/** A handshake of our own making. */
async function handshake(
  port: number,
  headers: Record<string, string>,
  method = 'GET',
): Promise<IncomingMessage> {
  const sent = request({ port, host: '127.0.0.1', path: '/v1/Get', method, headers });
  sent.end();
  return new Promise((resolve, reject) => {
    sent.once('response', (response) => resolve(response.resume()));
    sent.once('upgrade', (response, socket) => {
      socket.destroy();
      resolve(response);
    });
    sent.once('error', reject);
  });
}

const GOOD = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
const bearer = (token: string): string => `bearer.${Buffer.from(token).toString('base64url')}`;
const JSON_V1 = 'tidegate.v1.json';
const frames = (one: Client): { type: string; sid?: number }[] =>
  one.messages.map((text) => JSON.parse(String(text)));

/** A multiplexed JSON socket that has said hello. */
async function greeted(port: number): Promise<Client & { send(frame: object): void }> {
  const one = client(port, '/ws', { protocols: [JSON_V1] });
  await one.opened;
  const send = (frame: object): void => one.ws.send(JSON.stringify(frame));
  send({ type: 'hello' });
  await vi.waitFor(() => expect(frames(one)).toMatchObject([{ type: 'welcome' }]));
  one.messages.length = 0;
  return { ...one, send };
}

describe('a handshake is refused with', () => {
  test.each([
    ['404 for an unknown path', '/v1/Nope', {}, 404, 5, 'no route for /v1/Nope'],
    ['400 for /ws without a subprotocol', '/ws', {}, 400, 3, 'offer tidegate.v1.json or tidegate.v1.proto'],
    [
      '400 for a foreign subprotocol',
      '/v1/Get',
      { protocols: ['graphql-ws'] },
      400,
      3,
      'offer tidegate.v1.json',
    ],
    [
      '400 for a bearer alone, since browsers want a choice',
      '/v1/Get',
      { protocols: [bearer('good')] },
      400,
      3,
      'offer',
    ],
    [
      '401 for a bad token',
      '/v1/Get',
      { headers: { authorization: 'Bearer forged' } },
      401,
      16,
      'token: not valid',
    ],
    [
      '401 for a bad token in the subprotocol',
      '/ws',
      { protocols: [bearer('forged'), JSON_V1] },
      401,
      16,
      'token',
    ],
    [
      '401 for a bearer that is not base64url',
      '/ws',
      { protocols: ['bearer.a+b', JSON_V1] },
      401,
      16,
      'base64url',
    ],
    [
      '403 for a foreign origin',
      '/ws',
      { headers: { origin: 'https://evil.example' }, protocols: [JSON_V1] },
      403,
      7,
      'origin',
    ],
    [
      '403 for the null origin',
      '/ws',
      { headers: { origin: 'null' }, protocols: [JSON_V1] },
      403,
      7,
      'origin',
    ],
    ['403 for what a policy refuses', '/v1/Denied', {}, 403, 7, 'orders:read is needed'],
    ['400 for a bad query', '/v1/Get?bad', {}, 400, 3, 'query parameter bad'],
  ] as const)('%s', async (_, path, options, status, code, message) => {
    const { port, running } = await start();
    const refused = await client(port, path, options as ClientOptions).refused;
    expect(refused.status).toBe(status);
    expect(refused.headers).toMatchObject({ connection: 'close', 'content-type': 'application/json' });
    expect(JSON.parse(refused.body)).toMatchObject({ code, message: expect.stringContaining(message) });
    expect(running()).toBe(0);
  });

  test('426 and the version we speak for another one, 400 for a bad key, 405 for another method', async () => {
    const { port } = await start();
    const version = await handshake(port, { ...GOOD, 'sec-websocket-version': '8' });
    expect([version.statusCode, version.headers['sec-websocket-version']]).toEqual([426, '13']);
    expect((await handshake(port, { ...GOOD, 'sec-websocket-key': 'short' })).statusCode).toBe(400);
    expect((await handshake(port, { ...GOOD, upgrade: 'h2c' })).statusCode).toBe(400);
    expect((await handshake(port, GOOD, 'POST')).statusCode).toBe(405);
    expect((await handshake(port, { ...GOOD, 'sec-websocket-protocol': 'a,,b' })).statusCode).toBe(400);
    expect((await handshake(port, GOOD)).statusCode).toBe(101);
  });

  test('503 while the gateway drains', async () => {
    const { port, drain } = await start();
    drain();
    expect((await client(port, '/v1/Get').refused).status).toBe(503);
  });
});

describe('a handshake is accepted', () => {
  test('from the same host, from allowed origins, and from clients that are no browsers', async () => {
    const { port } = await start();
    for (const origin of [`http://127.0.0.1:${port}`, 'https://app.example.com', undefined]) {
      const one = client(port, '/v1/Get', { headers: origin === undefined ? {} : { origin } });
      await one.opened;
    }
  });

  test('with a bearer subprotocol, which is never the one that is chosen', async () => {
    const { port, seen } = await start();
    const one = client(port, '/v1/Get', { protocols: [bearer('good'), JSON_V1] });
    await one.opened;
    expect(one.ws.protocol).toBe(JSON_V1);
    expect(seen[0]?.call.principal.subject).toBe('u1');
    expect(JSON.stringify(seen[0]?.call.metadata)).not.toContain('bearer');
  });

  test('and says the request id', async () => {
    const { port } = await start();
    expect((await handshake(port, GOOD)).headers['x-request-id']).toBe('r1');
  });
});

describe('one call per socket', () => {
  test('a route without a body is called from its URL: one reply, then 1000', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Get?x=1');
    expect(await one.closed).toEqual({ code: 1000, reason: '' });
    expect(one.messages).toEqual(['{"query":"x=1"}']);
  });

  test('a server stream sends each reply as a text and closes 1000 at its end', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Watch?3');
    expect((await one.closed).code).toBe(1000);
    expect(one.messages).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
  });

  test('a route with a body takes its message from the first frame', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Echo');
    await one.opened;
    one.ws.send('{"a":1}');
    expect((await one.closed).code).toBe(1000);
    expect(one.messages).toEqual(['{"a":1}']);
  });

  test('an empty text instead of the message leaves what the URL says', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Echo?y');
    await one.opened;
    one.ws.send('');
    await one.closed;
    expect(one.messages).toEqual(['{"query":"y"}']);
  });

  test('a client stream on a route without a body is the URL alone', async () => {
    const { port, seen } = await start();
    const one = client(port, '/v1/Feed?z');
    expect((await one.closed).code).toBe(1000);
    expect(seen[0]?.taken).toEqual(['{"query":"z"}']);
  });

  test('a conversation ends when the client has sent an empty text and the service is done', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Chat');
    await one.opened;
    for (const message of ['1', '{"two":2}', '']) one.ws.send(message);
    expect((await one.closed).code).toBe(1000);
    expect(one.messages).toEqual(['1', '{"two":2}']);
  });

  test('a binary first message is answered in binary', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Chat');
    await one.opened;
    one.ws.send(bytes({ a: 1 }));
    one.ws.send('');
    await one.closed;
    expect(one.messages).toEqual([bytes({ a: 1 })]);
  });

  test('tidegate.v1.proto makes replies binary from the first one on', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Watch?1', { protocols: ['tidegate.v1.proto'] });
    await one.closed;
    expect(one.messages).toEqual([bytes({ n: 1 })]);
  });

  test('a refusal of the service is a last message with the status and a close code', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Missing');
    expect(await one.closed).toEqual({ code: 4005, reason: 'NOT_FOUND: no such thing' });
    expect(one.messages).toEqual(['{"error":{"code":5,"message":"no such thing"}}']);
  });

  test('a failure in mid-stream comes after the replies before it', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Break');
    expect((await one.closed).code).toBe(4015);
    expect(one.messages).toEqual(['{"n":1}', '{"error":{"code":15,"message":"the disk broke"}}']);
  });

  test('what breaks inside tells nothing of it', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Broken');
    expect(await one.closed).toEqual({ code: 4013, reason: 'INTERNAL: internal error' });
  });

  test.each([
    ['text that is not JSON', '/v1/Chat', ['{'], /message 1: invalid JSON at line 1 column 2/],
    ['a message that does not fit', '/v1/Chat', ['"wrong"'], /body: wrong/],
    [
      'a second message for a method that takes one',
      '/v1/Never',
      ['{}'],
      /message 1: this route takes no message/,
    ],
    ['binary among text', '/v1/Hold', ['1', bytes(2)], /message 2: expected text/],
    ['text among binary', '/v1/Hold', [bytes(1), '2'], /message 2: expected binary/],
    ['a message behind the end', '/v1/Hold', ['1', '', '2'], /message 3: nothing may follow/],
  ] as const)('%s ends the call INVALID_ARGUMENT', async (_, path, messages, reason) => {
    const { port, running } = await start();
    const one = client(port, path);
    await one.opened;
    for (const message of messages) one.ws.send(message);
    const closed = await one.closed;
    expect(closed.code).toBe(4003);
    expect(closed.reason).toMatch(reason);
    expect(JSON.parse(String(one.messages.at(-1)))).toMatchObject({ error: { code: 3 } });
    expect(running()).toBe(0);
  });

  test('binary where tidegate.v1.json was chosen is refused', async () => {
    const { port } = await start();
    const one = client(port, '/v1/Chat', { protocols: [JSON_V1] });
    await one.opened;
    one.ws.send(bytes(1));
    expect(await one.closed).toEqual({ code: 4003, reason: 'INVALID_ARGUMENT: message 1: expected text' });
  });

  test.each(['close', 'terminate'] as const)(
    'a client that leaves (%s) cancels the call at once',
    async (how) => {
      const { port, seen } = await start();
      const one = client(port, '/v1/Never');
      await one.opened;
      one.ws[how]();
      await vi.waitFor(() => expect(seen[0]?.call.signal.aborted).toBe(true), 1000);
      expect(seen[0]?.call.signal.reason).toMatchObject({ code: 1, message: 'the client left' });
    },
  );

  test('a client that leaves while its handshake is looked at cancels the call', async () => {
    const { port, seen, gateway } = await start();
    const { invoke } = gateway;
    let release = (): void => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    Object.assign(gateway, {
      invoke: async (call: Parameters<typeof invoke>[0]) => {
        seen.push({ call, taken: [], produced: 0, over: false });
        await slow;
        return invoke(call);
      },
    });
    const one = client(port, '/v1/Never');
    await vi.waitFor(() => expect(seen).toHaveLength(1));
    one.ws.terminate();
    await vi.waitFor(() => expect(seen[0]?.call.signal.aborted).toBe(true), 1000);
    release();
  });
});

describe('flow control', () => {
  test('a client that does not read stops the service, and one that reads again gets everything', async () => {
    const { port, seen } = await start({ padding: 10_000 });
    const one = client(port, '/v1/Watch?3000');
    await one.opened;
    one.ws.pause();
    await settledAt(() => seen[0]?.produced ?? 0);
    const stopped = seen[0]?.produced ?? 0;
    // 3,000 messages are 30 MB: what was produced fits the kernel's buffers and 64 KiB of our own.
    expect(stopped).toBeLessThan(2500);
    one.ws.resume();
    expect((await one.closed).code).toBe(1000);
    expect(one.messages).toHaveLength(3000);
  });

  test('a client that stalls and then leaves cancels the call at once', async () => {
    const { port, seen } = await start({ padding: 10_000 });
    const one = client(port, '/v1/Watch');
    await one.opened;
    one.ws.pause();
    await settledAt(() => seen[0]?.produced ?? 0);
    one.ws.close();
    await vi.waitFor(() => expect(seen[0]?.call.signal.aborted).toBe(true), 1000);
    one.ws.terminate();
  });

  test('a service that takes no messages stops the client, and none is lost', async () => {
    const { port, seen, release } = await start();
    const one = client(port, '/v1/Hold');
    await one.opened;
    const padding = 'x'.repeat(4000);
    for (let n = 0; n < 5000; n++) one.ws.send(JSON.stringify(padding));
    await settledAt(() => one.ws.bufferedAmount);
    expect(one.ws.bufferedAmount).toBeGreaterThan(1_000_000);
    release();
    one.ws.send('');
    expect((await one.closed).code).toBe(1000);
    expect(one.messages).toEqual(['{"count":5000}']);
    expect(seen[0]?.taken).toHaveLength(5000);
  });

  test('a client that vanishes while it is not read is noticed all the same', async () => {
    const { port, seen } = await start();
    const one = client(port, '/v1/Hold');
    await one.opened;
    for (let n = 0; n < 5000; n++) one.ws.send(JSON.stringify('x'.repeat(4000)));
    await settledAt(() => one.ws.bufferedAmount);
    one.ws.terminate();
    await vi.waitFor(() => expect(seen[0]?.call.signal.aborted).toBe(true), 2500);
  });

  test('a socket that is paused for the service is not taken for dead', async () => {
    const { port, release } = await start({ timeouts: { heartbeatMs: 100 } });
    const one = client(port, '/v1/Hold');
    await one.opened;
    for (let n = 0; n < 5000; n++) one.ws.send(JSON.stringify('x'.repeat(4000)));
    await sleep(1000);
    expect(one.ws.readyState).toBe(WebSocket.OPEN);
    release();
    one.ws.send('');
    expect((await one.closed).code).toBe(1000);
  });
});

describe('frames that RFC 6455 forbids', () => {
  test('longer than the limit close with 1009', async () => {
    const { port, running } = await start();
    const one = client(port, '/v1/Chat');
    await one.opened;
    one.ws.send('x'.repeat(5000));
    expect((await one.closed).code).toBe(1009);
    expect(running()).toBe(0);
  });

  test('text that is not UTF-8 closes with 1007', async () => {
    const { port, running } = await start();
    const socket = await rawSocket(port, '/v1/Chat');
    // FIN + text, masked with zeros, one byte that is no UTF-8.
    socket.write(Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]));
    const closed = await closeFrame(socket);
    expect(closed).toBe(1007);
    await vi.waitFor(() => expect(running()).toBe(0));
  });
});

describe('liveness of a route socket', () => {
  test('a client that answers pings lives on', async () => {
    const { port } = await start({ timeouts: { heartbeatMs: 50 } });
    const one = client(port, '/v1/Never');
    await one.opened;
    await sleep(500);
    expect(one.ws.readyState).toBe(WebSocket.OPEN);
  });

  test('one that answers no ping is closed with 4103 and its call cancelled', async () => {
    const { port, seen } = await start({ timeouts: { heartbeatMs: 50 } });
    const socket = await rawSocket(port, '/v1/Never');
    expect(await closeFrame(socket)).toBe(4103);
    expect(seen[0]?.call.signal.aborted).toBe(true);
  });
});

describe('many calls per socket', () => {
  test('run side by side', async () => {
    const { port } = await start();
    const one = await greeted(port);
    one.send({ type: 'open', sid: 1, method: 't.Test/Never' });
    one.send({ type: 'open', sid: 2, method: 't.Test/Echo', message: { a: 1 } });
    one.send({ type: 'open', sid: 3, route: 'GET /v1/Watch?2' });
    await vi.waitFor(() => expect(frames(one).filter(({ type }) => type === 'end')).toHaveLength(2));
    expect(
      frames(one)
        .filter(({ sid }) => sid === 2)
        .map(({ type }) => type),
    ).toEqual(['opened', 'msg', 'end']);
    expect(
      frames(one)
        .filter(({ sid }) => sid === 3)
        .map(({ type }) => type),
    ).toEqual(['opened', 'msg', 'msg', 'end']);
  });

  test('speak protobuf with tidegate.v1.proto', async () => {
    const { port } = await start();
    const one = client(port, '/ws', { protocols: ['tidegate.v1.proto'] });
    await one.opened;
    one.ws.send(encodeFrame({ type: 'hello', token: 'good', features: [] }));
    one.ws.send(encodeFrame({ type: 'open', sid: 1, method: 't.Test/Echo', headers: {}, message: bytes(7) }));
    const got = () => one.messages.flatMap((data) => [...decodeFrames(data as Buffer)]);
    await vi.waitFor(() =>
      expect(got().map(({ type }) => type)).toEqual(['welcome', 'opened', 'msg', 'end']),
    );
    expect(got()[2]).toMatchObject({ sid: 1, data: bytes(7) });
  });

  test.each([
    ['{', 4053],
    ['{"type":"nope"}', 4054],
    [bytes({}), 4055],
    ['{"type":"msg","sid":9,"data":1}', 4056],
  ])('%s closes the socket with %d and cancels every call', async (data, code) => {
    const { port, running } = await start();
    const one = await greeted(port);
    one.send({ type: 'open', sid: 1, method: 't.Test/Never' });
    one.ws.send(data);
    expect((await one.closed).code).toBe(code);
    expect(running()).toBe(0);
  });

  test('a client that leaves cancels every call', async () => {
    const { port, running, seen } = await start();
    const one = await greeted(port);
    for (const sid of [1, 2, 3]) one.send({ type: 'open', sid, method: 't.Test/Never' });
    await vi.waitFor(() => expect(running()).toBe(3));
    one.ws.close();
    await vi.waitFor(() => expect(running()).toBe(0), 1000);
    expect(seen).toHaveLength(3);
  });

  test('a client that does not read stops the service', async () => {
    const { port, seen } = await start({ padding: 10_000 });
    const one = await greeted(port);
    one.ws.pause();
    one.send({ type: 'open', sid: 1, route: 'GET /v1/Watch?3000' });
    await settledAt(() => seen[0]?.produced ?? -1);
    expect(seen[0]?.produced).toBeLessThan(2500);
    one.ws.resume();
    await vi.waitFor(
      () => expect(frames(one).at(-1)).toMatchObject({ type: 'end', status: { code: 0 } }),
      5000,
    );
    expect(one.messages).toHaveLength(3002);
  });
});

describe('drain', () => {
  test('sends each socket away at its moment, lets calls come to an end, and tells streams when to come back', async () => {
    const { port, drain, door } = await start({ timeouts: { drainMs: 2000 } });
    const watch = client(port, '/v1/Hold');
    const echo = client(port, '/v1/Echo');
    const idle = await greeted(port);
    await Promise.all([watch.opened, echo.opened]);
    const before = Date.now();
    drain();
    await vi.waitFor(() => expect(frames(idle)).toMatchObject([{ type: 'goaway' }]));
    const { reconnect_after_ms: told } = frames(idle)[0] as unknown as { reconnect_after_ms: number };
    expect((await idle.closed).code).toBe(4200);
    expect(Date.now() - before).toBeGreaterThanOrEqual(told - 5);
    expect(Date.now() - before).toBeLessThan(told + 500);
    expect(await watch.closed).toEqual({ code: 4200, reason: 'UNAVAILABLE: the gateway is shutting down' });
    expect(watch.messages).toEqual(['{"error":{"code":14,"message":"the gateway is shutting down"}}']);
    expect(Date.now() - before).toBeGreaterThanOrEqual(995);
    echo.ws.send('1');
    expect((await echo.closed).code).toBe(1000);
    expect(echo.messages).toEqual(['1']);
    await door.close();
  });

  test('cuts what still runs when the time is over, and close waits until every socket is gone', async () => {
    const { port, door, running } = await start({ timeouts: { drainMs: 100 } });
    const never = client(port, '/v1/Never');
    const many = await greeted(port);
    many.send({ type: 'open', sid: 1, method: 't.Test/Never' });
    await vi.waitFor(() => expect(running()).toBe(2));
    await door.close();
    expect(running()).toBe(0);
    expect((await never.closed).code).toBe(4200);
    expect((await many.closed).code).toBe(4200);
    expect(frames(many).map(({ type }) => type)).toEqual(['goaway', 'end']);
  });

  test('does not wait for ever for a client that does not read', async () => {
    const { port, door, seen } = await start({ padding: 10_000, timeouts: { drainMs: 50 } });
    const one = client(port, '/v1/Watch');
    await one.opened;
    one.ws.pause();
    await settledAt(() => seen[0]?.produced ?? 0);
    const before = Date.now();
    await door.close();
    expect(Date.now() - before).toBeLessThan(2500);
  });
});

/** Resolves when a number has stood still for a while. */
async function settledAt(read: () => number): Promise<void> {
  let last = Number.NaN;
  for (let now = read(); now !== last || now === -1; now = read()) {
    last = now;
    await sleep(150);
  }
}

/** A WebSocket by hand: the TCP socket after a good handshake. */
async function rawSocket(port: number, path: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  open.at(-1)?.clients.push({ terminate: () => socket.destroy() });
  const lines = Object.entries({ host: 'x', ...GOOD }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    if (String(chunk).startsWith('HTTP/1.1 101')) return socket;
  }
  throw new Error('refused');
}

/** The code of the close frame that the server sends; pings are not answered. */
async function closeFrame(socket: Socket): Promise<number> {
  let received = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    received = Buffer.concat([received, chunk as Buffer]);
    while (received.length >= 2 && received[0] === 0x89) received = received.subarray(2);
    const at = received.indexOf(0x88);
    if (at >= 0 && received.length >= at + 4) return received.readUInt16BE(at + 2);
  }
  return 1006;
}
