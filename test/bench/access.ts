/**
 * What it costs to know whether a caller may do something: `npm run bench:access`. What it costs to know who calls is in auth.ts.
 *
 * The decision with 10 and 10,000 permissions in the token over 10 and 1,000 methods, granted as such, by a wildcard and not at all; and a rule about a field.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import type { Call, Invoke, Reply } from '../../src/call.js';
import type { Method } from '../../src/method.js';
import { bindResources } from '../../src/policy/resource.js';
import { printTable } from './process.js';
import { bearer, decisions, methodOf } from './rights.js';
import { takeTurns } from './turns.js';

const TURNS = { rounds: 20, calls: 20_000 };

const reply: Reply = { headers: {}, messages: new Uint8Array(), trailers: () => ({}) };
const answered = Promise.resolve(reply);
const innermost: Invoke = () => answered;
const message = toBinary(StringValueSchema, create(StringValueSchema, { value: 'ann' }));
const signal = new AbortController().signal;
const callOf = (method: Method): Call => ({
  id: 'r1',
  method,
  requests: () => message,
  metadata: {},
  principal: bearer([]),
  signal,
  deadline: undefined,
});
const judge = bindResources()(innermost);
const boundCall = callOf(methodOf(0, [{ field: 'value', claim: 'sub', unless: ['any'] }]));
const freeCall = callOf(methodOf(1));

async function print(title: string, works: Parameters<typeof takeTurns>[0]): Promise<void> {
  const costs = await takeTurns(works, TURNS);
  printTable(
    [title, 'us'],
    [...costs].map(([name, each]) => [name, each.toFixed(3)]),
  );
}

process.stdout.write(
  `node ${process.version}; us of CPU each, the best of ${TURNS.rounds} rounds of ${TURNS.calls}\n`,
);
await print('the decision', decisions());
await print('a rule about a field of the request', {
  'a method without one': () => judge(freeCall),
  'a method with one': () => judge(boundCall),
});
