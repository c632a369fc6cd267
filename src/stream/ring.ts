/** The newest events of a shared stream in the memory of a node: what its live readers are sent, encoded once for each format. */
import type { Encoder, StreamEvent } from './feed.js';
import type { LogRecord } from './record.js';

/** One record of the log, as it was read. */
export interface Item {
  readonly offset: number;
  readonly nonce: number;
  /** When this node got it, in ms of `performance.now()`. */
  readonly at: number;
  readonly record: LogRecord;
  /** Of the record in the log. */
  readonly bytes: number;
  /** The position behind it, as a cursor. */
  readonly cursor: string;
}

/** In the ring, an item has a number that only grows, whatever happens to the log below. */
interface Slot extends Item {
  /** Bytes of all items so far, this one included. */
  readonly total: number;
  /** What it is on the wires of those who read it: two or three, as a rule. */
  encodings: readonly { readonly encoder: Encoder; readonly bytes: Uint8Array }[];
}

interface Joined {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

export interface RingLimits {
  /** More than this is not held, in bytes of records; the newest item always is. */
  readonly bytes: number;
  /** Nor what is older, in ms. */
  readonly ageMs: number;
}

/** How many dropped slots are worth moving the others for. */
const SLACK = 1_024;
const NOTHING = new Uint8Array(0);

export class Ring {
  private slots: Slot[] = [];
  /** The index in `slots` of the oldest item that is held. */
  private head = 0;
  /** The number of the slot at index 0. */
  private origin = 0;
  private total = 0;
  private readonly joined = new WeakMap<Encoder, Joined>();

  constructor(private readonly limits: RingLimits) {}

  /** The number of the oldest item; `end` when there is none. */
  get begin(): number {
    return this.origin + this.head;
  }

  /** The number of the next item. */
  get end(): number {
    return this.origin + this.slots.length;
  }

  /** Bytes of the items from a number on. */
  bytesFrom(number: number): number {
    return this.total - this.totalBefore(number);
  }

  /** Throws RangeError for a number that is not held. */
  at(number: number): Item {
    const slot = number < this.begin ? undefined : this.slots[number - this.origin];
    if (slot === undefined) throw new RangeError(`item ${number} of ${this.begin} to ${this.end}`);
    return slot;
  }

  push(item: Item): void {
    this.total += item.bytes;
    this.slots.push({ ...item, total: this.total, encodings: [] });
    this.trim(item.at);
  }

  /** The number of the item behind a position, if that is in the ring or just before it. The latest one wins. */
  after(offset: number, nonce: number): number | undefined {
    for (let index = this.slots.length - 1; index >= this.head; index--) {
      const slot = this.slots[index] as Slot;
      if (slot.offset === offset) return slot.nonce === nonce ? this.origin + index + 1 : undefined;
      if (slot.offset < offset) return undefined;
    }
    return undefined;
  }

  /** The number of the item with a position of the service, searched from the newest. */
  behindToken(token: Uint8Array): number | undefined {
    for (let index = this.slots.length - 1; index >= this.head; index--) {
      const { record } = this.slots[index] as Slot;
      if (record.kind === 'end') return undefined;
      if (record.token !== undefined && Buffer.compare(record.token, token) === 0)
        return this.origin + index + 1;
      if (record.kind === 'reset') return undefined;
    }
    return undefined;
  }

  /** The items `from` to before `to` as one write; begin and end of a stream are no events. */
  encoded(encoder: Encoder, from: number, to: number): Uint8Array {
    const known = this.joined.get(encoder);
    if (known !== undefined && known.from === from && known.to === to) return known.bytes;
    const parts: Uint8Array[] = [];
    for (let number = from; number < to; number++) {
      const slot = this.slots[number - this.origin] as Slot;
      if (isEvent(slot)) parts.push(encodingOf(slot, encoder));
    }
    const bytes = parts.length === 0 ? NOTHING : encoder.join(parts);
    this.joined.set(encoder, { from, to, bytes });
    return bytes;
  }

  /** One item as it is on a wire, to be joined with others. */
  encodedItem(encoder: Encoder, number: number): Uint8Array {
    return encodingOf(this.slots[number - this.origin] as Slot, encoder);
  }

  private totalBefore(number: number): number {
    if (number >= this.end) return this.total;
    const slot = this.slots[Math.max(number - this.origin, this.head)] as Slot;
    return slot.total - slot.bytes;
  }

  private trim(now: number): void {
    const last = this.slots.length - 1;
    while (this.head < last) {
      const { total, bytes, at } = this.slots[this.head] as Slot;
      const held = this.total - total + bytes;
      if (held <= this.limits.bytes && now - at <= this.limits.ageMs) break;
      this.head++;
    }
    if (this.head < SLACK && this.head * 2 < this.slots.length) return;
    this.slots = this.slots.slice(this.head);
    this.origin += this.head;
    this.head = 0;
  }
}

function encodingOf(slot: Slot, encoder: Encoder): Uint8Array {
  for (const known of slot.encodings) if (known.encoder === encoder) return known.bytes;
  const bytes = encoder.encode(eventOf(slot));
  slot.encodings = [...slot.encodings, { encoder, bytes }];
  return bytes;
}

export function isEvent({ record }: Item): boolean {
  return record.kind === 'message' || record.kind === 'reset';
}

/** Throws for an item that is no event. */
export function eventOf({ record, cursor }: Item): StreamEvent {
  if (record.kind === 'message') return { kind: 'message', message: record.message, cursor };
  if (record.kind === 'reset') return { kind: 'reset', reason: record.reason, cursor };
  throw new Error(`the ${record.kind} of a stream is no event`);
}
