/** The logs of one space in NATS: one stream, and a subject of it for each log. */
import { checkAppend, checkRead, checkRetention, KEY_MS } from './arguments.js';
import type {
  Appended,
  AppendOptions,
  Follower,
  Logs,
  NewEntry,
  Page,
  Position,
  ReadOptions,
  Retention,
  Tail,
} from './broker.js';
import type { NatsLink } from './nats_connection.js';
import type { NatsFollowers } from './nats_followers.js';
import { messageSize, NatsLog } from './nats_log.js';
import { logStream, logSubject, logSubjects, toldSubject, toldSubjects } from './nats_names.js';
import { MOST_ENTRIES } from './nats_record.js';
import { NatsStore } from './nats_store.js';

/** Where a log ends is remembered for this long after its last entry has aged; then its next append begins a new epoch. */
const FORGOTTEN_MS = 24 * 3_600_000;
/** Of a message, for its headers. */
const HEADER_BYTES = 1024;
/** Logs of which is remembered where they end. */
const KNOWN = 10_000;
/** How often is looked for logs that have aged as a whole. */
const TIDY_MS = 30_000;
const TIDY_AT_LEAST_MS = 500;

export interface NatsLogsOptions {
  readonly space: string;
  readonly retention: Retention;
  readonly link: NatsLink;
  readonly followers: NatsFollowers;
}

export class NatsLogs implements Logs {
  readonly #options: NatsLogsOptions;
  readonly #store: NatsStore;
  readonly #logs = new Map<string, NatsLog>();
  readonly #tidy: NodeJS.Timeout;

  constructor(options: NatsLogsOptions) {
    const { space, retention, link } = options;
    checkRetention(retention);
    const { entries, ageMs } = retention;
    this.#options = options;
    this.#store = new NatsStore(link, {
      name: logStream(space),
      subjects: [logSubjects(space)],
      // One more: the record of where it ends.
      messages: Math.min(entries + 1, Number.MAX_SAFE_INTEGER),
      ageMs: ageMs + FORGOTTEN_MS,
      idMs: Math.min(KEY_MS, ageMs),
      told: toldSubjects(space),
    });
    const tidyMs = Math.max(TIDY_AT_LEAST_MS, Math.min(TIDY_MS, ageMs / 4));
    this.#tidy = setInterval(() => void this.#dropAged(), tidyMs).unref();
  }

  async append(name: string, entries: readonly NewEntry[], options: AppendOptions = {}): Promise<Appended> {
    checkAppend(entries, options);
    const log = this.#log(name);
    const [first, ...others] = this.#messages(entries) as [NewEntry[], ...NewEntry[][]];
    const done = await log.append({ ...options, entries: first });
    const positions: Position[] = [...done.positions];
    for (const part of others) {
      const at = positions.at(-1) as Position;
      const expect = options.expect && { epoch: done.epoch, ...at };
      positions.push(...(await log.append({ entries: part, expect })).positions);
    }
    return { ...done, positions };
  }

  async read(name: string, options: ReadOptions): Promise<Page> {
    checkRead(options);
    return this.#log(name).read(options);
  }

  async tail(name: string): Promise<Tail> {
    return this.#log(name).tail();
  }

  follow(name: string, follower: Follower): Promise<() => void> {
    const { space, followers } = this.#options;
    const store = this.#store;
    const answered = (): Promise<unknown> => store.last(logSubject(space, name));
    return followers.follow(toldSubject(space, name), follower, answered);
  }

  close(): void {
    clearInterval(this.#tidy);
  }

  /** As few messages as will do; each is stored as a whole. */
  #messages(entries: readonly NewEntry[]): NewEntry[][] {
    const most = this.#options.link.mostBytes() - HEADER_BYTES;
    const parts: NewEntry[][] = [[]];
    let size = 0;
    for (const entry of entries) {
      const own = messageSize([entry]);
      if (own > most) {
        throw new RangeError(
          `an entry of ${entry.data.length} bytes: the server takes messages of ${most + HEADER_BYTES} (max_payload)`,
        );
      }
      const part = parts.at(-1) as NewEntry[];
      size += own;
      if (part.length < MOST_ENTRIES && size <= most) part.push(entry);
      else {
        parts.push([entry]);
        size = own;
      }
    }
    return parts;
  }

  #log(name: string): NatsLog {
    const { space, retention, link } = this.#options;
    const log =
      this.#logs.get(name) ??
      new NatsLog({
        store: this.#store,
        subject: logSubject(space, name),
        retention,
        callMs: link.callMs,
      });
    // The last one that was asked for is the last one of the map.
    this.#logs.delete(name);
    this.#logs.set(name, log);
    if (this.#logs.size > KNOWN) this.#forgetOne();
    return log;
  }

  #forgetOne(): void {
    for (const [name, log] of this.#logs) {
      if (!log.isIdle) continue;
      this.#logs.delete(name);
      return;
    }
  }

  async #dropAged(): Promise<void> {
    const now = Date.now();
    for (const [name, log] of this.#logs) {
      const dropped = await log.dropAged(now).catch(() => false);
      if (dropped && log.isIdle) this.#logs.delete(name);
    }
  }
}
