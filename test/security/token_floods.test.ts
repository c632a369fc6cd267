/** Bad tokens in numbers: the issuer is not asked for each, and whoever has a good one is served all the while. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createTokenVerifier } from '../../gateway/auth/verifier.js';
import { loadConfig } from '../../gateway/config.js';
import type { StatusError } from '../../src/status.js';
import { DOORS } from '../support/door_clients.js';
import { get, limited, raw, statusOf } from '../support/security/attack.js';
import { AUD, ISS, type Issued, startIssued } from '../support/security/issued.js';
import { seconds, signingKey, startIssuer, tokenOf } from '../support/security/issuer.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const CLAIMS = encoded({ iss: ISS, aud: AUD, sub: 'ann', exp: seconds() + 600 });
/** Well-formed, and each another one. */
const made = (kid: string | undefined, n: number): string =>
  `${encoded({ alg: 'RS256', ...(kid !== undefined && { kid }) })}.${CLAIMS}.${randomBytes(250).toString('base64url')}${n % 10}`;

describe('100,000 bad tokens', () => {
  const key = signingKey('k1');
  const start = async () => {
    const issuer = await startIssuer(key);
    const { auth } = loadConfig({ argv: ['--upstream', 'localhost:1'], env: {} });
    const issuers = [
      { issuer: ISS, audiences: [AUD], algorithms: ['RS256'] as const, jwksUrl: issuer.url, required: {} },
    ];
    const verify = createTokenVerifier({ ...auth, issuers });
    closing.push(verify.close, issuer.close);
    const outcome = async (token: string): Promise<string> => {
      try {
        return (await verify(token)).subject;
      } catch (thrown) {
        return (thrown as StatusError).message;
      }
    };
    return { issuer, verify, outcome };
  };
  const good = (n: number) => tokenOf(key, { iss: ISS, aud: AUD, sub: `u${n}` });

  const kinds: readonly (readonly [(n: number) => string, string])[] = [
    [(n) => made(`made-up-${n}`, n), 'token key id is not known'],
    [(n) => made('k1', n), 'token signature is not valid'],
    [(n) => made(undefined, n), 'token signature is not valid'],
    [(n) => `${encoded({ alg: 'HS256' })}.${CLAIMS}.${n}`, 'token algorithm HS256 is not accepted'],
  ];

  test('of every kind cost the issuer a few questions at most; new tokens are good meanwhile, and those that are known stay so', async () => {
    const { issuer, verify, outcome } = await start();
    const known = good(0);
    expect(await outcome(known)).toBe('u0');
    for (let n = 1; n <= 100_000; n++) {
      const [bad, message] = kinds[n % kinds.length] as (typeof kinds)[number];
      const said = await outcome(bad(n));
      if (said !== message) expect(said).toBe(message);
      if (n % 10_000 === 0) expect(await outcome(good(n))).toBe(`u${n}`);
    }
    expect(await outcome(known)).toBe('u0');
    expect(verify.counts).toMatchObject({ refused: 100_000, verified: 11, remembered: 1 });
    // Once at first, and then at most every half a minute, however slow this machine is.
    expect(issuer.asked).toBeLessThanOrEqual(5);
  }, 120_000);

  test('that are one and the same are verified once', async () => {
    const { outcome } = await start();
    const bad = made('k1', 1);
    expect(await outcome(bad)).toBe('token signature is not valid');
    const since = performance.now();
    for (let n = 0; n < 20_000; n++) await outcome(bad);
    const same = (performance.now() - since) / 20_000;
    const others = performance.now();
    for (let n = 0; n < 2_000; n++) await outcome(made('k1', n));
    // One hash against one RSA verification and the making of the token; the machine may be busy.
    expect(same).toBeLessThan((performance.now() - others) / 2_000);
  }, 60_000);
});

describe('a flood of key ids that nobody has, through the gateway', () => {
  const start = async (...flags: string[]): Promise<Issued> => {
    const site = await startIssued({ flags });
    closing.push(site.close);
    return site;
  };

  test('through every door: the issuer is asked at most twice, and others are served', async () => {
    const site = await start('--bad-tokens', '0');
    let sent = 0;
    let over = false;
    const flood = DOORS.map(async ({ open }) => {
      for (let n = 0; n < 40; n++) {
        const { code, http, close } = await open(site.port, '/v1/open', { token: made(`k-${sent++}`, n) })
          .outcome;
        expect([401, 4316]).toContain(http ?? (code === 16 ? 4316 : close));
      }
    });
    const others = (async () => {
      let served = 0;
      while (!over) {
        const token = site.token({ sub: `u${served}`, jti: `${served}` });
        const door = DOORS[served % DOORS.length];
        expect((await door?.open(site.port, '/v1/open', { token }).outcome)?.messages).toHaveLength(1);
        served++;
      }
      return served;
    })();
    await Promise.all(flood);
    over = true;
    expect(await others).toBeGreaterThan(DOORS.length);
    expect(sent).toBe(40 * DOORS.length);
    expect(site.issuer.asked).toBeLessThanOrEqual(2);
  });

  test('is not even verified beyond the limit of its address, and nobody elsewhere notices', async () => {
    const site = await start('--bad-tokens', '5');
    const send = (token: string, from: string) =>
      raw(site.port, get('/v1/open', `authorization: Bearer ${token}\r\nconnection: close\r\n`), from);
    const flood = Array.from({ length: 200 }, (_, n) => send(made(`k-${n}`, n), '127.0.0.9'));
    await Promise.all(flood.map(({ closed }) => closed));
    const statuses = flood.map(statusOf);
    expect(new Set(statuses)).toEqual(new Set(['401', '429']));
    expect(await limited(site.port, 'bad_tokens')).toBe(statuses.filter((status) => status === '429').length);
    expect(site.issuer.asked).toBeLessThanOrEqual(2);
    for (const name of ['u1', 'u2']) {
      const other = send(site.token({ sub: name }), '127.0.0.10');
      await other.closed;
      expect(statusOf(other)).toBe('200');
    }
    // From the attacker's address good tokens wait as well, for as long as the flood lasts.
    await sleep(1_100);
    const back = send(site.token({ sub: 'u3' }), '127.0.0.9');
    await vi.waitFor(() => expect(statusOf(back)).toBe('200'));
  });
});
