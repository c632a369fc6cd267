/** Messages of a client that are numbered, acknowledged, and sent again on its next socket if they were not. */
import { createHash } from 'node:crypto';
import { Code, StatusError } from '../../src/status.js';

/** `Broker.raise`: a number that only grows, forgotten after `ttlMs` without a call. */
export type Raise = (name: string, value: number, ttlMs: number) => Promise<number>;

/** How many senders the memory of one process knows at most. */
const SENDERS_MOST = 10_000;

/** In the memory of this process: the sender that has been silent for longest is forgotten first. */
export function createRaise(most = SENDERS_MOST): Raise {
  const known = new Map<string, { readonly value: number; readonly until: number }>();
  return (name, value, ttlMs) => {
    const now = performance.now();
    const before = known.get(name);
    const raised = Math.max(value, before === undefined || before.until <= now ? 0 : before.value);
    known.delete(name);
    known.set(name, { value: raised, until: now + ttlMs });
    const [oldest] = known.keys();
    if (known.size > most && oldest !== undefined) known.delete(oldest);
    return Promise.resolve(raised);
  };
}

/** Who is sending on this node. */
export class Senders {
  readonly #raise: Raise;
  readonly #live = new Map<string, () => void>();

  /** `ttlMs`: how long a sender may be away; default an hour. */
  constructor(
    raise: Raise = createRaise(),
    private readonly ttlMs = 3_600_000,
  ) {
    this.#raise = raise;
  }

  /** Of the same sender, `superseded` is called when another call is opened: what that one sends is newer. */
  open(name: string, superseded: () => void): Sender {
    this.#live.get(name)?.();
    this.#live.set(name, superseded);
    return {
      raise: (value) => this.#raise(name, value, this.ttlMs),
      close: () => {
        if (this.#live.get(name) === superseded) this.#live.delete(name);
      },
    };
  }
}

export interface Sender {
  /** Records that everything up to this number was delivered; answers the greatest number recorded. */
  raise(value: number): Promise<number>;
  close(): void;
}

/** The name under which a sender is remembered: of fixed length, whatever the three are. */
export function senderName(principal: string, method: string, key: string): string {
  const hash = createHash('sha256').update(JSON.stringify([principal, method, key]));
  return `sender:${hash.digest('base64url')}`;
}

export interface AcksOptions {
  /** Undefined: the client has named no key, and is remembered by nobody. */
  readonly sender: Sender | undefined;
  /** Everything up to this number has been delivered. */
  readonly send: (seq: number) => void;
  /** Nobody can say any more what has been delivered. */
  readonly fail: (error: StatusError) => void;
}

/** The numbers of one call. */
export class Acks {
  readonly #options: AcksOptions;
  #asked: Promise<number> | undefined;
  #known = 0;
  #last: number | undefined;
  #sent = 0;
  #delivered = 0;
  #recording = false;

  constructor(options: AcksOptions) {
    this.#options = options;
  }

  /** The greatest number that was delivered before this call began. Rejects with StatusError UNAVAILABLE. */
  known(): Promise<number> {
    this.#asked ??= this.#ask();
    return this.#asked;
  }

  async #ask(): Promise<number> {
    try {
      this.#known = (await this.#options.sender?.raise(0)) ?? 0;
    } catch (cause) {
      throw unrecorded(cause);
    }
    return this.#known;
  }

  /** Whether a message with this number is to be delivered. Call only once `known` has resolved. Throws INVALID_ARGUMENT for a gap. */
  isNew(seq: number): boolean {
    const expected = this.#last === undefined ? seq : this.#last + 1;
    if (seq !== expected) {
      throw new StatusError(Code.INVALID_ARGUMENT, `msg.seq: expected ${expected}, got ${seq}`);
    }
    this.#last = seq;
    if (seq > this.#known) return true;
    this.#send(this.#known);
    return false;
  }

  /** It was handed on, and left the gateway. */
  delivered(seq: number): void {
    this.#delivered = Math.max(this.#delivered, seq);
    if (this.#options.sender === undefined) this.#send(seq);
    else if (!this.#recording) void this.#record(this.#options.sender);
  }

  /** One after the other: what is delivered meanwhile is recorded with the next. */
  async #record(sender: Sender): Promise<void> {
    this.#recording = true;
    try {
      while (this.#delivered > this.#sent) {
        const seq = this.#delivered;
        await sender.raise(seq);
        this.#send(seq);
      }
    } catch (cause) {
      this.#options.fail(unrecorded(cause));
    } finally {
      this.#recording = false;
    }
  }

  #send(seq: number): void {
    if (seq <= this.#sent) return;
    this.#sent = seq;
    this.#options.send(seq);
  }
}

function unrecorded(cause: unknown): StatusError {
  return new StatusError(Code.UNAVAILABLE, 'it cannot be recorded now which messages were delivered', {
    cause,
  });
}
