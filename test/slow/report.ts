/** What a long check says in the end: a line for each thing that had to hold, and `N passed, N failed`. */

export interface Report {
  /** Something that had to hold. */
  expect(holds: boolean, what: string): void;
  /** Prints the last line and sets the exit code of the process. */
  end(): void;
}

export function createReport(): Report {
  let passed = 0;
  let failed = 0;
  return {
    expect: (holds, what) => {
      if (holds) passed++;
      else failed++;
      process.stdout.write(`${holds ? 'ok    ' : 'FAILED'} ${what}\n`);
    },
    end: () => {
      process.stdout.write(`${passed} passed, ${failed} failed\n`);
      if (failed > 0) process.exitCode = 1;
    },
  };
}

/** `--name value` of the command line, as a number. Throws for what is none. */
export function numberOption(name: string, preset: number): number {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return preset;
  const value = Number(process.argv[at + 1]);
  if (!Number.isFinite(value) || value <= 0)
    throw new Error(`--${name}: expected a number above 0, not ${process.argv[at + 1]}`);
  return value;
}

/** `--name value` of the command line: one of some words. */
export function wordOption<const T extends string>(name: string, words: readonly T[], preset: T): T {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return preset;
  const value = words.find((word) => word === process.argv[at + 1]);
  if (value === undefined)
    throw new Error(`--${name}: expected one of ${words.join(', ')}, not ${process.argv[at + 1]}`);
  return value;
}
