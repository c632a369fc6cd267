/** The logs of one space in Redis. */
import { randomBytes } from 'node:crypto';
import { checkAppend, checkRead, checkRetention, KEY_MS, PAGE_BYTES } from './arguments.js';
import {
  type Appended,
  type AppendOptions,
  type Entry,
  type Follower,
  LogConflict,
  type Logs,
  type NewEntry,
  type Page,
  type ReadOptions,
  type Retention,
  type Tail,
} from './broker.js';
import type { RedisArgument, RedisConnection } from './redis_connection.js';
import type { RedisFollowers } from './redis_followers.js';
import { idempotencyKey, logChannel, logKeys } from './redis_keys.js';
import { APPEND, READ } from './redis_scripts.js';

/** Where a log ends is remembered for this long after its last entry has aged; then its next append begins a new epoch. */
const FORGOTTEN_MS = 7 * 24 * 3_600_000;

/** Larger appends are told without their data, which followers then read: a message goes to every node, and has to fit its buffer. */
const PUBLISHED_BYTES = 64 << 10;

/** Entries of one page, whatever is asked for. */
const PAGE_ENTRIES = 10_000;

/** `offset-time`, and n nonce, c sum, d data. */
type StreamEntry = readonly [id: Buffer, fields: readonly Buffer[]];

export interface RedisLogsOptions {
  readonly space: string;
  readonly retention: Retention;
  readonly database: number;
  readonly connection: RedisConnection;
  readonly followers: RedisFollowers;
}

export class RedisLogs implements Logs {
  readonly #options: RedisLogsOptions;
  readonly #ageMs: string;
  /** Arguments 2 to 5 of APPEND. */
  readonly #limits: readonly string[];
  readonly #keyMs: string;

  constructor(options: RedisLogsOptions) {
    const { entries, ageMs, bytes } = options.retention;
    checkRetention(options.retention);
    this.#options = options;
    this.#ageMs = String(ageMs);
    this.#limits = [entries, ageMs, bytes, ageMs + FORGOTTEN_MS].map(String);
    this.#keyMs = String(Math.min(KEY_MS, ageMs));
  }

  async append(name: string, entries: readonly NewEntry[], options: AppendOptions = {}): Promise<Appended> {
    checkAppend(entries, options);
    const { space, database, connection } = this.#options;
    const { key, expect } = options;
    const { stream, hash } = logKeys(space, name);
    const keys = key === undefined ? [stream, hash] : [stream, hash, idempotencyKey(space, name, key)];
    const args: RedisArgument[] = [
      randomBytes(6).toString('hex'),
      ...this.#limits,
      logChannel(database, space, name),
      String(PUBLISHED_BYTES),
      this.#keyMs,
      expect ? (expect.epoch ?? '') : '-',
      String(expect?.offset ?? 0),
      String(expect?.nonce ?? 0),
    ];
    for (const { nonce, data } of entries) {
      args.push(String(nonce), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    }
    const answer = (await connection.run(APPEND, keys, args)) as [number, Buffer, ...number[]];
    const [result, epoch, offset = 0, nonce = 0, first = 0] = answer;
    if (result === 1) throw new LogConflict({ epoch: epoch.toString() || undefined, offset, nonce, first });
    const positions =
      result === 2
        ? [{ offset, nonce }]
        : entries.map(({ nonce }, index) => ({ offset: offset + index, nonce }));
    return { epoch: epoch.toString(), positions, duplicate: result === 2 };
  }

  async read(name: string, options: ReadOptions): Promise<Page> {
    checkRead(options);
    return this.#read(name, options);
  }

  async tail(name: string): Promise<Tail> {
    const { tail } = await this.#read(name, { after: 0, limit: 0 });
    return tail;
  }

  follow(name: string, follower: Follower): Promise<() => void> {
    const { space, database, followers } = this.#options;
    const read = (after: number): Promise<Page> => this.#read(name, { after, limit: PAGE_ENTRIES });
    return followers.follow(logChannel(database, space, name), follower, read);
  }

  async #read(
    name: string,
    { after, limit, bytes = PAGE_BYTES, since = 0, reverse = false }: ReadOptions,
  ): Promise<Page> {
    const { space, connection } = this.#options;
    const { stream, hash } = logKeys(space, name);
    const numbers = [after, Math.min(limit, PAGE_ENTRIES), Math.min(bytes, Number.MAX_SAFE_INTEGER), since];
    const args = [this.#ageMs, ...numbers.map(String), reverse ? '1' : '0'];
    const [epoch, offset, nonce, first, found] = (await connection.run(READ, [stream, hash], args)) as [
      Buffer,
      number,
      number,
      number,
      StreamEntry[],
    ];
    const tail = { epoch: epoch.toString() || undefined, offset, nonce, first };
    return { entries: found.map(parse), tail };
  }
}

function parse([id, [, nonce, , , , data]]: StreamEntry): Entry {
  const [offset, at] = id.toString('latin1').split('-').map(Number) as [number, number];
  return { offset, previous: offset - 1, nonce: Number(nonce), at, data: data ?? Buffer.alloc(0) };
}
