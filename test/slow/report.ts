/** A long check: its options, a line for each thing that had to hold, and `N passed, N failed` in the end. */

export interface Report {
  /** Something that had to hold. */
  expect(holds: boolean, what: string): void;
  /** Prints the last line and sets the exit code of the process. */
  end(): void;
}

/** As the command line names them, with what they are if it does not. */
const options = new Map<string, string | number>();

/** Called when all options have been read: ends the process after `--help`. Throws for arguments that are no options. */
export function createReport(): Report {
  readHelp(process.argv.slice(2));
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

function readHelp(argv: readonly string[]): void {
  const known = [...options].map(([option, preset]) => `${option} ${preset}`).join(' ');
  if (argv.includes('--help')) {
    process.stdout.write(`options, with their defaults: ${known}\n`);
    process.exit();
  }
  for (let index = 0; index < argv.length; index += 2) {
    const option = argv[index] as string;
    if (!options.has(option)) throw new Error(`${option}: no such option; there are: ${known}`);
  }
}

function given(name: string, preset: string | number): string | undefined {
  options.set(`--${name}`, preset);
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : (process.argv[at + 1] ?? '');
}

/** `--name value` of the command line, as a number. Throws for what is none. */
export function numberOption(name: string, preset: number): number {
  const text = given(name, preset);
  if (text === undefined) return preset;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new Error(`--${name}: expected a number above 0, not ${JSON.stringify(text)}`);
  return value;
}

/** `--name value` of the command line: one of some words. */
export function wordOption<const T extends string>(name: string, words: readonly T[], preset: T): T {
  const text = given(name, preset);
  if (text === undefined) return preset;
  const value = words.find((word) => word === text);
  if (value === undefined)
    throw new Error(`--${name}: expected one of ${words.join(', ')}, not ${JSON.stringify(text)}`);
  return value;
}
