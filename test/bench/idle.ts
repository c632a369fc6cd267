/**
 * Idle memory: resident memory of the gateway per connection at 10,000 connections on which nothing happens, and of bare sockets and ws
 * for comparison. `npm run bench:idle [-- --quick]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { stop } from '../support/command.js';
import { createMeasuredNode } from '../support/measured_node.js';
import { startTicker, tickerPath } from '../support/ticker.js';
import { type Fleet, type Speech, spawnFleet } from './fleet.js';
import { memoryOf, openFilesLimit, printTable, startScript } from './process.js';

const QUICK = process.argv.includes('--quick');
const WANTED = QUICK ? 500 : 10_000;
/** Files of the process besides the connections. */
const OTHER_FILES = 500;
const CLIENTS = Math.min(WANTED, openFilesLimit() - OTHER_FILES);
const FLEETS = 2;
/** Connected and gone before anything is measured, so that what is loaded and compiled on first use is there. */
const WARM = QUICK ? 50 : 500;
const SETTLE_MS = QUICK ? 500 : 5000;
const PATH = tickerPath('Live', 'idle');

interface Contestant {
  readonly name: string;
  readonly speech: Speech;
  readonly peer?: string;
  /** KB per connection that we hold ourselves to. */
  readonly wanted?: number;
}

const CONTESTANTS: readonly Contestant[] = [
  { name: 'SSE, bare node:net', speech: 'sse', peer: 'bare-sse' },
  { name: 'SSE, Tidegate', speech: 'sse', wanted: 14 },
  { name: 'SSE, better-sse', speech: 'sse', peer: 'better-sse' },
  { name: 'WebSocket, Tidegate, one call a socket', speech: 'socket', wanted: 10 },
  { name: 'WebSocket, Tidegate, many calls a socket', speech: 'frames' },
  { name: 'WebSocket, ws', speech: 'socket', peer: 'ws' },
  { name: 'WebSocket, Socket.IO', speech: 'socket.io', peer: 'socket.io' },
];

interface Served {
  readonly pid: number;
  readonly port: number;
  /** Collects garbage, if the process can be told to. */
  collect(): Promise<unknown>;
  stop(): Promise<unknown>;
}

/** Events so rarely that none comes while it is measured. */
const NEVER = ['0.0001', '1'];

async function serve({ peer }: Contestant): Promise<Served> {
  if (peer !== undefined) {
    const preload = new URL('../support/memory_preload.js', import.meta.url).pathname;
    const { child, pid, port } = await startScript(
      'fanout/peers',
      [peer, ...NEVER],
      ['--expose-gc', '--import', preload],
    );
    return {
      pid,
      port,
      collect: async () => {
        process.kill(pid, 'SIGUSR2');
        await sleep(1000);
      },
      stop: () => stop(child),
    };
  }
  const ticker = await startTicker();
  const node = await createMeasuredNode('the gateway', ['--upstream', ticker.address]);
  await node.start();
  const stopAll = async (): Promise<void> => {
    await node.stop();
    ticker.kill();
  };
  return { pid: node.pid(), port: node.port, collect: () => node.memory(), stop: stopAll };
}

const fleet = ({ speech }: Contestant, port: number, clients: number): Fleet =>
  spawnFleet({ speech, port, path: PATH, clients });

/** KB of resident memory per connection: as they are opened, and after a collection of garbage on both sides of the subtraction. */
async function measure(contestant: Contestant): Promise<{ raw: number; collected: number }> {
  const server = await serve(contestant);
  try {
    const warm = fleet(contestant, server.port, WARM);
    await warm.open();
    await warm.close();
    await sleep(SETTLE_MS);
    await server.collect();
    const before = memoryOf(server.pid).now;
    const fleets = Array.from({ length: FLEETS }, () => fleet(contestant, server.port, CLIENTS / FLEETS));
    try {
      for (const one of fleets) await one.open();
      await sleep(SETTLE_MS);
      const raw = memoryOf(server.pid).now;
      await server.collect();
      const collected = memoryOf(server.pid).now;
      for (const one of fleets) {
        const { open } = await one.sample();
        if (open !== CLIENTS / FLEETS) throw new Error(`only ${open} connections are open`);
      }
      const each = (bytes: number): number => (bytes - before) / CLIENTS / 1024;
      return { raw: each(raw), collected: each(collected) };
    } finally {
      await Promise.all(fleets.map((one) => one.close()));
    }
  } finally {
    await server.stop();
  }
}

if (CLIENTS < WANTED)
  process.stdout.write(
    `only ${CLIENTS} connections: the limit of open files is ${openFilesLimit()} (ulimit -Hn)\n`,
  );
process.stdout.write(
  `node ${process.version}; KB of resident memory per connection, ${CLIENTS} idle connections\n`,
);
const rows: string[][] = [];
for (const contestant of CONTESTANTS) {
  const { raw, collected } = await measure(contestant);
  rows.push([
    contestant.name,
    raw.toFixed(1),
    collected.toFixed(1),
    contestant.wanted === undefined ? '' : `at most ${contestant.wanted}`,
  ]);
}
printTable(['', 'KB', 'without garbage', 'wanted'], rows);
