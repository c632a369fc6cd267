/**
 * One reader that has stopped reading among a thousand that do: the others do not notice, and what waits for it stays under its cap.
 * `npm run stalled [-- --clients 1000] [--seconds 15]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnFleet } from '../bench/fleet.js';
import { percentile } from '../bench/load.js';
import { printTable } from '../bench/process.js';
import { createMeasuredNode } from '../support/measured_node.js';
import { startTicker, tickerPath } from '../support/ticker.js';
import { createReport, numberOption } from './report.js';

const CLIENTS = numberOption('clients', 1000);
const SECONDS = numberOption('seconds', 15);
const RATE = 20;
const ROUNDS = 3;
/** Enough that the buffers of the kernel are full, and the reader's queue is used. */
const HISTORY = 8000;
const PADDING = 900;
/** What a reader may have waiting: the cap of a method that names none, and what one connection costs anyway. */
const CAP_MB = 1;
const CONNECTION_MB = 0.25;
/** What the memory in use of a busy process differs by from one look to the next. */
const NOISE_MB = 3;
const SLOWER_MOST = 1.2;
const MB = 1024 ** 2;

const report = createReport();
const ticker = await startTicker({ padding: PADDING });
const node = await createMeasuredNode('the gateway', ['--upstream', ticker.address]);
await node.start();
const READER = { speech: 'sse', port: node.port, path: tickerPath('Live', 'bench') } as const;
const fast = spawnFleet({ ...READER, clients: CLIENTS, latencies: true });
const first = spawnFleet({ ...READER, clients: 1 });
let pace: NodeJS.Timeout | undefined;

interface Window {
  readonly name: string;
  readonly p50: number;
  readonly p99: number;
  readonly usedMb: number;
}

async function look(name: string): Promise<Window> {
  await sleep(1000);
  await fast.sample();
  await sleep(SECONDS * 1000);
  const { latency, open, events } = await fast.sample();
  const due = CLIENTS * RATE * SECONDS;
  report.expect(
    open === CLIENTS && events > due * 0.9,
    `${name}: ${open} readers got ${events} of about ${due} events`,
  );
  // After the latencies: a collection of garbage holds everybody up.
  const { heapUsed, external } = await node.memory();
  return { name, ...latency, usedMb: (heapUsed + external) / MB };
}

/** The median of the windows. */
const middle = (windows: readonly Window[], of: 'p99' | 'usedMb'): number =>
  percentile(
    windows.map((window) => window[of]),
    0.5,
  );

try {
  await first.open();
  for (let sent = 0; sent < HISTORY; sent += 200) {
    ticker.publish('bench', 200);
    await sleep(20);
  }
  await fast.open();
  pace = setInterval(() => ticker.publish('bench', 1), 1000 / RATE);
  // What is compiled and allocated once belongs to neither.
  await sleep(SECONDS * 1000);
  // In turns, so that what the machine does besides is in both.
  const without: Window[] = [await look('without')];
  const during: Window[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const stalled = spawnFleet({ ...READER, clients: 1, stalled: 1, cursor: 'earliest' });
    try {
      await stalled.open();
      during.push(await look('with a stalled reader'));
    } finally {
      await stalled.close();
    }
    without.push(await look('without'));
  }
  const rows = [...without, ...during].map(({ name, p50, p99, usedMb }) => [
    name,
    p50.toFixed(2),
    p99.toFixed(2),
    usedMb.toFixed(1),
  ]);
  printTable([`${CLIENTS} readers`, 'p50 ms', 'p99 ms', 'MB in use'], rows);
  const slower = middle(during, 'p99') / middle(without, 'p99');
  process.stdout.write(
    `p99 of the others with a stalled reader: ${slower.toFixed(2)} x, wanted at most ${SLOWER_MOST} x\n`,
  );
  const grown = middle(during, 'usedMb') - middle(without, 'usedMb');
  report.expect(
    grown < CAP_MB + CONNECTION_MB + NOISE_MB,
    `with a stalled reader ${grown.toFixed(1)} MB more are in use, its cap is ${CAP_MB} MB`,
  );
} finally {
  clearInterval(pace);
  for (const fleet of [fast, first]) await fleet.close();
  await node.stop();
  ticker.kill();
}
report.end();
