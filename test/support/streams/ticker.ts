/** A service of numbered ticks, as an Invoke: it keeps its history or not, can be taken down, and counts its calls. */
import { create, type DescMessage, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Call, Invoke, Message, Metadata } from '../../../src/call.js';
import { errorInfo } from '../../../src/details.js';
import { type Method, STREAM_DEFAULTS, type StreamOptions } from '../../../src/method.js';
import { ANONYMOUS } from '../../../src/principal.js';
import { Code, StatusError } from '../../../src/status.js';
import { compileProto } from '../compile.js';

const types = compileProto(`
  syntax = "proto3";
  package ticks.v1;
  message WatchRequest { string topic = 1; optional int64 after = 2; }
  message Tick { int64 position = 1; string text = 2; string key = 3; }
`);

function type(name: string): DescMessage {
  const found = types.getMessage(`ticks.v1.${name}`);
  if (found === undefined) throw new Error(`no type ${name}`);
  return found;
}

const Tick = type('Tick');
const WatchRequest = type('WatchRequest');
type Fields = Record<string, unknown>;

export function requestFor(topic: string, after?: number): Message {
  const fields = after === undefined ? { topic } : { topic, after: BigInt(after) };
  return toBinary(WatchRequest, create(WatchRequest, fields as Fields));
}

export function textOf(message: Message): string {
  return String((fromBinary(Tick, message) as unknown as Fields).text);
}

export const CURSOR: Pick<StreamOptions, 'cursorField' | 'resumeField'> = {
  cursorField: 'position',
  resumeField: 'after',
};

export function watchMethod(stream: Partial<StreamOptions> = {}): Method {
  return {
    name: 'ticks.v1.Ticks/Watch',
    service: 'ticks.v1.Ticks',
    path: '/ticks.v1.Ticks/Watch',
    clientStreaming: false,
    serverStreaming: true,
    input: WatchRequest,
    output: Tick,
    routes: [],
    access: { public: true, permissions: [], roles: [] },
    stream: { ...STREAM_DEFAULTS, lingerMs: 50, ...stream },
    upstream: 'ticks',
    source: { file: 'ticks.proto' },
  };
}

interface Listener {
  push(message: Message): void;
  fail(error: StatusError): void;
  end(): void;
}

/** What a client may say with its call. */
export type CallOptions = Partial<Pick<Call, 'resume' | 'principal' | 'metadata'>> & {
  readonly request?: Message;
};

export class Ticker {
  readonly calls: Call[] = [];
  /** Positions that calls began after; undefined for those that named none. */
  readonly after: (number | undefined)[] = [];
  /** The service forgets what is older. */
  oldest = 1;
  /** Whether it tells in its headers where a stream begins. */
  tellsPosition = true;
  down = false;
  refusal: StatusError | undefined;
  private readonly history: Message[] = [];
  private readonly listeners = new Set<Listener>();

  /** Calls that run now. */
  get running(): number {
    return this.listeners.size;
  }

  get last(): number {
    return this.history.length;
  }

  readonly invoke: Invoke = async (call) => {
    this.calls.push(call);
    if (this.down) throw new StatusError(Code.UNAVAILABLE, 'the service is down');
    if (this.refusal !== undefined) throw this.refusal;
    const { requests } = call;
    if (typeof requests !== 'function') throw new Error('expected one request');
    const { after } = fromBinary(WatchRequest, await requests()) as unknown as { after?: bigint };
    const from = after === undefined ? undefined : Number(after);
    this.after.push(from);
    if (from !== undefined && (from < this.oldest - 1 || from > this.history.length))
      throw this.unknown(from);
    const headers: Metadata = this.tellsPosition
      ? { 'tidegate-position': String(from ?? this.history.length) }
      : {};
    return { headers, messages: this.listen(call, from), trailers: () => ({ 'x-total': String(this.last) }) };
  };

  private unknown(from: number): StatusError {
    const reason = from < this.oldest - 1 ? 'HISTORY_TRUNCATED' : 'SEQUENCE_NOT_REACHED';
    return new StatusError(Code.OUT_OF_RANGE, `cannot go on after ${from}`, {
      details: [errorInfo({ reason, domain: 'ticks' })],
    });
  }

  private listen({ signal }: Call, from: number | undefined): AsyncIterable<Message> {
    const queue: (Message | StatusError | undefined)[] = from === undefined ? [] : this.history.slice(from);
    let wake = (): void => {};
    const add = (what: Message | StatusError | undefined): void => {
      queue.push(what);
      wake();
    };
    const listener: Listener = { push: add, fail: add, end: () => add(undefined) };
    this.listeners.add(listener);
    const leave = (): void => {
      this.listeners.delete(listener);
      add(StatusError.from(signal.reason));
    };
    signal.addEventListener('abort', leave);
    const { listeners } = this;
    async function* messages(): AsyncGenerator<Message> {
      try {
        for (;;) {
          while (queue.length === 0) {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
          const next = queue.shift();
          if (next === undefined) return;
          if (next instanceof StatusError) throw next;
          yield next;
        }
      } finally {
        listeners.delete(listener);
        signal.removeEventListener('abort', leave);
      }
    }
    return messages();
  }

  /** Says `count` ticks more; their texts are their numbers. */
  tick(count = 1): void {
    for (let each = 0; each < count; each++) {
      const text = String(this.history.length + 1);
      const fields: Fields = { position: BigInt(text), text };
      const message = toBinary(Tick, create(Tick, fields));
      this.history.push(message);
      for (const listener of this.listeners) listener.push(message);
    }
  }

  /** All calls fail, as when the process dies. */
  crash(): void {
    for (const listener of [...this.listeners]) {
      this.listeners.delete(listener);
      listener.fail(new StatusError(Code.UNAVAILABLE, 'the service died'));
    }
  }

  fail(error: StatusError): void {
    for (const listener of [...this.listeners]) listener.fail(error);
  }

  end(): void {
    for (const listener of [...this.listeners]) listener.end();
  }
}

let calls = 0;

export function callOf(
  method: Method,
  options: CallOptions = {},
  signal: AbortSignal = new AbortController().signal,
): Call {
  const { request = requestFor('a'), ...rest } = options;
  return {
    id: `call-${++calls}`,
    method,
    requests: () => request,
    metadata: {},
    principal: ANONYMOUS,
    signal,
    deadline: undefined,
    ...rest,
  };
}
