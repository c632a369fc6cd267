/** The flags of how much and how long. */
import { DEFAULTS } from './schema.js';
import type { Setting } from './settings.js';
import { printDuration, printSize } from './units.js';

const { limits, timeouts } = DEFAULTS;

type Limit = Exclude<keyof typeof limits, 'shared'>;
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
  sizeLimit('url-limit', 'urlBytes', 'largest path with its query; 0 is any'),
  sizeLimit(
    'body-rate',
    'bodyBytesPerSecond',
    'a client that sends a body more slowly, for longer than --body-timeout, gets 408; 0 is any',
  ),
  countLimit('connections', 'connections', 'connections open at once; 0 is any number, here and below'),
  countLimit('connections-per-address', 'connectionsPerAddress', 'of one address, or one IPv6 /64'),
  countLimit('connections-per-principal', 'connectionsPerPrincipal', 'WebSockets of one token subject'),
  countLimit('handshakes', 'handshakesPerSecond', 'WebSocket handshakes a second'),
  countLimit('handshakes-per-address', 'handshakesPerAddress', 'the same from one address'),
  countLimit(
    'requests',
    'requestsPerSecond',
    'calls a second of one token subject, and of one address without a token',
  ),
  countLimit('messages', 'messagesPerSecond', 'WebSocket messages a second of the same'),
  countLimit('bad-tokens', 'badTokensPerSecond', 'refused tokens a second of one address'),
  countLimit(
    'streams-per-principal',
    'streamsPerPrincipal',
    'streams open at once of one token subject, and of one address without a token',
  ),
  countLimit('calls-per-upstream', 'callsPerUpstream', 'calls that run at once on one upstream'),
  {
    flag: 'shared-limits',
    path: ['limits', 'shared'],
    env: ['TIDEGATE_SHARED_LIMITS'],
    help: 'nodes that share a Redis broker count what is done a second together',
    default: 'on',
  },
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
  timeout('headers-timeout', 'headersMs', 'for the head of a request; 0 is for ever'),
  timeout('keep-alive', 'keepAliveMs', 'for which a connection may wait for its next request; 0 is for ever'),
  timeout('write-timeout', 'writeMs', 'for which a client may take nothing of its answer; 0 is for ever'),
  timeout('idle-timeout', 'idleMs', 'for which a multiplexed WebSocket may have no call; 0 is for ever'),
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
