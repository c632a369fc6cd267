/** Token buckets: what a caller may do, what is remembered of callers, and whom callers are counted as. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addressKey } from '../../gateway/limits/address.js';
import { callerKey } from '../../src/policy/caller.js';
import { Rates, type Use } from '../../src/policy/rates.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';

function ratesAt(perSecond: number, keys?: number) {
  const clock = { now: 1000 };
  const rates = new Rates({ perSecond, now: () => clock.now, ...(keys !== undefined && { keys }) });
  return { rates, clock };
}

describe('a bucket', () => {
  test('holds what may be done in a second, and says when there is more', () => {
    const { rates, clock } = ratesAt(4);
    expect([1, 2, 3, 4].map(() => rates.take('a'))).toEqual([0, 0, 0, 0]);
    expect(rates.take('a')).toBe(250);
    expect(rates.take('b')).toBe(0);
    clock.now += 249;
    expect(rates.take('a')).toBe(1);
    clock.now += 1;
    expect([rates.wait('a'), rates.take('a'), rates.take('a')]).toEqual([0, 0, 250]);
  });

  test('never gives more than it holds and what has come since, whatever the times and rates', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(
          fc.record({ after: fc.integer({ min: 0, max: 700 }), tries: fc.integer({ min: 1, max: 300 }) }),
        ),
        (perSecond, steps) => {
          const { rates, clock } = ratesAt(perSecond);
          const start = clock.now;
          let given = 0;
          for (const { after, tries } of steps) {
            clock.now += after;
            for (let n = 0; n < tries; n++) {
              const wait = rates.take('a');
              if (wait === 0) given++;
              else expect(wait).toBeLessThanOrEqual(1000 / perSecond + 1e-3);
            }
            expect(given).toBeLessThanOrEqual(perSecond + (perSecond * (clock.now - start)) / 1000 + 1e-6);
          }
        },
      ),
    );
  });

  test('is not used up by what was refused', () => {
    const { rates, clock } = ratesAt(1);
    rates.take('a');
    for (let n = 0; n < 1000; n++) expect(rates.take('a')).toBeGreaterThan(0);
    clock.now += 1000;
    expect(rates.take('a')).toBe(0);
  });
});

describe('an attacker with many addresses', () => {
  test('does not grow the memory beyond its bound', () => {
    const { rates } = ratesAt(10, 1000);
    for (let n = 0; n < 100_000; n++) rates.take(`10.0.${n >> 8}.${n & 255}`);
    expect(rates.size).toBeLessThanOrEqual(2000);
  });

  test('does not make the gateway forget a caller that goes on', () => {
    const { rates } = ratesAt(2, 100);
    let given = 0;
    for (let n = 0; n < 10_000; n++) {
      rates.take(`n${n}`);
      if (n % 50 === 0 && rates.take('busy') === 0) given++;
    }
    expect(given).toBe(2);
  });
});

test('what nodes share is told once it is worth it, and a block from elsewhere holds for its time', () => {
  const clock = { now: 0 };
  const told: { key: string; use: Use }[] = [];
  const share = { atLeast: 3, used: (key: string, use: Use) => void told.push({ key, use }) };
  const rates = new Rates({ perSecond: 100, share, now: () => clock.now });
  for (let n = 0; n < 5; n++) rates.take('a');
  rates.take('b');
  expect(told.map(({ key }) => key)).toEqual(['a']);
  expect(told[0]?.use.spend()).toBe(5);
  expect(told[0]?.use.spend()).toBe(0);
  told[0]?.use.block(2000);
  expect(rates.take('a')).toBe(2000);
  clock.now = 2000;
  expect(rates.take('a')).toBe(0);
});

describe('whom a client is counted as', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:0001:0002:ffff::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:1::', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
    ['1:2:3:4::192.0.2.7', '1:2:3:4::/64'],
    [undefined, ''],
  ])('%s is %s', (address, key) => expect(addressKey(address)).toBe(key));

  const principal = (subject: string, iss?: string): Principal => ({
    ...ANONYMOUS,
    subject,
    claims: iss === undefined ? {} : { iss },
  });

  test('is the subject of a token, whatever address it comes from, and whatever other token it has', () => {
    const one = callerKey({ principal: principal('u1', 'a'), peer: '192.0.2.7' });
    expect(callerKey({ principal: principal('u1', 'a'), peer: '192.0.2.8' })).toBe(one);
    expect(callerKey({ principal: principal('u1', 'b'), peer: '192.0.2.7' })).not.toBe(one);
    expect(callerKey({ principal: principal('192.0.2.7') })).not.toBe('192.0.2.7');
  });

  test('is the address without a token, and nobody without an address', () => {
    expect(callerKey({ principal: ANONYMOUS, peer: '192.0.2.7' })).toBe('192.0.2.7');
    expect(callerKey({ principal: ANONYMOUS, peer: '' })).toBeUndefined();
    expect(callerKey({ principal: ANONYMOUS })).toBeUndefined();
  });
});
