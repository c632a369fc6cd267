/** Thousands of clients in a process of their own, and what that process is told to do: the parent's side. */
import { type ChildProcess, fork } from 'node:child_process';
import { stop } from '../support/command.js';
import { ROOT } from '../support/probe.js';

/** How the clients of a fleet speak. */
export type Speech =
  /** GET with Accept: text/event-stream. */
  | 'sse'
  /** A WebSocket on the path, on which the client says nothing. */
  | 'socket'
  /** A call of the subprotocol tidegate.v1.json at /ws; the path is its route. */
  | 'frames'
  /** Socket.IO over WebSocket, in the default namespace. */
  | 'socket.io';

export interface FleetOptions {
  readonly speech: Speech;
  readonly port: number;
  readonly path: string;
  readonly clients: number;
  /** What stands in each event exactly once; default `"stream":`, which every event of the ticker has. */
  readonly marker?: string;
  /** Whether the clients remember cursors, for `comeBack`; it costs them time. Default false. */
  readonly cursors?: boolean;
  /** Whether to read from each event when it was sent; it costs time. Default false. */
  readonly latencies?: boolean;
  /** Where the clients begin; default: where a client begins that does not say. */
  readonly cursor?: string;
  /** Clients, from the first one, that stop reading once they are connected; default 0. */
  readonly stalled?: number;
}

/** Since the sample before. */
export interface Sample {
  readonly events: number;
  readonly bytes: number;
  /** Connections that are open now. */
  readonly open: number;
  /** In ms, of those events that were looked at. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** What it took to come back, in ms, over all clients: until the answer began, and until the replay was done. */
export interface Return {
  readonly opened: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly caughtUp: { readonly p50: number; readonly p99: number; readonly max: number };
}

export type Order = 'open' | 'sample' | 'leave' | 'come back';

export interface Fleet {
  /** Resolves when all are connected. */
  open(): Promise<void>;
  sample(): Promise<Sample>;
  /** All connections are broken off at once; cursors are kept. */
  leave(): Promise<void>;
  /** All connect at once, each behind the last event that it saw. */
  comeBack(): Promise<Return>;
  close(): Promise<void>;
}

/** Nothing is connected yet. */
export function spawnFleet(options: FleetOptions): Fleet {
  const child: ChildProcess = fork(`${ROOT}dist/test/bench/fleet_main.js`, [JSON.stringify(options)]);
  const ask = <T>(order: Order): Promise<T> =>
    new Promise((resolve, reject) => {
      const failed = (code: number | null): void => reject(new Error(`the fleet ended with ${code}`));
      child.once('exit', failed);
      child.once('message', (answer) => {
        child.off('exit', failed);
        const { error, value } = answer as { error?: string; value?: T };
        if (error === undefined) resolve(value as T);
        else reject(new Error(error));
      });
      child.send(order);
    });
  return {
    open: () => ask('open'),
    sample: () => ask('sample'),
    leave: () => ask('leave'),
    comeBack: () => ask('come back'),
    close: async () => {
      await stop(child);
    },
  };
}
