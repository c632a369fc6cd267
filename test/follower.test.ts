/** The follower that misses nothing: what it does with lost messages, gaps, and logs that lose what they had. */
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { BrokerError, type Entry, type Logs } from '../src/broker/broker.js';
import {
  type Batch,
  BEGINNING,
  type FollowOptions,
  followLog,
  type LogFollower,
  LogLost,
  type LogPosition,
} from '../src/broker/follower.js';
import { type Cluster, entry, KINDS, PLENTY } from './support/brokers.js';
import { createShakyLog, type ShakyLog } from './support/shaky_log.js';

const textOf = ({ data }: Entry) => new TextDecoder().decode(data);

/** A follower whose batches are taken one by one. */
async function open(log: ShakyLog, after: FollowOptions['after'], limits: Partial<FollowOptions> = {}) {
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const follower = await followLog({ logs: log.logs, name: 'a', after, signal: ended.signal, ...limits });
  const batches = follower[Symbol.asyncIterator]();
  const next = async (): Promise<Batch> => {
    const { value, done } = await batches.next();
    if (done) throw new Error('the follower has ended');
    return value;
  };
  /** The texts of as many entries. */
  const take = async (count: number) => {
    const texts: string[] = [];
    while (texts.length < count) texts.push(...(await next()).entries.map(textOf));
    return texts.join('');
  };
  return { follower, batches, next, take, stop: () => ended.abort() };
}

const startOf = ({ start }: LogFollower) => start;
const positionOf = (log: ShakyLog, entry: Entry) => ({
  epoch: log.tail().epoch,
  offset: entry.offset,
  nonce: entry.nonce,
});

async function lossOf(promise: Promise<unknown>): Promise<LogLost> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(LogLost);
  return thrown as LogLost;
}

describe.each([
  ['with offsets 1, 2, 3', false],
  ['with holes between its offsets', true],
])('a log %s', (_title, sparse) => {
  test('is followed from its end, from its oldest entry, and from any other', async () => {
    const log = createShakyLog(sparse);
    const [, b] = [...'abc'].map((text) => log.say(text));
    const now = await open(log, 'now');
    const earliest = await open(log, 'earliest');
    const later = await open(log, positionOf(log, b as Entry));
    expect(await now.next()).toMatchObject({ entries: [], caughtUp: true });
    expect((await earliest.next()).entries.map(textOf)).toEqual(['a', 'b', 'c']);
    expect((await later.next()).entries.map(textOf)).toEqual(['c']);
    log.say('d');
    for (const each of [now, earliest, later]) expect(await each.take(1)).toBe('d');
    expect(startOf(now.follower)).toMatchObject({ offset: log.entries()[2]?.offset });
    expect(startOf(earliest.follower)).toEqual(BEGINNING);
  });

  test('is followed from before its first entry', async () => {
    const log = createShakyLog(sparse);
    const { follower, take } = await open(log, 'now');
    expect(startOf(follower)).toEqual(BEGINNING);
    log.say('a');
    log.say('b');
    expect(await take(2)).toBe('ab');
    expect(await (await open(log, BEGINNING)).take(2)).toBe('ab');
    log.drop(1);
    expect((await lossOf(open(log, BEGINNING))).loss).toBe('truncated');
  });

  test('is read where live entries were lost, or came twice, or in the wrong order', async () => {
    const log = createShakyLog(sparse);
    const first = log.say('a');
    const { take } = await open(log, 'now');
    log.say('b', { lost: true });
    log.say('c');
    expect(await take(2)).toBe('bc');
    log.say('d');
    log.tell(first);
    const e = log.say('e', { lost: true });
    const f = log.say('f', { lost: true });
    log.tell(f, e, f);
    expect(await take(3)).toBe('def');
  });

  test('is read after a gap', async () => {
    const log = createShakyLog(sparse);
    log.say('a');
    const { take } = await open(log, 'now');
    log.say('b', { lost: true });
    log.gap();
    expect(await take(1)).toBe('b');
  });

  test('that lost its tail is told, after a gap or when an offset comes again', async () => {
    for (const find of [
      (log: ShakyLog) => log.gap(),
      (log: ShakyLog) => log.tell(log.say('x', { lost: true })),
    ]) {
      const log = createShakyLog(sparse);
      for (const text of 'abc') log.say(text);
      const { next } = await open(log, 'now');
      await next();
      log.loseTail(2);
      log.say('B', { lost: true });
      find(log);
      const loss = await lossOf(next());
      expect(loss.loss).toBe('diverged');
      expect(loss.tail).toEqual(log.tail());
      expect(log.followers()).toBe(0);
    }
  });

  test('whose entry at a position is another one is not followed from there', async () => {
    const log = createShakyLog(sparse);
    const entries = [...'abc'].map((text) => log.say(text));
    const at = positionOf(log, entries[1] as Entry);
    expect((await lossOf(open(log, { ...at, nonce: at.nonce + 1 }))).loss).toBe('diverged');
    const last = positionOf(log, entries[2] as Entry);
    expect((await lossOf(open(log, { ...last, nonce: 0 }))).loss).toBe('diverged');
    expect((await lossOf(open(log, { ...last, offset: last.offset + 9 }))).loss).toBe('diverged');
    expect((await lossOf(open(log, { ...at, epoch: 'another00' }))).loss).toBe('epoch_changed');
    log.wipe();
    expect((await lossOf(open(log, at))).loss).toBe('epoch_changed');
    expect(log.followers()).toBe(0);
  });

  test('that was wiped is told', async () => {
    const log = createShakyLog(sparse);
    log.say('a');
    const { next } = await open(log, 'now');
    await next();
    log.wipe();
    log.say('b');
    expect((await lossOf(next())).loss).toBe('epoch_changed');
  });

  test('is followed after its last entry although that one is no longer kept', async () => {
    const log = createShakyLog(sparse);
    const [a, b] = [log.say('a'), log.say('b')];
    log.drop(2);
    const { take, next } = await open(log, positionOf(log, b));
    await next();
    log.say('c');
    expect(await take(1)).toBe('c');
    expect((await lossOf(open(log, positionOf(log, a)))).loss).toBe('truncated');
    const earliest = await open(log, 'earliest');
    expect(await earliest.take(1)).toBe('c');
  });
});

describe('a slow reader', () => {
  test('is a position: what does not fit is read when it comes to it', async () => {
    const log = createShakyLog();
    const { next, take } = await open(log, 'now', { entries: 4 });
    await next();
    const text = 'abcdefghijklmnopqrstuvwxyz';
    for (const letter of text) log.say(letter);
    const first = await next();
    expect(first).toMatchObject({ caughtUp: false });
    expect(first.entries.length).toBeLessThanOrEqual(4);
    expect(first.entries.map(textOf).join('') + (await take(26 - first.entries.length))).toBe(text);
  });

  test('is told when it has fallen behind what is kept', async () => {
    const log = createShakyLog();
    log.say('-');
    const { next } = await open(log, 'now', { entries: 4 });
    await next();
    for (const letter of 'abcdefgh') log.say(letter);
    log.drop(5);
    expect((await lossOf(next())).loss).toBe('truncated');
  });

  test('gets entries that are larger than a batch', async () => {
    const log = createShakyLog();
    const large = 'x'.repeat(50);
    const at = positionOf(log, log.say(large));
    for (const text of [large, 'y', large]) log.say(text);
    const { take, next } = await open(log, at, { bytes: 20 });
    expect(await take(3)).toBe(`${large}y${large}`);
    log.say(large);
    log.say(large);
    expect((await next()).entries.length).toBeGreaterThan(0);
  });
});

describe('a broker that does not answer', () => {
  test('is waited for, from the position that was reached', async () => {
    const log = createShakyLog();
    log.say('a');
    const { take, next } = await open(log, 'now');
    await next();
    log.fail(2);
    log.say('b', { lost: true });
    log.gap();
    expect(await take(1)).toBe('b');
  });

  test('refuses a follower that begins', async () => {
    const log = createShakyLog();
    for (const times of [1, 2]) {
      log.fail(times);
      await expect(open(log, 'now')).rejects.toThrow(BrokerError);
      log.fail(0);
      expect(log.followers()).toBe(0);
    }
  });

  test('does not keep a follower whose signal was aborted', async () => {
    const log = createShakyLog();
    const { batches, next, stop } = await open(log, 'now');
    await next();
    log.fail(1_000);
    log.gap();
    const ending = batches.next();
    stop();
    expect(await ending).toMatchObject({ done: true });
    expect(log.followers()).toBe(0);
  });
});

test('a follower ends with its signal and with its loop, and lets go of the log', async () => {
  const log = createShakyLog();
  const waiting = await open(log, 'now');
  await waiting.next();
  const ending = waiting.batches.next();
  const unused = await open(log, 'now');
  const left = await open(log, 'earliest');
  await left.next();
  expect(log.followers()).toBe(3);
  await left.batches.return?.();
  waiting.stop();
  unused.stop();
  expect(await ending).toMatchObject({ done: true });
  expect(log.followers()).toBe(0);
  const aborted = AbortSignal.abort();
  const late = await followLog({ logs: log.logs, name: 'a', after: 'now', signal: aborted });
  for await (const _ of late) expect.fail('an aborted follower has nothing to tell');
  expect(log.followers()).toBe(0);
});

test('the end of the log is told once, also when nothing was there', async () => {
  const log = createShakyLog();
  for (const letter of 'abcdef') log.say(letter);
  const { next } = await open(log, 'earliest', { entries: 3 });
  const told = [await next(), await next()];
  expect(told.map(({ caughtUp }) => caughtUp)).toEqual([false, true]);
  log.gap();
  log.say('g');
  expect((await next()).entries.map(textOf)).toEqual(['g']);
});

/** Anything that may happen to a log and its followers. */
const happening = fc.oneof(
  { weight: 6, arbitrary: fc.constant('say') },
  { weight: 2, arbitrary: fc.constant('lose') },
  fc.constant('gap'),
  fc.constant('drop'),
  fc.constant('lose tail'),
  fc.constant('repeat'),
  fc.constant('fail'),
  { weight: 3, arbitrary: fc.constant('take') },
);

test('whatever is lost on the way, the entries come whole and in order, or the loss is told', async () => {
  const runs = Number(process.env.RUNS ?? 300);
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 60 }), fc.boolean(), async (happenings, sparse) => {
      const log = createShakyLog(sparse);
      const ended = new AbortController();
      const follower = await followLog({
        logs: log.logs,
        name: 'a',
        after: 'earliest',
        signal: ended.signal,
        entries: 3,
      });
      const seen: string[] = [];
      let loss: LogLost | undefined;
      let turn = () => {};
      const reading = (async () => {
        for await (const { entries } of follower) {
          seen.push(...entries.map(textOf));
          await new Promise<void>((resolve) => {
            turn = resolve;
          });
        }
      })().catch((thrown: unknown) => {
        loss = thrown as LogLost;
      });
      let said = 0;
      const say = (lost: boolean) => {
        said += 1;
        log.say(`${said}`, { lost });
      };
      for (const each of happenings) {
        if (each === 'say' || each === 'lose') say(each === 'lose');
        else if (each === 'repeat') log.tell(...log.entries().slice(-2));
        else if (each === 'drop') log.drop(1);
        else if (each === 'lose tail') {
          log.loseTail(2);
          say(true);
          log.gap();
        } else if (each === 'fail') log.fail(1);
        else if (each === 'gap') log.gap();
        else turn();
        if (said % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      // A message that arrives at last shows all that was missing.
      log.fail(0);
      say(false);
      const end = Date.now() + 5_000;
      while (loss === undefined && seen.at(-1) !== `${said}` && Date.now() < end) {
        turn();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      ended.abort();
      turn();
      await reading;
      expect(seen).toEqual([...seen].sort((a, b) => Number(a) - Number(b)));
      if (loss !== undefined) expect(['truncated', 'diverged']).toContain(loss.loss);
      else expect(seen).toEqual(log.entries().map(textOf));
    }),
    { numRuns: runs },
  );
}, 60_000);

describe.each(KINDS.filter(({ missing }) => missing === undefined))('on $kind', ({ start }) => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await start();
    return () => cluster.close();
  });

  /** Two nodes' views of a new log, and a follower by the second one. */
  const openLog = async (after: FollowOptions['after'] = 'now', name = `log-${randomUUID()}`) => {
    const [one, other] = cluster.nodes.map((broker) => broker.logs('followed', PLENTY)) as [Logs, Logs];
    const ended = new AbortController();
    onTestFinished(() => ended.abort());
    const signal = ended.signal;
    const follower = await followLog({ logs: other, name, after, signal, entries: 64 });
    return { one, name, follower, batches: follower[Symbol.asyncIterator]() };
  };
  const take = async (batches: AsyncIterator<Batch>, count: number) => {
    const seen: { text: string; position: LogPosition }[] = [];
    while (seen.length < count) {
      const { value } = (await batches.next()) as { value: Batch };
      const { epoch, entries } = value;
      for (const each of entries)
        seen.push({ text: textOf(each), position: { epoch, offset: each.offset, nonce: each.nonce } });
    }
    return seen;
  };

  test('what many append at once comes whole and in one order', async () => {
    const { one, name, batches } = await openLog();
    const other = await openLog('now', name);
    const texts = Array.from({ length: 500 }, (_, n) => `${n}`);
    await Promise.all(texts.map((text) => one.append(name, [entry(text)])));
    const seen = await take(batches, 500);
    expect(seen.map(({ text }) => text).sort()).toEqual([...texts].sort());
    expect(await take(other.batches, 500)).toEqual(seen);
  });

  test('from every position, the rest follows', async () => {
    const { one, name, follower, batches } = await openLog();
    for (const text of 'abcdef') await one.append(name, [entry(text)]);
    const seen = await take(batches, 6);
    for (const [index, position] of [follower.start, ...seen.map((each) => each.position)].entries()) {
      const again = await openLog(position, name);
      await one.append(name, [entry('.')]);
      const rest = (await take(again.batches, 7 - index)).map(({ text }) => text).join('');
      expect(rest.slice(0, 7 - index)).toBe(`${'abcdef'.slice(index)}.`);
    }
  });
});
