/** What `npm start` runs: the example services in this process, the gateway in front of them as a child, and what to try first. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEMO_PASSWORDS, demoUsers } from './auth/demo.js';
import { type RunningAuth, startAuth } from './auth/serve.js';
import { loadDescriptors } from './descriptors.js';
import { startServices } from './services.js';

const GATEWAY = fileURLToPath(new URL('../gateway/main.js', import.meta.url));
/** `node --watch` sees the files of its own process alone: under it, the gateway is watched by one of its own. */
const WATCH =
  process.env.WATCH_REPORT_DEPENDENCIES === undefined ? [] : ['--watch', '--watch-preserve-output'];
const READY_WITHIN_MS = 30_000;

/**
 * The port that PORT names, default 8080; for 0 one that is free, since the commands to paste have to name it. Throws when
 * another program has it: that one would answer in the gateway's place.
 */
async function portOf(text: string): Promise<number> {
  const port = Number(text);
  if (!/^[0-9]+$/.test(text) || port > 65_535) throw new Error(`PORT: must be 0 to 65535, not ${text}`);
  const probe = createServer().listen(port, '127.0.0.1');
  await once(probe, 'listening').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`cannot listen on 127.0.0.1:${port} (${error.code}); PORT=0 npm start finds a free port`);
  });
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

/** Resolves with true when the gateway is ready, with false when it has ended instead. Throws when neither happens in time. */
async function isReady(gateway: ChildProcess, port: number): Promise<boolean> {
  const patience = Date.now() + READY_WITHIN_MS;
  while (isRunning(gateway)) {
    // With a timeout: fetch tries again and again by itself when whoever listens there closes the connection.
    const signal = AbortSignal.timeout(1_000);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`, { signal }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) return isRunning(gateway);
    if (Date.now() > patience) throw new Error(`the gateway is not ready after ${READY_WITHIN_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

/** The last line of `tidegate token`. */
async function developmentToken(): Promise<string> {
  const args = [GATEWAY, 'token', '--sub', 'u1', '--role', 'admin'];
  const command = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  command.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code] = await once(command, 'close');
  if (code !== 0) throw new Error('`tidegate token --sub u1 --role admin` failed');
  return output.trimEnd().split('\n').at(-1) ?? '';
}

const ORDER = {
  items: [
    { sku: 'rope-12', name: 'Rope', quantity: 2, unitPrice: { currencyCode: 'EUR', minorUnits: '1999' } },
  ],
  shipTo: { recipient: 'Ada', lines: ['Quay 1'], city: 'Delft', countryCode: 'NL' },
  invoice: { dueDays: 30 },
};

/** For everybody on this machine, with or without a token: development mode listens on loopback alone. */
const CHANNEL_RULES = [
  { match: 'news', publish: 'public', subscribe: 'public', presence: 'public', join: 'authenticated' },
];

const ISSUER = 'tidegate-demo';

/** Beside the services, with users whose passwords are printed: it listens on loopback alone, and forgets all when it ends. */
async function startDemoAuth(port: number): Promise<RunningAuth> {
  const users = await demoUsers();
  const descriptors = loadDescriptors('contract.binpb');
  const revocationsUrl = `http://127.0.0.1:${port}/-/revocations`;
  return startAuth({ users, issuer: ISSUER, audience: ISSUER, descriptors, revocationsUrl });
}

function commands(port: number, token: string): string {
  const host = `127.0.0.1:${port}`;
  const login = { username: 'ada', password: DEMO_PASSWORDS.ada };
  const users = Object.entries(DEMO_PASSWORDS).map((user) => user.join(' with '));
  const chat = [
    `const ws = new (require('ws'))('ws://${host}/v1/rooms/lobby:join', { headers: { authorization: 'Bearer ${token}' } })`,
    `ws.on('open', () => ws.send(JSON.stringify({ text: 'hello' })))`,
    `ws.on('message', (event) => console.log(String(event)))`,
    `ws.on('error', (error) => console.error(error.message))`,
  ];
  return `
Five things to try, from another terminal in this folder.

Create an order:

  curl -s -H 'authorization: Bearer ${token}' -H 'content-type: application/json' -d '${JSON.stringify(ORDER)}' http://${host}/v1/orders

Watch a price move, as an EventSource would:

  curl -sN -H 'accept: text/event-stream' 'http://${host}/v1/quotes/TIDE:watch?rate=2'

Listen to a channel in one terminal, and publish to it in another:

  curl -sN -H 'accept: text/event-stream' http://${host}/v1/channels/news:subscribe
  curl -s -H 'content-type: application/json' -d '{"data":{"n":1}}' http://${host}/v1/channels/news:publish

Log in, for tokens of a user's own (${users.join(', ')}):

  curl -s -H 'content-type: application/json' -d '${JSON.stringify(login)}' http://${host}/v1/auth/login

Enter a room and say hello, over a WebSocket:

  node -e "${chat.join('; ')}"
`;
}

/** Resolves with the exit code that this process shall have. */
async function run(): Promise<number> {
  const port = await portOf(process.env.PORT ?? '8080');
  const services = await startServices();
  const auth = await startDemoAuth(port).catch(async (thrown: unknown) => {
    await services.close();
    throw thrown;
  });
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
  const config = join(folder, 'tidegate.yaml');
  // The gateway serves the keys of the service behind it, and reads them there as any verifier would.
  const jwksUrl = `http://127.0.0.1:${port}/v1/auth/jwks`;
  const issuers = [{ issuer: ISSUER, audiences: [ISSUER], jwksUrl }];
  writeFileSync(config, JSON.stringify({ channels: true, channelRules: CHANNEL_RULES, auth: { issuers } }));
  const given = process.env.TIDEGATE_CONFIG;
  const upstreams = ['--upstream', services.address, '--upstream', `auth.v1=${auth.address}`];
  const flags = ['--dev', ...upstreams, '--port', `${port}`];
  const args = [...WATCH, GATEWAY, 'serve', ...flags, ...(given ? [] : ['--config', config])];
  // In a process group of its own: Ctrl-C in a terminal reaches a whole group, and with ours the gateway would hear it twice.
  const gateway = spawn(process.execPath, args, { stdio: 'inherit', detached: true });
  const ended = once(gateway, 'exit');
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      asked = true;
      gateway.kill(signal);
    });
  }
  try {
    if (await isReady(gateway, port)) console.log(commands(port, await developmentToken()));
    const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
    if (asked) return code ?? 1;
    console.error(`the gateway has ended by itself, with ${signal ?? `exit code ${code}`}`);
    return code === 0 || code === null ? 1 : code;
  } finally {
    if (isRunning(gateway)) gateway.kill('SIGTERM');
    await Promise.all([services.close(), auth.close()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
