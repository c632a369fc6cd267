/** The one node that makes the call of a shared stream: what the service sends goes into the log, in order, once, and with its breaks. */
import { randomInt } from 'node:crypto';
import { type Appended, LogConflict, type Logs, type NewEntry, type Tail } from '../broker/broker.js';
import type { Metadata } from '../call.js';
import { StatusError } from '../status.js';
import type { ResetReason } from './feed.js';
import { type LogRecord, parseRecord, printRecord, tokenOf } from './record.js';
import { retried } from './retried.js';
import { openSource, type Source, type SourceOptions } from './source.js';

export interface OwnerOptions {
  readonly logs: Logs;
  readonly name: string;
  /** `token`: where to begin if the log does not say. */
  readonly source: SourceOptions;
  /** Ends it: the lease is lost, or nobody listens. */
  readonly signal: AbortSignal;
}

export interface Owner {
  /** Of the service's first answer. */
  readonly headers: Metadata;
  /** Why the service could not begin after the token, with a log that was empty: its clients have to be told. */
  readonly lost: ResetReason | undefined;
  /** Where the log ended when the call had been accepted. */
  readonly offset: number;
  /** Resolves when the end of the stream is in the log; rejects with what ended it otherwise: another call may do better. */
  readonly done: Promise<void>;
}

/** What may wait for the broker before the service is slowed. */
const WAITING_RECORDS = 512;
const WAITING_BYTES = 1024 * 1024;
/** What one append holds at most. */
const BATCH_RECORDS = 256;

/** Resolves when the service has accepted the call and the log has begun; rejects with the service's refusal. */
export async function startOwner(options: OwnerOptions): Promise<Owner> {
  const writer = await openWriter(options);
  const source = await openAfter(options, writer, 'epoch_changed');
  try {
    await writer.flushed();
  } catch (thrown) {
    await source.events.return?.(undefined).catch(() => {});
    throw thrown;
  }
  const done = run(options, writer, source);
  return {
    headers: source.headers,
    lost: writer.isEmpty ? source.lost : undefined,
    offset: writer.offset,
    done,
  };
}

async function run(options: OwnerOptions, first: Writer, opened: Source): Promise<void> {
  let [writer, source] = [first, opened];
  for (;;) {
    try {
      await copy(source, writer);
      return;
    } catch (thrown) {
      options.signal.throwIfAborted();
      if (!(thrown instanceof LogConflict)) throw thrown;
      // The broker has lost what was there, or another node has taken over: what the log says now decides where to go on.
      await source.events.return?.(undefined).catch(() => {});
      const token = writer.token ?? options.source.token;
      writer = await openWriter(options);
      source = await openAfter({ ...options, source: { ...options.source, token } }, writer, 'log_diverged');
    }
  }
}

/** The source behind what the log ends with; where that cannot be, the log is told that it breaks. */
async function openAfter(options: OwnerOptions, writer: Writer, reason: ResetReason): Promise<Source> {
  const { last } = writer;
  const fresh = writer.isEmpty || last?.kind === 'end';
  const token = fresh ? options.source.token : last?.token;
  const source = await openSource({ ...options.source, token, signal: options.signal });
  const lost = source.lost ?? (token === undefined ? reason : undefined);
  if (fresh) writer.add({ kind: 'begin', token: source.position });
  else if (lost !== undefined) writer.add({ kind: 'reset', reason: lost, token: source.position });
  return source;
}

/** Returns when the end of the stream is in the log. */
async function copy(source: Source, writer: Writer): Promise<void> {
  // A log that cannot be written any more is noticed at once, not with the next message.
  writer.onFailure = () => void source.events.return?.(undefined).catch(() => {});
  let end: LogRecord;
  try {
    for await (const event of source.events) {
      writer.add(event);
      if (writer.isFull) await writer.flushed();
    }
    end = { kind: 'end', error: undefined, trailers: source.trailers() };
  } catch (thrown) {
    await writer.flushed();
    const error = StatusError.from(thrown);
    if (error !== thrown || error.row.retryable) throw thrown;
    end = { kind: 'end', error, trailers: error.metadata };
  }
  writer.add(end);
  await writer.flushed();
}

async function openWriter({ logs, name, signal }: OwnerOptions): Promise<Writer> {
  const tail = await retried(() => logs.tail(name), signal);
  if (tail.offset === 0) return new Writer(logs, name, { tail, last: undefined, signal });
  const page = await retried(() => logs.read(name, { after: tail.offset - 1, limit: 1 }), signal);
  const entry = page.entries[0];
  const last = entry === undefined ? undefined : parseRecord(entry.data);
  return new Writer(logs, name, { tail: page.tail, last, signal });
}

interface WriterState {
  readonly tail: Tail;
  /** What the log ends with, if that is still kept. */
  readonly last: LogRecord | undefined;
  readonly signal: AbortSignal;
}

interface Waiting extends NewEntry {
  readonly token: Uint8Array | undefined;
}

/** Appends in batches: while one is on its way, the next one gathers. */
class Writer {
  readonly isEmpty: boolean;
  readonly last: LogRecord | undefined;
  private readonly signal: AbortSignal;
  private tail: Pick<Tail, 'epoch' | 'offset' | 'nonce'>;
  /** The service's position behind what has been appended, if it is known. */
  token: Uint8Array | undefined;
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private flushing: Promise<void> | undefined;
  onFailure: () => void = () => {};

  constructor(
    private readonly logs: Logs,
    private readonly name: string,
    { tail, last, signal }: WriterState,
  ) {
    this.isEmpty = tail.offset === 0;
    this.last = last;
    this.tail = tail;
    this.signal = signal;
  }

  /** Where the log ends. */
  get offset(): number {
    return this.tail.offset;
  }

  get isFull(): boolean {
    return this.waiting.length >= WAITING_RECORDS || this.waitingBytes >= WAITING_BYTES;
  }

  add(record: LogRecord): void {
    const data = printRecord(record);
    // Zero is the nonce of the place before the first entry.
    this.waiting.push({ nonce: randomInt(1, 2 ** 32), data, token: tokenOf(record) });
    this.waitingBytes += data.length;
    if (this.flushing !== undefined) return;
    this.flushing = this.flush();
    this.flushing.catch(() => this.onFailure());
  }

  /** Resolves when everything is in the log. Rejects with LogConflict, or with the reason of the signal. */
  async flushed(): Promise<void> {
    await this.flushing;
  }

  private async flush(): Promise<void> {
    // What comes in the same turn goes into the same append.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, BATCH_RECORDS);
      for (const { data } of batch) this.waitingBytes -= data.length;
      const { epoch, positions } = await this.append(batch);
      const at = positions.at(-1);
      if (at !== undefined) this.tail = { epoch, ...at };
      this.token = batch.at(-1)?.token;
    }
    this.flushing = undefined;
  }

  private append(batch: readonly NewEntry[]): Promise<Appended> {
    return retried(() => this.logs.append(this.name, batch, { expect: this.tail }), this.signal);
  }
}
