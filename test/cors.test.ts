/** CORS by the Fetch standard: which pages may read what, what they may send, and what is said to caches. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RunningGateway } from './support/gateway.js';
import { startTeller, startTellerGateway, type Teller } from './support/teller.js';

const APP = 'https://app.example.com';
const OTHER = 'https://other.example.com';

let teller: Teller;
let gateway: RunningGateway;
const others: RunningGateway[] = [];
beforeAll(async () => {
  teller = await startTeller();
  gateway = await startTellerGateway(teller, [
    '--origin',
    APP,
    '--cors-credentials',
    '--cors-allow-header',
    'X-Tenant',
  ]);
});
beforeEach(() => {
  teller.telling = {};
});
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
});
afterAll(async () => {
  await gateway.close();
  await teller.server.stop();
});

async function another(...flags: string[]): Promise<RunningGateway> {
  const started = await startTellerGateway(teller, flags);
  others.push(started);
  return started;
}

type Headers = Record<string, string>;

interface Answer {
  readonly status: number;
  /** Those that CORS defines, without their common prefix. */
  readonly cors: Headers;
  readonly headers: Headers;
}

async function ask(
  path: string,
  { at = gateway, method = 'GET', ...init }: RequestInit & { at?: RunningGateway } = {},
): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${at.port}${path}`, { method, ...init });
  await answer.arrayBuffer().catch(() => undefined);
  const headers = Object.fromEntries(answer.headers);
  const cors = Object.entries(headers).flatMap(([name, value]) =>
    name.startsWith('access-control-') ? [[name.slice('access-control-'.length), value]] : [],
  );
  return { status: answer.status, cors: Object.fromEntries(cors) as Headers, headers };
}

function preflight(
  path: string,
  method: string,
  headers?: string,
  origin = APP,
  at = gateway,
): Promise<Answer> {
  return ask(path, {
    at,
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      ...(headers !== undefined && { 'access-control-request-headers': headers }),
    },
  });
}

describe('an allowed origin', () => {
  test('may read the answer, with credentials if the configuration says so', async () => {
    const { cors } = await ask('/v1/tell', { headers: { origin: APP } });
    expect(cors).toMatchObject({ 'allow-origin': APP, 'allow-credentials': 'true' });
    const without = await another('--origin', APP);
    expect((await ask('/v1/tell', { at: without, headers: { origin: APP } })).cors).not.toHaveProperty(
      'allow-credentials',
    );
  });

  test('sees exactly the headers that are sent', async () => {
    teller.telling = {
      headers: { 'x-a': '1', 'cache-control': 'no-store', 'set-cookie': 'c=1', location: '/x' },
      trailers: { 'x-b': '2' },
    };
    const { cors, headers } = await ask('/v1/tell', { headers: { origin: APP } });
    const exposed = cors['expose-headers']?.split(', ');
    expect(exposed?.sort()).toEqual(['date', 'location', 'vary', 'x-a', 'x-b', 'x-request-id']);
    for (const name of exposed ?? []) expect(headers).toHaveProperty([name]);
  });

  test.each([
    ['an unknown path', '/v1/nowhere', {}, 404],
    ['a malformed path', '/v1/%zz', {}, 400],
    ['another method', '/v1/tell', { method: 'DELETE' }, 405],
    ['a bad query', '/v1/tell?x=1', {}, 400],
    ['no token', '/v1/secret', {}, 401],
  ])('may read the error for %s', async (_, path, init, status) => {
    const answer = await ask(path, { ...init, headers: { origin: APP } });
    expect(answer).toMatchObject({ status, cors: { 'allow-origin': APP } });
    expect(answer.cors['expose-headers']).toContain('x-request-id');
    if (status === 401) expect(answer.cors['expose-headers']).toContain('www-authenticate');
  });

  test.each(['text/event-stream', 'application/x-ndjson', 'application/json'])(
    'may read a stream of %s',
    async (accept) => {
      const { status, cors, headers } = await ask('/v1/tell:on', { headers: { origin: APP, accept } });
      expect([status, cors['allow-origin'], headers['content-type']]).toEqual([200, APP, accept]);
      expect(headers.vary).toMatch(/accept.*origin/);
    },
  );

  test('is told that an EventSource has to stay away', async () => {
    const headers = { origin: APP, accept: 'text/event-stream', 'last-event-id': 'end' };
    expect(await ask('/v1/tell:on', { headers })).toMatchObject({
      status: 204,
      cors: { 'allow-origin': APP },
    });
  });
});

describe('an origin that is not allowed', () => {
  test.each([OTHER, 'http://app.example.com', `${APP}:8443`, 'https://app.example.com.evil.com', 'null', ''])(
    '%j is served, but cannot read',
    async (origin) => {
      const { status, cors, headers } = await ask('/v1/tell', { headers: { origin } });
      expect([status, cors]).toEqual([200, {}]);
      expect(headers.vary).toContain('origin');
    },
  );

  test('gets no more than Allow for its preflight', async () => {
    const { status, cors, headers } = await preflight('/v1/tell', 'GET', 'x-tenant', OTHER);
    expect([status, cors, headers.allow]).toEqual([204, {}, 'GET, HEAD, OPTIONS, POST']);
  });

  test('and no origin at all: caches must still keep the answers apart', async () => {
    const { cors, headers } = await ask('/v1/tell');
    expect([cors, headers.vary]).toEqual([{}, 'accept, accept-encoding, origin']);
  });
});

describe('a preflight', () => {
  test('tells the methods that the path serves, and how long that may be remembered', async () => {
    const { status, cors, headers } = await preflight('/v1/tell', 'POST');
    expect(status).toBe(204);
    expect(cors).toEqual({
      'allow-origin': APP,
      'allow-credentials': 'true',
      'allow-methods': 'GET, HEAD, POST',
      'max-age': '600',
    });
    expect(headers.vary).toBe('origin, access-control-request-method, access-control-request-headers');
    const short = await another('--origin', APP, '--cors-allow-header', 'a');
    expect((await preflight('/v1/tell', 'DELETE', undefined, APP, short)).cors['allow-methods']).toBe(
      'GET, HEAD, POST',
    );
  });

  test('of a path for all methods tells the one that is asked for', async () => {
    expect((await preflight('/v1/any', 'PURGE')).cors['allow-methods']).toBe('PURGE');
  });

  test('allows headers that the gateway reads and those of the configuration, and no others', async () => {
    const asked = 'Authorization, content-type,x-tenant, x-other, x-user-id, a b';
    expect((await preflight('/v1/tell', 'GET', asked)).cors['allow-headers']).toBe(
      'authorization, content-type, x-tenant',
    );
    expect((await preflight('/v1/tell', 'GET', 'x-other')).cors).not.toHaveProperty('allow-headers');
  });

  test('allows any header where the configuration says *, by its name', async () => {
    const any = await another('--origin', APP, '--cors-allow-header', '*');
    expect((await preflight('/v1/tell', 'GET', 'X-Other, a b', APP, any)).cors['allow-headers']).toBe(
      'x-other',
    );
  });

  test('of an unknown path is 404, of a malformed one 400', async () => {
    expect((await preflight('/v1/nowhere', 'GET')).status).toBe(404);
    expect((await preflight('/v1/%zz', 'GET')).status).toBe(400);
  });

  test('is nothing without the method that is asked for, and neither is OPTIONS without Origin', async () => {
    const headers = { origin: APP };
    expect((await ask('/v1/tell', { method: 'OPTIONS', headers })).cors).not.toHaveProperty('allow-methods');
    const { status, cors, headers: plain } = await ask('/v1/tell', { method: 'OPTIONS' });
    expect([status, cors, plain.allow]).toEqual([204, {}, 'GET, HEAD, OPTIONS, POST']);
  });
});

describe('origins: *', () => {
  test('lets everybody read, without credentials, and with one answer for all', async () => {
    const all = await another('--origin', '*');
    for (const origin of [OTHER, 'null']) {
      const { cors, headers } = await ask('/v1/tell', { at: all, headers: { origin } });
      expect(cors['allow-origin']).toBe('*');
      expect(cors).not.toHaveProperty('allow-credentials');
      expect(headers.vary).not.toContain('origin');
    }
    expect((await preflight('/v1/tell', 'GET', undefined, OTHER, all)).cors['allow-origin']).toBe('*');
  });

  test('is refused together with credentials', async () => {
    await expect(another('--origin', '*', '--cors-credentials')).rejects.toThrow(
      'not together with the origin *',
    );
  });
});

test('without origins nothing is said of CORS', async () => {
  const closed = await another();
  const { cors, headers } = await ask('/v1/tell', { at: closed, headers: { origin: APP } });
  expect([cors, headers.vary]).toEqual([{}, 'accept, accept-encoding']);
  expect((await preflight('/v1/tell', 'GET', undefined, APP, closed)).cors).toEqual({});
});

test("in a server of the user's own, paths that are not ours have no CORS of ours", async () => {
  const { handle } = gateway.gateway;
  const server = createServer((request, response) => {
    handle(request, response, () => response.writeHead(200, [['x-mine', '1']].flat()).end('mine'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const at = { ...gateway, port: (server.address() as AddressInfo).port };
  try {
    const mine = await ask('/mine', { at, headers: { origin: APP } });
    expect([mine.headers['x-mine'], mine.cors]).toEqual(['1', {}]);
    expect((await preflight('/mine', 'GET', undefined, APP, at)).cors).toEqual({});
    expect((await ask('/v1/tell', { at, headers: { origin: APP } })).cors['allow-origin']).toBe(APP);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
