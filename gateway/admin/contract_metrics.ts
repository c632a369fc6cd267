/** What Prometheus is told of the contract in force, and of how often another one was looked for and found. */
import { Counter, Gauge, type Registry } from 'prom-client';

export const RELOAD_RESULTS = ['changed', 'unchanged', 'failed'] as const;
export type ReloadResult = (typeof RELOAD_RESULTS)[number];

/** The contract in force, as metrics and readiness show it. */
export interface ContractState {
  /** Equal for equal contracts. */
  readonly fingerprint: string;
  readonly methods: number;
  /** When it came into force, in ms since the epoch. */
  readonly loadedAt: number;
  /** When a newer one was last looked for, whatever came of it, in ms since the epoch. */
  readonly checkedAt: number;
  /** When it was last known to be the newest, in ms since the epoch. */
  readonly newestAt: number;
  /** Why a newer one is not served, a problem each; absent when there is no such. */
  readonly problems?: readonly string[];
}

/** The result counts one look for a new contract. */
export function registerContract(
  registry: Registry,
  state: () => ContractState,
): (result: ReloadResult) => void {
  const registers = [registry];
  const reloads = new Counter({
    name: 'tidegate_contract_reloads_total',
    help: 'Times that the contract was read again: it had changed, it had not, or it could not be served.',
    labelNames: ['result'],
    registers,
  });
  for (const result of RELOAD_RESULTS) reloads.inc({ result }, 0);
  new Gauge({
    name: 'tidegate_contract_last_success_timestamp_seconds',
    help: 'When the contract was last read and could be served.',
    registers,
    collect() {
      this.set(state().newestAt / 1000);
    },
  });
  new Gauge({
    name: 'tidegate_contract_info',
    help: 'Methods of the contract in force, by its fingerprint.',
    labelNames: ['fingerprint'],
    registers,
    collect() {
      const { fingerprint, methods } = state();
      this.reset();
      this.set({ fingerprint }, methods);
    },
  });
  new Gauge({
    name: 'tidegate_contract_problems',
    help: 'What keeps a newer contract from being served; 0: nothing, or there is no newer one.',
    registers,
    collect() {
      this.set(state().problems?.length ?? 0);
    },
  });
  return (result) => reloads.inc({ result });
}

/** What /readyz says of the contract. */
export function printState({ loadedAt, checkedAt, newestAt: _, ...state }: ContractState) {
  const time = (at: number) => new Date(at).toISOString();
  return { ...state, loadedAt: time(loadedAt), checkedAt: time(checkedAt) };
}
