/** What one client of a stream has seen, in order: the records that the properties of delivery are checked on. */
import type { ResetReason } from '../../../src/stream/feed.js';

/** One thing that happened to a client. `at` is in ms, on one clock for all clients of a run. */
export type Happening = { readonly at: number } & (
  | {
      /** The client asks. */
      readonly kind: 'connect';
      /** The cursor that it resumes after, `earliest`, `now`, or none. */
      readonly cursor?: string;
      /** Which gateway it asked, for the reader of a report. */
      readonly port: number;
    }
  | {
      /** The stream was accepted. */
      readonly kind: 'open';
      readonly cursor: string;
      /** Whether the stream goes on where the asked cursor was. */
      readonly resumed: boolean;
      /** Between heartbeats of this connection, in ms; 0: it has none. */
      readonly heartbeatMs: number;
    }
  | {
      readonly kind: 'message';
      /** Behind it; empty where only a whole batch has one, which a bookmark then tells. */
      readonly cursor: string;
      readonly event: EventSeen;
    }
  | { readonly kind: 'bookmark' | 'caught_up'; readonly cursor: string }
  | { readonly kind: 'reset'; readonly reason: ResetReason; readonly cursor: string }
  /** A sign of life that says nothing. */
  | { readonly kind: 'heartbeat' }
  /** How the connection ended: with a status of the call, told to come back, refused, answered (a poll), or without a word. */
  | { readonly kind: 'end'; readonly code: number }
  | { readonly kind: 'drain'; readonly reconnectMs: number }
  | { readonly kind: 'refused'; readonly status: number }
  | { readonly kind: 'answered' }
  | { readonly kind: 'cut' }
);

/** A message of the stream, as far as the properties are concerned. */
export interface EventSeen {
  /** Of the stream, from 1 without a hole: the service counts. */
  readonly n: number;
  readonly stream: string;
  /** Whose it is; empty on streams that are everybody's. */
  readonly owner: string;
}

export interface History {
  /** Names the client in reports. */
  readonly client: string;
  readonly stream: string;
  /** The only owner whose events this client may see; empty: of nobody. */
  readonly owner: string;
  readonly happenings: readonly Happening[];
}

/** Cursors that a client may name without having seen one. */
const RESERVED: ReadonlySet<string> = new Set(['earliest', 'now']);

/** Whether the client named a place that it has been to. */
export function resumes(cursor: string | undefined): cursor is string {
  return cursor !== undefined && cursor !== '' && !RESERVED.has(cursor);
}

type Last = Extract<Happening, { readonly kind: 'end' | 'drain' | 'refused' | 'answered' | 'cut' }>;

/** Whether nothing more comes on the connection after it. */
export function isLast(happening: Happening): happening is Last {
  const { kind } = happening;
  return kind === 'end' || kind === 'drain' || kind === 'refused' || kind === 'answered' || kind === 'cut';
}
