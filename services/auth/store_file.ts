/** The store as one file, so that a restart ends no login and changes no key. For one process, and for thousands of logins rather than millions. */
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AuthStore, type Contents, createMemoryStore, type Family, type StoredKey } from './store.js';

const VERSION = 1;

/**
 * Reads the file if there is one, and writes it whole after each change, as 0600: it holds the private keys. Whoever changes something waits
 * until it is on the disk; changes that come while it is written share the next writing. Throws for a file that is not one of this version.
 */
export async function openFileStore(path: string): Promise<AuthStore> {
  const contents = await readContents(path);
  let writing: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;

  const save = (current: () => Contents): Promise<void> => {
    next ??= writing
      .catch(() => {})
      .then(() => {
        next = undefined;
        writing = writeWhole(path, JSON.stringify({ version: VERSION, ...current() }));
        return writing;
      });
    return next;
  };
  const store = createMemoryStore(contents, save);
  // Now rather than at the first login: a place where nothing can be written is told at the start.
  await save(() => contents);
  return {
    ...store,
    close: async () => {
      await next?.catch(() => {});
      await writing.catch(() => {});
    },
  };
}

/** There is always a whole file: the old one or the new one. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  await withFile(draft, 'wx', async (file) => {
    await file.writeFile(text);
    await file.sync();
  });
  await rename(draft, path);
  // The renaming is on the disk when its folder is.
  await withFile(dirname(path), 'r', (folder) => folder.sync());
}

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<void>) {
  const file = await open(path, flags, 0o600);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

async function readContents(path: string): Promise<Contents> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return { keys: [], families: [] };
    throw new Error(`${path}: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    // The error would repeat a piece of the text.
    throw new Error(`${path}: not JSON`);
  }
  if (
    !isRecord(root) ||
    root.version !== VERSION ||
    !isList(root.keys, isKey) ||
    !isList(root.families, isFamily)
  ) {
    throw new Error(`${path}: not the state of an auth service of version ${VERSION}`);
  }
  return { keys: root.keys as StoredKey[], families: root.families as Family[] };
}

const isList = (value: unknown, isEntry: (entry: Readonly<Record<string, unknown>>) => boolean): boolean =>
  Array.isArray(value) && value.every((entry) => isRecord(entry) && isEntry(entry));
const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

const isKey = ({ algorithm, privateKey, usedFrom, usedUntil }: Readonly<Record<string, unknown>>): boolean =>
  (algorithm === 'RS256' || algorithm === 'ES256') &&
  isText(privateKey) &&
  Number.isFinite(usedFrom) &&
  Number.isFinite(usedUntil);

function isFamily(family: Readonly<Record<string, unknown>>): boolean {
  const { id, userId, passwordDigest, current, previous, usedAt, endsAt, access } = family;
  const isPrevious = isRecord(previous) ? isText(previous.digest) && Number.isFinite(previous.at) : !previous;
  return (
    [id, userId, passwordDigest, current].every(isText) &&
    [usedAt, endsAt].every(Number.isFinite) &&
    isPrevious &&
    (access === undefined || isList(access, (one) => isText(one.id) && Number.isFinite(one.expiresAt)))
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
