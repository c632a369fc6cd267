/** What the codec overlooks and prints when it is told to: unknown members, unknown names of enum values, absent messages. */
import { fromBinary, fromJson, type JsonValue as Json, toBinary, toJson } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CodecOptions, createCodec, type JsonValue } from '../src/codec/codec.js';
import { refusal } from './support/codec/refused.js';
import { type, types } from './support/codec/types.js';

const desc = (name: string) => type(`codec.test.${name}`);

function parsed(name: string, value: JsonValue, options: Partial<CodecOptions>): Json {
  const bytes = createCodec(types, options).parse(desc(name), value);
  return toJson(desc(name), fromBinary(desc(name), bytes), { registry: types });
}

const FIELDS = { unknownFields: 'ignore' } as const;
const NAMES = { unknownEnumNames: 'ignore' } as const;
const SCALARS = 'type.googleapis.com/codec.test.Scalars';
const DURATION = 'type.googleapis.com/google.protobuf.Duration';

describe('unknownFields: ignore', () => {
  test.each<[string, string, JsonValue, JsonValue]>([
    ['of the message', 'Scalars', { nope: { a: [null] }, fBool: true }, { fBool: true }],
    [
      'of an element',
      'Lists',
      { fMessage: [{ nope: 1 }, { fBool: true, nope: 2 }] },
      { fMessage: [{}, { fBool: true }] },
    ],
    ['of an entry', 'Maps', { byFixed64: { 1: { nope: 1 } } }, { byFixed64: { 1: {} } }],
    ['of a member of a oneof', 'Choice', { nested: { nope: 1 } }, { nested: {} }],
    [
      'in an Any',
      'WellKnown',
      { any: { '@type': SCALARS, nope: 1, fBool: true } },
      { any: { '@type': SCALARS, fBool: true } },
    ],
    [
      'beside a well-known type in an Any',
      'WellKnown',
      { any: { '@type': DURATION, value: '1s', nope: 1 } },
      { any: { '@type': DURATION, value: '1s' } },
    ],
    ['named like an inherited member', 'Scalars', { constructor: 1, toString: 2 }, {}],
  ])('drops a member %s', (_, name, value, expected) => {
    expect(parsed(name, value, FIELDS)).toEqual(expected);
    expect(refusal(() => parsed(name, value, NAMES)).message).toMatch(/no such (field|member)/);
  });

  test.each<[string, string, JsonValue]>([
    ['a value of the wrong type', 'Scalars', { fBool: 'yes' }],
    ['a field given by both of its names', 'Scalars', { fBool: true, f_bool: true }],
    ['two members of a oneof', 'Choice', { yes: true, no: true }],
    ['an unknown name of an enum value', 'Scalars', { fEnum: 'COLOR_PINK' }],
    ['an Any without its type', 'WellKnown', { any: { nope: 1 } }],
  ])('still refuses %s', (_, name, value) => {
    expect(() => refusal(() => parsed(name, value, FIELDS))).not.toThrow();
  });

  test('a message with unknown members anywhere is the message without them', () => {
    const nested = fc.letrec<{ choice: Record<string, unknown> }>((tie) => ({
      choice: fc.record(
        {
          beside: fc.string({ unit: 'grapheme-ascii' }),
          nested: fc.oneof({ depthSize: 'small' }, fc.constant({}), tie('choice')),
        },
        { requiredKeys: [] },
      ),
    })).choice;
    const littered = (value: unknown): unknown =>
      typeof value !== 'object' || value === null
        ? value
        : {
            zz: [1, { a: null }],
            ...Object.fromEntries(Object.entries(value).map(([key, one]) => [key, littered(one)])),
            'z~/z': 'x',
          };
    fc.assert(
      fc.property(nested, (value) => {
        const clean = createCodec(types).parse(desc('Choice'), value as JsonValue);
        const codec = createCodec(types, FIELDS);
        expect(Buffer.compare(codec.parse(desc('Choice'), littered(value) as JsonValue), clean)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});

describe('unknownEnumNames: ignore', () => {
  test.each<[string, string, JsonValue, JsonValue]>([
    ['a field', 'Scalars', { fEnum: 'COLOR_PINK', fBool: true }, { fBool: true }],
    ['an optional field', 'Optionals', { fEnum: 'COLOR_PINK' }, {}],
    ['elements', 'Lists', { fEnum: ['COLOR_PINK', 'COLOR_RED', 7, 'x'] }, { fEnum: ['COLOR_RED', 7] }],
    ['entries', 'Maps', { byUint64: { 1: 'COLOR_PINK', 2: 'COLOR_RED' } }, { byUint64: { 2: 'COLOR_RED' } }],
    ['a member of a oneof', 'Choice', { color: 'COLOR_PINK' }, {}],
    ['a name that is not NULL_VALUE', 'Choice', { nothing: 'NOTHING' }, {}],
  ])('drops %s', (_, name, value, expected) => {
    expect(parsed(name, value, NAMES)).toEqual(expected);
    expect(refusal(() => parsed(name, value, FIELDS)).message).toMatch(/expected a value of/);
  });

  test.each<[string, string, JsonValue, JsonValue]>([
    ['another member of the oneof', 'Choice', { color: 'COLOR_PINK', text: 'x' }, { text: 'x' }],
    ['names and aliases that are known', 'Lists', { fEnum: ['COLOR_CRIMSON'] }, { fEnum: ['COLOR_RED'] }],
  ])('takes %s', (_, name, value, expected) => expect(parsed(name, value, NAMES)).toEqual(expected));

  test.each<[string, string, JsonValue]>([
    ['a fraction', 'Scalars', { fEnum: 1.5 }],
    ['a bool', 'Scalars', { fEnum: true }],
    ['null in a list', 'Lists', { fEnum: [null] }],
    ['a name for a list', 'Lists', { fEnum: 'COLOR_PINK' }],
    ['a list for a map', 'Maps', { byUint64: ['COLOR_PINK'] }],
    ['an unknown member', 'Scalars', { nope: 1 }],
  ])('still refuses %s', (_, name, value) => {
    expect(() => refusal(() => parsed(name, value, NAMES))).not.toThrow();
  });
});

describe('emitNulls', () => {
  const print = (name: string, value: Json, options: Partial<CodecOptions>): JsonValue => {
    const bytes = toBinary(desc(name), fromJson(desc(name), value, { registry: types }));
    return JSON.parse(createCodec(types, options).print(desc(name), bytes)) as JsonValue;
  };
  const both = { emitDefaults: true, emitNulls: true };

  test('prints null for absent messages, with emitDefaults alone', () => {
    const wellKnown = print('WellKnown', {}, both) as Record<string, JsonValue>;
    expect(wellKnown).toMatchObject({ at: null, took: null, mask: null, struct: null, value: null });
    expect(print('WellKnown', {}, { emitNulls: true })).toEqual({});
    expect(print('WellKnown', {}, { emitDefaults: true })).not.toHaveProperty('at');
  });

  test('and for none that is in a oneof, is optional, or is there', () => {
    expect(print('Choice', {}, both)).toEqual({ beside: '' });
    expect(print('Optionals', {}, both)).toEqual({});
    expect(print('WellKnown', { took: '1s' }, both)).toMatchObject({ took: '1s' });
  });

  test('what it prints is read as the message it was', () => {
    const value = { at: '2024-01-02T03:04:05Z' };
    const text = print('WellKnown', value, both) as Record<string, JsonValue>;
    const { value: _, ...without } = text;
    expect(parsed('WellKnown', without, {})).toEqual(value);
  });
});
