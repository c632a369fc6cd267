/** Streams between the call and the doors: pumped from iterators, read as messages, watched by policies. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { Call, Invoke, Message, Reply } from '../src/call.js';
import type { Method } from '../src/method.js';
import { deadline } from '../src/policy/deadline.js';
import { type CallEnd, observe } from '../src/policy/observe.js';
import { ANONYMOUS } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';
import type { Feed, StreamEvent } from '../src/stream/feed.js';
import { messagesOf } from '../src/stream/messages.js';
import { createPackedEncoder, unpack } from '../src/stream/packed.js';
import { feedOf, pumpFeed } from '../src/stream/pump.js';
import { HandFeed, message, Pushed, TestSink, text } from './support/feeds.js';

const LEFT = new StatusError(Code.CANCELLED, 'the client left');

function pump(events: AsyncIterable<StreamEvent>, signal = new AbortController().signal): Feed {
  const trailers = () => ({ 'x-end': 'yes' });
  return pumpFeed({ events, trailers, signal, resumable: true, resumed: true, replay: true, cursor: 'c0' });
}

describe('a pumped feed', () => {
  test('says what it was made with, and touches nothing before it is started', () => {
    const source = new Pushed<StreamEvent>();
    expect(pump(source)).toMatchObject({ resumable: true, resumed: true, replay: true, cursor: 'c0' });
    expect(source.asked).toBe(0);
  });

  test('writes what is there at once together, and what comes later by itself', async () => {
    const source = new Pushed<StreamEvent>();
    const sink = new TestSink();
    source.push(message('a', 'c1'), { kind: 'caught_up', cursor: 'c1' }, message('b', 'c2'));
    const delivery = pump(source).start(sink);
    expect(delivery.cursor()).toBe('c0');
    await turn();
    source.push(message('c', 'c3'));
    await turn();
    expect(sink.writes).toEqual(['a@c1,caught_up@c1,b@c2', 'c@c3']);
    expect(sink.messages).toBe(3);
    expect(delivery.cursor()).toBe('c3');
  });

  test('pulls one event ahead of what the client takes, and goes on when it is ready', async () => {
    const source = new Pushed<StreamEvent>();
    source.push(message('a', 'c1'), message('b', 'c2'), message('c', 'c3'), message('d', 'c4'));
    const sink = new TestSink(2);
    const delivery = pump(source).start(sink);
    await turn();
    expect(sink.writes).toEqual(['a@c1,b@c2']);
    expect(source.asked).toBe(3);
    expect(delivery.cursor()).toBe('c2');
    delivery.ready();
    await turn();
    expect(source.asked).toBe(3);
    sink.space = 1;
    delivery.ready();
    await turn();
    expect(sink.writes).toEqual(['a@c1,b@c2', 'c@c3']);
    expect(source.asked).toBe(4);
  });

  test('needs no room for its end, nor for a reset', async () => {
    const source = new Pushed<StreamEvent>();
    source.push(message('a', 'c1'), { kind: 'reset', reason: 'epoch_changed', cursor: 'c2' }, undefined);
    const sink = new TestSink(1);
    pump(source).start(sink);
    await turn();
    expect(sink.writes).toEqual(['a@c1,reset:epoch_changed@c2']);
    expect(sink.ended).toEqual({ error: undefined, trailers: { 'x-end': 'yes' } });
    expect(source.returned).toBe(0);
  });

  test('ends with what the iterator throws, behind what came before it', async () => {
    const source = new Pushed<StreamEvent>();
    const error = new StatusError(Code.NOT_FOUND, 'delisted', { metadata: { 'x-why': 'd' } });
    source.push(message('a', 'c1'), error);
    const sink = new TestSink();
    pump(source).start(sink);
    await turn();
    expect(sink.writes).toEqual(['a@c1']);
    expect(sink.ended).toEqual({ error, trailers: { 'x-why': 'd' } });
    expect(sink.ends).toBe(1);
  });

  test('ends with a message that cannot be shown, and leaves the iterator', async () => {
    const source = new Pushed<StreamEvent>();
    source.push(message('a', 'c1'));
    const encode = () => {
      throw new StatusError(Code.INTERNAL, 'the reply is not a t.Message');
    };
    const sink = new TestSink(1, { encode, join: () => new Uint8Array(0) });
    pump(source).start(sink);
    await turn();
    expect(sink.ended?.error?.message).toBe('the reply is not a t.Message');
    expect(source.returned).toBe(1);
  });

  test('that is stopped leaves the iterator and writes no more', async () => {
    const source = new Pushed<StreamEvent>();
    const sink = new TestSink();
    const delivery = pump(source).start(sink);
    delivery.stop();
    delivery.stop();
    source.push(message('a', 'c1'));
    await turn();
    expect(source.returned).toBe(1);
    expect(sink.writes).toEqual([]);
    expect(sink.ends).toBe(0);
  });

  test('ends with the reason of the signal, also while the client takes nothing', async () => {
    const source = new Pushed<StreamEvent>();
    source.push(message('a', 'c1'), message('b', 'c2'));
    const sink = new TestSink(1);
    const controller = new AbortController();
    pump(source, controller.signal).start(sink);
    await turn();
    controller.abort(LEFT);
    expect(sink.ended?.error).toBe(LEFT);
    expect(source.returned).toBe(1);
    const late = new TestSink();
    pump(source, controller.signal).start(late);
    expect(late.ended?.error).toBe(LEFT);
  });

  test('of a source that never waits lets other work have its turn', async () => {
    async function* endless(): AsyncGenerator<StreamEvent> {
      for (;;) yield message('x'.repeat(1000));
    }
    const sink = new TestSink(1_000);
    const delivery = pump(endless()).start(sink);
    await turn();
    expect(sink.messages).toBe(1_000);
    expect(sink.writes.length).toBeGreaterThan(10);
    delivery.stop();
  });

  test('is made of a reply that has none of its own, without positions', async () => {
    const source = new Pushed<Message>();
    source.push(Buffer.from('a'), undefined);
    const sink = new TestSink();
    const reply: Reply = { headers: {}, messages: source, trailers: () => ({}) };
    const feed = feedOf(reply, new AbortController().signal);
    expect(feed).toMatchObject({ resumable: false, resumed: false, replay: false, cursor: '' });
    feed.start(sink);
    await turn();
    expect(sink.writes).toEqual(['a@']);
    const own = new HandFeed();
    expect(feedOf({ ...reply, feed: own }, new AbortController().signal)).toBe(own);
  });
});

describe('packed events', () => {
  test('can be told apart again, however they were joined', () => {
    const encoder = createPackedEncoder((bytes) => bytes);
    const events: StreamEvent[] = [
      message('', 'c1'),
      { kind: 'reset', reason: 'log_diverged', cursor: '' },
      message('\u0000ü'.repeat(300), 'c'.repeat(300)),
      { kind: 'caught_up', cursor: 'c2' },
    ];
    const seen = unpack(encoder.join(events.map((event) => encoder.encode(event))));
    expect(seen.map(({ kind, cursor, payload }) => [kind, cursor, text(payload)])).toEqual([
      ['message', 'c1', ''],
      ['reset', '', 'log_diverged'],
      ['message', 'c'.repeat(300), '\u0000ü'.repeat(300)],
      ['caught_up', 'c2', ''],
    ]);
    expect(unpack(new Uint8Array(0))).toEqual([]);
  });
});

describe('messages of a feed', () => {
  const signal = (): AbortSignal => new AbortController().signal;

  test('come in order, and the feed is started by the first that is wanted', async () => {
    const feed = new HandFeed();
    const messages = messagesOf(feed, signal());
    expect(feed.sinks).toHaveLength(0);
    const first = messages.next();
    feed.send(message('a'), { kind: 'caught_up', cursor: '' }, message('b'));
    feed.end();
    const seen = [await first, await messages.next(), await messages.next(), await messages.next()];
    expect(seen.map(({ value }) => value && text(value as Message))).toEqual([
      'a',
      'b',
      undefined,
      undefined,
    ]);
    expect(seen.map(({ done }) => done)).toEqual([false, false, true, true]);
  });

  test('wait in a short queue, and the feed hears when there is room again', async () => {
    const feed = new HandFeed();
    const messages = messagesOf(feed, signal());
    const first = messages.next();
    const [sink] = feed.sinks;
    feed.send(message('0'));
    await first;
    let sent = 0;
    while (sink !== undefined && sink.room() > 0) feed.send(message(String(++sent)));
    expect(sent).toBe(16);
    for (let n = 1; n <= 7; n++) await messages.next();
    expect(feed.readied).toBe(0);
    await messages.next();
    expect(feed.readied).toBe(1);
    expect(sink?.room()).toBe(8);
  });

  test('throw ABORTED with the reason behind what was sent before a reset', async () => {
    const feed = new HandFeed();
    const messages = messagesOf(feed, signal());
    const first = messages.next();
    feed.send(
      message('a'),
      message('b'),
      { kind: 'reset', reason: 'slow_consumer', cursor: '' },
      message('c'),
    );
    expect(text((await first).value as Message)).toBe('a');
    expect(text((await messages.next()).value as Message)).toBe('b');
    await expect(messages.next()).rejects.toMatchObject({
      code: Code.ABORTED,
      message: expect.stringContaining('slow_consumer'),
    });
    expect((await messages.next()).done).toBe(true);
    expect(feed.stopped).toBe(1);
  });

  test('do not mind a reset before the first of them', async () => {
    const feed = new HandFeed();
    const messages = messagesOf(feed, signal());
    const first = messages.next();
    feed.send({ kind: 'reset', reason: 'history_truncated', cursor: '' }, message('a'));
    expect(text((await first).value as Message)).toBe('a');
  });

  test('throw how the stream failed, and the reason of the signal at once', async () => {
    const feed = new HandFeed();
    const messages = messagesOf(feed, signal());
    const first = messages.next();
    feed.end(new StatusError(Code.DATA_LOSS, 'the disk broke'));
    await expect(first).rejects.toThrow('the disk broke');
    const controller = new AbortController();
    const other = new HandFeed();
    const left = messagesOf(other, controller.signal);
    const pending = left.next();
    other.send(message('a'), message('b'));
    await pending;
    controller.abort(LEFT);
    await expect(left.next()).rejects.toBe(LEFT);
    expect(other.stopped).toBe(1);
  });

  test('stop the feed when their reader leaves, even before the first', async () => {
    const feed = new HandFeed();
    setTimeout(() => feed.send(message('a'), message('b')), 0);
    for await (const one of messagesOf(feed, signal())) {
      expect(text(one)).toBe('a');
      break;
    }
    expect(feed.stopped).toBe(1);
    await messagesOf(feed, signal()).return?.();
    expect(feed.stopped).toBe(2);
  });

  test('are read by one reader', async () => {
    const messages = messagesOf(new HandFeed(), signal());
    void messages.next();
    await expect(messages.next()).rejects.toThrow('two readers');
  });
});

describe('policies around a feed', () => {
  const call = (extra: Partial<Call> = {}): Call => ({
    id: 'r1',
    method: { name: 't.Test/Watch' } as Method,
    requests: () => new Uint8Array(0),
    metadata: {},
    principal: ANONYMOUS,
    signal: new AbortController().signal,
    deadline: undefined,
    ...extra,
  });
  const invoke =
    (feed: Feed, seen: Call[] = []): Invoke =>
    async (one) => {
      seen.push(one);
      return { headers: {}, messages: messagesOf(feed, one.signal), feed, trailers: () => ({}) };
    };
  const observed = () => {
    const ends: CallEnd[] = [];
    return { ends, interceptor: observe({ start: () => ({ end: (end) => ends.push(end) }) }) };
  };

  test('observe counts what was written and how it ended', async () => {
    const feed = new HandFeed({ resumed: true, replay: true, cursor: 'c7' });
    const { ends, interceptor } = observed();
    const reply = await interceptor(invoke(feed))(call({ resume: 'c7' }));
    expect(reply.feed).toMatchObject({ resumable: true, resumed: true, replay: true, cursor: 'c7' });
    const sink = new TestSink();
    const delivery = reply.feed?.start(sink);
    feed.send(message('a', 'c8'), { kind: 'caught_up', cursor: 'c8' }, message('b', 'c9'));
    expect(sink.writes).toEqual(['a@c8,caught_up@c8,b@c9']);
    expect(delivery?.cursor()).toBe('c9');
    delivery?.ready();
    expect(feed.readied).toBe(1);
    expect(ends).toEqual([]);
    feed.end(new StatusError(Code.DATA_LOSS, 'gone'), { 'x-a': 'b' });
    expect(ends).toMatchObject([{ code: Code.DATA_LOSS, messagesOut: 2 }]);
    expect(sink.ended).toMatchObject({ error: { message: 'gone' }, trailers: { 'x-a': 'b' } });
  });

  test('observe sees a door that leaves as CANCELLED, and a call that was aborted as that', async () => {
    const feed = new HandFeed();
    const { ends, interceptor } = observed();
    const reply = await interceptor(invoke(feed))(call());
    const delivery = reply.feed?.start(new TestSink());
    delivery?.stop();
    delivery?.stop();
    expect(feed.stopped).toBe(1);
    expect(ends).toMatchObject([{ code: Code.CANCELLED, messagesOut: 0 }]);
    const controller = new AbortController();
    await interceptor(invoke(new HandFeed()))(call({ signal: controller.signal }));
    controller.abort(LEFT);
    expect(ends[1]).toMatchObject({ code: Code.CANCELLED, error: LEFT });
  });

  test('observe still sees a reply whose messages are read', async () => {
    const feed = new HandFeed();
    const { ends, interceptor } = observed();
    const reply = await interceptor(invoke(feed))(call());
    const messages = (reply.messages as AsyncIterable<Message>)[Symbol.asyncIterator]();
    const first = messages.next();
    feed.send(message('a'));
    await first;
    feed.end();
    await messages.next();
    expect(ends).toMatchObject([{ code: Code.OK, messagesOut: 1 }]);
  });

  test('the deadline ends a feed that does not heed it, once, and takes nothing from it any more', async () => {
    const feed = new HandFeed();
    const seen: Call[] = [];
    const reply = await deadline()(invoke(feed, seen))(call({ deadline: Date.now() + 30 }));
    const sink = new TestSink();
    reply.feed?.start(sink);
    feed.send(message('a', 'c1'));
    await vi.waitFor(() => expect(sink.ends).toBe(1));
    expect(sink.ended?.error?.code).toBe(Code.DEADLINE_EXCEEDED);
    expect(seen[0]?.signal.aborted).toBe(true);
    expect(feed.stopped).toBe(1);
    feed.send(message('b', 'c2'));
    feed.end();
    expect(sink.writes).toEqual(['a@c1']);
    expect(sink.ends).toBe(1);
  });

  test('the deadline ends a feed that is started too late', async () => {
    const feed = new HandFeed();
    const reply = await deadline()(invoke(feed))(call({ deadline: Date.now() + 10 }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const sink = new TestSink();
    reply.feed?.start(sink);
    expect(sink.ended?.error?.code).toBe(Code.DEADLINE_EXCEEDED);
    expect(feed.sinks).toHaveLength(0);
  });

  test('a feed that ends by itself, or is stopped, leaves no timer of its deadline behind', async () => {
    const feed = new HandFeed();
    const seen: Call[] = [];
    const reply = await deadline()(invoke(feed, seen))(call({ deadline: Date.now() + 60 }));
    const sink = new TestSink();
    reply.feed?.start(sink);
    feed.end();
    const stopped = await deadline()(invoke(new HandFeed(), seen))(call({ deadline: Date.now() + 60 }));
    stopped.feed?.start(new TestSink()).stop();
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(sink.ended?.error).toBeUndefined();
    expect(seen.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  });
});
