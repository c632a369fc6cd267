/**
 * The benchmarks: CPU per operation of the gateway process (from /proc), throughput and latency, against bare node:http
 * in the same run. `npm run bench [-- --quick]`.
 */
import { spawn } from 'node:child_process';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAIN, spawnGateway, stop } from '../support/command.js';
import { ROOT } from '../support/probe.js';
import { percentile, type Subscriber, subscribe, unaryLoad } from './load.js';
import { cpuSeconds, printTable, startScript } from './process.js';

const QUICK = process.argv.includes('--quick');
const SECONDS = QUICK ? 2 : 8;
const CONNECTIONS = 32;
const CLIENTS = QUICK ? 20 : 100;
const RATE = 50;

interface Row {
  readonly name: string;
  readonly cpuMicros: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

async function unary(name: string, pid: number, target: Parameters<typeof unaryLoad>[0]): Promise<Row> {
  await unaryLoad(target, CONNECTIONS, QUICK ? 1 : 3);
  const before = cpuSeconds(pid);
  const load = await unaryLoad(target, CONNECTIONS, SECONDS);
  return {
    name,
    cpuMicros: ((cpuSeconds(pid) - before) * 1e6) / load.done,
    perSecond: load.done / load.seconds,
    p50: percentile(load.latencies, 0.5),
    p99: percentile(load.latencies, 0.99),
  };
}

async function delivery(name: string, pid: number, target: Parameters<typeof unaryLoad>[0]): Promise<Row> {
  const latencies: number[] = [];
  const subscribers: Subscriber[] = [];
  for (let n = 0; n < CLIENTS; n++) subscribers.push(await subscribe(target, latencies));
  await sleep(QUICK ? 500 : 2000);
  latencies.length = 0;
  const before = cpuSeconds(pid);
  const started = performance.now();
  await sleep(SECONDS * 1000);
  const used = cpuSeconds(pid) - before;
  const seconds = (performance.now() - started) / 1000;
  const got = [...latencies];
  for (const subscriber of subscribers) subscriber.close();
  await sleep(300);
  return {
    name,
    cpuMicros: (used * 1e6) / got.length,
    perSecond: got.length / seconds,
    p50: percentile(got, 0.5),
    p99: percentile(got, 0.99),
  };
}

function token(): Promise<string> {
  const child = spawn(process.execPath, [MAIN, 'token', '--sub', 'bench', '--role', 'admin'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolve) => child.on('close', () => resolve(text.trim().split('\n').at(-1) as string)));
}

function print(rows: readonly Row[]): void {
  const base = rows[0] as Row;
  const cells = rows.map((row) => [
    row.name,
    row.cpuMicros.toFixed(1),
    `${(row.cpuMicros / base.cpuMicros).toFixed(1)} x`,
    row.perSecond.toFixed(0),
    row.p50.toFixed(2),
    row.p99.toFixed(2),
  ]);
  printTable(['', 'CPU us/op', 'of bare', 'op/s', 'p50 ms', 'p99 ms'], cells);
}

const bare = await startScript('bare');
const service = await startScript('service');
const gateway = await spawnGateway([
  '--proto',
  `${ROOT}proto/orders`,
  '--upstream',
  `127.0.0.1:${service.port}`,
]);
const authorization = `Bearer ${await token()}`;
process.stdout.write(
  `node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}; CPU is user + system time of the server process\n` +
    `unary: ${CONNECTIONS} connections, ${SECONDS} s; delivery: ${CLIENTS} clients of a stream each, ${RATE} events/s, ${SECONDS} s\n\n`,
);
const rows: Row[] = [];
rows.push(await unary('bare node:http', bare.pid, { port: bare.port, path: '/' }));
rows.push(
  await unary('REST unary', gateway.pid, {
    port: gateway.port,
    path: '/v1/orders/1',
    headers: { authorization },
  }),
);
const stream = { port: gateway.port, path: '/v1/orders:watch' };
const headers = { authorization, 'x-rate': String(RATE) };
rows.push(
  await delivery('SSE delivery', gateway.pid, {
    ...stream,
    headers: { ...headers, accept: 'text/event-stream' },
  }),
);
const upgrade = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};
rows.push(
  await delivery('WebSocket delivery', gateway.pid, { ...stream, headers: { ...headers, ...upgrade } }),
);
print(rows);
await gateway.stop();
await stop(service.child);
await stop(bare.child);
