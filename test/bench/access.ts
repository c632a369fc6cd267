/**
 * What it costs to know who calls and whether they may: `npm run bench:access`.
 *
 * The decision with 10 and 10,000 permissions in the token over 10 and 1,000 methods, granted as such, by a wildcard and not at all; then a token that
 * is known already and the whole decision together, as a REST call pays it (at most 2 us), a new RS256 token, and a rule about a field. Tables take turns, and
 * the best of many rounds counts, so that a busy machine spoils none alone.
 */
import { generateKeyPairSync } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { FieldOptionsSchema, StringValueSchema } from '@bufbuild/protobuf/wkt';
import jwt from 'jsonwebtoken';
import { createTokenVerifier } from '../../gateway/auth/verifier.js';
import type { AuthConfig } from '../../gateway/config.js';
import type { Call, Invoke, Reply } from '../../src/call.js';
import { type Access, type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { allowed, authorize } from '../../src/policy/authorize.js';
import { createGrants } from '../../src/policy/grants.js';
import { bindResources } from '../../src/policy/resource.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';

const ROUNDS = 30;
const CALLS = 20_000;

/** The best round, in microseconds a call. Everything takes its turn in each round. */
function measure(runs: Readonly<Record<string, (index: number) => unknown>>): Record<string, number> {
  const best: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of Object.entries(runs)) {
      const start = process.hrtime.bigint();
      for (let index = 0; index < CALLS; index++) run(index);
      const each = Number(process.hrtime.bigint() - start) / CALLS / 1000;
      best[name] = Math.min(best[name] ?? Number.POSITIVE_INFINITY, each);
    }
  }
  return best;
}

function print(title: string, results: Readonly<Record<string, number>>): void {
  console.log(`\n${title}`);
  const width = Math.max(...Object.keys(results).map(({ length }) => length));
  for (const [name, each] of Object.entries(results))
    console.log(`  ${name.padEnd(width)}  ${each.toFixed(3)} us`);
}

const permissionOf = (index: number) => `service${index % 100}:resource${index}:read`;

function methodOf(index: number, bind?: Access['bind']): Method {
  const name = `bench.v1.Service${index % 100}/Get${index}`;
  return {
    name,
    service: name.split('/')[0] as string,
    path: `/${name}`,
    clientStreaming: false,
    serverStreaming: false,
    input: StringValueSchema,
    output: FieldOptionsSchema,
    routes: [],
    access: { public: false, permissions: [permissionOf(index)], roles: [], ...(bind && { bind }) },
    stream: STREAM_DEFAULTS,
    upstream: 'u1',
    source: { file: 'bench.proto' },
  };
}

function bearer(permissions: Iterable<string>): Principal {
  return { ...ANONYMOUS, subject: 'ann', permissions: new Set(permissions), claims: { sub: 'ann' } };
}

const range = (length: number) => Array.from({ length }, (_, index) => index);
const filler = (length: number) => range(length).map((index) => `other${index}:x:y`);

const decisions: Record<string, (index: number) => unknown> = {};
for (const methods of [10, 1_000]) {
  const list = range(methods).map((index) => methodOf(index));
  const needed = list.map((_, index) => permissionOf(index));
  for (const held of [10, 10_000]) {
    const cases = {
      granted: bearer([...needed, ...filler(Math.max(0, held - methods))]),
      'by a wildcard': bearer([...range(100).map((index) => `service${index}:*`), ...filler(held)]),
      refused: bearer(filler(held)),
    };
    for (const [how, principal] of Object.entries(cases))
      decisions[`${methods} methods, ${held} permissions, ${how}`] = (index) =>
        allowed((list[index % methods] as Method).access, principal);
  }
}
print('the decision', measure(decisions));

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const claims = { sub: 'ann', roles: ['clerk'], permissions: range(20).map((index) => `own${index}:read`) };
const exp = Math.floor(Date.now() / 1000) + 3600;
const tokens = range(1_000).map((index) =>
  jwt.sign({ ...claims, exp, n: index }, privateKey, { algorithm: 'RS256' }),
);
const auth: AuthConfig = {
  keys: [{ algorithm: 'RS256', key: publicKey.export({ type: 'spki', format: 'pem' }) as string }],
  issuers: [],
  sources: ['authorization'],
  ticketTtlMs: 30_000,
  ticketsAtOnce: 1,
  revocationTtlMs: 60_000,
  leewaySeconds: 30,
  roles: {},
};
const verifier = createTokenVerifier(auth);
/** Keys that are there answer at once. */
const verify = (token: string): Principal => verifier(token) as Principal;
const principals = tokens.slice(0, 100).map((token) => verify(token));
const grants = createGrants({ roles: { clerk: range(10_000).map(permissionOf) } });
const reply: Reply = { headers: {}, messages: new Uint8Array(), trailers: () => ({}) };
const answered = Promise.resolve(reply);
const innermost: Invoke = () => answered;
const invoke = authorize({ grants: () => grants })(innermost);
const methods = range(1_000).map((index) => methodOf(index));
const message = toBinary(StringValueSchema, create(StringValueSchema, { value: 'ann' }));
const callOf = (method: Method, principal: Principal): Call => ({
  id: 'r1',
  method,
  requests: () => message,
  metadata: {},
  principal,
  signal: NEVER,
  deadline: undefined,
});
const NEVER = new AbortController().signal;
/** A header of a request is a string of its own, whose hash nobody knows yet. */
const arrived = (token: string) => Buffer.from(token, 'latin1').toString('latin1');

print(
  'a call, with a role of 10,000 permissions and 1,000 methods (a token that is known: at most 2 us in all)',
  measure({
    'a header as it arrives (to be taken off)': (index) => arrived(tokens[index % 100] as string),
    'authorisation alone': (index) =>
      invoke(callOf(methods[index % 1_000] as Method, principals[index % 100] as Principal)),
    'authentication, token known': (index) => verify(arrived(tokens[index % 100] as string)),
    'authentication and authorisation, token known': (index) =>
      invoke(callOf(methods[index % 1_000] as Method, verify(arrived(tokens[index % 100] as string)))),
  }),
);

const bound = methodOf(0, [{ field: 'value', claim: 'sub', unless: ['any'] }]);
const judge = bindResources()(innermost);
const ann = bearer([]);
const boundCall = callOf(bound, ann);
const free = methodOf(1);
const freeCall = callOf(free, ann);
print(
  'a rule about a field of the request',
  measure({ 'a method without one': () => judge(freeCall), 'a method with one': () => judge(boundCall) }),
);

const fresh = createTokenVerifier(auth);
const start = process.hrtime.bigint();
for (const token of tokens) fresh(token);
const each = Number(process.hrtime.bigint() - start) / tokens.length / 1000;
print('a new token', { RS256: each });
