/** A gateway for WebSocket tests whose messages are JSON text as bytes and whose service is a function. */
import type { DescMessage } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import { pino } from 'pino';
import { createAgenda } from '../../gateway/agenda.js';
import { DEFAULTS } from '../../gateway/config/schema.js';
import type { Config } from '../../gateway/config.js';
import type { Caller, Gateway } from '../../gateway/doors/door.js';
import { createRouteOptions } from '../../gateway/http/route_options.js';
import type { Binding, Endpoint, Router, Table } from '../../gateway/http/table.js';
import type { StreamCounts, StreamsConfig } from '../../gateway/streams.js';
import { type Call, chain, type Interceptor, type Invoke, type Message, type Reply } from '../../src/call.js';
import type { Codec } from '../../src/codec/codec.js';
import { type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { ANONYMOUS } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import type { Feed } from '../../src/stream/feed.js';
import { messagesOf } from '../../src/stream/messages.js';

export const bytes = (value: unknown): Message => Buffer.from(JSON.stringify(value));
export const value = (message: Message): unknown => JSON.parse(Buffer.from(message).toString());

/** What the backend saw of a call. */
export interface Seen {
  readonly call: Call;
  /** Messages that the service took. */
  readonly taken: unknown[];
  /** Replies that the service was asked for. */
  produced: number;
  /** The call's iteration or promise has come to an end. */
  over: boolean;
}

export interface Backend {
  readonly gateway: Gateway;
  readonly seen: Seen[];
  /** Calls that neither ended nor were aborted. */
  running(): number;
  drain(): void;
  /** Lets `Test/Hold` go on taking messages. */
  release(): void;
}

interface Kind {
  readonly verb: string;
  readonly client?: boolean;
  readonly server?: boolean;
  readonly body?: string;
  readonly shared?: boolean;
}

const KINDS: Readonly<Record<string, Kind>> = {
  Echo: { verb: 'POST', body: '*' },
  Get: { verb: 'GET' },
  Watch: { verb: 'GET', server: true },
  Break: { verb: 'GET', server: true },
  Chat: { verb: 'POST', body: '*', client: true, server: true },
  Upload: { verb: 'POST', body: '*', client: true },
  Feed: { verb: 'GET', client: true },
  Hold: { verb: 'POST', body: '*', client: true, server: true },
  Denied: { verb: 'GET' },
  Missing: { verb: 'GET' },
  Broken: { verb: 'GET' },
  Never: { verb: 'GET' },
  Ticks: { verb: 'GET', server: true, shared: true },
};

function endpointOf(name: string): Endpoint {
  const kind = KINDS[name] as (typeof KINDS)[string];
  const rule = { verb: kind.verb, template: `/v1/${name}`, body: kind.body ?? '', responseBody: '' };
  const method: Method = {
    name: `t.Test/${name}`,
    service: 't.Test',
    path: `/t.Test/${name}`,
    clientStreaming: kind.client ?? false,
    serverStreaming: kind.server ?? false,
    input: StringValueSchema as DescMessage,
    output: StringValueSchema as DescMessage,
    routes: [rule],
    access: { public: true, permissions: [], roles: [] },
    stream: kind.shared === true ? { ...STREAM_DEFAULTS, sharing: 'shared' } : STREAM_DEFAULTS,
    upstream: 'u1',
    source: { file: 't.proto' },
  };
  return { method, rule, binding, options: createRouteOptions({}).of(method, rule) };
}

const binding: Binding = {
  bind: (_variables, query) => {
    if (query.includes('bad')) throw new StatusError(Code.INVALID_ARGUMENT, 'query parameter bad: unknown');
    return {
      empty: () => bytes({ query }),
      json: (body) => {
        if (body === 'wrong') throw new StatusError(Code.INVALID_ARGUMENT, 'body: wrong');
        return bytes(body);
      },
      bytes: (body) => body,
    };
  },
  print: (message) => Buffer.from(message).toString(),
};

function table(): Table {
  const endpoints = Object.keys(KINDS).map(endpointOf);
  const byPath = new Map(endpoints.map((endpoint) => [endpoint.rule.template, endpoint]));
  const router: Router = {
    match: (verb, path) => {
      const endpoint = byPath.get(path);
      if (endpoint === undefined) return undefined;
      return endpoint.rule.verb === verb
        ? { match: { endpoint, variables: [] } }
        : { allow: [endpoint.rule.verb] };
    },
    matchAny: (path) => {
      const endpoint = byPath.get(path);
      return endpoint && { endpoint, variables: [] };
    },
  };
  const codec = {
    printStatus: ({ code, message }: { code: number; message: string }) => JSON.stringify({ code, message }),
  } as unknown as Codec;
  return {
    contract: { methods: endpoints.map(({ method }) => method), types: undefined as never },
    codec,
    router,
    byName: new Map(endpoints.map((endpoint) => [endpoint.method.name, endpoint])),
    shadowed: [],
    endpoints,
  };
}

const CONFIG = {
  limits: {
    ...DEFAULTS.limits,
    bodyBytes: 10_000,
    frameBytes: 4096,
    headerBytes: 4096,
    replyBytes: 1 << 22,
    streamsPerSocket: 4,
    queuedMessages: 8,
  },
  timeouts: { ...DEFAULTS.timeouts, bodyMs: 0, drainMs: 300 },
  auth: { ...DEFAULTS.auth, leewaySeconds: 0 },
  upstreams: [],
  cors: { credentials: false, maxAgeSeconds: 600, allowHeaders: [] },
  origins: ['https://app.example.com'],
  http: {
    errors: 'status',
    requestInfo: true,
    headers: 'same',
    compressAboveBytes: 0,
    compressEvents: false,
    etag: false,
    trailingSlash: 'reject',
    formOverride: false,
    wrongMethod: 405,
  },
  trustedHops: 0,
};

/** Settings that a test changes. */
export interface BackendOptions {
  readonly limits?: Partial<Config['limits']>;
  readonly timeouts?: Partial<Config['timeouts']>;
  /** Bytes of padding in each message of Watch. */
  readonly padding?: number;
  /** The feed of each call of Ticks; may refuse it. */
  readonly feed?: (call: Call) => Feed;
  readonly streams?: Partial<StreamsConfig>;
  readonly compressEvents?: boolean;
  readonly counts?: StreamCounts;
  /** Around the service. */
  readonly policies?: readonly Interceptor[];
  readonly identify?: (token: string | undefined) => Caller | Promise<Caller>;
}

type Sequence = AsyncIterable<Message>;

export function createBackend(options: BackendOptions = {}): Backend {
  const seen: Seen[] = [];
  const draining = new AbortController();
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const services = createServices(held, options);
  const invoke: Invoke = async (call) => {
    const one: Seen = { call, taken: [], produced: 0, over: false };
    seen.push(one);
    const service = services[call.method.name.slice('t.Test/'.length)] as (typeof services)[string];
    try {
      return await service(call, one);
    } catch (thrown) {
      one.over = true;
      throw thrown;
    }
  };
  const built = table();
  const gateway: Gateway = {
    config: {
      ...CONFIG,
      limits: { ...CONFIG.limits, ...options.limits },
      timeouts: { ...CONFIG.timeouts, ...options.timeouts },
      streams: { ...DEFAULTS.streams, ...options.streams },
      http: { ...CONFIG.http, compressEvents: options.compressEvents ?? false },
    } as unknown as Config,
    log: pino({ level: 'silent' }),
    report: () => undefined,
    invoke: chain(options.policies ?? [], invoke),
    table: () => built,
    identify: (request, _endpoint, token) =>
      (options.identify ?? identify)(token ?? request.headers.authorization?.slice('Bearer '.length)),
    verify: (token) => {
      const caller = (options.identify ?? identify)(token);
      return caller instanceof Promise ? caller.then(({ principal }) => principal) : caller.principal;
    },
    draining: draining.signal,
    live: new Set(),
    agenda: createAgenda(),
    counts: options.counts ?? { resumed: () => {}, reset: () => {}, left: () => {} },
  };
  return {
    gateway,
    seen,
    running: () => seen.filter(({ call, over }) => !over && !call.signal.aborted).length,
    drain: () => draining.abort(new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down')),
    release,
  };
}

/** Accepts no token, and `good`; `old` has expired by the time it is used. */
export function identify(token: string | undefined): Caller {
  if (token !== undefined && token !== 'good' && token !== 'old') {
    throw new StatusError(Code.UNAUTHENTICATED, 'token: not valid');
  }
  const expiresAt = token === 'old' ? Date.now() - 1 : undefined;
  const principal = token === undefined ? ANONYMOUS : { ...ANONYMOUS, subject: 'u1', expiresAt };
  return { id: 'r1', principal, metadata: { 'user-agent': 'test' }, deadline: undefined };
}

function single(call: Call): Message | Promise<Message> {
  if (typeof call.requests !== 'function') throw new Error('expected one request');
  return call.requests();
}

function stream(call: Call): Sequence {
  if (typeof call.requests === 'function') throw new Error('expected a stream of requests');
  return call.requests;
}

async function unary(seen: Seen, message: Message): Promise<Reply> {
  seen.over = true;
  return {
    headers: { 'x-method': 'yes', 'grpc-x': 'no' },
    messages: message,
    trailers: () => ({ 'x-trailer': 'end' }),
  };
}

function streaming(seen: Seen, messages: Sequence): Reply {
  async function* iterate(): AsyncGenerator<Message> {
    try {
      for await (const message of messages) {
        if (seen.call.signal.aborted) throw seen.call.signal.reason;
        seen.produced++;
        yield message;
      }
    } finally {
      seen.over = true;
    }
  }
  return { headers: {}, messages: iterate(), trailers: () => ({ 'x-trailer': 'end' }) };
}

function createServices(held: Promise<void>, options: BackendOptions) {
  const padding = 'x'.repeat(options.padding ?? 0);
  const services: Readonly<Record<string, (call: Call, seen: Seen) => Promise<Reply>>> = {
    Echo: async (call, seen) => {
      const message = await single(call);
      seen.taken.push(Buffer.from(message).toString());
      return unary(seen, message);
    },
    Get: async (call, seen) => unary(seen, await single(call)),
    Watch: async (call, seen) => {
      const { query } = value(await single(call)) as { query: string };
      const count = Number(query || '1000000');
      return streaming(
        seen,
        (async function* () {
          for (let n = 1; n <= count; n++) yield bytes(padding === '' ? { n } : { n, padding });
        })(),
      );
    },
    Break: async (call, seen) => {
      await single(call);
      return streaming(
        seen,
        (async function* () {
          yield bytes({ n: 1 });
          throw new StatusError(Code.DATA_LOSS, 'the disk broke', { metadata: { 'x-disk': '1' } });
        })(),
      );
    },
    Chat: async (call, seen) => {
      const requests = stream(call);
      return streaming(
        seen,
        (async function* () {
          for await (const message of requests) {
            seen.taken.push(Buffer.from(message).toString());
            yield message;
          }
        })(),
      );
    },
    Upload: async (call, seen) => {
      for await (const message of stream(call)) seen.taken.push(Buffer.from(message).toString());
      return unary(seen, bytes({ count: seen.taken.length }));
    },
    Feed: (call, seen) => services.Upload?.(call, seen) as Promise<Reply>,
    Hold: async (call, seen) => {
      const requests = stream(call)[Symbol.asyncIterator]();
      const first = requests.next();
      return streaming(
        seen,
        (async function* () {
          await Promise.race([held, first.then(() => held)]);
          for (let next = await first; next.done !== true; next = await requests.next())
            seen.taken.push(value(next.value));
          yield bytes({ count: seen.taken.length });
        })(),
      );
    },
    Ticks: async (call, seen) => {
      await single(call);
      const feed = options.feed?.(call);
      if (feed === undefined) throw new StatusError(Code.NOT_FOUND, 'no feed');
      call.signal.addEventListener('abort', () => {
        seen.over = true;
      });
      return {
        headers: { 'x-method': 'yes' },
        messages: messagesOf(feed, call.signal),
        feed,
        trailers: () => ({}),
      };
    },
    Denied: async () => {
      throw new StatusError(Code.PERMISSION_DENIED, 'orders:read is needed');
    },
    Missing: async (call) => {
      await single(call);
      throw new StatusError(Code.NOT_FOUND, 'no such thing');
    },
    Broken: async (call) => {
      await single(call);
      throw new TypeError('secret insides');
    },
    Never: async (call) => {
      await single(call);
      return new Promise((_, reject) => {
        call.signal.addEventListener('abort', () => reject(call.signal.reason as Error), { once: true });
      });
    },
  };
  return services;
}
