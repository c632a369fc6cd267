/**
 * Fan-out: CPU per delivery of one 600-byte event to 2,000 clients, of a shared stream of the gateway against a bare loop
 * of `socket.write`, better-sse, ws and Socket.IO, one after another in one run. `npm run bench:fanout [-- --quick] [--only sse|sockets]`.
 */
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { wordOption } from '../../slow/report.js';
import { createTickerProcess } from '../../support/cluster.js';
import { spawnGateway, stop } from '../../support/command.js';
import { TICKER_PROTO, tickerPath } from '../../support/ticker.js';
import { type Speech, spawnFleet } from '../fleet.js';
import { percentile } from '../load.js';
import { cpuSeconds, printTable, startScript } from '../process.js';
import { BENCH_PADDING } from './event.js';

const QUICK = process.argv.includes('--quick');
/** Which of the two comparisons to make; only without the option it is both. */
const ONLY = wordOption<'sse' | 'sockets' | 'both'>('only', ['sse', 'sockets'], 'both');
const CLIENTS = QUICK ? 200 : 2000;
/** How often each contestant has its turn, for how long: a machine that is slower for a minute is so for all of them. */
const ROUNDS = QUICK ? 1 : 3;
const WINDOW_MS = QUICK ? 1500 : 6000;

/** How many events come in one turn, and how many in a second. */
const FLUSHES = [
  { burst: 1, rate: 10 },
  { burst: 10, rate: 20 },
] as const;
type Flush = (typeof FLUSHES)[number];

interface Contestant {
  readonly name: string;
  readonly speech: Speech;
  /** Of a script of peers.ts; absent: it is the gateway. */
  readonly peer?: string;
}

const SSE: readonly Contestant[] = [
  { name: 'bare socket.write, one an event', speech: 'sse', peer: 'bare-sse' },
  { name: 'bare socket.write, one a turn', speech: 'sse', peer: 'bare-sse-joined' },
  { name: 'Tidegate', speech: 'sse' },
  { name: 'better-sse', speech: 'sse', peer: 'better-sse' },
];
const SOCKETS: readonly Contestant[] = [
  { name: 'bare socket.write, one an event', speech: 'socket', peer: 'bare-socket' },
  { name: 'bare socket.write, one a turn', speech: 'socket', peer: 'bare-socket-joined' },
  { name: 'Tidegate, one call a socket', speech: 'socket' },
  { name: 'Tidegate, many calls a socket', speech: 'frames' },
  { name: 'ws', speech: 'socket', peer: 'ws' },
  { name: 'Socket.IO', speech: 'socket.io', peer: 'socket.io' },
];

interface Served {
  readonly pid: number;
  readonly port: number;
  stop(): Promise<unknown>;
}

async function servePeer(peer: string, { rate, burst }: Flush): Promise<Served> {
  const { child, pid, port } = await startScript('fanout/peers', [peer, String(rate), String(burst)]);
  return { pid, port, stop: () => stop(child) };
}

async function serveGateway({ rate, burst }: Flush): Promise<Served> {
  const ticker = await createTickerProcess({
    start: Date.now(),
    rate,
    burst,
    count: Number.MAX_SAFE_INTEGER,
    padding: BENCH_PADDING,
  });
  await ticker.start();
  const gateway = await spawnGateway(['--proto', TICKER_PROTO, '--upstream', ticker.address]);
  const stopBoth = async (): Promise<void> => {
    await gateway.stop();
    await ticker.stop();
  };
  return { pid: gateway.pid, port: gateway.port, stop: stopBoth };
}

/** CPU per delivery in microseconds. */
async function measure({ speech, peer }: Contestant, flush: Flush): Promise<number> {
  const server = await (peer === undefined ? serveGateway(flush) : servePeer(peer, flush));
  const fleet = spawnFleet({
    speech,
    port: server.port,
    path: tickerPath('Live', 'bench'),
    clients: CLIENTS,
  });
  try {
    await fleet.open();
    await sleep(QUICK ? 500 : 3000);
    await fleet.sample();
    const before = cpuSeconds(server.pid);
    const started = performance.now();
    await sleep(WINDOW_MS);
    const used = cpuSeconds(server.pid) - before;
    const { events, open } = await fleet.sample();
    const due = (CLIENTS * flush.rate * (performance.now() - started)) / 1000;
    if (open !== CLIENTS || events < due * 0.7)
      throw new Error(`${open} of ${CLIENTS} clients got ${events} of about ${Math.round(due)} events`);
    return (used * 1e6) / events;
  } finally {
    await fleet.close();
    await server.stop();
  }
}

async function compare(
  title: string,
  contestants: readonly Contestant[],
  targets: readonly string[],
): Promise<void> {
  const trials = FLUSHES.flatMap((flush) =>
    contestants.map((contestant) => ({ contestant, flush, costs: [] as number[] })),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const { contestant, flush, costs } of trials) costs.push(await measure(contestant, flush));
  }
  const medians = (of: Contestant): number[] =>
    trials.filter(({ contestant }) => contestant === of).map(({ costs }) => percentile(costs, 0.5));
  const bare = medians(contestants[0] as Contestant);
  const rows = contestants.map((contestant) => [
    contestant.name,
    ...medians(contestant).flatMap((cost, index) => [
      cost.toFixed(2),
      `${(cost / (bare[index] as number)).toFixed(2)} x`,
    ]),
  ]);
  process.stdout.write(`\n${title}\n`);
  printTable(['', '1 a turn: us', 'of bare', '10 a turn: us', 'of bare'], rows);
  process.stdout.write(`wanted: ${targets.join('; ')}\n`);
}

process.stdout.write(
  `node ${process.version}, ${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}; CPU is user + system time of the server process, per delivery\n` +
    `${CLIENTS} clients, events of 600 bytes of JSON; ${FLUSHES.map(({ burst, rate }) => `${rate} a second in turns of ${burst}`).join(', and ')}\n`,
);
if (ONLY !== 'sockets')
  await compare('Server-Sent Events', SSE, ['at most 1.1 x bare', 'at most 0.6 x better-sse']);
if (ONLY !== 'sse') await compare('WebSocket', SOCKETS, ['at most 1.1 x bare', 'at most 0.5 x Socket.IO']);
