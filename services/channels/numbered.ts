/** A log whose entries are numbered 1, 2, 3 ... by whoever appends, on every broker: each number is taken once, and none is left out. */
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { status } from '@grpc/grpc-js';
import { type Entry, LogConflict, type Tail } from '../../src/broker/broker.js';
import { BEGINNING, type LogPosition } from '../../src/broker/follower.js';
import { refused } from '../errors.js';
import { answered } from './refusals.js';
import { newNonce, type Topic } from './topic.js';

export interface Numbered {
  readonly sequence: bigint;
  readonly data: Uint8Array;
  /** Of the log. */
  readonly offset: number;
  readonly at: Date;
}

type Place = Pick<Numbered, 'sequence' | 'offset'>;
type Make = (sequence: bigint) => Uint8Array | Promise<Uint8Array>;

interface End {
  readonly tail: Tail;
  /** Of the last entry; 0 before the first. */
  readonly sequence: bigint;
}

const PAGE = 200;
const MOST_TRIES = 10;

/** Its retention has to keep the last entry for ever: that one knows the next number. */
export class NumberedLog {
  /** As this node knows it, which is how a single append is enough. Others may have appended since. */
  #end: End | undefined;
  #appending: Promise<unknown> = Promise.resolve();

  constructor(readonly topic: Topic) {}

  /**
   * Resolves with the entry's number and offset. Of one node's appends, the next one waits for the last one. `make` gives the data for the
   * number that is next, and may throw instead; it is called again when somebody else has taken that number.
   */
  append(make: Make): Promise<Place> {
    const append = () => this.#append(make);
    const done = this.#appending.then(append, append);
    this.#appending = done.catch(() => {});
    return done;
  }

  async #append(make: Make): Promise<Place> {
    const { logs, name } = this.topic;
    const nonce = newNonce();
    for (;;) {
      const end = this.#end ?? (await this.#readEnd());
      // Unless it goes well, nobody knows the end.
      this.#end = undefined;
      const sequence = end.sequence + 1n;
      const entries = [{ nonce, data: encode(sequence, await make(sequence)) }];
      try {
        const { epoch, positions } = await answered(logs.append(name, entries, { expect: end.tail }));
        const offset = positions[0]?.offset ?? 0;
        this.#end = { sequence, tail: { epoch, offset, nonce, first: end.tail.first } };
        return { sequence, offset };
      } catch (thrown) {
        if (!(thrown instanceof LogConflict)) throw thrown;
      }
    }
  }

  /** The number of the last entry; 0 before the first. */
  async last(): Promise<bigint> {
    return (await this.#readEnd()).sequence;
  }

  /** The entry at an offset; undefined when it is no longer kept. */
  async at(offset: number): Promise<Numbered | undefined> {
    const { logs, name } = this.topic;
    const { entries } = await answered(logs.read(name, { after: offset - 1, limit: 1 }));
    return entries[0]?.offset === offset ? numberedOf(entries[0]) : undefined;
  }

  /** What number a position stands behind. */
  async sequenceAt({ offset }: LogPosition): Promise<bigint> {
    if (offset === 0) return 0n;
    return (await this.at(offset))?.sequence ?? (await this.last());
  }

  /**
   * Where to go on after a number: at its entry, or with the oldest one that is kept where that is the next. Throws OUT_OF_RANGE when the
   * next one is no longer kept, or the number was not reached.
   */
  async find(sequence: bigint): Promise<LogPosition | 'earliest'> {
    const { logs, name } = this.topic;
    const end = await this.#readEnd();
    if (sequence < 0n || sequence > end.sequence) {
      const message = `the sequence ${sequence} has not been reached: the last one is ${end.sequence}`;
      throw refused(status.OUT_OF_RANGE, 'SEQUENCE_NOT_REACHED', message, { last: `${end.sequence}` });
    }
    const { tail } = end;
    if (sequence === end.sequence) return positionIn(tail, tail);
    const { entries } = await answered(logs.read(name, { after: 0, limit: 1 }));
    const first = entries[0] && numberedOf(entries[0]);
    if (first === undefined || first.sequence > sequence + 1n) {
      const oldest = first?.sequence ?? end.sequence + 1n;
      const message = `what follows the sequence ${sequence} is no longer kept: the oldest is ${oldest}`;
      throw refused(status.OUT_OF_RANGE, 'HISTORY_TRUNCATED', message, { first: `${oldest}` });
    }
    if (sequence === 0n) return BEGINNING;
    return (await this.#search(sequence, end)) ?? 'earliest';
  }

  /** The same for those who put up with what is left: `end` when nothing follows, `earliest` when the number is no longer there. */
  async nearest(sequence: bigint): Promise<LogPosition | 'earliest' | 'end'> {
    const end = await this.#readEnd();
    if (sequence >= end.sequence) return 'end';
    return sequence === 0n ? 'earliest' : ((await this.#search(sequence, end)) ?? 'earliest');
  }

  async #search(sequence: bigint, { tail, sequence: last }: End): Promise<LogPosition | undefined> {
    const { logs, name } = this.topic;
    // Where offsets have no holes, this is it.
    const near = Math.max(tail.offset - Number(last - sequence), 1);
    for (let before = near + 1; ; ) {
      const page = await answered(logs.read(name, { after: before, limit: PAGE, reverse: true }));
      const found = page.entries.find((entry) => numberedOf(entry).sequence === sequence);
      if (found !== undefined) return positionIn(page.tail, found);
      const oldest = page.entries.at(-1);
      if (oldest === undefined || numberedOf(oldest).sequence < sequence) return undefined;
      before = oldest.offset;
    }
  }

  async #readEnd(): Promise<End> {
    const { logs, name } = this.topic;
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      const { entries, tail } = await answered(logs.read(name, { after: 0, limit: 1, reverse: true }));
      const [last] = entries;
      if (last === undefined && tail.offset === 0) return { tail, sequence: 0n };
      // Otherwise something was appended between the two.
      if (last?.offset === tail.offset) return { tail, sequence: numberedOf(last).sequence };
    }
    throw refused(status.ABORTED, 'TOO_BUSY', `${name}: others append all the time: try again`);
  }
}

const positionIn = ({ epoch }: Tail, { offset, nonce }: LogPosition | Entry): LogPosition => ({
  epoch,
  offset,
  nonce,
});

/** sequence = 1, data = 2 */
function encode(sequence: bigint, data: Uint8Array): Uint8Array {
  return new BinaryWriter().uint32(8).uint64(sequence).uint32(18).bytes(data).finish();
}

export function numberedOf({ data: bytes, offset, at }: Entry): Numbered {
  const reader = new BinaryReader(bytes);
  reader.tag();
  const sequence = BigInt(reader.uint64());
  reader.tag();
  return { sequence, data: reader.bytes(), offset, at: new Date(at) };
}
