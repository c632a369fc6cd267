/** What a page of somebody else may try with the browser of a user who is signed in by a cookie, and what browsers are kept from. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Config, ConfigError, loadConfig } from '../../gateway/config.js';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';

const APP = 'https://app.example.com';
const EVIL = 'https://evil.example.com';

let probe: Probe;
let gateway: RunningGateway;
beforeAll(async () => {
  probe = await startProbe();
  // The most lenient in everything that is no protection.
  gateway = await startGateway(
    probe.address,
    ['--proto', PROBE_PROTO, '--origin', APP, '--token-cookie', 'session', '--cors-credentials'],
    (config): Config => ({
      ...config,
      auth: { ...config.auth, queryParameter: 'access_token' },
      http: { ...config.http, contentTypes: 'any', formOverride: true },
    }),
  );
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});

const token = tokenFor('u1', ['secrets:read']);
const cookie = `theme=dark; session=${token}`;
const own = () => `http://127.0.0.1:${gateway.port}`;

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Not by fetch, which has its own mind about the headers of browsers. */
function ask(
  path: string,
  headers: Readonly<Record<string, string>> = {},
  { method = 'GET', body = '' }: { readonly method?: string; readonly body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port: gateway.port, path, method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
    });
    sent.on('error', reject).end(body);
  });
}

const PUT = { method: 'PUT', body: '{"text":"x"}' } as const;
const put = (headers: Readonly<Record<string, string>>) =>
  ask('/v1/probe', { 'content-type': 'application/json', ...headers }, PUT);

/** 101, or the status of the refusal. */
function handshake(path: string, headers: Readonly<Record<string, string>>): Promise<number> {
  const ws = new WebSocket(`ws://127.0.0.1:${gateway.port}${path}`, ['tidegate.v1.json'], { headers });
  return new Promise((resolve) => {
    ws.once('open', () => resolve(101)).once('unexpected-response', (_, { statusCode = 0 }) =>
      resolve(statusCode),
    );
    ws.on('error', () => undefined);
  }).then((status) => {
    ws.terminate();
    return status as number;
  });
}

describe('cross-site WebSocket hijacking', () => {
  const STREAM = '/v1/secret/open:watch';

  test('a foreign page is refused, with the cookie and without it', async () => {
    for (const origin of [EVIL, 'null', 'http://127.0.0.1.evil.example.com', `${APP}.evil.example.com`, '']) {
      expect([origin, await handshake('/ws', { origin, cookie })]).toEqual([origin, 403]);
      expect([origin, await handshake(STREAM, { origin, cookie })]).toEqual([origin, 403]);
      expect([origin, await handshake('/ws', { origin })]).toEqual([origin, 403]);
    }
  });

  test('a page of another scheme or port on our host is refused', async () => {
    for (const origin of [`capacitor://127.0.0.1:${gateway.port}`, 'http://127.0.0.1:1'])
      expect([origin, await handshake(STREAM, { origin, cookie })]).toEqual([origin, 403]);
  });

  test('our own page and one of an allowed origin have the right of the cookie', async () => {
    expect(await handshake(STREAM, { origin: own(), cookie })).toBe(101);
    expect(await handshake(STREAM, { origin: APP, cookie })).toBe(101);
  });

  test('without an Origin a cookie counts for nothing, and a token of its own does', async () => {
    expect(await handshake(STREAM, { cookie })).toBe(401);
    expect(await handshake(STREAM, { authorization: `Bearer ${token}` })).toBe(101);
  });
});

describe('a forged request of a foreign page (CSRF)', () => {
  test('that changes something is refused, whatever it says of where it is from', async () => {
    for (const headers of [
      { origin: EVIL },
      { origin: 'null' },
      {},
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'same-origin' },
      { origin: EVIL, 'sec-fetch-site': 'same-origin' },
      { origin: own(), 'sec-fetch-site': 'cross-site' },
    ]) {
      const { status, text } = await put({ ...headers, cookie });
      expect([headers, status]).toEqual([headers, 403]);
      expect(text).toContain('header origin');
    }
  });

  test('of a type that needs no preflight is refused too', async () => {
    const types = [
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/x-www-form-urlencoded' },
      { 'content-type': 'multipart/form-data; boundary=b' },
      {},
    ];
    for (const headers of types) {
      for (const path of ['/v1/sum', '/v1/talk/a', '/v1/secret/ok', '/probe.v1.ProbeService/GetSecret']) {
        const answer = await ask(path, { ...headers, origin: EVIL, cookie }, { method: 'POST', body: '{}' });
        expect([path, headers, answer.status >= 400]).toEqual([path, headers, true]);
      }
      expect(
        (await ask('/v1/sum', { ...headers, origin: EVIL, cookie }, { method: 'POST', body: '{}' })).status,
      ).toBe(403);
    }
  });

  test('that reads has no more rights than nobody', async () => {
    for (const headers of [
      { origin: EVIL },
      {},
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ])
      expect([headers, (await ask('/v1/secret/ok', { ...headers, cookie })).status]).toEqual([headers, 401]);
  });

  test('cannot get a ticket, or revoke tokens', async () => {
    for (const path of ['/-/tickets', '/-/revocations'])
      expect([
        path,
        (await ask(path, { origin: EVIL, cookie }, { method: 'POST', body: '{}' })).status,
      ]).toEqual([path, 403]);
  });

  test('is told from one of our own page, or of an allowed origin', async () => {
    expect((await put({ origin: own(), 'sec-fetch-site': 'same-origin', cookie })).status).toBe(200);
    expect((await put({ origin: APP, 'sec-fetch-site': 'cross-site', cookie })).status).toBe(200);
    expect((await ask('/v1/secret/ok', { 'sec-fetch-site': 'same-origin', cookie })).status).toBe(200);
    expect((await put({ origin: EVIL, authorization: `Bearer ${token}` })).status).toBe(200);
  });
});

describe('CORS', () => {
  test('of every origin with credentials is no configuration', () => {
    const argv = ['--upstream', probe.address, '--origin', '*', '--cors-credentials'];
    expect(() => loadConfig({ argv, env: {} })).toThrow(ConfigError);
    expect(() => loadConfig({ argv, env: {} })).toThrow(/not together with the origin \*/);
  });

  test('lets no foreign page read, in answers, errors and preflights, and tells caches why', async () => {
    const asked = { origin: EVIL, 'access-control-request-method': 'PUT' };
    for (const answer of [
      await ask('/v1/probe/ok', { origin: EVIL }),
      await ask('/v1/secret/ok', { origin: EVIL }),
      await ask('/nowhere', { origin: EVIL }),
      await ask('/v1/probe', asked, { method: 'OPTIONS' }),
    ]) {
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
      expect(answer.headers.vary?.toLowerCase()).toContain('origin');
    }
  });

  test('lets an allowed page ask before it sends', async () => {
    const asked = {
      origin: APP,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'authorization, x-evil',
    };
    const { status, headers } = await ask('/v1/probe', asked, { method: 'OPTIONS' });
    expect([
      status,
      headers['access-control-allow-origin'],
      headers['access-control-allow-credentials'],
    ]).toEqual([204, APP, 'true']);
    expect(headers['access-control-allow-headers']).toBe('authorization');
    expect(headers.vary?.toLowerCase()).toContain('origin');
  });
});

describe('what a browser might show', () => {
  const SAFE = {
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
  };

  test.each([
    '/healthz',
    '/readyz',
    '/metrics',
    '/nowhere',
    '/v1/secret/ok',
    '/v1/probe/fail',
    '/-/tickets',
    '/v1/%zz',
    '/ws',
  ])('%s, which the gateway writes itself, can be run, framed and followed nowhere', async (path) => {
    expect((await ask(path)).headers).toMatchObject(SAFE);
  });

  test('a refused handshake neither', async () => {
    const ws = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    };
    const answer = await ask('/ws', { ...ws, origin: EVIL });
    expect([answer.status, answer.headers]).toEqual([403, expect.objectContaining(SAFE)]);
  });

  test('a reply is what its type says, of a single message and of streams', async () => {
    for (const accept of ['application/json', 'text/event-stream', 'application/x-ndjson']) {
      const path = accept === 'application/json' ? '/v1/probe/ok' : '/v1/probe/ok:watch';
      const { status, headers } = await ask(path, { accept });
      expect([accept, status, headers['x-content-type-options']]).toEqual([accept, 200, 'nosniff']);
      // What may be done with the service's own pages is for the service to say.
      expect(headers['content-security-policy']).toBeUndefined();
    }
  });

  test('an answer to a token in a cookie or a query is kept by no cache that others share', async () => {
    const byCookie = await ask('/v1/secret/ok', { 'sec-fetch-site': 'same-origin', cookie });
    const byQuery = await ask(`/v1/secret/ok?access_token=${token}`);
    const open = await ask('/v1/probe/ok');
    expect([byCookie.status, byCookie.headers['cache-control']]).toEqual([200, 'private']);
    expect([byQuery.status, byQuery.headers['cache-control']]).toEqual([200, 'private']);
    expect([open.status, open.headers['cache-control']]).toEqual([200, undefined]);
  });
});
