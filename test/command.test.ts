/** The `tidegate` command: what it prints, where, and its exit codes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { createTokenVerifier } from '../gateway/auth/verifier.js';
import { run } from '../gateway/command/command.js';
import { formatRoutes, type RouteRow } from '../gateway/command/routes.js';
import { KEY_SETTINGS, SETTINGS } from '../gateway/config/settings.js';
import { type AuthConfig, DEVELOPMENT_SECRET, loadConfig } from '../gateway/config.js';
import type { Table } from '../gateway/http/table.js';
import { type Method, STREAM_DEFAULTS } from '../src/method.js';
import type { Principal } from '../src/principal.js';

const SECRET = 'a secret that is long enough for HS256';
const PROTO = new URL('../proto', import.meta.url).pathname;
/** Nothing listens there; the commands below connect to no service. */
const CONTRACT = ['--proto', PROTO, '--upstream', '127.0.0.1:9'];

const folder = mkdtempSync(join(tmpdir(), 'tidegate-command-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function tidegate(argv: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await run(argv, env, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    onSignal: () => {},
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

describe('tidegate', () => {
  it('prints its version', async () => {
    expect(await tidegate(['--version'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^tidegate \d+\.\d+\.\d+$/),
    });
  });

  it.each([['--help'], ['-h'], ['help']])('lists its commands for %s', async (flag) => {
    const { code, out } = await tidegate([flag]);
    expect(code).toBe(0);
    for (const name of ['serve', 'routes', 'check', 'token', 'help', '--version'])
      expect(out).toContain(`  ${name}`);
  });

  it.each<[string[], string]>([
    [[], 'Usage: tidegate COMMAND'],
    [['sevre'], "unknown command 'sevre'; did you mean serve?"],
    [['frobnicate'], "unknown command 'frobnicate'; commands: serve, routes, check, token"],
    [['help', 'tokne'], "unknown command 'tokne'; did you mean token?"],
    [['--port', '80'], 'expected a command before --port: serve, routes, check, token'],
    [['serve', '--prot=x'], 'unknown flag --prot; did you mean --port?\nsee: tidegate help serve'],
    [['check', 'now'], "unexpected argument 'now'\nsee: tidegate help check"],
    [['token', '--port', '80'], 'unknown flag --port\nsee: tidegate help token'],
  ])('does not understand %j and exits with 2', async (argv, text) => {
    const { code, out, err } = await tidegate(argv, { TIDEGATE_UPSTREAMS: 'a:1' });
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(text);
  });

  it('tells every problem of a configuration on a line and exits with 1', async () => {
    const { code, err } = await tidegate(['serve', '--port', 'x'], { TIDEGATE_LOG_LEVEL: 'loud' });
    expect(code).toBe(1);
    expect(err.split('\n')).toEqual([
      "flag --port: expected a port between 0 and 65535, not 'x'",
      expect.stringMatching(/^environment TIDEGATE_LOG_LEVEL: expected one of /),
    ]);
  });
});

describe('help', () => {
  it.each(['serve', 'routes', 'check'])(
    'of %s has every setting with its variable and default',
    async (name) => {
      const { code, out } = await tidegate([name, '--help']);
      expect(code).toBe(0);
      for (const { flag, env, value, default: otherwise, help } of SETTINGS) {
        expect(out).toMatch(new RegExp(`^  --${flag}${value === undefined ? '' : ' '}`, 'm'));
        for (const variable of env) expect(out).toContain(variable);
        expect(out).toContain(help);
        if (otherwise !== undefined) expect(out).toContain(`default ${otherwise}`);
      }
      for (const { variable } of KEY_SETTINGS) expect(out).toContain(variable);
      expect(await tidegate(['help', name])).toEqual({ code, out, err: '' });
    },
  );

  it('wins over what else is wrong with the line', async () => {
    expect((await tidegate(['serve', '--nonsense', '--help'])).code).toBe(0);
  });

  it('of routes has its own flag', async () => {
    expect((await tidegate(['routes', '-h'])).out).toContain('  --json');
  });

  it('of token has only the flags that token takes', async () => {
    const { out } = await tidegate(['token', '-h']);
    for (const flag of ['sub', 'role', 'permission', 'expires', 'help', 'jwt-secret-file', 'config']) {
      expect(out).toContain(`  --${flag}`);
    }
    expect(out).not.toContain('--port');
  });
});

const PRESETS = loadConfig({ argv: ['--upstream', 'localhost:1'], env: {} }).auth;

/** With keys that are here already, nothing is a promise. */
const verify = (token: string, auth: AuthConfig): Principal => createTokenVerifier(auth)(token) as Principal;

describe('token', () => {
  const authOf = (key: string, more: Partial<AuthConfig> = {}): AuthConfig => ({
    ...PRESETS,
    keys: [{ algorithm: 'HS256', key }],
    leewaySeconds: 0,
    roles: { admin: ['*'] },
    ...more,
  });

  it('prints a token of the development secret, alone on the last line', async () => {
    const { code, out, err } = await tidegate([
      'token',
      '--sub',
      'u1',
      '--role',
      'admin',
      '--permission=a',
      '--permission=b',
    ]);
    expect(code).toBe(0);
    expect(err).toMatch(/^signed with the public development secret/);
    const principal = verify(out.split('\n').at(-1) as string, authOf(DEVELOPMENT_SECRET));
    expect(principal).toMatchObject({ subject: 'u1', permissions: new Set(['a', 'b', '*']) });
    expect((principal.expiresAt as number) - (principal.issuedAt as number) * 1000).toBe(86_400_000);
  });

  it('signs with the configured secret, for the configured issuer and audience', async () => {
    const config = file('t.yaml', 'auth: { issuer: me, audience: you }');
    const env = { TIDEGATE_JWT_SECRET: SECRET, TIDEGATE_CONFIG: config };
    const { out, err } = await tidegate(['token', '--sub=u1', '--expires', '30m'], env);
    expect(err).toBe('signed with the configured HS256 secret');
    const principal = verify(out, authOf(SECRET, { issuer: 'me', audience: 'you' }));
    expect((principal.expiresAt as number) - (principal.issuedAt as number) * 1000).toBe(1_800_000);
  });

  it('names the key that it signed with, if it has an id', async () => {
    const config = file('kid.yaml', `auth: { keys: [{ algorithm: HS256, key: ${SECRET}, keyId: k7 }] }`);
    const { out } = await tidegate(['token', '--sub', 'u1', '--config', config]);
    expect(JSON.parse(Buffer.from(out.split('.')[0] as string, 'base64url').toString())).toMatchObject({
      kid: 'k7',
    });
  });

  it.each<[string[], number, string]>([
    [[], 2, 'flag --sub: expected the subject of the token'],
    [
      ['--sub', 'u1', '--expires', 'soon'],
      1,
      "flag --expires: expected a duration such as 30m or 24h, not 'soon'",
    ],
    [['--sub', 'u1', '--expires', '0'], 1, "flag --expires: expected a duration such as 30m or 24h, not '0'"],
    [['--sub', 'u\n1'], 1, 'flag --sub: expected printable ASCII'],
    [['--sub', 'u1', '--permission', 'a b'], 1, 'flag --permission: expected printable ASCII without spaces'],
    [
      ['--sub', 'u1', '--jwt-secret-file', '/nonexistent'],
      1,
      'flag --jwt-secret-file: cannot read /nonexistent: no such file',
    ],
  ])('refuses %j', async (argv, code, text) => {
    const ran = await tidegate(['token', ...argv]);
    expect([ran.code, ran.out]).toEqual([code, '']);
    expect(ran.err.split('\n')[0]).toBe(text);
  });
});

describe('the table of routes', () => {
  const row = (verb: string, template: string, method: object) => ({
    rule: { verb, template },
    method: {
      access: { public: false, permissions: [], roles: [] },
      stream: STREAM_DEFAULTS,
      upstream: 'u1',
      ...method,
    },
  });
  const endpoints = [
    row('GET', '/v1/orders/{order_id}', {
      name: 'o.v1.O/Get',
      access: { public: false, permissions: ['orders:read'], roles: ['clerk', 'chief'] },
    }),
    row('GET', '/v1/orders:watch', {
      name: 'o.v1.O/Watch',
      serverStreaming: true,
      access: { public: true, permissions: [], roles: [] },
      stream: { ...STREAM_DEFAULTS, sharing: 'node', cursorField: 'sequence' },
    }),
    row('POST', '/v1/orders:upload', { name: 'o.v1.O/Upload', clientStreaming: true }),
    row('*', '/v1/join', {
      name: 'o.v1.O/Join',
      clientStreaming: true,
      serverStreaming: true,
    } satisfies Partial<Method>),
  ];

  it('tells the doors, the stream and the access of every route, in columns', () => {
    expect(formatRoutes({ endpoints } as unknown as Table).split('\n')).toEqual([
      'METHOD  PATH                   DOORS                        RPC            STREAM                 ACCESS                               UPSTREAM',
      'GET     /v1/orders/{order_id}  REST, WS                     o.v1.O/Get                            orders:read and role clerk or chief  u1',
      'GET     /v1/orders:watch       NDJSON, JSON array, SSE, WS  o.v1.O/Watch   node, cursor sequence  public                               u1',
      'POST    /v1/orders:upload      REST, WS                     o.v1.O/Upload                         token                                u1',
      '*       /v1/join               WS, REST (half duplex)       o.v1.O/Join    private                token                                u1',
    ]);
  });

  it('is that of the whole contract', async () => {
    const { code, out } = await tidegate(['routes', ...CONTRACT]);
    expect(code).toBe(0);
    expect(out).toMatch(/^METHOD +PATH +DOORS +RPC +STREAM +ACCESS +UPSTREAM\n/);
    expect(out).toMatch(/\nGET +\/v1\/orders\/\{order_id\} +REST, WS +orders\.v1\.\w+\/GetOrder +\S.* +u1\n/);
  });

  it('needs no upstream when there are protos', async () => {
    const { code, out } = await tidegate(['routes', '--proto', PROTO]);
    expect(code).toBe(0);
    expect(out).toContain('/v1/orders/{order_id}');
  });

  it('can be read by programs', async () => {
    const rows = JSON.parse((await tidegate(['routes', '--json', ...CONTRACT])).out) as RouteRow[];
    expect(rows.find(({ rpc }) => rpc.endsWith('/GetOrder'))).toMatchObject({
      method: 'GET',
      path: '/v1/orders/{order_id}',
      doors: ['REST', 'WS'],
      upstream: 'u1',
    });
    const streams = rows.flatMap(({ rpc, stream }) => (stream ? [[rpc.split('/')[1], stream]] : []));
    expect(Object.fromEntries(streams)).toMatchObject({
      WatchOrders: { sharing: 'node', cursorField: 'sequence' },
      WatchQuote: { sharing: 'private', cursorField: '' },
    });
  });
});

describe('check', () => {
  it('says ok and counts', async () => {
    const { code, out, err } = await tidegate(['check', ...CONTRACT]);
    expect(code).toBe(0);
    expect(out).toMatch(/\n\nok: \d+ methods, \d+ routes, \d+ streams \(\d shared, \d with a cursor\)$/);
    expect(err).toMatch(/^no keys are configured/);
  });

  const ACCESS = `
auth:
  roles: { reader: ['orders:read'], clerk: ['orders:write'], support: ['orders:*'] }
  inherits: { clerk: [reader] }
access:
  - match: orders.v1.OrdersService/GetOrder
    bind: [{ field: order_id, claim: org.order, unless: ['orders:any'] }]
  - match: orders.v1.OrdersService/ListOrders
    public: true
`;

  it('says of channels, which are public as methods, what decides', async () => {
    const own = await tidegate(['check', ...CONTRACT, '--channels']);
    expect(own.code).toBe(0);
    expect(own.out).toMatch(/^tidegate\.v1\.ChannelsService: .* decided by channelRules/m);
  });

  it('prints who may call what, with the rules of the configuration', async () => {
    const config = file('access.yaml', ACCESS);
    const { code, out } = await tidegate(['check', ...CONTRACT, '--config', config]);
    expect(code).toBe(0);
    const [head, ...rows] =
      out
        .split('\n\n')[0]
        ?.split('\n')
        .map((line) => line.split(/ {2,}/)) ?? [];
    expect(head).toEqual([
      'METHOD',
      'NEEDS',
      'anyone',
      'authenticated',
      'reader',
      'clerk',
      'support',
      'admin',
    ]);
    const row = (name: string) => rows.find(([method]) => method === `orders.v1.OrdersService/${name}`);
    expect(row('GetOrder')?.slice(1)).toEqual([
      'orders:read, order_id = org.order unless orders:any',
      ...['-', '-', 'own', 'own', 'yes', '-'],
    ]);
    expect(row('CreateOrder')?.slice(1)).toEqual(['orders:write', '-', '-', '-', 'yes', 'yes', '-']);
    expect(row('DeleteOrder')?.slice(1)).toEqual(['role admin', '-', '-', '-', '-', '-', 'yes']);
    expect(row('ListOrders')?.slice(1)).toEqual(['public', 'yes', 'yes', 'yes', 'yes', 'yes', 'yes']);
  });

  it('prints the same as JSON', async () => {
    const config = file('access.yaml', ACCESS);
    const { code, out } = await tidegate(['check', ...CONTRACT, '--config', config, '--json']);
    expect(code).toBe(0);
    const rows = JSON.parse(out) as { method: string }[];
    expect(rows.find(({ method }) => method.endsWith('/GetOrder'))).toEqual({
      method: 'orders.v1.OrdersService/GetOrder',
      access: {
        public: false,
        permissions: ['orders:read'],
        roles: [],
        bind: [{ field: 'order_id', claim: 'org.order', unless: ['orders:any'] }],
      },
      anyone: 'no',
      authenticated: 'no',
      roles: { reader: 'own', clerk: 'own', support: 'yes', admin: 'no' },
    });
  });

  it.each<[string, string]>([
    ['match: nope.*\n    public: true', 'access[0]: nope.*: no method of the contract is matched'],
    [
      'match: orders.v1.*/GetOrder\n    bind: [{ field: nope, claim: sub }]',
      'access[0]: orders.v1.OrdersService/GetOrder: orders.v1.*/GetOrder: bind nope: orders.v1.GetOrderRequest has no field "nope"',
    ],
    [
      'match: orders.v1.OrdersService/GetOrder\n    bind: [{ field: nope, claim: sub }]',
      'access[0]: orders.v1.OrdersService/GetOrder: bind nope: orders.v1.GetOrderRequest has no field "nope"',
    ],
  ])('tells what is wrong with the rule %j', async (rule, problem) => {
    const config = file('wrong.yaml', `access:\n  - ${rule}\n`);
    const { code, err } = await tidegate(['check', ...CONTRACT, '--config', config]);
    expect([code, err]).toEqual([1, problem]);
  });

  it('tells which routes are not served when the first of two is to win', async () => {
    const rpc = (name: string) =>
      `rpc ${name}(M) returns (M) { option (google.api.http) = { get: "/v1/m" }; }`;
    const proto = file(
      'twice.proto',
      `syntax = "proto3";
package twice.v1;
import "google/api/annotations.proto";
message M { string id = 1; }
service S {
  ${rpc('A')}
  ${rpc('B')}
}
`,
    );
    const argv = ['--proto', proto, '--upstream', '127.0.0.1:9'];
    expect((await tidegate(['check', ...argv])).code).toBe(1);
    const { code, err } = await tidegate(['check', ...argv, '--duplicate-routes', 'first']);
    expect(code).toBe(0);
    expect(err).toMatch(/^not served: .*twice\.v1\.S\/B/);
  });

  it('tells every problem of a contract on a line and exits with 1', async () => {
    const proto = file(
      'bad.proto',
      `syntax = "proto3";
package bad.v1;
import "google/api/annotations.proto";
message M { string id = 1; }
service S {
  rpc A(M) returns (M) { option (google.api.http) = { get: "/v1/{id" }; }
  rpc B(M) returns (M) { option (google.api.http) = { get: "/v1/{nope}" }; }
}
`,
    );
    const { code, out, err } = await tidegate(['check', '--proto', proto, '--upstream', '127.0.0.1:9']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^.*bad\.proto.*bad\.v1\.S\/A.*\n.*bad\.v1\.S\/B.*$/);
  });
});

describe('serve', () => {
  /** Runs serve until it has greeted; the result ends with its exit code. */
  async function serve(argv: readonly string[]) {
    let signal: (name: 'SIGTERM' | 'SIGINT') => void = () => {};
    const err: string[] = [];
    let greet: (text: string) => void = () => {};
    const greeted = new Promise<string>((resolve) => {
      greet = resolve;
    });
    const ended = run(
      ['serve', '--log-level', 'silent', ...argv],
      {},
      {
        out: greet,
        err: (line) => err.push(line),
        onSignal: (listener) => {
          signal = listener;
        },
      },
    );
    const greeting = await Promise.race([greeted, ended.then((code) => `exit ${code}: ${err.join('\n')}`)]);
    return { greeting, ended, signal: (name: 'SIGTERM' | 'SIGINT') => signal(name) };
  }

  it('greets in development mode with routes and a token, answers, and ends on a signal', async () => {
    const { greeting, ended, signal } = await serve(['--dev', '--port', '0', ...CONTRACT]);
    expect(greeting).toContain('METHOD  PATH');
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(greeting)?.[0] as string;
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    const token = /^\S+\.\S+\.\S+$/m.exec(greeting)?.[0];
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/v1/orders/1`)).status).toBe(401);
    expect((await fetch(`${url}/v1/orders/1`, { headers })).status).toBe(503);
    signal('SIGTERM');
    expect(await ended).toBe(0);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it('ends at once on a second signal', async () => {
    const { ended, signal } = await serve(['--dev', '--port', '0', ...CONTRACT]);
    signal('SIGTERM');
    signal('SIGINT');
    expect(await ended).toBe(130);
  });

  it('takes one signal that arrives twice as one', async () => {
    const { ended, signal } = await serve(['--dev', '--port', '0', ...CONTRACT]);
    signal('SIGINT');
    signal('SIGINT');
    expect(await ended).toBe(0);
  });

  it('runs as a process, and ends with 0 on SIGTERM', async () => {
    const main = new URL('../dist/gateway/main.js', import.meta.url).pathname;
    const child = spawn(process.execPath, [main, 'serve', '--dev', '--port', '0', ...CONTRACT], {
      env: {},
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    onTestFinished(() => void child.kill('SIGKILL'));
    let output = '';
    for await (const chunk of child.stdout) {
      output += String(chunk);
      if (output.includes('METHOD  PATH') && !child.killed) child.kill('SIGTERM');
    }
    expect(await exited).toEqual([0, null]);
    expect(output).toContain('"msg":"listening"');
    expect(output).toContain('"msg":"stopped"');
  });

  it('says when it cannot listen', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { greeting } = await serve(['--dev', '--port', String(port), ...CONTRACT]);
    other.close();
    expect(greeting).toBe(
      `exit 1: cannot listen on 127.0.0.1:${port}: another program listens there; --port picks another port`,
    );
  });

  it('says when the contract cannot be read from a service', async () => {
    const { greeting } = await serve([
      '--dev',
      '--port',
      '0',
      '--start-timeout',
      '0',
      '--upstream',
      '127.0.0.1:9',
    ]);
    expect(greeting).toMatch(/^exit 1: upstream u1 .*reflection.*\nasked: u1 at 127\.0\.0\.1:9$/);
  });
});
