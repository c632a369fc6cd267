/** Redis and NATS as real processes on free ports, in folders of their own: to be stopped, killed, paused and started again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { stop as end } from './command.js';
import { freePort } from './probe.js';

const READY_MS = 20_000;

/** Debian puts nats-server where only root looks. */
const PATH = `${process.env.PATH}${delimiter}/usr/sbin`;

export interface TestServer {
  /** `redis://127.0.0.1:port` or `nats://127.0.0.1:port`. */
  readonly url: string;
  readonly port: number;
  /** Where its data is, until `stop`. */
  readonly folder: string;
  /** SIGTERM, so that it saves what it saves; then `start` brings it back. Resolves when it has gone. */
  shutDown(): Promise<void>;
  /** SIGKILL, as a crash; then `start` brings it back. Resolves when it has gone. */
  kill(): Promise<void>;
  /** On the same port and folder; resolves when it is ready. Only after `shutDown` or `kill`. */
  start(): Promise<void>;
  /** SIGSTOP: connections stay, and nothing is answered. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** For good: kills it, paused or not, and removes its folder. Idempotent. */
  stop(): Promise<void>;
}

export interface RedisOptions {
  /** Lines of redis.conf; default: everything is in the append-only file before it is answered. */
  readonly config?: Readonly<Record<string, string>>;
}

export interface NatsOptions {
  /** More of nats-server's configuration, in its own syntax. */
  readonly config?: string;
}

/** `apt-get install redis-server`, if that is what is missing. */
export const missingRedis = (): string | undefined => missing('redis-server', 'redis-server');
/** `apt-get install nats-server`, if that is what is missing. */
export const missingNats = (): string | undefined => missing('nats-server', 'nats-server');

/** Durable unless configured otherwise: it comes back from `kill` with all that it has answered. */
export async function startRedis({ config = {} }: RedisOptions = {}): Promise<TestServer> {
  return startServer('redis', async (port, folder) => {
    const lines = {
      port: String(port),
      bind: '127.0.0.1',
      dir: folder,
      save: '""',
      appendonly: 'yes',
      appendfsync: 'always',
      ...config,
    };
    const file = join(folder, 'redis.conf');
    writeFileSync(
      file,
      Object.entries(lines)
        .map(([key, value]) => `${key} ${value}\n`)
        .join(''),
    );
    return { command: 'redis-server', args: [file], isReady: () => answers(port, 'PING\r\n', '+PONG') };
  });
}

/** With JetStream on disk. */
export async function startNats({ config = '' }: NatsOptions = {}): Promise<TestServer> {
  return startServer('nats', async (port, folder) => {
    const file = join(folder, 'nats.conf');
    writeFileSync(
      file,
      `listen: "127.0.0.1:${port}"\njetstream: { store_dir: ${JSON.stringify(folder)} }\n${config}\n`,
    );
    // The answer to a request to JetStream comes only when it has read all of its streams.
    const ask = 'CONNECT {"verbose":false}\r\nSUB _ 1\r\nPUB $JS.API.INFO _ 0\r\n\r\n';
    return { command: 'nats-server', args: ['-c', file], isReady: () => answers(port, ask, 'MSG _ 1 ') };
  });
}

interface Recipe {
  readonly command: string;
  readonly args: readonly string[];
  isReady(): Promise<boolean>;
}

async function startServer(
  scheme: string,
  prepare: (port: number, folder: string) => Promise<Recipe>,
): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), `tidegate-${scheme}-`));
  const port = await freePort();
  const { command, args, isReady } = await prepare(port, folder);
  let child: ChildProcess | undefined;

  const killAtExit = (): void => void child?.kill('SIGKILL');
  process.once('exit', killAtExit);

  async function leave(signal: NodeJS.Signals): Promise<void> {
    const leaving = child;
    child = undefined;
    if (!leaving) return;
    const left = end(leaving, signal);
    // A paused process takes no signal but SIGKILL before it goes on.
    leaving.kill('SIGCONT');
    await left;
  }
  async function start(): Promise<void> {
    if (child) throw new Error(`${command} is running`);
    const started = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH } });
    child = started;
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
    };
    started.stdout.on('data', keep);
    started.stderr.on('data', keep);
    const failed = new Promise<never>((_, reject) => {
      started.once('error', (error) => {
        child = undefined;
        reject(error);
      });
    });
    const limit = Date.now() + READY_MS;
    while (!(await Promise.race([isReady(), failed]))) {
      if (started.exitCode !== null || Date.now() > limit) {
        await leave('SIGKILL');
        throw new Error(`${command} is not ready (exit code ${started.exitCode}):\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  async function stop(): Promise<void> {
    await leave('SIGKILL');
    process.off('exit', killAtExit);
    rmSync(folder, { recursive: true, force: true });
  }

  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    port,
    folder,
    shutDown: () => leave('SIGTERM'),
    kill: () => leave('SIGKILL'),
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    stop,
  };
}

function missing(command: string, install: string): string | undefined {
  const found = PATH.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  return found ? undefined : install;
}

/** Whether what listens on the port answers `ask` with something that contains `expected`, soon. */
function answers(port: number, ask: string, expected: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(ask));
    let seen = '';
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(500, () => finish(false));
    socket.once('error', () => finish(false)).once('close', () => finish(false));
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1');
      if (seen.includes(expected)) finish(true);
    });
  });
}
