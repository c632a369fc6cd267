/** What happened before the ring: read from the log of the stream, or asked from the service itself. */
import type { Entry, Logs, Position } from '../broker/broker.js';
import { StatusError } from '../status.js';
import { type Place, placeOfToken } from './cursor.js';
import type { ResetReason } from './feed.js';
import { type LogRecord, parseRecord } from './record.js';
import { retried } from './retried.js';
import type { Item } from './ring.js';
import type { Source } from './source.js';

/** Entries and bytes of one page. */
const PAGE_ENTRIES = 256;
const PAGE_BYTES = 256 * 1024;

export interface LogHistoryOptions {
  readonly logs: Logs;
  readonly name: string;
  /** The position to read after; 0 with nonce 0 is from the oldest entry on. */
  readonly after: Position;
  readonly itemOf: (entry: Entry) => Item;
  /** A break that is not in the log, but in what is left of it. */
  readonly breakAt: (reason: ResetReason, at: Position) => Item;
  readonly signal: AbortSignal;
  /** Resolves when there may be more. */
  readonly grown: () => Promise<void>;
}

/** The log behind a position, page by page. Where entries have been dropped before they were read, a reset stands in their place. */
export async function* readLog(options: LogHistoryOptions): AsyncGenerator<readonly Item[], undefined> {
  const { logs, name, itemOf, breakAt, signal, grown } = options;
  let { offset } = options.after;
  let fromOldest = offset === 0;
  for (;;) {
    const after = offset;
    const read = () => logs.read(name, { after, limit: PAGE_ENTRIES, bytes: PAGE_BYTES });
    const { entries, tail } = await retried(read, signal);
    const [first] = entries;
    if (first === undefined) {
      await grown();
      continue;
    }
    const items = entries.map(itemOf);
    const hole = !fromOldest && first.previous !== offset;
    fromOldest = false;
    offset = (entries.at(-1) as Entry).offset;
    const reason = after < tail.first ? 'history_truncated' : 'log_diverged';
    yield hole ? [breakAt(reason, { offset: after, nonce: 0 }), ...items] : items;
  }
}

export interface SourceHistoryOptions {
  readonly source: Source;
  readonly print: (place: Place) => string;
}

/** The service's own log behind its position: for a client that has seen more of it than ours holds, or less. */
export function readSource(options: SourceHistoryOptions): AsyncIterator<readonly Item[], undefined> {
  const pages = pagesOf(options);
  return {
    next: () => pages.next(),
    return: async () => {
      // A generator that waits for an event does not hear of `return` before there is one; the call has to end now.
      await options.source.events.return?.(undefined);
      return pages.return(undefined);
    },
  };
}

async function* pagesOf({ source, print }: SourceHistoryOptions): AsyncGenerator<readonly Item[], undefined> {
  let token = source.position;
  const itemOf = (record: LogRecord, bytes: number): Item => {
    return { offset: 0, nonce: 0, at: performance.now(), record, bytes, cursor: print(placeOfToken(token)) };
  };
  try {
    for await (const event of source.events) {
      if (event.kind === 'message') token = event.token;
      yield [itemOf(event, event.kind === 'message' ? event.message.length : 0)];
    }
  } catch (thrown) {
    const error = StatusError.from(thrown);
    yield [itemOf({ kind: 'end', error, trailers: error.metadata }, 0)];
    return undefined;
  }
  yield [itemOf({ kind: 'end', error: undefined, trailers: source.trailers() }, 0)];
  return undefined;
}

/** An entry of the log as an item. */
export function itemOfEntry({ offset, nonce, data }: Entry, cursorOf: (record: LogRecord) => string): Item {
  const record = parseRecord(data);
  return { offset, nonce, at: performance.now(), record, bytes: data.length, cursor: cursorOf(record) };
}
