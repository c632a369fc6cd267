/** The three sources of a configuration, merged into one tree that remembers where each value came from. */
import { dirname, isAbsolute, join } from 'node:path';
import { isMap, LineCounter, parseDocument } from 'yaml';
import { nearest } from '../../src/nearest.js';
import { resolveAccessPaths } from './access_problems.js';
import type { ParsedFlags } from './flags.js';
import type { ParsedKey } from './schema.js';
import { KEY_SETTINGS, SETTINGS, type Setting, STREAM_SECRET } from './settings.js';

export type Environment = Readonly<Record<string, string | undefined>>;
export type ReadFile = (path: string) => string;
export type Tree = Record<string, unknown>;

/** A way of verifying tokens, before its file is read. */
export interface GivenKey {
  readonly place: string;
  readonly key: ParsedKey;
}

export interface Merged {
  /** Not validated yet, but what is set from flags and environment is where the schema wants it. */
  readonly tree: Tree;
  /** From flags and environment; apart, since they replace keys of the tree one algorithm at a time. */
  readonly keys: readonly GivenKey[];
  /** `flag --port`, `environment PORT` or `tidegate.yaml: limits.bodyBytes`. */
  readonly placeOf: (path: readonly PropertyKey[]) => string;
  readonly problems: readonly string[];
  /** The YAML file, if there is one. */
  readonly file?: string | undefined;
}

interface Given {
  readonly place: string;
  readonly values: readonly string[];
}

/** Flags win over the environment, the environment over the file. A list is replaced as a whole, never joined. */
export function mergeSources(flags: ParsedFlags, env: Environment, readFile: ReadFile): Merged {
  const places = new Map<string, string>();
  const problems = [...flags.problems, ...misspelt(env)];
  const given = (setting: Setting) => givenBy(setting, flags, env);

  const file = given(settingOf('config'));
  const path = file?.values.at(-1);
  const tree = file && path ? readYaml(file.place, path, readFile, problems) : {};

  for (const setting of SETTINGS) {
    const found = setting.path && given(setting);
    if (!found || !setting.path) continue;
    if (put(tree, setting.path, setting.repeatable ? found.values : found.values.at(-1))) {
      places.set(setting.path.join('.'), found.place);
    }
  }
  putSecret(tree, env, places, problems);
  const keys = givenKeys(flags, env, problems);
  return { tree, keys, problems, file: path, placeOf: (at) => placeOf(at, places, path) };
}

function givenBy(setting: Setting, flags: ParsedFlags, env: Environment): Given | undefined {
  const values = flags.values.get(setting.flag);
  if (values !== undefined) return { place: `flag --${setting.flag}`, values };
  for (const name of setting.env) {
    const value = env[name];
    // Compose files and shells set variables to nothing when they mean to leave them out.
    if (value === undefined || value === '' || setByKubernetes(name, value)) continue;
    const list = value.split(',').map((part) => part.trim());
    return {
      place: `environment ${name}`,
      values: setting.repeatable ? list.filter((part) => part !== '') : [value],
    };
  }
  return undefined;
}

function settingOf(flag: string): Setting {
  return SETTINGS.find((setting) => setting.flag === flag) as Setting;
}

/** The keys of flags and environment, each with its place. */
function givenKeys(flags: ParsedFlags, env: Environment, problems: string[]): GivenKey[] {
  return KEY_SETTINGS.flatMap(({ algorithm, flag, variable }): GivenKey[] => {
    const file = givenBy(settingOf(flag), flags, env);
    const key = env[variable] || undefined;
    if (file?.place.startsWith('environment') && key !== undefined) {
      problems.push(`${file.place}: give this or ${variable}, not both`);
    }
    if (file !== undefined) return [{ place: file.place, key: { algorithm, keyFile: file.values.at(-1) } }];
    return key === undefined ? [] : [{ place: `environment ${variable}`, key: { algorithm, key } }];
  });
}

/** The secret of the cursors has no flag either. Whichever way it is given, it replaces what the file says in the other way. */
function putSecret(tree: Tree, env: Environment, places: Map<string, string>, problems: string[]): void {
  const path = ['streams', 'secretFile'];
  const file = places.get(path.join('.'));
  const secret = env[STREAM_SECRET] || undefined;
  if (secret === undefined && file === undefined) return;
  if (secret !== undefined && file?.startsWith('environment'))
    problems.push(`${file}: give this or ${STREAM_SECRET}, not both`);
  if (file !== undefined) {
    put(tree, ['streams', 'secret'], undefined);
    return;
  }
  put(tree, path, undefined);
  if (put(tree, ['streams', 'secret'], secret)) places.set('streams.secret', `environment ${STREAM_SECRET}`);
}

/** Sets a value inside a tree. False when a parent is no mapping: the schema then says so of the parent. */
function put(tree: Tree, path: readonly string[], value: unknown): boolean {
  let node = tree;
  for (const part of path.slice(0, -1)) {
    node[part] ??= {};
    if (typeof node[part] !== 'object' || Array.isArray(node[part])) return false;
    node = node[part] as Tree;
  }
  node[path.at(-1) as string] = value;
  return true;
}

function placeOf(at: readonly PropertyKey[], places: ReadonlyMap<string, string>, file?: string): string {
  for (let length = at.length; length > 0; length--) {
    const place = places.get(at.slice(0, length).join('.'));
    if (place !== undefined) return place;
  }
  return file === undefined ? printPath(at) : [file, printPath(at)].filter(Boolean).join(': ');
}

/** `upstreams[1].address` */
function printPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : `${text}${text && '.'}${String(part)}`),
    '',
  );
}

function readYaml(place: string, path: string, readFile: ReadFile, problems: string[]): Tree {
  let text: string;
  try {
    text = readFile(path);
  } catch (thrown) {
    problems.push(`${place}: cannot read ${path}: ${reasonOf(thrown)}`);
    return {};
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  for (const { message, pos } of document.errors) {
    problems.push(`${path}:${lines.linePos(pos[0]).line}: not valid YAML: ${message}`);
  }
  if (document.errors.length > 0 || document.contents === null) return {};
  if (!isMap(document.contents)) {
    problems.push(`${path}: expected a mapping of settings`);
    return {};
  }
  const tree = withoutNulls(document.toJS({ maxAliasCount: 100 })) as Tree;
  resolvePaths(tree, dirname(path));
  return tree;
}

/** A key whose value is commented out is a key that is left out. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== null)
      .map(([name, entry]) => [name, withoutNulls(entry)]),
  );
}

/** Settings that are files, wherever they stand. */
const FILES: ReadonlySet<string> = new Set(['caFile', 'certFile', 'keyFile', 'secretFile']);
/** Mappings whose keys are names that users give, such as headers and roles: none of them is a setting. */
const USER_NAMED: ReadonlySet<string> = new Set([
  'claims',
  'audiences',
  'requiredClaims',
  'roles',
  'inherits',
]);

/** Paths in a file are relative to the file, so that it means the same wherever the gateway is started from. */
function resolvePaths(tree: Tree, folder: string): void {
  const resolve = (path: unknown) =>
    typeof path === 'string' && path !== '' && !isAbsolute(path) ? join(folder, path) : path;
  const contract = tree.contract as Tree | undefined;
  for (const name of ['protos', 'includes', 'descriptors', 'serviceConfigs']) {
    if (Array.isArray(contract?.[name])) contract[name] = contract[name].map(resolve);
  }
  resolveAccessPaths(tree, resolve);
  eachNode(tree, (node) => {
    for (const name of Object.keys(node)) if (FILES.has(name)) node[name] = resolve(node[name]);
  });
}

/** Every mapping of a tree whose keys are settings, its root too. */
function eachNode(value: unknown, visit: (node: Tree) => void): void {
  if (Array.isArray(value)) for (const entry of value) eachNode(entry, visit);
  else if (typeof value === 'object' && value !== null) {
    visit(value as Tree);
    for (const [name, entry] of Object.entries(value)) if (!USER_NAMED.has(name)) eachNode(entry, visit);
  }
}

/** Why a file could not be read, in plain words. */
export function reasonOf(thrown: unknown): string {
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return 'no such file';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EISDIR') return 'it is a folder';
  return thrown instanceof Error ? thrown.message : String(thrown);
}

const VARIABLES = [
  ...SETTINGS.flatMap(({ env }) => env),
  ...KEY_SETTINGS.map(({ variable }) => variable),
  STREAM_SECRET,
].filter((name) => name.startsWith('TIDEGATE_'));

/** Other programs may have TIDEGATE_ variables of their own; one that is a letter away from ours is a spelling mistake. */
function misspelt(env: Environment): string[] {
  return Object.keys(env).flatMap((name) => {
    if (!name.startsWith('TIDEGATE_') || VARIABLES.includes(name)) return [];
    const meant = setByKubernetes(name, env[name] ?? '') ? undefined : nearest(name, VARIABLES, 1);
    return meant === undefined ? [] : [`environment ${name}: unknown variable; did you mean ${meant}?`];
  });
}

/**
 * Beside a Service named `tidegate`, Kubernetes sets TIDEGATE_PORT=tcp://10.0.0.1:8080, TIDEGATE_SERVICE_HOST and
 * more in every pod (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
function setByKubernetes(name: string, value: string): boolean {
  if (name === 'TIDEGATE_PORT') return /^(?:tcp|udp|sctp):\/\//.test(value);
  return /^TIDEGATE_(?:SERVICE_(?:HOST|PORT)|PORT_\d+_)/.test(name);
}
