/** The `tidegate` command as a user runs it in front of etcd: a process of its own, from dist/. */
import { type ChildProcess, spawn } from 'node:child_process';
import { end } from './server.js';

const MAIN = new URL('../../../dist/gateway/main.js', import.meta.url).pathname;
const START_MS = 15_000;

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Served {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Stops it as a service manager does; resolves with its exit code. */
  stop(): Promise<number | null>;
}

function start(argv: readonly string[]): { child: ChildProcess; out: () => string; err: () => string } {
  const child = spawn(process.execPath, [MAIN, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], env: {} });
  const said = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  return { child, out: () => said.out, err: () => said.err };
}

/** Runs a command that ends by itself. */
export async function runTidegate(argv: readonly string[]): Promise<Ran> {
  const { child, out, err } = start(argv);
  const code = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  return { code, out: out(), err: err() };
}

/** Resolves when `tidegate serve` listens: on a free port, in development mode. */
export async function serveTidegate(argv: readonly string[]): Promise<Served> {
  const flags = ['--dev', '--port', '0', '--log-level', 'error', '--drain', '1s'];
  const { child, out, err } = start(['serve', ...flags, ...argv]);
  const limit = Date.now() + START_MS;
  for (;;) {
    const address = /^Development mode at http:\/\/(127\.0\.0\.1:\d+)/m.exec(out())?.[1];
    if (address !== undefined) return { address, stop: () => end(child) };
    if (child.exitCode !== null || Date.now() > limit) {
      await end(child);
      throw new Error(`tidegate serve does not listen:\n${out()}${err()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
