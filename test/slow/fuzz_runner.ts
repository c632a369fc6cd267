/**
 * A fuzz: inputs made of a seed are thrown at targets in a thread of its own, while this one sees that it goes on. Each has to be taken or refused as
 * it should be, and soon, and memory has to stay flat.
 *
 * Arguments of the process: `[INPUTS [SEED]]`; the seed of a run is printed and repeats it.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createRandom, type Random } from './random.js';

const TOTAL = Number(process.argv[2] ?? 1_000_000);
const SEED = Number(process.argv[3] ?? Date.now() % 1_000_000);
/** One input may take this long, in ms: a thousand times what most take, since the machine does other things too. */
const MAX_MS = 1000;
/** Without a sign of life for this long, in ms, an input hangs. */
const HANG_MS = 15_000;
/** How much the heap may grow between a fifth of the run and its end, after garbage collection. */
const MAX_GROWTH = 1.1;
const SHOWN = 20;

/** One kind of input. */
export interface Target {
  readonly name: string;
  /** How many inputs are of this kind, beside the shares of the others. */
  readonly share: number;
  /** Makes an input and gives it to what is tried. Throws, or rejects with, what that refuses it with. */
  readonly run: (random: Random) => unknown;
  /** Whether an error that `run` throws is a refusal as it should be. */
  readonly refuses: (thrown: unknown) => boolean;
}

export interface Fuzz {
  /** Of the script that calls this: it is run again in the thread. */
  readonly url: string;
  /** How much more the heap may hold at the end, besides a tenth, in MB; default 1. */
  readonly slackMb?: number;
  /** Made in the thread alone. `problems` says in the end what went wrong besides; default nothing. */
  readonly prepare: () => Promise<{
    readonly targets: readonly Target[];
    readonly problems?: () => readonly string[];
  }>;
}

interface Outcome {
  readonly wrong: readonly string[];
  readonly failed: number;
  /** Inputs that were taken and refused, by target. */
  readonly counts: Readonly<Record<string, readonly [taken: number, refused: number]>>;
  readonly heapMb: readonly number[];
  readonly slowestMs: number;
}

function heapMb(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().heapUsed / 1024 ** 2;
}

/** Runs in the worker; `progress[0]` is the number of the input that is tried now. */
async function fuzz(progress: Int32Array, { prepare }: Fuzz): Promise<Outcome> {
  const { targets, problems } = await prepare();
  const deck = targets.flatMap((target) => Array.from({ length: target.share }, () => target));
  const random = createRandom(SEED);
  // Most inputs are refused, and to note where takes longer than to find out that they are wrong.
  Error.stackTraceLimit = 4;
  const wrong: string[] = [];
  const counts = Object.fromEntries(targets.map(({ name }): [string, [number, number]] => [name, [0, 0]]));
  const heap: number[] = [];
  let failed = 0;
  let slowestMs = 0;
  const report = (target: Target, index: number, what: string): void => {
    failed++;
    if (wrong.length < SHOWN) wrong.push(`input ${index} (${target.name}): ${what}`);
  };
  for (let index = 0; index < TOTAL; index++) {
    progress[0] = index;
    if (index % Math.ceil(TOTAL / 10) === 0) heap.push(heapMb());
    const target = random.pick(deck);
    const count = counts[target.name] as [number, number];
    const started = performance.now();
    try {
      const running = target.run(random);
      if (running instanceof Promise) await running;
      count[0]++;
    } catch (thrown) {
      if (target.refuses(thrown)) count[1]++;
      else report(target, index, thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
    }
    const ms = performance.now() - started;
    slowestMs = Math.max(slowestMs, ms);
    if (ms > MAX_MS) report(target, index, `took ${ms.toFixed(0)} ms`);
  }
  heap.push(heapMb());
  for (const problem of problems?.() ?? []) {
    failed++;
    wrong.push(problem);
  }
  return { wrong, failed, counts, heapMb: heap, slowestMs };
}

/** Runs the fuzz beside this thread, which is here to see that it goes on. */
function supervise(url: string): Promise<Outcome> {
  const progress = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(url), { workerData: progress, argv: [TOTAL, SEED] });
  return new Promise((resolve, reject) => {
    let last = -1;
    const timer = setInterval(() => {
      const now = progress[0] as number;
      if (now === last) reject(new Error(`input ${now} hangs`));
      last = now;
    }, HANG_MS);
    const settle = (then: () => void): void => {
      clearInterval(timer);
      then();
    };
    worker.on('message', (outcome: Outcome) => settle(() => resolve(outcome)));
    worker.on('error', (error) => settle(() => reject(error)));
  });
}

function print({ wrong, counts, heapMb: heap, slowestMs }: Outcome, seconds: number): void {
  for (const [name, [taken, refused]] of Object.entries(counts)) {
    process.stdout.write(`${name.padEnd(12)} ${taken} taken, ${refused} refused\n`);
  }
  process.stdout.write(`heap in MB over the run: ${heap.map((mb) => mb.toFixed(1)).join(' ')}\n`);
  process.stdout.write(`${seconds.toFixed(0)} s, the slowest input ${slowestMs.toFixed(0)} ms\n`);
  for (const line of wrong) process.stdout.write(`WRONG ${line}\n`);
}

async function main({ url, slackMb = 1 }: Fuzz): Promise<void> {
  process.stdout.write(`seed ${SEED}, ${TOTAL} inputs\n`);
  const started = performance.now();
  const outcome = await supervise(url).catch(
    (error: Error): Outcome => ({ wrong: [error.message], failed: 1, counts: {}, heapMb: [], slowestMs: 0 }),
  );
  print(outcome, (performance.now() - started) / 1000);
  let { failed } = outcome;
  const [early = 0, late = 0] = [outcome.heapMb[2], outcome.heapMb.at(-1)];
  if (late > early * MAX_GROWTH + slackMb) {
    failed++;
    process.stdout.write(`WRONG the heap grew from ${early.toFixed(1)} MB to ${late.toFixed(1)} MB\n`);
  }
  process.stdout.write(`fuzz: ${TOTAL - failed} passed, ${failed} failed\n`);
  process.exit(failed === 0 ? 0 : 1);
}

/** Ends the process: with 0 if all went as it should. */
export async function runFuzz(options: Fuzz): Promise<void> {
  if (isMainThread) await main(options);
  else parentPort?.postMessage(await fuzz(workerData as Int32Array, options));
}
