/** `tidegate check`: whether serve would start, without starting it. */
import { printProblem } from '../../src/contract/contract.js';
import type { Config } from '../config.js';
import { openTable } from '../load.js';
import type { Io } from './command.js';

/** Prints `ok` and what was counted; problems of the contract reject with ContractError. */
export async function check(config: Config, io: Io): Promise<number> {
  const { table, close } = await openTable(config);
  await close();
  for (const problem of table.shadowed) io.err(`not served: ${printProblem(problem)}`);
  for (const warning of table.contract.warnings ?? []) io.err(warning);
  if (config.auth.keys.length === 0) io.err(NO_KEYS);
  io.out(`ok: ${count(table.contract.methods.length, 'method')}, ${count(table.endpoints.length, 'route')}`);
  return 0;
}

/** What `serve` and `check` say of a configuration that can verify no token. */
export const NO_KEYS =
  'no keys are configured, so no token is accepted: only public methods can be called (TIDEGATE_JWT_SECRET, --jwt-public-key-file, or --dev)';

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
