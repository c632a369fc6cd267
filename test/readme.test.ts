/** The README's commands and snippets, run as a reader would. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN, stop } from './support/command.js';
import { freePort, PROBE_PROTO, type Probe, ROOT, startProbe } from './support/probe.js';

const README = readFileSync(join(ROOT, 'README.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...README.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, name]) => name === language)
    .map(([, , body = '']) => body);
const HAS_CURL = spawnSync('curl', ['--version']).status === 0;
if (!HAS_CURL) process.stderr.write('the README commands with curl are skipped: apt-get install curl\n');

/** Without the settings of whoever runs the tests. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(TIDEGATE_|SERVICES_)|^(PORT|HOST|NODE_ENV)$/.test(name)),
);

describe('npm start', () => {
  let child: ChildProcess;
  let port: number;
  let output = '';
  beforeAll(async () => {
    port = await freePort();
    // What `npm start` runs once it has built, which was done before the tests.
    const script = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: { start: string };
    };
    const [, command] = /&& (?:exec )?(node .*)$/.exec(script.scripts.start) as unknown as [string, string];
    child = spawn('bash', ['-c', `exec ${command}`], { cwd: ROOT, env: { ...env, PORT: String(port) } });
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const end = Date.now() + 30_000;
    while (!/curl[\s\S]*curl[\s\S]*node /.test(output)) {
      if (child.exitCode !== null || Date.now() > end)
        throw new Error(`npm start did not come up:\n${output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }, 40_000);
  afterAll(() => stop(child));

  test('prints the routes, a token and commands to paste', () => {
    expect(output).toMatch(/GET +\/v1\/orders\/\{order_id\}/);
    expect(output).toMatch(/SSE/);
    expect(output).toMatch(/eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+/);
  });

  const commands = (blocks('sh')[1] ?? '').trim().split('\n');
  test('the README shows commands to paste', () => expect(commands.length).toBeGreaterThan(3));

  test.skipIf(!HAS_CURL)('the commands of the README answer', () => {
    // One shell for all, since one command sets what others use; every answer stands between marks.
    const script = commands
      .map((command) => `echo '@@'; ${command.replaceAll(':8080', `:${port}`)}`)
      .join('\n');
    const answers = execFileSync('bash', ['-c', script], { cwd: ROOT, env, encoding: 'utf8' })
      .split('@@\n')
      .slice(1);
    const [quote, events, , room, orders, , me] = answers as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    expect(JSON.parse(quote)).toMatchObject({ symbol: 'TIDE' });
    expect(events.match(/^event: ?message$/gm)).toHaveLength(3);
    expect(events).toMatch(/^event: ?end\ndata: ?\{"code":0/m);
    expect(JSON.parse(room)).toMatchObject({ roomId: 'harbour' });
    expect(JSON.parse(orders)).not.toHaveProperty('code');
    expect(JSON.parse(me)).toMatchObject({ userId: 'ada', permissions: ['*'] });
  });

  test.skipIf(!HAS_CURL)('the commands that it prints answer', () => {
    const printed = output
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => /^(curl|node) /.test(line));
    expect(printed).toHaveLength(6);
    for (const command of printed) {
      const answer = spawnSync('bash', ['-c', `timeout 3 ${command}`], { cwd: ROOT, env, encoding: 'utf8' });
      expect(answer.stdout, `${command}\n${answer.stderr}`).not.toBe('');
      expect(answer.stdout).not.toMatch(/"code": ?\d/);
    }
  });
});

describe('the snippets', () => {
  let probe: Probe;
  let work: string;
  beforeAll(async () => {
    probe = await startProbe();
    work = mkdtempSync(join(tmpdir(), 'tidegate-readme-'));
    mkdirSync(join(work, 'protos'));
    writeFileSync(join(work, 'protos', 'probe.proto'), readFileSync(PROBE_PROTO));
  });
  afterAll(() => {
    probe.kill();
    rmSync(work, { recursive: true });
  });

  test('the commands in front of other services are known to the command', () => {
    for (const line of (blocks('sh')[3] ?? '').trim().split('\n')) {
      const [command = ''] = line.split('#');
      const [, name = '', ...args] = command.trim().split(/\s+/);
      if (name === 'serve') continue;
      const given = args.map((arg) => (arg.startsWith('localhost:') ? probe.address : arg));
      const answer = spawnSync(process.execPath, [MAIN, name, ...given], {
        cwd: work,
        env,
        encoding: 'utf8',
      });
      expect(answer.status, `${command}\n${answer.stderr}`).toBe(0);
      if (name === 'routes') expect(answer.stdout).toContain('/v1/probe/{mode}');
      if (name === 'check') expect(answer.stdout).toMatch(/^ok: \d+ methods/m);
      if (name === 'token')
        expect(answer.stdout.trim().split('\n').at(-1)).toMatch(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/);
    }
  });

  test('the library snippet serves', async () => {
    const snippet = (blocks('ts')[0] ?? '')
      .replace(
        "'--upstream', 'localhost:50051'",
        `'--port', '0', '--log-level', 'silent', '--proto', '${work}/protos', '--upstream', '${probe.address}'`,
      )
      .concat(
        'console.log((await fetch("http://127.0.0.1:" + port + "/v1/probe/ok")).status);\nawait gateway.close();\n',
      );
    // Inside the package, so that its own name resolves.
    const file = join(ROOT, 'dist', `readme-snippet-${process.pid}.mjs`);
    writeFileSync(file, snippet);
    try {
      // Not the synchronous form: the service it calls runs in this process.
      const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
      expect(stdout.trim()).toBe('200');
    } finally {
      rmSync(file);
    }
  });

  test('the contract snippet is a contract', () => {
    const messages = [
      'GetOrderRequest { string order_id = 1; }',
      'Order {}',
      'WatchOrdersRequest {}',
      'OrderEvent { string type = 1; }',
    ];
    const text = `syntax = "proto3";\npackage readme.v1;\n${blocks('proto')[0]}\n${messages.map((message) => `message ${message}`).join('\n')}`;
    writeFileSync(join(work, 'snippet.proto'), text);
    const args = [MAIN, 'routes', '--proto', join(work, 'snippet.proto'), '--upstream', probe.address];
    const answer = spawnSync(process.execPath, args, { cwd: work, env, encoding: 'utf8' });
    expect(answer.stderr).toBe('');
    expect(answer.stdout).toMatch(/\/v1\/orders:watch/);
    expect(answer.stdout).toMatch(/orders:read/);
  });
});
