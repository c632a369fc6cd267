/** The properties of delivery, checked over what clients have recorded: every way in which a stream may not treat them. */
import type { ResetReason } from '../../../src/stream/feed.js';
import { type Happening, type History, isLast, resumes } from './history.js';
import { type Positions, positionsOf } from './positions.js';

export type Property =
  /** Events come in the order of their numbers. */
  | 'order'
  /** No event comes twice, once those with a cursor that was seen before are put aside. */
  | 'double'
  /** No event is missing, unless a reset says so. */
  | 'hole'
  /** What was sent last is what the last event of the stream is. */
  | 'unfinished'
  /** A cursor that comes without an event stands behind all that was sent, and behind nothing else. */
  | 'bookmark'
  /** A client that resumes gets what lies behind its cursor: all of it, and nothing more. */
  | 'suffix'
  /** A client that names a cursor hears that the stream was resumed, or a reset. */
  | 'silence'
  /** A reset comes only where history was lost, once for each loss. */
  | 'reset'
  /** An open connection is never quiet for longer than its heartbeat. */
  | 'heartbeat'
  /** Nobody sees events of another stream or of somebody else. */
  | 'foreign'
  /** A connection opens once, before anything else on it, and catches up once. */
  | 'framing';

export interface Violation {
  readonly property: Property;
  readonly client: string;
  /** On the clock of the histories. */
  readonly at: number;
  readonly text: string;
}

/** A part of a stream that was lost, in numbers of events: who comes from before its end to behind its beginning has to be told. */
export interface Loss {
  /** The last event that is certainly there. */
  readonly from: number;
  /** The last event that may be missing, or be known to clients and not to the gateway; `from` if none is known to be. */
  readonly to: number;
  readonly reasons: readonly ResetReason[];
  /** Whether it touched this stream; default: all. */
  readonly touches?: (stream: string) => boolean;
}

export interface Expected {
  /** The number of the last event of every stream; absent: the streams went on. */
  readonly last?: number;
  readonly losses?: readonly Loss[];
  /** What a heartbeat may be late, in ms; default 2,000. */
  readonly lateMs?: number;
  /** Times in which nobody could send heartbeats, because the gateway was stopped or this machine was. */
  readonly pauses?: readonly { readonly from: number; readonly until: number }[];
}

export interface Findings {
  readonly violations: readonly Violation[];
  /** Events that clients got, each once. */
  readonly delivered: number;
  /** Events that came again with a cursor that the client had seen, and that it put aside. */
  readonly repeated: number;
  /** Events that a client should have got and did not, without a reset. */
  readonly lost: number;
  readonly doubled: number;
  /** Events that clients did not get, and were told so by a reset. */
  readonly skipped: number;
  readonly resets: Readonly<Partial<Record<ResetReason, number>>>;
  readonly connections: number;
}

/** Checks the histories of any number of streams and clients. */
export function check(histories: readonly History[], expected: Expected = {}): Findings {
  const violations: Violation[] = [];
  const counts = { delivered: 0, repeated: 0, lost: 0, doubled: 0, skipped: 0, connections: 0 };
  const resets: Partial<Record<ResetReason, number>> = {};
  for (const ofStream of byStream(histories)) {
    const positions = positionsOf(ofStream);
    for (const { kind, client, at, text } of positions.contradictions) {
      violations.push({ property: kind === 'message' ? 'order' : 'bookmark', client, at, text });
    }
    for (const history of ofStream) {
      const walk = new Walk(history, positions, expected);
      walk.run();
      violations.push(...walk.violations);
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] += walk.counts[name];
      for (const reason of walk.resets) resets[reason] = (resets[reason] ?? 0) + 1;
    }
  }
  return { violations, ...counts, resets };
}

function byStream(histories: readonly History[]): Iterable<History[]> {
  const groups = new Map<string, History[]>();
  for (const history of histories) {
    const group = groups.get(history.stream);
    if (group === undefined) groups.set(history.stream, [history]);
    else group.push(history);
  }
  return groups.values();
}

/** A connection, as far as it has come. */
interface Connection {
  readonly asked: string | undefined;
  opened: boolean;
  resumed: boolean;
  heartbeatMs: number;
  /** Whether a reset or an event has said where it begins. */
  placed: boolean;
  caughtUp: boolean;
  over: boolean;
}

interface Unexplained {
  readonly at: number;
  readonly reason: ResetReason;
  /** The number of the last event that the client knew; undefined: nobody can tell. */
  readonly known: number | undefined;
}

/** One history, walked from its beginning to its end. */
class Walk {
  readonly violations: Violation[] = [];
  readonly resets: ResetReason[] = [];
  readonly counts = { delivered: 0, repeated: 0, lost: 0, doubled: 0, skipped: 0, connections: 0 };
  private connection: Connection | undefined;
  /** The number of the last event, and whether a reset has come since. */
  private last: number | undefined;
  private begunOver = false;
  /** Since the last reset: a client that is told to forget what it knows forgets them. */
  private numbers = new Set<number>();
  private cursors = new Set<string>();
  private readonly told = new Set<Loss>();
  /** Resets that the next event explains or does not. */
  private unexplained: Unexplained[] = [];
  private before = 0;

  constructor(
    private readonly history: History,
    private readonly positions: Positions,
    private readonly expected: Expected,
  ) {}

  run(): void {
    const { happenings } = this.history;
    for (const happening of happenings) {
      this.checkHeartbeat(happening);
      this.take(happening);
      this.before = happening.at;
    }
    this.explainResets(Number.POSITIVE_INFINITY);
    const { last } = this.expected;
    if (last === undefined || this.last === last) return;
    const text = this.last === undefined ? 'saw no event at all' : `the last event seen is ${this.last}`;
    this.counts.lost += Math.max(0, last - (this.last ?? 0));
    this.find('unfinished', happenings.at(-1)?.at ?? 0, `${text}, of ${last}`);
  }

  private take(happening: Happening): void {
    if (happening.kind === 'connect') {
      this.counts.connections++;
      this.connection = {
        asked: happening.cursor,
        opened: false,
        resumed: false,
        heartbeatMs: 0,
        placed: false,
        caughtUp: false,
        over: false,
      };
      return;
    }
    const { connection } = this;
    if (connection === undefined || connection.over) {
      this.find('framing', happening.at, `${happening.kind} outside of a connection`);
      return;
    }
    if (isLast(happening)) connection.over = true;
    else if (happening.kind === 'open') this.open(connection, happening);
    else if (!connection.opened) this.find('framing', happening.at, `${happening.kind} before open`);
    else if (happening.kind === 'message') this.message(connection, happening);
    else if (happening.kind === 'reset') this.reset(connection, happening);
    else if (happening.kind !== 'heartbeat') this.mark(connection, happening);
  }

  private open(connection: Connection, open: Happening & { kind: 'open' }): void {
    if (connection.opened) this.find('framing', open.at, 'a second open');
    if (open.resumed && connection.asked === undefined)
      this.find('framing', open.at, 'resumed, but nothing was asked for');
    connection.opened = true;
    connection.resumed = open.resumed;
    connection.heartbeatMs = open.heartbeatMs;
  }

  private message(connection: Connection, { at, cursor, event }: Happening & { kind: 'message' }): void {
    this.checkTold(connection, at, `event ${event.n}`);
    if (event.stream !== this.history.stream)
      this.find('foreign', at, `event ${event.n} of stream ${event.stream}`);
    if (event.owner !== this.history.owner)
      this.find('foreign', at, `event ${event.n} of ${event.owner || 'everybody'}`);
    this.explainResets(event.n - 1);
    const first = !connection.placed;
    connection.placed = true;
    if (cursor !== '' && this.cursors.has(cursor)) {
      this.counts.repeated++;
      this.find('suffix', at, `event ${event.n} was sent again`);
      return;
    }
    if (cursor !== '') this.cursors.add(cursor);
    if (!first || !this.checkSuffix(connection, at, event.n)) this.checkOrder(at, event.n);
    if (!this.numbers.has(event.n)) this.counts.delivered++;
    this.numbers.add(event.n);
    this.last = this.last === undefined || this.begunOver ? event.n : Math.max(this.last, event.n);
    this.begunOver = false;
  }

  /** The first event of a connection that was resumed. Answers whether something was found. */
  private checkSuffix({ asked, resumed }: Connection, at: number, n: number): boolean {
    const place = resumed && resumes(asked) ? this.positions.of(asked) : undefined;
    if (place === undefined || n === place + 1) return false;
    if (n > place + 1) this.counts.lost += n - place - 1;
    else this.counts.doubled++;
    this.find('suffix', at, `resumed after ${place}, the first event is ${n}`);
    return true;
  }

  private checkOrder(at: number, n: number): void {
    const { last } = this;
    if (last === undefined) return;
    if (this.begunOver) {
      this.counts.skipped += Math.max(0, n - last - 1);
    } else if (n > last + 1) {
      this.counts.lost += n - last - 1;
      this.find('hole', at, `${n} follows ${last}`);
    } else if (this.numbers.has(n)) {
      this.counts.doubled++;
      this.find('double', at, `${n} again, with another cursor`);
    } else if (n <= last) {
      this.find('order', at, `${n} follows ${last}`);
    }
  }

  private reset(connection: Connection, { at, cursor, reason }: Happening & { kind: 'reset' }): void {
    this.resets.push(reason);
    if (cursor === '') this.find('reset', at, `${reason} without a cursor`);
    if (!connection.placed && !resumes(connection.asked))
      this.find('reset', at, `${reason} for a client that knew nothing`);
    connection.placed = true;
    this.begunOver = true;
    this.numbers = new Set();
    this.cursors = new Set();
    const known = this.last ?? (resumes(connection.asked) ? this.positions.of(connection.asked) : undefined);
    this.unexplained.push({ at, reason, known });
  }

  /** Whether something was lost between what the client knew and what it now gets, for each reset a loss of its own. */
  private explainResets(next: number): void {
    for (const { at, reason, known = next } of this.unexplained) {
      const [low, high] = known < next ? [known, next] : [next, known];
      const loss = this.expected.losses?.find(
        (one) =>
          !this.told.has(one) &&
          one.from <= high &&
          one.to >= low &&
          one.reasons.includes(reason) &&
          one.touches?.(this.history.stream) !== false,
      );
      if (loss !== undefined) this.told.add(loss);
      else this.find('reset', at, `${reason} after ${known}, before ${next + 1}: nothing was lost there`);
      // Who is sent back to the beginning comes to each loss again, and is told again.
      if (next < known)
        for (const one of [...this.told].filter(({ to }) => to >= next)) this.told.delete(one);
    }
    this.unexplained = [];
  }

  /** A bookmark, or the end of a replay. */
  private mark(connection: Connection, mark: Happening & { kind: 'bookmark' | 'caught_up' }): void {
    this.checkTold(connection, mark.at, mark.kind);
    if (mark.cursor === '') this.find('framing', mark.at, `${mark.kind} without a cursor`);
    if (mark.kind === 'bookmark') return;
    if (connection.caughtUp) this.find('framing', mark.at, 'caught up twice');
    connection.caughtUp = true;
  }

  /** Whether a client that named a cursor knows by now what became of it. */
  private checkTold(connection: Connection, at: number, what: string): void {
    if (!resumes(connection.asked) || connection.resumed || connection.placed) return;
    connection.placed = true;
    this.find('silence', at, `${what}, but its cursor was neither resumed nor reset`);
  }

  private checkHeartbeat({ at }: Happening): void {
    const { connection, before } = this;
    if (connection === undefined || !connection.opened || connection.over || connection.heartbeatMs === 0)
      return;
    const gap = at - before;
    if (gap <= connection.heartbeatMs + (this.expected.lateMs ?? 2000)) return;
    if (this.expected.pauses?.some(({ from, until }) => from <= at && until >= before)) return;
    this.find('heartbeat', at, `quiet for ${Math.round(gap)} ms, of ${connection.heartbeatMs}`);
  }

  private find(property: Property, at: number, text: string): void {
    this.violations.push({ property, client: this.history.client, at, text });
  }
}
