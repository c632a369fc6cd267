/**
 * A storm: 5,000 clients of one stream lose their connections at once, and all come back at the same instant, each behind the last event
 * that it saw. `npm run bench:storm [-- --quick]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnGateway } from '../support/command.js';
import { startTicker, TICKER_PROTO, tickerPath } from '../support/ticker.js';
import { type Speech, spawnFleet } from './fleet.js';
import { cpuSeconds, memoryOf, printTable } from './process.js';

const QUICK = process.argv.includes('--quick');
const CLIENTS = QUICK ? 200 : 5000;
/** Events that each of them has missed. */
const MISSED = 100;
const PADDING = 500;

async function storm(name: string, speech: Speech): Promise<string[]> {
  const ticker = await startTicker({ padding: PADDING });
  const gateway = await spawnGateway(['--proto', TICKER_PROTO, '--upstream', ticker.address]);
  const clients = spawnFleet({
    speech,
    port: gateway.port,
    path: tickerPath('Log', 'bench'),
    clients: CLIENTS,
    cursors: true,
  });
  try {
    await clients.open();
    ticker.publish('bench', 10);
    await sleep(QUICK ? 1000 : 3000);
    await clients.leave();
    ticker.publish('bench', MISSED);
    await sleep(500);
    await clients.sample();
    const before = cpuSeconds(gateway.pid);
    const { opened, caughtUp } = await clients.comeBack();
    const used = cpuSeconds(gateway.pid) - before;
    await sleep(1000);
    const { events } = await clients.sample();
    if (events !== CLIENTS * MISSED) throw new Error(`${events} events came, of ${CLIENTS * MISSED}`);
    if (ticker.calls.length !== 1) throw new Error(`the service was called ${ticker.calls.length} times`);
    return [
      name,
      opened.p50.toFixed(0),
      opened.p99.toFixed(0),
      caughtUp.p50.toFixed(0),
      caughtUp.p99.toFixed(0),
      ((used * 1e6) / CLIENTS).toFixed(0),
      (memoryOf(gateway.pid).peak / 1024 ** 2).toFixed(0),
    ];
  } finally {
    await clients.close();
    await gateway.stop();
    ticker.kill();
  }
}

process.stdout.write(
  `node ${process.version}; ${CLIENTS} clients come back at once, each has missed ${MISSED} events; one call of the service serves them all\n`,
);
const rows = [await storm('SSE', 'sse'), await storm('WebSocket, many calls a socket', 'frames')];
printTable(
  ['', 'open p50 ms', 'p99 ms', 'caught up p50 ms', 'p99 ms', 'CPU us a client', 'peak RSS MB'],
  rows,
);
