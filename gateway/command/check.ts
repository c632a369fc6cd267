/** `tidegate check`: whether serve would start, without starting it. */
import { printProblem } from '../../src/contract/contract.js';
import type { Method } from '../../src/method.js';
import { formatMatrix, matrixOf } from '../access/matrix.js';
import { CHANNELS_SERVICE } from '../channels.js';
import type { Config } from '../config.js';
import { openTable } from '../load.js';
import type { Io } from './command.js';

/** Prints who may call what, then `ok` and what was counted; problems of the contract reject with ContractError. */
export async function check(config: Config, { json }: { readonly json: boolean }, io: Io): Promise<number> {
  const { table, close } = await openTable(config);
  await close();
  for (const problem of table.shadowed) io.err(`not served: ${printProblem(problem)}`);
  for (const warning of table.contract.warnings ?? []) io.err(warning);
  if (config.auth.keys.length + config.auth.issuers.length === 0) io.err(NO_KEYS);
  const { methods } = table.contract;
  const matrix = matrixOf(methods, config.auth);
  if (json) {
    io.out(JSON.stringify(matrix, undefined, 2));
    return 0;
  }
  if (matrix.length > 0) io.out(`${formatMatrix(matrix)}\n`);
  if (methods.some(({ service }) => service === CHANNELS_SERVICE)) io.out(`${BY_CHANNEL}\n`);
  io.out(
    `ok: ${count(methods.length, 'method')}, ${count(table.endpoints.length, 'route')}${printStreams(methods)}`,
  );
  return 0;
}

const BY_CHANNEL = `${CHANNELS_SERVICE}: who may do what in which channel is decided by channelRules, behind this table.`;

/** What `serve` and `check` say of a configuration that can verify no token. */
export const NO_KEYS =
  'no keys are configured, so no token is accepted: only public methods can be called (TIDEGATE_JWT_SECRET, --jwt-public-key-file, or --dev)';

/** `, 3 streams (1 shared, 2 with a cursor)`; nothing of a contract without streams. */
function printStreams(methods: readonly Method[]): string {
  const streams = methods.filter(({ serverStreaming }) => serverStreaming).map(({ stream }) => stream);
  if (streams.length === 0) return '';
  const shared = streams.filter(({ sharing }) => sharing !== 'private').length;
  const resumed = streams.filter(({ cursorField }) => cursorField !== '').length;
  return `, ${count(streams.length, 'stream')} (${shared} shared, ${resumed} with a cursor)`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
