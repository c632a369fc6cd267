/**
 * A gateway with thousands of streams is asked to stop: at no instant are more than a few of its clients on their way to the other gateway,
 * and none of them misses an event. `npm run drain [-- --clients 5000] [--seconds 10] [--percent 5]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from '../e2e/properties/check.js';
import { lossesOfCalls } from '../e2e/properties/losses.js';
import { createNode, createTickerProcess, type Node } from '../support/cluster.js';
import { type Client, startClient } from '../support/resume/client.js';
import { jsonSocket } from '../support/resume/socket.js';
import { sse } from '../support/resume/sse.js';
import { startRedis } from '../support/servers.js';
import { type Kind, tickerPath } from '../support/ticker.js';
import { createReport, numberOption } from './report.js';

const CLIENTS = numberOption('clients', 5000);
const SECONDS = numberOption('seconds', 10);
const STREAMS = 20;
/** Of all clients, at any instant. */
const PERCENT = numberOption('percent', 5);
const OPENING = 200;
const LOOK_MS = 20;

const report = createReport();
const redis = await startRedis();
const service = await createTickerProcess({
  start: Date.now(),
  rate: 1,
  count: Number.MAX_SAFE_INTEGER,
  padding: 200,
});
await service.start();
const flags = ['--upstream', service.address, '--broker', redis.url, '--drain', `${SECONDS}s`];
const [from, to] = (await Promise.all(
  ['the old gateway', 'the new gateway'].map((name) => createNode(name, flags)),
)) as [Node, Node];
await Promise.all([from.start(), to.start()]);
// The other one serves clients already, as any node of a cluster does: this many come from there, cut off.
const BEFORE = Math.floor(CLIENTS / 5);
let target = to;
const clients: Client[] = [];

const away = (): number => clients.filter((client) => !client.connected()).length;

async function until(condition: () => boolean, withinMs: number): Promise<boolean> {
  const limit = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > limit) return false;
    await sleep(20);
  }
  return true;
}

/**
 * The largest number of clients that were away at a look, and when, until the process has gone. `lateMs`: how much longer than it was meant
 * to be the longest pause between two looks was; the clients stood still as long.
 */
async function watchDrain(): Promise<{ most: number; mostAtMs: number; lateMs: number; tookMs: number }> {
  let [most, mostAtMs, lateMs] = [0, 0, 0];
  const start = performance.now();
  // A balancer sends nobody to a gateway that is not ready.
  target = to;
  let gone = false;
  const stopped = from.stop().then(() => {
    gone = true;
  });
  while (!gone) {
    const now = away();
    if (now > most) [most, mostAtMs] = [now, performance.now() - start];
    const slept = performance.now();
    await sleep(LOOK_MS);
    lateMs = Math.max(lateMs, performance.now() - slept - LOOK_MS);
  }
  await stopped;
  return { most, mostAtMs, lateMs, tookMs: performance.now() - start };
}

try {
  for (let index = 0; index < CLIENTS; index++) {
    const kind: Kind = index % 2 === 0 ? 'Log' : 'Live';
    const stream = `${kind.toLowerCase()}-${index % STREAMS}`;
    const door = index % 4 < 2 ? sse : jsonSocket;
    const path = tickerPath(kind, stream);
    clients.push(startClient({ name: `${index} ${door.name}`, door, stream, path, port: () => target.port }));
    if (index % OPENING === 0) await until(() => away() < OPENING, 20_000);
    if (index === BEFORE) {
      await until(() => away() === 0, 20_000);
      target = from;
      for (const client of clients) client.cut(false);
    }
  }
  report.expect(await until(() => away() === 0, 60_000), `${CLIENTS} clients are connected`);
  await sleep(3000);
  const { most, mostAtMs, lateMs, tookMs } = await watchDrain();
  const share = most / CLIENTS;
  process.stdout.write(
    `drained in ${(tookMs / 1000).toFixed(1)} s; at most ${most} clients (${(share * 100).toFixed(1)} %) were away at a time, ` +
      `after ${(mostAtMs / 1000).toFixed(1)} s; the clients' own process stood still for up to ${lateMs.toFixed(0)} ms\n`,
  );
  report.expect(share * 100 <= PERCENT, `at no instant were more than ${PERCENT} % of the clients away`);
  report.expect(tookMs <= (SECONDS + 3) * 1000, `the old gateway was gone after ${SECONDS} s`);
  report.expect(await until(() => away() === 0, 30_000), 'everybody is back');
  await sleep(5000);
  for (const client of clients) client.leave();
  await Promise.all(clients.map(({ gone }) => gone));
  // A stream whose call the old gateway had, and whose service keeps no history, begins anew.
  const losses = lossesOfCalls(service.calls);
  const findings = check(
    clients.map(({ history }) => history),
    { losses },
  );
  for (const { client, property, text } of findings.violations.slice(0, 10))
    process.stdout.write(`  client ${client}: ${property}: ${text}\n`);
  const { delivered, lost, doubled, violations } = findings;
  report.expect(
    violations.length === 0 && delivered > CLIENTS,
    `${delivered} events delivered, ${lost} lost, ${doubled} doubled, ${violations.length} violations`,
  );
} finally {
  for (const client of clients) client.leave();
  await Promise.all([from.stop(), to.stop()]);
  await service.stop();
  await redis.stop();
}
report.end();
