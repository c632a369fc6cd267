/** A command line, read against the flags that a command knows. */
import { parseArgs } from 'node:util';
import { suggest } from '../../src/nearest.js';
import type { Flag } from './settings.js';

export interface ParsedFlags {
  /** What was given, by flag, in order; a switch has `true` or `false`. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** Unknown flags, missing values, stray arguments: each a line that names its place. */
  readonly problems: readonly string[];
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number];
type OptionToken = Extract<Token, { kind: 'option' }>;

/** Never throws. Every flag of the line is read, so that all problems can be told at once. */
export function parseFlags(argv: readonly string[], flags: readonly Flag[]): ParsedFlags {
  const { tokens } = parseArgs({
    args: [...argv],
    options: optionsOf(flags),
    // Not strict: its errors end the parsing at the first problem, and suggest nothing.
    strict: false,
    tokens: true,
  });
  const known = new Map(flags.map((flag) => [flag.flag, flag]));
  const values = new Map<string, string[]>();
  const problems: string[] = [];
  let previousUnknown = false;
  for (const token of tokens as Token[]) {
    // What follows an unknown flag is most likely its value: one problem, not two.
    if (token.kind === 'positional' && !previousUnknown)
      problems.push(`unexpected argument '${token.value}'`);
    previousUnknown = token.kind === 'option' && flagOf(token.name, known) === undefined;
    if (token.kind !== 'option') continue;
    const read = readOption(token, known);
    if (read.problem !== undefined) problems.push(read.problem);
    else add(values, read.flag, read.value);
  }
  return { values, problems };
}

function add(values: Map<string, string[]>, { flag, repeatable }: Flag, value: string): void {
  const earlier = repeatable ? values.get(flag) : undefined;
  values.set(flag, [...(earlier ?? []), value]);
}

/** The flag of a name; a switch goes by `no-` and its name too. */
function flagOf(name: string, known: ReadonlyMap<string, Flag>): Flag | undefined {
  const negated = name.startsWith('no-') ? known.get(name.slice(3)) : undefined;
  return known.get(name) ?? (negated?.value === undefined ? negated : undefined);
}

type OptionRead =
  | { readonly flag: Flag; readonly value: string; readonly problem?: undefined }
  | { readonly problem: string };

function readOption(token: OptionToken, known: ReadonlyMap<string, Flag>): OptionRead {
  const flag = flagOf(token.name, known);
  if (flag === undefined) {
    const names = [...known.keys()].map((name) => `--${name}`);
    return { problem: `unknown flag ${token.rawName}${suggest(token.rawName, names)}` };
  }
  if (flag.value === undefined) {
    if (token.value !== undefined) return { problem: `flag ${token.rawName}: takes no value` };
    return { flag, value: String(token.name === flag.flag) };
  }
  const looksLikeFlag = !token.inlineValue && token.value?.startsWith('-') === true && token.value !== '-';
  if (token.value === undefined || token.value === '' || looksLikeFlag) {
    return { problem: `flag --${flag.flag}: expected ${flag.value}, as in --${flag.flag}=${flag.value}` };
  }
  return { flag, value: token.value };
}

function optionsOf(flags: readonly Flag[]) {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  for (const { flag, value } of flags) {
    options[flag] = { type: value === undefined ? 'boolean' : 'string' };
    if (flag === 'help') options[flag].short = 'h';
    if (value === undefined) options[`no-${flag}`] = { type: 'boolean' };
  }
  return options;
}
