/** The upstream against real servers: what a call says, how it ends, who waits for whom. */
import { setTimeout as sleep } from 'node:timers/promises';
import { compressionAlgorithms, Metadata as GrpcMetadata } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import type { Message, Reply } from '../src/call.js';
import { encodeStatus } from '../src/details.js';
import { Code, StatusError } from '../src/status.js';
import { createGrpcUpstream, type GrpcUpstreamOptions, type Upstream } from '../src/upstream/grpc.js';
import { bytes, failure, from, readAll, signal, stream, text } from './support/raw_calls.js';
import {
  frame,
  type RawHandlers,
  type RawServer,
  rawCall,
  startHttp2Server,
  startRawServer,
} from './support/raw_server.js';

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

/** `grpc-status-details-bin` with one detail. */
function statusDetails(code: number, value: string): Buffer {
  const details = [{ typeUrl: 'type.googleapis.com/x.Y', value: bytes(value) }];
  return Buffer.from(encodeStatus({ code, message: 'as said', details }));
}

describe('a call that answers one message', () => {
  test('carries bytes, headers and trailers there and back', async () => {
    const { invoke } = await start({
      unary(call, callback) {
        const headers = new GrpcMetadata();
        headers.add('x-server', 'one');
        headers.add('x-server', 'two');
        headers.add('x-raw-bin', Buffer.from([1, 2, 255]));
        call.sendMetadata(headers);
        const trailers = new GrpcMetadata();
        trailers.set('x-cost', '3');
        callback(null, Buffer.concat([Buffer.from('echo '), call.request]), trailers);
      },
    });
    const reply = await invoke(rawCall('unary', { requests: () => new Uint8Array([104, 105]) }));
    expect(text(reply.messages)).toBe('echo hi');
    expect(reply.headers).toEqual({ 'x-server': 'one, two', 'x-raw-bin': 'AQL/' });
    expect(reply.trailers()).toEqual({ 'x-cost': '3' });
  });

  test('sends an empty message and accepts one', async () => {
    const { invoke } = await start({ unary: (call, callback) => callback(null, call.request) });
    const reply = await invoke(rawCall('unary'));
    expect(reply.messages).toHaveLength(0);
    expect(reply.headers).toEqual({});
    expect(reply.trailers()).toEqual({});
  });

  test('sends metadata by name, repeated and binary, and none that belongs to the transport', async () => {
    let seen = new GrpcMetadata();
    const { invoke } = await start({
      unary(call, callback) {
        seen = call.metadata;
        callback(null, Buffer.alloc(0));
      },
    });
    const metadata = {
      'x-tag': ['a', 'b'],
      'x-key-bin': 'AQI',
      'x-two-bin': 'AQ==, Ag==',
      authorization: ['Bearer a', 'Bearer b'],
      Accept: 'text/html',
      'grpc-timeout': '1S',
      'grpc-status-details-bin': 'AQ==',
      'content-length': '999',
      connection: 'close',
      host: 'evil',
      te: 'gzip',
      'transfer-encoding': 'chunked',
      ':path': '/other',
      'sp ace': '1',
    };
    await invoke(rawCall('unary', { metadata }));
    expect(seen.get('x-tag')).toEqual(['a, b']);
    expect(seen.get('x-key-bin')).toEqual([Buffer.from([1, 2])]);
    expect(seen.get('x-two-bin')).toEqual([Buffer.from([1]), Buffer.from([2])]);
    expect(seen.get('authorization')).toEqual(['Bearer a, Bearer b']);
    expect(seen.get('accept')).toEqual(['text/html']);
    const names = Object.keys(seen.getMap());
    expect(names.filter((name) => name.startsWith('grpc-') && name !== 'grpc-accept-encoding')).toEqual([]);
    expect(names).not.toContain('connection');
    expect(names).not.toContain('content-length');
    expect(names).not.toContain('host');
  });

  test('refuses metadata that gRPC cannot carry and names the header', async () => {
    const { invoke } = await start({ unary: (_, callback) => callback(null, Buffer.alloc(0)) });
    const error = await failure(invoke(rawCall('unary', { metadata: { 'x-name': 'Zoë' } })));
    expect(error).toMatchObject({ code: Code.INVALID_ARGUMENT });
    expect(error.message).toContain('x-name');
    expect(await invoke(rawCall('unary'))).toBeDefined();
  });

  test('fails with the code, message, details and trailers of the service', async () => {
    const { invoke } = await start({
      unary(_, callback) {
        const metadata = new GrpcMetadata();
        metadata.set('x-hint', 'later');
        const details = statusDetails(9, 'zz');
        metadata.set('grpc-status-details-bin', details);
        callback({ code: Code.FAILED_PRECONDITION, details: 'order is closed: 100% ü', metadata });
      },
    });
    const error = await failure(invoke(rawCall('unary')));
    expect(error.code).toBe(Code.FAILED_PRECONDITION);
    expect(error.message).toBe('order is closed: 100% ü');
    expect(error.details.map(({ typeUrl, value }) => [typeUrl, text(value)])).toEqual([
      ['type.googleapis.com/x.Y', 'zz'],
    ]);
    expect(error.metadata).toEqual({ 'x-hint': 'later' });
  });

  test('shows no details that are malformed or of another code', async () => {
    const statuses = [Buffer.from([0xff, 0xff]), statusDetails(5, 'z')];
    const { invoke } = await start({
      unary(_, callback) {
        const metadata = new GrpcMetadata();
        metadata.set('grpc-status-details-bin', statuses.pop() as Buffer);
        callback({ code: Code.ABORTED, details: 'again', metadata });
      },
    });
    for (let i = 0; i < 2; i++) {
      const error = await failure(invoke(rawCall('unary')));
      expect(error).toMatchObject({ code: Code.ABORTED, message: 'again', details: [], metadata: {} });
    }
  });

  test('takes a code that nobody knows for UNKNOWN', async () => {
    const { invoke } = await start({
      unary: (_, callback) => callback({ code: 99 as Code, details: 'odd' }),
    });
    expect(await failure(invoke(rawCall('unary')))).toMatchObject({ code: Code.UNKNOWN, message: 'odd' });
  });

  test('asks for its request only when the call is made, and fails as that does', async () => {
    let served = 0;
    const { invoke } = await start({
      unary(call, callback) {
        served++;
        callback(null, call.request);
      },
    });
    const reply = await invoke(
      rawCall('unary', {
        async requests() {
          await sleep(5);
          return bytes('late');
        },
      }),
    );
    expect(text(reply.messages)).toBe('late');
    const bad = new StatusError(Code.INVALID_ARGUMENT, 'body: bad');
    expect(await failure(invoke(rawCall('unary', { requests: () => Promise.reject(bad) })))).toBe(bad);
    const thrower = () => {
      throw bad;
    };
    expect(await failure(invoke(rawCall('unary', { requests: thrower })))).toBe(bad);
    const odd = await failure(invoke(rawCall('unary', { requests: () => Promise.reject(new Error('x')) })));
    expect(odd).toMatchObject({ code: Code.INTERNAL, message: 'internal error' });
    expect(served).toBe(1);
  });

  test('is UNIMPLEMENTED when the service sends no reply, or two', async () => {
    const replies = [frame('a'), Buffer.concat([frame('a'), frame('b')])];
    const server = keep(
      await startHttp2Server((stream) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(replies.pop());
      }),
    );
    const { invoke } = upstreamOf(server);
    expect(await failure(invoke(rawCall('unary')))).toMatchObject({ code: Code.UNIMPLEMENTED });
    expect(text((await invoke(rawCall('unary'))).messages)).toBe('a');
    expect(await failure(invoke(rawCall('unary')))).toMatchObject({
      code: Code.UNIMPLEMENTED,
      message: 'upstream orders sent no reply to a method that answers one',
    });
  });

  test('accepts a reply that is compressed', async () => {
    const server = keep(
      await startRawServer(
        { unary: (_, callback) => callback(null, Buffer.alloc(50_000, 'a')) },
        { options: { 'grpc.default_compression_algorithm': compressionAlgorithms.gzip } },
      ),
    );
    const reply = await upstreamOf(server).invoke(rawCall('unary'));
    expect(reply.messages).toHaveLength(50_000);
    const small = upstreamOf(server, { maxReplyBytes: 10_000 });
    expect(await failure(small.invoke(rawCall('unary')))).toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      message: 'a message of upstream orders is larger than 10000 bytes',
    });
  });

  test('refuses a reply over the limit in our own words', async () => {
    const { invoke } = await start(
      { unary: (call, callback) => callback(null, Buffer.alloc(call.request.length)) },
      { maxReplyBytes: 1000 },
    );
    expect(await invoke(rawCall('unary', { requests: () => Buffer.alloc(1000) }))).toBeDefined();
    const error = await failure(invoke(rawCall('unary', { requests: () => Buffer.alloc(1001) })));
    expect(error).toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      message: 'a message of upstream orders is larger than 1000 bytes',
    });
  });

  test("keeps the service's words when it is the request that is too large", async () => {
    const server = keep(
      await startRawServer(
        { unary: (_, callback) => callback(null, Buffer.alloc(0)) },
        { options: { 'grpc.max_receive_message_length': 100 } },
      ),
    );
    const error = await failure(
      upstreamOf(server).invoke(rawCall('unary', { requests: () => Buffer.alloc(5000) })),
    );
    expect(error.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(error.message).toMatch(/^Received message larger than max/);
  });
});

describe('deadlines and cancelling', () => {
  test('a service that never answers is cut off at the deadline, of which it was told', async () => {
    const told = signal<number>();
    const { invoke } = await start({ unary: (call) => told.resolve(Number(call.getDeadline())) });
    const deadline = Date.now() + 150;
    const error = await failure(invoke(rawCall('unary', { deadline })));
    expect(error).toMatchObject({
      code: Code.DEADLINE_EXCEEDED,
      message: 'the deadline passed before the call ended',
    });
    expect(Date.now() - deadline).toBeLessThan(500);
    expect(Math.abs((await told.promise) - deadline)).toBeLessThan(100);
  });

  test('a deadline in a century is no error', async () => {
    const { invoke } = await start({ unary: (_, callback) => callback(null, Buffer.alloc(0)) });
    expect(await invoke(rawCall('unary', { deadline: Date.now() + 3e12 }))).toBeDefined();
  });

  test('an aborted signal cancels the service within a second and fails with its reason', async () => {
    const began = signal();
    const cancelled = signal();
    const { invoke } = await start({
      unary(call) {
        began.resolve();
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const controller = new AbortController();
    const outcome = failure(invoke(rawCall('unary', { signal: controller.signal })));
    await began.promise;
    const reason = new StatusError(Code.UNAVAILABLE, 'the gateway is shutting down');
    const at = Date.now();
    controller.abort(reason);
    expect(await outcome).toBe(reason);
    await cancelled.promise;
    expect(Date.now() - at).toBeLessThan(1000);
  });

  test('an abort does not wait for a request that is still being made', async () => {
    const { invoke } = await start({ unary: (_, callback) => callback(null, Buffer.alloc(0)) });
    const controller = new AbortController();
    let rejectRequest!: (error: Error) => void;
    const requests = (): Promise<Message> =>
      new Promise((_, reject) => {
        rejectRequest = reject;
      });
    const outcome = failure(invoke(rawCall('unary', { signal: controller.signal, requests })));
    controller.abort(new StatusError(Code.DEADLINE_EXCEEDED, 'too late'));
    expect(await outcome).toMatchObject({ message: 'too late' });
    rejectRequest(new Error('nobody hears this'));
    await sleep(5);
  });

  test('a signal that is aborted already makes no call and reads no request', async () => {
    let asked = false;
    const { invoke } = await start({ unary: (_, callback) => callback(null, Buffer.alloc(0)) });
    const error = await failure(
      invoke(
        rawCall('unary', {
          signal: AbortSignal.abort('gone'),
          requests() {
            asked = true;
            return new Uint8Array();
          },
        }),
      ),
    );
    expect(error).toMatchObject({ code: Code.CANCELLED, cause: 'gone' });
    expect(asked).toBe(false);
  });

  test('a call that is aborted in the very turn it is made does not live on in the service', async () => {
    let running = 0;
    let calls = 0;
    const { invoke } = await start({
      serverStream(call) {
        calls++;
        running++;
        call.on('cancelled', () => running--);
      },
      unary: (_, callback) => callback(null, Buffer.alloc(0)),
    });
    await invoke(rawCall('unary'));
    for (let turns = 0; turns < 12; turns++) {
      const controller = new AbortController();
      const outcome = failure(invoke(rawCall('serverStream', { signal: controller.signal })));
      for (let i = 0; i < turns; i++) await null;
      controller.abort(new StatusError(Code.CANCELLED, 'left'));
      expect(await outcome).toMatchObject({ message: 'left' });
    }
    await sleep(100);
    await invoke(rawCall('unary'));
    expect({ calls: calls <= 12, running }).toEqual({ calls: true, running: 0 });
  });

  test('nothing stays on the signal or in the event loop after a call', async () => {
    const { invoke } = await start({
      unary: (_, callback) => callback(null, Buffer.alloc(0)),
      serverStream: (call) => call.end(),
    });
    const controller = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = controller.signal;
    controller.signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(controller.signal, args);
    };
    controller.signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(controller.signal, args);
    };
    const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = timers();
    const deadline = Date.now() + 60_000;
    await invoke(rawCall('unary', { signal: controller.signal, deadline }));
    await readAll(await invoke(rawCall('serverStream', { signal: controller.signal, deadline })));
    expect(listeners).toBe(0);
    expect(timers()).toBe(before);
  });
});

describe('a call that answers a stream', () => {
  test('gives messages in order, then the end, with headers and trailers', async () => {
    const { invoke } = await start({
      serverStream(call) {
        const headers = new GrpcMetadata();
        headers.set('x-head', 'h');
        call.sendMetadata(headers);
        for (let i = 0; i < 50; i++) call.write(Buffer.from(`${call.request}${i}`));
        const trailers = new GrpcMetadata();
        trailers.set('x-tail', 't');
        call.end(trailers);
      },
    });
    const reply = await invoke(rawCall('serverStream', { requests: () => bytes('m') }));
    expect(reply.headers).toEqual({ 'x-head': 'h' });
    const { texts, error } = await readAll(reply);
    expect(error).toBeUndefined();
    expect(texts).toEqual(Array.from({ length: 50 }, (_, i) => `m${i}`));
    expect(reply.trailers()).toEqual({ 'x-tail': 't' });
  });

  test('is accepted by headers before any message', async () => {
    const { invoke } = await start(
      { serverStream: (call) => call.sendMetadata(new GrpcMetadata()) },
      { acceptMs: 60_000 },
    );
    const reply = await invoke(rawCall('serverStream'));
    await stream(reply).return?.();
  });

  test('is accepted by silence, and messages come later', async () => {
    const { invoke } = await start(
      {
        async serverStream(call) {
          await sleep(250);
          call.write(Buffer.from('late'));
          call.end();
        },
      },
      { acceptMs: 60 },
    );
    const at = performance.now();
    const reply = await invoke(rawCall('serverStream'));
    expect(performance.now() - at).toBeLessThan(200);
    expect(reply.headers).toEqual({});
    expect((await readAll(reply)).texts).toEqual(['late']);
  });

  test('that ends without a message is accepted and empty', async () => {
    const { invoke } = await start({ serverStream: (call) => call.end() });
    expect(await readAll(await invoke(rawCall('serverStream')))).toEqual({ texts: [], error: undefined });
  });

  test('is refused when it fails before the first message', async () => {
    const { invoke } = await start({
      serverStream: (call) => call.emit('error', { code: Code.NOT_FOUND, details: 'no such order' }),
    });
    const error = await failure(invoke(rawCall('serverStream')));
    expect(error).toMatchObject({ code: Code.NOT_FOUND, message: 'no such order' });
  });

  test('throws a failure in mid-stream after the messages before it, once', async () => {
    const { invoke } = await start({
      async serverStream(call) {
        for (const each of ['a', 'b', 'c']) call.write(Buffer.from(each));
        await sleep(50);
        const metadata = new GrpcMetadata();
        metadata.set('x-why', 'disk');
        call.emit('error', { code: Code.DATA_LOSS, details: 'broken', metadata });
      },
    });
    const reply = await invoke(rawCall('serverStream'));
    await sleep(120);
    const { texts, error } = await readAll(reply);
    expect(texts).toEqual(['a', 'b', 'c']);
    expect(error).toMatchObject({ code: Code.DATA_LOSS, message: 'broken', metadata: { 'x-why': 'disk' } });
    expect(reply.trailers()).toEqual({ 'x-why': 'disk' });
    expect(await stream(reply).next()).toEqual({ done: true, value: undefined });
  });

  test('fails with the reason when its signal is aborted between two messages', async () => {
    const cancelled = signal();
    const { invoke } = await start({
      serverStream(call) {
        call.write(Buffer.from('a'));
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const controller = new AbortController();
    const messages = stream(await invoke(rawCall('serverStream', { signal: controller.signal })));
    expect(text((await messages.next()).value)).toBe('a');
    const reason = new StatusError(Code.DEADLINE_EXCEEDED, 'too late');
    const pulled = failure(messages.next());
    controller.abort(reason);
    expect(await pulled).toBe(reason);
    await cancelled.promise;
  });

  test('is cancelled in the service within a second when its reader leaves the loop', async () => {
    const cancelled = signal();
    const { invoke } = await start({
      serverStream(call) {
        for (let i = 0; i < 5; i++) call.write(Buffer.from('a'));
        call.on('cancelled', () => cancelled.resolve());
      },
    });
    const reply = await invoke(rawCall('serverStream'));
    for await (const _ of stream(reply)) break;
    const at = Date.now();
    await cancelled.promise;
    expect(Date.now() - at).toBeLessThan(1000);
    expect(await stream(reply).next()).toEqual({ done: true, value: undefined });
  });

  test('gives a slow reader what was read ahead before it throws the failure', async () => {
    const { invoke } = await start({
      async serverStream(call) {
        for (let i = 0; i < 40; i++) call.write(Buffer.from(`${i}`));
        await sleep(30);
        call.emit('error', { code: Code.UNAVAILABLE, details: 'restarting' });
      },
    });
    const messages = stream(await invoke(rawCall('serverStream')));
    await sleep(80);
    for (let i = 0; i < 40; i++) expect(text((await messages.next()).value)).toBe(`${i}`);
    expect(await failure(messages.next())).toMatchObject({ message: 'restarting' });
  });

  test('belongs to one reader', async () => {
    const { invoke } = await start({ serverStream: (call) => call.sendMetadata(new GrpcMetadata()) });
    const messages = stream(await invoke(rawCall('serverStream')));
    const first = messages.next();
    expect(await failure(messages.next())).toMatchObject({ code: Code.INTERNAL });
    await messages.return?.();
    expect(await first).toEqual({ done: true, value: undefined });
  });

  test('with a message over the limit fails in mid-stream', async () => {
    const { invoke } = await start(
      {
        async serverStream(call) {
          call.write(Buffer.alloc(10));
          await sleep(30);
          call.write(Buffer.alloc(2000));
        },
      },
      { maxReplyBytes: 1000 },
    );
    const { texts, error } = await readAll(await invoke(rawCall('serverStream')));
    expect(texts).toHaveLength(1);
    expect(error).toMatchObject({ code: Code.RESOURCE_EXHAUSTED });
  });

  test('that is read slowly stops the service, and no other call', async () => {
    let sent = 0;
    const size = 10_000;
    const { invoke } = await start({
      serverStream(call) {
        const more = (): void => {
          while (!call.cancelled && call.write(Buffer.alloc(size))) sent++;
          sent++;
        };
        call.on('drain', more);
        more();
      },
      unary: (_, callback) => callback(null, Buffer.alloc(200_000)),
    });
    const stalled = await Promise.all([1, 2, 3].map(() => invoke(rawCall('serverStream'))));
    let before = -1;
    while (before !== sent) {
      before = sent;
      await sleep(100);
    }
    // Per stream: one HTTP/2 window of 64 KB, what is read ahead, and the service's own buffers.
    expect((sent * size) / 3).toBeLessThan(600_000);
    expect((await invoke(rawCall('unary'))).messages).toHaveLength(200_000);
    const first = stream(stalled[0] as Reply);
    for (let i = 0; i < 200; i++) await first.next();
    expect(sent).toBeGreaterThan(before + 100);
    for (const each of stalled) await stream(each).return?.();
  });
});

describe('a call whose client streams', () => {
  test('sends every message, and the reply answers them', async () => {
    const { invoke } = await start({
      clientStream(call, callback) {
        const parts: Buffer[] = [];
        call.on('data', (part: Buffer) => parts.push(part));
        call.on('end', () => callback(null, Buffer.concat(parts)));
      },
    });
    const reply = await invoke(rawCall('clientStream', { requests: from('a', 'b', 'c') }));
    expect(text(reply.messages)).toBe('abc');
  });

  test('both ways is full duplex: a reply is read before the next request exists', async () => {
    const { invoke } = await start({
      bidi(call) {
        call.on('data', (part: Buffer) => call.write(Buffer.from(`re ${part}`)));
        call.on('end', () => call.end());
      },
    });
    const gates = [signal<string | undefined>(), signal<string | undefined>(), signal<string | undefined>()];
    async function* requests(): AsyncGenerator<Message> {
      for (const gate of gates) {
        const next = await gate.promise;
        if (next === undefined) return;
        yield bytes(next);
      }
    }
    const messages = stream(await invoke(rawCall('bidi', { requests: requests() })));
    gates[0]?.resolve('a');
    expect(text((await messages.next()).value)).toBe('re a');
    gates[1]?.resolve('b');
    expect(text((await messages.next()).value)).toBe('re b');
    gates[2]?.resolve(undefined);
    expect(await messages.next()).toEqual({ done: true, value: undefined });
  });

  test('is cancelled when the source of its messages throws', async () => {
    const cancelled = signal();
    const { invoke } = await start({
      clientStream: (call) => void call.on('cancelled', () => cancelled.resolve()).resume(),
    });
    const bad = new StatusError(Code.INVALID_ARGUMENT, 'message 2: bad');
    async function* requests(): AsyncGenerator<Message> {
      yield bytes('a');
      await sleep(20);
      throw bad;
    }
    expect(await failure(invoke(rawCall('clientStream', { requests: requests() })))).toBe(bad);
    await cancelled.promise;
  });

  test('lets go of the messages when the service ends the call early', async () => {
    let returned = false;
    const { invoke } = await start({
      clientStream: (call, callback) => void call.once('data', () => callback(null, Buffer.from('enough'))),
      bidi: (call) =>
        void call.once('data', () => call.emit('error', { code: Code.ABORTED, details: 'enough' })),
    });
    async function* requests(): AsyncGenerator<Message> {
      try {
        for (;;) {
          yield bytes('a');
          await sleep(5);
        }
      } finally {
        returned = true;
      }
    }
    const reply = await invoke(rawCall('clientStream', { requests: requests() }));
    expect(text(reply.messages)).toBe('enough');
    await sleep(20);
    expect(returned).toBe(true);
    returned = false;
    expect(await failure(invoke(rawCall('bidi', { requests: requests() })))).toMatchObject({
      code: Code.ABORTED,
    });
    await sleep(20);
    expect(returned).toBe(true);
  });

  test('waits for a service that does not read', async () => {
    let taken = 0;
    const { invoke } = await start({ bidi: (call) => call.sendMetadata(new GrpcMetadata()) });
    async function* requests(): AsyncGenerator<Message> {
      for (;;) {
        taken++;
        yield Buffer.alloc(10_000);
      }
    }
    const reply = await invoke(rawCall('bidi', { requests: requests() }));
    let before = -1;
    while (before !== taken) {
      before = taken;
      await sleep(50);
    }
    expect(taken * 10_000).toBeLessThan(1_000_000);
    await stream(reply).return?.();
  });
});
