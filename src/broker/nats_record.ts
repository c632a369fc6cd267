/**
 * What one message of a log's subject holds: the entries of one append, and where they stand. The offset of an entry is the message's sequence
 * and the entry's place in it, so that a position is found without a search.
 */
import { BrokerError, type Entry, type NewEntry, type Position } from './broker.js';

/** Entries of one message at most. */
export const MOST_ENTRIES = 1024;

/** Without its sequence, which the server gives it. */
export interface NewRecord {
  readonly epoch: string;
  /** The last entry before these; 0 and 0 for the first ones. */
  readonly previous: Position;
  /** By the clock of the appending node, never before that of the record before; in ms since the epoch. */
  readonly at: number;
  /** How many entries of the log came before these, ever, and how many bytes of data. */
  readonly count: number;
  readonly sum: number;
  /** None when the record only remembers where the log ends. */
  readonly entries: readonly NewEntry[];
}

export interface LogRecord extends NewRecord {
  /** Of the message. */
  readonly seq: number;
}

const VERSION = 1;
/** Version, length of the epoch; then the epoch, offset and nonce of `previous`, time, count, sum. */
const HEAD_BYTES = 2 + 8 + 4 + 8 + 8 + 8;
/** Nonce, length. */
const ENTRY_BYTES = 8;
const LONGEST_EPOCH = 16;

/** Of a message, what is not data: at most, for so many entries. */
export const overhead = (entries: number): number => HEAD_BYTES + LONGEST_EPOCH + entries * ENTRY_BYTES;

export const offsetOf = (seq: number, index: number): number => seq * MOST_ENTRIES + index;
/** Of the message that holds the entry with this offset, if there is one. */
export const seqOf = (offset: number): number => Math.floor(offset / MOST_ENTRIES);

export function printRecord({ epoch, previous, at, count, sum, entries }: NewRecord): Buffer {
  const head = Buffer.alloc(HEAD_BYTES + epoch.length);
  head.writeUInt8(VERSION, 0);
  head.writeUInt8(epoch.length, 1);
  let index = 2 + head.write(epoch, 2, 'latin1');
  index = head.writeDoubleBE(previous.offset, index);
  index = head.writeUInt32BE(previous.nonce, index);
  for (const number of [at, count, sum]) index = head.writeDoubleBE(number, index);
  const parts: Uint8Array[] = [head];
  for (const { nonce, data } of entries) {
    const before = Buffer.alloc(ENTRY_BYTES);
    before.writeUInt32BE(nonce, 0);
    before.writeUInt32BE(data.length, 4);
    parts.push(before, data);
  }
  return Buffer.concat(parts);
}

/** Throws BrokerError when somebody else has written there. */
export function parseRecord(seq: number, message: Uint8Array): LogRecord {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  try {
    return parse(seq, bytes);
  } catch (cause) {
    throw new BrokerError(`message ${seq} of the log's stream is not one of ours`, { cause });
  }
}

function parse(seq: number, bytes: Buffer): LogRecord {
  if (bytes.readUInt8(0) !== VERSION) throw new RangeError('another version');
  let index = 2 + bytes.readUInt8(1);
  const epoch = bytes.toString('latin1', 2, index);
  const previous = { offset: bytes.readDoubleBE(index), nonce: bytes.readUInt32BE(index + 8) };
  const [at, count, sum] = [12, 20, 28].map((after) => bytes.readDoubleBE(index + after)) as [
    number,
    number,
    number,
  ];
  index += 36;
  const entries: NewEntry[] = [];
  while (index < bytes.length) {
    const nonce = bytes.readUInt32BE(index);
    const end = index + ENTRY_BYTES + bytes.readUInt32BE(index + 4);
    if (end > bytes.length) throw new RangeError('cut off');
    entries.push({ nonce, data: bytes.subarray(index + ENTRY_BYTES, end) });
    index = end;
  }
  return { seq, epoch, previous, at, count, sum, entries };
}

/** Where a log ends that ends with this record. */
export function endOf({ seq, entries, previous }: LogRecord): Position {
  const last = entries.at(-1);
  return last ? { offset: offsetOf(seq, entries.length - 1), nonce: last.nonce } : previous;
}

export function positionsOf({ seq, entries }: LogRecord): Position[] {
  return entries.map(({ nonce }, index) => ({ offset: offsetOf(seq, index), nonce }));
}

export function entriesOf({ seq, previous, at, entries }: LogRecord): Entry[] {
  return entries.map(({ nonce, data }, index) => ({
    offset: offsetOf(seq, index),
    previous: index === 0 ? previous.offset : offsetOf(seq, index - 1),
    nonce,
    at,
    data,
  }));
}

export const sizeOf = (entries: readonly NewEntry[]): number =>
  entries.reduce((size, { data }) => size + data.length, 0);
