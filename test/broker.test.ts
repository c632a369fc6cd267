/** What every broker does: one list of behaviours, held against memory, Redis and NATS as real servers. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Broker, BrokerError, LogConflict, type Logs } from '../src/broker/broker.js';
import { appendAll, type Cluster, entry, KINDS, PLENTY, recorder, text, until } from './support/brokers.js';

const ABC = ['a', 'b', 'c'];
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const { kind, missing } of KINDS) {
  if (missing !== undefined) console.warn(`the ${kind} broker is not tested: install ${missing}`);
}

describe.each(KINDS.filter(({ missing }) => missing === undefined))('$kind', ({ kind, start }) => {
  let cluster: Cluster;
  let one: Broker;
  let other: Broker;
  /** Of two nodes. */
  let logs: Logs;
  let theirs: Logs;
  let name: string;

  beforeAll(async () => {
    cluster = await start();
    [one, other] = cluster.nodes;
    logs = one.logs('plenty', PLENTY);
    theirs = other.logs('plenty', PLENTY);
    return () => cluster.close();
  });

  const fresh = (): string => {
    name = `log ${randomUUID()}`;
    return name;
  };

  describe('a log', () => {
    test('that was never appended to has no epoch, and its first append begins one', async () => {
      fresh();
      expect(await logs.tail(name)).toEqual({ epoch: undefined, offset: 0, nonce: 0, first: 1 });
      expect(await logs.read(name, { after: 0, limit: 10 })).toEqual({
        entries: [],
        tail: { epoch: undefined, offset: 0, nonce: 0, first: 1 },
      });
      const first = entry('a');
      const { epoch, positions, duplicate } = await logs.append(name, [first]);
      expect(epoch).toMatch(/^[A-Za-z0-9]{8,16}$/);
      expect(duplicate).toBe(false);
      expect(positions).toEqual([{ offset: expect.any(Number), nonce: first.nonce }]);
      const offset = positions[0]?.offset ?? 0;
      expect(offset).toBeGreaterThanOrEqual(1);
      expect(await theirs.tail(name)).toEqual({ epoch, offset, nonce: first.nonce, first: offset });
    });

    test('is read in order, a page at a time, by every node', async () => {
      fresh();
      const before = Date.now();
      const made = [entry('a'), entry('b'), entry('c'), entry('d'), entry('e')];
      await logs.append(name, made.slice(0, 2));
      await theirs.append(name, made.slice(2));
      const all = await theirs.read(name, { after: 0, limit: 100 });
      expect(all.entries.map(text)).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(all.entries.map(({ nonce }) => nonce)).toEqual(made.map(({ nonce }) => nonce));
      expect(all.tail).toMatchObject({ offset: all.entries[4]?.offset, first: all.entries[0]?.offset });
      for (const [index, { offset, at }] of all.entries.entries()) {
        expect(Number.isSafeInteger(offset)).toBe(true);
        if (index > 0) expect(offset).toBeGreaterThan(all.entries[index - 1]?.offset ?? 0);
        expect(at).toBeGreaterThan(before - 5000);
        expect(at).toBeLessThan(Date.now() + 5000);
      }
      const previous = all.entries.slice(1).map(({ previous }) => previous);
      expect(previous).toEqual(all.entries.slice(0, 4).map(({ offset }) => offset));
      expect(all.entries[0]?.previous).toBe(0);

      const read: string[] = [];
      for (let after = 0; ; ) {
        const { entries } = await logs.read(name, { after, limit: 2 });
        if (entries.length === 0) break;
        read.push(entries.map(text).join(''));
        after = entries.at(-1)?.offset ?? 0;
      }
      expect(read).toEqual(['ab', 'cd', 'e']);
    });

    test('is read backwards, before an offset or from its end', async () => {
      fresh();
      await appendAll(logs, name, ABC);
      await logs.append(name, [entry('d'), entry('e')]);
      const newest = await theirs.read(name, { after: 0, limit: 2, reverse: true });
      expect(newest.entries.map(text)).toEqual(['e', 'd']);
      const older = await theirs.read(name, {
        after: newest.entries[1]?.offset ?? 0,
        limit: 2,
        reverse: true,
      });
      expect(older.entries.map(text)).toEqual(['c', 'b']);
      const oldest = await theirs.read(name, {
        after: older.entries[1]?.offset ?? 0,
        limit: 9,
        reverse: true,
      });
      expect(oldest.entries.map(text)).toEqual(['a']);
      const beyond = await theirs.read(name, {
        after: oldest.entries[0]?.offset ?? 0,
        limit: 9,
        reverse: true,
      });
      expect(beyond.entries).toEqual([]);
      expect(beyond.tail).toEqual(await logs.tail(name));
      expect([newest.entries[0], newest.entries[1]?.previous]).toEqual([
        { ...newest.entries[0], previous: newest.entries[1]?.offset },
        older.entries[0]?.offset,
      ]);
    });

    test('is read since a time', async () => {
      fresh();
      await appendAll(logs, name, ['a', 'b']);
      await wait(30);
      await appendAll(logs, name, ['c', 'd']);
      const { entries } = await logs.read(name, { after: 0, limit: 10 });
      const since = entries[2]?.at ?? 0;
      expect((await logs.read(name, { after: 0, limit: 10, since })).entries.map(text)).toEqual(['c', 'd']);
      expect((await logs.read(name, { after: 0, limit: 1, since })).entries.map(text)).toEqual(['c']);
      const reversed = await logs.read(name, { after: 0, limit: 10, since, reverse: true });
      expect(reversed.entries.map(text)).toEqual(['d', 'c']);
      const after = entries[2]?.offset ?? 0;
      expect((await logs.read(name, { after, limit: 10, since })).entries.map(text)).toEqual(['d']);
      const later = await logs.read(name, { after: 0, limit: 10, since: Date.now() + 60_000 });
      expect(later.entries).toEqual([]);
      expect(later.tail.offset).toBe(entries[3]?.offset);
    });

    test('is read up to a number of bytes, but always one entry', async () => {
      fresh();
      await appendAll(logs, name, ['a'.repeat(1000), 'b'.repeat(1000), 'c'.repeat(1000)]);
      const sizes = async (bytes: number, reverse = false): Promise<number> =>
        (await logs.read(name, { after: 0, limit: 10, bytes, reverse })).entries.length;
      expect(await sizes(1)).toBe(1);
      expect(await sizes(1999)).toBe(1);
      expect(await sizes(2000)).toBe(2);
      expect(await sizes(1999, true)).toBe(1);
      expect(await sizes(1 << 20)).toBe(3);
    });

    test('takes any bytes, and nothing, as data', async () => {
      fresh();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
      await logs.append(name, [
        { nonce: 0, data: bytes },
        { nonce: 0xffff_ffff, data: new Uint8Array() },
        { nonce: 0x8000_0000, data: Buffer.from('\r\n$5\r\n\0') },
      ]);
      const { entries } = await theirs.read(name, { after: 0, limit: 10 });
      expect(entries.map(({ data }) => Buffer.from(data).toString('hex'))).toEqual([
        bytes.toString('hex'),
        '',
        Buffer.from('\r\n$5\r\n\0').toString('hex'),
      ]);
      expect(entries.map(({ nonce }) => nonce)).toEqual([0, 0xffff_ffff, 0x8000_0000]);
    });

    test('has any name, and no two names are one log', async () => {
      const names = [
        '',
        ' ',
        'a b',
        'a.b',
        'a.*',
        '>',
        '*',
        'a:b',
        'a{b}c',
        '{}',
        '%',
        'a%3Ab',
        'a/b',
        'A',
        'a',
        'é',
        'e\u0301',
        '=',
        '=61',
        '房间',
        '🌊',
        '\r\n',
        '\0',
        'x'.repeat(300),
        `${'x'.repeat(299)}y`,
        '房'.repeat(150),
      ];
      const run = randomUUID();
      const spaces = [`s:${run}`, `s.${run}`, `s ${run}`, `s/${'y'.repeat(250)}${run}`].map((space) =>
        one.logs(space, PLENTY),
      );
      for (const [index, space] of spaces.entries()) {
        await Promise.all(names.map((each, number) => space.append(each, [entry(`${index} ${number}`)])));
      }
      for (const [index, space] of spaces.entries()) {
        const read = await Promise.all(names.map((each) => space.read(each, { after: 0, limit: 10 })));
        expect(read.map(({ entries }) => entries.map(text))).toEqual(
          names.map((_, number) => [`${index} ${number}`]),
        );
      }
      const tricky = await Promise.all([
        one.logs('p:q', PLENTY).append('r', [entry('1')]),
        one.logs('p', PLENTY).append('q:r', [entry('2')]),
      ]);
      expect(tricky).toHaveLength(2);
      expect((await other.logs('p', PLENTY).read('q:r', { after: 0, limit: 9 })).entries.map(text)).toEqual([
        '2',
      ]);
    });

    test('keeps the order in which one node appends without waiting', async () => {
      fresh();
      const texts = Array.from({ length: 200 }, (_, index) => String(index));
      const done = await Promise.all(texts.map((each) => logs.append(name, [entry(each)])));
      const offsets = done.map(({ positions }) => positions[0]?.offset ?? 0);
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
      const { entries } = await theirs.read(name, { after: 0, limit: 1000 });
      expect(entries.map(text)).toEqual(texts);
    });

    test('takes appends of several nodes at once', async () => {
      fresh();
      const texts = Array.from({ length: 100 }, (_, index) => String(index));
      await Promise.all(
        texts.map((each, index) => (index % 2 === 0 ? logs : theirs).append(name, [entry(each)])),
      );
      const { entries, tail } = await theirs.read(name, { after: 0, limit: 1000 });
      expect(entries.map(text).sort()).toEqual([...texts].sort());
      expect(new Set(entries.map(({ offset }) => offset)).size).toBe(100);
      expect(tail.offset).toBe(entries.at(-1)?.offset);
    });

    test('refuses what can never be done', async () => {
      fresh();
      await expect(logs.append(name, [])).rejects.toThrow(RangeError);
      await expect(logs.append(name, [entry('a'), entry('b')], { key: 'k' })).rejects.toThrow(RangeError);
      await expect(logs.append(name, [{ nonce: -1, data: Buffer.from('a') }])).rejects.toThrow('nonce -1');
      await expect(logs.append(name, [{ nonce: 2 ** 32, data: Buffer.from('a') }])).rejects.toThrow(
        RangeError,
      );
      await expect(logs.read(name, { after: 0, limit: 0 })).rejects.toThrow(RangeError);
      await expect(logs.read(name, { after: -1, limit: 1 })).rejects.toThrow(RangeError);
      expect(() => one.logs(`bad ${name}`, { ...PLENTY, entries: 0 })).toThrow('retention of 0 entries');
      expect((await logs.tail(name)).offset).toBe(0);
    });
  });

  describe('an append that expects an end', () => {
    test('is made there, and refused with the present tail elsewhere', async () => {
      fresh();
      const start = await logs.tail(name);
      const first = await logs.append(name, [entry('a')], { expect: start });
      const end = { epoch: first.epoch, ...(first.positions[0] ?? { offset: 0, nonce: 0 }) };
      const second = await theirs.append(name, [entry('b'), entry('c')], { expect: end });
      expect(second.epoch).toBe(first.epoch);
      const tail = await logs.tail(name);
      for (const wrong of [start, end, { ...tail, nonce: tail.nonce ^ 1 }, { ...tail, epoch: 'another1' }]) {
        const refused = await logs.append(name, [entry('x')], { expect: wrong }).catch((error) => error);
        expect(refused).toBeInstanceOf(LogConflict);
        expect(refused.tail).toEqual(tail);
        expect(refused.message).toContain(String(tail.offset));
      }
      const ahead = { ...tail, offset: tail.offset + 5 };
      await expect(logs.append(name, [entry('x')], { expect: ahead })).rejects.toThrow(LogConflict);
      expect((await logs.read(name, { after: 0, limit: 9 })).entries.map(text)).toEqual(ABC);
    });

    test('of a log that was never appended to is refused if it expects more', async () => {
      fresh();
      const expected = { epoch: 'aaaaaaaa', offset: 7, nonce: 7 };
      const refused = await logs.append(name, [entry('x')], { expect: expected }).catch((error) => error);
      expect(refused).toBeInstanceOf(LogConflict);
      expect(refused.tail).toEqual({ epoch: undefined, offset: 0, nonce: 0, first: 1 });
    });

    test('is done once when it is tried again', async () => {
      fresh();
      const start = await logs.tail(name);
      const batch = [entry('a'), entry('b'), entry('c')];
      const first = await logs.append(name, batch, { expect: start });
      const again = await theirs.append(name, batch, { expect: start });
      expect(again.epoch).toBe(first.epoch);
      expect(again.positions).toEqual(first.positions);
      const end = { epoch: first.epoch, ...(first.positions[2] ?? { offset: 0, nonce: 0 }) };
      const next = [entry('d')];
      const made = await logs.append(name, next, { expect: end });
      await theirs.append(name, [entry('e')]);
      const late = await logs.append(name, next, { expect: end });
      expect(late.positions).toEqual(made.positions);
      expect((await logs.read(name, { after: 0, limit: 9 })).entries.map(text)).toEqual([
        'a',
        'b',
        'c',
        'd',
        'e',
      ]);
    });

    test('has one winner among many', async () => {
      fresh();
      await logs.append(name, [entry('start')]);
      const tail = await logs.tail(name);
      const tries = Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? logs : theirs).append(name, [entry(`winner ${index}`)], { expect: tail }),
      );
      const ended = await Promise.allSettled(tries);
      expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const end of ended) {
        if (end.status === 'rejected') expect(end.reason).toBeInstanceOf(LogConflict);
      }
      expect((await logs.read(name, { after: 0, limit: 99 })).entries).toHaveLength(2);
    });
  });

  describe('an idempotency key', () => {
    test('makes one entry, whoever uses it again', async () => {
      fresh();
      const made = await logs.append(name, [entry('a')], { key: 'order/1' });
      await logs.append(name, [entry('b')], { key: 'order/2' });
      const again = await theirs.append(name, [entry('a')], { key: 'order/1' });
      expect(again).toEqual({ ...made, duplicate: true });
      expect((await logs.read(name, { after: 0, limit: 9 })).entries.map(text)).toEqual(['a', 'b']);
      const elsewhere = await logs.append(`${name} 2`, [entry('a')], { key: 'order/1' });
      expect(elsewhere.duplicate).toBe(false);
    });

    test('used by many at once makes one entry', async () => {
      fresh();
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          (index % 2 === 0 ? logs : theirs).append(name, [entry('a')], { key: 'same' }),
        ),
      );
      expect(all.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
      expect(new Set(all.map(({ positions }) => JSON.stringify(positions))).size).toBe(1);
      expect((await logs.read(name, { after: 0, limit: 9 })).entries).toHaveLength(1);
    });
  });

  describe('retention', () => {
    test('by entries keeps the newest, and the tail says where they begin', async () => {
      fresh();
      const few = one.logs('few', { ...PLENTY, entries: 3 });
      await appendAll(few, name, ['a', 'b', 'c', 'd', 'e']);
      const { entries, tail } = await other
        .logs('few', { ...PLENTY, entries: 3 })
        .read(name, { after: 0, limit: 9 });
      expect(entries.map(text)).toEqual(['c', 'd', 'e']);
      expect(tail.first).toBe(entries[0]?.offset);
      expect(tail.offset).toBe(entries[2]?.offset);
    });

    test('by bytes keeps the newest, and at least one', async () => {
      fresh();
      const small = one.logs('small', { ...PLENTY, bytes: 2000 });
      await appendAll(
        small,
        name,
        Array.from({ length: 30 }, (_, index) => String(index).padEnd(500)),
      );
      await until('the oldest are dropped', async () => {
        const { entries, tail } = await small.read(name, { after: 0, limit: 99 });
        expect(entries.at(-1) && text(entries.at(-1) as never).trim()).toBe('29');
        return entries.length <= 4 && tail.first === entries[0]?.offset;
      });
      await small.append(name, [entry('x'.repeat(5000))]);
      await until('the large one is alone', async () => {
        const { entries } = await small.read(name, { after: 0, limit: 99 });
        expect(entries.at(-1)?.data.length).toBe(5000);
        return entries.length === 1;
      });
    });

    test('by age drops what is old, and remembers the tail and the epoch', async () => {
      fresh();
      const short = { ...PLENTY, ageMs: 500 };
      const mine = one.logs('short', short);
      await appendAll(mine, name, ABC);
      const before = await mine.tail(name);
      await until('all have aged', async () => (await mine.tail(name)).first === before.offset + 1);
      expect(await other.logs('short', short).read(name, { after: 0, limit: 9 })).toEqual({
        entries: [],
        tail: { ...before, first: before.offset + 1 },
      });
      const { epoch } = await mine.append(name, [entry('d')], { expect: before });
      expect(epoch).toBe(before.epoch);
      const { entries, tail } = await mine.read(name, { after: before.offset, limit: 9 });
      expect(entries.map(text)).toEqual(['d']);
      expect(entries[0]?.previous).toBe(before.offset);
      expect(tail.first).toBe(entries[0]?.offset);
    });

    test('by age drops the old and keeps the young of one log', async () => {
      fresh();
      const mine = one.logs('shortish', { ...PLENTY, ageMs: 1500 });
      await appendAll(mine, name, ['a', 'b']);
      await wait(900);
      await appendAll(mine, name, ['c']);
      await until('the first two have aged', async () => {
        const { entries, tail } = await mine.read(name, { after: 0, limit: 9 });
        return entries.map(text).join('') === 'c' && tail.first === entries[0]?.offset;
      });
    });

    test('by entries drops nothing between what is read while others append', async () => {
      fresh();
      const few = one.logs('fifty', { ...PLENTY, entries: 50 });
      let appending = true;
      const appender = (async () => {
        for (let index = 0; index < 40; index++)
          await few.append(
            name,
            Array.from({ length: 10 }, () => entry('x'.repeat(100))),
          );
        appending = false;
      })();
      let pages = 0;
      while (appending || pages === 0) {
        const { entries, tail } = await other
          .logs('fifty', { ...PLENTY, entries: 50 })
          .read(name, { after: 0, limit: 99 });
        for (const [index, { previous }] of entries.entries()) {
          if (index > 0) expect(previous).toBe(entries[index - 1]?.offset);
        }
        if (entries.length === 0) continue;
        expect(entries[0]?.offset).toBeGreaterThanOrEqual(tail.first);
        expect(tail.offset).toBeGreaterThanOrEqual(entries.at(-1)?.offset ?? 0);
        pages++;
      }
      await appender;
    });
  });

  describe('a follower', () => {
    test('hears in order what any node appends, and nothing after its end', async () => {
      fresh();
      await appendAll(logs, name, ['before']);
      const heard = recorder();
      const stop = await logs.follow(name, heard);
      await appendAll(theirs, name, ['a', 'b']);
      await logs.append(name, [entry('c'), entry('d')]);
      await until('four are heard', () => heard.entries.length >= 4);
      expect(heard.entries.map(text)).toEqual(['a', 'b', 'c', 'd']);
      expect(heard.entries).toEqual((await logs.read(name, { after: 0, limit: 9 })).entries.slice(1));
      stop();
      stop();
      const last = recorder();
      await logs.follow(name, last);
      await appendAll(theirs, name, ['e']);
      await until('the other hears', () => last.entries.length === 1);
      expect(heard.entries).toHaveLength(4);
      expect(heard.gaps).toBe(0);
    });

    test('hears large entries in their place', async () => {
      fresh();
      const heard = recorder();
      await logs.follow(name, heard);
      const texts = ['a', 'b'.repeat(300_000), 'c', 'd'.repeat(100_000), 'e'];
      await Promise.all(texts.map((each) => theirs.append(name, [entry(each)])));
      await until('five are heard', () => heard.entries.length >= 5);
      expect(heard.entries.map((each) => text(each).slice(0, 2))).toEqual(['a', 'bb', 'c', 'dd', 'e']);
      expect(heard.entries.map(({ data }) => data.length)).toEqual(texts.map(({ length }) => length));
      for (const [index, { previous }] of heard.entries.entries()) {
        expect(previous).toBe(heard.entries[index - 1]?.offset ?? 0);
      }
    });

    test('is one of several on one log, and each ends alone', async () => {
      fresh();
      const [first, second, third] = [recorder(), recorder(), recorder()];
      const stop = await logs.follow(name, first);
      const [stopThird] = await Promise.all([logs.follow(name, third), logs.follow(name, second)]);
      await appendAll(theirs, name, ['a']);
      await until('all hear', () => [first, second, third].every(({ entries }) => entries.length === 1));
      stop();
      stopThird();
      await appendAll(theirs, name, ['b']);
      await until('the second hears', () => second.entries.length === 2);
      expect([first.entries.length, third.entries.length]).toEqual([1, 1]);
      const again = recorder();
      await logs.follow(name, again);
      await appendAll(theirs, name, ['c']);
      await until('both hear', () => again.entries.length === 1 && second.entries.length === 3);
      expect(first.entries).toHaveLength(1);
    });

    test('hears its own log alone, also when names look like patterns', async () => {
      fresh();
      const heard = recorder();
      await logs.follow(`${name}*`, heard);
      await logs.follow(`${name}>`, heard);
      await appendAll(theirs, `${name}x`, ['no']);
      await appendAll(theirs, name, ['no']);
      await appendAll(theirs, `${name}*`, ['yes']);
      await until('one is heard', () => heard.entries.length >= 1);
      expect(heard.entries.map(text)).toEqual(['yes']);
    });

    test('loses nothing among those who join and leave while others append', async () => {
      fresh();
      let appending = true;
      const appender = (async () => {
        for (let index = 0; index < 300; index++) await theirs.append(name, [entry(String(index))]);
        appending = false;
      })();
      const checks: Promise<void>[] = [];
      while (appending) {
        const heard = recorder();
        const stop = await logs.follow(name, heard);
        const { tail } = await logs.read(name, { after: 0, limit: 1 });
        checks.push(
          (async () => {
            await wait(50);
            stop();
            const { offset } = heard.entries.at(-1) ?? { offset: tail.offset };
            const kept = (await logs.read(name, { after: 0, limit: 1000 })).entries;
            const expected = kept.filter((each) => each.offset > tail.offset && each.offset <= offset);
            expect(heard.entries.filter((each) => each.offset > tail.offset)).toEqual(expected);
          })(),
        );
      }
      await appender;
      await Promise.all(checks);
    });
  });

  describe('a lease', () => {
    test('is held by one, and free again after its release', async () => {
      const right = `right ${randomUUID()}`;
      const held = await one.acquire(right, 5000);
      expect(held).toBeDefined();
      expect(await other.acquire(right, 5000)).toBeUndefined();
      expect(await one.acquire(right, 5000)).toBeUndefined();
      expect(await other.acquire(`${right} 2`, 5000)).toBeDefined();
      await held?.release();
      await held?.release();
      const next = await other.acquire(right, 5000);
      expect(next).toBeDefined();
      await held?.release();
      expect(await one.acquire(right, 5000)).toBeUndefined();
      expect(held?.lost.aborted).toBe(false);
    });

    test('lasts longer than its ttl, since it is renewed', async () => {
      const right = `right ${randomUUID()}`;
      const held = await one.acquire(right, 600);
      for (let tries = 0; tries < 15; tries++) {
        await wait(100);
        expect(await other.acquire(right, 600)).toBeUndefined();
      }
      expect(held?.lost.aborted).toBe(false);
      await held?.release();
    });

    test('has one holder when many want it', async () => {
      const right = `right ${randomUUID()}`;
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, index) => (index % 2 === 0 ? one : other).acquire(right, 5000)),
      );
      expect(all.filter((held) => held !== undefined)).toHaveLength(1);
    });
  });

  describe('members', () => {
    test('are put, listed, counted and removed', async () => {
      const set = `room ${randomUUID()}`;
      const { members } = one;
      expect(await members.list(set)).toEqual([]);
      expect(await members.put(set, 'bea', { ttlMs: 60_000, value: '{"n":1}' })).toBe(true);
      expect(await members.put(set, 'al', { ttlMs: 60_000 })).toBe(true);
      expect(await other.members.put(set, 'bea', { ttlMs: 60_000, value: 'new' })).toBe(false);
      expect(await other.members.list(set)).toEqual([
        { member: 'al', value: '' },
        { member: 'bea', value: 'new' },
      ]);
      expect(await members.count(set)).toBe(2);
      expect(await other.members.remove(set, 'bea')).toBe(true);
      expect(await members.remove(set, 'bea')).toBe(false);
      expect(await members.count(set)).toBe(1);
      expect(await members.count(`${set} 2`)).toBe(0);
      expect(await members.put(set, 'bea', { ttlMs: 60_000 })).toBe(true);
    });

    test('have any name and value', async () => {
      const names = ['', ' ', 'a.b', '*', '>', 'a:b', '=', '房间', '\r\n', '\0', 'x'.repeat(300), 'a', 'A'];
      const run = randomUUID();
      for (const set of names) {
        await Promise.all(
          names.map((member) =>
            one.members.put(`${run}${set}`, member, { ttlMs: 60_000, value: `=${member}` }),
          ),
        );
      }
      for (const set of names) {
        expect(await other.members.list(`${run}${set}`)).toEqual(
          [...names].sort().map((member) => ({ member, value: `=${member}` })),
        );
      }
    });

    test('expire unless they are put again, and are swept once', async () => {
      const prefix = `swept ${randomUUID()}/`;
      const nodes = [one, other];
      await Promise.all(
        Array.from({ length: 30 }, (_, index) =>
          one.members.put(`${prefix}${index % 3}`, `m${index}`, { ttlMs: 300, value: String(index) }),
        ),
      );
      await one.members.put(`${prefix}0`, 'stays', { ttlMs: 60_000 });
      await one.members.put(`not ${prefix}`, 'm', { ttlMs: 300 });
      await until('all have expired', async () => (await other.members.count(`${prefix}0`)) === 1);
      await wait(200);
      expect(await one.members.list(`${prefix}1`)).toEqual([]);
      const swept = (
        await Promise.all(
          Array.from({ length: 6 }, (_, index) => nodes[index % 2]?.members.sweep(prefix) ?? []),
        )
      ).flat();
      expect(swept.sort((a, b) => Number(a.value) - Number(b.value))).toEqual(
        Array.from({ length: 30 }, (_, index) => ({
          set: `${prefix}${index % 3}`,
          member: `m${index}`,
          value: String(index),
        })),
      );
      expect(await one.members.sweep(prefix)).toEqual([]);
      expect(await one.members.list(`${prefix}0`)).toEqual([{ member: 'stays', value: '' }]);
      expect(await one.members.sweep(`not ${prefix}`)).toHaveLength(1);
    });

    test('are never missing from the list while they are put again and again', async () => {
      const set = `busy ${randomUUID()}`;
      const names = Array.from({ length: 10 }, (_, index) => `m${index}`);
      const putAll = () => Promise.all(names.map((each) => one.members.put(set, each, { ttlMs: 60_000 })));
      await putAll();
      let busy = true;
      const renewing = (async () => {
        while (busy) await putAll();
      })();
      const counts = new Set<number>();
      for (let index = 0; index < 60; index++) counts.add(await other.members.count(set));
      busy = false;
      await renewing;
      expect([...counts]).toEqual([names.length]);
    });

    test('that have expired leave once: put again, removed or swept', async () => {
      const prefix = `once ${randomUUID()}/`;
      const set = `${prefix}s`;
      for (const member of ['back', 'gone']) await one.members.put(set, member, { ttlMs: 100 });
      await until('both have expired', async () => (await one.members.count(set)) === 0);
      expect(await other.members.put(set, 'back', { ttlMs: 60_000 })).toBe(false);
      expect(await other.members.remove(set, 'gone')).toBe(true);
      expect(await one.members.sweep(prefix)).toEqual([]);
      expect(await one.members.list(set)).toEqual([{ member: 'back', value: '' }]);
    });
  });

  describe('a mark', () => {
    test('only grows', async () => {
      const mark = `mark ${randomUUID()}`;
      expect(await one.raise(mark, 5, 60_000)).toBe(5);
      expect(await other.raise(mark, 3, 60_000)).toBe(5);
      expect(await other.raise(mark, 0, 60_000)).toBe(5);
      expect(await one.raise(mark, Number.MAX_SAFE_INTEGER, 60_000)).toBe(Number.MAX_SAFE_INTEGER);
      await expect(one.raise(mark, -1, 60_000)).rejects.toThrow(RangeError);
      await expect(one.raise(mark, 0.5, 60_000)).rejects.toThrow(RangeError);
    });

    test('ends at the greatest that anybody gave', async () => {
      const mark = `mark ${randomUUID()}`;
      const values = Array.from({ length: 40 }, (_, index) => (index * 17) % 40);
      const answers = await Promise.all(
        values.map((value, index) => (index % 2 === 0 ? one : other).raise(mark, value, 60_000)),
      );
      for (const [index, answer] of answers.entries())
        expect(answer).toBeGreaterThanOrEqual(values[index] ?? 0);
      expect(await one.raise(mark, 0, 60_000)).toBe(39);
    });

    test('is forgotten when nobody asks', async () => {
      const mark = `mark ${randomUUID()}`;
      await one.raise(mark, 5, 1000);
      await wait(700);
      expect(await other.raise(mark, 1, 1000)).toBe(5);
      await wait(700);
      expect(await one.raise(mark, 1, 1000)).toBe(5);
      await wait(1500);
      expect(await one.raise(mark, 1, 1000)).toBe(1);
    });
  });

  test('a secret is created once', async () => {
    const secret = `secret ${randomUUID()}`;
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? one : other).secret(secret)),
    );
    expect(new Set(all.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(1);
    expect(all[0]).toHaveLength(32);
    expect(Buffer.from(await one.secret(`${secret} 2`)).equals(Buffer.from(all[0] ?? []))).toBe(false);
  });

  test('a closed broker says so, and lets its leases go', async () => {
    const own = await start();
    const [broker] = own.nodes;
    expect(broker.kind).toBe(kind);
    expect(broker.shared).toBe(kind !== 'memory');
    expect(broker.state()).toBe('ready');
    const states: string[] = [];
    broker.onState((state) => states.push(state));
    const unheard: string[] = [];
    broker.onState((state) => unheard.push(state))();
    const held = await broker.acquire('right', 60_000);
    const space = broker.logs('plenty', PLENTY);
    const heard = recorder();
    await space.follow('a', heard);
    await space.append('a', [entry('a')]);
    await broker.close();
    await broker.close();
    expect([broker.state(), states, unheard]).toEqual(['closed', ['closed'], []]);
    expect(held?.lost.aborted).toBe(true);
    for (const asked of [
      () => space.append('a', [entry('b')]),
      () => space.read('a', { after: 0, limit: 1 }),
      () => space.tail('a'),
      () => space.follow('a', heard),
      () => broker.acquire('right', 1000),
      () => broker.members.list('a'),
      () => broker.members.sweep(''),
      () => broker.raise('a', 1, 1000),
      () => broker.secret('a'),
    ]) {
      const refused = await asked().catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(BrokerError);
      expect((refused as Error).message).toContain('closed');
    }
    if (own.nodes[1] !== broker) expect(await own.nodes[1].acquire('right', 1000)).toBeDefined();
    await held?.release();
    await own.close();
  });
});
