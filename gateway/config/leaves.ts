/** The kinds of values that settings have: how each is read, and what is said of one that is none. */
import { z } from 'zod';
import { parseDuration, parseSize } from './units.js';

export const MIB = 1024 ** 2;

/** A setting whose problem reads `expected ..., not '...'`. The same parser serves flags, environment and YAML. */
export function leaf<T>(expected: string, parse: (value: unknown) => T | undefined) {
  return leafOf(parse, (value) => `expected ${expected}, not ${show(value)}`);
}

/** The same for what may hold a secret: its problem reads `expected ...` alone, whatever was given. */
export function hiddenLeaf<T>(expected: string, parse: (value: unknown) => T | undefined) {
  return leafOf(parse, () => `expected ${expected}`);
}

function leafOf<T>(parse: (value: unknown) => T | undefined, problem: (value: unknown) => string) {
  return z.unknown().transform((value, context): T => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: problem(value) });
    return z.NEVER;
  });
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}...` : value}'`;
  if (value === undefined) return 'nothing';
  return typeof value === 'object' ? (Array.isArray(value) ? 'a list' : 'a mapping') : String(value);
}

export const text = (what: string) =>
  leaf(what, (value) => (typeof value === 'string' && value !== '' ? value : undefined));

export const texts = (what: string) => z.array(text(what)).default([]);

export const within = (value: number | undefined, min: number, max: number) =>
  value !== undefined && value >= min && value <= max ? value : undefined;

export const whole = (what: string, min: number, max: number) =>
  leaf(`${what} between ${min} and ${max}`, (value) =>
    /^\d{1,15}$/.test(String(value)) ? within(Number(value), min, max) : undefined,
  );

/** Node's largest Buffer is larger; nothing that the gateway holds whole should be. */
export const size = (min: number) =>
  leaf(`a size such as ${2 * MIB} or 2MiB, from ${min} bytes to 1GiB`, (value) =>
    within(parseSize(value), min, 1024 * MIB),
  );

/** A timer of Node holds at most 2^31 - 1 ms, and fires at once when asked for more. */
export const duration = (min: number) =>
  leaf(`a duration such as 1500 (ms), 1500ms or 30s, from ${min}ms to 24d`, (value) =>
    within(parseDuration(value), min, 2 ** 31 - 1),
  );

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  '1': true,
  false: false,
  no: false,
  off: false,
  '0': false,
};

export const boolean = () =>
  leaf('true or false', (value) =>
    Object.hasOwn(BOOLEANS, String(value).toLowerCase()) ? BOOLEANS[String(value).toLowerCase()] : undefined,
  );

export const oneOf = <const T extends string>(values: readonly T[]) =>
  leaf(`one of ${values.join(', ')}`, (value) => values.find((candidate) => candidate === value));

export const header = leaf('the name of a header', (value) =>
  typeof value === 'string' && /^[a-z0-9._-]+$/i.test(value) ? value.toLowerCase() : undefined,
);
