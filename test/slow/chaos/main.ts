/**
 * Clients of resumable streams while everything around them breaks: they are cut, gateways and services are killed, the broker is
 * stopped, killed and made to forget. What each client has seen is checked in the end. About five minutes for each broker.
 *
 * `npm run chaos [-- --broker redis|nats|both] [--clients 200] [--streams 20] [--events 100000] [--seconds 250]`
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createNode, createTickerProcess, type Node } from '../../support/cluster.js';
import { freePort } from '../../support/probe.js';
import { type ClockPace, clockPace } from '../../support/ticker.js';
import { createReport, numberOption, wordOption } from '../report.js';
import { type BrokerKind, startBroker } from './broker.js';
import { chaosStreams, gatherCrowd, probe } from './crowd.js';
import { runFaults } from './faults.js';
import { judge, type Tail } from './judge.js';

const CLIENTS = numberOption('clients', 200);
const STREAMS = numberOption('streams', 20);
const EVENTS = numberOption('events', 100_000);
const SECONDS = numberOption('seconds', 250);
const BROKER = wordOption('broker', ['redis', 'nats', 'both'], 'both');
/** After the last fault, for everybody to come back before the streams have ended. */
const CALM_SECONDS = Math.min(15, SECONDS / 6);
/** For everybody to be connected before the first event. */
const GATHER_MS = 8000;

const report = createReport();
const started = Date.now();
const say = (text: string): void => {
  process.stdout.write(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}\n`);
};

async function run(kind: BrokerKind): Promise<void> {
  const count = Math.ceil(EVENTS / STREAMS);
  const streams = chaosStreams(STREAMS);
  const broker = await startBroker(kind);
  const servicePort = await freePort();
  const flags = ['--upstream', `127.0.0.1:${servicePort}`, '--broker', broker.url, '--drain', '2s'];
  const nodes: readonly Node[] = await Promise.all([1, 2].map((n) => createNode(`gateway ${n}`, flags)));
  await Promise.all(nodes.map((node) => node.start()));
  const pace: ClockPace = { start: Date.now() + GATHER_MS, rate: count / SECONDS, count };
  const service = await createTickerProcess({ ...pace, padding: 100, port: servicePort });
  await service.start();
  const port = (): number => (nodes[Math.floor(Math.random() * nodes.length)] as Node).port;
  const crowd = gatherCrowd({ streams, clients: CLIENTS, port });
  const tails: Tail[] = [];
  try {
    say(`${CLIENTS} clients on ${STREAMS} streams of ${count} events, two gateways behind ${kind}`);
    await sleep(Math.max(0, pace.start - Date.now()));
    const missed = await runFaults({
      stage: { crowd, nodes, service, broker, lostTail: (from, to) => tails.push({ from, to }) },
      calmMs: Math.min(4000, (SECONDS * 1000) / 30),
      until: pace.start + (SECONDS - CALM_SECONDS) * 1000,
      say,
    });
    await sleep(Math.max(0, pace.start + SECONDS * 1000 - Date.now()));
    const behind = await crowd.untilAllSaw(count, 60_000);
    say(
      behind.length === 0
        ? 'every client has seen the last event'
        : `${behind.length} clients have not seen the last event`,
    );
    const left = Date.now();
    await crowd.leave();
    const histories = crowd.clients.map(({ history }) => history);
    say('resuming from cursors that somebody has seen');
    const probes = await probe({ streams, histories, count: CLIENTS, last: count, port });
    report.expect(
      missed.length === 0,
      `${kind}: there was time for every fault${missed.map((name) => `, but not for: ${name}`).join('')}`,
    );
    judge({
      kind,
      report,
      histories,
      probes,
      calls: service.calls,
      tails,
      pace: clockPace(pace),
      count,
      left,
    });
  } finally {
    await crowd.leave();
    await Promise.all(nodes.map((node) => node.stop()));
    await service.stop();
    await broker.stop();
  }
}

for (const kind of BROKER === 'both' ? (['redis', 'nats'] as const) : [BROKER]) await run(kind);
report.end();
