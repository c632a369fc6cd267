/** The ticker service of ticker.proto: a real gRPC server whose streams are numbered events, the same ones after a restart. */
import {
  loadPackageDefinition,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ROOT } from './probe.js';

export const TICKER_PROTO = `${ROOT}test/support/contracts/ticker.proto`;

/** The names of the methods, without `Watch`. */
export type Kind = 'Log' | 'Live' | 'Short' | 'Mine' | 'Private' | 'Node';

/** Under which collection each method has its route: `/v1/logs/{stream}:watch`. */
const COLLECTIONS: Readonly<Record<Kind, string>> = {
  Log: 'logs',
  Live: 'lives',
  Short: 'shorts',
  Mine: 'mine',
  Private: 'privates',
  Node: 'nodes',
};

/** The route of a stream. */
export const tickerPath = (kind: Kind, stream: string): string => `/v1/${COLLECTIONS[kind]}/${stream}:watch`;

interface WatchRequest {
  readonly stream: string;
  readonly after?: string;
  readonly after_n?: string;
}

export interface Pace {
  /** How many events of a stream there have been, by a time in ms since the epoch; default: by now. */
  due(stream: string, at?: number): number;
}

/** By the clock, so that a process that starts anew counts on where the one before it has stopped. */
export interface ClockPace {
  /** When the first event of a stream is due, in ms since the epoch. */
  readonly start: number;
  /** Events a second, of each stream. */
  readonly rate: number;
  /** The number of the last event. */
  readonly count: number;
  /** How many events become due at once; default 1. */
  readonly burst?: number;
}

export function clockPace({ start, rate, count, burst = 1 }: ClockPace): Pace {
  return {
    due: (stream, at = Date.now()) => {
      const phase = (phaseOf(stream) * 1000) / rate;
      const all = Math.floor(((at - start - phase) * rate) / 1000 / burst) * burst;
      return Math.max(0, Math.min(count, all));
    },
  };
}

/** In [0, 1): streams do not tick at the same instant. */
function phaseOf(stream: string): number {
  let hash = 7;
  for (const char of stream) hash = (hash * 31 + char.charCodeAt(0)) % 9973;
  return hash / 9973;
}

/** A call of the service, for who counts them. */
export interface TickerCall {
  readonly id: number;
  readonly method: string;
  readonly stream: string;
  readonly owner: string;
  /** The number after which it goes on, as the caller asked; undefined: it did not. */
  readonly after: number | undefined;
  /** The number after which it begins. */
  readonly start: number;
}

export interface Ticker {
  readonly address: string;
  /** Calls that are running now. */
  readonly running: ReadonlySet<TickerCall>;
  /** Every call there has been. */
  readonly calls: readonly TickerCall[];
  /** Streams by hand: `count` more events of a stream. Only without a pace. */
  publish(stream: string, count: number): void;
  /** Stops at once, cutting every connection, as a crash would. */
  kill(): void;
}

export interface TickerOptions {
  /** Default 0: a free one. */
  readonly port?: number;
  /** Default: events happen when `publish` says so. */
  readonly pace?: Pace;
  /** Characters of padding in each event; default 0. */
  readonly padding?: number;
  readonly onCall?: (call: TickerCall, begins: boolean) => void;
}

const PUMP_MS = 10;

/** Starts the service on 127.0.0.1. */
export async function startTicker(options: TickerOptions = {}): Promise<Ticker> {
  const published = new Map<string, number>();
  const state: State = {
    pace: options.pace ?? { due: (stream) => published.get(stream) ?? 0 },
    padding: 'x'.repeat(options.padding ?? 0),
    onCall: options.onCall ?? (() => undefined),
    running: new Set(),
    calls: [],
    pumps: new Set(),
  };
  const server = new Server();
  server.addService(loadService(), {
    WatchLog: watch(state, 'Log'),
    WatchLive: watch(state, 'Live'),
    WatchShort: watch(state, 'Short'),
    WatchMine: watch(state, 'Mine'),
    WatchPrivate: watch(state, 'Private'),
    WatchNode: watch(state, 'Node'),
  });
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  const pumpAll = (): void => {
    for (const pump of state.pumps) pump();
  };
  const timer = setInterval(pumpAll, PUMP_MS);
  return {
    address: `127.0.0.1:${bound}`,
    running: state.running,
    calls: state.calls,
    publish: (stream, count) => {
      published.set(stream, (published.get(stream) ?? 0) + count);
      pumpAll();
    },
    kill: () => {
      clearInterval(timer);
      server.forceShutdown();
    },
  };
}

interface State {
  readonly pace: Pace;
  readonly padding: string;
  readonly onCall: (call: TickerCall, begins: boolean) => void;
  readonly running: Set<TickerCall>;
  readonly calls: TickerCall[];
  /** Of each running call: sends what is due. */
  readonly pumps: Set<() => void>;
}

function loadService(): Record<string, MethodDefinition<unknown, unknown>> {
  const definition = loadSync(TICKER_PROTO, {
    includeDirs: [`${ROOT}proto`, `${ROOT}node_modules/protobufjs`],
    keepCase: true,
    longs: String,
    defaults: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    ticker: { v1: { TickerService: { service: Record<string, MethodDefinition<unknown, unknown>> } } };
  };
  return root.ticker.v1.TickerService.service;
}

/** Whether the service of this method remembers what it has said. */
const keepsHistory = (kind: Kind): boolean => kind === 'Log' || kind === 'Private' || kind === 'Node';

/** A position in a history: a string for `Log`, else the number. Streams without history have none. */
function printPosition(kind: Kind, n: number): string {
  if (kind === 'Log') return n === 0 ? '' : `p${n}`;
  return keepsHistory(kind) ? String(n) : '';
}

/** The number after which the caller wants to go on; undefined: from now on; NaN: no position. */
function asked(kind: Kind, { after, after_n }: WatchRequest): number | undefined {
  if (!keepsHistory(kind)) return undefined;
  if (kind !== 'Log') return after_n === undefined ? undefined : Number(after_n);
  if (after === undefined) return undefined;
  return after === '' ? 0 : Number(/^p(\d+)$/.exec(after)?.[1] ?? Number.NaN);
}

function watch(state: State, kind: Kind) {
  return (call: ServerWritableStream<WatchRequest, object>): void => {
    const { stream } = call.request;
    const owner = kind === 'Mine' ? String(call.metadata.get('x-user-id')[0] ?? '') : '';
    const after = asked(kind, call.request);
    if (Number.isNaN(after)) {
      call.emit('error', { code: status.INVALID_ARGUMENT, details: 'after: not a position' });
      return;
    }
    if (after !== undefined && after > state.pace.due(stream)) {
      call.emit('error', { code: status.OUT_OF_RANGE, details: 'after: has not happened yet' });
      return;
    }
    const start = after ?? state.pace.due(stream);
    const mine = { id: state.calls.length, method: `Watch${kind}`, stream, owner, after, start };
    state.calls.push(mine);
    state.running.add(mine);
    state.onCall(mine, true);
    let n = start;
    let blocked = false;
    const pump = (): void => {
      const due = state.pace.due(stream);
      while (!blocked && n < due) {
        n++;
        blocked = !call.write({
          n,
          stream,
          owner,
          position: kind === 'Log' ? printPosition(kind, n) : '',
          sent: Math.round((performance.timeOrigin + performance.now()) * 1000),
          padding: state.padding,
        });
      }
    };
    call.on('drain', () => {
      blocked = false;
      pump();
    });
    const end = (): void => {
      if (!state.running.delete(mine)) return;
      state.pumps.delete(pump);
      state.onCall(mine, false);
    };
    call.on('cancelled', end).on('close', end).on('error', end);
    const headers = new Metadata();
    // Where the stream begins: for those who see no event before they are cut.
    if (keepsHistory(kind)) headers.set('tidegate-position', printPosition(kind, start));
    call.sendMetadata(headers);
    state.pumps.add(pump);
    pump();
  };
}
