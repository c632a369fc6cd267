/** A child process that can be killed, stopped for a while, and started again as it was. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { stop } from './command.js';

export interface Command {
  /** For messages. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  /** Whether it serves. Asked again and again until it does; must not throw. */
  readonly ready: () => Promise<boolean>;
  /** Lines of its standard output; default: nobody reads them. */
  readonly onLine?: (line: string) => void;
  /** Default 20 s. */
  readonly readyWithinMs?: number;
}

export interface Restartable {
  readonly name: string;
  /** Of the process that runs now. Throws when none does. */
  pid(): number;
  /** Resolves when it serves. */
  start(): Promise<void>;
  /** SIGKILL: no goodbye of any kind. Resolves when the process has gone. */
  kill(): Promise<void>;
  /** SIGTERM, and resolves with the exit code when the process has gone. */
  stop(): Promise<number | null>;
  /** SIGSTOP, and SIGCONT after so many ms: connections stay, and nobody answers on them. */
  freeze(ms: number): Promise<void>;
}

/** Nothing runs until `start`. A process that ends by itself is told on stderr. */
export function createRestartable(command: Command): Restartable {
  let child: ChildProcess | undefined;
  let wanted = false;
  const running = (): ChildProcess => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${command.name} does not run`);
    return child;
  };
  return {
    name: command.name,
    pid: () => running().pid as number,
    start: async () => {
      wanted = true;
      const started = spawn(command.program, command.args, {
        stdio: ['ignore', command.onLine === undefined ? 'ignore' : 'pipe', 'inherit'],
      });
      child = started;
      started.once('exit', (code, signal) => {
        if (wanted && child === started)
          process.stderr.write(`${command.name} ended by itself: ${signal ?? code}\n`);
      });
      if (command.onLine !== undefined) readLines(started, command.onLine);
      await untilReady(command, started);
    },
    kill: async () => {
      wanted = false;
      await stop(running(), 'SIGKILL');
    },
    stop: async () => {
      wanted = false;
      return child === undefined ? null : stop(child);
    },
    freeze: async (ms) => {
      const frozen = running();
      frozen.kill('SIGSTOP');
      await sleep(ms);
      frozen.kill('SIGCONT');
    },
  };
}

function readLines({ stdout }: ChildProcess, onLine: (line: string) => void): void {
  let rest = '';
  stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() as string;
    for (const line of lines) onLine(line);
  });
}

async function untilReady(
  { name, ready, readyWithinMs = 20_000 }: Command,
  child: ChildProcess,
): Promise<void> {
  const limit = performance.now() + readyWithinMs;
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    if (performance.now() > limit) throw new Error(`${name} is not ready after ${readyWithinMs} ms`);
    await sleep(30);
  }
}
