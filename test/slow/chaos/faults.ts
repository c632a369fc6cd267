/** What goes wrong in a chaos run, one thing after another, over and over until the streams have ended. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Node, TickerProcess } from '../../support/cluster.js';
import type { ChaosBroker } from './broker.js';
import type { Crowd } from './crowd.js';

export interface Stage {
  readonly crowd: Crowd;
  readonly nodes: readonly Node[];
  readonly service: TickerProcess;
  readonly broker: ChaosBroker;
  /** The broker comes back without what it was told between these two times, in ms since the epoch. */
  readonly lostTail: (from: number, to: number) => void;
}

interface Fault {
  readonly name: string;
  run(stage: Stage): Promise<void>;
}

const DOWN_MS = 1500;
const FREEZE_MS = 5000;
/** How much of its tail a broker loses. */
const TAIL_MS = 2500;

function killNode(index: number): Fault {
  return {
    name: `gateway ${index + 1} is killed and restarted`,
    run: async ({ nodes }) => {
      const node = nodes[index] as Node;
      await node.kill();
      await sleep(DOWN_MS);
      await node.start();
    },
  };
}

const FAULTS: readonly Fault[] = [
  { name: 'every client is cut', run: ({ crowd }) => crowd.cutAll(4000) },
  killNode(0),
  {
    name: 'the service is killed and restarted',
    run: async ({ service }) => {
      await service.kill();
      await sleep(DOWN_MS);
      await service.start();
    },
  },
  { name: 'the broker is stopped for 5 s', run: ({ broker }) => broker.freeze(FREEZE_MS) },
  killNode(1),
  { name: 'the broker is killed and restarted', run: ({ broker }) => broker.restart(DOWN_MS) },
  {
    name: 'gateway 1 is asked to stop, and restarted',
    run: async ({ nodes: [node] }) => {
      await node?.stop();
      await node?.start();
    },
  },
];

const LOSE_TAIL: Fault = {
  name: 'the broker loses its tail',
  run: async ({ broker, lostTail }) => {
    const from = Date.now();
    broker.remember();
    await sleep(TAIL_MS);
    await broker.forget();
    lostTail(from, Date.now());
  },
};

export interface FaultsOptions {
  readonly stage: Stage;
  /** Between two faults. */
  readonly calmMs: number;
  /** When there are no more of them, on the clock of Date.now(); the one that runs is finished. */
  readonly until: number;
  readonly say: (text: string) => void;
}

/** Resolves with the names of those that were not reached in time. */
export async function runFaults({ stage, calmMs, until, say }: FaultsOptions): Promise<readonly string[]> {
  const all = [...FAULTS, LOSE_TAIL];
  const missed = new Set(all.map(({ name }) => name));
  for (let index = 0; Date.now() < until; index++) {
    const fault = all[index % all.length] as Fault;
    say(fault.name);
    await fault.run(stage);
    missed.delete(fault.name);
    await sleep(calmMs);
  }
  return [...missed];
}
