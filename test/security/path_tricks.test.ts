/** Attacks on permissions by the way a request is written: its path, its verb, its headers. The rule belongs to the method, not to the path. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { type Guarded, startGuarded } from '../support/access.js';
import { tokenFor } from '../support/gateway.js';

let guard: Guarded;
beforeAll(async () => {
  // The contract has it public; the configuration does not.
  guard = await startGuarded(`
access:
  - match: owned.v1.OwnedService/Open
    permissions: [open]
  - match: owned.v1.OwnedService/WatchOpen
    roles: [nobody]
`);
});
afterAll(() => guard?.close());
beforeEach(() => {
  guard.service.metadata.length = 0;
});

describe('a permission that the caller does not have', () => {
  test.each([
    '/v1/open',
    '/v1/open/',
    '//v1/open',
    '/v1//open',
    '/v1/./open',
    '/v1/x/../open',
    '/v1/customers/../open',
    '/v1/customers/%2e%2e/open',
    '/v1%2Fopen',
    '/v1/%6fpen',
    '/v1/open%00',
    '/v1/open;a=b',
    '/v1/open?access_token=x',
    '/V1/OPEN',
    '/v1\\open',
    '/v1/open#x',
    'http://127.0.0.1/v1/open',
    '/owned.v1.OwnedService/Open',
    '/owned.v1.OwnedService/%4fpen',
    '//owned.v1.OwnedService/Open',
    '/owned.v1.OwnedService/../owned.v1.OwnedService/Open',
    '/owned.v1.OwnedService%2FOpen',
  ])('is needed however the path is written: %s', async (path) => {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      for (const token of [undefined, tokenFor('ann', ['opened', 'open:*'])]) {
        const { status } = await guard.ask(path, { method, ...(token !== undefined && { token }) });
        // OPTIONS tells the methods of the path, and asks no service.
        const refusals = [400, 401, 403, 404, 405, 501, ...(method === 'OPTIONS' ? [204] : [])];
        expect(refusals, `${method} ${status}`).toContain(status);
      }
    }
    expect(guard.service.metadata).toEqual([]);
  });

  test.each([
    'x-http-method-override',
    'x-http-method',
    'x-method-override',
    'x-original-url',
    'x-rewrite-url',
  ])('is needed whatever %s says', async (name) => {
    for (const value of ['GET', '/v1/customers/ann'])
      expect((await guard.ask('/v1/open', { headers: { [name]: value } })).status).toBe(401);
    expect(guard.service.metadata).toEqual([]);
  });

  test('is needed by name, by route and by handshake on a WebSocket', async () => {
    for (const path of [
      '/v1/open',
      '/v1/open:watch',
      '/owned.v1.OwnedService/Open',
      '//v1/open',
      '/v1/x/../open',
    ]) {
      const status = await new Promise<number | undefined>((resolve) => {
        const socket = new WebSocket(`ws://127.0.0.1:${guard.port}${path}`);
        socket.on('unexpected-response', (_, response) => resolve(response.statusCode));
        socket.on('open', () => resolve(200)).on('error', () => {});
      });
      expect([400, 401, 404], path).toContain(status);
    }
    const socket = new WebSocket(`ws://127.0.0.1:${guard.port}/ws`, ['tidegate.v1.json']);
    const asked = [
      { method: 'owned.v1.OwnedService/Open', message: {} },
      { method: '/owned.v1.OwnedService/Open', message: {} },
      { method: 'owned.v1.OwnedService/WatchOpen', message: {} },
      { route: 'GET /v1/open' },
      { route: 'GET /v1/../v1/open' },
      { route: 'GET //v1/open' },
      { route: 'POST /owned.v1.OwnedService/Open', message: {} },
    ];
    const codes: (number | undefined)[] = [];
    await new Promise<void>((resolve) => {
      socket.on('open', () => {
        socket.send(JSON.stringify({ type: 'hello' }));
        asked.forEach((open, index) => {
          socket.send(JSON.stringify({ type: 'open', sid: index + 1, ...open }));
        });
      });
      socket.on('message', (data: Buffer) => {
        for (const line of data.toString().split('\n')) {
          const frame = JSON.parse(line) as { type: string; status?: { code: number } };
          if (frame.type === 'end') codes.push(frame.status?.code);
        }
        if (codes.length === asked.length) resolve();
      });
    });
    socket.terminate();
    for (const code of codes) expect([3, 5, 12, 16]).toContain(code);
    expect(codes.filter((code) => code === 16).length).toBeGreaterThanOrEqual(4);
    expect(guard.service.metadata).toEqual([]);
  });

  test('lets who has it pass, by every way there is', async () => {
    const token = tokenFor('ann', ['open']);
    expect((await guard.ask('/v1/open', { token })).status).toBe(200);
    expect((await guard.ask('/v1/%6fpen', { token })).status).toBe(200);
    expect((await guard.ask('/owned.v1.OwnedService/Open', { method: 'POST', token })).status).toBe(200);
    expect(guard.service.metadata).toHaveLength(3);
  });
});

describe('a method that no rule mentions', () => {
  test('needs a token: nothing is open by default', async () => {
    const open = await startGuarded('access: [{ match: owned.v1.OwnedService/Claim, bind: [] }]');
    try {
      expect((await open.ask('/v1/claims')).status).toBe(401);
      expect((await open.ask('/v1/claims', { token: tokenFor('x') })).status).toBe(200);
    } finally {
      await open.close();
    }
  });
});
