/** HTTP from clients that play tricks with the connection, and answers of services that break their library. */
import { createServer as createHttp2Server, type Http2Server } from 'node:http2';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type RunningGateway, startGateway } from './support/gateway.js';
import { type Probe, startProbe } from './support/probe.js';

let probe: Probe;
let gateway: RunningGateway;
beforeAll(async () => {
  probe = await startProbe();
  gateway = await startGateway(probe.address);
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});
afterEach(() => vi.waitFor(() => expect(probe.running).toBe(0), { timeout: 1000 }));

interface Client {
  readonly socket: Socket;
  /** All that came back so far. */
  text(): string;
  /** The gateway has closed its side. */
  readonly closed: Promise<void>;
}

function open(bytes: string, port = gateway.port): Client {
  let text = '';
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write(bytes));
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) =>
    socket.once('close', () => resolve()).once('end', () => resolve()),
  );
  onTestFinished(() => void socket.destroy());
  return { socket, text: () => text, closed };
}

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nhost: a\r\n${more}\r\n`;
const answers = (text: string): number => text.split('HTTP/1.1 ').length - 1;

describe('requests sent ahead on one connection', () => {
  test('are served one at a time, and end with the client', async () => {
    const client = open(get('/v1/probe/silent:watch').repeat(30));
    await vi.waitFor(() => expect(probe.running).toBe(1));
    await sleep(300);
    expect(probe.running).toBe(1);
    client.socket.destroy();
    await vi.waitFor(() => expect(probe.running).toBe(0), { timeout: 1000 });
  });

  test('are answered in order, however many fit the limit', async () => {
    const client = open(Array.from({ length: 90 }, (_, n) => get(`/v1/probe/n${n}`)).join(''));
    await vi.waitFor(() => expect(answers(client.text())).toBe(90));
    const order = [...client.text().matchAll(/"text":"n(\d+)"/g)].map(([, n]) => Number(n));
    expect(order).toEqual(order.map((_, index) => index));
  });

  test('over the limit cost the client its connection', async () => {
    const client = open(get('/v1/probe/silent:watch') + get('/v1/probe/ok').repeat(500));
    await client.closed;
  });

  test('a handshake behind an answer that is not complete cuts the connection', async () => {
    const handshake =
      'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const client = open(get('/v1/probe/open:watch') + get('/v1/talk/a', handshake));
    await client.closed;
    expect(client.text()).not.toContain('101 Switching');
  });

  test('an offer of HTTP/2 behind an answer that is not complete cuts the connection', async () => {
    const client = open(
      get('/v1/probe/silent:watch') + get('/v1/probe/two', 'connection: Upgrade\r\nupgrade: h2c\r\n'),
    );
    await client.closed;
  });
});

describe('more headers than Node keeps by itself', () => {
  const many = 'a:\r\n'.repeat(2100);

  test('lose neither the body nor who calls', async () => {
    const client = open(`PUT /v1/probe HTTP/1.1\r\nhost: a\r\n${many}content-length: 12\r\n\r\n{"text":"a"}`);
    await vi.waitFor(() => expect(answers(client.text())).toBe(1));
    expect(client.text()).not.toMatch(/^HTTP\/1\.1 200 [\s\S]*\{\}$/);
    const secret = open(get('/v1/probe/ok', `${many}authorization: Bearer x.y.z\r\n`));
    await vi.waitFor(() => expect(secret.text()).toMatch(/^HTTP\/1\.1 4/));
  });

  test('do not turn a body into a request of its own', async () => {
    const inner = get('/v1/probe/SMUGGLED');
    const head = `PUT /v1/probe HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: h2c\r\n${many}content-length: ${inner.length}\r\n\r\n`;
    const client = open(head + inner);
    await vi.waitFor(() => expect(answers(client.text())).toBe(1));
    await sleep(200);
    expect(answers(client.text())).toBe(1);
    expect(client.text()).not.toContain('SMUGGLED');
  });
});

test('an offer of HTTP/2 does not hide what else the connection says', async () => {
  const client = open(
    get(
      '/v1/probe/ok',
      'connection: close, Upgrade, x-hop\r\nupgrade: h2c\r\nx-hop: secret\r\nx-end: kept\r\n',
    ),
  );
  await vi.waitFor(() => expect(client.text()).toMatch(/connection: close/i));
  expect(client.text()).toContain('"x-end":"kept"');
  expect(client.text()).not.toContain('secret');
});

describe('what is no HTTP', () => {
  test('is answered and the connection closed, whether the client closes its side or not', async () => {
    const client = open('NONSENSE\r\n\r\n');
    await client.closed;
    expect(client.text()).toMatch(/^HTTP\/1\.1 400 /);
    // Nobody reads there any more: what is written is answered by a reset.
    const reset = new Promise((resolve) => client.socket.once('close', resolve));
    const writing = setInterval(() => client.socket.write('more'), 20);
    await reset;
    clearInterval(writing);
  });

  test('behind an answer that has begun is not answered into it', async () => {
    const client = open(get('/v1/probe/open:watch'));
    await vi.waitFor(() => expect(client.text()).toContain('"sequence":"3"'));
    client.socket.write('garbage\r\n\r\n');
    await client.closed;
    expect(answers(client.text())).toBe(1);
  });
});

describe('a service that breaks its library', () => {
  let server: Http2Server;
  let broken: RunningGateway;
  let encoding: string | undefined;
  beforeAll(async () => {
    server = createHttp2Server();
    server.on('stream', (stream) => {
      stream.respond({
        ':status': 200,
        'content-type': 'application/grpc',
        ...(encoding ? { 'grpc-encoding': encoding } : {}),
      });
      stream.end(Buffer.from([1, 0, 0, 0, 3, 0x0a, 0x01, 0x41]));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    broken = await startGateway(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
  afterAll(async () => {
    await broken.close();
    server.close();
  });

  test.each([undefined, 'snappy', 'gzip'])(
    'by a message that says it is compressed, with %s',
    async (name) => {
      encoding = name;
      for (const path of ['/v1/probe/ok', '/v1/probe/ok:watch']) {
        const answer = await fetch(`http://127.0.0.1:${broken.port}${path}`);
        const text = await answer.text();
        expect(text).toMatch(/"code":(13|12|2|14)\b/);
      }
      expect((await fetch(`http://127.0.0.1:${broken.port}/healthz`)).status).toBe(200);
    },
  );
});

test('a service that gives up a connection, since too many of its calls were cancelled, is away and not broken', async () => {
  const held: Client[] = [];
  const statuses = (): string[] =>
    held.map((client) => client.text().slice(9, 12)).filter((status) => status !== '');
  // Node's own HTTP/2 server takes a thousand resets at once, then some thirty a second (nghttp2's rate limit).
  for (let round = 0; round < 60 && statuses().length === 0; round++) {
    held.push(open(get('/v1/probe/silent', 'grpc-timeout: 60S\r\n')));
    const wave = Array.from({ length: 50 }, () => open(get('/v1/probe/silent')));
    // Only a call that has reached the service is reset there. The last wave is met by the closing connection.
    await vi.waitFor(() => expect(probe.running + statuses().length).toBeGreaterThanOrEqual(50));
    for (const { socket } of wave) socket.destroy();
    await vi.waitFor(() => expect(probe.running).toBeLessThanOrEqual(held.length));
  }
  await vi.waitFor(() => expect(statuses()).not.toEqual([]));
  expect(statuses().filter((status) => status !== '503')).toEqual([]);
  for (const { socket } of held) socket.destroy();
}, 90_000);
