/** What the nodes of a cluster share: numbered logs, leases, members that expire, and marks. Memory, Redis and NATS are brokers. */

/** One record of a log. */
export interface Entry {
  /** An integer from 1, greater than that of every entry before it in its log; in some brokers not the next one. */
  readonly offset: number;
  /** The offset of the entry before it, 0 for the first one ever; undefined when the broker no longer knows it. */
  readonly previous: number | undefined;
  /** Random, unsigned 32 bits: tells an entry from another one that took its offset after the broker had lost its tail. */
  readonly nonce: number;
  /** When it was appended, by the clock of the broker or of the appending node, in ms since the epoch. */
  readonly at: number;
  /** Shared, and never to be changed. */
  readonly data: Uint8Array;
}

/** Where an entry stands. */
export interface Position {
  readonly offset: number;
  readonly nonce: number;
}

/** The end of a log, and what is left of it. */
export interface Tail extends Position {
  /**
   * Names the incarnation of the log: 8 to 16 ASCII letters and digits, another one after the log was lost as a whole. Undefined for a
   * log that has never been appended to (its offset and nonce are 0).
   */
  readonly epoch: string | undefined;
  /** The offset of the oldest entry that is kept; `offset + 1` when none is. */
  readonly first: number;
}

/**
 * How much of a log is kept: what is outside any of the three is dropped, the oldest first. What a broker counts less exactly is said in
 * docs/brokers.md.
 */
export interface Retention {
  readonly entries: number;
  /** At least 100. */
  readonly ageMs: number;
  /** Of the data, in bytes; the newest entry is kept whatever its size. */
  readonly bytes: number;
}

export interface NewEntry {
  /** Chosen by the caller, and kept when the same append is tried again. */
  readonly nonce: number;
  /** Belongs to the broker from now on: it may be kept as it is. */
  readonly data: Uint8Array;
}

export interface AppendOptions {
  /**
   * Appends only if the log ends exactly here (compare and append), which is how a single writer fences off another one; else rejects
   * with LogConflict. An append that is tried again with the same `expect` and nonces, because nobody knows whether it arrived, is done
   * once. Without `expect` and without `key`, it may be done twice.
   */
  readonly expect?: Pick<Tail, 'epoch' | 'offset' | 'nonce'>;
  /** Of an append of one entry: appended once for the same key, within the retention's age or two minutes, whichever is less. */
  readonly key?: string;
}

export interface Appended {
  readonly epoch: string;
  /** Of each entry, in order; for a key that was used before, of the entry that it made then. */
  readonly positions: readonly Position[];
  /** Whether the key was used before, and nothing was appended now. */
  readonly duplicate: boolean;
}

export interface ReadOptions {
  /** Entries with a greater offset; 0 is from the oldest. With `reverse`: with a smaller one; 0 is from the newest. */
  readonly after: number;
  /** Entries at most; at least 1. */
  readonly limit: number;
  /** Data in bytes at most, but always one entry; default 1 MiB. */
  readonly bytes?: number;
  /** Only entries appended at this time or later, in ms since the epoch. */
  readonly since?: number;
  /** Newest first; default false. */
  readonly reverse?: boolean;
}

export interface Page {
  readonly entries: readonly Entry[];
  /** Not older than the entries: an entry that is missing between them and the tail was dropped, or appended since. */
  readonly tail: Tail;
}

/** Hears what is appended to one log. Must not throw. */
export interface Follower {
  /** In the order of the log, as a rule; a follower compares `previous` with its own position, and reads what it has missed. */
  entry(entry: Entry): void;
  /** The connection was lost or entries may have been missed: the follower has to check its position by reading. */
  gap(): void;
}

/**
 * The logs of one space, by name. All methods reject with BrokerError when the broker does not answer; it may be tried again. What can never
 * be done (no entries, a limit of 0, an entry above the server's limit) rejects with RangeError.
 */
export interface Logs {
  /**
   * At least one entry; all of them or, where an error says that nobody knows, none. Of an append that is larger than a message of NATS the
   * first ones may be there without the others.
   */
  append(name: string, entries: readonly NewEntry[], options?: AppendOptions): Promise<Appended>;
  read(name: string, options: ReadOptions): Promise<Page>;
  tail(name: string): Promise<Tail>;
  /** Resolves when every entry that is appended from now on will be told, or a gap; with what ends it. */
  follow(name: string, follower: Follower): Promise<() => void>;
}

/** The right to be the only one, for as long as it is renewed. */
export interface Lease {
  /** Aborted when the lease was lost: somebody else may hold it. Not aborted by `release`, but by closing the broker. */
  readonly lost: AbortSignal;
  /** Resolves when others may have it. Never rejects. */
  release(): Promise<void>;
}

export interface Member {
  readonly member: string;
  /** Whatever was put last. */
  readonly value: string;
}

/**
 * Sets of names that expire unless they are put again: who is interested, who is present, what was revoked. An expired member is not
 * listed and not counted, but leaves its set only once: by `sweep`, by `remove`, or not at all if it is put again before.
 */
export interface Members {
  /** Whether it was not in the set before. Without a value: the empty string. */
  put(
    set: string,
    member: string,
    options: { readonly ttlMs: number; readonly value?: string },
  ): Promise<boolean>;
  /** Whether it was in the set. */
  remove(set: string, member: string): Promise<boolean>;
  /** Those that have not expired, sorted by name. */
  list(set: string): Promise<readonly Member[]>;
  count(set: string): Promise<number>;
  /** Removes what has expired, in all sets whose name begins with `prefix`: each is told to exactly one sweeper of the cluster. */
  sweep(prefix: string): Promise<readonly (Member & { readonly set: string })[]>;
}

export type BrokerState = 'connecting' | 'ready' | 'closed';

export interface Broker {
  /** `memory`, `redis` or `nats`. */
  readonly kind: string;
  /** Whether other nodes see the same: false for memory. */
  readonly shared: boolean;
  /** Logs under one name and one retention: a method's streams, or channels. The same space always has the same retention. */
  logs(space: string, retention: Retention): Logs;
  /** Undefined when somebody else holds it. It is renewed until it is released or lost. */
  acquire(name: string, ttlMs: number): Promise<Lease | undefined>;
  readonly members: Members;
  /** Raises a safe integer, at least 0, that only grows, and answers what it is then: `value`, or more if it was more. Forgotten after `ttlMs` without a call. */
  raise(name: string, value: number, ttlMs: number): Promise<number>;
  /** 32 random bytes, the same for all nodes for as long as the broker remembers them. */
  secret(name: string): Promise<Uint8Array>;
  readonly state: () => BrokerState;
  /** Calls back at each change of state until the result is called. */
  onState(back: (state: BrokerState) => void): () => void;
  /** Releases what is held, and disconnects. Idempotent; whatever is asked afterwards rejects with BrokerError. */
  close(): Promise<void>;
}

/** The broker did not answer, or not in time. The same may be tried again. Its message is for logs. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError';
}

/** Somebody else has appended, or the broker has lost what was there: the log does not end where the writer thinks. */
export class LogConflict extends Error {
  override readonly name = 'LogConflict';
  constructor(readonly tail: Tail) {
    super(`the log ends at ${tail.offset}`);
  }
}
