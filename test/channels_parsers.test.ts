/** What the Channels service reads from strangers: positions, encoded JSON values and patterns, with whatever may stand in them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Value } from '../gen/google/protobuf/struct.js';
import { PublishRequest } from '../gen/tidegate/v1/channels.js';
import { matches } from '../services/channels/name.js';
import { keyOf, parsePositions, printPosition } from '../services/channels/position.js';
import { decodePublication } from '../services/channels/record.js';
import { faultOf } from '../services/channels/value.js';
import { ServiceError } from '../services/errors.js';

const numRuns = Number(process.env.RUNS ?? 500);

const position = fc.record({
  epoch: fc.stringMatching(/^[A-Za-z0-9]{8,16}$/),
  offset: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  nonce: fc.integer({ min: 0, max: 0xffff_ffff }),
});

describe('positions', () => {
  test('are read as they were printed, also several at once', () => {
    const named = fc.dictionary(fc.string(), position, { minKeys: 1, maxKeys: 20 });
    fc.assert(
      fc.property(named, (positions) => {
        const keyed = new Map(
          Object.entries(positions).map(([name, each]) => [keyOf('channel', name), each]),
        );
        const text = [...keyed].map(([key, each]) => printPosition(key, each)).join('~');
        expect(text).toMatch(/^[\w.~-]+$/);
        expect(parsePositions(text, 'after')).toEqual(keyed);
      }),
      { numRuns },
    );
  });

  test('of a log that was empty are read too', () => {
    const text = printPosition(keyOf('channel', 'a'), { epoch: undefined, offset: 0, nonce: 0 });
    expect([...parsePositions(text, 'after').values()]).toEqual([{ epoch: undefined, offset: 0, nonce: 0 }]);
  });

  test('are refused, or are what they say: nothing in between', () => {
    const broken = fc.oneof(
      fc.string(),
      fc.tuple(position, fc.nat(60), fc.string({ maxLength: 2 })).map(([each, at, put]) => {
        const text = printPosition('abcdef', each);
        return text.slice(0, at) + put + text.slice(at + 1);
      }),
    );
    fc.assert(
      fc.property(broken, (text) => {
        let parsed: ReturnType<typeof parsePositions>;
        try {
          parsed = parsePositions(text, 'after');
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ServiceError);
          return;
        }
        for (const { epoch, offset, nonce } of parsed.values()) {
          expect(Number.isSafeInteger(offset) && Number.isSafeInteger(nonce)).toBe(true);
          expect(offset > 0).toBe(epoch !== undefined);
        }
      }),
      { numRuns },
    );
  });

  test('name a channel by a key that no other kind of log has', () => {
    expect(keyOf('channel', 'a')).not.toBe(keyOf('presence', 'a'));
    expect(keyOf('channel', 'a')).toMatch(/^[\w-]{6}$/);
  });
});

/** protobuf's own encoder takes `__proto__` for what it is in JavaScript. */
const json = fc
  .jsonValue({ maxDepth: 8, noUnicodeString: false })
  .filter((value) => !JSON.stringify(value).includes('__proto__'));

describe('JSON values', () => {
  test('are taken, whatever they hold, and come out as they went in', () => {
    fc.assert(
      fc.property(json, (data) => {
        const request = PublishRequest.encode(PublishRequest.fromPartial({ channel: 'a', data })).finish();
        const encoded = decodePublication(request).data as Uint8Array;
        expect(faultOf(encoded)).toBeUndefined();
        expect(Value.unwrap(Value.decode(encoded))).toEqual(data);
      }),
      { numRuns },
    );
  });

  test('that were damaged are refused, or can be printed', () => {
    const damaged = fc.tuple(json, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([data, at, byte]) => {
      const bytes = Value.encode(Value.wrap(data)).finish();
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array()), (bytes) => {
        if (faultOf(bytes) !== undefined) return;
        const value: unknown = Value.unwrap(Value.decode(bytes));
        expect(JSON.parse(JSON.stringify(value))).toEqual(value);
      }),
      { numRuns },
    );
  });
});

test('patterns match as their stars say, however many', () => {
  const part = fc.stringMatching(/^[ab]{0,3}$/);
  fc.assert(
    fc.property(
      fc.array(part, { minLength: 1, maxLength: 5 }),
      fc.stringMatching(/^[ab]{0,12}$/),
      (parts, name) => {
        expect(matches(parts.join('*'), name)).toBe(new RegExp(`^${parts.join('.*')}$`).test(name));
      },
    ),
    { numRuns },
  );
});
