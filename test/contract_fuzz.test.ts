/** Damaged contracts are refused in words, whatever the damage: nothing but a ContractError comes out. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readAnnotations } from '../src/contract/annotations.js';
import { ContractError } from '../src/contract/contract.js';
import { loadContract } from '../src/contract/load.js';
import { describeProtos } from '../src/contract/protos.js';
import { folders, NOTHING } from './support/contracts/loading.js';
import { encodeSet, PROJECT } from './support/contracts/write.js';

afterAll(() => folders.remove());

const EVERYTHING = join(PROJECT, 'test/support/contracts/everything');

async function expectContractOrProblems(sources: Partial<typeof NOTHING>): Promise<void> {
  const result = await loadContract({ ...NOTHING, ...sources }).catch((error: unknown) => error);
  if (!(result instanceof ContractError)) return void expect(result).toHaveProperty('methods');
  expect(result.problems.length).toBeGreaterThan(0);
  expect(result.problems.every(({ problem }) => problem.trim() !== '')).toBe(true);
}

test('descriptor sets with damaged bytes', async () => {
  const whole = encodeSet(describeProtos({ protos: [EVERYTHING], includes: [] }).files);
  const path = join(folders.write({}), 'x.binpb');
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(damage, fc.option(fc.nat(whole.length)), async (bytes, end) => {
      const damaged = Uint8Array.from(whole);
      for (const [at, byte] of bytes) damaged[at] = byte;
      writeFileSync(path, damaged.subarray(0, end ?? whole.length));
      await expectContractOrProblems({ descriptors: [path] });
    }),
    { numRuns: 150 },
  );
});

test('.proto files with damaged text', async () => {
  const shelf = ['book', 'legacy', 'options'].map((name) => `shelf/${name}.proto`);
  const folder = folders.write(
    Object.fromEntries(shelf.map((name) => [name, readFileSync(join(EVERYTHING, name))])),
  );
  const tokens = readFileSync(join(EVERYTHING, 'shelf/book.proto'), 'utf8').match(/\w+|[^\w\s]|\s+/g) ?? [];
  const place = fc.nat(tokens.length - 1);
  const edit = fc.tuple(place, fc.constantFrom('cut', 'repeat', 'replace'), place);
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      const text = [...tokens];
      for (const [at, kind, other] of edits) {
        text.splice(at, kind === 'repeat' ? 0 : 1, ...(kind === 'cut' ? [] : [tokens[other] ?? '']));
      }
      writeFileSync(join(folder, 'shelf/book.proto'), text.join(''));
      await expectContractOrProblems({ protos: [folder] });
    }),
    { numRuns: 100 },
  );
});

test('options of any bytes', () => {
  const field = fc.record({
    no: fc.constantFrom(51801, 51802, 72295728),
    wireType: fc.nat(5),
    data: fc.uint8Array(),
  });
  fc.assert(
    fc.property(fc.array(field), (unknown) => {
      const problems: string[] = [];
      const options = { $unknown: unknown } as unknown as Parameters<typeof readAnnotations>[0];
      const { routes, access } = readAnnotations(options, (problem) => problems.push(problem));
      expect(routes.every(({ verb, template }) => verb !== '' && template !== '')).toBe(true);
      expect(access.public && access.permissions.length > 0 && problems.length === 0).toBe(false);
    }),
    { numRuns: 500 },
  );
});
