/** Roles, claims and rules about access: what they are worth, and how new ones take the place of old ones. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { DEVELOPMENT_SECRET, loadConfig } from '../gateway/config.js';
import { signToken } from '../gateway/http/token.js';
import { claimAt, claimOf, textsOfClaim } from '../src/claims.js';
import { ContractError } from '../src/contract/contract.js';
import { circlesOf, createGrants, worthOf } from '../src/policy/grants.js';
import { ANONYMOUS, type Principal } from '../src/principal.js';
import { type Guarded, startGuarded } from './support/access.js';
import { MAIN, stop } from './support/command.js';
import { OWNED_PROTO, startOwned } from './support/owned.js';
import { freePort } from './support/probe.js';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function guarded(yaml: string): Promise<Guarded> {
  const guard = await startGuarded(yaml);
  closing.push(guard.close);
  return guard;
}

const as = (subject: string, ...roles: string[]) =>
  signToken({ subject, roles, permissions: [], expiresInSeconds: 3600, key: DEVELOPMENT_SECRET });

describe('a claim', () => {
  const claims = JSON.parse(
    '{"a":1,"b":{"c":"x","d":[{"e":2}]},"b.c":"whole","https://x.example/t":"n","__proto__":{"f":3},"z":null}',
  ) as Record<string, unknown>;

  test.each<[string, unknown]>([
    ['a', 1],
    ['b', { c: 'x', d: [{ e: 2 }] }],
    ['b.c', 'whole'],
    ['b.d', [{ e: 2 }]],
    ['b.d.0', undefined],
    ['b.d.length', undefined],
    ['https://x.example/t', 'n'],
    ['__proto__', { f: 3 }],
    ['f', undefined],
    ['constructor', undefined],
    ['b.constructor', undefined],
    ['b.__proto__', undefined],
    ['toString.name', undefined],
    ['a.toFixed', undefined],
    ['z.x', undefined],
    ['', undefined],
    ['.', undefined],
    ['b.', undefined],
  ])('%j is an own property, or none', (name, value) => {
    expect(claimAt(claims, name)).toEqual(value);
  });

  test.each<[unknown, string[]]>([
    ['x', ['x']],
    ['', []],
    [7, ['7']],
    [1.5, []],
    [2 ** 53, []],
    [true, ['true']],
    [
      ['a', 'b', 1, null, ['c'], {}],
      ['a', 'b', '1'],
    ],
    [{ a: 1 }, []],
    [null, []],
    [undefined, []],
    ['a\ud800', []],
    ['😀', ['😀']],
  ])('%j stands for the texts %j', (value, texts) => {
    expect(textsOfClaim(value)).toEqual(texts);
  });

  test('of nobody is none, also the subject', () => {
    expect(claimOf(ANONYMOUS, 'sub')).toBeUndefined();
    expect(claimOf({ ...ANONYMOUS, subject: 'a', claims: { sub: 'b' } }, 'sub')).toBe('a');
  });
});

describe('roles', () => {
  const rules = {
    roles: { reader: ['o:read'], clerk: ['o:write'], chief: ['*'] },
    inherits: { clerk: ['reader', 'staff'], boss: ['clerk'], constructor: ['chief'] },
  };
  const bearer = (...roles: string[]): Principal => ({ ...ANONYMOUS, subject: 'u', roles: new Set(roles) });

  test('include others, with all that those include', () => {
    expect(worthOf('boss', rules)).toEqual({
      roles: ['boss', 'clerk', 'reader', 'staff'],
      permissions: ['o:write', 'o:read'],
    });
    const boss = createGrants(rules).of({ ...bearer('boss'), permissions: new Set(['own']) });
    expect([...boss.permissions]).toEqual(['own', 'o:write', 'o:read']);
    expect([...boss.roles]).toEqual(['boss', 'clerk', 'reader', 'staff']);
  });

  test('that nobody knows are worth nothing, whatever objects have', () => {
    const grants = createGrants({ roles: rules.roles });
    const stranger = bearer('stranger', 'constructor', '__proto__', 'toString');
    expect(grants.of(stranger)).toBe(stranger);
    expect([...createGrants(rules).of(bearer('constructor')).permissions]).toEqual(['*']);
  });

  test('make the same principal of the same principal', () => {
    const grants = createGrants(rules);
    const reader = bearer('reader');
    expect(grants.of(reader)).toBe(grants.of(reader));
    expect(grants.of(ANONYMOUS)).toBe(ANONYMOUS);
  });

  test('that include themselves are a mistake, told once, and worth what is in the circle', () => {
    const circle = { roles: { a: ['1'], b: ['2'] }, inherits: { a: ['b'], b: ['c'], c: ['a'], d: ['d'] } };
    expect(circlesOf(circle)).toEqual(['a > b > c > a', 'd > d']);
    expect(worthOf('c', circle).permissions).toEqual(['1', '2']);
    expect(circlesOf(rules)).toEqual([]);
  });
});

describe('rules of the configuration', () => {
  test('say who may call what they match, the later one last, and leave the bindings that they do not give', async () => {
    const { gateway } = await guarded(`
access:
  - match: owned.v1.*
    permissions: [all]
  - match: owned.v1.OwnedService/Get
    roles: [clerk]
  - match: owned.v1.OwnedService/Create
    bind: []
  - match: owned.v1.OwnedService/Open
    public: true
`);
    const access = (name: string) =>
      gateway.table().byName.get(`owned.v1.OwnedService/${name}`)?.method.access;
    expect(access('Claim')).toMatchObject({ permissions: ['all'], bind: [{ field: 'customer_id' }] });
    expect(access('Get')).toMatchObject({ permissions: [], roles: ['clerk'], bind: [{ claim: 'sub' }] });
    expect(access('Create')).toEqual({ public: false, permissions: ['all'], roles: [] });
    expect(access('Open')).toEqual({ public: true, permissions: [], roles: [] });
  });

  test.each<[string, RegExp]>([
    [
      'match: other.v1.*\n    public: true',
      /^access\[0\]: other\.v1\.\*: no method of the contract is matched$/,
    ],
    [
      'match: owned.v1.*/Get\n    public: true',
      /access\[0\]: owned\.v1\.OwnedService\/Get: .*: public contradicts bind/,
    ],
    [
      'match: owned.v1.*/Open\n    permissions: []\n    bind: [{ field: customer, claim: sub }]',
      /bind customer: owned\.v1\.GetRequest has no field "customer"/,
    ],
  ])('that cannot hold are problems of the contract: %j', async (rule, problem) => {
    const start = startGuarded(`access:\n  - ${rule}\n`);
    await expect(start).rejects.toThrow(ContractError);
    await expect(start).rejects.toThrow(problem);
  });

  test.each<[string, string]>([
    [
      'access: [{ match: a.v1.* }]',
      'access[0]: the rule says nothing: give public, permissions, roles or bind',
    ],
    [
      'access: [{ match: GET /v1/x, public: true }]',
      "access[0].match: expected orders.v1.OrdersService/GetOrder, with * for any text, not 'GET /v1/x'",
    ],
    [
      'access: [{ match: a.v1.*, public: true, roles: [x] }]',
      'access[0]: public contradicts permissions, roles and bind',
    ],
    [
      'access: [{ match: a.v1.*, permission: x }]',
      'access[0].permission: unknown key; did you mean permissions?',
    ],
    [
      'access: [{ match: a.v1.*, bind: [{ field: "a-b", claim: x }] }]',
      "access[0].bind[0].field: expected the proto name of a field, or a path such as order.customer_id, not 'a-b'",
    ],
    [
      'access: [{ match: a.v1.*, bind: [{ field: a, claims: x }] }]',
      'access[0].bind[0].claims: unknown key; did you mean claim?',
    ],
    ['auth: { inherits: { a: [b], b: [a] } }', 'auth.inherits: a role cannot include itself: a > b > a'],
    [
      'identity: { claims: { x-user-id: tenant } }',
      'identity.claims.x-user-id: expected the name of a header that has no other meaning, such as x-tenant',
    ],
    [
      'identity: { claims: { x-t: tenant }, token: { header: X-T } }',
      'identity.claims.x-t: the header is that of identity.token',
    ],
    [
      'identity: { token: { algorithm: HS256 } }',
      "identity.token.algorithm: expected one of ES256, RS256, not 'HS256'",
    ],
    [
      'auth: { external: { url: "http://u:secret@x/" } }',
      'auth.external.url: expected an URL that begins with http:// or https://, without a password',
    ],
    [
      'auth: { external: { url: "file:///etc" } }',
      'auth.external.url: expected an URL that begins with http:// or https://, without a password',
    ],
    ['audit: { files: x }', 'audit.files: unknown key; did you mean file?'],
  ])('%s is refused with its place', (yaml, problem) => {
    const load = () =>
      loadConfig({ argv: ['--upstream', 'a:1', '--config', 't.yaml'], env: {}, readFile: () => yaml });
    let text = '';
    try {
      load();
    } catch (thrown) {
      text = (thrown as Error).message;
    }
    expect(text.split('\n')).toContain(`t.yaml: ${problem}`);
    expect(text).not.toContain('secret@');
  });

  test('have their files beside the configuration', () => {
    const yaml = 'audit: { file: a.log }\nidentity: { token: { keyFiles: [k.pem, /abs.pem] } }';
    const config = loadConfig({
      argv: ['--upstream', 'a:1', '--config', 'conf/t.yaml'],
      env: {},
      readFile: () => yaml,
    });
    expect(config.audit.file).toBe('conf/a.log');
    expect(config.identity.token?.keyFiles).toEqual(['conf/k.pem', '/abs.pem']);
    expect(config.file).toBe('conf/t.yaml');
  });
});

describe('new rules', () => {
  const BEFORE = `
auth: { roles: { clerk: ['orders:any'] } }
access: [{ match: owned.v1.OwnedService/Open, permissions: ['orders:any'] }]
`;

  test('take the place of the old ones at once, for tokens that are remembered too', async () => {
    const guard = await guarded(BEFORE);
    const [clerk, chief] = [as('eve', 'clerk'), as('cid', 'chief')];
    const status = async (token: string) => [
      (await guard.ask('/v1/open', { token })).status,
      (await guard.ask('/v1/customers/bob', { token })).status,
    ];
    expect(await status(clerk)).toEqual([200, 200]);
    expect(await status(chief)).toEqual([403, 403]);

    guard.configure(BEFORE.replace('clerk:', 'chief:'));
    expect(await status(clerk)).toEqual([200, 200]);
    expect(await guard.gateway.reload('signal')).toEqual({ changed: true, changes: [] });
    expect(await status(clerk)).toEqual([403, 403]);
    expect(await status(chief)).toEqual([200, 200]);

    guard.configure('access: [{ match: owned.v1.OwnedService/Open, roles: [clerk] }]');
    const { changes } = await guard.gateway.reload('signal');
    expect(changes).toEqual([
      {
        kind: 'changed',
        subject: 'method owned.v1.OwnedService/Open',
        detail: 'access changed from orders:any to role clerk',
        breaking: true,
      },
    ]);
    expect(await status(clerk)).toEqual([200, 403]);
    expect(await guard.gateway.reload('signal')).toEqual({ changed: false, changes: [] });
  });

  test.each([
    ['that are not valid YAML', 'access: ['],
    ['that are refused', 'access: [{ match: owned.v1.OwnedService/Open, public: 7 }]'],
    ['that match nothing', 'access: [{ match: nope.*, public: true }]'],
    ['of a configuration that is broken elsewhere', 'access: []\nlimits: { bodyBytes: many }'],
  ])('%s leave the old ones in force', async (_, yaml) => {
    const guard = await guarded(BEFORE);
    guard.configure(yaml);
    await expect(guard.gateway.reload('signal')).rejects.toThrow(ContractError);
    expect((await guard.ask('/v1/open')).status).toBe(401);
    expect((await guard.ask('/v1/open', { token: as('eve', 'clerk') })).status).toBe(200);
    const { json } = await guard.ask('/readyz');
    expect(json).toMatchObject({ ready: true, contract: { problems: [expect.any(String)] } });
    guard.configure('');
    await guard.gateway.reload('signal');
    expect((await guard.ask('/v1/open')).status).toBe(200);
  });

  test('are noticed in the file of a running command, at SIGHUP and by themselves', async () => {
    const service = await startOwned();
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-access-'));
    const config = join(folder, 'tidegate.yaml');
    writeFileSync(config, BEFORE);
    const start = async (reload: string) => {
      const port = await freePort();
      const args = ['--port', `${port}`, '--reload', reload, '--log-level', 'silent', '--config', config];
      const child = spawn(
        process.execPath,
        [MAIN, 'serve', '--dev', ...args, '--proto', OWNED_PROTO, '--upstream', service.address],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      closing.push(() => stop(child));
      const status = async () => (await fetch(`http://127.0.0.1:${port}/v1/open`)).status;
      await vi.waitFor(async () => expect(await status()).toBe(401), { timeout: 30_000, interval: 100 });
      return { child, status };
    };
    closing.push(async () => {
      service.kill();
      rmSync(folder, { recursive: true });
    });
    const [told, watching] = await Promise.all([start('0'), start('50ms')]);
    writeFileSync(config, '');
    await vi.waitFor(async () => expect(await watching.status()).toBe(200), {
      timeout: 20_000,
      interval: 50,
    });
    expect(await told.status()).toBe(401);
    told.child.kill('SIGHUP');
    await vi.waitFor(async () => expect(await told.status()).toBe(200), { timeout: 20_000, interval: 50 });
  }, 90_000);
});
