/** What has to hold of any broker whose server has lost something, however that came about. */
import { expect } from 'vitest';
import { type Appended, type Broker, LogConflict, type Logs, type Tail } from '../../src/broker/broker.js';
import { appendAll, entry, PLENTY, recorder, until } from './brokers.js';

/** A log that is lost as a whole begins another epoch. Resolves with what was appended then, and the follower that has heard of it. */
export async function losesLog(
  broker: Broker,
  lose: () => Promise<unknown>,
): Promise<{ readonly again: Appended; readonly heard: ReturnType<typeof recorder> }> {
  const logs = broker.logs('plenty', PLENTY);
  const heard = recorder();
  await logs.follow('a', heard);
  const [first] = await appendAll(logs, 'a', ['a', 'b', 'c']);
  const before = await logs.tail('a');
  await lose();
  expect(await logs.tail('a')).toEqual({ epoch: undefined, offset: 0, nonce: 0, first: 1 });
  const refused = await logs.append('a', [entry('d')], { expect: before }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(LogConflict);
  expect((refused as LogConflict).tail.epoch).toBeUndefined();
  const again = await logs.append('a', [entry('d')], { expect: (refused as LogConflict).tail });
  expect(again.epoch).not.toBe(first?.epoch);
  await until('the follower hears', () => heard.entries.length === 4);
  return { again, heard };
}

/** A log that has lost its tail, which ended with `lost`, gets another one with the same offsets: nonces and conflicts tell them apart. */
export async function divergesFrom(logs: Logs, lost: Tail): Promise<void> {
  await expect(logs.append('a', [entry('f')], { expect: lost })).rejects.toThrow(LogConflict);
  await appendAll(logs, 'a', ['D', 'E']);
  const { entries } = await logs.read('a', { after: lost.offset - 1, limit: 1 });
  expect(entries.map(({ offset }) => offset)).toEqual([lost.offset]);
  expect(entries[0]?.nonce).not.toBe(lost.nonce);
  await expect(logs.append('a', [entry('f')], { expect: lost })).rejects.toThrow(LogConflict);
}

/** Leases that the server has lost stay with their holder, but for the one that somebody else has taken meanwhile. */
export async function losesLeases(one: Broker, other: Broker, lose: () => Promise<unknown>): Promise<void> {
  const [kept, taken] = [await one.acquire('kept', 3000), await one.acquire('taken', 3000)];
  await lose();
  const theirs = await other.acquire('taken', 3000);
  expect(theirs).toBeDefined();
  await until('the loss is noticed', () => taken?.lost.aborted === true);
  await until('the other one is there again', async () => (await other.acquire('kept', 50)) === undefined);
  expect([kept?.lost.aborted, theirs?.lost.aborted]).toEqual([false, false]);
  await taken?.release();
  expect(await one.acquire('taken', 3000)).toBeUndefined();
}
