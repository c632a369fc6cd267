/** From the configuration to the upstreams and the table of what they serve. */
import { loadContract } from '../src/contract/load.js';
import { describeByReflection } from '../src/contract/reflection.js';
import { createGrpcUpstream } from '../src/upstream/grpc.js';
import { createUpstreams, type Upstreams } from '../src/upstream/upstreams.js';
import type { Config } from './config.js';
import { buildTable, type Table } from './http/table.js';

export interface OpenedContract {
  readonly table: Table;
  /** The services behind the table. Closing them closes all connections. */
  readonly upstreams: Upstreams;
}

/**
 * Loads the contract and builds its table. Services are asked only when the contract is theirs to tell (reflection).
 * Rejects with ContractError that lists every problem found.
 */
export async function openContract(config: Config): Promise<OpenedContract> {
  const { limits, timeouts } = config;
  const each = config.upstreams.map(({ name, address }) =>
    createGrpcUpstream({ name, address, acceptMs: timeouts.acceptMs, maxReplyBytes: limits.replyBytes }),
  );
  const upstreams = createUpstreams(each);
  try {
    const contract = await loadContract({
      ...config.contract,
      upstreams: config.upstreams,
      reflect: (upstream) => describeByReflection(upstreams.invoke, { upstream }),
    });
    const table = buildTable(contract, config.json, {
      duplicates: config.contract.duplicateRoutes,
      http: config.http,
      routes: config.routes,
    });
    return { table, upstreams };
  } catch (thrown) {
    await upstreams.close();
    throw thrown;
  }
}

/** The table alone, for commands that only look at it. */
export async function openTable(config: Config): Promise<{ readonly table: Table; close(): Promise<void> }> {
  const { table, upstreams } = await openContract(config);
  return { table, close: () => upstreams.close() };
}
