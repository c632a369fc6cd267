/** The auth service: over gRPC with a clock that can be moved, and as REST through the gateway. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata, status } from '@grpc/grpc-js';
import jwt from 'jsonwebtoken';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hashPassword } from '../services/auth/password.js';
import { openFileStore } from '../services/auth/store_file.js';
import { createUsers } from '../services/auth/users.js';
import {
  type Answer,
  AUDIENCE,
  ISSUER,
  PASSWORD,
  publicKeyOf,
  restOf,
  startTestAuth,
  type TestAuth,
  user,
} from './support/auth.js';
import { ask, refusalOf } from './support/services_client.js';

const from = (address: string): Metadata => {
  const metadata = new Metadata();
  if (address !== '') metadata.set('x-forwarded-for', address);
  return metadata;
};
const login = ({ client }: TestAuth, password = PASSWORD, { username = 'ada', address = '192.0.2.1' } = {}) =>
  ask(client, client.login, { username, password }, from(address));
const refresh = ({ client }: TestAuth, refreshToken: string) => ask(client, client.refresh, { refreshToken });
const jwks = async ({ client }: TestAuth) => (await ask(client, client.jwks, {})).keys;
const minutes = (count: number) => count * 60_000;
const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-auth-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
};

/** Verified by another library's reading of the published key. */
async function verified(auth: TestAuth, token: string): Promise<jwt.JwtPayload> {
  const { kid, alg } = jwt.decode(token, { complete: true })?.header ?? {};
  const jwk = (await jwks(auth)).find((each) => each.kid === kid);
  if (jwk === undefined) throw new Error(`the key ${kid} is not published`);
  expect(jwk.alg).toBe(alg);
  const clockTimestamp = Math.floor((Date.now() + auth.clock.ahead) / 1000);
  return jwt.verify(token, publicKeyOf(jwk), {
    algorithms: [jwk.alg as jwt.Algorithm],
    clockTimestamp,
  }) as jwt.JwtPayload;
}

describe('through the gateway', () => {
  test('login, who am I, refresh and logout, as OAuth 2.0 names what they answer', async () => {
    const auth = await startTestAuth({ algorithm: 'RS256' });
    const { post, get } = await restOf(auth, await jwks(auth));
    const first = await post('/v1/auth/login', { username: 'ada', password: PASSWORD });
    expect(first.status).toBe(200);
    expect(first.headers.get('cache-control')).toBe('no-store');
    expect(first.body).toEqual({
      access_token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 300,
      refresh_token: expect.stringMatching(/^[\w-]{64}$/),
    });
    const me = { userId: 'u-ada', username: 'ada', roles: ['admin'], permissions: ['*', 'orders:*'] };
    // The gateway adds what its configuration gives to roles: in development mode everything to `admin`.
    expect((await get('/v1/auth/me', first.body.access_token)).body).toEqual(me);
    expect((await get('/v1/auth/me')).status).toBe(401);

    // Either name of the field will do, so an answer can be sent back as it is.
    const { refresh_token } = first.body;
    const second = await post('/v1/auth/refresh', { refresh_token });
    expect(second.status).toBe(200);
    expect(second.headers.get('cache-control')).toBe('no-store');
    expect(second.body.refresh_token).not.toBe(refresh_token);
    expect((await get('/v1/auth/me', second.body.access_token)).body).toEqual(me);

    const logout = await post('/v1/auth/logout', { refreshToken: second.body.refresh_token });
    expect([logout.status, logout.body]).toEqual([200, {}]);
    const third = await post('/v1/auth/refresh', { refresh_token: second.body.refresh_token });
    expect(third.status).toBe(401);
    expect(third.body).toMatchObject({
      code: status.UNAUTHENTICATED,
      message: 'the refresh token is not valid',
    });
    expect(JSON.stringify(third.body)).toContain('INVALID_REFRESH_TOKEN');
  });

  test('the keys have the names of RFC 7517, each kind its own', async () => {
    const rsa = await startTestAuth({ algorithm: 'RS256' });
    const answer = await (await restOf(rsa)).get('/v1/auth/jwks');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=60');
    const text = expect.stringMatching(/^[\w-]+$/);
    expect(answer.body).toEqual({
      keys: [{ kty: 'RSA', use: 'sig', alg: 'RS256', kid: text, n: text, e: 'AQAB' }],
    });
    const ec = await startTestAuth({ algorithm: 'ES256' });
    expect((await (await restOf(ec)).get('/v1/auth/jwks')).body).toEqual({
      keys: [{ kty: 'EC', use: 'sig', alg: 'ES256', kid: text, crv: 'P-256', x: text, y: text }],
    });
  });

  test('a wrong password and a user who does not exist get the same answer', async () => {
    const { post } = await restOf(await startTestAuth());
    const wrong = await post('/v1/auth/login', { username: 'ada', password: 'no' });
    const unknown = await post('/v1/auth/login', { username: 'nobody', password: 'no' });
    expect(wrong.status).toBe(401);
    expect(wrong.body.message).toBe('the user name or the password is wrong');
    const masked = ({ body }: Answer) => JSON.stringify(body).replace(/"requestId":"[^"]+"/, '');
    expect([unknown.status, masked(unknown)]).toEqual([wrong.status, masked(wrong)]);
    const names = ({ headers }: Answer) => [...headers.keys()];
    expect(names(unknown)).toEqual(names(wrong));
  });

  test.each([
    ['login', '{"username": "", "password": ""}', 'username: must have 1 to 256 characters (and 1 more)'],
    ['login', '{"username": "ada"}', 'password: must have 1 to 1024 characters'],
    [
      'login',
      `{"username": "ada", "password": "${'x'.repeat(1025)}"}`,
      'password: must have 1 to 1024 characters',
    ],
    [
      'login',
      `{"username": "${'x'.repeat(257)}", "password": "x"}`,
      'username: must have 1 to 256 characters',
    ],
    ['login', '{"username": ["ada"], "password": "x"}', undefined],
    ['login', '{"username": "ada", "password": "x"', undefined],
    ['refresh', '{}', 'refresh_token: must have 1 to 256 characters'],
    ['refresh', `{"refresh_token": "${'x'.repeat(257)}"}`, 'refresh_token: must have 1 to 256 characters'],
    ['logout', '{}', 'refresh_token: must have 1 to 256 characters'],
  ])('%s refuses %s', async (method, body, message) => {
    const { post } = await restOf(await startTestAuth());
    const answer = await post(`/v1/auth/${method}`, body);
    expect(answer.status).toBe(400);
    if (message !== undefined) expect(answer.body.message).toBe(message);
  });

  test('too many failures get 429, with the time to wait', async () => {
    const auth = await startTestAuth({ logins: { user: { burst: 2, refillMs: minutes(5) } } });
    const { post } = await restOf(auth);
    const guess = (password: string) => post('/v1/auth/login', { username: 'ada', password });
    expect([(await guess('a')).status, (await guess('b')).status]).toEqual([401, 401]);
    const refused = await guess(PASSWORD);
    expect(refused.status).toBe(429);
    expect(refused.body.message).toMatch(/^too many failed logins: try again in (?:300|299) s$/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(290);
    auth.clock.ahead = minutes(5);
    expect((await guess(PASSWORD)).status).toBe(200);
  });

  test('the address is what the gateway makes of x-forwarded-for, never what a client says', async () => {
    const auth = await startTestAuth({ logins: { address: { burst: 1, refillMs: minutes(1) } } });
    const bad = { username: 'ada', password: 'no' };
    const open = await restOf(auth);
    const said = (address: string) => ({ 'x-forwarded-for': address });
    expect((await open.post('/v1/auth/login', bad, said('192.0.2.1'))).status).toBe(401);
    expect((await open.post('/v1/auth/login', bad, said('192.0.2.2'))).status).toBe(429);
    const behind = await restOf(auth, [], ['--trusted-hops', '1']);
    expect((await behind.post('/v1/auth/login', bad, said('192.0.2.3'))).status).toBe(401);
    expect((await behind.post('/v1/auth/login', bad, said('192.0.2.3'))).status).toBe(429);
    expect((await behind.post('/v1/auth/login', bad, said('192.0.2.4'))).status).toBe(401);
  });
});

describe('access tokens', () => {
  test.each(['RS256', 'ES256'] as const)(
    'are signed by %s, and say who, for whom and how long',
    async (algorithm) => {
      const auth = await startTestAuth({ algorithm, accessSeconds: 60 });
      const { accessToken, expiresIn, tokenType } = await login(auth);
      expect([expiresIn, tokenType]).toEqual([60, 'Bearer']);
      const claims = await verified(auth, accessToken);
      expect(claims).toEqual({
        iss: ISSUER,
        aud: AUDIENCE,
        sub: 'u-ada',
        iat: expect.any(Number),
        exp: (claims.iat ?? 0) + 60,
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        roles: ['admin'],
        permissions: ['orders:*'],
      });
      const other = await verified(auth, (await login(auth)).accessToken);
      expect(other.jti).not.toBe(claims.jti);
    },
  );
});

describe('logins', () => {
  const BAD = 'wrong password';
  const few = { burst: 2, refillMs: minutes(1) };
  const outcome = (call: Promise<unknown>) =>
    call.then(
      () => 'ok',
      ({ code }: { code: number }) => status[code],
    );

  test('a success forgets the failures of the user, but not those of the address', async () => {
    const auth = await startTestAuth({
      users: [await user(), await user({ id: 'u-eve', username: 'eve' })],
      logins: { user: few, address: { burst: 3, refillMs: minutes(1) } },
    });
    const eve = { username: 'eve' };
    expect(await outcome(login(auth, BAD))).toBe('UNAUTHENTICATED');
    expect(await outcome(login(auth))).toBe('ok');
    expect(await outcome(login(auth, BAD))).toBe('UNAUTHENTICATED');
    // Eve's own logins do not pay for her guesses at others.
    expect(await outcome(login(auth, PASSWORD, eve))).toBe('ok');
    expect(await outcome(login(auth, BAD, { username: 'mallory' }))).toBe('UNAUTHENTICATED');
    expect(await outcome(login(auth, PASSWORD, eve))).toBe('RESOURCE_EXHAUSTED');
  });

  test('names that nobody has are throttled like those of users', async () => {
    const auth = await startTestAuth({ logins: { user: few } });
    for (const username of ['ada', 'nobody']) {
      const codes = [];
      for (let i = 0; i < 3; i++)
        codes.push(await outcome(login(auth, BAD, { username, address: `192.0.2.${i}` })));
      expect(codes).toEqual(['UNAUTHENTICATED', 'UNAUTHENTICATED', 'RESOURCE_EXHAUSTED']);
    }
    const { details } = await refusalOf(login(auth, BAD));
    expect(details).toMatchObject({ RetryInfo: { retryDelay: { seconds: expect.any(Number) } } });
  });

  test('guesses that are made at once count as if one came after the other', async () => {
    const auth = await startTestAuth({ logins: { user: few } });
    const codes = await Promise.all(Array.from({ length: 20 }, () => outcome(login(auth, BAD))));
    expect(codes.filter((code) => code === 'UNAUTHENTICATED')).toHaveLength(2);
    expect(codes.filter((code) => code === 'RESOURCE_EXHAUSTED')).toHaveLength(18);
  });

  test('whoever fails as a user on purpose does not lock them out of where they have been', async () => {
    const auth = await startTestAuth({ logins: { user: few } });
    const home = { address: '198.51.100.7' };
    expect(await outcome(login(auth, PASSWORD, home))).toBe('ok');
    for (let i = 0; i < 3; i++) await outcome(login(auth, BAD, { address: `192.0.2.${i}` }));
    expect(await outcome(login(auth, PASSWORD, { address: '203.0.113.1' }))).toBe('RESOURCE_EXHAUSTED');
    // Not by a name either that looks like what the service keeps of that place.
    for (const username of [`${home.address}\0ada`, `place:${home.address}\0ada`]) {
      for (let i = 0; i < 3; i++) await outcome(login(auth, BAD, { username, address: `192.0.2.1${i}` }));
    }
    expect(await outcome(login(auth, PASSWORD, home))).toBe('ok');
  });

  test('more checks than may wait are refused, and do not count as failures', async () => {
    const auth = await startTestAuth({
      users: [await user({ password: await hashPassword(PASSWORD, { ln: 15, r: 8, p: 2 }) })],
      checks: { atOnce: 1, waiting: 1 },
      logins: { user: { burst: 6, refillMs: minutes(60) } },
    });
    const codes = await Promise.all(Array.from({ length: 6 }, () => outcome(login(auth, BAD))));
    expect(codes.filter((code) => code === 'UNAUTHENTICATED')).toHaveLength(2);
    // Four tries are left.
    for (let i = 0; i < 3; i++) expect(await outcome(login(auth, BAD))).toBe('UNAUTHENTICATED');
    expect(await outcome(login(auth))).toBe('ok');
  });

  test('a disabled user has no right password', async () => {
    const auth = await startTestAuth({ users: [await user({ disabled: true })] });
    expect((await refusalOf(login(auth))).details).toMatchObject({
      ErrorInfo: { reason: 'INVALID_CREDENTIALS' },
    });
  });

  test('a name and a password are the same however they were typed', async () => {
    const users = [
      await user({
        username: 'ren\u00e9',
        password: await hashPassword('caf\u00e9', { ln: 10, r: 8, p: 1 }),
      }),
    ];
    const auth = await startTestAuth({ users });
    expect(await outcome(login(auth, 'cafe\u0301', { username: 'rene\u0301' }))).toBe('ok');
  });

  test('events tell who, from where and how it went, and neither passwords nor names that nobody has', async () => {
    const auth = await startTestAuth({ logins: { address: few } });
    const { refreshToken } = await login(auth);
    await outcome(login(auth, BAD));
    await outcome(login(auth, BAD, { username: 'my-password-in-the-wrong-field' }));
    await outcome(login(auth));
    await ask(auth.client, auth.client.logout, { refreshToken });
    const address = '192.0.2.1';
    expect(auth.events).toEqual([
      { event: 'login', userId: 'u-ada', address },
      { event: 'login_failed', userId: 'u-ada', address },
      { event: 'login_failed', address },
      { event: 'login_refused', userId: 'u-ada', address },
      { event: 'logout', userId: 'u-ada' },
    ]);
  });
});

describe('refresh tokens', () => {
  test('a refresh takes the roles and permissions that the user has by then', async () => {
    const auth = await startTestAuth();
    const { refreshToken } = await login(auth);
    auth.auth.replaceUsers([{ ...auth.ada, roles: ['clerk'], permissions: [] }]);
    const next = await refresh(auth, refreshToken);
    expect(await verified(auth, next.accessToken)).toMatchObject({ roles: ['clerk'], permissions: [] });
  });

  test.each([
    ['is gone', { id: 'u-other', username: 'other' }, 'user_gone'],
    ['is disabled', { disabled: true }, 'user_gone'],
    [
      'has another password',
      { password: '$scrypt$ln=10,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA' },
      'password_changed',
    ],
  ])('end when their user %s', async (_what, change, reason) => {
    const auth = await startTestAuth();
    const { refreshToken } = await login(auth);
    auth.auth.replaceUsers([{ ...auth.ada, ...change }]);
    expect((await refusalOf(refresh(auth, refreshToken))).code).toBe(status.UNAUTHENTICATED);
    expect(auth.events.at(-1)).toMatchObject({ event: 'refresh_refused', userId: 'u-ada', reason });
    // For good: what was changed may be changed back.
    auth.auth.replaceUsers([auth.ada]);
    expect((await refusalOf(refresh(auth, refreshToken))).code).toBe(status.UNAUTHENTICATED);
  });

  test('end when they are not used, and after their lifetime even if they are', async () => {
    const auth = await startTestAuth({ refresh: { idleMs: minutes(10), lifetimeMs: minutes(25) } });
    let { refreshToken } = await login(auth);
    for (const at of [9, 18, 24]) {
      auth.clock.ahead = minutes(at);
      ({ refreshToken } = await refresh(auth, refreshToken));
    }
    auth.clock.ahead = minutes(25);
    await refusalOf(refresh(auth, refreshToken));
    expect(auth.events.at(-1)).toMatchObject({ reason: 'expired' });
    const idle = await login(auth);
    auth.clock.ahead = minutes(35);
    await refusalOf(refresh(auth, idle.refreshToken));
    expect(auth.events.at(-1)).toMatchObject({ reason: 'expired' });
  });

  test('of a user only the last used logins stay', async () => {
    const auth = await startTestAuth({ refresh: { mostPerUser: 2 } });
    const first = await login(auth);
    auth.clock.ahead += 1_000;
    const second = await login(auth);
    auth.clock.ahead += 1_000;
    const { refreshToken } = await refresh(auth, first.refreshToken);
    auth.clock.ahead += 1_000;
    const third = await login(auth);
    await refusalOf(refresh(auth, second.refreshToken));
    await refresh(auth, refreshToken);
    await refresh(auth, third.refreshToken);
  });

  test('logout ends its login and no other, and takes a token that was spent, or that nobody knows', async () => {
    const auth = await startTestAuth();
    const [one, other] = [await login(auth), await login(auth)];
    const next = await refresh(auth, one.refreshToken);
    const logout = (refreshToken: string) => ask(auth.client, auth.client.logout, { refreshToken });
    await logout(one.refreshToken);
    await refusalOf(refresh(auth, next.refreshToken));
    await refresh(auth, other.refreshToken);
    expect(await logout(next.refreshToken)).toEqual({});
    expect(await logout('x')).toEqual({});
    expect(await logout('x'.repeat(64))).toEqual({});
  });
});

describe('signing keys', () => {
  const keys = { lifetimeMs: minutes(60), publishAheadMs: minutes(10) };
  const kids = async (auth: TestAuth) => (await jwks(auth)).map(({ kid }) => kid);
  const signedBy = async (auth: TestAuth) =>
    jwt.decode((await login(auth)).accessToken, { complete: true })?.header.kid;
  /** Until the next key, which is made on the side, is there. */
  const published = async (auth: TestAuth, count: number) => {
    await expect.poll(() => kids(auth)).toHaveLength(count);
    return kids(auth);
  };

  test('the next one is published before it signs, the old one until its last token has expired', async () => {
    const auth = await startTestAuth({ keys, accessSeconds: 300 });
    const [first] = await kids(auth);
    auth.clock.ahead = minutes(49);
    expect(await kids(auth)).toEqual([first]);
    auth.clock.ahead = minutes(50) + 5_000;
    const [, second] = await published(auth, 2);
    expect(await signedBy(auth)).toBe(first);
    auth.clock.ahead = minutes(59);
    expect(await signedBy(auth)).toBe(first);
    const last = (await login(auth)).accessToken;
    auth.clock.ahead = minutes(61);
    expect(await signedBy(auth)).toBe(second);
    expect(await kids(auth)).toEqual([first, second]);
    expect(await verified({ ...auth, clock: { ahead: minutes(59) } }, last)).toMatchObject({ sub: 'u-ada' });
    // Five minutes of the token, and five that clocks may differ.
    auth.clock.ahead = minutes(69);
    expect(await kids(auth)).toEqual([first, second]);
    auth.clock.ahead = minutes(71);
    await expect.poll(() => kids(auth)).toEqual([second]);
  });

  test('a key that could not be followed in time goes on, until the next one has been published long enough', async () => {
    const auth = await startTestAuth({ keys });
    const [first] = await kids(auth);
    auth.clock.ahead = minutes(63);
    const [, second] = await published(auth, 2);
    auth.clock.ahead = minutes(72);
    expect(await signedBy(auth)).toBe(first);
    auth.clock.ahead = minutes(74);
    expect(await signedBy(auth)).toBe(second);
  });

  test('after a long sleep nothing is signed by a key that is no longer published', async () => {
    const auth = await startTestAuth({ keys });
    const [first] = await kids(auth);
    auth.clock.ahead = minutes(600);
    const { accessToken } = await login(auth);
    await verified(auth, accessToken);
    expect(await kids(auth)).not.toContain(first);
  });

  test('another algorithm takes over as another key would', async () => {
    const path = join(folder(), 'state.json');
    const before = await openFileStore(path);
    const rsa = await startTestAuth({ keys, algorithm: 'RS256', store: before });
    const [first] = await kids(rsa);
    await rsa.auth.close();
    await before.close();
    const auth = await startTestAuth({ keys, algorithm: 'ES256', store: await openFileStore(path) });
    const [, second] = await published(auth, 2);
    expect((await jwks(auth)).map(({ alg }) => alg)).toEqual(['RS256', 'ES256']);
    expect(await signedBy(auth)).toBe(first);
    await verified(auth, (await login(auth)).accessToken);
    auth.clock.ahead = minutes(11);
    expect(await signedBy(auth)).toBe(second);
    await verified(auth, (await login(auth)).accessToken);
  });
});

/** As it is kept. */
const family = (access: unknown): string =>
  JSON.stringify({ id: 'f', userId: 'u', passwordDigest: 'd', current: 'c', usedAt: 1, endsAt: 2, access });

describe('the state in a file', () => {
  test('survives a restart, and holds neither tokens nor passwords', async () => {
    const path = join(folder(), 'state.json');
    const store = await openFileStore(path);
    const before = await startTestAuth({ store });
    const first = await login(before);
    const second = await refresh(before, first.refreshToken);
    const gone = await login(before);
    await ask(before.client, before.client.logout, { refreshToken: gone.refreshToken });
    const published = await jwks(before);
    await before.auth.close();
    await store.close();

    const text = readFileSync(path, 'utf8');
    for (const { refreshToken, accessToken } of [first, second, gone]) {
      expect(text).not.toContain(refreshToken);
      expect(text).not.toContain(accessToken);
    }
    expect(text).not.toContain(before.ada.password);
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const after = await startTestAuth({ users: [before.ada], store: await openFileStore(path) });
    expect(await jwks(after)).toEqual(published);
    await verified(after, second.accessToken);
    await refusalOf(refresh(after, gone.refreshToken));
    const third = await refresh(after, second.refreshToken);
    await refresh(after, third.refreshToken);
    await refusalOf(refresh(after, first.refreshToken));
    expect(after.events.at(-1)).toMatchObject({ reason: 'reused' });
  });

  test('is on the disk before a token is given, with many calls at once', async () => {
    const path = join(folder(), 'state.json');
    const auth = await startTestAuth({ store: await openFileStore(path) });
    const families = () => JSON.parse(readFileSync(path, 'utf8')).families.length as number;
    const seen = await Promise.all(Array.from({ length: 10 }, () => login(auth).then(families)));
    expect(Math.min(...seen)).toBeGreaterThan(0);
    expect(families()).toBe(10);
  });

  test('that cannot be read is refused, and left as it is', async () => {
    const path = join(folder(), 'state.json');
    for (const [text, problem] of [
      ['{"keys": [', 'not JSON'],
      ['{"version": 2, "keys": [], "families": []}', 'not the state of an auth service of version 1'],
      ['{"version": 1, "keys": [{"algorithm": "none"}], "families": []}', 'not the state of an auth service'],
      ['{"version": 1, "keys": [], "families": [{}]}', 'not the state of an auth service'],
      [`{"version": 1, "keys": [], "families": [${family([{ id: 'a' }])}]}`, 'not the state'],
      [`{"version": 1, "keys": [], "families": [${family('a')}]}`, 'not the state'],
    ] as const) {
      writeFileSync(path, text);
      await expect(openFileStore(path)).rejects.toThrow(`${path}: ${problem}`);
      expect(readFileSync(path, 'utf8')).toBe(text);
    }
    await expect(openFileStore(join(folder(), 'no', 'state.json'))).rejects.toThrow(/ENOENT/);
  });

  test('of logins from before access tokens were remembered is taken', async () => {
    const path = join(folder(), 'state.json');
    writeFileSync(path, `{"version": 1, "keys": [], "families": [${family(undefined)}]}`);
    await (await openFileStore(path)).close();
    expect(JSON.parse(readFileSync(path, 'utf8')).families).toHaveLength(1);
  });
});

describe('a name that nobody has', () => {
  test('is checked against a hash that costs what some user costs, each time the same', async () => {
    const cheap = await user();
    const dear = await user({
      id: 'b',
      username: 'ben',
      password: await hashPassword('x', { ln: 11, r: 8, p: 1 }),
    });
    const users = createUsers([cheap, dear]);
    expect([users.hashFor('ada'), users.hashFor('ben')]).toEqual([cheap.password, dear.password]);
    const names = Array.from({ length: 100 }, (_, index) => `nobody-${index}`);
    const costs = (name: string) => /ln=\d+/.exec(users.hashFor(name))?.[0];
    expect(new Set(names.map(costs))).toEqual(new Set(['ln=10', 'ln=11']));
    for (const name of names) {
      expect(users.hashFor(name)).toBe(users.hashFor(name));
      expect([cheap.password, dear.password]).not.toContain(users.hashFor(name));
    }
  });
});
