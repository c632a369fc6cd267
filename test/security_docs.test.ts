/** The threat table: each row names tests that there are, each test of an attack stands in it, and what links to it finds it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from './support/probe.js';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const PAGE = read('docs/security.md');

interface Row {
  readonly threat: string;
  readonly defence: string;
  readonly tests: readonly { readonly file: string; readonly title: string | undefined }[];
}

/** Throws for a row that does not have three cells. */
function rowsOf(page: string): readonly Row[] {
  const lines = page.split('\n').filter((line) => /^\| (?!threat)/.test(line));
  return lines.map((line) => {
    const [threat = '', defence = '', named = '', ...more] = line.slice(2, -2).split(' | ');
    if (named === '' || more.length > 0) throw new Error(`not three cells: ${line}`);
    const tests: { file: string; title: string | undefined }[] = [];
    let file = '';
    for (const [, path, title] of named.matchAll(/`([^`]+)`|"([^"]+)"/g)) {
      if (path !== undefined) file = `test/${path}`;
      tests.push({ file, title });
    }
    return { threat, defence, tests };
  });
}

const rows = rowsOf(PAGE);

/** Whether the title is that of a test or a group: a whole string of the file, in quotes. */
function hasTitle(text: string, title: string): boolean {
  return [`'${title}'`, `"${title}"`, `\`${title}\``].some((literal) => text.includes(literal));
}

describe('the threat table', () => {
  test('says of each threat what is done and which test shows it', () => {
    expect(rows.length).toBeGreaterThan(60);
    for (const { threat, defence, tests } of rows) {
      expect([threat.trim(), defence.trim()], threat).not.toContain('');
      expect(tests.length, threat).toBeGreaterThan(0);
    }
    expect(new Set(rows.map(({ threat }) => threat)).size).toBe(rows.length);
  });

  test.each(rows.flatMap(({ tests }) => tests))('names $file, "$title"', ({ file, title }) => {
    expect(existsSync(join(ROOT, file)), file).toBe(true);
    if (title !== undefined) expect(hasTitle(read(file), title), title).toBe(true);
  });

  test('has every file of test/security', () => {
    const named = new Set(rows.flatMap(({ tests }) => tests.map(({ file }) => file)));
    const files = readdirSync(join(ROOT, 'test/security')).filter((name) => name.endsWith('.test.ts'));
    expect(files.length).toBeGreaterThan(15);
    expect(files.filter((name) => !named.has(`test/security/${name}`))).toEqual([]);
  });

  test('is read so that it could be wrong', () => {
    expect(hasTitle("test('a', () => {", 'b')).toBe(false);
    expect(hasTitle("test('a longer one', () => {", 'a longer')).toBe(false);
    expect(() => rowsOf('| a | b |')).toThrow('not three cells');
    expect(rowsOf('| a | b | `x.test.ts` "t", `y.test.ts` |')).toEqual([
      {
        threat: 'a',
        defence: 'b',
        tests: [
          { file: 'test/x.test.ts', title: undefined },
          { file: 'test/x.test.ts', title: 't' },
          { file: 'test/y.test.ts', title: undefined },
        ],
      },
    ]);
  });

  test('is linked from the pages that it was gathered from, by headings that there are', () => {
    const pages = [
      'README.md',
      'docs/access.md',
      'docs/limits.md',
      'docs/auth-service.md',
      'docs/architecture.md',
    ];
    for (const page of pages) expect(read(page), page).toContain('security.md');
    const slug = (heading: string) =>
      heading
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-');
    for (const [from, text] of ['docs/security.md', ...pages].map((page) => [page, read(page)] as const)) {
      for (const [, target = '', heading = ''] of text.matchAll(
        /\]\((?:docs\/)?([\w./-]*\.md)#([\w-]+)\)/g,
      )) {
        const folder = from === 'README.md' && !target.includes('/') ? 'docs' : from.replace(/[^/]+$/, '');
        const path = target.startsWith('../') ? target.slice(3) : join(folder, target);
        const headings = [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, line = '']) => slug(line));
        expect(headings, `${from} -> ${path}`).toContain(heading);
      }
    }
  });
});
