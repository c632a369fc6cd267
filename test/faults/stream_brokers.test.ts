/** Shared streams of two nodes over a real Redis or NATS: what its outages, its restarts and the loss of its tail do to clients. */
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { openBroker } from '../../src/broker/open.js';
import type { Invoke } from '../../src/call.js';
import type { StreamOptions } from '../../src/method.js';
import { Code, StatusError } from '../../src/status.js';
import { createStreams } from '../../src/stream/streams.js';
import { SERVERS } from '../support/brokers.js';
import type { TestServer } from '../support/servers.js';
import { FeedReader } from '../support/streams/reader.js';
import { CURSOR, requestFor, Ticker, watchMethod } from '../support/streams/ticker.js';

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));
const SECRET = randomBytes(32);
const OVER = new StatusError(Code.UNAVAILABLE, 'the node stops');

const PRESENT = SERVERS.filter(({ missing }) => missing === undefined);

describe.each(PRESENT)('shared streams over $kind', ({ startServer, data }) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer();
  });
  afterAll(() => server.stop());

  /** A node with a connection of its own. */
  async function node(ticker: Ticker): Promise<{ readonly invoke: Invoke; readonly close: () => void }> {
    const [broker, local] = [await openBroker(server.url), await openBroker('memory')];
    const streams = createStreams({ broker, local, secret: SECRET, leaseMs: 1_000, patienceMs: 10_000 });
    const close = (): void => streams.close(OVER);
    onTestFinished(async () => {
      close();
      await broker.close();
    });
    return { invoke: streams.intercept(ticker.invoke), close };
  }

  const pair = (ticker: Ticker) => Promise.all([node(ticker), node(ticker)]);
  const shared = (stream: Partial<StreamOptions> = {}) => watchMethod({ sharing: 'shared', ...stream });
  /** A stream that no other test has seen. */
  const fresh = () => ({ request: requestFor(randomBytes(6).toString('hex')) });
  const tells = (reader: FeedReader, told: readonly string[]): Promise<void> =>
    vi.waitFor(() => expect(reader.told).toEqual(told), { timeout: 15_000, interval: 20 });

  test('are one call for both, with the same cursors, and a client goes on at either', async () => {
    const ticker = new Ticker();
    const [a, b] = await pair(ticker);
    const [method, asked] = [shared(), fresh()];
    const left = await FeedReader.open(a.invoke, method, asked);
    const right = await FeedReader.open(b.invoke, method, asked);
    ticker.tick(500);
    await tells(left, numbers(1, 500));
    await tells(right, numbers(1, 500));
    expect(right.seen).toEqual(left.seen);
    expect(ticker.calls).toHaveLength(1);
    const moved = await FeedReader.open(b.invoke, method, { ...asked, resume: left.seen[99]?.cursor });
    await tells(moved, [...numbers(101, 500), '!caught_up']);
  });

  test('go on at the other node when the one that made the call has gone', async () => {
    const ticker = new Ticker();
    const [a, b] = await pair(ticker);
    const [method, asked] = [shared(CURSOR), fresh()];
    await FeedReader.open(a.invoke, method, asked);
    const right = await FeedReader.open(b.invoke, method, asked);
    ticker.tick(3);
    await tells(right, numbers(1, 3));
    a.close();
    ticker.tick(3);
    await tells(right, numbers(1, 6));
    ticker.tick();
    await tells(right, numbers(1, 7));
  });

  test('lose and double nothing while the broker stands still, or is killed and comes back', async () => {
    const ticker = new Ticker();
    const [a, b] = await pair(ticker);
    const [method, asked] = [shared(CURSOR), fresh()];
    const left = await FeedReader.open(a.invoke, method, asked);
    const right = await FeedReader.open(b.invoke, method, asked);
    ticker.tick(100);
    await tells(left, numbers(1, 100));
    server.pause();
    ticker.tick(100);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    server.resume();
    await tells(left, numbers(1, 200));
    await tells(right, numbers(1, 200));
    await server.kill();
    ticker.tick(100);
    await server.start();
    await tells(left, numbers(1, 300));
    await tells(right, numbers(1, 300));
    ticker.tick();
    await tells(right, numbers(1, 301));
  }, 60_000);

  test('tell every client, of both nodes, when the broker has lost everything', async () => {
    const ticker = new Ticker();
    const [a, b] = await pair(ticker);
    const [method, asked] = [shared(CURSOR), fresh()];
    const left = await FeedReader.open(a.invoke, method, asked);
    const right = await FeedReader.open(b.invoke, method, asked);
    ticker.tick(5);
    await tells(left, numbers(1, 5));
    await tells(right, numbers(1, 5));
    await server.kill();
    rmSync(join(server.folder, data), { recursive: true });
    await server.start();
    ticker.tick(5);
    for (const reader of [left, right]) {
      await vi.waitFor(() => expect(reader.told.at(-1)).toBe('10'), { timeout: 20_000 });
      expect(reader.told.slice(0, 5)).toEqual(numbers(1, 5));
      expect(reader.told[5]).toMatch(/^!(epoch_changed|log_diverged)$/);
    }
    const back = await FeedReader.open(b.invoke, method, { ...asked, resume: right.seen[2]?.cursor });
    await vi.waitFor(() => expect(back.told.at(-1)).toBe('10'));
  }, 60_000);

  test('tell who has seen what the broker has lost that the log has diverged', async () => {
    const ticker = new Ticker();
    const [a, b] = await pair(ticker);
    const [method, asked] = [shared(), fresh()];
    const left = await FeedReader.open(a.invoke, method, asked);
    ticker.tick(5);
    await tells(left, numbers(1, 5));
    const copy = mkdtempSync(join(tmpdir(), 'tidegate-older-'));
    onTestFinished(() => rmSync(copy, { recursive: true }));
    server.pause();
    cpSync(server.folder, copy, { recursive: true });
    server.resume();
    ticker.tick(5);
    await tells(left, numbers(1, 10));
    await server.kill();
    rmSync(join(server.folder, data), { recursive: true });
    cpSync(join(copy, data), join(server.folder, data), { recursive: true });
    await server.start();
    // The first ones show that the log has another end; the service is called anew then, and says what comes from there on.
    const goesOn = () => {
      ticker.tick();
      expect(Number(left.told.at(-1))).toBeGreaterThan(11);
    };
    await vi.waitFor(goesOn, { timeout: 20_000, interval: 100 });
    // Once for what the log has lost, once for the call that this made necessary.
    const resets = (reader: FeedReader): string[] =>
      reader.told.filter((told) => /^!(?!caught_up)/.test(told));
    expect(new Set(resets(left))).toEqual(new Set(['!log_diverged']));
    for (const [seen, first] of [
      [left.seen[4], /^!log_diverged$|^\d+$/],
      [left.seen[9], /^!log_diverged$/],
    ] as const) {
      const back = await FeedReader.open(b.invoke, method, { ...asked, resume: seen?.cursor });
      await vi.waitFor(() => expect(back.told).toContain('!caught_up'), { timeout: 20_000 });
      expect(back.told[0]).toMatch(first);
      expect(new Set(resets(back))).toEqual(new Set(['!log_diverged']));
    }
  }, 60_000);
});
