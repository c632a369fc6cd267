/** Attacks on what services are told of the caller: forged headers in every casing and through every door, and tokens of the gateway's own. */
import { createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import jwt from 'jsonwebtoken';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { createTokenIssuer } from '../../gateway/access/internal_token.js';
import { createSigningKeys } from '../../gateway/access/signing_keys.js';
import { ConfigError, DEVELOPMENT_SECRET } from '../../gateway/config.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import { type Guarded, startGuarded } from '../support/access.js';

const guards: Guarded[] = [];
afterAll(async () => {
  for (const guard of guards) await guard.close();
});
afterEach(() => {
  vi.useRealTimers();
});

async function guarded(yaml: string): Promise<Guarded> {
  const guard = await startGuarded(yaml);
  guards.push(guard);
  return guard;
}

const sign = (claims: object) =>
  jwt.sign({ sub: 'ann', exp: Math.floor(Date.now() / 1000) + 3600, ...claims }, DEVELOPMENT_SECRET);

const CLAIMS = `
identity:
  claims: { X-Tenant: tenant, x-org: org.id, x-groups: groups, x-constructor: constructor, x-roles: roles }
`;
const FORGED = [
  ...['x-tenant', 'X-Tenant', 'X-TENANT', 'x-TeNaNt', 'X-Org', 'x-groups', 'X-User-Id', 'X-USER-ID'],
  ...['x-permissions', 'X-Auth-Issued-At', 'x-constructor', 'X-Roles'],
];

interface Frame {
  readonly type: string;
  readonly data?: { readonly metadata?: Record<string, string> };
}

/** Each door, asked with headers that are forged; what the service saw. */
const DOORS: readonly (readonly [
  string,
  (guard: Guarded, headers: Record<string, string>) => Promise<unknown>,
])[] = [
  ['REST', (guard, headers) => guard.ask('/v1/open', { headers })],
  [
    'the path of a method',
    (guard, headers) => guard.ask('/owned.v1.OwnedService/Open', { method: 'POST', headers }),
  ],
  ['lines', (guard, headers) => guard.ask('/v1/open:watch', { headers })],
  [
    'SSE',
    (guard, headers) => guard.ask('/v1/open:watch', { headers: { ...headers, accept: 'text/event-stream' } }),
  ],
  [
    'a WebSocket on a route',
    (guard, headers) => socketEnd(new WebSocket(`ws://127.0.0.1:${guard.port}/v1/open`, { headers })),
  ],
  ['the handshake of a multiplexed WebSocket', (guard, headers) => multiplexed(guard, { headers }, {})],
  ['the frames of a multiplexed WebSocket', (guard, headers) => multiplexed(guard, {}, headers)],
];

function socketEnd(socket: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on('close', () => resolve()).on('error', reject);
  });
}

function multiplexed(guard: Guarded, handshake: object, headers: Record<string, string>): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${guard.port}/ws`, ['tidegate.v1.json'], handshake);
  const send = (frame: object): void => socket.send(JSON.stringify(frame));
  socket.on('open', () => {
    send({ type: 'hello' });
    send({ type: 'open', sid: 1, method: 'owned.v1.OwnedService/Open', message: {}, headers });
  });
  socket.on('message', (data: Buffer) => {
    const frames = data
      .toString()
      .split('\n')
      .map((line) => JSON.parse(line) as Frame);
    if (frames.some(({ type }) => type === 'end')) socket.close();
  });
  return socketEnd(socket);
}

describe('forged headers', () => {
  let guard: Guarded;
  beforeAll(async () => {
    guard = await guarded(CLAIMS);
  });

  test.each(DOORS)('through %s, in any casing, reach no service', async (_, ask) => {
    guard.service.metadata.length = 0;
    for (const name of FORGED) await ask(guard, { [name]: 'forged' });
    expect(guard.service.metadata).toHaveLength(FORGED.length);
    for (const seen of guard.service.metadata) expect(Object.values(seen).join()).not.toContain('forged');
  });

  test('beside a token: what the token says counts, encoded, and no claim that it does not have', async () => {
    guard.service.metadata.length = 0;
    const token = sign({ tenant: 'a,b é', org: { id: 7 }, groups: ['x', 'y z', { no: 1 }, ''] });
    const headers = Object.fromEntries(FORGED.map((name) => [name.toLowerCase(), ['forged', 'forged']]));
    expect((await guard.ask('/v1/open', { token, headers })).status).toBe(200);
    const [seen] = guard.service.metadata;
    expect(seen).toMatchObject({
      'x-user-id': 'ann',
      'x-tenant': 'a%2Cb%20%C3%A9',
      'x-org': '7',
      'x-groups': 'x,y%20z',
    });
    expect(seen).not.toHaveProperty('x-constructor');
    expect(seen).not.toHaveProperty('x-roles');
    expect(Object.values(seen ?? {}).join()).not.toContain('forged');
  });

  test('a shared stream tells of its scope under the configured header, and of nobody in particular', async () => {
    const token = sign({ tenant: 'acme', org: { id: 7 }, groups: ['g'] });
    guard.service.metadata.length = 0;
    const socket = new WebSocket(`ws://127.0.0.1:${guard.port}/v1/customers/ann:shared`, {
      headers: { authorization: `Bearer ${token}`, 'x-org': '8' },
    });
    await new Promise((resolve) => socket.once('message', resolve));
    socket.terminate();
    const [seen] = guard.service.metadata;
    expect(seen).toMatchObject({ 'x-tenant': 'acme' });
    for (const name of [
      'x-user-id',
      'x-permissions',
      'x-org',
      'x-groups',
      'authorization',
      'x-auth-issued-at',
    ])
      expect(seen).not.toHaveProperty(name);
  });
});

describe('a scope that names a header of the identity', () => {
  test('is a problem of the contract: every client could say it', async () => {
    const guard = await guarded('');
    const config = 'identity: { claims: { x-tenant: tenant } }';
    const proto = `
type: google.api.Service
tidegate:
  rules:
  - selector: owned.v1.OwnedService.WatchShared
    stream: {sharing: SHARED, scope: {headers: [x-tenant]}}
`;
    writeFileSync(join(guard.folder, 'service.yaml'), proto);
    const start = startGuarded(config, ['--service-config', join(guard.folder, 'service.yaml')]);
    await expect(start).rejects.toThrow(
      /owned\.v1\.OwnedService\/WatchShared: scope\.headers: x-tenant is what the gateway says of the caller: name the claim tenant/,
    );
  });
});

describe('the internal token', () => {
  let guard: Guarded;
  beforeAll(async () => {
    guard = await guarded(`
identity:
  claims: { x-tenant: tenant }
  token: { audiences: { u1: owned-service }, ttlMs: 60s, issuer: edge }
`);
  });
  const keys = async () =>
    ((await guard.ask('/-/jwks')).json as { keys: (JsonWebKey & { kid: string; alg: string })[] }).keys;
  const verified = async (token: string) => {
    const { header } = jwt.decode(token, { complete: true }) as jwt.Jwt;
    const key = (await keys()).find(({ kid }) => kid === header.kid);
    if (key === undefined) throw new Error('its key is not published');
    return jwt.verify(token, createPublicKey({ key, format: 'jwk' }), {
      algorithms: ['ES256'],
    }) as jwt.JwtPayload;
  };
  const seenWith = async (token: string | undefined, headers: Record<string, string> = {}) => {
    guard.service.metadata.length = 0;
    await guard.ask('/v1/open', { ...(token !== undefined && { token }), headers });
    return guard.service.metadata[0] ?? {};
  };

  test('says who calls, for one upstream and a short time, and is verified with the published keys', async () => {
    const token = sign({ tenant: 'acme', roles: ['r'], permissions: ['a:b'], secret: 'not passed on' });
    const seen = await seenWith(token);
    const claims = await verified(seen['x-internal-token'] ?? '');
    const now = Date.now() / 1000;
    expect(claims).toEqual({
      iss: 'edge',
      aud: 'owned-service',
      sub: 'ann',
      roles: ['r'],
      permissions: ['a:b'],
      tenant: 'acme',
      iat: expect.any(Number) as number,
      exp: (claims.iat ?? 0) + 60,
    });
    expect(Math.abs((claims.iat ?? 0) - now)).toBeLessThan(30);
  });

  test('is not what a client sends, and is absent for nobody', async () => {
    const seen = await seenWith(undefined, { 'X-Internal-Token': 'forged' });
    expect(seen).not.toHaveProperty('x-internal-token');
    const own = await seenWith(sign({}), { 'x-INTERNAL-token': 'forged' });
    expect((await verified(own['x-internal-token'] ?? '')).sub).toBe('ann');
  });

  test('is made once for a caller, until it is nearly over', async () => {
    const token = sign({});
    const first = (await seenWith(token))['x-internal-token'];
    expect((await seenWith(token))['x-internal-token']).toBe(first);
    expect((await seenWith(sign({ tenant: 'b' })))['x-internal-token']).not.toBe(first);
  });

  test('of a shared stream says no more than what is in its scope', async () => {
    guard.service.metadata.length = 0;
    const socket = new WebSocket(`ws://127.0.0.1:${guard.port}/v1/customers/ann:shared`, {
      headers: { authorization: `Bearer ${sign({ tenant: 'acme', permissions: ['a'] })}` },
    });
    await new Promise((resolve) => socket.once('message', resolve));
    socket.terminate();
    const claims = await verified(guard.service.metadata[0]?.['x-internal-token'] ?? '');
    expect(claims).toEqual({
      iss: 'edge',
      aud: 'owned-service',
      tenant: 'acme',
      iat: expect.any(Number) as number,
      exp: expect.any(Number) as number,
    });
  });

  test('has two keys in the list, public halves alone, which may be kept for a minute', async () => {
    const list = await keys();
    expect(list).toHaveLength(2);
    for (const key of list)
      expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    const { headers } = await guard.ask('/-/jwks');
    expect(headers['cache-control']).toBe('public, max-age=60');
    expect((await guards[0]?.ask('/-/jwks'))?.status).toBe(404);
  });

  test('may take the place of the client’s own in authorization', async () => {
    const other = await guarded('identity: { token: { header: authorization, algorithm: RS256 } }');
    const token = sign({});
    await other.ask('/v1/open', { token });
    const seen = other.service.metadata[0]?.authorization ?? '';
    expect(seen).toMatch(/^Bearer /);
    expect(seen).not.toContain(token);
    expect(jwt.decode(seen.slice(7), { complete: true })).toMatchObject({
      header: { alg: 'RS256' },
      payload: { aud: 'u1', sub: 'ann' },
    });
  });
});

describe('the life of an internal token', () => {
  const CONFIG = {
    header: 'x-internal-token',
    algorithm: 'ES256',
    keyFiles: [],
    rotateMs: 600_000,
    ttlMs: 100_000,
    issuer: 'edge',
    audiences: {},
  } as const;
  const ann: Principal = { ...ANONYMOUS, subject: 'ann', claims: { sub: 'ann' } };
  const issuerOf = () => createTokenIssuer({ token: CONFIG, claims: [], leewaySeconds: 30 });
  const expiryOf = (token: string) => (jwt.decode(token) as jwt.JwtPayload).exp ?? 0;

  test('ends no later than that of the caller’s token and the leeway', () => {
    const issuer = issuerOf();
    const now = Date.now();
    const soon = { ...ann, expiresAt: now + 10_000 };
    expect(expiryOf(issuer.identity.of(soon, 'u1'))).toBeLessThanOrEqual((now + 40_000) / 1000);
    issuer.close();
  });

  test('is renewed when a quarter of it is left', () => {
    vi.useFakeTimers();
    const issuer = issuerOf();
    const first = issuer.identity.of(ann, 'u1');
    vi.advanceTimersByTime(74_000);
    expect(issuer.identity.of(ann, 'u1')).toBe(first);
    expect(issuer.identity.of(ann, 'u2')).not.toBe(first);
    vi.advanceTimersByTime(2_000);
    expect(expiryOf(issuer.identity.of(ann, 'u1'))).toBeGreaterThan(expiryOf(first));
    issuer.close();
  });

  test('keys are published before they sign, and until the last token that they signed is over', () => {
    vi.useFakeTimers();
    const keys = createSigningKeys(CONFIG);
    const ids = () => keys.published().map(({ id }) => id);
    const [current, next] = ids();
    expect(keys.current().id).toBe(current);
    vi.advanceTimersByTime(600_000);
    expect(keys.current().id).toBe(next);
    expect(ids()).toEqual([next, expect.any(String), current]);
    vi.advanceTimersByTime(200_000);
    expect(ids()).toEqual([next, expect.any(String)]);
    keys.close();
  });

  test('keys of files are read again after SIGHUP, and a broken one changes nothing', async () => {
    const pem = () =>
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
        type: 'pkcs8',
        format: 'pem',
      }) as string;
    const guard = await guarded('');
    const path = join(guard.folder, 'a.pem');
    writeFileSync(path, pem());
    const keys = createSigningKeys({ ...CONFIG, keyFiles: [path] });
    const before = keys.current().id;
    writeFileSync(path, 'no key');
    expect(() => keys.reload()).toThrow(ConfigError);
    expect(keys.current().id).toBe(before);
    writeFileSync(path, pem());
    keys.reload();
    expect(keys.current().id).not.toBe(before);
  });

  test.each<[string, () => string, string]>([
    [
      'a public key',
      () =>
        generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
          type: 'spki',
          format: 'pem',
        }) as string,
      'expected a private key',
    ],
    [
      'another curve',
      () =>
        generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }) as string,
      'expected a key of the curve P-256',
    ],
    [
      'an RSA key',
      () =>
        generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
          type: 'pkcs8',
          format: 'pem',
        }) as string,
      'expected a key of the curve P-256',
    ],
  ])('%s is refused', async (_, pem, problem) => {
    const guard = guards[0] as Guarded;
    const path = join(guard.folder, 'wrong.pem');
    writeFileSync(path, pem());
    expect(() => createSigningKeys({ ...CONFIG, keyFiles: [path] })).toThrow(problem);
  });
});
