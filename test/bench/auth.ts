/**
 * What it costs to know who calls and whether they may: `npm run bench:auth`.
 *
 * First a REST call with a token that is known already, as the gateway has it: from the request with its headers over the count of bad tokens to the decision, with a
 * role of 10,000 permissions over 1,000 methods. A header is made anew for each call, as the parser of HTTP does, since a string that was used before is
 * cheaper; what that takes, and to make a call of it, is taken off. At most 2 us are left, or the exit code is 1. Then tokens that nobody has seen before, by algorithm; and the decision,
 * that has to be as fast with many permissions and methods as with few.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import jwt from 'jsonwebtoken';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAuth } from '../../gateway/auth/auth.js';
import { createTokenVerifier } from '../../gateway/auth/verifier.js';
import { DEFAULTS } from '../../gateway/config/schema.js';
import type { AuthConfig, Config } from '../../gateway/config.js';
import type { Caller } from '../../gateway/doors/door.js';
import { createLimits } from '../../gateway/limits/limits.js';
import { createMemoryBroker } from '../../src/broker/memory.js';
import type { Call, Invoke, Reply } from '../../src/call.js';
import type { Method } from '../../src/method.js';
import { authorize } from '../../src/policy/authorize.js';
import { createGrants } from '../../src/policy/grants.js';
import type { Principal } from '../../src/principal.js';
import { printTable } from './process.js';
import { decisionName, decisions, methodOf, permissionOf, range } from './rights.js';
import { costOf, takeTurns, type Work } from './turns.js';

const TURNS = { rounds: 20, calls: 20_000 };
/** Tokens that nobody has seen, in each round. */
const FRESH = 500;
const FRESH_ROUNDS = 5;
/** What a call with a known token may cost, in us. */
const MOST_US = 2;
/** How much more the decision may cost over 100 times as many methods with 1,000 times as many permissions: the memory that it touches is farther away. */
const MOST_GROWTH = 4;

type Signing = 'RS256' | 'ES256' | 'HS256';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const secret = 'a secret of at least 32 bytes, for HS256';
const pemOf = (key: KeyObject): string =>
  createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string;
const keys: Readonly<Record<Signing, KeyObject | string>> = { RS256: rsa, ES256: ec, HS256: secret };
const auth = {
  ...DEFAULTS.auth,
  keys: [
    { algorithm: 'RS256', key: pemOf(rsa) },
    { algorithm: 'HS256', key: secret },
  ],
  issuers: [{ issuer: 'ec', publicKeys: [pemOf(ec)], algorithms: ['ES256'], audiences: [], required: {} }],
} as unknown as AuthConfig;
const config = { ...DEFAULTS, auth } as unknown as Config;

const claims = { roles: ['clerk'], permissions: range(20).map((index) => `own${index}:read`) };
function signed(algorithm: Signing, count: number): string[] {
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const issuer = algorithm === 'ES256' ? { iss: 'ec' } : {};
  return range(count).map((index) =>
    jwt.sign({ ...claims, ...issuer, sub: `u${index}`, exp }, keys[algorithm], { algorithm }),
  );
}

const limits = createLimits({ config, reached: () => {} });
const { authenticate, close } = await createAuth({
  config,
  broker: createMemoryBroker(),
  log: pino({ level: 'silent' }),
  registry: new Registry(),
  codec: () => {
    throw new Error('nothing is printed here');
  },
  mayTry: limits.mayTry,
});
const grants = createGrants({ roles: { clerk: range(10_000).map(permissionOf) } });
const answered = Promise.resolve<Reply>({ headers: {}, messages: new Uint8Array(), trailers: () => ({}) });
const innermost: Invoke = () => answered;
const invoke = authorize({ grants: () => grants })(innermost);
const methods = range(1_000).map((index) => methodOf(index));
const signal = new AbortController().signal;
const requests = () => new Uint8Array();
const metadata = {};

/** Of 100 clients, whose connections stay. */
const tokens = signed('RS256', 100);
const sockets = range(100).map((index) => ({ remoteAddress: `192.0.2.${index}` }));
const bytes = tokens.map((token) => Buffer.from(`Bearer ${token}`, 'latin1'));
/** With a header that is a string of its own, whose hash nobody knows yet. */
const arrived = (index: number) =>
  ({
    socket: sockets[index % 100],
    headers: { authorization: (bytes[index % 100] as Buffer).toString('latin1') },
  }) as unknown as IncomingMessage;
/** As the reader of requests makes one, without what it reads besides. */
const identify = (request: IncomingMessage): Caller => ({
  id: 'r1',
  principal: authenticate(request, undefined) as Principal,
  metadata,
  deadline: undefined,
});
const guarded = limits.identify(identify);
const callOf = (index: number, { principal, peer }: Caller): Call => ({
  id: 'r1',
  method: methods[index % 1_000] as Method,
  requests,
  metadata,
  principal,
  peer,
  signal,
  deadline: undefined,
});
const callers = range(100).map((index) => identify(arrived(index)));

const HEADER = 'a request as it arrives';
const CALL = 'a call as it is made of it';
const WHO = 'who calls';
const WHERE = 'who calls, and from where';
const MAY = 'may they call it';
const ALL = 'all of it';
const known = await takeTurns(
  {
    [HEADER]: arrived,
    [CALL]: (index) => innermost(callOf(index, callers[index % 100] as Caller)),
    [WHO]: (index) => authenticate(arrived(index), undefined),
    [WHERE]: (index) => guarded(arrived(index), undefined),
    [MAY]: (index) => invoke(callOf(index, callers[index % 100] as Caller)),
    [ALL]: (index) => invoke(callOf(index, guarded(arrived(index), undefined) as Caller)),
  },
  TURNS,
);
close();
const header = costOf(known, HEADER);
const call = costOf(known, CALL);
const costs = [
  [WHO, costOf(known, WHO) - header],
  [WHERE, costOf(known, WHERE) - header],
  [MAY, costOf(known, MAY) - call],
  [ALL, costOf(known, ALL) - header - call],
] as const;
const all = costs[3][1];
process.stdout.write(`node ${process.version}; us of CPU each, the best of ${TURNS.rounds} rounds\n\n`);
printTable(
  [`a token of ${tokens[0]?.length} characters that is known`, 'us'],
  costs.map(([name, each]) => [name, each.toFixed(2)]),
);

/** Each time another token, and a verifier that has seen none when the tokens begin anew. */
function verifying(algorithm: Signing): Work {
  const list = signed(algorithm, FRESH);
  let verify = createTokenVerifier(auth);
  return (index) => {
    if (index % FRESH === 0) verify = createTokenVerifier(auth);
    return verify(list[index % FRESH] as string);
  };
}
const fresh = await takeTurns(
  { RS256: verifying('RS256'), ES256: verifying('ES256'), HS256: verifying('HS256') },
  { rounds: FRESH_ROUNDS, calls: FRESH },
);
process.stdout.write('\n');
printTable(
  ['a new token', 'us', 'of a known one'],
  [...fresh].map(([name, each]) => [name, each.toFixed(0), `${(each / all).toFixed(0)} x`]),
);

const decided = await takeTurns(decisions(), TURNS);
const growth = ['granted', 'by a wildcard', 'refused'].map((how) => ({
  how,
  few: costOf(decided, decisionName(10, 10, how)),
  many: costOf(decided, decisionName(1_000, 10_000, how)),
}));
process.stdout.write('\n');
printTable(
  ['the decision', '10 permissions, 10 methods', '10,000 permissions, 1,000 methods'],
  growth.map(({ how, few, many }) => [
    how,
    few.toFixed(3),
    `${many.toFixed(3)} (${(many / few).toFixed(1)} x)`,
  ]),
);

const isFlat = growth.every(({ few, many }) => many / few <= MOST_GROWTH);
process.stdout.write(
  `\na call with a known token: ${all.toFixed(2)} us (at most ${MOST_US}); the decision ${isFlat ? 'is' : 'IS NOT'} flat\n`,
);
process.exitCode = all <= MOST_US && isFlat ? 0 : 1;
