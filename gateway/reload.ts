/** The table in force, and how another one takes its place: read beside it, swapped at once, or refused while it goes on. */
import { isDeepStrictEqual as isEqual } from 'node:util';
import type { Logger } from 'pino';
import { ContractError, printProblem } from '../src/contract/contract.js';
import { type ContractChange, diffContracts, printChange } from '../src/contract/diff.js';
import type { Grants } from '../src/policy/grants.js';
import type { ContractState, ReloadResult } from './admin/contract_metrics.js';
import type { Table } from './http/table.js';
import type { ContractLoader, Loaded } from './load.js';

export interface Reloaded {
  /** False when the contract is the one that was in force already. */
  readonly changed: boolean;
  /** What is different for those who call. A contract may change without: in comments of options, for example. */
  readonly changes: readonly ContractChange[];
}

/** What made the gateway look for a new contract. */
export type ReloadCause = 'files' | 'interval' | 'reconnect' | 'signal' | 'call';

export interface Reloading {
  readonly table: () => Table;
  /** What roles are worth; changes together with the table. */
  readonly grants: () => Grants;
  readonly state: () => ContractState;
  /**
   * Looks for a new contract now. Rejects with ContractError when the new one cannot be served; the old one then stays in
   * force. Looks do not overlap: one that is asked for during another begins after it.
   */
  reload(cause?: ReloadCause): Promise<Reloaded>;
  /** No contract takes the place of this one any more. */
  close(): void;
}

export interface ReloadingOptions {
  readonly loader: ContractLoader;
  readonly first: Loaded;
  readonly log: Logger;
  /** Told of each look. */
  readonly count: (result: ReloadResult) => void;
}

/** Of changes in one line of the log. */
const MOST_LOGGED = 100;

export function createReloading({ loader, first, log, count }: ReloadingOptions): Reloading {
  let current = first;
  let state: ContractState = stateOf(first);
  let running: Promise<unknown> = Promise.resolve();
  let waiting: Promise<Reloaded> | undefined;
  let silent = '';
  let closed = false;

  const swap = (next: Loaded, cause: ReloadCause): Reloaded => {
    const changes = diffContracts(current.table.contract, next.table.contract);
    if (!isEqual(current.grants.rules, next.grants.rules))
      log.info(
        { cause, roles: next.grants.rules.roles, inherits: next.grants.rules.inherits },
        'roles reloaded',
      );
    current = next;
    state = stateOf(next);
    logChanges(log, next, changes, cause);
    return { changed: true, changes };
  };

  const keep = (cause: ReloadCause): Reloaded => {
    if (state.problems) log.info({ cause }, 'the contract in force is the newest again');
    else if (cause === 'signal') log.info({ cause }, 'the contract has not changed');
    const { problems: _, ...rest } = state;
    const now = Date.now();
    state = { ...rest, checkedAt: now, newestAt: now };
    return { changed: false, changes: [] };
  };

  const fail = (thrown: unknown, cause: ReloadCause): void => {
    const known = thrown instanceof ContractError;
    const problems = known ? thrown.problems.map(printProblem) : ['internal error'];
    const isNews = problems.join() !== state.problems?.join();
    state = { ...state, problems, checkedAt: Date.now() };
    // To find the same broken contract again and again is none.
    if (!isNews) return;
    const facts = { cause, problems, ...(known ? {} : { err: thrown }) };
    log.error(facts, 'the new contract cannot be served; the old one stays in force');
  };

  const tellSilent = (): void => {
    const names = loader.silent().join(', ');
    if (names !== '' && names !== silent)
      log.warn(
        { upstreams: loader.silent() },
        'could not be asked for their contract; what they said last holds',
      );
    silent = names;
  };

  const look = async (cause: ReloadCause): Promise<Reloaded> => {
    if (closed) return { changed: false, changes: [] };
    try {
      const next = await loader.load(current.fingerprint);
      count(next === undefined ? 'unchanged' : 'changed');
      tellSilent();
      return next === undefined ? keep(cause) : swap(next, cause);
    } catch (thrown) {
      // The gateway may have closed meanwhile, and its connections with it.
      if (!closed) {
        count('failed');
        fail(thrown, cause);
      }
      throw thrown;
    }
  };

  const reload = (cause: ReloadCause = 'call'): Promise<Reloaded> => {
    waiting ??= running.then(() => {
      waiting = undefined;
      const done = look(cause);
      running = done.catch(() => {});
      return done;
    });
    return waiting;
  };

  return {
    table: () => current.table,
    grants: () => current.grants,
    state: () => state,
    reload,
    close() {
      closed = true;
    },
  };
}

function stateOf({ table, fingerprint }: Loaded): ContractState {
  const now = Date.now();
  return {
    fingerprint: fingerprint.slice(0, 12),
    methods: table.contract.methods.length,
    loadedAt: now,
    checkedAt: now,
    newestAt: now,
  };
}

function logChanges(
  log: Logger,
  { table, fingerprint }: Loaded,
  changes: readonly ContractChange[],
  cause: ReloadCause,
): void {
  const of = (kind: ContractChange['kind']) => changes.filter((change) => change.kind === kind).length;
  const breaking = changes.filter((change) => change.breaking).length;
  const lines = changes.slice(0, MOST_LOGGED).map(printChange);
  const facts = {
    cause,
    contract: fingerprint.slice(0, 12),
    methods: table.contract.methods.length,
    added: of('added'),
    removed: of('removed'),
    changed: of('changed'),
    breaking,
    changes: lines,
  };
  if (breaking > 0) log.warn(facts, 'contract reloaded, with changes that break clients');
  else log.info(facts, 'contract reloaded');
  for (const problem of table.shadowed) log.warn(`not served: ${printProblem(problem)}`);
  for (const warning of table.contract.warnings ?? []) log.warn(warning);
}
