/** Bytes in pieces of any size come out as they went in, and many small ones cost little. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Pieces } from '../gateway/http/pieces.js';

test('what comes out is what went in, whatever the sizes', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 5 }),
    fc.uint8Array({ minLength: 1000, maxLength: 1100 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (list) => {
      const pieces = new Pieces();
      const buffers = list.map((bytes) => Buffer.from(bytes));
      for (const buffer of buffers) pieces.push(buffer);
      expect(pieces.length).toBe(Buffer.concat(buffers).length);
      expect(pieces.take()).toEqual(Buffer.concat(buffers));
      expect([pieces.length, pieces.take().length]).toEqual([0, 0]);
    }),
  );
});

test('a million pieces of one byte take a few megabytes', () => {
  const before = process.memoryUsage();
  const pieces = new Pieces();
  const block = Buffer.alloc(1000, 'a');
  for (let n = 0; n < 1_000_000; n++) pieces.push(block.subarray(n % 1000, (n % 1000) + 1));
  const after = process.memoryUsage();
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4_000_000);
  expect(pieces.take()).toHaveLength(1_000_000);
});
