/** The guide to the auth service: its routes, its users file, its command and its settings are those that there are. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../gateway/config.js';
import { DEMO_PASSWORDS } from '../services/auth/demo.js';
import { parsePhc } from '../services/auth/phc.js';
import { parseUsers } from '../services/auth/users_file.js';
import { ROOT } from './support/probe.js';

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const GUIDE = read('docs/auth-service.md');
const block = (language: string): string =>
  new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(GUIDE)?.[1] ?? '';

describe('the guide to the auth service', () => {
  test('names every route, and only routes that there are', () => {
    const declared = [...read('proto/auth/v1/auth.proto').matchAll(/(?:get|post): "([^"]+)"/g)];
    const named = [...GUIDE.matchAll(/^\| `(?:GET|POST) (\/v1\/[^`]+)/gm)];
    expect(declared).toHaveLength(5);
    expect(named.map(([, path]) => path)).toEqual(declared.map(([, path]) => path));
  });

  test('shows a users file that can be read', () => {
    expect(parseUsers(block('yaml'), 'guide')).toMatchObject([{ username: 'ada', id: 'u-17' }]);
  });

  test('shows a configuration of the gateway that it takes', () => {
    const [, yaml = ''] = [...GUIDE.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
    const argv = ['--upstream', 'auth.v1=127.0.0.1:50053', '--config', 'tidegate.yaml'];
    const { auth } = loadConfig({ argv, env: {}, readFile: () => yaml });
    expect(auth.issuers).toMatchObject([
      { issuer: 'https://auth.example.com', audiences: ['api'], algorithms: ['RS256', 'ES256'] },
    ]);
  });

  test('shows how a password becomes a hash', () => {
    const env = { PATH: process.env.PATH };
    const { stdout } = spawnSync('bash', ['-c', block('sh')], {
      cwd: ROOT,
      env,
      input: 'a b\n',
      encoding: 'utf8',
    });
    expect(parsePhc(stdout.trim())).toMatchObject({ ln: 15, r: 8, p: 3 });
  });

  test('names every setting, and only settings that there are', () => {
    const names = (text: string) => [...new Set(text.match(/\bAUTH_[A-Z_]+\b/g))].sort();
    expect(names(GUIDE)).toEqual(names(read('services/auth/settings.ts')));
  });

  test('names the users of `npm start`, and tests that there are', () => {
    for (const password of Object.values(DEMO_PASSWORDS)) expect(GUIDE).toContain(`\`${password}\``);
    for (const [, path = ''] of GUIDE.matchAll(/\]\(\.\.\/([^)#]+)/g)) {
      expect(existsSync(join(ROOT, path)), path).toBe(true);
    }
  });
});
