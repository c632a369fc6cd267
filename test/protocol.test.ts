/** The examples of PROTOCOL.md, run: each side says what the document says, and nothing else. */
import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createAgenda } from '../gateway/agenda.js';
import { DEFAULTS } from '../gateway/config/schema.js';
import type { Config } from '../gateway/config.js';
import type { Gateway } from '../gateway/doors/door.js';
import { SocketCall } from '../gateway/doors/ws_call.js';
import { Close } from '../gateway/doors/ws_close.js';
import { SHAPES } from '../gateway/doors/ws_frames.js';
import { FEATURES } from '../gateway/doors/ws_hello.js';
import { createJsonFraming } from '../gateway/doors/ws_json.js';
import { Session } from '../gateway/doors/ws_session.js';
import type { Socket } from '../gateway/doors/ws_socket.js';
import type { Endpoint } from '../gateway/http/table.js';
import type { Call, Message } from '../src/call.js';
import { STATUS, StatusError } from '../src/status.js';
import type { Feed, ResetReason, StreamEvent } from '../src/stream/feed.js';
import { pumpFeed } from '../src/stream/pump.js';
import { bytes, identify } from './support/ws_backend.js';
import { readFrames } from './support/ws_wire.js';

const DOCUMENT = readFileSync('gateway/doors/PROTOCOL.md', 'utf8');
const EXAMPLES = [...DOCUMENT.matchAll(/^```(wire|route)(?: (.+))?\n([\s\S]*?)^```$/gm)].map(
  ([, form, route, text]) => ({ form, route, lines: (text as string).trimEnd().split('\n') }),
);

interface Line {
  readonly type?: string;
  readonly sid?: number;
  readonly resumed?: boolean;
  readonly replay?: boolean;
  readonly cursor?: string;
  readonly reason?: string;
  readonly data?: unknown;
  readonly status?: { readonly code: number; readonly message: string };
  readonly error?: { readonly code: number; readonly message: string };
}

/** What a service has to say so that the example comes true. */
interface Script {
  readonly replies: readonly unknown[];
  readonly failure: { readonly code: number; readonly message: string } | undefined;
  /** Of a stream with positions: how it begins, and what it tells. */
  readonly feed?: Pick<Feed, 'resumed' | 'replay' | 'cursor'> & { readonly events: readonly StreamEvent[] };
  /** Whether the example ends before the call does. */
  readonly open?: boolean;
}

const said = (lines: readonly string[], mark: string): string[] =>
  lines.filter((line) => line.startsWith(`${mark} `)).map((line) => line.slice(2));

const parsed = (lines: readonly string[]): Line[] =>
  said(lines, '<')
    .filter((line) => !line.startsWith('close '))
    .map((line) => JSON.parse(line) as Line);

function endpointOf(route: string): Endpoint {
  const client = route.includes(':join');
  const method = {
    name: route,
    clientStreaming: client,
    serverStreaming: client || route.includes(':watch'),
  };
  const bound = {
    empty: () => bytes({}),
    json: (value: unknown) => bytes(value),
    bytes: (value: Message) => value,
  };
  const binding = { bind: () => bound, print: (message: Message) => Buffer.from(message).toString() };
  const options = { maxTimeoutMs: 0 };
  return { method, rule: { body: client ? '*' : '' }, binding, options } as unknown as Endpoint;
}

async function readAll(messages: AsyncIterable<Message>): Promise<void> {
  for await (const _ of messages);
}

function aborted({ signal }: Call): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

function eventOf({ type, data, cursor = '', reason }: Line): StreamEvent[] {
  if (type === 'msg') return [{ kind: 'message', message: bytes(data), cursor }];
  if (type === 'caught_up') return [{ kind: 'caught_up', cursor }];
  return type === 'reset' ? [{ kind: 'reset', reason: reason as ResetReason, cursor }] : [];
}

/** A gateway whose service follows the script of the call's id. */
function scripted(scripts: ReadonlyMap<string, Script>): Gateway {
  const config = {
    limits: {
      bodyBytes: 4 << 20,
      frameBytes: 65_536,
      headerBytes: 16_384,
      streamsPerSocket: 100,
      queuedMessages: 64,
    },
    timeouts: { unaryMs: 0, maxMs: 0, heartbeatMs: 25_000, helloMs: 10_000, drainMs: 10_000 },
    streams: DEFAULTS.streams,
    auth: { ...DEFAULTS.auth, leewaySeconds: 0 },
  } as unknown as Config;
  async function* play(call: Call, { replies, failure, open }: Script): AsyncGenerator<Message> {
    if (typeof call.requests === 'function') await call.requests();
    else readAll(call.requests).catch(() => {});
    for (const reply of replies) yield bytes(reply);
    if (failure !== undefined) throw new StatusError(failure.code as never, failure.message);
    if (open === true) await aborted(call);
  }
  async function* tell(call: Call, events: readonly StreamEvent[]): AsyncGenerator<StreamEvent> {
    yield* events;
    await aborted(call);
  }
  return {
    config,
    log: pino({ level: 'silent' }),
    verify: (token: string) => identify(token).principal,
    draining: new AbortController().signal,
    agenda: createAgenda(),
    counts: { resumed: () => {}, reset: () => {}, left: () => {} },
    invoke: async (call: Call) => {
      const script = scripts.get(call.id) ?? { replies: [], failure: undefined };
      const messages = play(call, script);
      const { signal } = call;
      if (script.feed !== undefined) {
        const { events, ...where } = script.feed;
        const trailers = () => ({});
        const feed = pumpFeed({ ...where, events: tell(call, events), trailers, signal, resumable: true });
        return { headers: {}, messages, feed, trailers };
      }
      if (call.method.serverStreaming) return { headers: {}, messages, trailers: () => ({}) };
      const { value } = await messages.next();
      return { headers: {}, messages: value as Message, trailers: () => ({}) };
    },
    table: () => ({
      codec: {
        printStatus: ({ code, message, details }: StatusError) => JSON.stringify({ code, message, details }),
      },
      byName: new Map(),
      router: {
        match: (verb: string, path: string) => ({
          match: { endpoint: endpointOf(`${verb} ${path}`), variables: [] },
        }),
      },
    }),
  } as unknown as Gateway;
}

class Recorder implements Socket {
  readonly sent: string[] = [];
  send(data: string | Uint8Array): Promise<void> {
    this.sent.push(String(data));
    return Promise.resolve();
  }
  close(code: number, reason: string): void {
    this.sent.push(`close ${code} ${reason}`.trimEnd());
  }
  write(frames: Uint8Array): void {
    for (const { opcode, payload } of readFrames(frames)) {
      if (opcode === 1) this.sent.push(payload.toString());
    }
  }
  isFull(): boolean {
    return false;
  }
  pause(): void {}
  resume(): void {}
  ping(): void {}
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Frames of the other calls of a socket may come in between: the order counts within each. */
function bySid(lines: readonly string[]): Record<string, string[]> {
  const sorted: Record<string, string[]> = {};
  for (const line of lines) {
    const sid = line.startsWith('{') ? ((JSON.parse(line) as Line).sid ?? 'socket') : 'socket';
    sorted[sid] ??= [];
    sorted[sid].push(line);
  }
  return sorted;
}

async function runFrames(lines: readonly string[]): Promise<string[]> {
  const frames = parsed(lines);
  const scripts = new Map(
    frames
      .filter(({ type }) => type === 'opened')
      .map(({ sid, resumed, replay = false, cursor = '' }): [string, Script] => {
        const own = frames.filter((frame) => frame.sid === sid);
        const replies = own.filter(({ type }) => type === 'msg').map(({ data }) => data);
        const open = !own.some(({ type }) => type === 'end');
        const script: Script = { replies, failure: undefined, open };
        if (resumed === undefined) return [`r1-${sid}`, script];
        const feed = { resumed, replay, cursor, events: own.flatMap(eventOf) };
        return [`r1-${sid}`, { ...script, feed }];
      }),
  );
  const gateway = scripted(scripts);
  const socket = new Recorder();
  const framing = createJsonFraming((status) => gateway.table().codec.printStatus(status));
  const session = new Session({ socket, framing, gateway, caller: identify(undefined), identify });
  const cancelled = lines.some((line) => line.includes('"cancel"'));
  if (cancelled) Object.assign(gateway, { invoke: hang(gateway.invoke) });
  for (const line of said(lines, '>')) {
    session.receive(line);
    await settle();
  }
  const sent = [...socket.sent];
  session.gone();
  return sent;
}

/** Accepts calls and then waits until they are cancelled. */
function hang(invoke: Gateway['invoke']): Gateway['invoke'] {
  return async (call) => {
    const reply = await invoke(call);
    async function* wait(): AsyncGenerator<Message> {
      await aborted(call);
      yield bytes({});
    }
    return { ...reply, messages: wait() };
  };
}

async function runRoute(route: string, lines: readonly string[]): Promise<string[]> {
  const frames = parsed(lines);
  const failure = frames.find(({ error }) => error !== undefined)?.error;
  const replies = frames.filter(({ error }) => error === undefined);
  const gateway = scripted(new Map([['r1', { replies, failure }]]));
  const endpoint = endpointOf(route);
  const socket = new Recorder();
  const bound = () => endpoint.binding.bind([], '');
  const call = new SocketCall({
    gateway,
    table: gateway.table(),
    endpoint,
    bound,
    resume: undefined,
    caller: identify(undefined),
    binary: undefined,
  });
  await call.accepted();
  await call.run(socket);
  await settle();
  return socket.sent;
}

describe('PROTOCOL.md', () => {
  test('has examples of both forms', () => {
    expect(new Set(EXAMPLES.map(({ form }) => form))).toEqual(new Set(['wire', 'route']));
    expect(EXAMPLES.length).toBeGreaterThan(6);
  });

  test.each(
    EXAMPLES.map((example) => ({ ...example, title: said(example.lines, '>').at(-1) ?? example.route })),
  )('the example that ends with $title is true', async ({ form, route, lines }) => {
    const sent = form === 'route' ? await runRoute(route as string, lines) : await runFrames(lines);
    const promised = bySid(said(lines, '<'));
    const happened = bySid(sent);
    // Most examples leave the greeting out.
    if (!lines.some((line) => line.includes('"welcome"'))) {
      happened.socket = (happened.socket ?? []).filter((line) => !line.includes('"welcome"'));
      if (happened.socket.length === 0) delete happened.socket;
    }
    expect(happened).toEqual(promised);
  });

  test('names the close code of every status, and every other one', () => {
    for (const { name, close } of STATUS.slice(1)) expect(DOCUMENT).toContain(`${close} ${name}`);
    for (const code of Object.values(Close)) expect(DOCUMENT).toMatch(new RegExp(`^\\| ${code} \\|`, 'm'));
  });

  test('says what each reset means, and names every feature, event and frame', () => {
    const reasons: Record<ResetReason, true> = {
      history_truncated: true,
      epoch_changed: true,
      log_diverged: true,
      cursor_invalid: true,
      scope_changed: true,
      slow_consumer: true,
    };
    for (const reason of Object.keys(reasons)) expect(DOCUMENT).toContain(`\n| \`${reason}\` |`);
    for (const feature of FEATURES) expect(DOCUMENT).toContain(`\n#### \`${feature}\``);
    for (const { type } of SHAPES) expect(DOCUMENT).toContain(`\`${type}\``);
  });
});
