/** Several works that take turns, and what each of them costs: so that a machine that does other things spoils none alone. */

/** What is measured, told which time it is. A promise is awaited. */
export type Work = (index: number) => unknown;

export interface Turns {
  readonly rounds: number;
  /** Times in a row that each work is done in a round. */
  readonly calls: number;
}

/**
 * Microseconds of CPU of this process (user and system, those of the garbage collector among them) for each work, the best of the rounds. Not the time
 * that passes: that would count other processes too.
 */
export async function takeTurns(
  works: Readonly<Record<string, Work>>,
  { rounds, calls }: Turns,
): Promise<ReadonlyMap<string, number>> {
  const best = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    for (const [name, work] of Object.entries(works)) {
      const before = process.cpuUsage();
      let last: unknown;
      for (let index = 0; index < calls; index++) {
        last = work(index);
        if (last instanceof Promise) await last;
      }
      const { user, system } = process.cpuUsage(before);
      const each = (user + system) / calls;
      best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, each));
    }
  }
  return best;
}

/** A result of `takeTurns` that is known to be there. */
export function costOf(costs: ReadonlyMap<string, number>, name: string): number {
  return costs.get(name) ?? Number.NaN;
}
