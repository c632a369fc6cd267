/** The flags of how much and how long. */
import { DEFAULTS } from './schema.js';
import type { Setting } from './settings.js';
import { printDuration, printSize } from './units.js';

const { limits, timeouts } = DEFAULTS;

type Limit = keyof typeof limits;
type Timeout = keyof typeof timeouts;

const sizeLimit = (flag: string, name: Limit, help: string): Setting => ({
  flag,
  value: 'SIZE',
  path: ['limits', name],
  env: [variable(flag)],
  help,
  default: printSize(limits[name]),
});

const countLimit = (flag: string, name: Limit, help: string): Setting => ({
  ...sizeLimit(flag, name, help),
  value: 'COUNT',
  default: String(limits[name]),
});

const timeout = (flag: string, name: Timeout, help: string): Setting => ({
  flag,
  value: 'DURATION',
  path: ['timeouts', name],
  env: [variable(flag)],
  help,
  default: printDuration(timeouts[name]),
});

export const LIMITS: readonly Setting[] = [
  sizeLimit('body-limit', 'bodyBytes', 'largest request body'),
  sizeLimit('frame-limit', 'frameBytes', 'largest WebSocket message'),
  sizeLimit('header-limit', 'headerBytes', 'largest header block and metadata'),
  sizeLimit('reply-limit', 'replyBytes', 'largest message from a service'),
  countLimit('streams-per-socket', 'streamsPerSocket', 'calls open at once on one WebSocket'),
  countLimit('queued-messages', 'queuedMessages', 'messages of one WebSocket call that wait for the service'),
  timeout('timeout', 'unaryMs', 'deadline of calls whose client names none; 0 is none; streams have none'),
  timeout('max-timeout', 'maxMs', 'longest deadline that a client may ask for; 0 is any'),
  timeout('accept-after', 'acceptMs', 'a stream whose service is silent this long counts as accepted'),
  timeout('heartbeat', 'heartbeatMs', 'between heartbeats on a quiet stream'),
  timeout('hello-timeout', 'helloMs', 'for the first frame on a multiplexed WebSocket'),
  timeout(
    'body-timeout',
    'bodyMs',
    'a client that sends nothing for this long in the middle of a body gets 408; 0 is never',
  ),
  timeout('drain', 'drainMs', 'between SIGTERM and the end of calls that still run'),
  timeout(
    'start-timeout',
    'startMs',
    'for services that cannot tell their contract yet when the gateway starts',
  ),
];

function variable(flag: string): string {
  return `TIDEGATE_${flag.toUpperCase().replaceAll('-', '_')}`;
}
