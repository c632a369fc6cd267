/** Gateway nodes and a service as processes of their own, so that each can be killed and come back as what it was. */
import { connect } from 'node:net';
import { MAIN, UNREACHED_LIMITS } from './command.js';
import { freePort, ROOT } from './probe.js';
import { createRestartable, type Restartable } from './restartable.js';
import { type ClockPace, TICKER_PROTO, type TickerCall } from './ticker.js';

export interface Node extends Restartable {
  readonly port: number;
}

/** Whether something accepts connections there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const answer = (yes: boolean) => () => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('connect', answer(true)).once('error', answer(false));
  });
}

export interface NodeOptions {
  readonly nodeFlags?: readonly string[];
  /** Lines of its standard output. */
  readonly onLine?: (line: string) => void;
}

/** `tidegate serve --dev` on a free port that it keeps, with the ticker's contract; not started yet. */
export async function createNode(
  name: string,
  flags: readonly string[],
  { nodeFlags = [], ...options }: NodeOptions = {},
): Promise<Node> {
  const port = await freePort();
  // The ticker says at once where its streams begin; a machine that is busy must not be taken for a service that does not.
  const known = [
    '--log-level',
    'error',
    '--proto',
    TICKER_PROTO,
    '--accept-after',
    '5s',
    ...UNREACHED_LIMITS,
  ];
  const args = ['--port', String(port), ...known, ...flags];
  const ready = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(1000) }).then(
      ({ ok }) => ok,
      () => false,
    );
  const node = createRestartable({
    name,
    program: process.execPath,
    args: [...nodeFlags, MAIN, 'serve', '--dev', ...args],
    ready,
    ...options,
  });
  return { ...node, port };
}

/** A call of the service as its process told it, in ms since the epoch; without an end if it was killed. */
export interface CallSeen extends TickerCall {
  readonly begun: number;
  ended: number;
}

export interface TickerProcess extends Restartable {
  readonly address: string;
  /** Of all processes so far. */
  readonly calls: readonly CallSeen[];
}

export interface TickerProcessOptions extends ClockPace {
  readonly padding?: number;
  /** Default: a free one. */
  readonly port?: number;
}

/** The ticker as a process, by the clock; not started yet. */
export async function createTickerProcess(pace: TickerProcessOptions): Promise<TickerProcess> {
  const port = pace.port ?? (await freePort());
  const calls: CallSeen[] = [];
  let running = new Map<number, CallSeen>();
  const endAll = (): void => {
    for (const call of running.values()) call.ended = Date.now();
    running = new Map();
  };
  const process_ = createRestartable({
    name: 'the service',
    program: process.execPath,
    args: [`${ROOT}dist/test/support/ticker_main.js`, JSON.stringify({ ...pace, port })],
    ready: () => accepts(port),
    onLine: (line) => {
      const { begins, at, ...call } = JSON.parse(line) as TickerCall & { begins: boolean; at: number };
      const seen = running.get(call.id) ?? { ...call, begun: at, ended: Number.POSITIVE_INFINITY };
      if (begins) {
        running.set(call.id, seen);
        calls.push(seen);
      } else {
        seen.ended = at;
        running.delete(call.id);
      }
    },
  });
  return {
    ...process_,
    address: `127.0.0.1:${port}`,
    calls,
    kill: async () => {
      await process_.kill();
      endAll();
    },
    stop: async () => {
      const code = await process_.stop();
      endAll();
      return code;
    },
  };
}
