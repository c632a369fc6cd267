/** What the limits cost a call that reaches none of them, beside what the same would cost with rate-limiter-flexible in memory. */
import type { IncomingMessage } from 'node:http';
import { RateLimiterMemory } from 'rate-limiter-flexible';
import { DEFAULTS } from '../../gateway/config/schema.js';
import type { Config } from '../../gateway/config.js';
import type { Caller } from '../../gateway/doors/door.js';
import { createLimits } from '../../gateway/limits/limits.js';
import { type Call, chain, type Invoke, type Reply } from '../../src/call.js';
import { type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { observe } from '../../src/policy/observe.js';
import { Rates } from '../../src/policy/rates.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import { printTable } from './process.js';
import { costOf, takeTurns } from './turns.js';

const TURNS = { rounds: 15, calls: 50_000 };

const config = {
  ...DEFAULTS,
  limits: { ...DEFAULTS.limits, requestsPerSecond: 1_000_000, messagesPerSecond: 1_000_000 },
} as unknown as Config;
const limits = createLimits({ config, reached: () => {} });
const behind = createLimits({ config: { ...config, trustedHops: 1 }, reached: () => {} });

const method = {
  name: 'orders.v1.OrdersService/GetOrder',
  clientStreaming: false,
  serverStreaming: false,
  stream: STREAM_DEFAULTS,
} as unknown as Method;
const principals = Array.from(
  { length: 1000 },
  (_, n): Principal => ({ ...ANONYMOUS, subject: `user-${n}`, claims: { iss: 'https://id.example.com' } }),
);
const principal = (n: number): Principal => principals[n % principals.length] as Principal;
const signal = new AbortController().signal;
const calls = principals.map(
  (one): Call => ({
    id: 'r1',
    method,
    requests: () => new Uint8Array(),
    metadata: {},
    principal: one,
    peer: '192.0.2.7',
    signal,
    deadline: undefined,
  }),
);
const reply: Reply = { headers: {}, messages: new Uint8Array(1), trailers: () => ({}) };
const accepted = Promise.resolve(reply);
const innermost: Invoke = () => accepted;
const bare = chain([observe()], innermost);
const limited = chain([observe(limits.calls.observer), limits.calls.intercept], innermost);

const request = {
  socket: { remoteAddress: '192.0.2.7' },
  headers: { authorization: 'Bearer x', 'x-forwarded-for': '192.0.2.7' },
} as unknown as IncomingMessage;
const metadata = {};
/** As the reader of requests makes one. */
const identify = (): Caller => ({ id: 'r1', principal: principal(0), metadata, deadline: undefined });
const guarded = limits.identify(identify);
const guardedBehind = behind.identify(identify);

const rates = new Rates({ perSecond: 1_000_000 });
const peers = Array.from({ length: 1000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
const library = new RateLimiterMemory({ points: 1_000_000_000, duration: 1 });
const meter = limits.sockets.open({ ...identify(), peer: '192.0.2.7' });

const seen = await takeTurns(
  {
    'a call through observe': (n) => bare(calls[n % calls.length] as Call),
    'and with its limits': (n) => limited(calls[n % calls.length] as Call),
    'reading the caller': () => identify(),
    'with its address': () => guarded(request, undefined),
    'behind one proxy': () => guardedBehind(request, undefined),
    'a bucket of 1,000 callers': (n) => rates.take(peers[n % peers.length] as string),
    'a bucket of ever new callers': (n) => rates.take(`${n}:${Math.random()}`),
    'a WebSocket message': () => meter.take(),
    'rate-limiter-flexible': (n) => library.consume(peers[n % peers.length] as string),
  },
  TURNS,
);
meter.close();
const of = (name: string): number => costOf(seen, name);
process.stdout.write(
  `node ${process.version}; us of CPU each, the best of ${TURNS.rounds} rounds of ${TURNS.calls}\n`,
);
printTable(
  ['', 'us'],
  [...seen].map(([name, micros]) => [name, micros.toFixed(3)]),
);
const call = of('and with its limits') - of('a call through observe');
const identity = of('with its address') - of('reading the caller');
process.stdout.write(
  `the limits of a REST call in all: ${(call + identity).toFixed(2)} us (at most 1), rate-limiter-flexible alone ${of('rate-limiter-flexible').toFixed(2)} us\n`,
);
// A limiter of the library keeps timers.
process.exit(0);
