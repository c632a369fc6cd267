/** Long polling: what one answer holds, when it comes, and where the next poll goes on. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Call } from '../src/call.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import { HandFeed, message } from './support/feeds.js';
import { type HttpDoors, type HttpDoorsOptions, startHttpDoors } from './support/http_doors.js';

/** CI is slow and noisy. */
const until = (check: () => unknown): Promise<unknown> => vi.waitFor(check, 5000);
const running: HttpDoors[] = [];
const json = (n: number): string => `{"n":${n}}`;

interface Rig extends HttpDoors {
  readonly calls: Call[];
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>;
}

async function rig(feed: HandFeed | StatusError, options: HttpDoorsOptions = {}): Promise<Rig> {
  const calls: Call[] = [];
  const doors = await startHttpDoors({
    feed: (call) => {
      calls.push(call);
      if (feed instanceof StatusError) throw feed;
      return feed;
    },
    ...options,
  });
  running.push(doors);
  return { ...doors, calls, get: (path, headers = {}) => fetch(`${doors.url}${path}`, { headers }) };
}

/** Resolves when the poll waits at the feed. */
const waiting = (feed: HandFeed) => until(() => expect(feed.sinks).toHaveLength(1));

afterEach(async () => {
  for (const one of running.splice(0)) await one.close();
});

describe('a poll', () => {
  test('is answered with what comes while it waits, a burst at once, and with where to go on', async () => {
    const feed = new HandFeed({ resumed: true, cursor: 'c0' });
    const { get, calls } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s&last_event_id=c0&x=1');
    await waiting(feed);
    expect(calls[0]?.resume).toBe('c0');
    feed.send(message(json(1), 'c1'));
    feed.send(message(json(2), 'c2'), message(json(3), 'c3'));
    const answer = await asked;
    expect(answer.status).toBe(200);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-request-id': 'r1',
      'x-method': 'yes',
    });
    expect(answer.headers.has('preference-applied')).toBe(false);
    expect(await answer.json()).toEqual({
      messages: [{ n: 1 }, { n: 2 }, { n: 3 }],
      cursor: 'c3',
      resumed: true,
      caughtUp: true,
    });
    await until(() => expect(feed.stopped).toBe(1));
  });

  test('keeps its own parameters from the request', async () => {
    const { get, calls } = await rig(new HandFeed());
    await get('/v1/Ticks?a=1&wait=0&last_event_id=c7&b=2');
    const requests = calls[0]?.requests as () => Promise<Uint8Array>;
    expect(Buffer.from(await requests()).toString()).toBe('{"query":"a=1&b=2"}');
  });

  test('is answered with nothing but the position when nothing came', async () => {
    const feed = new HandFeed({ cursor: 'c4' });
    const { get } = await rig(feed);
    const before = Date.now();
    const asked = get('/v1/Ticks?wait=200ms');
    await waiting(feed);
    feed.position = 'c9';
    expect(await (await asked).json()).toEqual({
      messages: [],
      cursor: 'c9',
      resumed: false,
      caughtUp: true,
    });
    expect(Date.now() - before).toBeGreaterThanOrEqual(190);
  });

  test('with no time to wait gets what history there is', async () => {
    const feed = new HandFeed({ replay: true, cursor: 'c0' });
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=0&last_event_id=earliest');
    await waiting(feed);
    await sleep(50);
    feed.send(message(json(1), 'c1'));
    await sleep(50);
    feed.send(message(json(2), 'c2'), { kind: 'caught_up', cursor: 'c2' });
    expect(await (await asked).json()).toMatchObject({
      messages: [{ n: 1 }, { n: 2 }],
      cursor: 'c2',
      caughtUp: true,
    });
  });

  test('waits on when there is no history', async () => {
    const feed = new HandFeed({ replay: true, cursor: 'c0' });
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=5s&last_event_id=c0');
    await waiting(feed);
    feed.send({ kind: 'caught_up', cursor: 'c0' });
    await sleep(600);
    feed.send(message(json(1), 'c1'));
    expect(await (await asked).json()).toMatchObject({ messages: [{ n: 1 }], cursor: 'c1', caughtUp: true });
  });

  test('takes no more than its limit, and says that there is more', async () => {
    const feed = new HandFeed({ replay: true });
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    const [sink] = feed.sinks;
    expect(sink?.room()).toBe(1000);
    feed.send(...Array.from({ length: 1000 }, (_, n) => message(json(n), `c${n}`)));
    expect(sink?.room()).toBe(0);
    const { messages, cursor, caughtUp } = (await (await asked).json()) as Record<string, unknown>;
    expect([(messages as unknown[]).length, cursor, caughtUp]).toEqual([1000, 'c999', false]);
  });

  test('takes no more when it has a megabyte', async () => {
    const feed = new HandFeed();
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    const [sink] = feed.sinks;
    let sent = 0;
    while (sink !== undefined && sink.room() > 0)
      feed.send(message(`"${'x'.repeat(100_000)}"`, `c${++sent}`));
    expect(sent).toBe(11);
    expect(((await (await asked).json()) as { messages: unknown[] }).messages).toHaveLength(11);
  });

  test('with a cursor that is no longer good is told so at once, before what there is', async () => {
    const feed = new HandFeed({ cursor: 'd0' });
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s&last_event_id=old');
    await waiting(feed);
    feed.send({ kind: 'reset', reason: 'history_truncated', cursor: 'd0' }, message(json(1), 'd1'));
    expect(await (await asked).json()).toEqual({
      messages: [{ n: 1 }],
      cursor: 'd1',
      resumed: false,
      reset: 'history_truncated',
      caughtUp: true,
    });
  });

  test('never hides a reset behind messages: it is left to the next poll', async () => {
    const feed = new HandFeed();
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    feed.send(
      message(json(1), 'c1'),
      { kind: 'reset', reason: 'epoch_changed', cursor: 'd0' },
      message(json(2), 'd1'),
    );
    expect(await (await asked).json()).toEqual({
      messages: [{ n: 1 }],
      cursor: 'c1',
      resumed: false,
      caughtUp: false,
    });
  });

  test('is told how the stream ended, and the next one that it has', async () => {
    const feed = new HandFeed();
    const { get, calls } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    feed.send(message(json(1), 'c1'));
    feed.end(undefined, { 'x-trailer': 'yes' });
    const answer = (await (await asked).json()) as { cursor: string };
    expect(answer).toMatchObject({
      messages: [{ n: 1 }],
      cursor: 'end',
      end: { code: 0, message: '', trailers: { 'x-trailer': 'yes' } },
    });
    expect((await get(`/v1/Ticks?wait=30s&last_event_id=${answer.cursor}`)).status).toBe(204);
    expect(calls).toHaveLength(1);
  });

  test('keeps its position through trouble that may pass', async () => {
    const feed = new HandFeed();
    const { get } = await rig(feed);
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    feed.send(message(json(1), 'c1'));
    feed.end(new StatusError(Code.UNAVAILABLE, 'gone'));
    expect(await (await asked).json()).toMatchObject({ cursor: 'c1', end: { code: 14, message: 'gone' } });
  });

  test.each([
    ['before the stream began', true],
    ['after it', false],
  ])('with nothing to show for it, a failure %s is an HTTP error', async (_, refused) => {
    const error = new StatusError(Code.NOT_FOUND, 'no such stream');
    const feed = new HandFeed();
    const { get } = await rig(refused ? error : feed);
    const asked = get('/v1/Ticks?wait=30s');
    if (!refused) {
      await waiting(feed);
      feed.end(error);
    }
    const answer = await asked;
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ code: 5, message: 'no such stream' });
  });

  test('stops its feed when its client leaves', async () => {
    const feed = new HandFeed();
    const { url, running: open } = await rig(feed);
    const controller = new AbortController();
    const asked = fetch(`${url}/v1/Ticks?wait=30s`, { signal: controller.signal });
    asked.catch(() => {});
    await waiting(feed);
    controller.abort();
    await until(() => expect(open()).toBe(0));
  });

  test('is answered when the gateway drains, not cut', async () => {
    const feed = new HandFeed({ cursor: 'c3' });
    const { get, leave } = await rig(feed, { timeouts: { drainMs: 200 } });
    const asked = get('/v1/Ticks?wait=30s');
    await waiting(feed);
    await leave();
    expect(await (await asked).json()).toMatchObject({ messages: [], cursor: 'c3' });
  });

  test('does not outlive its token', async () => {
    const principal = { ...ANONYMOUS, subject: 'u1', expiresAt: Date.now() + 100 };
    const { get } = await rig(new HandFeed(), {
      identify: () => ({ id: 'r1', principal, metadata: {}, deadline: undefined }),
    });
    expect(await (await get('/v1/Ticks?wait=30s')).json()).toMatchObject({ messages: [] });
  });
});

describe('how long', () => {
  test('is at most what the gateway allows', async () => {
    const { get } = await rig(new HandFeed(), { streams: { pollMaxMs: 100 } });
    const before = Date.now();
    await get('/v1/Ticks?wait=999999s');
    expect(Date.now() - before).toBeLessThan(3000);
  });

  test.each(['abc', '-1', '1.5s', '30h', '', '1e3', '12345678'])('is refused when it is %j', async (wait) => {
    const { get, calls } = await rig(new HandFeed());
    const answer = await get(`/v1/Ticks?wait=${wait}`);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { message: string }).message).toBe(
      'query parameter "wait": expected a time such as 30s or 500ms',
    );
    expect(calls).toHaveLength(0);
  });

  test('may be a preference, which is answered', async () => {
    const { get } = await rig(new HandFeed(), { streams: { pollMaxMs: 2000 } });
    for (const prefer of ['wait=1', 'respond-async, wait=1; x=y', 'Wait="1"']) {
      const answer = await get('/v1/Ticks', { prefer });
      expect(answer.headers.get('preference-applied'), prefer).toBe('wait=1');
    }
    const capped = await get('/v1/Ticks', { prefer: 'wait=30' });
    expect(capped.headers.get('preference-applied')).toBe('wait=2');
  });

  test('that cannot be read, or does not go with what is accepted, is no preference', async () => {
    const feed = new HandFeed();
    const { url } = await rig(feed);
    for (const headers of [{ prefer: 'wait=soon' }, { prefer: 'wait=5', accept: 'text/event-stream' }]) {
      const controller = new AbortController();
      const answer = await fetch(`${url}/v1/Ticks`, { headers, signal: controller.signal });
      expect(answer.headers.get('content-type')).not.toBe('application/json');
      controller.abort();
    }
  });

  test('means nothing on a method without cursors: it is a parameter like any other', async () => {
    const { get } = await rig(new HandFeed());
    const answer = await get('/v1/Get?wait=30s');
    expect(await answer.json()).toEqual({ query: 'wait=30s' });
  });

  test('is refused on a stream that turns out to have none', async () => {
    const { get } = await rig(new HandFeed({ resumable: false, cursor: '' }));
    const answer = await get('/v1/Ticks?wait=1s');
    expect(answer.status).toBe(501);
  });
});
