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

/** What one write takes of the ring, and all that a client is sent with it has to know. The same object for all clients that are as far. */
export interface Step {
  readonly from: number;
  /** What comes next. */
  readonly to: number;
  /** Empty when there is nothing to be written. */
  readonly bytes: Uint8Array;
  readonly messages: number;
  /** The place and the cursor behind it; undefined: as before. */
  readonly seen: Seen | undefined;
  /** How the stream ends behind it, if it does. */
  readonly end: Extract<LogRecord, { kind: 'end' }> | undefined;
}

/** How far a client is. */
export interface Seen {
  readonly offset: number;
  readonly nonce: number;
  readonly cursor: string;
}

interface KnownStep extends Step {
  /** The end of the ring when it was made, and whether more was there than there was room for. */
  readonly ringEnd: number;
  readonly isCut: boolean;
}

export interface RingLimits {
  /** More than this is not held, in bytes of records; the newest item always is. */
  readonly bytes: number;
  /** Nor what is older, in ms. */
  readonly ageMs: number;
}

/** How many dropped slots are worth moving the others for. */
const SLACK = 1_024;
/** What one write holds at most, unless a single event is more: so that no client is given much more than it takes. In bytes. */
const WRITE_BYTES = 64 * 1024;
const NOTHING = new Uint8Array(0);

export class Ring {
  private slots: Slot[] = [];
  /** The index in `slots` of the oldest item that is held. */
  private head = 0;
  /** The number of the slot at index 0. */
  private origin = 0;
  private total = 0;
  /** The number of the last break; what is before it may not be in the log any more. */
  private broken = 0;
  private readonly steps = new WeakMap<Encoder, KnownStep>();

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

  /** An item behind which the log is another one than before it. */
  pushBreak(item: Item): void {
    this.broken = this.end;
    this.push(item);
  }

  /**
   * The number of the item behind a position. From before a break nobody can go on in the ring: it holds what the log has lost, and a
   * position in there is good for one answer and unknown afterwards.
   */
  after(offset: number, nonce: number): number | undefined {
    const oldest = Math.max(this.head, this.broken - this.origin);
    for (let index = this.slots.length - 1; index >= oldest; index--) {
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

  /** What is written next to a client that has everything before `from` and room for so many messages. */
  step(encoder: Encoder, from: number, room: number): Step {
    const known = this.steps.get(encoder);
    if (
      known !== undefined &&
      known.from === from &&
      known.ringEnd === this.end &&
      (known.messages === room || (known.messages < room && !known.isCut))
    )
      return known;
    const step = this.newStep(encoder, from, room);
    this.steps.set(encoder, step);
    return step;
  }

  private newStep(encoder: Encoder, from: number, room: number): KnownStep {
    const parts: Uint8Array[] = [];
    let messages = 0;
    let isCut = false;
    let to = from;
    for (; to < this.end; to++) {
      const slot = this.slots[to - this.origin] as Slot;
      const { kind } = slot.record;
      isCut = kind === 'message' && messages >= room;
      if (isCut || kind === 'end') break;
      if (to > from && this.bytesFrom(from) - this.bytesFrom(to + 1) > WRITE_BYTES) break;
      if (kind === 'message') messages++;
      if (isEvent(slot)) parts.push(encodingOf(slot, encoder));
    }
    const next = to < this.end ? this.at(to).record : undefined;
    return {
      from,
      to,
      bytes: parts.length === 0 ? NOTHING : encoder.join(parts),
      messages,
      seen: to === from ? undefined : seenOf(this.at(to - 1)),
      end: next?.kind === 'end' ? next : undefined,
      ringEnd: this.end,
      isCut,
    };
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

/** Without the item itself, which is not to be held for as long as a client is idle. */
export function seenOf({ offset, nonce, cursor }: Item): Seen {
  return { offset, nonce, cursor };
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
