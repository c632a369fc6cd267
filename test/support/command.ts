/** The `tidegate` command as a child process, as users run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { freePort, ROOT } from './probe.js';

export const MAIN = `${ROOT}dist/gateway/main.js`;

/** For load that comes from one address and one caller: every limit is there, and costs what it costs, but is never reached. */
export const UNREACHED_LIMITS: readonly string[] = [
  'connections',
  'connections-per-address',
  'connections-per-principal',
  'handshakes',
  'handshakes-per-address',
  'requests',
  'messages',
  'streams-per-principal',
  'calls-per-upstream',
].flatMap((limit) => [`--${limit}`, '1000000']);

export interface SpawnedGateway {
  readonly pid: number;
  readonly port: number;
  /** SIGTERM, and waits until it has gone; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Stops a child that this process started. */
export function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
    child.kill(signal);
  });
}

/** `tidegate serve --dev` with these flags on a free port; resolves when /readyz answers 200. */
export async function spawnGateway(
  flags: readonly string[],
  nodeFlags: readonly string[] = [],
): Promise<SpawnedGateway> {
  const port = await freePort();
  const args = [
    ...nodeFlags,
    MAIN,
    'serve',
    '--dev',
    '--port',
    String(port),
    '--log-level',
    'error',
    ...UNREACHED_LIMITS,
    ...flags,
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  for (let tries = 0; ; tries++) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(500) }).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ready) break;
    if (child.exitCode !== null || tries > 200)
      throw new Error(`the gateway did not start (exit code ${child.exitCode})`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return { pid: child.pid as number, port, stop: () => stop(child) };
}
