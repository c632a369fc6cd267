/** History: a page of the events that a channel has kept. */
import type { HistoryRequest } from '../../gen/tidegate/v1/channels.js';
import type { Position } from '../../src/broker/broker.js';
import { check, pageSize } from '../validation.js';
import { parsePositions, printPosition } from './position.js';
import { encodeEvent, type Page } from './record.js';
import { answered } from './refusals.js';
import { readStretch } from './stretch.js';
import type { Topic } from './topic.js';

export type HistoryQuery = Omit<HistoryRequest, 'channel'>;

const SIZES = { usual: 50, most: 1_000 };

/** Throws INVALID_ARGUMENT, and OUT_OF_RANGE for a position that the channel has lost. */
export async function readHistory(topic: Topic, query: HistoryQuery): Promise<Page> {
  const { key, name } = topic;
  const after = query.after === '' ? undefined : parsePositions(query.after, 'after').get(key);
  check(query.after === '' || after !== undefined, 'after', 'is a position of something else');
  const limit = pageSize(query.pageSize, SIZES);
  // Taken before the page: a later end could be behind events that are in neither.
  const end = await answered(topic.logs.tail(name));
  const { entries, tail, more, truncated } = await readStretch(topic, { ...query, after, limit });
  const positionOf = ({ offset, nonce }: Position) =>
    printPosition(key, { epoch: tail.epoch, offset, nonce });
  const events = entries.map((entry) => encodeEvent(entry, name, positionOf(entry)));
  const newest = query.reverse ? entries[0] : entries.at(-1);
  const isBehind = newest === undefined || newest.offset <= end.offset;
  return { events, more, truncated, position: isBehind ? printPosition(key, end) : positionOf(newest) };
}
