/** From the configuration to the upstreams and the tables of what they serve, now and whenever the contract changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, pino } from 'pino';
import { ContractError, printProblem } from '../src/contract/contract.js';
import type { Described } from '../src/contract/described.js';
import { buildContract, describeContract, fingerprintOf } from '../src/contract/load.js';
import { describeByReflection } from '../src/contract/reflection.js';
import type { Grants } from '../src/policy/grants.js';
import { createGrpcUpstream } from '../src/upstream/grpc.js';
import { createUpstreams, type Upstreams } from '../src/upstream/upstreams.js';
import { createRulesReader, fingerprintWith, grantsOf } from './access/reread.js';
import { withAccess } from './access/rules.js';
import { type BuiltIn, describeChannels } from './channels.js';
import type { Config, UpstreamConfig } from './config.js';
import { OWN_PATHS } from './http/own_paths.js';
import { buildTable, type Table } from './http/table.js';
import { createTls, type Tls } from './tls/tls.js';

export interface Loaded {
  readonly table: Table;
  /** What roles are worth while this table is in force. */
  readonly grants: Grants;
  /** Equal for equal contracts with equal rules: see fingerprintOf. */
  readonly fingerprint: string;
}

export interface ContractLoader {
  /** The services behind the tables. Closing them closes all connections. */
  readonly upstreams: Upstreams;
  /** Whether the upstreams are asked for the contract (reflection), or files hold it. */
  readonly reflects: boolean;
  /**
   * Reads the contract and builds its table; undefined when it is the one with the fingerprint `known`. Rejects with
   * ContractError that lists every problem found. An upstream that cannot be asked now, but could before, has its last answer
   * stand in for it.
   */
  load(known?: string): Promise<Loaded | undefined>;
  /** Every path that the last `load` read or looked for, also if it failed; none before the first. */
  readonly files: () => ReadonlySet<string>;
  /** When the last `load` began, in ms since the epoch. */
  readonly since: () => number;
  /** Names of the upstreams whose last answers stood in for them in the last `load`. */
  readonly silent: () => readonly string[];
}

export interface LoaderOptions {
  /** Services besides those of the configured upstreams. */
  readonly builtIn?: readonly BuiltIn[];
  /** The configuration as it is now, for its roles and its rules about access; see access/reread.ts. */
  readonly reread?: (() => Config) | undefined;
}

/** Connects to nothing yet. */
export function createContractLoader(
  config: Config,
  tls: Pick<Tls, 'towards'>,
  { builtIn = [], reread }: LoaderOptions = {},
): ContractLoader {
  const reader = createRulesReader(config, reread);
  const { limits, timeouts, contract } = config;
  const all: readonly UpstreamConfig[] = [...config.upstreams, ...builtIn.map(({ upstream }) => upstream)];
  const { acceptMs } = timeouts;
  const each = all.map((upstream) => {
    const { name, address } = upstream;
    return createGrpcUpstream({
      name,
      address,
      tls: tls.towards(upstream),
      acceptMs,
      maxReplyBytes: limits.replyBytes,
      maxCalls: limits.callsPerUpstream,
    });
  });
  const upstreams = createUpstreams(each);
  const asking = createAsking(upstreams);
  let files = new Set<string>();
  let since = 0;
  return {
    upstreams,
    reflects: contract.protos.length + contract.descriptors.length === 0,
    async load(known) {
      since = Date.now();
      files = new Set();
      asking.begin();
      const parts = builtIn.map(({ described }) => described);
      const sources = { ...contract, upstreams: all, builtIn: parts, reflect: asking.ask };
      const description = await describeContract(sources, (path) => files.add(path));
      if (config.file !== undefined && reread !== undefined) files.add(config.file);
      const rules = reader.read();
      const fingerprint = fingerprintWith(fingerprintOf(description), rules);
      if (fingerprint === known && description.problems.length === 0) return undefined;
      const built = withAccess(buildContract(description, all), { ...config, access: rules.access });
      const table = buildTable(built, config.json, {
        duplicates: contract.duplicateRoutes,
        http: config.http,
        routes: config.routes,
        own: OWN_PATHS,
      });
      return { table, grants: grantsOf(rules), fingerprint };
    },
    files: () => files,
    since: () => since,
    silent: asking.silent,
  };
}

/** Asks upstreams by reflection, and remembers what they said. */
function createAsking({ invoke }: Upstreams) {
  const answers = new Map<string, Described>();
  let silent: string[] = [];
  return {
    begin: () => {
      silent = [];
    },
    silent: (): readonly string[] => silent,
    ask: async (upstream: Pick<UpstreamConfig, 'name' | 'services'>): Promise<Described> => {
      try {
        const answer = await describeByReflection(invoke, { upstream });
        answers.set(upstream.name, answer);
        return answer;
      } catch (thrown) {
        const before = answers.get(upstream.name);
        if (before === undefined || !isTemporary(thrown)) throw thrown;
        silent.push(upstream.name);
        return before;
      }
    },
  };
}

/** Whether the same may be loaded later, with nobody doing anything about it. */
function isTemporary(thrown: unknown): boolean {
  return thrown instanceof ContractError && thrown.problems.every(({ temporary }) => temporary === true);
}

/** Between two tries, in ms. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;

/**
 * The first contract. Services may start after the gateway: one that cannot be asked yet is asked again, with growing
 * delays, for `startMs`. Rejects with ContractError: with other problems at once.
 */
export async function loadFirst(loader: ContractLoader, startMs: number, log: Logger): Promise<Loaded> {
  const end = Date.now() + startMs;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      return (await loader.load()) as Loaded;
    } catch (thrown) {
      const left = end - Date.now();
      if (left <= 0 || !isTemporary(thrown)) throw thrown;
      const problems = (thrown as ContractError).problems.map(printProblem);
      if (waitMs === FIRST_WAIT_MS)
        log.warn({ problems, forMs: left }, 'the contract cannot be read yet; trying again');
      await sleep(Math.min(waitMs * (0.5 + Math.random() / 2), left));
    }
  }
}

/** The table alone, for commands that only look at it. Rejects with ContractError at once. */
export async function openTable(config: Config): Promise<{ readonly table: Table; close(): Promise<void> }> {
  const tls = createTls(config, pino({ level: 'silent' }));
  const loader = createContractLoader(config, tls, { builtIn: config.channels ? [describeChannels()] : [] });
  const close = async (): Promise<void> => {
    tls.close();
    await loader.upstreams.close();
  };
  try {
    const { table } = (await loader.load()) as Loaded;
    return { table, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}
