/**
 * Streams, and clients that come and go, for a quarter of an hour after a minute to warm up: what the gateway has in use in the end is what
 * it had in the beginning. `npm run soak [-- --minutes 15] [--clients 100] [--broker none|redis]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from '../e2e/properties/check.js';
import { createTickerProcess } from '../support/cluster.js';
import { createMeasuredNode, type Memory } from '../support/measured_node.js';
import { type Client, type Door, startClient } from '../support/resume/client.js';
import { longPoll } from '../support/resume/poll.js';
import { jsonSocket, protoSocket } from '../support/resume/socket.js';
import { sse } from '../support/resume/sse.js';
import { startRedis } from '../support/servers.js';
import { type Kind, tickerPath } from '../support/ticker.js';
import { createReport, numberOption, wordOption } from './report.js';
import { slopeOf } from './slope.js';

const MINUTES = numberOption('minutes', 15);
const CLIENTS = numberOption('clients', 100);
const BROKER = wordOption('broker', ['none', 'redis'], 'none');
const RATE = 10;
/** Streams that keep little: their logs are full, and memory flat, after a minute. */
const KINDS: readonly Kind[] = ['Short', 'Private', 'Short', 'Node'];
const DOORS = [sse, jsonSocket, longPoll, protoSocket];
/** Between cuts of one client, on average. */
const CUT_EVERY_MS = 5000;
/** Until every ring and log is full, and what is compiled and allocated once is there. */
const WARM_MINUTES = 1;
/** What memory in use may grow by, in MB: by the minute, and on the whole, since it rises and falls as rings are cut. */
const ALLOWED = { perMinute: 0.3, once: 12 } as const;
const MB = 1024 ** 2;

const report = createReport();
const redis = BROKER === 'redis' ? await startRedis() : undefined;
const service = await createTickerProcess({
  start: Date.now(),
  rate: RATE,
  count: Number.MAX_SAFE_INTEGER,
  padding: 200,
});
await service.start();
const flags = ['--upstream', service.address, ...(redis === undefined ? [] : ['--broker', redis.url])];
const node = await createMeasuredNode('the gateway', flags);
await node.start();

const clients: Client[] = Array.from({ length: CLIENTS }, (_, index) => {
  const kind = KINDS[index % KINDS.length] as Kind;
  const stream = `${kind.toLowerCase()}-${index % 8}`;
  const turn = DOORS[Math.floor(index / KINDS.length) % DOORS.length] as Door;
  // Each poll of a private stream is a call that is cancelled: a server of Node's closes a connection with too many of them.
  const door = kind === 'Private' && turn === longPoll ? sse : turn;
  return startClient({
    name: `${index} ${door.name}`,
    door,
    stream,
    path: tickerPath(kind, stream),
    port: () => node.port,
  });
});
const cuts = setInterval(() => {
  const client = clients[Math.floor(Math.random() * CLIENTS)] as Client;
  client.cut(Math.random() < 0.5);
}, CUT_EVERY_MS / CLIENTS);

/** Every sample is printed, so that a run that is broken off tells something too. */
async function measure(): Promise<(Memory & { readonly minute: number })[]> {
  const samples: (Memory & { readonly minute: number })[] = [];
  const start = performance.now();
  const step = Math.max(2000, MINUTES * 1000);
  for (;;) {
    await sleep(step);
    const minute = (performance.now() - start) / 60_000;
    const memory = await node.memory();
    samples.push({ ...memory, minute });
    const mb = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`.padStart(9);
    process.stdout.write(
      `${minute.toFixed(2).padStart(6)} min  in use ${mb(memory.heapUsed + memory.external)}  resident ${mb(memory.rss)}\n`,
    );
    if (minute >= WARM_MINUTES + MINUTES) return samples;
  }
}

try {
  const samples = await measure();
  const late = samples.filter(({ minute }) => minute >= WARM_MINUTES);
  const used = slopeOf(late.map(({ minute, heapUsed, external }) => [minute, (heapUsed + external) / MB]));
  const resident = slopeOf(late.map(({ minute, rss }) => [minute, rss / MB]));
  const allowed = ALLOWED.perMinute + ALLOWED.once / MINUTES;
  process.stdout.write(
    `slope of memory in use ${used.toFixed(2)} MB/min, of resident memory ${resident.toFixed(2)} MB/min\n`,
  );
  report.expect(
    used <= allowed,
    `memory in use grows by ${used.toFixed(2)} MB a minute, at most ${allowed.toFixed(2)} are allowed over ${MINUTES} min`,
  );
  clearInterval(cuts);
  await sleep(3000);
  for (const client of clients) client.leave();
  await Promise.all(clients.map(({ gone }) => gone));
  const { delivered, connections, lost, doubled, violations } = check(clients.map(({ history }) => history));
  for (const { client, property, text } of violations.slice(0, 10))
    process.stdout.write(`  client ${client}: ${property}: ${text}\n`);
  report.expect(
    violations.length === 0 && delivered > 0,
    `${delivered} events over ${connections} connections, ${lost} lost, ${doubled} doubled, ${violations.length} violations`,
  );
} finally {
  clearInterval(cuts);
  for (const client of clients) client.leave();
  await node.stop();
  await service.stop();
  await redis?.stop();
}
report.end();
