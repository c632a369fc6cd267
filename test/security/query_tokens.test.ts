/** Tokens in an URL: refused unless they are asked for; and wherever a token or ticket is sent, no log of the gateway has it. */
import { spawn } from 'node:child_process';
import { describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { signToken } from '../../gateway/http/token.js';
import { MAIN, stop } from '../support/command.js';
import { OWNED_PROTO, startOwned } from '../support/owned.js';
import { freePort } from '../support/probe.js';
import { useIssued } from '../support/security/issued.js';

const { closing, start } = useIssued();

const EVENTS = 'text/event-stream';
/** Each way of asking, with a query: the status that it is answered with. */
const WAYS: readonly (readonly [string, (port: number, query: string) => Promise<number>])[] = [
  ['REST', (port, query) => status(port, `/v1/customers/ann?${query}`)],
  ['SSE', (port, query) => status(port, `/v1/customers/ann:watch?${query}`, EVENTS)],
  ['lines', (port, query) => status(port, `/v1/customers/ann:watch?${query}`, 'application/x-ndjson')],
  ['a WebSocket on a route', (port, query) => handshake(port, `/v1/customers/ann:watch?${query}`)],
];

async function status(
  port: number,
  path: string,
  accept = 'application/json',
  headers = {},
): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { accept, ...headers } });
  await response.text();
  return response.status;
}

function handshake(port: number, path: string, protocols: string[] = [], headers = {}): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { headers });
    socket.on('open', () => {
      socket.close();
      socket.on('close', () => resolve(101));
    });
    socket.on('unexpected-response', (_, { statusCode = 0 }) => resolve(statusCode));
    socket.on('error', () => undefined);
  });
}

describe('a token in the query', () => {
  test.each(['access_token', 'token', 'jwt', 'bearer', 'authorization', 'Authorization', 'id_token'])(
    'as %s makes nobody somebody',
    async (name) => {
      const site = await start();
      for (const [, ask] of WAYS) expect(await ask(site.port, `${name}=${site.token()}`)).toBe(401);
      expect(await status(site.port, `/v1/open?${name}=${site.token()}`)).toBe(400);
      expect(site.service.metadata).toEqual([]);
    },
  );

  test('as ticket is taken for no ticket, since it is none', async () => {
    const site = await start();
    for (const [, ask] of WAYS) expect(await ask(site.port, `ticket=${site.token()}`)).toBe(401);
    expect(site.service.metadata).toEqual([]);
  });

  test('is no token for a multiplexed socket, whose calls are nobody’s', async () => {
    const site = await start();
    const socket = new WebSocket(`ws://127.0.0.1:${site.port}/ws?access_token=${site.token()}`, [
      'tidegate.v1.json',
    ]);
    closing.push(() => socket.terminate());
    const frames: string[] = [];
    socket.on('message', (data: Buffer) => void frames.push(...data.toString().split('\n')));
    await new Promise((resolve) => socket.on('open', resolve));
    socket.send('{"type":"hello"}');
    socket.send('{"type":"open","sid":1,"route":"GET /v1/customers/ann"}');
    await vi.waitFor(() => expect(frames.join()).toContain('"end"'));
    expect(JSON.parse(frames.find((frame) => frame.includes('"end"')) ?? '')).toMatchObject({
      status: { code: 16 },
    });
    expect(site.service.metadata).toEqual([]);
  });

  test('is taken where it is asked for, under that name alone, and never passed on', async () => {
    const site = await start('--token-parameter', 'access_token');
    for (const [name, ask] of WAYS) {
      expect(await ask(site.port, `access_token=${site.token()}`)).toBe(
        name.includes('WebSocket') ? 101 : 200,
      );
      expect(await ask(site.port, `token=${site.token()}`)).toBe(401);
      expect(await ask(site.port, `access_token=${site.token({ exp: 1 })}`)).toBe(401);
      expect(await ask(site.port, `access_token=`)).toBe(401);
    }
    expect(site.service.metadata).toHaveLength(WAYS.length);
    expect(JSON.stringify([site.service.metadata, site.service.requests])).not.toContain(
      site.token().slice(0, 20),
    );
  });

  test('does not go together with another, however it is spelt', async () => {
    const site = await start('--token-parameter', 'access_token');
    const token = site.token();
    const path = '/v1/customers/ann?access_token=';
    expect(await status(site.port, `${path}${token}`, EVENTS, { authorization: `Bearer ${token}` })).toBe(
      400,
    );
    expect(await status(site.port, `${path}${token}&access_token=${token}`)).toBe(400);
    expect(await status(site.port, `${path}${token}&access%5ftoken=${token}`)).toBe(400);
  });
});

test('no log holds a token or ticket that came in a query, a cookie, a subprotocol or a frame, good or bad', async () => {
  const service = await startOwned();
  const secret = 'a secret that is long enough for HS256';
  const port = await freePort();
  const flags = ['--host', '127.0.0.1', '--port', `${port}`, '--log-level', 'trace', '--drain', '200ms'];
  const places = ['--token-parameter', 'access_token', '--token-cookie', 'session', '--bad-tokens', '0'];
  const args = [...flags, ...places, '--proto', OWNED_PROTO, '--upstream', service.address];
  const env = { ...process.env, TIDEGATE_JWT_SECRET: secret };
  const child = spawn(process.execPath, [MAIN, 'serve', ...args, '--audit-file', '-', '--audit-allowed'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  closing.push(
    () => stop(child),
    () => service.kill(),
  );
  let logged = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      logged += text;
    });
  }
  await vi.waitFor(async () => expect(await status(port, '/readyz')).toBe(200), {
    timeout: 30_000,
    interval: 100,
  });

  const tokenOf = (key: string, jti: string) =>
    signToken({ subject: 'ann', key, expiresInSeconds: 600, permissions: [`x:${jti}`] });
  const tokens = [tokenOf(secret, 'good'), tokenOf('another secret that is long enough', 'bad')];
  const tickets: string[] = [];
  for (const token of tokens) {
    for (const [, ask] of WAYS) {
      await ask(port, `access_token=${token}`);
      await ask(port, `token=${token}`);
      await ask(port, `access_token=${token}&access_token=${token}`);
    }
    const cookie = { cookie: `session=${token}`, 'sec-fetch-site': 'same-origin' };
    await status(port, '/v1/customers/ann', 'application/json', cookie);
    await handshake(port, '/ws', ['tidegate.v1.json'], {
      cookie: cookie.cookie,
      origin: `http://127.0.0.1:${port}`,
    });
    await handshake(port, '/ws', ['tidegate.v1.json', `bearer.${Buffer.from(token).toString('base64url')}`]);
    const answer = await fetch(`http://127.0.0.1:${port}/-/tickets?access_token=${token}`, {
      method: 'POST',
    });
    const { ticket = '' } = (await answer.json()) as { ticket?: string };
    if (ticket !== '') tickets.push(ticket);
  }
  expect(tickets).toHaveLength(1);
  for (let n = 0; n < 2; n++) for (const [, ask] of WAYS) await ask(port, `ticket=${tickets[0]}`);
  await stop(child);
  // The reader sees what it guards: lines of calls that were allowed, and of tokens and tickets that were refused.
  for (const text of ['"decision":"allowed"', 'token signature is not valid', 'ticket: not known']) {
    expect(logged).toContain(text);
  }
  for (const hidden of [...tokens, ...tickets]) {
    const signature = hidden.split('.')[2] ?? hidden.slice(4);
    for (const form of [hidden, signature, Buffer.from(hidden).toString('base64url')]) {
      expect(logged.includes(form), `${form.slice(0, 30)} is in the log`).toBe(false);
    }
  }
}, 60_000);
