/** The package as it is installed: a lock file that works on every platform, and nothing that Node 20 cannot run. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ROOT } from './support/probe.js';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly engines?: { readonly node?: string };
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as {
  packages: Record<string, Locked>;
};

describe('package-lock.json', () => {
  test('names no registry', () => {
    expect(Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });

  // npm leaves out what it could not look up when the file was written, and `npm ci` then refuses the whole file.
  test('has the packages of every platform', () => {
    const missing = Object.entries(packages).flatMap(([name, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (dependency) =>
          !(`node_modules/${dependency}` in packages) && !(`${name}/node_modules/${dependency}` in packages),
      ),
    );
    expect(missing).toEqual([]);
  });

  test('has nothing that refuses Node 20.19', () => {
    const refuses = (range: string): boolean =>
      !range.split('||').some((part) => {
        const [, major = '0', minor = '0'] = /(\d+)(?:\.(\d+))?/.exec(part) ?? [];
        if (/^\s*(\^|~)?\s*20\b/.test(part)) return Number(minor) <= 19;
        return /^\s*(>=|>)/.test(part)
          ? Number(major) < 20 || (Number(major) === 20 && Number(minor) <= 19)
          : false;
      }) && range !== '*';
    const bad = Object.entries(packages).filter(
      ([, { engines, optional }]) => engines?.node !== undefined && !optional && refuses(engines.node),
    );
    expect(bad.map(([name, { engines }]) => `${name}: ${engines?.node}`)).toEqual([]);
  });
});
