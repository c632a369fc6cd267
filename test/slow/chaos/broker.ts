/** The broker of a chaos run: Redis or NATS, and what can be done to it. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startNats, startRedis, type TestServer } from '../../support/servers.js';

export type BrokerKind = 'redis' | 'nats';

export interface ChaosBroker {
  readonly kind: BrokerKind;
  readonly url: string;
  /** SIGSTOP, and SIGCONT after so many ms. */
  freeze(ms: number): Promise<void>;
  /** SIGKILL, and back after so many ms with all that it had answered. */
  restart(downMs: number): Promise<void>;
  /** Keeps a copy of its files. */
  remember(): void;
  /** SIGKILL, and back with the files that were remembered: what came after them is lost. */
  forget(): Promise<void>;
  stop(): Promise<void>;
}

export async function startBroker(kind: BrokerKind): Promise<ChaosBroker> {
  const server: TestServer = await (kind === 'redis' ? startRedis() : startNats());
  const copy = mkdtempSync(join(tmpdir(), 'tidegate-chaos-'));
  return {
    kind,
    url: server.url,
    freeze: async (ms) => {
      server.pause();
      await sleep(ms);
      server.resume();
    },
    restart: async (downMs) => {
      await server.kill();
      await sleep(downMs);
      await server.start();
    },
    remember: () => {
      rmSync(copy, { recursive: true });
      // While it stands still: its files belong together.
      server.pause();
      cpSync(server.folder, copy, { recursive: true });
      server.resume();
    },
    forget: async () => {
      await server.kill();
      for (const name of readdirSync(server.folder)) rmSync(join(server.folder, name), { recursive: true });
      cpSync(copy, server.folder, { recursive: true });
      await server.start();
    },
    stop: async () => {
      await server.stop();
      rmSync(copy, { recursive: true });
    },
  };
}
