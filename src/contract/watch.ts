/** Notices that files of a contract were written, added or removed: by looking, since no notification is reliable everywhere. */
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isProtoEntry } from './proto_files.js';

export interface WatchOptions {
  /** .proto files, and folders in which a new .proto file counts. */
  readonly protos: readonly string[];
  /** Absolute or relative paths of all that was read, or looked for in vain, when the contract was loaded last. */
  readonly files: () => Iterable<string>;
  /** When that began, in ms since the epoch: what is newer has not been seen. */
  readonly since: () => number;
  /** Between two looks, in ms. More where a look takes long, so that looking costs at most a fiftieth of the time. */
  readonly intervalMs: number;
  /** Called when something has changed and has stood still for a moment. Looking goes on when it is done. Never rejects. */
  readonly onChange: () => Promise<void>;
}

export interface Watch {
  close(): void;
}

/** By path: what changes when the file does. */
type Look = ReadonlyMap<string, Seen>;
interface Seen {
  readonly mark: string;
  /** Of the last change to the file or its name, in ms since the epoch; 0: there is no such file. */
  readonly changedAt: number;
}

/** What is written to is left alone until nothing has changed for so long, in ms. */
const SETTLE_MS = 150;
/** Something is loaded after so many looks although it never stands still. */
const MOST_LOOKS = 40;
/** File systems tell times in steps of their clock, which may lag behind ours. */
const CLOCK_MS = 50;
const SHARE = 50;

/** Folders that links lead to are not looked into; a link that leads elsewhere than before is a change. */
export function watchFiles(options: WatchOptions): Watch {
  let closed = false;
  let timer: NodeJS.Timeout | undefined;
  let last: Look = new Map();

  const wait = (ms: number): void => {
    if (closed) return;
    timer = setTimeout(() => void tick(), ms);
    timer.unref();
  };

  const tick = async (): Promise<void> => {
    const start = performance.now();
    const now = await look(options);
    const tookMs = performance.now() - start;
    const changed = differ(last, now, options.since());
    last = now;
    if (changed && !closed) {
      last = await settle(options, now);
      if (!closed) await options.onChange();
    }
    wait(Math.max(options.intervalMs, tookMs * SHARE));
  };

  wait(options.intervalMs);
  return {
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** Looks until two looks in a row are the same. A file that is replaced may be half written, or missing for a moment. */
async function settle(options: WatchOptions, first: Look): Promise<Look> {
  let before = first;
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    await new Promise<void>((done) => setTimeout(done, SETTLE_MS).unref());
    const after = await look(options);
    if (!differ(before, after, Date.now())) return after;
    before = after;
  }
  return before;
}

/** A file that the last look did not know is news if it is newer than what was loaded. */
function differ(before: Look, after: Look, since: number): boolean {
  for (const [path, { mark, changedAt }] of after) {
    const known = before.get(path);
    if (known === undefined ? changedAt > since - CLOCK_MS : known.mark !== mark) return true;
  }
  return false;
}

async function look({ protos, files }: WatchOptions): Promise<Look> {
  const paths = new Set(files());
  for (const proto of protos) for (const path of await listFolder(proto)) paths.add(path);
  const seen = new Map<string, Seen>();
  await Promise.all([...paths].map(async (path) => seen.set(path, await see(path))));
  return seen;
}

/** The .proto files in a folder, absolute; none when it is a file, or cannot be read. */
async function listFolder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, encoding: 'utf8' }).catch(() => []);
  return entries.filter(isProtoEntry).map((entry) => join(resolve(path), entry));
}

async function see(path: string): Promise<Seen> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  if (found === undefined) return { mark: '', changedAt: 0 };
  const { dev, ino, size, mtimeNs, ctimeMs, mtimeMs } = found;
  const changedAt = Math.max(Number(ctimeMs), Number(mtimeMs));
  return { mark: `${dev} ${ino} ${size} ${mtimeNs}`, changedAt };
}
