/** Too many calls, tokens, pages and streams: refused as each door refuses, and told apart by who sends them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Config } from '../../gateway/config.js';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { openEvents } from '../support/http_doors.js';
import { PROBE_PROTO, type Probe, startProbe } from '../support/probe.js';
import { get, limited, raw, statusOf } from '../support/security/attack.js';

let probe: Probe;
let gateway: RunningGateway | undefined;
beforeAll(async () => {
  probe = await startProbe();
});
afterAll(() => probe.kill());
beforeEach(() => async () => {
  await gateway?.close();
  gateway = undefined;
});

async function start(
  ...flags: string[]
): Promise<(path: string, headers?: Record<string, string>) => Promise<Response>> {
  return startWith((config) => config, ...flags);
}
async function startWith(change: (config: Config) => Config, ...flags: string[]) {
  gateway = await startGateway(probe.address, ['--proto', PROBE_PROTO, ...flags], change);
  const { port } = gateway;
  return (path: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers });
}
const port = (): number => (gateway as RunningGateway).port;
const bearer = (subject: string) => ({ authorization: `Bearer ${tokenFor(subject, ['secrets:read'])}` });
const statuses = async (answers: readonly Promise<Response>[]): Promise<number[]> =>
  (await Promise.all(answers)).map(({ status }) => status);
const times = <T>(count: number, run: () => T): T[] => Array.from({ length: count }, run);

interface Refusal {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Record<string, unknown>[];
}

describe('calls', () => {
  test('over the rate are 429, with when to come back in headers and in details', async () => {
    const fetch = await start('--requests', '1');
    expect((await fetch('/v1/secret/ok', bearer('u1'))).status).toBe(200);
    const answer = await fetch('/v1/secret/ok', bearer('u1'));
    const body = (await answer.json()) as Refusal;
    expect(answer.status).toBe(429);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(answer.headers.get('ratelimit-policy')).toBe('"requests";q=1;w=1');
    expect(answer.headers.get('ratelimit')).toBe('"requests";r=0;t=1');
    expect([body.code, body.message]).toEqual([8, 'requests: more than 1 a second']);
    const [retry, quota] = body.details;
    expect(String(retry?.retryDelay)).toMatch(/^0\.\d+s$/);
    expect(quota).toEqual({
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [{ subject: 'principal:u1', description: 'requests: more than 1 a second' }],
    });
    expect(await limited(port(), 'requests')).toBe(1);
  });

  test('are counted for each subject, whatever token it shows, and apart from callers without a token', async () => {
    const fetch = await start('--requests', '3');
    const all = await statuses([
      ...times(6, () => fetch('/v1/secret/ok', bearer('u1'))),
      ...times(3, () => fetch('/v1/secret/ok', bearer('u2'))),
      ...times(3, () => fetch('/v1/probe/ok')),
    ]);
    const refused = all.slice(0, 6).filter((status) => status === 429);
    expect(refused.length).toBeGreaterThanOrEqual(2);
    expect(all.slice(6)).toEqual([200, 200, 200, 200, 200, 200]);
  });

  test('are served again after the told time', async () => {
    const fetch = await start('--requests', '2');
    await statuses(times(4, () => fetch('/v1/probe/ok')));
    await vi.waitFor(async () => expect((await fetch('/v1/probe/ok')).status).toBe(200), { timeout: 2000 });
  });

  test('without a limit are as many as they like', async () => {
    const fetch = await start('--requests', '0');
    expect(new Set(await statuses(times(100, () => fetch('/v1/probe/ok'))))).toEqual(new Set([200]));
  });

  test('that are refused never have their body read', async () => {
    const fetch = await start('--requests', '1');
    const head =
      'PUT /v1/probe HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n';
    expect((await fetch('/v1/probe/ok')).status).toBe(200);
    const second = raw(port(), head);
    await vi.waitFor(() => expect(statusOf(second)).toBe('429'));
  });

  test('to no route, and pages of the gateway, are counted for the address', async () => {
    const fetch = await start('--requests', '3');
    const all = await statuses(times(12, () => fetch('/nowhere')));
    expect(new Set(all)).toEqual(new Set([404, 429]));
    expect((await fetch('/metrics')).status).toBe(429);
    // A caller with a token is not held responsible for the others of its address.
    expect((await fetch('/v1/secret/ok', bearer('u1'))).status).toBe(200);
  });
});

describe('an event stream that is refused for overload', () => {
  test('is 429 at first, and for a client that asks for statuses', async () => {
    await start('--requests', '1');
    const url = `http://127.0.0.1:${port()}/v1/probe/ok:watch`;
    expect((await openEvents(url)).status).toBe(200);
    const again = await openEvents(url, { 'last-event-id': 'none', 'tidegate-errors': 'http' });
    expect(again.status).toBe(429);
    expect(Number(again.headers['retry-after'])).toBeGreaterThanOrEqual(1);
  });

  test('is 200, retry and end for an EventSource that comes back', async () => {
    await start('--requests', '1');
    const url = `http://127.0.0.1:${port()}/v1/probe/ok:watch`;
    await openEvents(url);
    const again = await openEvents(url, { 'last-event-id': 'none' });
    expect(await again.over).toBe(true);
    expect(again.status).toBe(200);
    expect(again.text()).toMatch(/^retry: \d{4,}\n/);
    const [end] = again.events();
    expect([end?.event, JSON.parse(end?.data ?? '{}').code, end?.id]).toEqual(['end', 8, undefined]);
  });
});

describe('streams', () => {
  test('over the number of one principal are 429 until one has ended, and are counted for each caller', async () => {
    await start('--streams-per-principal', '2');
    const url = `http://127.0.0.1:${port()}/v1/secret/open:watch`;
    const open = await Promise.all([openEvents(url, bearer('u1')), openEvents(url, bearer('u1'))]);
    expect(open.map(({ status }) => status)).toEqual([200, 200]);
    const third = await openEvents(url, bearer('u1'));
    expect(third.status).toBe(429);
    expect(third.headers['ratelimit-policy']).toBe('"streams_per_principal";q=2;qu="concurrent-requests"');
    expect((await openEvents(url, bearer('u2'))).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port()}/v1/secret/ok`, { headers: bearer('u1') })).status).toBe(
      200,
    );
    open[0]?.leave();
    await vi.waitFor(async () => expect((await openEvents(url, bearer('u1'))).status).toBe(200));
    expect(await limited(port(), 'streams_per_principal')).toBeGreaterThanOrEqual(1);
  });

  test('that fail or are refused are not counted on', async () => {
    const fetch = await start('--streams-per-principal', '1');
    for (const path of [
      '/v1/probe/fail:watch',
      '/v1/secret/ok:watch',
      '/v1/probe/ok:watch',
      '/v1/probe/fail-late:watch',
    ])
      await (await fetch(path)).text();
    expect((await fetch('/v1/probe/ok:watch')).status).toBe(200);
  });
});

describe('a service', () => {
  test('gets no more calls at once than it may, and the others are 503 with when to come back', async () => {
    const fetch = await start('--calls-per-upstream', '2');
    const held = times(2, () => raw(port(), get('/v1/probe/silent', 'grpc-timeout: 20S\r\n')));
    await vi.waitFor(() => expect(probe.running).toBe(2));
    const answer = await fetch('/v1/probe/ok');
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^[12]$/);
    expect(((await answer.json()) as Refusal).message).toBe('u1: 2 calls are running');
    for (const { socket } of held) socket.destroy();
    await vi.waitFor(async () => expect((await fetch('/v1/probe/ok')).status).toBe(200));
    expect(await limited(port(), 'calls_per_upstream')).toBeGreaterThanOrEqual(1);
  });
});

describe('who tries tokens', () => {
  test('has none looked at after some, while callers without a token and from elsewhere are served', async () => {
    const fetch = await start('--bad-tokens', '5');
    const bad = (n: number) => fetch('/v1/probe/ok', { authorization: `Bearer a.b.${n}` });
    const all = await statuses(Array.from({ length: 40 }, (_, n) => bad(n)));
    expect(new Set(all)).toEqual(new Set([401, 429]));
    expect(all.filter((status) => status === 401).length).toBeLessThan(15);
    expect((await fetch('/v1/probe/ok')).status).toBe(200);
    const other = raw(
      port(),
      get('/v1/secret/ok', `authorization: ${bearer('u1').authorization}\r\n`),
      '127.0.0.2',
    );
    await vi.waitFor(() => expect(statusOf(other)).toBe('200'));
    expect(await limited(port(), 'bad_tokens')).toBe(all.filter((status) => status === 429).length);
  });

  test('does not lock out whose token is known at the same address, but new tokens from there', async () => {
    const fetch = await start('--bad-tokens', '1');
    const [known, other] = [bearer('u1'), bearer('u2')];
    expect((await fetch('/v1/secret/ok', known)).status).toBe(200);
    let bad = 0;
    const flood = () => fetch('/v1/probe/ok', { authorization: `Bearer a.b.${bad++}` });
    await vi.waitFor(async () => {
      expect(new Set(await statuses(times(20, flood)))).toContain(429);
      const [one, two] = await statuses([fetch('/v1/secret/ok', known), fetch('/v1/secret/ok', other)]);
      expect([one, two]).toEqual([200, 429]);
    });
    // Once the flood is over, the other is looked at too.
    await vi.waitFor(async () => expect((await fetch('/v1/secret/ok', other)).status).toBe(200), {
      timeout: 3000,
    });
  });

  test('has no more of them looked at in a query or a cookie than in a header', async () => {
    const fetch = await startWith(
      (config) => ({
        ...config,
        auth: {
          ...config.auth,
          queryParameter: 'access_token',
          cookie: 'session',
        },
      }),
      '--bad-tokens',
      '3',
    );
    const own = { origin: `http://127.0.0.1:${port()}` };
    const ways: readonly ((n: number) => Promise<Response>)[] = [
      (n) => fetch(`/v1/probe/ok?access_token=a.b.${n}`),
      (n) => fetch('/v1/probe/ok', { ...own, cookie: `session=a.b.${n}` }),
      (n) => fetch(`/v1/probe/ok:watch?ticket=tgt_${String(n).padStart(32, 'x')}`),
    ];
    for (const way of ways) {
      await vi.waitFor(
        async () => expect(await statuses([way(0), way(1), way(2)])).toEqual([401, 401, 401]),
        {
          interval: 1100,
          timeout: 5000,
        },
      );
      expect(await statuses(Array.from({ length: 10 }, (_, n) => way(n)))).toContain(429);
    }
  });
});

describe('behind a proxy', () => {
  const from = (address: string) => ({ 'x-forwarded-for': address });

  test('clients are told apart by what it says, IPv6 by the /64, and not by what they say', async () => {
    const fetch = await start('--requests', '1', '--trusted-hops', '1');
    const status = async (address: string) => (await fetch('/v1/probe/ok', from(address))).status;
    expect(await status('192.0.2.1')).toBe(200);
    expect(await status('192.0.2.2')).toBe(200);
    expect(await status('198.51.100.9, 192.0.2.2')).toBe(429);
    expect(await status('2001:db8:1:2::1')).toBe(200);
    expect(await status('2001:db8:1:2:ffff::2')).toBe(429);
    expect(await status('2001:db8:1:3::1')).toBe(200);
  });

  test('what clients say is nothing without a trusted one', async () => {
    const fetch = await start('--requests', '1');
    expect((await fetch('/v1/probe/ok', from('192.0.2.1'))).status).toBe(200);
    expect((await fetch('/v1/probe/ok', from('192.0.2.2'))).status).toBe(429);
  });

  test('the connections of a client are its open requests, and those of the proxy are not limited', async () => {
    const fetch = await start('--connections-per-address', '2', '--trusted-hops', '1');
    const watch = (address: string) =>
      openEvents(`http://127.0.0.1:${port()}/v1/probe/open:watch`, from(address));
    const open = await Promise.all([
      watch('192.0.2.1'),
      watch('192.0.2.1'),
      watch('192.0.2.2'),
      watch('192.0.2.3'),
    ]);
    expect(open.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    expect((await fetch('/v1/probe/ok', from('192.0.2.1'))).status).toBe(429);
    expect((await fetch('/v1/probe/ok', from('192.0.2.2'))).status).toBe(200);
    open[0]?.leave();
    await vi.waitFor(async () => expect((await fetch('/v1/probe/ok', from('192.0.2.1'))).status).toBe(200));
  });
});
