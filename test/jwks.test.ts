/** Keys that issuers publish: when they are asked for, what of them is used, and what becomes of tokens when they cannot be had. */
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Algorithm } from '../gateway/auth/algorithms.js';
import { createJwks, type FetchOutcome, type JwksTimes, readKeys } from '../gateway/auth/jwks.js';
import type { KeySet } from '../gateway/auth/key_set.js';
import { Code, StatusError } from '../src/status.js';
import { signingKey, startIssuer, type TestIssuer } from './support/security/issuer.js';

const k1 = signingKey('k1');
const k2 = signingKey('k2');
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function start(times: Partial<JwksTimes> = {}, prepare: (issuer: TestIssuer) => void = () => {}) {
  const issuer = await startIssuer(k1);
  prepare(issuer);
  const outcomes: FetchOutcome[] = [];
  const set = createJwks({
    url: issuer.url,
    algorithms: ['RS256', 'ES256'],
    observe: (outcome) => outcomes.push(outcome),
    times,
  });
  cleanups.push(() => set.close(), issuer.close);
  return { issuer, set, outcomes };
}

const answering =
  (answer: NonNullable<TestIssuer['answer']>) =>
  (issuer: TestIssuer): void => {
    issuer.answer = answer;
  };
const publishing =
  (keys: TestIssuer['keys']) =>
  (issuer: TestIssuer): void => {
    issuer.keys = keys;
  };

async function find(set: KeySet, kid: unknown, algorithm: Algorithm = 'RS256'): Promise<string> {
  try {
    const keys = await set.find(algorithm, kid);
    return keys.map(({ keyId }) => keyId).join();
  } catch (thrown) {
    const error = thrown as StatusError;
    expect(error).toBeInstanceOf(StatusError);
    return `${error.row.name}: ${error.message}`;
  }
}

const UNKNOWN = 'UNAUTHENTICATED: token key id is not known';
const AWAY = 'UNAVAILABLE: the keys of the token issuer cannot be fetched';

describe('keys at an URL', () => {
  test('are fetched once for all who ask at the same time, and are then at hand', async () => {
    const { issuer, set } = await start();
    expect(await Promise.all([find(set, 'k1'), find(set, 'k1'), find(set, undefined)])).toEqual([
      'k1',
      'k1',
      'k1',
    ]);
    expect(set.find('RS256', 'k1')).not.toBeInstanceOf(Promise);
    expect(issuer.asked).toBe(1);
  });

  test('are fetched when they are started with, however often, or when a token needs them; not before', async () => {
    const { issuer, set, outcomes } = await start();
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(issuer.asked).toBe(0);
    set.start();
    set.start();
    await vi.waitFor(() => expect(outcomes).toHaveLength(1));
    set.start();
    expect(set.find('RS256', 'k1')).not.toBeInstanceOf(Promise);
    expect(issuer.asked).toBe(1);
  });

  test('are fetched again for an unknown key id, at most once per cool-down', async () => {
    const { issuer, set } = await start({ coolDown: 3_000 });
    expect(await find(set, 'k1')).toBe('k1');
    expect(
      await Promise.all(Array.from({ length: 500 }, (_, index) => find(set, `made-up-${index}`))),
    ).toEqual(Array(500).fill(UNKNOWN));
    expect(issuer.asked).toBe(1);
    issuer.keys = [k1.jwk, k2.jwk];
    await vi.waitFor(async () => expect(await find(set, 'k2')).toBe('k2'), 10_000);
    expect(issuer.asked).toBe(2);
  });

  test('that were taken back are no longer used, and what they had verified is looked at again', async () => {
    const { issuer, set } = await start({ preset: 50 });
    await find(set, 'k1');
    const { generation } = set;
    issuer.keys = [k2.jwk];
    await vi.waitFor(async () => expect(await find(set, 'k2')).toBe('k2'));
    expect(await find(set, 'k1')).toBe(UNKNOWN);
    expect(set.generation).toBe(generation + 1);
  });

  test('that have not changed leave what was verified as it is', async () => {
    const { issuer, set } = await start({ preset: 20 });
    await find(set, 'k1');
    const { generation } = set;
    await vi.waitFor(() => expect(issuer.asked).toBeGreaterThan(3));
    expect(set.generation).toBe(generation);
  });

  test.each([
    ['max-age=0', 20, 60_000, 3],
    ['no-store', 20, 60_000, 3],
    ['public, max-age=86400', 1, 20, 3],
    ['max-age=3600', 1, 3_600_000, 1],
    ['max-age=x', 60_000, 60_000, 1],
  ])(
    'are as fresh as cache-control: %s says, between %d and %d ms',
    async (cacheControl, least, most, asked) => {
      const { issuer, set } = await start({ least, most, preset: 60_000 }, (one) => {
        one.cacheControl = cacheControl;
      });
      await find(set, 'k1');
      if (asked > 1) await vi.waitFor(() => expect(issuer.asked).toBeGreaterThanOrEqual(asked));
      else {
        await new Promise((resolve) => setTimeout(resolve, 150));
        expect(issuer.asked).toBe(1);
      }
    },
  );

  test('stay in force while they cannot be fetched, which is tried less and less often', async () => {
    const { issuer, set, outcomes } = await start({ preset: 30, firstRetry: 50, lastRetry: 400 });
    await find(set, 'k1');
    issuer.answer = (response) => response.writeHead(500).end();
    await vi.waitFor(() =>
      expect(outcomes.filter(({ problem }) => problem === 'it answers 500')).toHaveLength(4),
    );
    expect(issuer.asked).toBeLessThan(8);
    expect(await find(set, 'k1')).toBe('k1');
    issuer.answer = undefined;
    issuer.keys = [k2.jwk];
    await vi.waitFor(async () => expect(await find(set, 'k2')).toBe('k2'));
  });

  test('are out of force when they have not been fetched for too long', async () => {
    const { issuer, set } = await start({ preset: 30, firstRetry: 50, stale: 300 });
    expect(await find(set, 'k1')).toBe('k1');
    issuer.answer = (response) => response.destroy();
    await vi.waitFor(async () => expect(await find(set, 'k1')).toBe(AWAY));
  });

  test('that never came make tokens neither good nor bad: UNAVAILABLE, at once, and with a delay', async () => {
    const { issuer, set } = await start({ firstRetry: 100 }, (one) => {
      one.answer = (response) => response.writeHead(404).end();
    });
    expect(await find(set, 'k1')).toBe(AWAY);
    const asked = issuer.asked;
    await Promise.all(Array.from({ length: 100 }, () => find(set, 'k1')));
    expect(issuer.asked).toBe(asked);
    issuer.answer = undefined;
    await vi.waitFor(async () => expect(await find(set, 'k1')).toBe('k1'));
  });

  test.each<[string, (issuer: TestIssuer) => void]>([
    [
      'the answer is longer than 262144 bytes',
      (one) => {
        one.answer = (response) => {
          const more = (): void => {
            while (!response.destroyed && response.write('x'.repeat(65_536)));
            if (!response.destroyed) response.once('drain', more);
          };
          more();
        };
      },
    ],
    ['no answer within 200 ms', answering(() => {})],
    ['no answer within 200 ms', answering((response) => response.writeHead(200).write('{"keys":['))],
    ['the answer is not JSON', answering((response) => response.end('<html>'))],
    ['expected a JSON object with the array keys', answering((response) => response.end('[]'))],
    ['expected a JSON object with the array keys', answering((response) => response.end('null'))],
    ['it answers 302', answering((response, { url }) => response.writeHead(302, { location: url }).end())],
    ['there is no key in it that can verify tokens of these algorithms', publishing([])],
    ['more than 64 keys', publishing(Array(65).fill(k1.jwk))],
  ])('"%s" is a problem that is told', async (problem, prepare) => {
    const { set, outcomes } = await start({ timeout: 200, firstRetry: 60_000 }, prepare);
    expect(await find(set, 'k1')).toBe(AWAY);
    expect(outcomes.map((outcome) => outcome.problem)).toEqual([problem]);
  });

  test('that come as an empty set lock nobody out', async () => {
    const { issuer, set, outcomes } = await start({ preset: 30, firstRetry: 50 });
    await find(set, 'k1');
    issuer.keys = [];
    await vi.waitFor(() => expect(outcomes.at(-1)?.problem).toMatch(/^there is no key/));
    expect(await find(set, 'k1')).toBe('k1');
  });
});

describe('of a key set', () => {
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  const { publicKey: x25519 } = generateKeyPairSync('x25519');
  const ec = signingKey('ec', 'ES256');
  const read = (jwk: unknown, algorithms: readonly Algorithm[] = ['RS256', 'PS256', 'ES256', 'EdDSA']) =>
    readKeys({ keys: [jwk] }, algorithms).map(({ algorithms: names }) => [...names].join());

  test.each<[string, unknown]>([
    ['a key for encryption', { ...k1.jwk, use: 'enc' }],
    ['a key for other operations', { ...k1.jwk, key_ops: ['encrypt'] }],
    ['a key of another algorithm', { ...k1.jwk, alg: 'RSA-OAEP' }],
    ['a secret', { kty: 'oct', k: 'c2VjcmV0', alg: 'HS256' }],
    ['a key of 1024 bits', { ...weak, kid: 'weak' }],
    ['a key for key agreement', x25519.export({ format: 'jwk' })],
    ['a key with something missing', { kty: 'RSA', n: k1.jwk.n }],
    ['a text', 'k1'],
    ['nothing', null],
    ['an unknown kind', { kty: 'quantum' }],
    ['a curve of no algorithm that is accepted', signingKey('p', 'ES384').jwk],
  ])('%s is passed over', (_, jwk) => {
    expect(read(jwk)).toEqual([]);
  });

  test('a key is used with the algorithm that it names, or with those of its kind that are accepted', () => {
    expect(read(k1.jwk)).toEqual(['RS256']);
    const { alg: _, ...unnamed } = k1.jwk as Record<string, unknown>;
    expect(read(unnamed)).toEqual(['RS256,PS256']);
    expect(read(unnamed, ['ES256', 'HS256'])).toEqual([]);
    expect(read(ec.jwk)).toEqual(['ES256']);
    expect(read(signingKey('ed', 'EdDSA').jwk)).toEqual(['EdDSA']);
  });

  test('a private key is taken for its public half', () => {
    const jwk = k1.privateKey.export({ format: 'jwk' });
    expect(readKeys({ keys: [jwk] }, ['RS256']).map(({ key }) => key.type)).toEqual(['public']);
  });
});

test('a StatusError of keys that are away asks for patience, not for another token', async () => {
  const { set } = await start(
    {},
    answering((response) => response.destroy()),
  );
  const error = (await Promise.resolve()
    .then(() => set.find('RS256', 'k1'))
    .catch((thrown: unknown) => thrown)) as StatusError;
  expect(error.code).toBe(Code.UNAVAILABLE);
});
