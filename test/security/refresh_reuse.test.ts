/** A stolen refresh token: whoever uses it, thief or owner, the second use ends what it was good for. */
import { status } from '@grpc/grpc-js';
import { beforeEach, describe, expect, test } from 'vitest';
import { PASSWORD, type Rest, restOf, startTestAuth, type TestAuth } from '../support/auth.js';

const GRACE_MS = 10_000;

describe('a refresh token that was spent', () => {
  let auth: TestAuth;
  let rest: Rest;
  beforeEach(async () => {
    auth = await startTestAuth({ refresh: { graceMs: GRACE_MS } });
    rest = await restOf(auth);
  });

  const login = async (): Promise<string> => {
    const { body } = await rest.post('/v1/auth/login', { username: 'ada', password: PASSWORD });
    return body.refresh_token;
  };
  const refresh = (refresh_token: string) => rest.post('/v1/auth/refresh', { refresh_token });
  const spend = async (token: string): Promise<string> => {
    const { status: code, body } = await refresh(token);
    expect(code).toBe(200);
    return body.refresh_token;
  };
  const refuses = async (token: string) => {
    const { status: code, body } = await refresh(token);
    expect([code, body.code]).toEqual([401, status.UNAUTHENTICATED]);
    expect(body).not.toHaveProperty('access_token');
  };

  test('ends the whole family, the newest token too', async () => {
    const first = await login();
    const second = await spend(first);
    const third = await spend(second);
    await refuses(first);
    expect(auth.events.at(-1)).toMatchObject({ event: 'refresh_refused', userId: 'u-ada', reason: 'reused' });
    await refuses(third);
    await refuses(second);
  });

  test('ends no other login of the same user', async () => {
    const [first, other] = [await login(), await login()];
    await spend(await spend(first));
    await refuses(first);
    await spend(other);
  });

  test('is found out however old it is', async () => {
    const first = await login();
    let last = first;
    for (let i = 0; i < 30; i++) last = await spend(last);
    await refuses(first);
    await refuses(last);
  });

  test('stolen and used first by the thief: the owner comes later, and the thief has nothing any more', async () => {
    const stolen = await login();
    const thiefs = await spend(stolen);
    auth.clock.ahead = GRACE_MS;
    await refuses(stolen);
    await refuses(thiefs);
  });

  test('stolen and used by the thief at once after the owner: the owner comes back, and both have to log in', async () => {
    const stolen = await login();
    const owners = await spend(stolen);
    const thiefs = await spend(stolen);
    await refuses(owners);
    expect(auth.events.at(-1)).toMatchObject({ reason: 'reused' });
    await refuses(thiefs);
  });

  test('may be repeated for an answer that was lost: what was lost is void, what came instead is good', async () => {
    const first = await login();
    const lost = await spend(first);
    auth.clock.ahead = GRACE_MS - 2_000;
    const found = await spend(first);
    const next = await spend(found);
    await refuses(lost);
    await refuses(next);
  });

  test('may be repeated only as long after its first use, however often it is repeated', async () => {
    const first = await login();
    await spend(first);
    auth.clock.ahead = GRACE_MS - 2_000;
    const last = await spend(first);
    auth.clock.ahead = GRACE_MS;
    await refuses(first);
    await refuses(last);
  });

  test('may not be repeated once its successor has been used, grace or not', async () => {
    const first = await login();
    const third = await spend(await spend(first));
    await refuses(first);
    await refuses(third);
  });

  test('used many times at once gives one token that is good', async () => {
    const first = await login();
    const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(first)));
    const tokens = answers.map(({ body }) => body.refresh_token as string);
    expect(new Set(tokens).size).toBe(10);
    const strict = await startTestAuth({ refresh: { graceMs: 0 } });
    const other = await restOf(strict);
    const { body } = await other.post('/v1/auth/login', { username: 'ada', password: PASSWORD });
    const { refresh_token } = body;
    const codes = await Promise.all(
      Array.from(
        { length: 10 },
        async () => (await other.post('/v1/auth/refresh', { refresh_token })).status,
      ),
    );
    expect(codes.filter((code) => code === 200)).toHaveLength(1);
  });

  test('is not guessed from its family: a token made up with the right name ends it, and gives nothing', async () => {
    const first = await login();
    await refuses(`${first.slice(0, 22)}${'A'.repeat(42)}`);
    await refuses(first);
  });

  test.each([['x'], ['A'.repeat(64)], ['../../etc/passwd'], ['\u0000'.repeat(64)], ['A'.repeat(63)]])(
    'that was never one is refused: %j',
    async (token) => refuses(token),
  );
});
