/** A client of a resumable stream that comes back whenever it is cut, as a real one does, and writes down all that happens to it. */
import type { EventSeen, Happening, History } from '../../e2e/properties/history.js';
import { isLast, resumes } from '../../e2e/properties/history.js';

/** A happening before its time is known. */
export type Step = Happening extends infer One ? (One extends Happening ? Omit<One, 'at'> : never) : never;

/** What one connection is asked for. */
export interface Ask {
  readonly port: number;
  readonly path: string;
  readonly token: string | undefined;
  readonly cursor: string | undefined;
}

/** How a client has to come back: after a time that it was told, after one that it draws, or not at all. */
export type Comeback = { readonly afterMs: number } | 'jitter' | 'never';

/** What one connection tells, in order. Nothing after `over`. */
export interface Listener {
  tell(step: Step): void;
  /** Called once: the connection is gone, and nothing more comes of it. */
  over(comeback: Comeback): void;
}

export interface Connection {
  /** Breaks off now, without a word. Then `over` is called too. */
  cut(): void;
  /** Breaks off in the middle of the next event that comes, where the door can tell; else as `cut`. */
  cutInside(): void;
}

/** One way to read a stream. */
export interface Door {
  readonly name: string;
  connect(ask: Ask, listener: Listener): Connection;
}

export interface ClientOptions {
  readonly name: string;
  readonly door: Door;
  readonly stream: string;
  readonly path: string;
  /** The port of the gateway to ask next. */
  readonly port: () => number;
  readonly token?: string;
  /** Whose events it may see; default: those of everybody. */
  readonly owner?: string;
  /** Where it begins; default: wherever a client begins that says nothing. */
  readonly cursor?: string;
  /** The first of the delays that it draws is up to this, in ms; default 100. They double up to 2,000. */
  readonly backoffMs?: number;
}

export interface Client {
  readonly history: History;
  /** The number of the last event, 0 before the first one. */
  readonly last: () => number;
  readonly cursor: () => string | undefined;
  /** Whether a stream is open now. */
  readonly connected: () => boolean;
  /** Breaks the connection, if there is one, in the middle of an event if it is asked for. It comes back. */
  cut(inside?: boolean): void;
  /** Breaks off for good. */
  leave(): void;
  /** Resolves when it will never come back. */
  readonly gone: Promise<void>;
}

const MAX_BACKOFF_MS = 2000;

/** In ms since the epoch: one clock for all that this process writes down. */
export const now = (): number => performance.timeOrigin + performance.now();

export function startClient(options: ClientOptions): Client {
  const happenings: Happening[] = [];
  const state: State = { options, happenings, cursor: options.cursor, last: 0, open: false, tries: 0 };
  const gone = new Promise<void>((resolve) => {
    state.leave = resolve;
  });
  connect(state);
  return {
    history: { client: options.name, stream: options.stream, owner: options.owner ?? '', happenings },
    last: () => state.last,
    cursor: () => state.cursor,
    connected: () => state.open,
    cut: (inside = false) => {
      if (inside) state.connection?.cutInside();
      else state.connection?.cut();
    },
    leave: () => {
      state.left = true;
      clearTimeout(state.timer);
      if (state.connection === undefined) state.leave?.();
      else state.connection.cut();
    },
    gone,
  };
}

interface State {
  readonly options: ClientOptions;
  readonly happenings: Happening[];
  cursor: string | undefined;
  last: number;
  /** Connections since the last one that opened. */
  tries: number;
  open: boolean;
  left?: boolean;
  connection?: Connection | undefined;
  timer?: NodeJS.Timeout;
  leave?: () => void;
}

function connect(state: State): void {
  const { options, happenings, cursor } = state;
  const port = options.port();
  const asked = cursor === undefined ? {} : { cursor };
  happenings.push({ kind: 'connect', at: now(), port, ...asked });
  state.tries++;
  const listener: Listener = {
    tell: (step) => note(state, { ...step, at: now() } as Happening),
    over: (comeback) => {
      const before = happenings.at(-1) as Happening;
      if (!isLast(before)) happenings.push({ kind: 'cut', at: now() });
      state.open = false;
      state.connection = undefined;
      comeBack(state, comeback);
    },
  };
  state.connection = options.door.connect(
    { port, path: options.path, token: options.token, cursor },
    listener,
  );
}

function note(state: State, happening: Happening): void {
  state.happenings.push(happening);
  if (happening.kind === 'open') {
    state.open = true;
    state.tries = 0;
  }
  if (happening.kind === 'message') state.last = happening.event.n;
  if ('cursor' in happening && resumes(happening.cursor)) state.cursor = happening.cursor;
}

function comeBack(state: State, comeback: Comeback): void {
  if (comeback === 'never' || state.left) {
    state.leave?.();
    return;
  }
  const base = state.options.backoffMs ?? 100;
  const delay =
    comeback === 'jitter'
      ? Math.random() * Math.min(MAX_BACKOFF_MS, base * 2 ** Math.min(state.tries, 10))
      : comeback.afterMs;
  state.timer = setTimeout(() => connect(state), delay);
}

/** A message of the ticker's as the checker knows it. */
export function eventOf(json: unknown): EventSeen {
  const { n, stream, owner } = json as { n?: string | number; stream?: string; owner?: string };
  return { n: Number(n), stream: stream ?? '', owner: owner ?? '' };
}
