/** What a client says of where its stream shall go on, and how long it waits for it: headers, and parameters that are kept from the request. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Method } from '../../src/method.js';
import { parameterError, takeParameters } from './query.js';

/** The id of the last event of a finished stream: who comes back with it is told to stop (204). */
export const FINISHED = 'end';
/** The id on a stream without cursors: who comes back with it was here before, and begins anew. */
export const NO_CURSOR = 'none';
/** Cursors that no event has: the oldest that is kept, and what happens from now on. */
const WORDS: ReadonlySet<string> = new Set(['earliest', 'now']);

/** Whether it is a place that a client has seen, not a word. */
export function isCursor(cursor: string | undefined): cursor is string {
  return cursor !== undefined && !WORDS.has(cursor);
}

export interface Resume {
  /** A cursor, `earliest` or `now`; undefined: where the method begins. */
  readonly cursor: string | undefined;
  /** The client had a connection before: it has a cursor, or knows that there is none. */
  readonly again: boolean;
  /** It had all of the stream. */
  readonly finished: boolean;
}

/** A long poll. */
export interface Wait {
  /** What the client asks for. */
  readonly ms: number;
  /** Whether it was a preference (RFC 7240), which wants to be answered. */
  readonly preferred: boolean;
}

export interface StreamRequest {
  readonly resume: Resume | undefined;
  readonly wait: Wait | undefined;
  /** What is left for the request. */
  readonly query: string;
}

const CURSOR_NAMES = ['last_event_id', 'lastEventId'] as const;
const WAIT = 'wait';
const WAIT_TIME = /^(\d{1,6})(ms|s|m)?$/;
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };
/** RFC 7240 section 4.3: whole seconds, among other preferences. */
const PREFER_WAIT = /(?:^|,)[ \t]*wait[ \t]*=[ \t]*"?(\d{1,6})"?[ \t]*(?:[;,]|$)/i;
const NO_NAMES: ReadonlySet<string> = new Set();

/** Whether the method's streams have cursors. */
export function hasCursors({ serverStreaming, stream }: Method): boolean {
  return serverStreaming && (stream.sharing !== 'private' || stream.cursorField !== '');
}

const RESERVED = new WeakMap<Method, ReadonlySet<string>>();

/** The parameters that are not the method's own: none that is a field of its request. */
function reservedNames(method: Method): ReadonlySet<string> {
  const known = RESERVED.get(method);
  if (known !== undefined) return known;
  const fields = new Set(method.input.fields.flatMap(({ name, jsonName }) => [name, jsonName]));
  const cursors = CURSOR_NAMES.some((name) => fields.has(name)) ? [] : CURSOR_NAMES;
  const names = new Set<string>(cursors);
  if (hasCursors(method) && !fields.has(WAIT)) names.add(WAIT);
  RESERVED.set(method, names);
  return names;
}

export function resumeAt(cursor: string | undefined): Resume | undefined {
  if (cursor === undefined || cursor === '') return undefined;
  return {
    cursor: cursor === NO_CURSOR || cursor === FINISHED ? undefined : cursor,
    again: !WORDS.has(cursor),
    finished: cursor === FINISHED,
  };
}

function waitOf(text: string): number {
  const [, amount, unit = 's'] = WAIT_TIME.exec(text) ?? [];
  if (amount === undefined) throw parameterError(WAIT, 'expected a time such as 30s or 500ms');
  return Number(amount) * (UNIT_MS[unit] as number);
}

function readWait(
  method: Method,
  said: string | undefined,
  { prefer }: IncomingHttpHeaders,
): Wait | undefined {
  if (said !== undefined) return { ms: waitOf(said), preferred: false };
  if (prefer === undefined || !hasCursors(method)) return undefined;
  // A preference that cannot be read is none.
  const seconds = PREFER_WAIT.exec(String(prefer))?.[1];
  return seconds === undefined ? undefined : { ms: Number(seconds) * 1000, preferred: true };
}

/** Throws StatusError INVALID_ARGUMENT for a `wait` that is no time. */
export function readStreamRequest(
  headers: IncomingHttpHeaders,
  method: Method,
  query: string,
): StreamRequest {
  const names = query === '' ? NO_NAMES : reservedNames(method);
  const { values, rest } = takeParameters(query, names);
  const header = headers['last-event-id'];
  const said = CURSOR_NAMES.map((name) => values.get(name)).find((value) => value !== undefined);
  return {
    // The header is the newer one: an EventSource keeps the URL that it was made with.
    resume: resumeAt(typeof header === 'string' && header !== '' ? header : said),
    wait: readWait(method, values.get(WAIT), headers),
    query: rest,
  };
}
