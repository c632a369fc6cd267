/** What the logs of a memory broker may take together. */
import { expect, test } from 'vitest';
import type { Logs } from '../src/broker/broker.js';
import { createMemoryBroker } from '../src/broker/memory.js';

const MIB = 1024 * 1024;
const RETENTION = { entries: 1000, ageMs: 3_600_000, bytes: 64 * MIB };

function rig(logBytes: number) {
  const broker = createMemoryBroker({ logBytes });
  return { broker, logs: broker.logs('test', RETENTION) };
}

async function fill(logs: Logs, name: string, entries: number, bytes: number): Promise<void> {
  for (let n = 1; n <= entries; n++) await logs.append(name, [{ nonce: n, data: new Uint8Array(bytes) }]);
}

async function kept(logs: Logs, name: string): Promise<number> {
  const { offset, first } = await logs.tail(name);
  return offset - first + 1;
}

test('the log that was written to the longest ago loses its oldest entries first', async () => {
  const { broker, logs } = rig(MIB);
  await fill(logs, 'old', 8, 64 * 1024);
  await fill(logs, 'middle', 4, 64 * 1024);
  await fill(logs, 'new', 6, 64 * 1024);
  // Fifteen of 64 KiB, and what holds them, are the most that 1 MiB takes.
  expect(await kept(logs, 'old')).toBe(5);
  expect(await kept(logs, 'middle')).toBe(4);
  expect(await kept(logs, 'new')).toBe(6);
  const page = await logs.read('old', { after: 0, limit: 10 });
  expect(page.entries.map(({ offset }) => offset)).toEqual([4, 5, 6, 7, 8]);
  await broker.close();
});

test('writing makes a log young again', async () => {
  const { broker, logs } = rig(MIB);
  await fill(logs, 'a', 7, 64 * 1024);
  await fill(logs, 'b', 7, 64 * 1024);
  await fill(logs, 'a', 3, 64 * 1024);
  expect([await kept(logs, 'a'), await kept(logs, 'b')]).toEqual([10, 5]);
  await broker.close();
});

test('small entries count with what holds them', async () => {
  const { broker, logs } = rig(MIB);
  for (let stream = 0; stream < 20; stream++) await fill(logs, `s${stream}`, 500, 1);
  let all = 0;
  for (let stream = 0; stream < 20; stream++) all += await kept(logs, `s${stream}`);
  expect(all).toBeGreaterThan(4000);
  expect(all).toBeLessThan(6000);
  await broker.close();
});

test('the newest entry stays, however large, and a reader is told what is gone', async () => {
  const { broker, logs } = rig(MIB);
  await fill(logs, 'one', 1, 2 * MIB);
  await fill(logs, 'other', 2, 2 * MIB);
  expect([await kept(logs, 'one'), await kept(logs, 'other')]).toEqual([1, 1]);
  const { entries, tail } = await logs.read('other', { after: 0, limit: 10 });
  expect(entries.map(({ offset, previous }) => ({ offset, previous }))).toEqual([{ offset: 2, previous: 1 }]);
  expect(tail.first).toBe(2);
  await broker.close();
});

test('what has aged is not counted any more', async () => {
  const broker = createMemoryBroker({ logBytes: MIB });
  const logs = broker.logs('test', { ...RETENTION, ageMs: 100 });
  await fill(logs, 'short', 15, 64 * 1024);
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(await kept(logs, 'short')).toBe(0);
  const others = broker.logs('others', RETENTION);
  await fill(others, 'long', 15, 64 * 1024);
  expect(await kept(others, 'long')).toBe(15);
  await broker.close();
});
