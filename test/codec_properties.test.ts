/** The codec against @bufbuild/protobuf, on random messages, random JSON and random bytes. */
import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue as Json,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCodec, type JsonValue } from '../src/codec/codec.js';
import { parseJson } from '../src/codec/json_text.js';
import { findRepeatedName } from '../src/codec/json_walk.js';
import { Code, StatusError } from '../src/status.js';
import { jsonFor, mutated } from './support/codec/arbitrary.js';
import { type, types } from './support/codec/types.js';

const codec = createCodec(types);
const registry = types;
const NAMES = [
  'codec.test.Rich',
  'codec.test.WellKnown',
  'codec.test.Maps',
  'codec.test.Lists',
  'codec.old.Old',
];

/** Floats as the nearest float: the reference prints 0.1 as 0.10000000149011612. */
function rounded(value: unknown): unknown {
  if (typeof value === 'number') return Math.fround(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, rounded(item)]));
}

/** Our print and the reference's are the same JSON, and ours has no name twice; or both refuse. */
function expectSamePrint(desc: DescMessage, bytes: Uint8Array): void {
  if (!succeeds(() => toJson(desc, fromBinary(desc, bytes), { registry }))) {
    expect(outcome(() => codec.print(desc, bytes))).toBe(Code.INTERNAL);
    return;
  }
  const text = codec.print(desc, bytes);
  const printed: unknown = JSON.parse(text);
  const message = fromBinary(desc, bytes);
  expect(rounded(printed)).toEqual(rounded(toJson(desc, message, { registry })));
  expectSame(desc, fromJson(desc, printed as Json, { registry }), message);
  expect(JSON.stringify(printed).length).toBe(text.replace(/(?<=[:[,])-0(?=[,\]}])/g, '0').length);
}

/** The messages are equal; NaN equals itself. */
function expectSame(desc: DescMessage, ours: Message, theirs: Message): void {
  expect(rounded(toJson(desc, ours, { registry }))).toEqual(rounded(toJson(desc, theirs, { registry })));
}

/** The code of the StatusError that `work` throws, or undefined; fails if it throws anything else. */
function outcome(work: () => unknown): Code | undefined {
  try {
    work();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    return thrown.code;
  }
}

describe.each(NAMES)('%s', (name) => {
  const desc = type(name);
  const json = jsonFor(desc, 3);
  const encoded = json.map((value) => toBinary(desc, fromJson(desc, value as Json, { registry })));

  test('prints as the reference does', () => {
    fc.assert(
      fc.property(encoded, (bytes) => expectSamePrint(desc, bytes)),
      { numRuns: 300 },
    );
  });

  test('parses to bytes that the reference reads as the same message', () => {
    fc.assert(
      fc.property(json, (value) => {
        const ours = fromBinary(desc, codec.parse(desc, value));
        expectSame(desc, ours, fromJson(desc, value as Json, { registry }));
      }),
      { numRuns: 300 },
    );
  });

  test('prints two messages in one as the reference merges them', () => {
    fc.assert(
      fc.property(encoded, encoded, (one, other) => expectSamePrint(desc, Buffer.concat([one, other]))),
      { numRuns: 300 },
    );
  });

  test('what was printed parses back, with every option', () => {
    const options = {
      emitDefaults: true,
      protoNames: true,
      enumNumbers: true,
      int64: 'number-if-safe',
    } as const;
    const other = createCodec(types, options);
    fc.assert(
      fc.property(encoded, (bytes) => {
        const again = codec.parse(desc, parseJson(other.print(desc, bytes)));
        expectSame(desc, fromBinary(desc, again), fromBinary(desc, bytes));
      }),
      { numRuns: 100 },
    );
  });

  test('JSON that is nearly right is read or refused, never worse', () => {
    fc.assert(
      fc.property(mutated(json), (value) => {
        let bytes: Uint8Array = Buffer.of();
        const code = outcome(() => {
          bytes = codec.parse(desc, value);
        });
        if (code !== undefined) expect(code).toBe(Code.INVALID_ARGUMENT);
        else expect(toJson(desc, fromBinary(desc, bytes), { registry })).toBeDefined();
      }),
      { numRuns: 400 },
    );
  });

  test('bytes that are nearly right are printed or refused, never worse', () => {
    const damaged = fc
      .tuple(encoded, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 255 }))
      .map(([bytes, cut, at, byte]) => {
        const copy = Buffer.from(bytes);
        if (copy.length > 0) copy[at % copy.length] = byte;
        return cut % 3 === 0 ? copy.subarray(0, cut % (copy.length + 1)) : copy;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        let text = '{}';
        const code = outcome(() => {
          text = codec.print(desc, bytes);
        });
        if (code !== undefined) expect(code).toBe(Code.INTERNAL);
        JSON.parse(text);
      }),
      { numRuns: 400 },
    );
  });
});

test('any JSON value is read or refused', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const code = outcome(() => codec.parse(type('codec.test.Rich'), value as JsonValue));
      if (code !== undefined) expect(code).toBe(Code.INVALID_ARGUMENT);
    }),
  );
});

test('any text is JSON as the engine has it, or refused; a name is there once', () => {
  const pieces = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '\\',
    '1',
    '-',
    '.',
    'e',
    'true',
    'nul',
    ' ',
    '\n',
  );
  fc.assert(
    fc.property(
      fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join('')),
      (text) => {
        let expected: unknown;
        const isJson = succeeds(() => {
          expected = JSON.parse(text);
        });
        let value: unknown;
        const code = outcome(() => {
          value = parseJson(text);
        });
        const isTaken = isJson && findRepeatedName(text) === undefined;
        expect(code).toBe(isTaken ? undefined : Code.INVALID_ARGUMENT);
        if (isTaken) expect(value).toEqual(expected);
        else expect(messageOf(text)).not.toContain('it cannot be read');
      },
    ),
    { numRuns: 2000 },
  );
});

function succeeds(work: () => void): boolean {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}

function messageOf(text: string): string {
  try {
    parseJson(text);
    return '';
  } catch (thrown) {
    return (thrown as Error).message;
  }
}
