/** The upstream when services are gone, silent, restarted or speak something else than gRPC, and when it closes. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { Code, StatusError } from '../src/status.js';
import { createGrpcUpstream, type GrpcUpstreamOptions, type Upstream } from '../src/upstream/grpc.js';
import { createUpstreams } from '../src/upstream/upstreams.js';
import { failure, readAll, signal, stream, text } from './support/raw_calls.js';
import {
  frame,
  type RawHandlers,
  type RawServer,
  rawCall,
  rawMethod,
  startHttp2Server,
  startRawServer,
} from './support/raw_server.js';
import { startResetServer } from './support/reset_server.js';

const open: { close?(): Promise<void>; stop?(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of open.splice(0).reverse()) await (each.close?.() ?? each.stop?.());
});

function keep<T extends (typeof open)[number]>(it: T): T {
  open.push(it);
  return it;
}

function upstreamOf(
  server: Pick<RawServer, 'address'>,
  options: Partial<GrpcUpstreamOptions> = {},
): Upstream {
  return keep(createGrpcUpstream({ name: 'orders', address: server.address, ...options }));
}

async function start(handlers: RawHandlers, options: Partial<GrpcUpstreamOptions> = {}): Promise<Upstream> {
  return upstreamOf(keep(await startRawServer(handlers)), options);
}

describe('a service that is not there', () => {
  test('is UNAVAILABLE at once, and its address stays a secret', async () => {
    const gone = await startRawServer({ unary: () => {} });
    await gone.stop();
    const upstream = upstreamOf(gone);
    for (const kind of ['unary', 'serverStream', 'unary'] as const) {
      const at = Date.now();
      const error = await failure(upstream.invoke(rawCall(kind)));
      expect(error).toMatchObject({ code: Code.UNAVAILABLE, message: 'upstream orders is unavailable' });
      expect(String(error.cause)).toContain('ECONNREFUSED');
      expect(Date.now() - at).toBeLessThan(1500);
    }
    expect(upstream.state()).toBe('failing');
  });

  test('nor under its name is UNAVAILABLE', async () => {
    const upstream = upstreamOf({ address: 'no-such-host.invalid:1' }, { connectMs: 3000 });
    const error = await failure(upstream.invoke(rawCall('unary')));
    expect(error).toMatchObject({ code: Code.UNAVAILABLE, message: 'upstream orders is unavailable' });
  });

  test('but takes connections and is silent is UNAVAILABLE after connectMs, never accepted by silence', async () => {
    const sockets: Socket[] = [];
    const mute = createServer((socket) => void sockets.push(socket));
    await once(mute.listen(0, '127.0.0.1'), 'listening');
    const { port } = mute.address() as { port: number };
    const upstream = upstreamOf({ address: `127.0.0.1:${port}` }, { connectMs: 250, acceptMs: 20 });
    for (const kind of ['serverStream', 'unary'] as const) {
      const error = await failure(upstream.invoke(rawCall(kind)));
      expect(error).toMatchObject({ code: Code.UNAVAILABLE, message: 'upstream orders is unavailable' });
    }
    expect(upstream.state()).toBe('connecting');
    for (const socket of sockets) socket.destroy();
    mute.close();
  });

  test('any more in mid-stream is a failure, never a silent end', async () => {
    const server = keep(
      await startHttp2Server((stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.write(frame('a'));
      }),
    );
    const { invoke } = upstreamOf(server);
    const messages = stream(await invoke(rawCall('serverStream')));
    expect(text((await messages.next()).value)).toBe('a');
    const pulled = failure(messages.next());
    const single = failure(invoke(rawCall('unary')));
    await sleep(20);
    await server.stop();
    expect(await pulled).toMatchObject({
      code: Code.UNAVAILABLE,
      message: 'the connection to upstream orders was lost',
    });
    expect(await single).toMatchObject({ code: Code.UNAVAILABLE });
  });

  test('any more because it shut down by force is UNAVAILABLE too', async () => {
    const server = keep(await startRawServer({ serverStream: (call) => void call.write(Buffer.from('a')) }));
    const { invoke } = upstreamOf(server);
    const messages = stream(await invoke(rawCall('serverStream')));
    await messages.next();
    const pulled = failure(messages.next());
    await server.stop();
    expect(await pulled).toMatchObject({ code: Code.UNAVAILABLE });
  });

  test('any more, and does not say so, is found by a ping', async () => {
    const server = keep(await startRawServer({ serverStream: (call) => void call.write(Buffer.from('a')) }));
    let deaf = false;
    const sockets: Socket[] = [];
    const relay = createServer((near) => {
      const far = connect(server.port, '127.0.0.1');
      sockets.push(near, far);
      near.on('data', (data) => deaf || far.write(data));
      far.on('data', (data) => deaf || near.write(data));
    });
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    const { port } = relay.address() as { port: number };
    const { invoke } = upstreamOf(
      { address: `127.0.0.1:${port}` },
      { keepaliveMs: 200, keepaliveTimeoutMs: 200 },
    );
    const messages = stream(await invoke(rawCall('serverStream')));
    await messages.next();
    deaf = true;
    const error = await failure(messages.next());
    expect(error).toMatchObject({
      code: Code.UNAVAILABLE,
      message: 'the connection to upstream orders was lost',
    });
    for (const socket of sockets) socket.destroy();
    relay.close();
  });

  test.each(['127.0.0.1', 'localhost'])(
    'and comes back on the same port is found again (%s)',
    async (host) => {
      const handlers: RawHandlers = { unary: (_, callback) => callback(null, Buffer.from('up')) };
      const first = await startRawServer(handlers);
      const upstream = upstreamOf({ address: `${host}:${first.port}` });
      await upstream.invoke(rawCall('unary'));
      expect(upstream.state()).toBe('ready');
      await first.stop();
      await sleep(20);
      expect(await failure(upstream.invoke(rawCall('unary')))).toMatchObject({ code: Code.UNAVAILABLE });
      await sleep(500);
      keep(await startRawServer(handlers, { port: first.port }));
      const at = Date.now();
      for (;;) {
        const up = await upstream.invoke(rawCall('unary')).then(
          () => true,
          () => false,
        );
        if (up) break;
        expect(Date.now() - at).toBeLessThan(4000);
        await sleep(50);
      }
    },
  );
});

describe('a service that does not speak gRPC properly', () => {
  const cases: {
    title: string;
    answer: Parameters<typeof startHttp2Server>[0];
    code: Code;
    message: string;
  }[] = [
    {
      title: 'ends a stream without a status',
      answer(stream) {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
        stream.end(frame('a'));
      },
      code: Code.INTERNAL,
      message: 'upstream orders broke off the call',
    },
    {
      title: 'answers with an HTTP error',
      answer(stream) {
        stream.respond({ ':status': 502, 'content-type': 'text/html' });
        stream.end('<html>bad gateway</html>');
      },
      code: Code.UNAVAILABLE,
      message: 'upstream orders answered HTTP 502 instead of gRPC',
    },
    {
      title: 'answers with an HTTP error and no body',
      answer: (stream) => stream.respond({ ':status': 404 }, { endStream: true }),
      code: Code.UNIMPLEMENTED,
      message: 'upstream orders answered HTTP 404 instead of gRPC',
    },
    {
      title: 'resets the stream',
      answer: (stream) => stream.close(11),
      code: Code.RESOURCE_EXHAUSTED,
      message: 'upstream orders is overloaded',
    },
    {
      title: 'names its own address',
      answer(stream) {
        const { localAddress, localPort } = stream.session?.socket ?? {};
        const headers = { 'grpc-status': '14', 'grpc-message': `${localAddress}:${localPort} is full` };
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', ...headers },
          { endStream: true },
        );
      },
      code: Code.UNAVAILABLE,
      message: 'the connection to upstream orders was lost',
    },
  ];
  test.each(cases)('and $title fails the call in our own words', async ({ answer, code, message }) => {
    const { invoke } = upstreamOf(keep(await startHttp2Server(answer)));
    expect(await failure(invoke(rawCall('unary')))).toMatchObject({ code, message });
    const streamed = await invoke(rawCall('serverStream')).then(readAll, (error) => ({ error }));
    expect(streamed.error).toMatchObject({ code, message });
  });
});

describe('closing', () => {
  test('fails the calls that run, refuses new ones and lets go of the connection', async () => {
    const cancelled = signal();
    const upstream = await start({
      serverStream(call) {
        call.write(Buffer.from('a'));
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    expect(upstream.state()).toBe('idle');
    const messages = stream(await upstream.invoke(rawCall('serverStream')));
    expect(upstream.state()).toBe('ready');
    await messages.next();
    const pulled = failure(messages.next());
    await upstream.close();
    await upstream.close();
    expect(await pulled).toMatchObject({ code: Code.UNAVAILABLE });
    expect(await failure(upstream.invoke(rawCall('unary')))).toMatchObject({ code: Code.UNAVAILABLE });
    await cancelled.promise;
    expect(upstream.state()).toBe('idle');
    upstream.connect();
  });
});

describe('several upstreams', () => {
  test('each serve their own methods, and an unknown name is our own fault', async () => {
    const answer = (text: string): RawHandlers => ({
      unary: (_, callback) => callback(null, Buffer.from(text)),
    });
    const servers = [keep(await startRawServer(answer('A'))), keep(await startRawServer(answer('B')))];
    const list = servers.map(({ address }, i) => createGrpcUpstream({ name: `u${i}`, address }));
    const all = keep(createUpstreams(list));
    const ask = (name: string) => all.invoke(rawCall('unary', { method: rawMethod('unary', name) }));
    expect(all.states()).toEqual({ u0: 'idle', u1: 'idle' });
    expect(text((await ask('u1')).messages)).toBe('B');
    expect(text((await ask('u0')).messages)).toBe('A');
    expect(all.states()).toEqual({ u0: 'ready', u1: 'ready' });
    expect(await failure(ask('u2'))).toMatchObject({ code: Code.INTERNAL, message: 'internal error' });
    expect(() => createUpstreams([list[0] as Upstream, list[0] as Upstream])).toThrow('same name');
  });

  test('connect before they are asked', async () => {
    const server = keep(await startRawServer({ unary: () => {} }));
    const all = keep(createUpstreams([createGrpcUpstream({ name: 'a', address: server.address })]));
    all.connect();
    while (all.states().a !== 'ready') await sleep(5);
  });
});

/** What gRPC's http-grpc-status-mapping says; every other status is UNKNOWN. */
const HTTP_TABLE: [number, Code][] = [
  [400, Code.INTERNAL],
  [401, Code.UNAUTHENTICATED],
  [403, Code.PERMISSION_DENIED],
  [404, Code.UNIMPLEMENTED],
  [429, Code.UNAVAILABLE],
  [502, Code.UNAVAILABLE],
  [503, Code.UNAVAILABLE],
  [504, Code.UNAVAILABLE],
  [204, Code.UNKNOWN],
  [301, Code.UNKNOWN],
  [408, Code.UNKNOWN],
  [500, Code.UNKNOWN],
];

/** What gRPC over HTTP/2 says of RST_STREAM, "Errors"; STREAM_CLOSED (5) has no mapping there, and is INTERNAL. */
const RESET_TABLE: [number, Code][] = [
  [0, Code.INTERNAL],
  [1, Code.INTERNAL],
  [2, Code.INTERNAL],
  [3, Code.INTERNAL],
  [4, Code.INTERNAL],
  [5, Code.INTERNAL],
  [6, Code.INTERNAL],
  [7, Code.UNAVAILABLE],
  [8, Code.CANCELLED],
  [9, Code.INTERNAL],
  [10, Code.INTERNAL],
  [11, Code.RESOURCE_EXHAUSTED],
  [12, Code.PERMISSION_DENIED],
];

describe('an answer without a gRPC status', () => {
  /** The codes that a unary call and a stream end with, and whether the stream had been accepted. */
  async function ends(
    address: string,
  ): Promise<{ unary: StatusError; stream: StatusError | undefined; accepted: boolean }> {
    const upstream = upstreamOf({ address });
    const unary = await failure(upstream.invoke(rawCall('unary')));
    const opened = await upstream
      .invoke(rawCall('serverStream'))
      .catch((thrown: unknown) => thrown as StatusError);
    if (opened instanceof StatusError) return { unary, stream: opened, accepted: false };
    return { unary, stream: (await readAll(opened)).error, accepted: true };
  }

  const http2 = async (answer: Parameters<typeof startHttp2Server>[0]) =>
    ends(keep(await startHttp2Server(answer)).address);

  test.each(HTTP_TABLE)(
    'HTTP %i is code %i, with a body and without, and never an accepted stream',
    async (status, code) => {
      const message = `upstream orders answered HTTP ${status} instead of gRPC`;
      const expected = { unary: { code, message }, stream: { code, message }, accepted: false };
      expect(
        await http2((stream) => stream.respond({ ':status': status }, { endStream: true })),
      ).toMatchObject(expected);
      const page = await http2((stream) => {
        stream.respond({ ':status': status, 'content-type': 'text/html' });
        stream.end('<html>a page of a proxy</html>');
      });
      expect(page).toMatchObject(expected);
    },
  );

  test('of another type is UNKNOWN, and its body is not read as messages', async () => {
    const message = 'upstream orders answered text/html instead of gRPC';
    const answered = await http2((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html; charset=utf-8' });
      stream.end('<html>a page of a proxy</html>');
    });
    expect(answered).toMatchObject({
      unary: { code: Code.UNKNOWN, message },
      stream: { code: Code.UNKNOWN, message },
      accepted: false,
    });
  });

  test('but one with a gRPC status is taken at its word, whatever its HTTP says', async () => {
    for (const head of [{ ':status': 503 }, { ':status': 200, 'content-type': 'text/plain' }]) {
      const answered = await http2((stream) =>
        stream.respond({ ...head, 'grpc-status': '5', 'grpc-message': 'gone' }, { endStream: true }),
      );
      expect(answered).toMatchObject({
        unary: { code: 5, message: 'gone' },
        stream: { code: 5 },
        accepted: false,
      });
    }
  });

  test.each(['99', 'x', '-1'])('grpc-status %s is UNKNOWN', async (status) => {
    const head = { ':status': 200, 'content-type': 'application/grpc' };
    const answered = await http2((stream) =>
      stream.respond({ ...head, 'grpc-status': status, 'grpc-message': 'odd' }, { endStream: true }),
    );
    expect(answered).toMatchObject({ unary: { code: Code.UNKNOWN, message: 'odd' }, accepted: false });
  });

  test.each(RESET_TABLE)(
    'RST_STREAM with code %i is code %i, before a message and after',
    async (reset, code) => {
      const early = keep(await startResetServer(reset, false));
      expect(await ends(early.address)).toMatchObject({ unary: { code }, stream: { code }, accepted: false });
      const late = keep(await startResetServer(reset, true));
      expect(await ends(late.address)).toMatchObject({ unary: { code }, stream: { code }, accepted: true });
    },
  );

  test('GOAWAY in mid-call lets it end; a connection that goes with it is UNAVAILABLE', async () => {
    const kind = await http2((stream) => {
      stream.session?.close();
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' },
        { endStream: true },
      );
    });
    expect(kind).toMatchObject({ unary: { code: 5 } });
    const rude = await http2((stream) => {
      stream.session?.goaway(0);
      setTimeout(() => stream.session?.destroy(), 20);
    });
    expect(rude).toMatchObject({ unary: { code: Code.UNAVAILABLE }, stream: { code: Code.UNAVAILABLE } });
  });
});
