/** The configuration of tokens: the places that they come from, tickets and revocations; and every key of it documented. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ALGORITHMS } from '../gateway/auth/algorithms.js';
import { auth as AUTH, AUTH_KEYS } from '../gateway/config/auth_schema.js';
import { AUTH as FLAGS } from '../gateway/config/auth_settings.js';
import { TOKEN_SOURCES } from '../gateway/config/auth_types.js';
import { type Config, loadConfig } from '../gateway/config.js';
import { type Given, load, problems } from './support/auth_config.js';

const PUBLIC_KEY = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
}).publicKey;

describe('the places that tokens come from', () => {
  test('are all but those that have to be named', () => {
    const auth = load({});
    expect(auth.sources).toEqual([...TOKEN_SOURCES]);
    expect([auth.cookie, auth.queryParameter]).toEqual([undefined, undefined]);
  });

  test('are those that are listed, by flags, variable or file; also none', () => {
    expect(load({ argv: ['--token-source', 'frames', '--token-source', 'tickets'] }).sources).toEqual([
      'frames',
      'tickets',
    ]);
    expect(load({ env: { TIDEGATE_TOKEN_SOURCES: 'authorization, tickets' } }).sources).toEqual([
      'authorization',
      'tickets',
    ]);
    expect(load({ auth: { sources: [] } }).sources).toEqual([]);
  });

  test('may be a cookie and a query parameter', () => {
    expect(
      load({ argv: ['--token-cookie', '__Host-session', '--token-parameter', 'access_token'] }),
    ).toMatchObject({
      cookie: '__Host-session',
      queryParameter: 'access_token',
    });
    expect(load({ auth: { cookie: 'sid', queryParameter: 't.1' } })).toMatchObject({
      cookie: 'sid',
      queryParameter: 't.1',
    });
  });

  test.each<[Given, string]>([
    [
      { auth: { sources: ['header'] } },
      "t.yaml: auth.sources[0]: expected one of authorization, subprotocol, frames, tickets, not 'header'",
    ],
    [{ auth: { sources: 'tickets' } }, 't.yaml: auth.sources: expected a list'],
    [
      { argv: ['--token-source', 'cookie'] },
      "flag --token-source: expected one of authorization, subprotocol, frames, tickets, not 'cookie'",
    ],
    [{ auth: { cookie: 'a b' } }, "t.yaml: auth.cookie: expected the name of a cookie, not 'a b'"],
    [{ auth: { cookie: 'a=b' } }, "t.yaml: auth.cookie: expected the name of a cookie, not 'a=b'"],
    [{ auth: { cookie: '' } }, "t.yaml: auth.cookie: expected the name of a cookie, not ''"],
    [{ auth: { cookie: true } }, 't.yaml: auth.cookie: expected the name of a cookie, not true'],
    [
      { auth: { queryParameter: 'a&b' } },
      "t.yaml: auth.queryParameter: expected the name of a query parameter, such as access_token, not 'a&b'",
    ],
    [
      { argv: ['--token-parameter', '1'] },
      "flag --token-parameter: expected the name of a query parameter, such as access_token, not '1'",
    ],
    [{ auth: { cookies: 'sid' } }, 't.yaml: auth.cookies: unknown key; did you mean cookie?'],
  ])('are refused: %j', (given, problem) => {
    expect(problems(given)).toEqual([problem]);
  });
});

describe('tickets, revocations and clocks', () => {
  const TICKET = 'expected a duration such as 1500 (ms), 1500ms or 30s, from 1000ms to 24d';
  const REVOCATION = 'expected a duration such as 1500 (ms), 1500ms or 30s, from 60000ms to 24d';

  test('have defaults, and are set by flags, variables and the file', () => {
    const values = ({ ticketTtlMs, ticketsAtOnce, revocationTtlMs, leewaySeconds }: Config['auth']) => [
      ticketTtlMs,
      ticketsAtOnce,
      revocationTtlMs,
      leewaySeconds,
    ];
    expect(values(load({}))).toEqual([30_000, 10_000, 86_400_000, 30]);
    const argv = ['--ticket-ttl', '5s', '--tickets-at-once', '7', '--revocation-ttl', '2h', '--leeway', '0'];
    expect(values(load({ argv }))).toEqual([5_000, 7, 7_200_000, 0]);
    const env = {
      TIDEGATE_TICKET_TTL: '1m',
      TIDEGATE_TICKETS_AT_ONCE: '8',
      TIDEGATE_REVOCATION_TTL: '1h',
      TIDEGATE_LEEWAY: '60',
    };
    expect(values(load({ env }))).toEqual([60_000, 8, 3_600_000, 60]);
    const auth = { ticketTtlMs: 1000, ticketsAtOnce: 1, revocationTtlMs: '1m', leewaySeconds: 3600 };
    expect(values(load({ auth }))).toEqual([1_000, 1, 60_000, 3_600]);
  });

  test.each<[Given, string]>([
    [{ auth: { ticketTtlMs: 999 } }, `t.yaml: auth.ticketTtlMs: ${TICKET}, not 999`],
    [{ argv: ['--ticket-ttl', 'soon'] }, `flag --ticket-ttl: ${TICKET}, not 'soon'`],
    [{ auth: { ticketTtlMs: '25d' } }, `t.yaml: auth.ticketTtlMs: ${TICKET}, not '25d'`],
    [
      { auth: { ticketsAtOnce: 0 } },
      't.yaml: auth.ticketsAtOnce: expected a number between 1 and 10000000, not 0',
    ],
    [
      { env: { TIDEGATE_TICKETS_AT_ONCE: 'many' } },
      "environment TIDEGATE_TICKETS_AT_ONCE: expected a number between 1 and 10000000, not 'many'",
    ],
    [{ auth: { revocationTtlMs: 59_999 } }, `t.yaml: auth.revocationTtlMs: ${REVOCATION}, not 59999`],
    [{ auth: { revocationTtlMs: null } }, ''],
    [
      { auth: { leewaySeconds: 3601 } },
      't.yaml: auth.leewaySeconds: expected seconds between 0 and 3600, not 3601',
    ],
    [{ argv: ['--leeway', '-1'] }, 'flag --leeway: expected SECONDS, as in --leeway=SECONDS'],
    [{ auth: { ticketTtl: '1s' } }, 't.yaml: auth.ticketTtl: unknown key; did you mean ticketTtlMs?'],
  ])('are refused: %j', (given, problem) => {
    expect(problems(given)).toEqual(problem === '' ? [] : [problem]);
  });
});

describe('the documentation', () => {
  const page = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
  const yaml = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] as string;
  const block = /^auth:\n((?: .*\n)+)/m.exec(yaml)?.[1] ?? '';
  const table = page.slice(page.indexOf('### Issuers'), page.indexOf('### Where tokens come from'));

  test('has every key of auth, and of the issuers', () => {
    const keys = Object.keys(AUTH.unwrap().shape);
    expect(keys.length).toBeGreaterThan(10);
    expect(keys.filter((key) => !new RegExp(`^ +(# )?${key}:`, 'm').test(block))).toEqual([]);
    expect(AUTH_KEYS['auth.keys'].filter((key) => !block.includes(key))).toEqual([]);
    const rows = table.split('\n').filter((line) => line.startsWith('| `'));
    const documented = rows.flatMap((row) =>
      [...(row.split(' | ')[0] ?? '').matchAll(/`(\w+)`/g)].map(([, key]) => key),
    );
    expect(documented.toSorted()).toEqual([...AUTH_KEYS['auth.issuers']].toSorted());
    for (const name of [...ALGORITHMS, ...TOKEN_SOURCES]) expect(page).toContain(name);
  });

  test('shows the true defaults', () => {
    const readFile = (path: string) => (path === 't.yaml' ? yaml : PUBLIC_KEY);
    const { auth } = loadConfig({ argv: ['--config', 't.yaml'], env: {}, readFile });
    const { keys: _, issuers, roles: __, ...defaults } = load({});
    expect(auth).toMatchObject(defaults);
    expect([issuers, auth.issuers.length]).toEqual([[], 1]);
  });

  test('names every flag and variable of auth', () => {
    for (const { flag, env, path } of FLAGS) {
      if (path?.[0] !== 'auth') continue;
      expect(page).toContain(`--${flag}`);
      expect(page).toContain(env[0]);
    }
  });
});
