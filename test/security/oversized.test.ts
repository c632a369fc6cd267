/** Everything that is too large, too deep, or grows when it is unpacked: refused early, with an error that says what and how much. */
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { type RunningGateway, startGateway } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';
import { get, limited, raw, statusOf } from '../support/security/attack.js';

let probe: Probe;
let gateway: RunningGateway;
beforeAll(async () => {
  probe = await startProbe();
  const limits = ['--body-limit', '1MiB', '--url-limit', '1KiB', '--frame-limit', '16KiB'];
  gateway = await startGateway(probe.address, ['--proto', PROBE_PROTO, ...limits]);
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});

const url = (path: string): string => `http://127.0.0.1:${gateway.port}${path}`;
const send = (body: Uint8Array | string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url('/v1/probe'), {
    method: 'PUT',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
const messageOf = async (answer: Response): Promise<string> =>
  ((await answer.json()) as { message: string }).message;

describe('a URL', () => {
  test('over the limit is 414, in path and query alike, and one of just that size is served', async () => {
    for (const path of [
      `/v1/probe/${'a'.repeat(1024)}`,
      `/v1/probe/ok?mode=${'a'.repeat(1024)}`,
      `/${'x'.repeat(1024)}`,
    ]) {
      const answer = await fetch(url(path));
      expect(answer.status).toBe(414);
      expect(await messageOf(answer)).toBe('url: longer than 1024 bytes');
    }
    expect((await fetch(url(`/v1/probe/${'a'.repeat(1024 - '/v1/probe/'.length)}`))).status).toBe(200);
    expect(await limited(gateway.port, 'url')).toBe(3);
  });

  test('of a WebSocket handshake is 414 too', async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/ws?${'x'.repeat(1100)}`, ['tidegate.v1.json']);
    const status = await new Promise((resolve) => {
      ws.on('error', () => undefined);
      ws.once('unexpected-response', (_, response) => resolve(response.statusCode));
    });
    expect(status).toBe(414);
    await vi.waitFor(async () => expect(await limited(gateway.port, 'url')).toBe(4));
  });
});

test('headers over the limit are 431, one large or many small, and counted', async () => {
  const large = raw(gateway.port, get('/v1/probe/ok', `x-a: ${'a'.repeat(17_000)}\r\n`));
  const many = raw(gateway.port, get('/v1/probe/ok', 'x-name: value\r\n'.repeat(2000)));
  await Promise.all([large.closed, many.closed]);
  expect([statusOf(large), statusOf(many)]).toEqual(['431', '431']);
  expect(await limited(gateway.port, 'headers')).toBe(2);
});

describe('a body', () => {
  test('that announces too much is 413 before it is read', async () => {
    const head = 'PUT /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n';
    const client = raw(gateway.port, `${head}content-length: 99999999999\r\n\r\n`);
    await vi.waitFor(() => expect(statusOf(client)).toBe('413'));
    expect(client.text()).toContain('body: larger than 1048576 bytes');
  });

  test('that grows beyond the limit chunk by chunk is 413', async () => {
    const head =
      'PUT /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n';
    const chunk = `10000\r\n${'a'.repeat(65_536)}\r\n`;
    const client = raw(gateway.port, head + chunk.repeat(20));
    await vi.waitFor(() => expect(statusOf(client)).toBe('413'));
  });

  test('is counted', async () => {
    expect(await limited(gateway.port, 'body')).toBe(2);
  });
});

describe('a compression bomb', () => {
  const zeros = Buffer.alloc(256 << 20);
  const brotli = (data: Buffer): Buffer =>
    brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });

  test.each([
    ['gzip', gzipSync(zeros)],
    ['deflate', deflateSync(zeros)],
    ['br', brotli(zeros)],
  ])('of %s is 413, and is not unpacked', async (coding, bomb) => {
    const before = process.memoryUsage().rss;
    const answer = await send(bomb, { 'content-encoding': coding });
    expect(answer.status).toBe(413);
    expect(await messageOf(answer)).toBe('body: larger than 1048576 bytes when it is inflated');
    expect(process.memoryUsage().rss - before).toBeLessThan(128 << 20);
  });

  test('that goes on for ever, as a stream of messages, is 413', async () => {
    const answer = await fetch(url('/v1/sum'), {
      method: 'POST',
      body: gzipSync(Buffer.alloc(64 << 20, ' ')),
      headers: { 'content-type': 'application/x-ndjson', 'content-encoding': 'gzip' },
    });
    expect(answer.status).toBe(413);
  });

  test('within a bomb is no coding that is served', async () => {
    expect((await send(gzipSync(gzipSync(zeros)), { 'content-encoding': 'gzip, gzip' })).status).toBe(415);
  });

  test('is counted', async () => {
    expect(await limited(gateway.port, 'inflated')).toBe(4);
  });
});

describe('JSON', () => {
  test.each([
    ['objects', '{"seen":'.repeat(100_000)],
    ['arrays', '['.repeat(500_000)],
    ['objects that end', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['arrays that end', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
  ])('nested without end, of %s, is 400 and does not end the process', async (_, body) => {
    expect((await send(body)).status).toBe(400);
    expect((await fetch(url('/v1/probe/ok'))).status).toBe(200);
  });

  test('nested without end in a frame ends the call or the socket', async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/ws`, ['tidegate.v1.json']);
    const code = new Promise<number>((resolve) => ws.once('close', resolve));
    await new Promise((resolve) => ws.once('open', resolve));
    ws.send('{"type":"hello"}');
    ws.send(`{"type":"open","sid":1,"method":"x","message":${'['.repeat(15_000)}`);
    expect(await code).toBe(4053);
  });
});

test('a WebSocket message over the limit is closed with 1009, whole or in parts, and counted', async () => {
  for (const parts of [1, 4]) {
    const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}/ws`, ['tidegate.v1.json']);
    const code = new Promise<number>((resolve) => ws.once('close', resolve));
    await new Promise((resolve) => ws.once('open', resolve));
    const part = 'a'.repeat(Math.ceil(16_500 / parts));
    for (let n = 1; n <= parts; n++) ws.send(part, { fin: n === parts });
    expect(await code).toBe(1009);
  }
  await vi.waitFor(async () => expect(await limited(gateway.port, 'frame')).toBe(2));
});
