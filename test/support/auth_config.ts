/** The part `auth` of a configuration, from all places that it may come from, and what is wrong with it. */
import { expect } from 'vitest';
import { type Config, ConfigError, loadConfig } from '../../gateway/config.js';

export interface Given {
  /** What stands under `auth:`, as JSON, which is YAML. */
  readonly auth?: object;
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
}

export function load({ auth, argv = [], env = {}, files = {} }: Given): Config['auth'] {
  const all: Record<string, string> = {
    ...files,
    't.yaml': JSON.stringify(auth === undefined ? {} : { auth }),
  };
  const readFile = (path: string): string => {
    const text = all[path];
    if (text === undefined) throw Object.assign(new Error(`ENOENT ${path}`), { code: 'ENOENT' });
    return text;
  };
  return loadConfig({ argv: ['--upstream', 'a:1', '--config', 't.yaml', ...argv], env, readFile }).auth;
}

export function problems(given: Given): readonly string[] {
  try {
    load(given);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(ConfigError);
    return (thrown as ConfigError).problems;
  }
  return [];
}
