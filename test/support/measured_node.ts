/** A gateway process that can be asked how much memory it has in use, without its garbage. */
import { createNode, type Node } from './cluster.js';
import { ROOT } from './probe.js';

export interface Memory {
  /** Resident: what the machine gives it, in bytes. */
  readonly rss: number;
  /** In use on the heap of JavaScript, and outside of it. */
  readonly heapUsed: number;
  readonly external: number;
}

export interface MeasuredNode extends Node {
  /** After a collection of garbage, which stops the gateway for a moment. */
  memory(): Promise<Memory>;
}

/** As `createNode`; not started yet. */
export async function createMeasuredNode(name: string, flags: readonly string[]): Promise<MeasuredNode> {
  let told: ((memory: Memory) => void) | undefined;
  const onLine = (line: string): void => {
    if (line.startsWith('memory ')) told?.(JSON.parse(line.slice('memory '.length)) as Memory);
  };
  const preload = `${ROOT}dist/test/support/memory_preload.js`;
  const node = await createNode(name, flags, { nodeFlags: ['--expose-gc', '--import', preload], onLine });
  return {
    ...node,
    memory: () =>
      new Promise((resolve) => {
        told = resolve;
        process.kill(node.pid(), 'SIGUSR2');
      }),
  };
}
