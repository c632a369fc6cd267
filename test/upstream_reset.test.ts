/** A client stream that is cancelled before its end never looks complete to the service. */
import type { ServerHttp2Stream } from 'node:http2';
import { afterEach, expect, test, vi } from 'vitest';
import type { Message } from '../src/call.js';
import { Code, StatusError } from '../src/status.js';
import { createGrpcUpstream, type Upstream } from '../src/upstream/grpc.js';
import { bytes } from './support/raw_calls.js';
import { type RawServer, rawCall, startHttp2Server } from './support/raw_server.js';

let server: RawServer | undefined;
let upstream: Upstream | undefined;
afterEach(async () => {
  await upstream?.close();
  await server?.stop();
});

/** What the service sees of its stream: `data`, `end`, and `aborted` with the code of RST_STREAM. */
async function watch(): Promise<{ events: string[]; upstream: Upstream }> {
  const events: string[] = [];
  server = await startHttp2Server((stream: ServerHttp2Stream) => {
    stream.on('data', () => events.push('data'));
    stream.on('end', () => events.push('end'));
    stream.on('aborted', () => events.push(`aborted ${stream.rstCode}`));
  });
  upstream = createGrpcUpstream({ name: 'raw', address: server.address });
  return { events, upstream };
}

const CANCELLED = new StatusError(Code.CANCELLED, 'the client left');
const CANCEL = 8;

/** One message, and then nothing, or a failure. */
async function* oneAndThen(next: () => Promise<void>): AsyncGenerator<Message> {
  yield bytes('half');
  await next();
}

test.each(['clientStream', 'bidi'] as const)('%s: cancelled by its signal', async (kind) => {
  const { events, upstream } = await watch();
  const controller = new AbortController();
  const requests = oneAndThen(() => new Promise(() => undefined));
  const call = upstream.invoke(rawCall(kind, { requests, signal: controller.signal })).catch(() => undefined);
  await vi.waitFor(() => expect(events).toEqual(['data']));
  controller.abort(CANCELLED);
  await vi.waitFor(() => expect(events).toContain(`aborted ${CANCEL}`));
  expect(events.slice(0, 2)).toEqual(['data', `aborted ${CANCEL}`]);
  await call;
});

test('its source fails', async () => {
  const { events, upstream } = await watch();
  const requests = oneAndThen(async () => {
    await vi.waitFor(() => expect(events).toEqual(['data']));
    throw CANCELLED;
  });
  const refused = await upstream
    .invoke(rawCall('clientStream', { requests }))
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: Code.CANCELLED, message: 'the client left' });
  await vi.waitFor(() => expect(events).toContain(`aborted ${CANCEL}`));
  expect(events.slice(0, 2)).toEqual(['data', `aborted ${CANCEL}`]);
});

test('one that came to its end is cancelled as ever', async () => {
  const { events, upstream } = await watch();
  const controller = new AbortController();
  const requests = oneAndThen(() => Promise.resolve());
  const call = upstream.invoke(rawCall('clientStream', { requests, signal: controller.signal }));
  await vi.waitFor(() => expect(events).toEqual(['data', 'end']));
  controller.abort(CANCELLED);
  await expect(call).rejects.toBe(CANCELLED);
  await vi.waitFor(() => expect(events).toEqual(['data', 'end', `aborted ${CANCEL}`]));
});
