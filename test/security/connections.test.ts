/** Connections in numbers, and clients that are slow on purpose: what they hold is bounded, and everybody else is served. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type RunningGateway, startGateway } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';
import { get, limited, type RawClient, raw, statusOf } from '../support/security/attack.js';

let probe: Probe;
let gateway: RunningGateway;
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => probe.kill());
afterEach(() => gateway.close());

async function start(...flags: string[]): Promise<number> {
  gateway = await startGateway(probe.address, ['--proto', PROBE_PROTO, ...flags]);
  return gateway.port;
}

const times = <T>(count: number, run: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => run(index));

async function allConnected(clients: readonly RawClient[]): Promise<void> {
  await vi.waitFor(() => expect(clients.filter(({ socket }) => socket.connecting)).toEqual([]), 10_000);
}

/** Of a client that behaves, at an address of its own. */
async function served(port: number, from = '127.0.0.2'): Promise<string> {
  const client = raw(port, get('/v1/probe/ok', 'connection: close\r\n'), from);
  await client.closed;
  return statusOf(client);
}

/** The reading of `tidegate_open_connections`, the one that asks among them. */
async function openConnections(port: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^tidegate_open_connections (\d+)$/m.exec(text)?.[1]);
}

describe('slow-loris: 1,000 sockets that never come to the end of their headers', () => {
  test('are cut off when the time for headers is over, and others are served meanwhile', async () => {
    const port = await start('--headers-timeout', '3s', '--connections-per-address', '2000');
    const slow = times(1000, () => raw(port, 'GET /v1/probe/ok HTTP/1.1\r\nhost: a\r\n'));
    await allConnected(slow);
    const drip = setInterval(() => {
      for (const { socket } of slow) if (socket.writable) socket.write('x-a: b\r\n');
    }, 500);
    expect(await served(port)).toBe('200');
    await vi.waitFor(() => expect(slow.filter((one) => !one.isClosed())).toEqual([]), 15_000);
    clearInterval(drip);
    expect(new Set(slow.map(statusOf))).toEqual(new Set(['408']));
    expect(await limited(port, 'headers_timeout')).toBe(1000);
    expect(await served(port)).toBe('200');
  }, 40_000);

  test('of one address hold no more than its connections', async () => {
    const port = await start('--connections-per-address', '50');
    const slow = times(1000, () => raw(port, 'GET / HTTP/1.1\r\n'));
    await vi.waitFor(() => expect(slow.filter((one) => one.isClosed()).length).toBe(950), 15_000);
    expect(await served(port)).toBe('200');
    expect(slow.filter((one) => !one.isClosed()).length).toBe(50);
    for (const { socket } of slow) socket.destroy();
    // The one that asks may have come too early itself.
    await vi.waitFor(async () => expect(await limited(port, 'connections_per_address')).toBeGreaterThan(949));
  }, 40_000);

  test('that say nothing at all are cut off too', async () => {
    const port = await start('--headers-timeout', '500ms');
    const silent = times(20, () => raw(port));
    await vi.waitFor(() => expect(silent.filter((one) => !one.isClosed())).toEqual([]), 5000);
  });

  test('that begin a second request slowly are cut off as well', async () => {
    const port = await start('--headers-timeout', '500ms');
    const client = raw(port, `${get('/v1/probe/ok')}GET /v1/probe/ok HTTP/1.1\r\n`);
    await client.closed;
    expect(client.text()).toMatch(/^HTTP\/1\.1 200 [\s\S]*HTTP\/1\.1 408 /);
  });
});

describe('a connection flood', () => {
  test('is answered 503 with when to come back, and closed, and what was open stays', async () => {
    const port = await start('--connections', '20', '--connections-per-address', '0');
    const held = times(20, () => raw(port, get('/v1/probe/open:watch')));
    await vi.waitFor(() => expect(held.map(statusOf)).toEqual(times(20, () => '200')));
    const flood = times(100, () => raw(port, get('/v1/probe/ok')));
    await Promise.all(flood.map(({ closed }) => closed));
    const answered = flood.filter((one) => one.text() !== '');
    expect(answered.length).toBeGreaterThan(50);
    for (const one of answered) {
      expect(one.text()).toMatch(
        /^HTTP\/1\.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\n/,
      );
      expect(JSON.parse(one.text().split('\r\n\r\n')[1] ?? '')).toEqual({
        code: 14,
        message: 'connections: too many are open',
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2s' }],
      });
    }
    expect(held.filter((one) => one.isClosed())).toEqual([]);
    for (const { socket } of held) socket.destroy();
    await vi.waitFor(async () => expect(await served(port)).toBe('200'));
    expect(await limited(port, 'connections')).toBeGreaterThanOrEqual(100);
  });

  test('of one address leaves the others their room', async () => {
    const port = await start('--connections-per-address', '10');
    const flood = times(200, () => raw(port, get('/v1/probe/open:watch')));
    await vi.waitFor(() => expect(flood.filter((one) => one.isClosed()).length).toBe(190));
    expect(await served(port, '127.0.0.2')).toBe('200');
    expect(await served(port, '127.0.0.3')).toBe('200');
  });

  test('that never closes its side is cut', async () => {
    const port = await start('--connections', '1', '--connections-per-address', '0');
    const held = raw(port, get('/v1/probe/open:watch'));
    await vi.waitFor(() => expect(statusOf(held)).toBe('200'));
    const stubborn = raw(port);
    await stubborn.closed;
    const reset = new Promise((resolve) => stubborn.socket.once('close', resolve));
    const writing = setInterval(() => stubborn.socket.write('more'), 50);
    await reset;
    clearInterval(writing);
  });

  test.skipIf(spawnSync('openssl', ['version']).status !== 0)(
    'on TLS is cut before the handshake',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-'));
      const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const made = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout ${key} -out ${cert}`;
      expect(spawnSync('openssl', made.split(' ')).status).toBe(0);
      const port = await start('--connections-per-address', '2', '--tls-cert', cert, '--tls-key', key);
      const secure = (): Promise<string> =>
        new Promise((resolve) => {
          let text = '';
          const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () =>
            socket.write(get('/v1/probe/ok')),
          );
          socket.on('data', (data) => {
            text += data.toString();
            resolve(text.slice(9, 12));
          });
          socket.on('error', () => resolve('cut')).on('close', () => resolve('cut'));
          onTestFinished(() => void socket.destroy());
        });
      expect([await secure(), await secure(), await secure()]).toEqual(['200', '200', 'cut']);
    },
  );

  test('that comes and goes is counted to zero', async () => {
    const port = await start('--connections-per-address', '50');
    for (let round = 0; round < 10; round++) {
      const clients = times(40, () => raw(port, get('/v1/probe/ok'), '127.0.0.2'));
      await vi.waitFor(() => expect(clients.map(statusOf)).toEqual(times(40, () => '200')));
      for (const { socket } of clients) socket.destroy();
      await vi.waitFor(async () => expect(await openConnections(port)).toBeLessThanOrEqual(2));
    }
    expect(await limited(port, 'connections_per_address')).toBe(0);
  });

  test('of declined upgrades counts each connection once', async () => {
    const port = await start('--connections-per-address', '2');
    const offer = get('/v1/probe/ok', 'connection: Upgrade\r\nupgrade: h2c\r\n');
    const client = raw(port, offer, '127.0.0.2');
    for (let answers = 1; answers <= 5; answers++) {
      await vi.waitFor(() => expect(client.text().split('HTTP/1.1 200').length).toBe(answers + 1));
      client.socket.write(offer);
    }
    const other = raw(port, get('/v1/probe/ok'), '127.0.0.2');
    await vi.waitFor(() => expect(statusOf(other)).toBe('200'));
    client.socket.destroy();
    other.socket.destroy();
    await vi.waitFor(async () => expect(await openConnections(port)).toBe(1));
  });
});

describe('a body that comes slowly on purpose', () => {
  const put = (length: number): string =>
    `PUT /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n{`;

  test('byte by byte, each before the limit on silence, is 408', async () => {
    const port = await start('--body-timeout', '400ms', '--body-rate', '100');
    const slow = times(20, () => raw(port, put(100_000)));
    const drip = setInterval(() => {
      for (const { socket } of slow) if (socket.writable) socket.write(' ');
    }, 100);
    await vi.waitFor(() => expect(slow.map(statusOf)).toEqual(times(20, () => '408')), 5000);
    clearInterval(drip);
    expect(slow[0]?.text()).toContain('body: it comes more slowly than 100 bytes a second');
    expect(await limited(port, 'body_rate')).toBe(20);
  });

  test('in the middle of a message of a stream is 408, and between two it may take its time', async () => {
    const port = await start('--body-timeout', '300ms', '--body-rate', '100');
    const head = 'POST /v1/sum HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const resting = raw(port, head);
    for (const sequence of [1, 2, 3]) {
      await sleep(250);
      resting.socket.write(chunk(`{"sequence":${sequence}}\n`));
      await sleep(250);
    }
    resting.socket.write('0\r\n\r\n');
    await vi.waitFor(() => expect(resting.text()).toContain('"sequence":"6"'));
    const slow = raw(port, head + chunk('{"text":"'));
    const drip = setInterval(() => void (slow.socket.writable && slow.socket.write(chunk('a'))), 100);
    await vi.waitFor(() => expect(statusOf(slow)).toBe('408'), 5000);
    clearInterval(drip);
  });

  test('as fast as it has to is served', async () => {
    const port = await start('--body-timeout', '300ms', '--body-rate', '100');
    const text = `"text":"${'a'.repeat(400)}"}`;
    const client = raw(port, put(text.length + 1));
    for (let at = 0; at < text.length; at += 50) {
      client.socket.write(text.slice(at, at + 50));
      await sleep(100);
    }
    await vi.waitFor(() => expect(statusOf(client)).toBe('200'));
  });
});

test('an answer that is not read is not held for ever', async () => {
  const port = await start('--write-timeout', '500ms', '--reply-limit', '32MiB', '--body-limit', '32MiB');
  const body = JSON.stringify({ text: 'a'.repeat(24 << 20) });
  const head = `PUT /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  const client = raw(port, head + body, '127.0.0.2');
  client.socket.pause();
  await vi.waitFor(async () => expect(await openConnections(port)).toBe(1), 10_000);
  client.socket.resume();
  await client.closed;
  expect(client.text().length).toBeLessThan(24 << 20);
}, 20_000);

test('an answer that is read slowly, but read, comes whole', async () => {
  const port = await start('--write-timeout', '500ms', '--reply-limit', '32MiB', '--body-limit', '32MiB');
  const body = JSON.stringify({ text: 'a'.repeat(16 << 20) });
  const head = `PUT /v1/probe HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  const client = raw(port, head + body);
  let wanted = true;
  client.socket.on('data', () => {
    client.socket.pause();
    setTimeout(() => client.socket.resume(), wanted ? 8 : 0);
    wanted = client.text().length < 12 << 20;
  });
  await client.closed;
  expect(client.text().length).toBeGreaterThan(16 << 20);
}, 30_000);

test('a connection that waits for its next request for too long is closed, and told so before', async () => {
  const port = await start('--keep-alive', '1s');
  const client = raw(port, get('/v1/probe/ok'));
  await vi.waitFor(() => expect(client.text()).toMatch(/^HTTP\/1\.1 200 [\s\S]*keep-alive: timeout=1\r\n/i));
  await client.closed;
});
