/** Rules of channels as a JSON file, for the service that runs by itself; beside a gateway they stand in its configuration. */
import { readFileSync } from 'node:fs';
import { CHANNEL_GRANT, isChannelGrant } from '../../src/channel_grant.js';
import type { ChannelRule } from './rules.js';

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value !== '';
const isCount =
  (least: number): Check =>
  (value) =>
    Number.isSafeInteger(value) && (value as number) >= least;

const RETENTION = {
  entries: [isCount(1), 'a whole number from 1'],
  ageMs: [isCount(100), 'milliseconds from 100'],
  bytes: [isCount(1), 'a whole number from 1'],
} as const;

const RULE = {
  match: [isText, 'the name of a channel, with * for any text'],
  publish: [isChannelGrant, CHANNEL_GRANT],
  subscribe: [isChannelGrant, CHANNEL_GRANT],
  presence: [isChannelGrant, CHANNEL_GRANT],
  join: [isChannelGrant, CHANNEL_GRANT],
  capacity: [isCount(1), 'a whole number from 1'],
  lingerMs: [isCount(0), 'milliseconds'],
  retention: [(value: unknown) => isRecord(value), 'an object'],
} as const;

/** Throws an error that lists everything that is wrong with the file, a line each. */
export function loadRules(path: string): readonly ChannelRule[] {
  let rules: unknown;
  try {
    rules = JSON.parse(readFileSync(path, 'utf8'));
  } catch (thrown) {
    throw new Error(`${path}: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  if (!Array.isArray(rules)) throw new Error(`${path}: expected a list of rules`);
  const problems = rules.flatMap((rule, index) => problemsOf(rule, RULE, `${path}: [${index}]`));
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return rules as ChannelRule[];
}

type Shape = Readonly<Record<string, readonly [Check, string]>>;

function problemsOf(value: unknown, shape: Shape, at: string): string[] {
  if (!isRecord(value)) return [`${at}: expected an object`];
  const problems = Object.entries(value).flatMap(([key, held]) => {
    const [isRight, expected] = Object.hasOwn(shape, key) ? (shape[key] ?? []) : [];
    if (isRight === undefined) return [`${at}.${key}: unknown key`];
    if (!isRight(held)) return [`${at}.${key}: expected ${expected}`];
    return key === 'retention' ? problemsOf(held, RETENTION, `${at}.${key}`) : [];
  });
  if (shape === RULE && !('match' in value)) problems.push(`${at}: match is missing`);
  return problems;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
