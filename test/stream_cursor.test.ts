/** Cursors and log records: what goes in comes out, and nothing that somebody else made is taken. */
import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Code, StatusError } from '../src/status.js';
import { createCursors, LONGEST_CURSOR, type Place } from '../src/stream/cursor.js';
import { type LogRecord, parseRecord, printRecord } from '../src/stream/record.js';
import type { StreamId } from '../src/stream/stream_id.js';

const hash = (text: string): Uint8Array => createHash('sha256').update(text).digest();
const id = (request: string, scope: string): StreamId => ({
  request: hash(request),
  scope: hash(scope),
  name: `${request}.${scope}`,
});

const cursors = createCursors(randomBytes(32));
const ORDERS = id('orders', 'ann');
const PLACE: Place = { epoch: 'e1f2a3b4', offset: 42, nonce: 7, token: Buffer.from('98') };

const places: fc.Arbitrary<Place> = fc.record({
  epoch: fc.string({ unit: fc.constantFrom(...'abcXYZ019'), maxLength: 16 }),
  offset: fc.maxSafeNat(),
  nonce: fc.nat({ max: 2 ** 32 - 1 }),
  token: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined }),
});

describe('a cursor', () => {
  test('gives back the place it was made of, in ASCII that fits a header, a URL and an SSE line', () => {
    fc.assert(
      fc.property(places, (place) => {
        const text = cursors.print(ORDERS, place);
        expect(text).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(cursors.parse(ORDERS, text)).toEqual({
          ...place,
          token: place.token && new Uint8Array(place.token),
        });
      }),
    );
  });

  test('of another stream is invalid, and of another scope of the same stream says so', () => {
    const text = cursors.print(ORDERS, PLACE);
    expect(cursors.parse(id('quotes', 'ann'), text)).toBe('cursor_invalid');
    expect(cursors.parse(id('orders', 'bob'), text)).toBe('scope_changed');
  });

  test('is refused when any of its bits was changed', () => {
    const text = cursors.print(ORDERS, PLACE);
    const bytes = Buffer.from(text, 'base64url');
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(cursors.parse(ORDERS, changed.toString('base64url'))).toBe('cursor_invalid');
    }
  });

  test('signed with another secret is refused', () => {
    expect(createCursors(randomBytes(32)).parse(ORDERS, cursors.print(ORDERS, PLACE))).toBe('cursor_invalid');
  });

  test.each([
    ['nothing', ''],
    ['a word', 'end'],
    ['half of one', cursors.print(ORDERS, PLACE).slice(0, 40)],
    ['base64 of another alphabet', 'a+b/'],
    ['what is not ASCII', '\u00e9'.repeat(80)],
    ['more than any cursor holds', 'A'.repeat(LONGEST_CURSOR + 1)],
  ])('is none: %s', (_, text) => {
    expect(cursors.parse(ORDERS, text)).toBe('cursor_invalid');
  });
});

const records: fc.Arbitrary<LogRecord> = fc.oneof(
  fc.record({ kind: fc.constant('begin' as const), token: fc.option(fc.uint8Array(), { nil: undefined }) }),
  fc.record({
    kind: fc.constant('message' as const),
    message: fc.uint8Array({ maxLength: 300 }),
    token: fc.option(fc.uint8Array(), { nil: undefined }),
  }),
  fc.record({
    kind: fc.constant('reset' as const),
    reason: fc.constantFrom('epoch_changed' as const, 'log_diverged' as const),
    token: fc.option(fc.uint8Array(), { nil: undefined }),
  }),
);

describe('a record of the log', () => {
  test('is read as it was written', () => {
    const plain = (record: LogRecord): unknown =>
      Object.fromEntries(
        Object.entries(record).map(([key, value]) => [key, value instanceof Uint8Array ? [...value] : value]),
      );
    fc.assert(
      fc.property(records, (record) => {
        expect(plain(parseRecord(printRecord(record)))).toEqual(plain(record));
      }),
    );
  });

  test('keeps how a stream ended, with the details of the status', () => {
    const details = [
      { typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: new Uint8Array([10, 1, 88]) },
    ];
    const error = new StatusError(Code.NOT_FOUND, 'no such room', {
      details,
      metadata: { 'x-why': 'closed' },
    });
    const record = parseRecord(printRecord({ kind: 'end', error, trailers: {} }));
    expect(record).toMatchObject({ kind: 'end', trailers: { 'x-why': 'closed' } });
    expect(record.kind === 'end' && record.error).toMatchObject({
      code: 5,
      message: 'no such room',
      details,
    });
    const good = parseRecord(printRecord({ kind: 'end', error: undefined, trailers: { 'x-total': '3' } }));
    expect(good).toEqual({ kind: 'end', error: undefined, trailers: { 'x-total': '3' } });
  });

  test('without the position of the service when that is longer than two bytes can say', () => {
    const record = parseRecord(
      printRecord({ kind: 'message', message: new Uint8Array([1]), token: new Uint8Array(70_000) }),
    );
    expect(record).toMatchObject({ kind: 'message', token: undefined });
  });

  test('of a kind that nobody knows is refused', () => {
    expect(() => parseRecord(new Uint8Array([9]))).toThrow('unknown kind 9');
    expect(() => parseRecord(new Uint8Array(0))).toThrow('unknown kind');
  });
});
