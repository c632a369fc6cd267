/**
 * Streams, clients that come and go, and calls, for a quarter of an hour: what the gateway has in use in the end is what it had after a
 * third of the time. `npm run soak [-- --minutes 15] [--clients 100] [--broker none|redis]`
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
/** Streams that keep little: their logs are full, and memory flat, after 20 s. */
const KINDS: readonly Kind[] = ['Short', 'Private', 'Short', 'Node'];
const DOORS = [sse, jsonSocket, longPoll, protoSocket];
/** Between cuts of one client, on average. */
const CUT_EVERY_MS = 5000;
/** What memory in use may grow by: once, for what a process learns only after a while, and by the minute. */
const ALLOWED = { once: 4, perMinute: 0.3 } as const;
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
    if (minute >= MINUTES) return samples;
  }
}

try {
  const samples = await measure();
  const late = samples.filter(({ minute }) => minute >= MINUTES / 3);
  const used = slopeOf(late.map(({ minute, heapUsed, external }) => [minute, (heapUsed + external) / MB]));
  const resident = slopeOf(late.map(({ minute, rss }) => [minute, rss / MB]));
  const span = (MINUTES * 2) / 3;
  const allowed = ALLOWED.perMinute + ALLOWED.once / span;
  process.stdout.write(
    `slope of memory in use ${used.toFixed(2)} MB/min, of resident memory ${resident.toFixed(2)} MB/min\n`,
  );
  report.expect(
    used <= allowed,
    `memory in use grows by ${used.toFixed(2)} MB a minute, at most ${allowed.toFixed(2)} are allowed over ${span.toFixed(1)} min`,
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
