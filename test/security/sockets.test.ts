/** Floods of WebSockets, handshakes, messages and frames: refused or closed as PROTOCOL.md says, for the caller that sends them alone. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';
import { limited, raw, statusOf } from '../support/security/attack.js';

let probe: Probe;
let gateway: RunningGateway;
let clients: WebSocket[] = [];
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => probe.kill());
afterEach(async () => {
  for (const ws of clients) ws.terminate();
  clients = [];
  await gateway.close();
});

async function start(...flags: string[]): Promise<void> {
  gateway = await startGateway(probe.address, ['--proto', PROBE_PROTO, ...flags]);
}

interface Client {
  readonly ws: WebSocket;
  readonly frames: { readonly type?: string; readonly [name: string]: unknown }[];
  readonly opened: Promise<void>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  /** The status of a handshake that was refused. */
  readonly refused: Promise<{ readonly status: number; readonly retryAfter: string | undefined }>;
}

function connect(path = '/ws', subject?: string): Client {
  const headers = subject === undefined ? {} : { authorization: `Bearer ${tokenFor(subject)}` };
  const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, ['tidegate.v1.json'], { headers });
  clients.push(ws);
  const frames: Client['frames'] = [];
  ws.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString())));
  ws.on('error', () => undefined);
  return {
    ws,
    frames,
    opened: new Promise((resolve) => ws.once('open', resolve)),
    closed: new Promise((resolve) =>
      ws.once('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    ),
    refused: new Promise((resolve) =>
      ws.once('unexpected-response', (_, { statusCode = 0, headers: { 'retry-after': retryAfter } }) =>
        resolve({ status: statusCode, retryAfter }),
      ),
    ),
  };
}

/** Greeted, and ready for calls. */
async function session(subject?: string): Promise<Client> {
  const client = connect('/ws', subject);
  await client.opened;
  client.ws.send('{"type":"hello"}');
  await vi.waitFor(() => expect(client.frames[0]?.type).toBe('welcome'));
  return client;
}

const outcome = (client: Client): Promise<number> =>
  Promise.race([client.opened.then(() => 101), client.refused.then(({ status }) => status)]);
const times = <T>(count: number, run: () => T): T[] => Array.from({ length: count }, run);
const FLOOD = { code: 4102, reason: 'more messages than this client may send in a second' };

describe('a flood of frames', () => {
  test('closes the socket with 4102 and cancels its calls, one frame a message', async () => {
    await start('--messages', '50');
    const client = await session();
    client.ws.send('{"type":"open","sid":1,"route":"GET /v1/probe/open:watch"}');
    await vi.waitFor(() => expect(probe.running).toBe(1));
    for (let n = 0; n < 200; n++) client.ws.send('{"type":"ping"}');
    expect(await client.closed).toEqual(FLOOD);
    await vi.waitFor(() => expect(probe.running).toBe(0));
    expect(client.frames.filter(({ type }) => type === 'pong').length).toBeLessThan(60);
    expect(await limited(gateway.port, 'messages')).toBeGreaterThanOrEqual(1);
  });

  test('packed into one message is counted frame by frame', async () => {
    await start('--messages', '50');
    const client = await session();
    client.ws.send(times(500, () => '{"type":"ping"}').join('\n'));
    expect(await client.closed).toEqual(FLOOD);
  });

  test("of WebSocket's own pings closes the socket", async () => {
    await start('--messages', '50');
    const client = await session();
    for (let n = 0; n < 200; n++) client.ws.ping();
    expect(await client.closed).toEqual(FLOOD);
  });

  test('on a route closes it with 4102, and says why before', async () => {
    await start('--messages', '20');
    const client = connect('/v1/talk/a');
    await client.opened;
    for (let n = 0; n < 200; n++) client.ws.send('{"sequence":1}');
    expect((await client.closed).code).toBe(4102);
    expect(client.frames.at(-1)).toMatchObject({ error: { code: 8 } });
  });

  test('before hello closes the socket', async () => {
    await start('--messages', '20');
    const client = connect();
    await client.opened;
    for (let n = 0; n < 200; n++) client.ws.pong();
    expect(await client.closed).toEqual(FLOOD);
  });

  test('is shared out over all sockets of one principal, and does not touch another one', async () => {
    await start('--messages', '60');
    const [one, two, other] = await Promise.all([session('u1'), session('u1'), session('u2')]);
    for (let n = 0; n < 45; n++) {
      one.ws.send('{"type":"ping"}');
      two.ws.send('{"type":"ping"}');
    }
    await Promise.race([one.closed, two.closed]);
    other.ws.send('{"type":"ping"}');
    await vi.waitFor(() => expect(other.frames.at(-1)?.type).toBe('pong'));
  });

  test('that goes on after the close is cut off', async () => {
    await start('--messages', '10');
    const client = await session();
    client.ws.close = () => undefined;
    const flood = setInterval(() => client.ws.readyState === WebSocket.OPEN && client.ws.ping(), 1);
    await client.closed;
    clearInterval(flood);
  });

  test('at the rate that it may have goes on', async () => {
    await start('--messages', '100');
    const client = await session();
    for (let n = 0; n < 20; n++) {
      client.ws.send('{"type":"ping"}\n{"type":"ping"}\n{"type":"ping"}');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await vi.waitFor(() => expect(client.frames.filter(({ type }) => type === 'pong').length).toBe(60));
  });
});

describe('a flood of calls on one socket', () => {
  test('over the rate ends each call with RESOURCE_EXHAUSTED, and the socket stays', async () => {
    await start('--requests', '5');
    const client = await session();
    for (let sid = 1; sid <= 20; sid++)
      client.ws.send(`{"type":"open","sid":${sid},"route":"GET /v1/probe/ok"}`);
    const ends = () => client.frames.filter(({ type }) => type === 'end') as { status?: { code: number } }[];
    await vi.waitFor(() => expect(ends().length).toBe(20));
    const refused = ends().filter(({ status }) => status?.code === 8);
    expect(refused.length).toBeGreaterThanOrEqual(10);
    expect(JSON.stringify(refused[0])).toContain('google.rpc.RetryInfo');
    expect(client.ws.readyState).toBe(WebSocket.OPEN);
  });

  test('over the number of calls on a socket, and of streams of a principal on all, is refused', async () => {
    await start('--streams-per-socket', '3', '--streams-per-principal', '4');
    const watch = (client: Client, sid: number) =>
      client.ws.send(`{"type":"open","sid":${sid},"route":"GET /v1/probe/open:watch"}`);
    const [one, two] = await Promise.all([session('u1'), session('u1')]);
    for (const sid of [1, 2, 3, 4]) watch(one, sid);
    await vi.waitFor(() => expect(one.frames.at(-1)).toMatchObject({ type: 'msg' }));
    await vi.waitFor(() => expect(probe.running).toBe(3));
    expect(one.frames.filter(({ type }) => type === 'end')).toMatchObject([{ sid: 4, status: { code: 8 } }]);
    for (const sid of [1, 2]) watch(two, sid);
    const ended = () => two.frames.filter(({ type }) => type === 'end');
    await vi.waitFor(() => expect(ended()).toMatchObject([{ status: { code: 8 } }]));
    expect(await limited(gateway.port, 'streams_per_socket')).toBe(1);
    expect(await limited(gateway.port, 'streams_per_principal')).toBe(1);
  });
});

describe('a flood of handshakes', () => {
  test('of one address is 429, and others are let in', async () => {
    await start('--handshakes-per-address', '5');
    const all = await Promise.all(times(15, () => outcome(connect())));
    expect(all.filter((status) => status === 101).length).toBeGreaterThanOrEqual(5);
    expect(all.filter((status) => status === 429).length).toBeGreaterThanOrEqual(5);
    const request =
      'GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n' +
      'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: tidegate.v1.json\r\n\r\n';
    const other = raw(gateway.port, request, '127.0.0.2');
    await vi.waitFor(() => expect(statusOf(other)).toBe('101'));
    expect(await limited(gateway.port, 'handshakes_per_address')).toBeGreaterThanOrEqual(5);
  });

  test('of everybody is 503 with when to come back', async () => {
    await start('--handshakes', '3');
    const all = times(10, () => connect());
    const seen = await Promise.all(all.map(outcome));
    expect(new Set(seen)).toEqual(new Set([101, 503]));
    const index = seen.indexOf(503);
    expect(Number((await (all[index] as Client).refused).retryAfter)).toBeGreaterThanOrEqual(2);
    expect(await limited(gateway.port, 'handshakes')).toBe(seen.filter((status) => status === 503).length);
  });
});

describe('WebSockets of one principal', () => {
  test('over the number are 429 until one has gone, on routes too', async () => {
    await start('--connections-per-principal', '2');
    const [one] = [await session('u1'), await session('u1')];
    expect(await outcome(connect('/ws', 'u1'))).toBe(429);
    expect(await outcome(connect('/v1/talk/a', 'u1'))).toBe(429);
    expect(await outcome(connect('/ws', 'u2'))).toBe(101);
    one.ws.close();
    await one.closed;
    await vi.waitFor(async () => expect(await outcome(connect('/v1/talk/a', 'u1'))).toBe(101));
    expect(await limited(gateway.port, 'connections_per_principal')).toBeGreaterThanOrEqual(2);
  });

  test('are counted when the token comes in hello, and given up when the call is refused', async () => {
    await start('--connections-per-principal', '1');
    await session('u1');
    const late = connect();
    await late.opened;
    late.ws.send(JSON.stringify({ type: 'hello', token: tokenFor('u1') }));
    expect((await late.closed).code).toBe(4128);
    for (let n = 0; n < 3; n++) expect(await outcome(connect('/v1/secret/ok:watch', 'u3'))).toBe(403);
    expect(await outcome(connect('/ws', 'u3'))).toBe(101);
  });
});

test('who tries tokens in hello has none looked at after some', async () => {
  await start('--bad-tokens', '2');
  const codes: number[] = [];
  for (let n = 0; n < 6; n++) {
    const client = connect();
    await client.opened;
    client.ws.send(JSON.stringify({ type: 'hello', token: `a.b.${n}` }));
    codes.push((await client.closed).code);
  }
  expect(codes.slice(0, 2)).toEqual([4316, 4316]);
  expect(codes).toContain(4128);
  expect(await limited(gateway.port, 'bad_tokens')).toBe(codes.filter((code) => code === 4128).length);
});

test('whose token is known says hello with it, whatever tokens others at its address try', async () => {
  await start('--bad-tokens', '1');
  const hello = async (token: string): Promise<number | 'welcome'> => {
    const client = connect();
    await client.opened;
    client.ws.send(JSON.stringify({ type: 'hello', token }));
    const welcome = vi.waitFor(() => expect(client.frames[0]?.type).toBe('welcome'), { timeout: 5000 });
    return Promise.race([welcome.then(() => 'welcome' as const), client.closed.then(({ code }) => code)]);
  };
  const [known, other] = [tokenFor('u1'), tokenFor('u2')];
  expect(await hello(known)).toBe('welcome');
  await vi.waitFor(async () => {
    await Promise.all([1, 2, 3, 4].map((n) => hello(`a.b.${n}`)));
    expect(await Promise.all([hello(known), hello(other)])).toEqual(['welcome', 4128]);
    const authorized = connect('/ws', 'u1');
    expect(await outcome(authorized)).toBe(101);
  });
});

describe('a socket without calls', () => {
  test('is closed with 4106 after its time', async () => {
    await start('--idle-timeout', '300ms', '--heartbeat', '100ms');
    const client = await session();
    client.ws.on('message', () => client.ws.send('{"type":"pong"}'));
    expect((await client.closed).code).toBe(4106);
  });

  test('is not while a call is open', async () => {
    await start('--idle-timeout', '300ms', '--heartbeat', '100ms');
    const client = await session();
    client.ws.send('{"type":"open","sid":1,"route":"GET /v1/probe/open:watch"}');
    const pings = () => client.frames.filter(({ type }) => type === 'ping').length;
    client.ws.on(
      'message',
      (data) => data.toString().includes('"ping"') && client.ws.send('{"type":"pong"}'),
    );
    await vi.waitFor(() => expect(pings()).toBeGreaterThanOrEqual(8), { timeout: 4000 });
    expect(client.ws.readyState).toBe(WebSocket.OPEN);
    client.ws.send('{"type":"cancel","sid":1}');
    expect((await client.closed).code).toBe(4106);
  });
});
