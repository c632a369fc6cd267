/** The broker of a gateway that is alone: everything is in the memory of this process, and gone with it. */
import { randomBytes } from 'node:crypto';
import { checkAppend, checkMark, checkRead, checkRetention, checkTtl } from './arguments.js';
import {
  type Appended,
  type AppendOptions,
  type Broker,
  BrokerError,
  type Follower,
  type Lease,
  type Logs,
  type NewEntry,
  type Page,
  type ReadOptions,
  type Retention,
  type Tail,
} from './broker.js';
import { MemoryBudget } from './memory_budget.js';
import { MemoryLog } from './memory_log.js';
import { createMemoryMembers } from './memory_members.js';
import { createStates } from './states.js';

/** How often logs are looked through for what has aged, and marks for what is to be forgotten. */
const TIDY_MS = 15_000;

/** Of all logs together. */
const LOG_BYTES = 256 * 1024 * 1024;

export interface MemoryBrokerOptions {
  /** What all logs may take together, each with at least its newest entry; default 256 MiB. What is over is dropped as what has aged is. */
  readonly logBytes?: number;
}

export function createMemoryBroker({ logBytes = LOG_BYTES }: MemoryBrokerOptions = {}): Broker {
  const budget = new MemoryBudget(logBytes);
  const spaces = new Map<string, MemoryLogs>();
  const leases = new Map<string, AbortController>();
  const marks = new Map<string, { readonly value: number; readonly until: number }>();
  const secrets = new Map<string, Uint8Array>();
  const states = createStates('ready');

  const open = (): void => {
    if (states.state() === 'closed') throw new BrokerError('the broker is closed');
  };
  const tidy = setInterval(() => {
    const now = Date.now();
    for (const logs of spaces.values()) logs.dropAged(now);
    for (const [name, { until }] of marks) if (until <= now) marks.delete(name);
  }, TIDY_MS).unref();

  return {
    kind: 'memory',
    shared: false,
    logs(space, retention) {
      const logs = spaces.get(space) ?? new MemoryLogs(retention, budget, open);
      spaces.set(space, logs);
      return logs;
    },
    async acquire(name, ttlMs) {
      open();
      checkTtl(ttlMs);
      if (leases.has(name)) return undefined;
      const lost = new AbortController();
      leases.set(name, lost);
      const release = async (): Promise<void> => {
        if (leases.get(name) === lost) leases.delete(name);
      };
      return { lost: lost.signal, release } satisfies Lease;
    },
    members: createMemoryMembers(open),
    async raise(name, value, ttlMs) {
      open();
      checkMark(value);
      checkTtl(ttlMs);
      const now = Date.now();
      const before = marks.get(name);
      const raised = before && before.until > now ? Math.max(before.value, value) : value;
      marks.set(name, { value: raised, until: now + ttlMs });
      return raised;
    },
    async secret(name) {
      open();
      const secret = secrets.get(name) ?? randomBytes(32);
      secrets.set(name, secret);
      return secret;
    },
    state: states.state,
    onState: states.onState,
    async close() {
      if (states.state() === 'closed') return;
      clearInterval(tidy);
      for (const lost of leases.values()) lost.abort(new BrokerError('the broker is closed'));
      for (const held of [spaces, leases, marks, secrets]) held.clear();
      budget.clear();
      states.set('closed');
    },
  };
}

class MemoryLogs implements Logs {
  readonly #logs = new Map<string, MemoryLog>();
  readonly #retention: Retention;
  readonly #budget: MemoryBudget;
  readonly #open: () => void;

  /** @param open throws once the broker is closed. */
  constructor(retention: Retention, budget: MemoryBudget, open: () => void) {
    checkRetention(retention);
    this.#retention = retention;
    this.#budget = budget;
    this.#open = open;
  }

  async append(name: string, entries: readonly NewEntry[], options: AppendOptions = {}): Promise<Appended> {
    this.#open();
    checkAppend(entries, options);
    return this.#named(name).append(entries, options);
  }

  async read(name: string, options: ReadOptions): Promise<Page> {
    this.#open();
    checkRead(options);
    const log = this.#logs.get(name) ?? new MemoryLog(this.#retention, this.#budget);
    return log.read(options);
  }

  async tail(name: string): Promise<Tail> {
    this.#open();
    const log = this.#logs.get(name) ?? new MemoryLog(this.#retention, this.#budget);
    return log.tail();
  }

  async follow(name: string, follower: Follower): Promise<() => void> {
    this.#open();
    const { followers } = this.#named(name);
    // The same follower may follow twice, and each of them ends by itself.
    const own: Follower = { entry: (entry) => follower.entry(entry), gap: () => follower.gap() };
    followers.add(own);
    return () => followers.delete(own);
  }

  dropAged(now: number): void {
    for (const [name, log] of this.#logs) if (log.dropAged(now)) this.#logs.delete(name);
  }

  clear(): void {
    this.#logs.clear();
  }

  #named(name: string): MemoryLog {
    const log = this.#logs.get(name) ?? new MemoryLog(this.#retention, this.#budget);
    this.#logs.set(name, log);
    return log;
  }
}
