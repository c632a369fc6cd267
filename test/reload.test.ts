/** Contracts that reload: from files, from upstreams that come back, on demand; and what stays when the new one is broken. */
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import { WebSocket } from 'ws';
import { loadConfig } from '../gateway/config.js';
import { createGateway, type GatewayServer } from '../gateway/gateway.js';
import { ContractError } from '../src/contract/contract.js';
import { spawnGateway } from './support/command.js';
import { compile, folders, HEAD } from './support/contracts/loading.js';
import { type ReflectionServer, startReflectionServer } from './support/contracts/reflection_server.js';
import { encodeSet } from './support/contracts/write.js';
import { freePort, type Probe, startProbe } from './support/probe.js';

const LOOK_MS = 40;

const gateways: GatewayServer[] = [];
const servers: { close(): void }[] = [];
const probes: Probe[] = [];
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.close()));
  for (const server of servers.splice(0)) server.close();
  for (const probe of probes.splice(0)) probe.kill();
});
afterAll(() => folders.remove());

/** One service of the probe, as much of it as a test wants. */
const proto = (rpcs: string, fields = ''): string => `${HEAD}package probe.v1;
message GetRequest { string mode = 1; int32 count = 2; }
message Event { int64 sequence = 1; string text = 2; ${fields} }
service ProbeService { ${rpcs} }`;

const GET = (path: string) =>
  `rpc Get(GetRequest) returns (Event) { option (google.api.http) = {get: "${path}"}; option (tidegate.v1.access) = {public: true}; }`;
const WATCH =
  'rpc Watch(GetRequest) returns (stream Event) { option (google.api.http) = {get: "/v1/{mode}:watch"}; option (tidegate.v1.access) = {public: true}; }';

interface Running {
  readonly gateway: GatewayServer;
  readonly url: string;
  /** The status of GET path. */
  status(path: string): Promise<number>;
  /** The detail of /readyz on the contract. */
  contract(): Promise<{ fingerprint: string; methods: number; problems?: string[] }>;
  metric(name: string): Promise<string | undefined>;
}

async function start(flags: readonly string[], address: string, reloadMs = LOOK_MS): Promise<Running> {
  const argv = ['--dev', '--port', '0', '--log-level', 'silent', '--drain', '200ms'];
  const config = loadConfig({
    argv: [...argv, '--upstream', address, '--reload', `${reloadMs}`, ...flags],
    env: {},
  });
  const gateway = await createGateway(config);
  gateways.push(gateway);
  const { port } = await gateway.listen();
  const url = `http://127.0.0.1:${port}`;
  return {
    gateway,
    url,
    status: async (path) => (await fetch(url + path)).status,
    contract: async () => ((await (await fetch(`${url}/readyz`)).json()) as { contract: never }).contract,
    async metric(name) {
      const text = await (await fetch(`${url}/metrics`)).text();
      return text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1);
    },
  };
}

async function probe(): Promise<Probe> {
  const started = await startProbe();
  probes.push(started);
  return started;
}

const soon = { timeout: 5_000, interval: 20 };
const reloads = (result: string) => `tidegate_contract_reloads_total{result="${result}"}`;

describe('a folder of .proto files', () => {
  test('is read again when a file is written, added, renamed or removed', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { status } = await start(['--proto', folder], (await probe()).address);
    expect(await status('/v1/ok')).toBe(200);

    writeFileSync(join(folder, 'a.proto'), proto(GET('/v2/{mode}')));
    await vi.waitFor(async () => expect(await status('/v2/ok')).toBe(200), soon);
    expect(await status('/v1/ok')).toBe(404);

    const other = `${HEAD}package other.v1; message M {} service S { rpc Do(M) returns (M) { option (google.api.http) = {get: "/other"}; } }`;
    mkdirSync(join(folder, 'deep'));
    writeFileSync(join(folder, 'deep/b.proto'), other);
    await vi.waitFor(async () => expect(await status('/other')).toBe(401), soon);

    rmSync(join(folder, 'deep/b.proto'));
    await vi.waitFor(async () => expect(await status('/other')).toBe(404), soon);
    expect(await status('/v2/ok')).toBe(200);
  });

  test('counts with the files that it imports from elsewhere, also those that are missing at first', async () => {
    const include = folders.write({
      'shared.proto': 'syntax = "proto3"; package shared; message Extra { string a = 1; }',
    });
    const text = proto(GET('/v1/{mode}'), 'shared.Extra extra = 3;').replace(
      HEAD,
      `${HEAD}import "shared.proto";\n`,
    );
    const folder = folders.write({ 'a.proto': text });
    const { gateway, contract } = await start(
      ['--proto', folder, '--include', include],
      (await probe()).address,
    );
    const fields = () =>
      gateway
        .table()
        .contract.types.getMessage('shared.Extra')
        ?.fields.map(({ name }) => name);
    expect(fields()).toEqual(['a']);

    writeFileSync(
      join(include, 'shared.proto'),
      'syntax = "proto3"; package shared; message Extra { string a = 1; string b = 2; }',
    );
    await vi.waitFor(() => expect(fields()).toEqual(['a', 'b']), soon);

    rmSync(join(include, 'shared.proto'));
    await vi.waitFor(
      async () => expect((await contract()).problems?.[0]).toContain('imports "shared.proto"'),
      soon,
    );
    expect(fields()).toEqual(['a', 'b']);

    writeFileSync(
      join(include, 'shared.proto'),
      'syntax = "proto3"; package shared; message Extra { string c = 1; }',
    );
    await vi.waitFor(() => expect(fields()).toEqual(['c']), soon);
  });

  test('that is broken keeps the old one in force, and says why in log, metric and readiness', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { gateway, status, contract, metric } = await start(['--proto', folder], (await probe()).address);
    const errors = vi.spyOn(gateway.log, 'error');
    const before = await contract();
    expect(before).toMatchObject({ methods: 1 });
    expect(before.problems).toBeUndefined();

    writeFileSync(join(folder, 'a.proto'), `${proto(GET('/v1/{nope}'))} message Half {`);
    await vi.waitFor(async () => expect((await contract()).problems).toHaveLength(1), soon);
    writeFileSync(
      join(folder, 'a.proto'),
      proto(`${GET('/v1/{nope}')} ${WATCH.replace('/v1/', '/v1/{none}/')}`),
    );
    await vi.waitFor(async () => expect((await contract()).problems).toHaveLength(2), soon);
    const { problems, fingerprint } = await contract();
    expect(problems?.[0]).toMatch(
      /a\.proto:\d+: probe\.v1\.ProbeService\/Get: GET \/v1\/\{nope\}: .*no field "nope"/,
    );
    expect(fingerprint).toBe(before.fingerprint);
    expect(await metric('tidegate_contract_problems')).toBe('2');
    expect(Number(await metric(reloads('failed')))).toBeGreaterThan(1);
    expect(errors.mock.calls.at(-1)?.[0]).toMatchObject({ cause: 'files', problems });
    expect(await status('/v1/ok')).toBe(200);
    expect(await status('/readyz')).toBe(200);

    writeFileSync(join(folder, 'a.proto'), proto(GET('/v3/{mode}')));
    await vi.waitFor(async () => expect(await status('/v3/ok')).toBe(200), soon);
    expect((await contract()).problems).toBeUndefined();
    expect(await metric('tidegate_contract_problems')).toBe('0');
  });

  test('whose comments alone have changed is not swapped', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { gateway, metric } = await start(['--proto', folder], (await probe()).address);
    const table = gateway.table();
    writeFileSync(join(folder, 'a.proto'), `// A comment.\n\n${proto(GET('/v1/{mode}'))}`);
    await vi.waitFor(async () => expect(await metric(reloads('unchanged'))).toBe('1'), soon);
    expect(gateway.table()).toBe(table);
    expect(await metric(reloads('changed'))).toBe('0');
  });

  test('is not looked at with --reload 0, but on demand', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { gateway, status } = await start(['--proto', folder], (await probe()).address, 0);
    writeFileSync(join(folder, 'a.proto'), proto(GET('/v2/{mode}')));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await status('/v2/ok')).toBe(404);
    expect((await gateway.reload()).changed).toBe(true);
    expect(await status('/v2/ok')).toBe(200);
  });
});

describe('other files', () => {
  test('a descriptor set is read again when another takes its name, and not while it is half written', async () => {
    const set = (path: string) => encodeSet(compile({ 'a.proto': proto(GET(path)) }));
    const folder = folders.write({ 'x.binpb': set('/v1/{mode}') });
    const file = join(folder, 'x.binpb');
    const { status, metric } = await start(['--descriptors', file], (await probe()).address);
    writeFileSync(join(folder, 'new'), set('/v2/{mode}'));
    renameSync(join(folder, 'new'), file);
    await vi.waitFor(async () => expect(await status('/v2/ok')).toBe(200), soon);

    const bytes = set('/v3/{mode}');
    for (let at = 0; at < 5; at++) {
      writeFileSync(file, bytes.subarray(0, Math.ceil((bytes.length * (at + 1)) / 5)));
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    await vi.waitFor(async () => expect(await status('/v3/ok')).toBe(200), soon);
    expect(await metric(reloads('failed'))).toBe('0');

    writeFileSync(file, bytes.subarray(0, bytes.length / 2));
    await vi.waitFor(async () => expect(await metric(reloads('failed'))).toBe('1'), soon);
    expect(await status('/v3/ok')).toBe(200);
  });

  test('a service configuration is read again', async () => {
    const config = (path: string) =>
      `type: google.api.Service\nhttp: {rules: [{selector: probe.v1.ProbeService.Get, get: "${path}"}]}`;
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')), 'c.yaml': config('/v2/{mode}') });
    const file = join(folder, 'c.yaml');
    const { status, contract } = await start(
      ['--proto', folder, '--service-config', file],
      (await probe()).address,
    );
    expect([await status('/v1/ok'), await status('/v2/ok')]).toEqual([404, 200]);
    writeFileSync(file, config('/v3/{mode}'));
    await vi.waitFor(async () => expect(await status('/v3/ok')).toBe(200), soon);
    writeFileSync(file, config('/v4/{mode}').replace('Get', 'Gte'));
    await vi.waitFor(
      async () => expect((await contract()).problems?.[0]).toMatch(/c\.yaml:2: .*no such method/),
      soon,
    );
    expect(await status('/v3/ok')).toBe(200);
  });
});

describe('reload()', () => {
  test('tells the changes, rejects with all problems, and does not overlap', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { gateway } = await start(['--proto', folder], (await probe()).address, 0);
    const warnings = vi.spyOn(gateway.log, 'warn');
    expect(await gateway.reload()).toEqual({ changed: false, changes: [] });

    writeFileSync(join(folder, 'a.proto'), proto(`${GET('/v2/{mode}')} ${WATCH}`, 'bool extra = 9;'));
    const [first, second] = await Promise.all([gateway.reload(), gateway.reload()]);
    expect(second).toBe(first);
    expect(first.changes.map(({ subject, kind, breaking }) => [subject, kind, breaking])).toEqual([
      ['route GET /v1/{mode} of probe.v1.ProbeService/Get', 'removed', true],
      ['route GET /v2/{mode} of probe.v1.ProbeService/Get', 'added', false],
      ['method probe.v1.ProbeService/Watch', 'added', false],
      ['route GET /v1/{mode}:watch of probe.v1.ProbeService/Watch', 'added', false],
      ['field probe.v1.Event.extra', 'added', false],
    ]);
    expect(warnings.mock.calls[0]).toEqual([
      expect.objectContaining({ cause: 'call', added: 4, removed: 1, changed: 0, breaking: 1, methods: 2 }),
      'contract reloaded, with changes that break clients',
    ]);

    writeFileSync(join(folder, 'a.proto'), 'syntax = "proto3"; nonsense');
    const failure = await gateway.reload().catch((thrown: unknown) => thrown);
    expect(failure).toBeInstanceOf(ContractError);
    expect(gateway.table().contract.methods).toHaveLength(2);
  });

  test('of a closed gateway changes nothing', async () => {
    const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
    const { gateway } = await start(['--proto', folder], (await probe()).address, 0);
    await gateway.close();
    writeFileSync(join(folder, 'a.proto'), proto(GET('/v2/{mode}')));
    expect(await gateway.reload()).toEqual({ changed: false, changes: [] });
  });
});

test('calls in flight end on the contract that they began with', async () => {
  const talk =
    'rpc Talk(stream Event) returns (stream Event) { option (google.api.http) = {post: "/v1/talk" body: "*"}; option (tidegate.v1.access) = {public: true}; }';
  const folder = folders.write({ 'a.proto': proto(`${GET('/v1/{mode}')} ${WATCH} ${talk}`) });
  const { gateway, url, status } = await start(['--proto', folder], (await probe()).address, 0);
  const stream = await fetch(`${url}/v1/fail-late:watch`, { headers: { accept: 'text/event-stream' } });
  const lines = await fetch(`${url}/v1/fail-late:watch`);
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/talk`);
  const echo = (text: string) =>
    new Promise<string>((resolve) => {
      socket.once('message', (data) => resolve(String(data)));
      socket.send(JSON.stringify({ text }));
    });
  await once(socket, 'open');
  expect(await echo('before')).toBe('{"text":"before"}');

  // The methods are gone, and the field has another name: a late look at the new table would show it.
  writeFileSync(join(folder, 'a.proto'), proto(GET('/v2/{mode}')).replace('text = 2', 'words = 2'));
  expect((await gateway.reload()).changed).toBe(true);
  expect(await (await fetch(`${url}/v2/ok`)).json()).toMatchObject({ words: 'ok' });
  expect(await status('/v1/fail-late:watch')).toBe(404);

  expect(await echo('after')).toBe('{"text":"after"}');
  socket.close();
  const events = await stream.text();
  expect(events.match(/"text":"fail-late"/g)).toHaveLength(3);
  expect(events).toMatch(/event: ?end\ndata: ?\{"code":9,/);
  expect((await lines.text()).split('\n').slice(-3)).toEqual([
    '{"sequence":"3","text":"fail-late"}',
    expect.stringContaining('{"error":{"code":9'),
    '',
  ]);
});

describe('server reflection', () => {
  const files = (rpcs: string) => compile({ 'a.proto': proto(rpcs) });
  async function reflecting(rpcs: string, port?: number): Promise<ReflectionServer> {
    const server = await startReflectionServer({
      files: files(rpcs),
      services: ['probe.v1.ProbeService'],
      ...(port !== undefined && { port }),
    });
    servers.push(server);
    return server;
  }
  const methods = ({ gateway }: Running) =>
    gateway.table().contract.methods.map(({ name }) => name.split('/')[1]);

  test('an upstream that comes back with another contract is asked at once', async () => {
    const port = await freePort();
    const old = await reflecting(GET('/v1/{mode}'), port);
    const running = await start([], old.address, 60_000);
    expect(methods(running)).toEqual(['Get']);
    old.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await reflecting(`${GET('/v1/{mode}')} ${WATCH}`, port);
    await vi.waitFor(() => expect(methods(running)).toEqual(['Get', 'Watch']), soon);
  });

  test('is asked now and then, and the same answer in another order changes nothing', async () => {
    const server = await reflecting(`${GET('/v1/{mode}')} ${WATCH}`);
    const running = await start([], server.address);
    await vi.waitFor(
      async () => expect(Number(await running.metric(reloads('unchanged')))).toBeGreaterThan(2),
      soon,
    );
    expect(await running.metric(reloads('changed'))).toBe('0');
    expect(server.asked.length).toBeGreaterThan(6);
  });

  test('warns anew of what it does not tell, when it has come back with another contract', async () => {
    const port = await freePort();
    const serving = async (rpcs: string) => {
      const described = compile({ 'a.proto': proto(rpcs) });
      const server = await startReflectionServer({
        files: described,
        services: ['probe.v1.ProbeService'],
        port,
      });
      servers.push(server);
      return server;
    };
    const first = await serving(GET('/v1/{mode}'));
    const running = await start([], first.address, 0);
    const warnings = vi.spyOn(running.gateway.log, 'warn');
    const routeless = expect.stringContaining('tells no google.api.http options');
    first.close();
    await serving('rpc Get(GetRequest) returns (Event);');
    await vi.waitFor(async () => expect((await running.gateway.reload()).changed).toBe(true), soon);
    const told = () => warnings.mock.calls.filter(([line]) => typeof line === 'string');
    expect(told()).toEqual([[routeless]]);
    expect((await running.gateway.reload()).changed).toBe(false);
    expect(told(), 'but not when nothing has changed').toHaveLength(1);
  });

  test('an upstream that is away keeps its part, while another changes', async () => {
    const there = await reflecting(GET('/v1/{mode}'));
    const port = await freePort();
    const text = (rpcs: string) => `${HEAD}package other.v1; message M {} service S { ${rpcs} }`;
    const other = async (rpcs: string) => {
      const described = compile({ 'b.proto': text(rpcs) });
      const server = await startReflectionServer({ files: described, services: ['other.v1.S'], port });
      servers.push(server);
      return server;
    };
    const first = await other('rpc One(M) returns (M);');
    const running = await start(['--upstream', first.address], there.address, 0);
    const warnings = vi.spyOn(running.gateway.log, 'warn');
    there.close();
    first.close();
    await other('rpc One(M) returns (M); rpc Two(M) returns (M);');
    await vi.waitFor(async () => expect((await running.gateway.reload()).changed).toBe(true), soon);
    expect(methods(running)).toEqual(['Get', 'One', 'Two']);
    expect(warnings.mock.calls.map(([facts]) => facts)).toContainEqual({ upstreams: ['u1'] });
  });
});

describe('the start', () => {
  test('waits for a service that is not there yet', async () => {
    const port = await freePort();
    const starting = start([], `127.0.0.1:${port}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const described = compile({ 'a.proto': proto(GET('/v1/{mode}')) });
    servers.push(
      await startReflectionServer({ files: described, services: ['probe.v1.ProbeService'], port }),
    );
    expect((await starting).gateway.table().contract.methods).toHaveLength(1);
  });

  test('waits no longer than it may, and not at all for what does not go away by itself', async () => {
    const port = await freePort();
    const began = Date.now();
    await expect(start(['--start-timeout', '400ms'], `127.0.0.1:${port}`)).rejects.toThrow(
      /could not be asked/,
    );
    expect(Date.now() - began).toBeGreaterThan(350);
    const silent = await startReflectionServer({ files: [], services: [], versions: [] });
    servers.push(silent);
    const again = Date.now();
    await expect(start([], silent.address)).rejects.toThrow(/does not offer server reflection/);
    expect(Date.now() - again).toBeLessThan(5_000);
  });
});

test('SIGHUP looks for a new contract at once, and ends nothing', async () => {
  const folder = folders.write({ 'a.proto': proto(GET('/v1/{mode}')) });
  const flags = ['--proto', folder, '--upstream', (await probe()).address, '--reload', '0'];
  const child = await spawnGateway(flags);
  try {
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${child.port}${path}`)).status;
    expect(await status('/v1/ok')).toBe(200);
    writeFileSync(join(folder, 'a.proto'), proto(GET('/v2/{mode}')));
    process.kill(child.pid, 'SIGHUP');
    await vi.waitFor(async () => expect(await status('/v2/ok')).toBe(200), soon);
    writeFileSync(join(folder, 'a.proto'), 'nonsense');
    process.kill(child.pid, 'SIGHUP');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await status('/v2/ok')).toBe(200);
  } finally {
    expect(await child.stop()).toBe(0);
  }
});
