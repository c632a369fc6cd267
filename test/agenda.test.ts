/** What is due on connections: in order, on time, and by one timer. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createAgenda, Due } from '../gateway/agenda.js';
import { momentsOf } from '../gateway/drain.js';

class Entry extends Due {
  readonly times: number[] = [];

  constructor(
    readonly name: string,
    private readonly back: (entry: Entry, now: number) => void = () => {},
  ) {
    super();
  }

  due(now: number): void {
    this.times.push(now);
    this.back(this, now);
  }
}

describe('the agenda', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test('serves entries when they are due, by one timer', () => {
    const agenda = createAgenda();
    const seen: string[] = [];
    const entry = (name: string) => new Entry(name, () => seen.push(name));
    const now = performance.now();
    for (const [name, ms] of [
      ['c', 300],
      ['a', 100],
      ['b', 200],
    ] as const)
      agenda.enter(entry(name), now + ms);
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(99);
    expect(seen).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(seen).toEqual(['a']);
    vi.advanceTimersByTime(1000);
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('an entry may enter itself again, and is moved by entering it elsewhere', () => {
    const agenda = createAgenda();
    const again = new Entry('again', (entry, now) => agenda.enter(entry, now + 100));
    const moved = new Entry('moved');
    const start = performance.now();
    agenda.enter(again, start + 100);
    agenda.enter(moved, start + 50);
    agenda.enter(moved, start + 250);
    vi.advanceTimersByTime(400);
    expect(again.times.map((at) => Math.round(at - start))).toEqual([100, 200, 300, 400]);
    expect(moved.times.map((at) => Math.round(at - start))).toEqual([250]);
    agenda.remove(again);
    agenda.remove(again);
    vi.advanceTimersByTime(400);
    expect(again.times).toHaveLength(4);
  });

  test('lets other work have its turn when many are due at once', () => {
    const agenda = createAgenda();
    const entries = Array.from({ length: 600 }, (_, n) => new Entry(String(n)));
    const at = performance.now() + 10;
    for (const entry of entries) agenda.enter(entry, at);
    const served = () => entries.filter(({ times }) => times.length === 1).length;
    vi.advanceTimersByTime(10);
    expect(served()).toBe(256);
    vi.advanceTimersByTime(10);
    expect(served()).toBe(600);
  });

  test('waits for what is farther away than a timer can wait', () => {
    const agenda = createAgenda();
    const far = new Entry('far');
    agenda.enter(far, performance.now() + 2 ** 31 + 5000);
    vi.advanceTimersByTime(2 ** 31);
    expect(far.times).toHaveLength(0);
    vi.advanceTimersByTime(5000);
    expect(far.times).toHaveLength(1);
    const never = new Entry('never');
    agenda.enter(never, Number.POSITIVE_INFINITY);
    vi.advanceTimersByTime(2 ** 33);
    expect(never.times).toHaveLength(0);
  });

  test('keeps the order whatever is entered, moved and removed', () => {
    const step = fc.record({
      entry: fc.nat(20),
      at: fc.integer({ min: 0, max: 1000 }),
      removes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const agenda = createAgenda();
        const served: number[] = [];
        const start = performance.now();
        const entries = Array.from(
          { length: 21 },
          (_, n) => new Entry(String(n), (one) => served.push(one.dueAt)),
        );
        const expected = new Map<number, number>();
        for (const { entry, at, removes } of steps) {
          if (removes) {
            agenda.remove(entries[entry] as Entry);
            expected.delete(entry);
          } else {
            agenda.enter(entries[entry] as Entry, start + at);
            expected.set(entry, start + at);
          }
        }
        vi.advanceTimersByTime(1001);
        expect(served).toEqual([...expected.values()].sort((a, b) => a - b));
      }),
    );
  });
});

describe('the moments of a drain', () => {
  test('never bring more than one in twenty of 5,000 connections back in any 400 ms of 10 s', () => {
    const at = momentsOf(5000, 10_000).map(({ leaveAt }) => leaveAt);
    expect(at).toHaveLength(5000);
    expect(Math.min(...at)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...at)).toBeLessThanOrEqual(9000);
    for (let from = 0; from < 10_000; from += 50) {
      const together = at.filter((ms) => ms >= from && ms < from + 400).length;
      expect(together).toBeLessThanOrEqual(250);
    }
  });

  test('leave calls that cannot be resumed the first half of the time, and come one after the other too', () => {
    const at = momentsOf(1000, 10_000).map(({ cutAt }) => cutAt);
    expect(Math.min(...at)).toBeGreaterThanOrEqual(5000);
    expect(Math.max(...at)).toBeLessThanOrEqual(9000);
    expect(at.filter((ms) => ms < 6000).length).toBeLessThanOrEqual(255);
    for (const { leaveAt, cutAt } of momentsOf(1000, 10_000)) expect(cutAt).toBeGreaterThanOrEqual(leaveAt);
  });

  test('of a few connections are apart too, and of none there are none', () => {
    expect(momentsOf(0, 10_000)).toEqual([]);
    const [first, second] = momentsOf(2, 1000);
    expect(first?.leaveAt).toBeLessThanOrEqual(450);
    expect(second?.leaveAt).toBeGreaterThanOrEqual(450);
    expect(momentsOf(1, 0)).toEqual([{ leaveAt: 0, cutAt: 0 }]);
  });
});
