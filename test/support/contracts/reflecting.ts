/** Loads contracts from reflection servers that a test starts. */
import type { Invoke } from '../../../src/call.js';
import { type Contract, ContractError, type ContractProblem } from '../../../src/contract/contract.js';
import { type ContractSources, loadContract } from '../../../src/contract/load.js';
import { describeByReflection } from '../../../src/contract/reflection.js';
import { createGrpcUpstream, type Upstream } from '../../../src/upstream/grpc.js';
import {
  type ReflectionServer,
  type ReflectionServerOptions,
  startReflectionServer,
} from './reflection_server.js';

export interface Wanted {
  readonly services?: readonly string[];
  readonly timeoutMs?: number;
}

export interface Reflecting {
  start(options: ReflectionServerOptions): Promise<ReflectionServer>;
  /** The contract of upstreams at these addresses. */
  load(
    addresses: Readonly<Record<string, string>>,
    wanted?: Readonly<Record<string, Wanted>>,
    more?: Partial<ContractSources>,
  ): Promise<Contract>;
  close(): Promise<void>;
}

export function createReflecting(): Reflecting {
  const servers: ReflectionServer[] = [];
  const upstreams: Upstream[] = [];
  const connect = (name: string, address: string): Invoke => {
    const upstream = createGrpcUpstream({ name, address, connectMs: 500 });
    upstreams.push(upstream);
    return upstream.invoke;
  };
  return {
    async start(options) {
      const server = await startReflectionServer(options);
      servers.push(server);
      return server;
    },
    load(addresses, wanted = {}, more = {}) {
      return loadContract({
        protos: [],
        includes: [],
        descriptors: [],
        upstreams: Object.keys(addresses).map((name) => ({ name, services: wanted[name]?.services ?? [] })),
        reflect: (upstream) =>
          describeByReflection(connect(upstream.name, addresses[upstream.name] as string), {
            upstream,
            timeoutMs: wanted[upstream.name]?.timeoutMs ?? 5_000,
          }),
        ...more,
      });
    },
    async close() {
      for (const upstream of upstreams.splice(0)) await upstream.close();
      for (const server of servers.splice(0)) server.close();
    },
  };
}

export async function reflectionProblems(loading: Promise<Contract>): Promise<readonly ContractProblem[]> {
  const error = await loading.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ContractError) return error.problems;
  throw error ?? new Error('there was no problem');
}
