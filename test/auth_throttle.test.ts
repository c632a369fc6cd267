/** How often logins may fail: buckets, what they remember, and what is one address. */
import { describe, expect, test } from 'vitest';
import { networkOf, Throttle } from '../services/auth/throttle.js';

describe('a bucket of tries', () => {
  const limit = { burst: 3, refillMs: 1_000 };

  test('has a burst after a pause, then one try at a time', () => {
    const throttle = new Throttle(limit);
    expect([0, 0, 0, 0].map(() => throttle.take('a', 5_000))).toEqual([0, 0, 0, 1_000]);
    expect(throttle.take('a', 5_400)).toBe(600);
    expect(throttle.take('a', 6_000)).toBe(0);
    expect(throttle.take('a', 6_000)).toBe(1_000);
    expect([0, 0, 0, 0].map(() => throttle.take('a', 60_000))).toEqual([0, 0, 0, 1_000]);
  });

  test('gets back what did not count, and no more than it holds', () => {
    const throttle = new Throttle(limit);
    for (let i = 0; i < 10; i++) {
      expect(throttle.take('a', 0)).toBe(0);
      throttle.giveBack('a');
    }
    throttle.giveBack('a');
    throttle.giveBack('stranger');
    expect([0, 0, 0, 0].map(() => throttle.take('a', 0))).toEqual([0, 0, 0, 1_000]);
  });

  test('is one of a bounded number: the one that was used least lately is forgotten', () => {
    const throttle = new Throttle({ burst: 1, refillMs: 1_000 }, 2);
    for (const key of ['a', 'b', 'c']) expect(throttle.take(key, 0)).toBe(0);
    expect(['b', 'c'].map((key) => throttle.take(key, 0))).toEqual([1_000, 1_000]);
    expect(throttle.take('a', 0)).toBe(0);
  });
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:0DB8:0001:0002::1', '2001:db8:1:2'],
  ['2001:db8::1', '2001:db8:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['::1', '0:0:0:0'],
  ['::', '0:0:0:0'],
  ['1::', '1:0:0:0'],
  ['64:ff9b::192.0.2.1', '64:ff9b:0:0'],
  ['', ''],
  ['unknown', 'unknown'],
])('%s counts as %s', (address, network) => expect(networkOf(address)).toBe(network));
