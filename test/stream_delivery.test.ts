/** Readers of a shared stream: fast ones, slow ones under each policy, and those that begin with what was before. */
import { describe, expect, test } from 'vitest';
import type { SlowReader } from '../src/method.js';
import { Code, StatusError } from '../src/status.js';
import { type History, type Shared, SharedDelivery, type Start } from '../src/stream/delivery.js';
import { type Encoder, type Sink, SlowConsumerError } from '../src/stream/feed.js';
import { type Item, Ring } from '../src/stream/ring.js';

const BYTES = 100;

/** Events as words: the text of a message, or `!reason`. */
function countingEncoder(): Encoder & { encoded: number; joined: number } {
  const encoder = {
    encoded: 0,
    joined: 0,
    encode: (event: Parameters<Encoder['encode']>[0]): Uint8Array => {
      encoder.encoded++;
      if (event.kind === 'message') return Buffer.from(`${Buffer.from(event.message)} `);
      return Buffer.from(event.kind === 'reset' ? `!${event.reason} ` : '!caught_up ');
    },
    join: (events: readonly Uint8Array[]): Uint8Array => {
      encoder.joined++;
      return Buffer.concat(events);
    },
  };
  return encoder;
}

function item(offset: number, text = `m${offset}`, nonce = offset): Item {
  const record = { kind: 'message', message: Buffer.from(text), token: undefined } as const;
  return { offset, nonce, at: performance.now(), record, bytes: BYTES, cursor: `c${offset}` };
}

function reset(offset: number): Item {
  return { ...item(offset), record: { kind: 'reset', reason: 'epoch_changed', token: undefined } };
}

function stream(slow: Partial<SlowReader> = {}) {
  const options: SlowReader = { policy: 'disconnect', key: '', bytes: 10 * BYTES, ageMs: 60_000, ...slow };
  const ring = new Ring({ bytes: options.bytes, ageMs: 60_000 });
  const deliveries = new Set<SharedDelivery>();
  const all: Item[] = [];
  async function* log(after: number): AsyncGenerator<readonly Item[], undefined> {
    yield all.filter(({ offset }) => offset > after);
    return undefined;
  }
  const shared: Shared = {
    ring,
    slow: options,
    keyOf: (message) => Buffer.from(message).toString().charAt(0),
    follows: ({ offset, nonce }) => ring.after(offset, nonce),
    history: ({ offset }) => log(offset),
    left: (delivery) => void deliveries.delete(delivery),
  };
  return {
    ring,
    push(...items: readonly Item[]) {
      all.push(...items);
      for (const each of items) ring.push(each);
      for (const delivery of [...deliveries]) delivery.deliver();
    },
    join(reader: Reader, start: Partial<Start> = {}) {
      const controller = new AbortController();
      const after = { offset: ring.end, nonce: ring.end };
      const whole = { at: ring.end, after, reset: undefined, target: undefined, cursor: 'c0', ...start };
      const delivery = new SharedDelivery(shared, reader, controller.signal, whole);
      deliveries.add(delivery);
      delivery.deliver();
      return { delivery, leave: () => controller.abort(new StatusError(Code.CANCELLED, 'left')) };
    },
    deliveries,
  };
}

class Reader implements Sink {
  readonly writes: string[] = [];
  ended: StatusError | 'ok' | undefined;
  constructor(
    public takes = Number.POSITIVE_INFINITY,
    readonly encoder: Encoder = countingEncoder(),
  ) {}
  get text(): string {
    return this.writes.join('').trim();
  }
  room(): number {
    return this.takes;
  }
  write(bytes: Uint8Array, messages: number): void {
    expect(messages).toBeLessThanOrEqual(this.takes);
    this.takes -= messages;
    this.writes.push(Buffer.from(bytes).toString());
  }
  end(error: StatusError | undefined): void {
    expect(this.ended).toBeUndefined();
    this.ended = error ?? 'ok';
  }
}

describe('fast readers', () => {
  test('get what comes in one turn in one write, encoded once for all of them', () => {
    const { join, push } = stream();
    const encoder = countingEncoder();
    const readers = Array.from({ length: 50 }, () => new Reader(Number.POSITIVE_INFINITY, encoder));
    for (const reader of readers) join(reader);
    push(item(1), item(2), item(3));
    for (const reader of readers) expect(reader.writes).toEqual(['m1 m2 m3 ']);
    expect(encoder).toMatchObject({ encoded: 3, joined: 1 });
  });

  test('are at the cursor of the last event they were sent', () => {
    const { join, push } = stream();
    const { delivery } = join(new Reader());
    expect(delivery.cursor()).toBe('c0');
    push(item(1), item(2));
    expect(delivery.cursor()).toBe('c2');
  });

  test('are told of a break in its place, and of the end after the last message', () => {
    const { join, push, deliveries } = stream();
    const reader = new Reader();
    join(reader);
    const end: Item = { ...item(4), record: { kind: 'end', error: undefined, trailers: {} } };
    push(item(1), reset(2), item(3), end);
    expect(reader.text).toBe('m1 !epoch_changed m3');
    expect(reader.ended).toBe('ok');
    expect(deliveries.size).toBe(0);
  });

  test('read from the log what came faster than they could be served', async () => {
    const { join, push } = stream({ bytes: 3 * BYTES });
    const reader = new Reader();
    join(reader);
    push(...[1, 2, 3, 4, 5, 6].map((offset) => item(offset)));
    await new Promise((resolve) => setImmediate(resolve));
    push(item(7));
    expect(reader.text).toBe('m1 m2 m3 m4 m5 m6 m7');
    expect(reader.ended).toBeUndefined();
  });

  test('never get more than 64 KiB in one write', () => {
    const { join, push } = stream({ bytes: 1024 * 1024 });
    const reader = new Reader();
    join(reader);
    push(...Array.from({ length: 10 }, (_, index) => ({ ...item(index + 1), bytes: 30_000 })));
    expect(reader.writes).toHaveLength(5);
    expect(reader.text).toBe('m1 m2 m3 m4 m5 m6 m7 m8 m9 m10');
  });

  test('get nothing after they have left', () => {
    const { join, push } = stream();
    const reader = new Reader();
    const { leave } = join(reader);
    leave();
    push(item(1));
    expect(reader.text).toBe('');
    expect(reader.ended).toMatchObject({ code: 1 });
  });
});

describe('slow readers', () => {
  test('wait without losing anything while they are not too far behind', () => {
    const { join, push } = stream();
    const reader = new Reader(1);
    const { delivery } = join(reader);
    push(item(1), item(2), item(3));
    expect(reader.text).toBe('m1');
    reader.takes = 5;
    delivery.ready();
    expect(reader.text).toBe('m1 m2 m3');
  });

  test('are cut off when they are behind by more than the bytes that the method allows', () => {
    const { join, push, deliveries } = stream({ bytes: 3 * BYTES });
    const reader = new Reader(0);
    const fast = new Reader();
    join(reader);
    join(fast);
    push(item(1), item(2), item(3));
    expect(reader.ended).toBeUndefined();
    push(item(4));
    expect(reader.ended).toBeInstanceOf(SlowConsumerError);
    expect(deliveries.size).toBe(1);
    expect(fast.text).toBe('m1 m2 m3 m4');
  });

  test('are cut off when what they did not take is too old', () => {
    const { join, push } = stream({ ageMs: 5 });
    const reader = new Reader(0);
    const { delivery } = join(reader);
    push({ ...item(1), at: performance.now() - 1_000 });
    delivery.judge();
    expect(reader.ended).toBeInstanceOf(SlowConsumerError);
  });

  test('with drop_oldest are told that they missed something, and get the newest that fits', () => {
    const { join, push } = stream({ policy: 'drop_oldest', bytes: 3 * BYTES });
    const reader = new Reader(0);
    const { delivery } = join(reader);
    push(...[1, 2, 3, 4, 5, 6].map((offset) => item(offset)));
    reader.takes = 100;
    delivery.ready();
    expect(reader.text).toBe('!slow_consumer m4 m5 m6');
    push(item(7));
    expect(reader.text).toBe('!slow_consumer m4 m5 m6 m7');
  });

  test('with latest get the last message and every break', () => {
    const { join, push } = stream({ policy: 'latest' });
    const reader = new Reader(0);
    const { delivery } = join(reader);
    push(item(1), item(2), reset(3), item(4), item(5));
    reader.takes = 100;
    delivery.ready();
    expect(reader.text).toBe('!epoch_changed m5');
    expect(delivery.cursor()).toBe('c5');
  });

  test('with conflate get the last message of each key, in order, and the rest as there is room', () => {
    const { join, push } = stream({ policy: 'conflate' });
    const reader = new Reader(0);
    const { delivery } = join(reader);
    push(item(1, 'a1'), item(2, 'b1'), item(3, 'a2'), item(4, 'c1'), item(5, 'b2'));
    reader.takes = 2;
    delivery.ready();
    expect(reader.text).toBe('a2 c1');
    push(item(6, 'b3'));
    reader.takes = 5;
    delivery.ready();
    expect(reader.text).toBe('a2 c1 b3');
    push(item(7, 'a3'), item(8, 'a4'));
    expect(reader.text).toBe('a2 c1 b3 a3 a4');
  });
});

describe('readers that begin before the ring', () => {
  const history = (...pages: (readonly Item[])[]): History => {
    const iterator = pages[Symbol.iterator]();
    return {
      next: async () => iterator.next() as IteratorResult<readonly Item[], undefined>,
      return: async () => ({ done: true, value: undefined }),
    };
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test('get history, then what is new, without a gap or a double, and hear when they have caught up', async () => {
    const { join, push } = stream();
    push(item(3), item(4), item(5));
    const reader = new Reader();
    join(reader, { at: history([item(1), item(2)], [item(3), item(4)]), target: 5 });
    push(item(6));
    await settled();
    push(item(7));
    expect(reader.text).toBe('m1 m2 m3 m4 m5 m6 !caught_up m7');
  });

  test('hear at once that they have caught up when nothing is new', () => {
    const { join } = stream();
    const reader = new Reader();
    join(reader, { target: 0 });
    expect(reader.text).toBe('!caught_up');
  });

  test('are told first why they cannot go on', () => {
    const { join, push } = stream();
    const reader = new Reader();
    join(reader, { reset: 'history_truncated' });
    push(item(1));
    expect(reader.text).toBe('!history_truncated m1');
  });

  test('slow down the reading of history, and can leave in the middle of it', async () => {
    const { join, push } = stream();
    push(item(9));
    let pages = 0;
    let left = false;
    const endless: History = {
      next: async () => ({ done: false, value: [item(++pages)] }),
      return: async () => {
        left = true;
        return { done: true, value: undefined };
      },
    };
    const reader = new Reader(3);
    const { delivery } = join(reader, { at: endless });
    await settled();
    expect(reader.text).toBe('m1 m2 m3');
    expect(pages).toBe(4);
    delivery.stop();
    expect(left).toBe(true);
    expect(reader.ended).toBeUndefined();
  });

  test('leave a history that is ahead of the ring as soon as the ring holds what was read last', async () => {
    const { join, push, deliveries } = stream();
    let left = false;
    const pages = [[item(1)], [item(2)]].values();
    const ahead: History = {
      // The third page does not come while anybody waits for it.
      next: () => {
        const next = pages.next();
        return next.done ? new Promise(() => {}) : Promise.resolve({ done: false, value: next.value });
      },
      return: async () => {
        left = true;
        return { done: true, value: undefined };
      },
    };
    const reader = new Reader();
    join(reader, { at: ahead });
    await settled();
    push(item(1));
    expect(left).toBe(false);
    push(item(2));
    expect(left).toBe(true);
    push(item(3));
    expect(reader.text).toBe('m1 m2 m3');
    expect(deliveries.size).toBe(1);
  });

  test('hear of an end that lies in history, and of history that cannot be read', async () => {
    const { join } = stream();
    const end: Item = { ...item(2), record: { kind: 'end', error: undefined, trailers: {} } };
    const done = new Reader();
    join(done, { at: history([item(1), end]) });
    const broken = new Reader();
    const failing: History = { next: () => Promise.reject(new StatusError(Code.UNAVAILABLE, 'gone')) };
    join(broken, { at: failing });
    await settled();
    expect(done.text).toBe('m1');
    expect(done.ended).toBe('ok');
    expect(broken.ended).toMatchObject({ code: 14 });
  });
});

test('the ring holds no more than it may, and knows the numbers of what it has dropped', () => {
  const ring = new Ring({ bytes: 5 * BYTES, ageMs: 60_000 });
  for (let offset = 1; offset <= 5_000; offset++) ring.push(item(offset));
  expect([ring.begin, ring.end]).toEqual([4_995, 5_000]);
  expect(ring.bytesFrom(4_998)).toBe(2 * BYTES);
  expect(ring.after(4_998, 4_998)).toBe(4_998);
  expect(ring.after(4_998, 1)).toBeUndefined();
  expect(ring.after(10, 10)).toBeUndefined();
  expect(() => ring.at(4_000)).toThrow(RangeError);
});

test('the ring lets nobody go on from before a break: the log may not have what it holds there', () => {
  const ring = new Ring({ bytes: 50 * BYTES, ageMs: 60_000 });
  for (const offset of [1, 2, 3, 4]) ring.push(item(offset));
  ring.pushBreak({
    ...item(2),
    record: { kind: 'reset', reason: 'log_diverged', token: undefined },
    bytes: 0,
  });
  // The log, which ends with 2 now, goes on from there; an offset may be given a second time.
  ring.push(item(4, 'new', 77));
  expect([ring.begin, ring.end]).toEqual([0, 6]);
  for (const lost of [1, 3, 4]) expect(ring.after(lost, lost)).toBeUndefined();
  expect(ring.after(2, 2)).toBe(5);
  expect(ring.after(4, 77)).toBe(6);
});
