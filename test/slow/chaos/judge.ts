/** The verdict on a chaos run: what had to hold of what the clients and the service have seen. */
import { check, type Findings, type Loss, type Property } from '../../e2e/properties/check.js';
import type { History } from '../../e2e/properties/history.js';
import { lossesOfCalls } from '../../e2e/properties/losses.js';
import type { CallSeen } from '../../support/cluster.js';
import type { Pace } from '../../support/ticker.js';
import type { Report } from '../report.js';

/** The broker forgot what it was told between these two times, in ms since the epoch. */
export interface Tail {
  readonly from: number;
  readonly to: number;
}

export interface Run {
  readonly kind: string;
  readonly report: Report;
  readonly histories: readonly History[];
  /** Of those who resumed afterwards from the cursors of others. */
  readonly probes: readonly History[];
  readonly calls: readonly CallSeen[];
  readonly tails: readonly Tail[];
  readonly pace: Pace;
  /** The number of the last event of each stream. */
  readonly count: number;
  /** When the clients left and the probes came, in ms since the epoch: those read the service's own history, each for itself. */
  readonly left: number;
}

const PROPERTIES: readonly (readonly [Property, string])[] = [
  ['hole', 'no event is missing without a reset'],
  ['unfinished', 'every client has seen the last event'],
  ['double', 'no event comes twice'],
  ['order', 'events come in order'],
  ['suffix', 'who resumes gets exactly the rest'],
  ['silence', 'who resumes is told whether it does'],
  ['bookmark', 'no cursor is ahead of or behind what was sent'],
  ['reset', 'resets come exactly where history was lost'],
  ['heartbeat', 'no open connection is silent'],
  ['foreign', 'nobody sees what belongs to another stream'],
  ['framing', 'connections are well-formed'],
];
/** How much of the history of a client is shown with a violation. */
const AROUND_MS = 25_000;
const AROUND_LINES = 60;
/** How many violations of each kind are shown. */
const SHOWN = 5;
/** How long two calls for one stream may run at a time: until the owner that was cut off knows that it is none. */
const OVERLAP_MS = 15_000;
/** What a service may have sent around the time of a copy, in ms. */
const SLACK_MS = 1500;

export function judge(run: Run): void {
  const { kind, report, histories, probes, count } = run;
  const losses = [...lossesOfCalls(run.calls), ...lossesOfTails(run)];
  // Probes do not have to reach the end: some begin there.
  const found = [
    check(histories, { losses, last: count, lateMs: 3000 }),
    check([...histories, ...probes], { losses, lateMs: 3000 }),
  ];
  const [clients, all] = found as [Findings, Findings];
  const resets = Object.entries(clients.resets).map(([reason, times]) => `${times} ${reason}`);
  process.stdout.write(
    `\n${kind}: ${clients.connections} connections of ${histories.length} clients, ${clients.delivered} events delivered, ` +
      `${clients.lost} lost, ${clients.doubled} doubled, ${clients.skipped} skipped by resets (${resets.join(', ') || 'none'})\n`,
  );
  for (const [property, meaning] of PROPERTIES) {
    const violations = [
      ...clients.violations,
      ...all.violations.filter(({ client }) => client.startsWith('probe')),
    ].filter((violation) => violation.property === property);
    report.expect(
      violations.length === 0,
      `${kind}: ${meaning}${violations.length === 0 ? '' : ` (${violations.length})`}`,
    );
    for (const { client, at, text } of violations.slice(0, SHOWN)) {
      process.stdout.write(`         ${timeOf(at)} client ${client}: ${text}\n`);
      const seen = [...histories, ...probes].find((history) => history.client === client);
      for (const line of around(seen, at)) process.stdout.write(`           ${line}\n`);
    }
  }
  const overlaps = overlapsOf(run.calls.filter(({ begun }) => begun < run.left));
  report.expect(overlaps.length === 0, `${kind}: one call of the service for each shared stream`);
  for (const text of overlaps.slice(0, SHOWN)) process.stdout.write(`         ${text}\n`);
}

function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11, 23);
}

/** What a client recorded before and behind a time, events in a row as one line. */
function around(history: History | undefined, at: number): string[] {
  const lines: string[] = [];
  let events = 0;
  for (const happening of history?.happenings ?? []) {
    if (happening.at < at - AROUND_MS || happening.at > at + AROUND_MS / 4) continue;
    const { at: when, ...rest } = happening;
    events = happening.kind === 'message' ? events + 1 : 0;
    if (events > 2) lines.pop();
    const text = JSON.stringify(rest, (key, value) => (key === 'padding' ? undefined : value));
    lines.push(`${timeOf(when)} ${text.slice(0, 300)}`);
  }
  return lines.slice(-AROUND_LINES);
}

/** What clients had seen and the broker has forgotten. */
function lossesOfTails({ tails, histories, pace }: Run): Loss[] {
  const streams = new Set(histories.map(({ stream }) => stream));
  return tails.flatMap(({ from, to }) =>
    [...streams].map(
      (stream): Loss => ({
        from: pace.due(stream, from - SLACK_MS),
        to: pace.due(stream, to + SLACK_MS),
        reasons: ['log_diverged', 'epoch_changed'],
        touches: (other) => other === stream,
      }),
    ),
  );
}

/** Calls of one shared stream that ran at the same time for too long. */
function overlapsOf(calls: readonly CallSeen[]): string[] {
  const shared = calls.filter(({ method }) => method === 'WatchLog' || method === 'WatchLive');
  return shared.flatMap((call, index) =>
    shared
      .slice(index + 1)
      .filter(
        ({ stream, begun, ended }) =>
          stream === call.stream && Math.min(ended, call.ended) - begun > OVERLAP_MS,
      )
      .map(({ begun }) => `${call.stream}: the call of ${call.begun} went on after that of ${begun}`),
  );
}
