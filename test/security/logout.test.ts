/** What a login is worth once it has ended: its access tokens are refused at once, and what is open with them ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { AuthOptions } from '../../services/auth/serve.js';
import { openFileStore } from '../../services/auth/store_file.js';
import { startServices } from '../../services/services.js';
import { AUDIENCE, ISSUER, PASSWORD, startTestAuth, type TestAuth, user } from '../support/auth.js';
import { DOORS } from '../support/door_clients.js';
import { startGateway } from '../support/gateway.js';
import { freePort } from '../support/probe.js';

interface Pair {
  readonly access_token: string;
  readonly refresh_token: string;
}

interface Site extends TestAuth {
  readonly port: number;
  readonly login: (username?: string) => Promise<Pair>;
  readonly post: (path: string, body: object) => Promise<{ readonly status: number; readonly body: Pair }>;
  /** The status of a call with the token. */
  readonly me: (token: string) => Promise<number>;
}

/** The services and the auth service behind one gateway, which accepts its tokens and is told of those that end. */
async function startSite(options: Partial<AuthOptions> = {}): Promise<Site> {
  const port = await freePort();
  const services = await startServices();
  const auth = await startTestAuth({
    revocationsUrl: `http://127.0.0.1:${port}/-/revocations`,
    ...options,
  });
  const gateway = await startGateway(
    services.address,
    ['--upstream', `auth.v1=${auth.auth.address}`],
    (config) => {
      const jwksUrl = `http://127.0.0.1:${port}/v1/auth/jwks`;
      const algorithms = ['ES256'] as const;
      const issuers = [{ issuer: ISSUER, audiences: [AUDIENCE], algorithms, jwksUrl, required: {} }];
      return { ...config, port, auth: { ...config.auth, issuers } };
    },
  );
  onTestFinished(async () => {
    await gateway.close();
    await services.close();
  });
  const post: Site['post'] = async (path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: response.status, body: (await response.json()) as Pair };
  };
  const login = async (username = 'ada') => {
    const answer = await post('/v1/auth/login', { username, password: PASSWORD });
    expect(answer.status).toBe(200);
    return answer.body;
  };
  const me = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`http://127.0.0.1:${port}/v1/auth/me`, { headers })).status;
  };
  return { ...auth, port, post, login, me };
}

const logout = async (site: Site, { refresh_token }: Pair) => {
  expect((await site.post('/v1/auth/logout', { refresh_token })).status).toBe(200);
};
const refresh = (site: Site, { refresh_token }: Pair) => site.post('/v1/auth/refresh', { refresh_token });

describe('a logout', () => {
  test('ends all access tokens of its login, and those of no other', async () => {
    const site = await startSite();
    const [first, other] = [await site.login(), await site.login()];
    const second = (await refresh(site, first)).body;
    expect(await Promise.all([first, second, other].map((one) => site.me(one.access_token)))).toEqual([
      200, 200, 200,
    ]);
    await logout(site, second);
    expect(await Promise.all([first, second, other].map((one) => site.me(one.access_token)))).toEqual([
      401, 401, 200,
    ]);
  });

  test.each(DOORS.filter(({ streams, name }) => streams && name !== 'JSON array'))(
    'ends what is open through $name, and what is opened afterwards',
    async ({ open }) => {
      const site = await startSite();
      const [mine, others] = [await site.login(), await site.login()];
      const session = open(site.port, '/v1/quotes/TIDE', { token: mine.access_token });
      const other = open(site.port, '/v1/quotes/TIDE', { token: others.access_token });
      await Promise.all([session.first, other.first]);
      await logout(site, mine);
      expect(await session.outcome).toMatchObject({
        code: 16,
        message: 'token: revoked since this stream was opened',
      });
      const again = await open(site.port, '/v1/quotes/TIDE', { token: mine.access_token }).outcome;
      expect(again.messages).toEqual([]);
      expect([401, 4316]).toContain(again.http ?? again.close);
      const before = other.outcome;
      expect(await Promise.race([before, new Promise((resolve) => setTimeout(resolve, 200, 'open'))])).toBe(
        'open',
      );
      other.leave();
    },
  );
});

describe('access tokens end with their login', () => {
  test('when a refresh token comes a second time', async () => {
    const site = await startSite({ refresh: { graceMs: 0 } });
    const stolen = await site.login();
    const thiefs = (await refresh(site, stolen)).body;
    expect(await site.me(thiefs.access_token)).toBe(200);
    expect((await refresh(site, stolen)).status).toBe(401);
    expect(await Promise.all([stolen, thiefs].map((one) => site.me(one.access_token)))).toEqual([401, 401]);
  });

  test('when their user has logged in too often since', async () => {
    const site = await startSite({ refresh: { mostPerUser: 1 } });
    const [first, second] = [await site.login(), await site.login()];
    expect([await site.me(first.access_token), await site.me(second.access_token)]).toEqual([401, 200]);
  });

  test.each([
    ['disabled', { disabled: true }],
    [
      'given another password',
      { password: '$scrypt$ln=10,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA' },
    ],
    ['gone', { id: 'u-zoe', username: 'zoe' }],
  ])('when their user is %s, and nobody else does', async (_, change) => {
    const [ada, ben] = [await user(), await user({ id: 'u-ben', username: 'ben' })];
    const site = await startSite({ users: [ada, ben] });
    const [hers, his] = [await site.login(), await site.login('ben')];
    expect(await site.me(hers.access_token)).toBe(200);
    site.auth.replaceUsers([{ ...ada, ...change }, ben]);
    await vi.waitFor(async () => expect(await site.me(hers.access_token)).toBe(401));
    expect(await site.me(his.access_token)).toBe(200);
    // Who comes back is no longer shut out.
    site.auth.replaceUsers([ada, ben]);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await site.me((await site.login()).access_token)).toBe(200);
  });

  test('also when the service has been restarted since', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const fake = await startFake(() => 200);
    const store = await openFileStore(join(folder, 'state.json'));
    const first = await startTestAuth({ store });
    const ask = loginsOf(first);
    const refreshToken = await ask.login();
    await first.auth.close();
    await store.close();
    const again = await openFileStore(join(folder, 'state.json'));
    const second = await startTestAuth({ store: again, users: [first.ada], revocationsUrl: fake.url });
    await loginsOf(second).logout(refreshToken);
    expect(fake.asked).toHaveLength(1);
  });

  test('when one login has more of them than anybody needs, the oldest first', async () => {
    const site = await startSite();
    const pairs = [await site.login()];
    for (let n = 0; n < 21; n++) pairs.push((await refresh(site, pairs.at(-1) as Pair)).body);
    const statuses = await Promise.all(pairs.map((one) => site.me(one.access_token)));
    expect(statuses).toEqual([401, 401, ...Array(20).fill(200)]);
  });
});

/** In place of a gateway: answers as it is told, and keeps what it was asked. */
async function startFake(answer: (tries: number) => number | undefined) {
  const asked: { readonly body: unknown; readonly authorization: string }[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    asked.push({ body: JSON.parse(text), authorization: request.headers.authorization ?? '' });
    const status = answer(asked.length);
    if (status !== undefined) response.writeHead(status, { location: '/elsewhere' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  return { asked, url: `http://127.0.0.1:${port}/-/revocations` };
}

const loginsOf = ({ client }: TestAuth) => ({
  login: () =>
    new Promise<string>((resolve, reject) => {
      client.login({ username: 'ada', password: PASSWORD }, (error, answer) =>
        error ? reject(error) : resolve(answer.refreshToken),
      );
    }),
  logout: (refreshToken: string) =>
    new Promise<void>((resolve, reject) => {
      client.logout({ refreshToken }, (error) => (error ? reject(error) : resolve()));
    }),
});

async function loginAndOut(auth: TestAuth): Promise<void> {
  const { login, logout } = loginsOf(auth);
  await logout(await login());
}

describe('a gateway that does not take revocations', () => {
  const failures = ({ events }: TestAuth) => events.filter(({ event }) => event === 'revocation_failed');

  test.each<[string, number | undefined, string]>([
    ['refuses them', 503, 'the gateway answers 503'],
    ['does not know the credential', 401, 'the gateway answers 401'],
    ['sends them elsewhere', 307, 'the gateway answers 307'],
    ['says nothing', undefined, 'the gateway does not answer'],
  ])('and %s fails no logout, is asked again, and the events say so', async (_, status, problem) => {
    const fake = await startFake((tries) => (tries <= 2 ? status : 200));
    const auth = await startTestAuth({
      revocationsUrl: fake.url,
      revocations: { timeoutMs: 100, pausesMs: [50, 50, 50], waitMs: 50 },
    });
    await loginAndOut(auth);
    await vi.waitFor(() => expect(fake.asked).toHaveLength(3));
    expect(new Set(fake.asked.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(fake.asked[0]?.body).toEqual({
      token_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      expires_at: expect.any(Number),
      issuer: ISSUER,
    });
    expect(failures(auth)).toEqual([
      { event: 'revocation_failed', problem, triesLeft: 3 },
      { event: 'revocation_failed', problem, triesLeft: 2 },
    ]);
    expect(JSON.stringify(auth.events)).not.toContain(fake.asked[0]?.authorization.split(' ')[1]);
  });

  test('and cannot be reached is given up in the end, and holds no logout up for longer than its wait', async () => {
    const auth = await startTestAuth({
      revocationsUrl: `http://127.0.0.1:${await freePort()}/-/revocations`,
      revocations: { pausesMs: [1_500, 20], waitMs: 100 },
    });
    const since = performance.now();
    await loginAndOut(auth);
    expect(performance.now() - since).toBeLessThan(1_400);
    await vi.waitFor(() => expect(failures(auth).map(({ triesLeft }) => triesLeft)).toEqual([2, 1, 0]));
    expect(failures(auth)[0]?.problem).toMatch(/ECONNREFUSED/);
  });

  test('because none is configured is not asked', async () => {
    const fake = await startFake(() => 200);
    const auth = await startTestAuth();
    await loginAndOut(auth);
    expect([fake.asked, failures(auth)]).toEqual([[], []]);
  });
});
