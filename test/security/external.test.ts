/** A second opinion from a policy server: asked, remembered, and when it says nothing, a refusal. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createDecisions, type Question } from '../../src/policy/external.js';
import { Code } from '../../src/status.js';
import { type Guarded, startGuarded } from '../support/access.js';
import { DOORS } from '../support/door_clients.js';
import { tokenFor } from '../support/gateway.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Opa {
  readonly url: string;
  readonly asked: { readonly input: Question }[];
  /** What it answers; undefined: nothing at all. */
  answer: (input: Question, response: ServerResponse) => void;
}

/** Speaks the data API of Open Policy Agent, and decides as it is told. */
async function startOpa(): Promise<Opa> {
  const opa: Opa = { url: '', asked: [], answer: (_, response) => reply(response, { result: true }) };
  const server = createServer((request: IncomingMessage, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const question = JSON.parse(body) as { input: Question };
      expect([request.method, request.url]).toEqual(['POST', '/v1/data/gateway/allow']);
      opa.asked.push(question);
      opa.answer(question.input, response);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  closing.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return Object.assign(opa, { url: `http://127.0.0.1:${port}/v1/data/gateway/allow` });
}

function reply(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function guarded(opa: Opa, more = ''): Promise<Guarded> {
  const guard = await startGuarded(`auth: { external: { url: '${opa.url}', timeoutMs: 300ms, ${more} } }`);
  closing.push(guard.close);
  return guard;
}

const ANN = tokenFor('ann', ['b', 'a']);

describe('a policy server', () => {
  test('is asked who calls what, and with the claims and the request that are configured', async () => {
    const opa = await startOpa();
    const guard = await guarded(opa, 'claims: [iss, sub], request: true');
    expect((await guard.ask('/v1/customers/ann/orders/7', { token: ANN })).status).toBe(200);
    expect(opa.asked).toEqual([
      {
        input: {
          method: 'owned.v1.OwnedService/Get',
          subject: 'ann',
          roles: [],
          permissions: ['a', 'b'],
          claims: { sub: 'ann' },
          request: { customerId: 'ann', orderId: '7' },
        },
      },
    ]);
    expect(JSON.stringify(opa.asked)).not.toContain(ANN);
  });

  test('is not asked what the rules refuse already', async () => {
    const opa = await startOpa();
    const guard = await guarded(opa);
    expect((await guard.ask('/v1/customers/ann')).status).toBe(401);
    expect((await guard.ask('/v1/customers/bob', { token: ANN })).status).toBe(403);
    expect(opa.asked).toEqual([]);
  });

  test.each(DOORS)('refuses through $name, with its reason', async ({ open }) => {
    const opa = await startOpa();
    const guard = await guarded(opa);
    opa.answer = (_, response) => reply(response, { result: { allow: false, reason: 'not on\nSundays' } });
    const outcome = await open(guard.port, '/v1/customers/ann', { token: ANN }).outcome;
    expect(outcome).toMatchObject({ code: Code.PERMISSION_DENIED, message: 'not allowed: not on Sundays' });
    expect(guard.service.requests).toEqual([]);
  });

  test.each<[string, Opa['answer'], number]>([
    ['false', (_, response) => reply(response, { result: false }), 403],
    ['no result, as of a policy that is not there', (_, response) => reply(response, {}), 403],
    ['allow: false', (_, response) => reply(response, { result: { allow: false } }), 403],
    ['a result that is no boolean', (_, response) => reply(response, { result: 'true' }), 503],
    ['allow that is no boolean', (_, response) => reply(response, { result: { allow: 1 } }), 503],
    ['a list', (_, response) => reply(response, [true]), 503],
    ['an error', (_, response) => reply(response, { result: true }, 500), 503],
    ['a status that is not 200', (_, response) => reply(response, { result: true }, 201), 503],
    ['no JSON', (_, response) => response.end('yes'), 503],
    ['too much', (_, response) => reply(response, { result: true, more: 'x'.repeat(100_000) }), 503],
    ['nothing', () => {}, 503],
    ['a broken connection', (_, response) => response.destroy(), 503],
    ['a way elsewhere', (_, response) => response.writeHead(307, { location: '/v1/data/other' }).end(), 503],
  ])('that answers %s lets nobody pass', async (_, answer, status) => {
    const opa = await startOpa();
    const guard = await guarded(opa);
    opa.answer = answer;
    expect((await guard.ask('/v1/customers/ann', { token: ANN })).status).toBe(status);
    expect(guard.service.requests).toEqual([]);
    // What failed is not remembered.
    opa.answer = (_input, response) => reply(response, { result: true });
    expect((await guard.ask('/v1/customers/ann', { token: ANN })).status).toBe(status === 503 ? 200 : 403);
  });

  test('that is not there lets nobody pass', async () => {
    const guard = await guarded({ url: 'http://127.0.0.1:9/v1', asked: [], answer: () => {} });
    expect(await guard.ask('/v1/open')).toMatchObject({
      status: 503,
      json: { code: Code.UNAVAILABLE, message: 'access cannot be decided at the moment' },
    });
    const { text } = await guard.ask('/metrics');
    expect(text).toContain('tidegate_external_decisions_total{result="failed"} 1');
    expect(text).toContain('tidegate_access_denied_total{reason="external_unavailable"} 1');
  });

  test('is asked about the methods that are configured', async () => {
    const opa = await startOpa();
    const guard = await guarded(opa, 'match: [owned.v1.OwnedService/Ge*]');
    await guard.ask('/v1/open');
    await guard.ask('/v1/customers/ann', { token: ANN });
    expect(opa.asked.map(({ input }) => input.method)).toEqual(['owned.v1.OwnedService/Get']);
  });

  test('is asked once for the same question, and again for another caller, right or request', async () => {
    const opa = await startOpa();
    const guard = await guarded(opa, 'request: true');
    for (let times = 0; times < 3; times++) await guard.ask('/v1/open?order_id=1', { token: ANN });
    expect(opa.asked).toHaveLength(1);
    await guard.ask('/v1/open?order_id=2', { token: ANN });
    await guard.ask('/v1/open?order_id=1', { token: tokenFor('ann', ['a']) });
    await guard.ask('/v1/open?order_id=1', { token: tokenFor('bob', ['a', 'b']) });
    await guard.ask('/v1/open?order_id=1');
    expect(opa.asked).toHaveLength(5);
  });
});

describe('what is remembered', () => {
  const question = (subject: string): Question => ({
    method: 'a.v1.A/Get',
    subject,
    roles: [],
    permissions: [],
    claims: {},
  });

  test('counts for a while, and no more than so many', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      let asked = 0;
      const { decide, stats } = createDecisions({
        ask: async () => ({ allow: ++asked > 0 }),
        cacheMs: 1_000,
        most: 2,
      });
      await decide(question('a'));
      await decide(question('a'));
      expect(asked).toBe(1);
      vi.advanceTimersByTime(1_001);
      await decide(question('a'));
      expect(asked).toBe(2);
      await decide(question('b'));
      await decide(question('c'));
      await decide(question('a'));
      expect(asked).toBe(5);
      expect(stats()).toEqual({ allowed: 5, denied: 0, failed: 0, remembered: 1 });
    } finally {
      vi.useRealTimers();
    }
  });

  test('is asked once by all who ask at once, and they fail together', async () => {
    let asked = 0;
    let fail: (error: Error) => void = () => {};
    const { decide } = createDecisions({
      ask: () => {
        asked++;
        return new Promise((_, reject) => {
          fail = reject;
        });
      },
      cacheMs: 0,
    });
    const all = [1, 2, 3].map(() => decide(question('a')));
    await Promise.resolve();
    fail(new Error('down'));
    for (const each of all) await expect(each).rejects.toThrow('down');
    expect(asked).toBe(1);
  });
});
