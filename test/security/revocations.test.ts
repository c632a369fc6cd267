/** Revoked tokens: refused through every door on every node, with what is open by them ended; and who may revoke what. */
import { describe, expect, test, vi } from 'vitest';
import { DOORS } from '../support/door_clients.js';
import {
  AUD,
  forge,
  ISS,
  type Issued,
  OTHER_ISS,
  OTHER_SECRET,
  startIssued,
  useIssued,
} from '../support/security/issued.js';
import { seconds } from '../support/security/issuer.js';
import { missingRedis, startRedis, type TestServer } from '../support/servers.js';

const { closing, start } = useIssued();

type Node = Pick<Issued, 'port' | 'token'>;

function post({ port }: Node, body: unknown, token?: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/-/revocations`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

const revoker = ({ token }: Node, permission = 'tidegate:revoke') =>
  token({ sub: 'root', permissions: [permission] });

async function revoke(node: Node, body: object): Promise<void> {
  expect((await post(node, body, revoker(node))).status).toBe(200);
}

const ask = async ({ port }: Node, token: string): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}/v1/open`, { headers: { authorization: `Bearer ${token}` } })).status;

describe('a revoked token', () => {
  test.each(DOORS)('is refused through $name, though it was good there before', async ({ open }) => {
    const site = await start();
    const [mine, others] = [site.token({ jti: 'mine' }), site.token({ jti: 'others' })];
    const outcome = (token: string) => open(site.port, '/v1/customers/ann', { token }).outcome;
    expect((await outcome(mine)).messages).toHaveLength(1);
    await revoke(site, { token_id: 'mine' });
    const calls = site.service.metadata.length;
    const { http, close, messages } = await outcome(mine);
    expect([401, 4316]).toContain(http ?? close);
    expect(messages).toEqual([]);
    expect(site.service.metadata).toHaveLength(calls);
    expect((await outcome(others)).messages).toHaveLength(1);
  });

  test('of a subject is each that was issued before, or does not say when; and no later one', async () => {
    const site = await start();
    const now = seconds();
    const [old, undated] = [site.token({ iat: now - 10 }), site.token({ iat: undefined })];
    const [later, others] = [site.token({ iat: now + 1 }), site.token({ sub: 'ben', iat: now - 10 })];
    const all = () => Promise.all([old, undated, later, others].map((token) => ask(site, token)));
    expect(await all()).toEqual([200, 200, 200, 200]);
    await revoke(site, { subject: 'ann', issued_before: (now + 1) * 1000 });
    expect(await all()).toEqual([401, 401, 200, 200]);
  });

  test('of a subject ends its streams, and nobody else’s', async () => {
    const site = await start();
    const sse = DOORS.find(({ name }) => name === 'SSE');
    const open = (sub: string) =>
      sse?.open(site.port, `/v1/customers/${sub}`, { token: site.token({ sub, iat: seconds() - 10 }) });
    const shared = (sub: string) =>
      fetch(`http://127.0.0.1:${site.port}/v1/customers/${sub}:shared`, {
        headers: {
          accept: 'text/event-stream',
          authorization: `Bearer ${site.token({ sub, iat: seconds() - 10 })}`,
        },
      });
    expect((await open('ann')?.outcome)?.code).toBe(0);
    const streams = await Promise.all([shared('ann'), shared('ben')]);
    const texts = streams.map((stream) => stream.text());
    await revoke(site, { subject: 'ann' });
    const [anns, bens] = await Promise.all(texts);
    expect(anns).toContain('token: revoked since this stream was opened');
    expect(bens).not.toContain('revoked');
    expect(bens).toMatch(/event: end/);
  });

  test('of one issuer is not that of another with the same id or subject', async () => {
    const site = await start();
    const claims = { aud: AUD, sub: 'ann', jti: 't1', iat: seconds() - 10, exp: seconds() + 600 };
    const [one, other] = [
      site.token({ jti: 't1', iat: seconds() - 10 }),
      forge({ alg: 'HS256' }, { ...claims, iss: OTHER_ISS }, OTHER_SECRET),
    ];
    const both = async () => [await ask(site, one), await ask(site, other)];
    expect(await both()).toEqual([200, 200]);
    await revoke(site, { token_id: 't1', issuer: ISS });
    expect(await both()).toEqual([401, 200]);
    await revoke(site, { subject: 'ann', issuer: OTHER_ISS });
    expect(await both()).toEqual([401, 401]);
  });
});

describe('revoking', () => {
  test('needs a token with the permission, and takes no other way', async () => {
    const site = await start();
    const body = { token_id: 'victim' };
    const statuses = [
      (await post(site, body)).status,
      (await post(site, body, site.token({ exp: 1 }))).status,
      (await post(site, body, site.token())).status,
      (await post(site, body, revoker(site, 'tidegate:revokes'))).status,
      (await post(site, body, revoker(site, 'tidegate'))).status,
      (await post(site, body, site.token({ roles: ['tidegate:revoke'] }))).status,
    ];
    expect(statuses).toEqual([401, 401, 403, 403, 403, 403]);
    const response = await fetch(`http://127.0.0.1:${site.port}/-/revocations`, {
      headers: { authorization: `Bearer ${revoker(site)}` },
    });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await ask(site, site.token({ jti: 'victim' }))).toBe(200);
    for (const permission of ['tidegate:*', '*']) {
      expect((await post(site, body, revoker(site, permission))).status).toBe(200);
    }
    expect(await ask(site, site.token({ jti: 'victim' }))).toBe(401);
  });

  test('answers with what was revoked, until when', async () => {
    const site = await start('--revocation-ttl', '2h', '--leeway', '10');
    const until = async (body: object) => {
      const answer = (await (await post(site, body, revoker(site))).json()) as { until: number };
      return Math.round((answer.until - Date.now()) / 60_000);
    };
    expect(await until({ token_id: 'a' })).toBe(120);
    expect(await until({ token_id: 'a', expires_at: Date.now() + 600_000 })).toBe(10);
    expect(await until({ subject: 'a', issued_before: Date.now() + 3_600_000 })).toBe(180);
    const answer = await post(
      site,
      { subject: 'u', issued_before: 5, issuer: ISS, expires_at: 10 },
      revoker(site),
    );
    expect(await answer.json()).toEqual({ subject: 'u', issued_before: 5, issuer: ISS, until: 10_010 });
  });

  test.each<[string, unknown, number]>([
    ['body', '', 400],
    ['body', '{"token_id":', 400],
    ['body', '[]', 400],
    ['body', 'null', 400],
    ['body', {}, 400],
    ['body', { token_id: 'a', subject: 'b' }, 400],
    ['jti', { jti: 'a' }, 400],
    ['token_id', { token_id: '' }, 400],
    ['token_id', { token_id: 5 }, 400],
    ['token_id', { token_id: ['a'] }, 400],
    ['token_id', { token_id: 'x'.repeat(2_049) }, 400],
    ['subject', { subject: null }, 400],
    ['issuer', { token_id: 'a', issuer: '' }, 400],
    ['issued_before', { token_id: 'a', issued_before: 1 }, 400],
    ['issued_before', { subject: 'a', issued_before: '2026-01-01' }, 400],
    ['issued_before', { subject: 'a', issued_before: -1 }, 400],
    ['expires_at', { token_id: 'a', expires_at: 1.5 }, 400],
    ['expires_at', { token_id: 'a', expires_at: 0 }, 400],
    ['body', { token_id: 'a', issuer: 'x'.repeat(9_000) }, 413],
  ])('refuses what is wrong with %s: %j', async (field, body, status) => {
    const site = await start();
    const response = await post(site, body, revoker(site));
    expect(response.status).toBe(status);
    expect(((await response.json()) as { message: string }).message).toMatch(new RegExp(`^${field}: `));
    expect(await ask(site, site.token({ jti: 'a', sub: 'a' }))).toBe(200);
  });
});

describe.skipIf(missingRedis() !== undefined)('with nodes that share a broker', () => {
  const node = async (redis: TestServer, like?: Issued): Promise<Issued> => {
    const flags = ['--bad-tokens', '0', '--broker', redis.url];
    const site = await startIssued({
      flags,
      change: (config) => (like ? { ...config, auth: { ...config.auth, issuers: like.issuers } } : config),
    });
    closing.unshift(site.close);
    return site;
  };

  test('a token that is revoked on one is refused on all, with what is open there, and by those that start later', async () => {
    const redis = await startRedis();
    closing.push(() => redis.stop());
    const one = await node(redis);
    const two = await node(redis, one);
    const token = one.token({ jti: 't1' });
    const stream = await fetch(`http://127.0.0.1:${two.port}/v1/customers/ann:shared`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${token}` },
    });
    expect(await ask(two, token)).toBe(200);
    await revoke(one, { token_id: 't1' });
    expect(await ask(one, token)).toBe(401);
    await vi.waitFor(async () => expect(await ask(two, token)).toBe(401));
    expect(await stream.text()).toContain('token: revoked since this stream was opened');
    const three = await node(redis, one);
    expect(await ask(three, token)).toBe(401);
    expect(await ask(three, one.token({ jti: 't2' }))).toBe(200);
  });

  test('without the broker nothing is revoked, and whoever asks is told so', async () => {
    const redis = await startRedis();
    closing.push(() => redis.stop());
    const one = await node(redis);
    const token = one.token({ jti: 't1' });
    expect(await ask(one, token)).toBe(200);
    await redis.stop();
    const response = await post(one, { token_id: 't1' }, revoker(one));
    expect(response.status).toBe(503);
    expect(((await response.json()) as { message: string }).message).toMatch(/nothing is revoked$/);
    expect(await ask(one, token)).toBe(200);
  }, 60_000);
});
