/** Users as a YAML or JSON file: hashes alone, never passwords. */
import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { parsePhc } from './phc.js';
import type { User } from './users.js';

const KEYS = new Set(['username', 'id', 'password', 'roles', 'permissions', 'disabled']);
/** What the gateway takes as a subject and as a role. */
const PRINTABLE = /^[\x20-\x7e]{1,256}$/;
/** RFC 6749, 3.3. */
const SCOPE = /^[\x21-\x7e]{1,256}$/;

/** Throws an error that lists everything that is wrong with the file, a line each, and never repeats a value. */
export function loadUsers(path: string): readonly User[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    throw new Error(`${path}: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  return parseUsers(text, path);
}

/** `name` is what errors call the text. */
export function parseUsers(text: string, name: string): readonly User[] {
  // Pretty errors show the line that is wrong, and a hash may stand there.
  const document = parseDocument(text, { prettyErrors: false });
  const [error] = document.errors;
  if (error) throw new Error(`${name}: not YAML (${error.code} at character ${error.pos[0]})`);
  const root: unknown = document.toJS();
  const list = isRecord(root) && Object.keys(root).length === 1 ? root.users : undefined;
  if (!Array.isArray(list)) throw new Error(`${name}: expected a list \`users\`, and nothing else`);
  const problems: string[] = [];
  const users = list.flatMap((entry: unknown, index) => {
    const at = `${name}: users[${index}]`;
    const found = isRecord(entry) ? problemsOf(entry) : [': expected an object'];
    problems.push(...found.map((problem) => `${at}${problem}`));
    return found.length === 0 ? [userOf(entry as unknown as Entry)] : [];
  });
  if (list.length === 0) problems.push(`${name}: users: expected at least one`);
  problems.push(...repeated(users, 'username', name), ...repeated(users, 'id', name));
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return users;
}

type Entry = Partial<Omit<User, 'username' | 'password'>> & Pick<User, 'username' | 'password'>;

function userOf({
  username,
  password,
  id = username,
  roles = [],
  permissions = [],
  disabled = false,
}: Entry) {
  return { id, username, password, roles, permissions, disabled };
}

function problemsOf(entry: Readonly<Record<string, unknown>>): string[] {
  const { username, id = username, password, roles = [], permissions = [], disabled = false } = entry;
  const problems = Object.keys(entry)
    .filter((key) => !KEYS.has(key))
    .map((key) => `.${key}: unknown key`);
  const expect = (holds: boolean, key: string, expected: string) => {
    if (!holds) problems.push(`.${key}: expected ${expected}`);
  };
  const named = typeof username === 'string' && username.length >= 1 && username.length <= 256;
  expect(named, 'username', 'a text of 1 to 256 characters');
  if (named)
    expect(isOf(PRINTABLE, id), 'id', 'printable ASCII, at most 256 characters; default: the username');
  expect(isListOf(PRINTABLE, roles), 'roles', 'a list of printable ASCII texts');
  expect(isListOf(SCOPE, permissions), 'permissions', 'a list of printable ASCII texts without spaces');
  expect(typeof disabled === 'boolean', 'disabled', 'true or false');
  const problem = passwordProblem(password);
  if (problem !== undefined) problems.push(`.password: ${problem}`);
  return problems;
}

function passwordProblem(password: unknown): string | undefined {
  if (typeof password !== 'string') return 'expected the hash that the command `hash` prints';
  if (!password.startsWith('$')) return 'expected the hash that the command `hash` prints, not a password';
  try {
    parsePhc(password);
    return undefined;
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

function repeated(users: readonly User[], key: 'username' | 'id', name: string): string[] {
  const seen = new Set<string>();
  return users.flatMap((user) => {
    const value = user[key].normalize('NFC');
    if (seen.has(value)) return [`${name}: users: the ${key} ${JSON.stringify(user[key])} is there twice`];
    seen.add(value);
    return [];
  });
}

const isOf = (syntax: RegExp, value: unknown): boolean => typeof value === 'string' && syntax.test(value);
const isListOf = (syntax: RegExp, value: unknown): boolean =>
  Array.isArray(value) && value.every((each) => isOf(syntax, each));

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
