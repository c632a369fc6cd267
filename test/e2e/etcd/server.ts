/** etcd and its contract, as Debian installs them: a gRPC server, and a JSON gateway to be compared with, that nobody here wrote. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const BINARY = '/usr/bin/etcd';
const GO = '/usr/share/gocode/src';

/** What `tidegate serve` is told to find etcd's contract where Debian puts it. */
export const ETCD_CONTRACT = {
  proto: `${GO}/go.etcd.io/etcd/etcdserver/etcdserverpb/rpc.proto`,
  includes: [`${GO}/go.etcd.io`, `${GO}/github.com/gogo/protobuf`],
} as const;

const START_MS = 15_000;

/** What of it is not installed here. */
export function missingParts(): string[] {
  const parts = [
    [BINARY, constants.X_OK],
    [ETCD_CONTRACT.proto, constants.R_OK],
    [`${GO}/github.com/gogo/protobuf/gogoproto/gogo.proto`, constants.R_OK],
  ] as const;
  return parts.filter(([path, mode]) => !isAccessible(path, mode)).map(([path]) => path);
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

export interface Etcd {
  /** `127.0.0.1:port`: gRPC and etcd's own JSON gateway, both. */
  readonly address: string;
  /** The value of a metric without labels, from its /metrics. */
  metric(name: string): Promise<number>;
  /** Stops the process and removes its data. */
  stop(): Promise<void>;
}

/**
 * A new cluster of one member, on free ports, in a new folder. Cluster and member id follow from name, token and
 * advertised URLs, which are the same each time (nobody dials them): two of these that are told the same give the
 * same answers, ids and revisions included.
 */
export async function startEtcd(): Promise<Etcd> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-etcd-'));
  const [clientPort, peerPort] = await Promise.all([freePort(), freePort()]);
  const address = `127.0.0.1:${clientPort}`;
  const advertised = 'http://127.0.0.1:2380';
  const options = {
    'data-dir': folder,
    name: 'compared',
    'listen-client-urls': `http://${address}`,
    'advertise-client-urls': 'http://127.0.0.1:2379',
    'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
    'initial-advertise-peer-urls': advertised,
    'initial-cluster': `compared=${advertised}`,
    'initial-cluster-token': 'tidegate',
    'heartbeat-interval': '20',
    'election-timeout': '200',
    logger: 'zap',
    'log-level': 'error',
  };
  const argv = Object.entries(options).map(([flag, value]) => `--${flag}=${value}`);
  const child = spawn(BINARY, argv, { stdio: 'ignore', env: {} });
  const stop = async (): Promise<void> => {
    await end(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await healthy(address, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { address, metric: (name) => readMetric(address, name), stop };
}

async function healthy(address: string, child: ChildProcess): Promise<void> {
  const limit = Date.now() + START_MS;
  while (Date.now() < limit) {
    if (child.exitCode !== null) throw new Error(`etcd ended with code ${child.exitCode}`);
    const reply = await fetch(`http://${address}/health`).catch(() => undefined);
    if (reply?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`etcd is not healthy after ${START_MS} ms`);
}

/** Ends a child process: asked first, killed if it does not listen. Resolves with its exit code, null if it was killed. */
export function end(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
    child.kill('SIGTERM');
  });
}

async function readMetric(address: string, name: string): Promise<number> {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  if (line === undefined) throw new Error(`etcd has no metric ${name}`);
  return Number(line.slice(name.length + 1));
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
