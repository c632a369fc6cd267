/** Where cursors stand: what all clients of a stream have seen around a cursor has to agree. */
import type { Happening, History } from './history.js';
import { resumes } from './history.js';

/** One client's word on a cursor: everything up to event `n` lies before it. */
interface Fact {
  readonly n: number;
  readonly client: string;
  readonly at: number;
  readonly kind: Happening['kind'];
}

/** A cursor that two clients do not agree on. */
export interface Contradiction {
  readonly client: string;
  readonly at: number;
  readonly kind: Happening['kind'];
  readonly text: string;
}

export interface Positions {
  /** The number of the last event before the cursor; undefined when no event tells it. */
  of(cursor: string): number | undefined;
  readonly contradictions: readonly Contradiction[];
}

/** How much a fact is worth: the event of the cursor itself; what was sent before it; where a client began over. */
const WEIGHT: Partial<Record<Happening['kind'], number>> = { message: 3, bookmark: 2, caught_up: 2, open: 2 };
const weightOf = ({ kind }: Fact): number => WEIGHT[kind] ?? 1;

/** Reads the histories of one stream. */
export function positionsOf(histories: readonly History[]): Positions {
  const best = new Map<string, Fact>();
  const contradictions: Contradiction[] = [];
  const learn = (cursor: string, fact: Fact): void => {
    if (cursor === '') return;
    const known = best.get(cursor);
    if (known === undefined) {
      best.set(cursor, fact);
      return;
    }
    const [strong, weak] = weightOf(fact) > weightOf(known) ? [fact, known] : [known, fact];
    if (strong.n !== weak.n && weightOf(weak) > 1) contradictions.push(contradiction(strong, weak));
    best.set(cursor, strong);
  };
  for (const history of histories) readHistory(history, learn);
  return { of: (cursor) => best.get(cursor)?.n, contradictions };
}

function contradiction(strong: Fact, weak: Fact): Contradiction {
  const told = `${strong.client} got the same cursor with ${strong.n}`;
  const text =
    weak.kind === 'message'
      ? `event ${weak.n} has the cursor of another event: ${told}`
      : weak.n < strong.n
        ? `a cursor ahead of what was sent: ${weak.n} was the last event, but ${told}`
        : `a cursor behind what was sent: ${weak.n} was the last event, but ${told}`;
  return { client: weak.client, at: weak.at, kind: weak.kind, text };
}

/** Tells `learn` what this client's history says of every cursor in it. */
function readHistory({ client, happenings }: History, learn: (cursor: string, fact: Fact) => void): void {
  /** Where the cursors of this client stood, for when it comes back with one of them. */
  const own = new Map<string, number>();
  /** Cursors whose place the next event tells. */
  let waiting: Happening[] = [];
  let place: number | undefined;
  let asked: string | undefined;
  const settle = (happening: Happening, n: number): void => {
    if (!('cursor' in happening) || happening.cursor === undefined) return;
    own.set(happening.cursor, n);
    learn(happening.cursor, { n, client, at: happening.at, kind: happening.kind });
  };
  for (const happening of happenings) {
    if (happening.kind === 'connect') {
      asked = happening.cursor;
      waiting = [];
      place = undefined;
    } else if (happening.kind === 'open') {
      const after = happening.resumed && resumes(asked) ? asked : undefined;
      place = after === undefined ? undefined : own.get(after);
      if (place !== undefined) settle(happening, place);
      // Where a cursor of another client was resumed, the next event is what is to be judged.
      else if (after === undefined) waiting.push(happening);
    } else if (happening.kind === 'message') {
      const { n } = happening.event;
      for (const before of waiting) settle(before, n - 1);
      waiting = [];
      place = n;
      settle(happening, n);
    } else if (happening.kind === 'reset') {
      place = undefined;
      waiting = [happening];
    } else if (happening.kind === 'bookmark' || happening.kind === 'caught_up') {
      if (place === undefined) waiting.push(happening);
      else settle(happening, place);
    }
  }
}
