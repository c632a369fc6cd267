/**
 * Throws a hundred thousand mixed requests, most of them bad, at a running gateway, and checks that each gets an answer
 * that names what is wrong, that none is a 500, that nothing stays open, and that memory stays flat.
 *
 * `npm run fuzz [-- REQUESTS [SEED]]`; the seed of a run is printed and repeats its choices.
 */
import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { spawnGateway } from '../support/command.js';
import { PROBE_PROTO, startProbe } from '../support/probe.js';

const TOTAL = Number(process.argv[2] ?? 100_000);
const SEED = Number(process.argv[3] ?? Date.now() % 1_000_000);
const WORKERS = 32;
/** How much resident memory may grow between a fifth of the run and its end. */
const MAX_GROWTH = 1.15;

/** mulberry32: small, fast, and the same everywhere. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const next = random(SEED);
const below = (n: number): number => Math.floor(next() * n);
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;

function soup(length: number, alphabet = '/:%.{}[]"\\,?&=+*abcAZ019-_~ \u00e9'): string {
  return Array.from({ length: below(length) }, () => alphabet[below(alphabet.length)]).join('');
}

const pathSoup = (length: number): string => soup(length, '/:%.*abcAZ019-_~{}[]&=;,+$!@');

function json(depth: number): unknown {
  const kinds: readonly (() => unknown)[] = [
    () => null,
    () => next() < 0.5,
    () => below(1_000_000) - 500_000,
    () => next() * 1e300,
    () => soup(12),
    () => Array.from({ length: below(4) }, () => json(depth - 1)),
    () =>
      Object.fromEntries(
        Array.from({ length: below(4) }, () => [
          pick(['sequence', 'text', 'seen', '__proto__', soup(5)]),
          json(depth - 1),
        ]),
      ),
  ];
  return pick(depth > 0 ? kinds : kinds.slice(0, 5))();
}

function broken(text: string): string {
  const at = below(text.length + 1);
  return pick([
    text.slice(0, at),
    text.slice(0, at) + soup(3) + text.slice(at),
    `${text}${soup(4)}`,
    '['.repeat(below(3000)),
    text,
  ]);
}

interface Shot {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Break off after so many ms. */
  readonly leaveAfter?: number;
}

const VERBS = ['GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PURGE'];
const MODES = ['ok', 'fail', 'open', 'fail-late', 'silent', '%FF', '%2F', 'a%20b', '..', 'x:y', ''];
const ACCEPTS = [
  'application/json',
  'application/x-ndjson',
  'text/event-stream',
  '*/*',
  ';;q=,',
  'text/html',
  'application/x-protobuf',
];
const TYPES = [
  'application/json',
  'application/x-ndjson',
  'application/x-protobuf',
  'text/plain',
  'multipart/form-data',
  'application/json; charset=latin1',
  '/;',
];
const LARGE = Buffer.alloc(5 * 1024 * 1024, 'a');

/** Kinds of requests; those that leave a silent service waiting carry a short deadline. */
const SHOTS: readonly (() => Shot)[] = [
  () => ({ path: `/${pathSoup(40)}`, method: pick(VERBS) }),
  () => ({
    path: `/v1/probe/${pick(['ok', 'fail', pathSoup(8)])}?${pathSoup(30)}`,
    method: pick(VERBS),
    headers: { 'grpc-timeout': '200m' },
  }),
  () => ({
    path: `/v1/probe/ok?${pick(['count', 'bytes', 'mode', 'cuont', 'count[x]', 'mode.a', '%zz'])}=${pathSoup(10)}`,
  }),
  () => ({ path: '/v1/probe', method: 'PUT', body: JSON.stringify(json(4)) ?? 'null' }),
  () => ({
    path: '/v1/probe',
    method: 'PUT',
    body: broken(JSON.stringify({ sequence: below(9), text: soup(9), seen: { a: soup(4) } })),
  }),
  () => ({
    path: '/v1/probe',
    method: 'PUT',
    body: Buffer.from(Array.from({ length: below(60) }, () => below(256))),
    headers: { 'content-type': pick(TYPES) },
  }),
  () => ({
    path: '/v1/probe',
    method: 'PUT',
    body: next() < 0.02 ? LARGE : `{"text":"${soup(2000, 'ab')}"}`,
  }),
  () => ({
    path: `/v1/secret/ok${pick(['', ':watch'])}`,
    headers: {
      authorization: pick([
        'Bearer',
        `Bearer ${soup(40, 'abcABC._-')}`,
        'Basic abc',
        'Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSJ9.',
      ]),
    },
  }),
  () => ({
    path: '/v1/probe/ok',
    headers: {
      [pick(['grpc-timeout', 'x-server-timeout', 'connect-timeout-ms', 'x-data-bin', 'x-request-id'])]: soup(
        12,
        'abc019=SmH.-',
      ),
    },
  }),
  () => ({
    path: `/v1/probe/${pick(MODES)}${pick(['', ':watch', ':Watch', ':'])}`,
    headers: { accept: pick(ACCEPTS), 'grpc-timeout': '100m' },
  }),
  () => ({
    path: `/v1/probe/${pick(['open', 'flood'])}:watch?count=2000`,
    headers: { accept: pick(ACCEPTS) },
    leaveAfter: below(40),
  }),
  () => ({
    path: '/v1/sum',
    method: 'POST',
    body: broken('{"sequence":1}\n{"sequence":"2"}\n[{"sequence":3}]'),
    headers: { 'content-type': pick(TYPES), 'grpc-timeout': '500m' },
  }),
  () => ({ path: '/probe.v1.ProbeService/Get', method: 'POST', body: broken('{"mode":"ok"}') }),
];

const agent = new Agent({ keepAlive: true, maxSockets: WORKERS * 2 });
const counts = new Map<string, number>();
const wrong: string[] = [];

function count(what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

function check(shot: Shot, response: IncomingMessage, body: string): void {
  const status = response.statusCode ?? 0;
  count(String(status));
  const told = `${shot.method ?? 'GET'} ${shot.path} ${String(shot.body ?? '').slice(0, 80)} -> ${status} ${body.slice(0, 200)}`;
  // A Node service gives up its connection to a peer that cancels as much as this run does: that is 503, and no fault.
  const gaveUp = status === 503 && (shot.method === 'HEAD' || body.includes('the connection to upstream'));
  // protobufjs, which the probe decodes with, does not look at wire types: it misreads fields that it should skip.
  const misread = status === 500 && body.includes('"Error deserializing request"');
  if (status >= 500 && status !== 504 && !gaveUp && !misread) wrong.push(told);
  if (status < 400 || shot.method === 'HEAD') return;
  try {
    const error = JSON.parse(body) as { code?: unknown; message?: unknown };
    if (typeof error.code !== 'number' || typeof error.message !== 'string' || error.message === '')
      wrong.push(told);
  } catch {
    wrong.push(told);
  }
}

function shoot(port: number, shot: Shot): Promise<void> {
  return new Promise((resolve) => {
    const { method = 'GET', path, headers = {}, body, leaveAfter } = shot;
    const done = (): void => resolve();
    let request: ReturnType<typeof httpRequest>;
    try {
      request = httpRequest({
        host: '127.0.0.1',
        port,
        method,
        path: encodeURI(path).replace(/%25/g, '%'),
        headers,
        agent,
      });
    } catch {
      // What the client itself refuses to send.
      count('unsendable');
      return done();
    }
    if (leaveAfter !== undefined) setTimeout(() => request.destroy(), leaveAfter);
    request.on('error', () => {
      count(leaveAfter === undefined ? 'connection broken' : 'left');
      done();
    });
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        check(shot, response, Buffer.concat(chunks).toString());
        done();
      });
      response.on('error', done).on('close', done);
    });
    request.end(body);
  });
}

const FRAMES: readonly (() => string | Buffer)[] = [
  () => '{"type":"hello"}',
  () => `{"type":"hello","token":"${soup(9, 'ab.')}"}`,
  () =>
    JSON.stringify({
      type: 'open',
      sid: below(4),
      route: `GET /v1/probe/${pick(['ok', 'fail', 'open:watch', 'nope', '%'])}`,
      credit: below(3),
    }),
  () =>
    JSON.stringify({ type: 'open', sid: below(4), method: 'probe.v1.ProbeService/Talk', message: json(2) }),
  () => JSON.stringify({ type: 'msg', sid: below(4), data: json(3) }),
  () =>
    JSON.stringify({
      type: pick(['half_close', 'cancel', 'credit', 'ping', 'pong', soup(5)]),
      sid: below(4),
      n: below(5) - 1,
    }),
  () => broken('{"type":"cancel","sid":1}'),
  () => Buffer.from(Array.from({ length: below(30) }, () => below(256))),
  () => JSON.stringify(json(3)),
];

function socketShot(port: number): Promise<void> {
  const path = pick(['/ws', '/ws', '/v1/talk/a', '/v1/probe/open:watch', '/v1/sum', '/v1/nothing']);
  const protocols = path === '/ws' ? [pick(['tidegate.v1.json', 'tidegate.v1.proto', 'other'])] : [];
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols);
    const timer = setTimeout(() => socket.terminate(), 30 + below(50));
    socket.on('open', () => {
      if (path === '/ws' && next() < 0.8) socket.send('{"type":"hello"}');
      for (let n = below(8); n > 0; n--) socket.send(pick(FRAMES)());
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      clearTimeout(timer);
      count(`close ${code}`);
      if (code === 1011) wrong.push(`WebSocket ${path} closed with 1011`);
      resolve();
    });
  });
}

function garbage(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () =>
      socket.end(Buffer.from(Array.from({ length: below(200) }, () => below(256)))),
    );
    socket.setTimeout(500, () => socket.destroy());
    socket.on('data', () => undefined).on('error', () => undefined);
    socket.on('close', () => {
      count('garbage');
      resolve();
    });
  });
}

const rssMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const probe = await startProbe();
const gateway = await spawnGateway(
  ['--proto', PROBE_PROTO, '--upstream', probe.address],
  ['--max-semi-space-size=8'],
);
process.stdout.write(`seed ${SEED}, ${TOTAL} requests\n`);
const started = Date.now();
const memory: number[] = [];
let fired = 0;

async function worker(): Promise<void> {
  while (fired < TOTAL) {
    fired++;
    if (fired % Math.ceil(TOTAL / 20) === 0) memory.push(rssMb(gateway.pid));
    const dice = next();
    if (dice < 0.03) await socketShot(gateway.port);
    else if (dice < 0.04) await garbage(gateway.port);
    else await shoot(gateway.port, pick(SHOTS)());
  }
}

await Promise.all(Array.from({ length: WORKERS }, worker));
agent.destroy();
await sleep(2500);

const health = await fetch(`http://127.0.0.1:${gateway.port}/healthz`);
if (health.status !== 200) wrong.push(`healthz answers ${health.status}`);
const active = await metric(gateway.port, 'tidegate_calls_active');
if (active !== 0) wrong.push(`${active} calls are still active in the gateway`);
if (probe.running !== 0) wrong.push(`${probe.running} calls are still running in the service`);
const early = Math.max(...memory.slice(2, 6));
const late = Math.max(...memory.slice(-4));
if (late > early * MAX_GROWTH) wrong.push(`memory grew from ${early.toFixed(0)} MB to ${late.toFixed(0)} MB`);

process.stdout.write(
  `answers: ${[...counts]
    .sort()
    .map(([what, n]) => `${what}: ${n}`)
    .join(', ')}\n`,
);
process.stdout.write(`memory in MB over the run: ${memory.map((mb) => mb.toFixed(0)).join(' ')}\n`);
process.stdout.write(`${((Date.now() - started) / 1000).toFixed(0)} s\n`);
await gateway.stop();
probe.kill();
for (const line of wrong.slice(0, 20)) process.stdout.write(`WRONG ${line}\n`);
process.stdout.write(`fuzz: ${TOTAL - wrong.length} passed, ${wrong.length} failed\n`);
process.exit(wrong.length === 0 ? 0 : 1);
