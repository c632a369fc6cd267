/** The auth service's own command as a process: its users file, its settings, its `hash`, and what it says when they are wrong. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { AuthServiceClient } from '../gen/auth/v1/auth.js';
import { parsePhc, printPhc } from '../services/auth/phc.js';
import { settingsOf } from '../services/auth/settings.js';
import { parseUsers } from '../services/auth/users_file.js';
import { PASSWORD, user } from './support/auth.js';
import { ROOT } from './support/probe.js';
import { type Run, runService } from './support/service_process.js';
import { ask, refusalOf } from './support/services_client.js';

const MAIN = `${ROOT}dist/services/auth/main.js`;
const PATH = process.env.PATH ?? '';
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-auth-'));
  return () => rmSync(folder, { recursive: true });
});

function run(settings: Record<string, string>): Run {
  return runService('auth/main.js', { AUTH_PORT: '0', ...settings });
}

async function usersFile(username = 'ada', password?: string): Promise<string> {
  const path = join(folder, 'users.yaml');
  const hash = password ?? (await user()).password;
  writeFileSync(path, `users:\n  - username: ${username}\n    password: ${hash}\n    roles: [admin]\n`);
  return path;
}

const settings = { AUTH_ISSUER: 'https://auth.test', AUTH_AUDIENCE: 'api' };

async function clientOf({ prints }: Run): Promise<AuthServiceClient> {
  const [, address = ''] = await prints(/^auth on (127\.0\.0\.1:\d+), with 1 users?$/m);
  const client = new AuthServiceClient(address, credentials.createInsecure());
  onTestFinished(() => client.close());
  return client;
}

describe('the command', () => {
  test('serves the users of a file, reads them anew on SIGHUP, and keeps logins over a restart', async () => {
    const AUTH_USERS = await usersFile();
    const AUTH_STATE = join(folder, 'state.json');
    const first = run({ ...settings, AUTH_USERS, AUTH_STATE });
    const client = await clientOf(first);
    const { refreshToken } = await ask(client, client.login, { username: 'ada', password: PASSWORD });

    writeFileSync(AUTH_USERS, 'users: 1');
    first.child.kill('SIGHUP');
    await first.prints(/users\.yaml: expected a list `users`, and nothing else/);
    const second = await ask(client, client.refresh, { refreshToken });

    await usersFile('ben');
    first.child.kill('SIGHUP');
    await first.prints(/"event":"users_read","users":1/);
    const { code } = await refusalOf(ask(client, client.login, { username: 'ada', password: PASSWORD }));
    expect(code).toBe(16);
    await ask(client, client.login, { username: 'ben', password: PASSWORD });
    for (const secret of [PASSWORD, refreshToken, second.refreshToken, second.accessToken, '$scrypt']) {
      expect(first.output()).not.toContain(secret);
    }
    first.child.kill('SIGTERM');
    expect(await first.code).toBe(0);

    const again = await clientOf(run({ ...settings, AUTH_USERS, AUTH_STATE }));
    // Of ada: there is no such user any more.
    await refusalOf(ask(again, again.refresh, { refreshToken: second.refreshToken }));
    expect(JSON.parse(readFileSync(AUTH_STATE, 'utf8')).families).toHaveLength(1);
  });

  test('says everything that is wrong with its settings', async () => {
    const AUTH_REVOCATIONS_URL = 'http://gateway/-/revocations';
    const wrong = run({
      AUTH_PORT: 'x',
      AUTH_ALGORITHM: 'none',
      AUTH_ACCESS_SECONDS: '5',
      AUTH_REVOCATIONS_URL,
    });
    expect(await wrong.code).toBe(1);
    expect(wrong.output().trimEnd().split('\n')).toEqual([
      'AUTH_ALGORITHM: must be RS256 or ES256, not none',
      'AUTH_PORT: must be 0 to 65535, not x',
      'AUTH_USERS is missing: a YAML or JSON file of users',
      'AUTH_ISSUER is missing: what tokens say in iss, for example https://auth.example.com',
      'AUTH_AUDIENCE is missing: what tokens say in aud, for example the name of your API',
      'AUTH_ACCESS_SECONDS: must be 30 to 3600, not 5',
      'AUTH_REVOCATIONS_URL: must be https, or http on loopback',
    ]);
    const missing = run({ ...settings, AUTH_USERS: join(folder, 'no.yaml') });
    expect(await missing.code).toBe(1);
    expect(missing.output()).toMatch(/no\.yaml: ENOENT/);
    const unwritable = run({ ...settings, AUTH_USERS: await usersFile(), AUTH_STATE: '/proc/state.json' });
    expect(await unwritable.code).toBe(1);
    expect(unwritable.output()).toMatch(/\/proc\/state\.json/);
  });

  test.each([
    ['gateway', 'must be an URL such as https://gateway.internal/-/revocations'],
    ['https://u:secret@gateway/-/revocations', 'must have no user and password in it'],
    ['ftp://127.0.0.1/x', 'must be https, or http on loopback'],
    ['http://127.0.0.1.evil.test/', 'must be https, or http on loopback'],
  ])('takes no tokens back at %s', (AUTH_REVOCATIONS_URL, problem) => {
    const env = { ...settings, AUTH_USERS: 'f', AUTH_REVOCATIONS_URL };
    expect(() => settingsOf(env)).toThrow(new Error(`AUTH_REVOCATIONS_URL: ${problem}`));
  });

  test.each(['http://127.0.0.1:8080/-/revocations', 'http://[::1]/r', 'http://localhost/r', 'https://g/r'])(
    'takes tokens back at %s',
    (url) => {
      const env = { ...settings, AUTH_USERS: 'f' };
      expect(settingsOf({ ...env, AUTH_REVOCATIONS_URL: url }).revocationsUrl).toBe(url);
      expect(settingsOf({ ...env, AUTH_REVOCATIONS_URL: '' }).revocationsUrl).toBeUndefined();
    },
  );

  test('hash prints a hash of the line on stdin that a login fits', async () => {
    const hash = (input: string, ...more: string[]) =>
      spawnSync(process.execPath, [MAIN, 'hash', ...more], { input, env: { PATH }, encoding: 'utf8' });
    const { stdout, stderr, status } = hash('pass word \n');
    expect([stderr, status]).toEqual(['', 0]);
    expect(stdout).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[\w+/]{22}\$[\w+/]{43}\n$/);
    const client = await clientOf(run({ ...settings, AUTH_USERS: await usersFile('ada', stdout.trim()) }));
    await ask(client, client.login, { username: 'ada', password: 'pass word ' });
    await refusalOf(ask(client, client.login, { username: 'ada', password: 'pass word' }));

    for (const input of ['', '\n', 'two\nlines\n', 'x'.repeat(1025)]) {
      const refused = hash(input);
      expect([refused.status, refused.stdout]).toEqual([1, '']);
      expect(refused.stderr).toBe('expected a password on stdin: one line of 1 to 1,024 characters\n');
    }
    // A password as an argument can be read by everybody on the machine.
    expect(hash('', 'secret').stderr).toMatch(/^usage: /);
  });
});

const PHC = '$scrypt$ln=10,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA';

describe('the users file', () => {
  test('may be YAML or JSON, and needs no more than names and hashes', () => {
    const ada = { id: 'ada', username: 'ada', password: PHC, roles: [], permissions: [], disabled: false };
    expect(parseUsers(`users: [{username: ada, password: '${PHC}'}]`, 'f')).toEqual([ada]);
    const full = { ...ada, id: 'u1', roles: ['admin'], permissions: ['orders:*'], disabled: true };
    expect(parseUsers(JSON.stringify({ users: [full] }), 'f')).toEqual([full]);
  });

  test.each([
    ['', ['f: expected a list `users`, and nothing else']],
    ['users: []', ['f: users: expected at least one']],
    ['users: []\nuser: []', ['f: expected a list `users`, and nothing else']],
    ['users: [1]', ['f: users[0]: expected an object']],
    [
      `users: [{username: ada, password: secret-word}]`,
      ['f: users[0].password: expected the hash that the command `hash` prints, not a password'],
    ],
    [
      `users: [{username: '', password: '${PHC}', rolls: []}]`,
      ['f: users[0].rolls: unknown key', 'f: users[0].username: expected a text of 1 to 256 characters'],
    ],
    [
      `users: [{username: ada, id: "\\u00e9", roles: admin, permissions: ["a b"], disabled: 1, password: '${PHC}'}]`,
      [
        'f: users[0].id: expected printable ASCII, at most 256 characters; default: the username',
        'f: users[0].roles: expected a list of printable ASCII texts',
        'f: users[0].permissions: expected a list of printable ASCII texts without spaces',
        'f: users[0].disabled: expected true or false',
      ],
    ],
    [
      `users: [{username: ada, password: '${PHC}'}, {username: ada, id: ada, password: '${PHC}'}]`,
      ['f: users: the username "ada" is there twice', 'f: users: the id "ada" is there twice'],
    ],
    [`users: [{username: ada, password: '${PHC}'`, [/^f: not YAML \([A-Z_]+ at character \d+\)$/]],
  ])('refuses %s', (text, problems) => {
    let message = '';
    try {
      parseUsers(text, 'f');
    } catch (thrown) {
      ({ message } = thrown as Error);
    }
    const lines = message.split('\n');
    expect(lines).toHaveLength(problems.length);
    for (const [index, problem] of problems.entries()) expect(lines[index]).toMatch(problem);
    expect(message).not.toContain('secret-word');
    expect(message).not.toContain('$scrypt');
  });
});

describe('a hash as text', () => {
  test('is the same when it is printed again', () => expect(printPhc(parsePhc(PHC))).toBe(PHC));

  test.each([
    ['$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA', /^expected \$scrypt/],
    [PHC.replace('ln=10', 'ln=9'), /^scrypt: ln must be at least 10/],
    [PHC.replace('p=1', 'p=0'), /^scrypt: ln must be at least 10, r and p at least 1/],
    [PHC.replace('p=1', 'p=17'), /^scrypt: p must be at most 16/],
    [PHC.replace('ln=10', 'ln=19'), /^scrypt: ln and r need more than 256 MiB/],
    [PHC.replace('ln=10', 'ln=99'), /^scrypt: ln and r need more than 256 MiB/],
    [PHC.replace('r=8', 'r=999').replace('ln=10', 'ln=20'), /^scrypt: ln and r need more than 256 MiB/],
    ['$scrypt$ln=10,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA', /^salt: must have 8 to 64 bytes/],
    ['$scrypt$ln=10,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA', /^hash: must have 16 to 64 bytes/],
    [`${PHC.slice(0, -1)}B`, /^hash: expected base64 without padding/],
    [`${PHC}==`, /^expected \$scrypt/],
    [`${PHC}\n`, /^expected \$scrypt/],
  ])('refuses %s', (text, problem) => expect(() => parsePhc(text)).toThrow(problem));
});
