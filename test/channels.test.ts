/** The Channels service over the network, with the generated client: two instances on every kind of broker. */
import { randomUUID } from 'node:crypto';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type HistoryRequest,
  HistoryResponse,
  JoinRequest,
  PresenceEvent_Type,
  PublishRequest,
} from '../gen/tidegate/v1/channels.js';
import type { ChannelRule } from '../services/channels/rules.js';
import { startChannels } from '../services/channels/serve.js';
import type { RunningServer } from '../services/server.js';
import { type Cluster, KINDS } from './support/brokers.js';
import {
  accepted,
  as,
  ask,
  connect,
  drain,
  eventually,
  refusal,
  refusalOf,
  take,
} from './support/services_client.js';

const { PRESENT, JOINED, UPDATED, LEFT } = PresenceEvent_Type;
const TTL_MS = 1_500;

const RULES: readonly ChannelRule[] = [
  {
    match: 'test.*',
    publish: 'public',
    subscribe: 'public',
    presence: 'public',
    join: 'authenticated',
    lingerMs: 0,
  },
  { match: 'test.short.*', retention: { entries: 3 } },
  { match: 'test.small.*', capacity: 2 },
  { match: 'test.linger.*', lingerMs: 1_000 },
];

for (const { kind, missing } of KINDS) {
  if (missing !== undefined) console.warn(`channels are not tested on ${kind}: install ${missing}`);
}

describe.each(KINDS.filter(({ missing }) => missing === undefined))('on $kind', ({ start }) => {
  let cluster: Cluster;
  let servers: readonly RunningServer[];
  let one: ReturnType<typeof connect>;
  let other: ReturnType<typeof connect>;

  beforeAll(async () => {
    cluster = await start();
    servers = await Promise.all(
      cluster.nodes.map((broker) =>
        startChannels({ broker, rules: RULES, presenceTtlMs: TTL_MS, graceMs: 500 }),
      ),
    );
    [one, other] = servers.map(({ address }) => connect(address)) as [typeof one, typeof other];
    return async () => {
      one.close();
      other.close();
      await Promise.all(servers.map((server) => server.close()));
      await cluster.close();
    };
  });

  const fresh = (kind = 'any') => `test.${kind}.${randomUUID()}`;

  const publish = (
    channel: string,
    data: unknown,
    {
      by = new Metadata(),
      at = one,
      ...rest
    }: { by?: Metadata; at?: typeof one } & Partial<PublishRequest> = {},
  ) => ask(at.channels, at.channels.publish, { channel, data, type: '', idempotencyKey: '', ...rest }, by);

  /** Open, and accepted. */
  const subscribe = async (channel: string | readonly string[], after?: string, at = other) => {
    const [name, names] = typeof channel === 'string' ? [channel, []] : ['', [...channel]];
    const stream = at.channels.subscribe({ channel: name, channels: names, after });
    const start = await accepted(stream);
    return { stream, start };
  };

  const history = (channel: string, query: Partial<HistoryRequest> = {}) => {
    const defaults = { after: '', startTime: undefined, endTime: undefined, pageSize: 0, reverse: false };
    return ask(other.channels, other.channels.history, { channel, ...defaults, ...query });
  };

  const join = async (channel: string, user: string, { at = one, data = undefined as unknown } = {}) => {
    const stream = at.channels.join(JoinRequest.fromPartial({ channel, data }), as(user));
    const [present] = await take(stream, 1);
    return { stream, present };
  };

  const watch = async (channel: string, after?: string) => {
    const stream = other.channels.watchPresence({ channel, after });
    return { stream, start: await accepted(stream) };
  };

  const presence = (
    channel: string,
    query: { pageSize?: number; pageToken?: string; countOnly?: boolean } = {},
  ) =>
    ask(other.channels, other.channels.presence, {
      channel,
      pageSize: 0,
      pageToken: '',
      countOnly: false,
      ...query,
    });

  describe('publish and subscribe', () => {
    test('what is published at one instance reaches the subscribers of another, in order and whole', async () => {
      const channel = fresh();
      const { stream } = await subscribe(channel);
      const data = [
        { n: 1, list: [true, null, 'ä', 0.5, {}], '': '' },
        null,
        'text',
        0,
        false,
        [],
        [[{ __proto__: 1 }]],
      ];
      const before = Date.now();
      const published = [];
      for (const each of data) published.push(await publish(channel, each, { by: as('ada'), type: 'tick' }));
      const events = await take(stream, data.length);
      expect(events.map((event) => event.data)).toEqual(data);
      expect(events.map(({ position }) => position)).toEqual(published.map(({ position }) => position));
      expect(events[0]).toMatchObject({ channel, type: 'tick', publisher: 'ada' });
      expect(events[0]?.time?.getTime()).toBeGreaterThan(before - 5_000);
      expect(events[0]?.time?.getTime()).toBeLessThan(Date.now() + 5_000);
      expect(published.every(({ duplicate }) => !duplicate)).toBe(true);
      stream.cancel();
    });

    test('a subscription goes on after a position, begins with what is kept, or with what comes', async () => {
      const channel = fresh();
      const positions = [];
      for (const letter of 'abc') positions.push((await publish(channel, letter)).position);
      const after = await subscribe(channel, positions[0]);
      expect((await take(after.stream, 2)).map(({ data }) => data)).toEqual(['b', 'c']);
      const earliest = await subscribe(channel, 'earliest');
      expect((await take(earliest.stream, 3)).map(({ data }) => data)).toEqual(['a', 'b', 'c']);
      const now = await subscribe(channel, 'now');
      expect(now.start).toBe(positions[2]);
      await publish(channel, 'd');
      for (const { stream } of [after, earliest, now]) {
        expect(await take(stream, 1)).toMatchObject([{ data: 'd' }]);
        stream.cancel();
      }
    });

    test('who saw no event at all goes on from where the subscription began', async () => {
      const channel = fresh();
      const { stream, start } = await subscribe(channel);
      stream.cancel();
      await publish(channel, 'missed');
      const again = await subscribe(channel, start);
      expect(await take(again.stream, 1)).toMatchObject([{ data: 'missed' }]);
      again.stream.cancel();
    });

    test('several channels share a stream, and one position', async () => {
      const [a, b] = [fresh(), fresh()];
      await publish(a, 'before');
      const { stream, start } = await subscribe([b, a]);
      await publish(a, 'a1');
      const [a1] = await take(stream, 1);
      await publish(b, 'b1', { at: other });
      const [b1] = await take(stream, 1);
      await publish(a, 'a2');
      const [a2] = await take(stream, 1);
      stream.cancel();
      expect([a1, b1, a2].map((event) => [event?.channel, event?.data])).toEqual([
        [a, 'a1'],
        [b, 'b1'],
        [a, 'a2'],
      ]);
      const rest = async (after: string | undefined, count: number) => {
        const again = await subscribe([a, b], after);
        const data = (await take(again.stream, count)).map((event) => event.data).sort();
        again.stream.cancel();
        return data;
      };
      expect(await rest(start, 3)).toEqual(['a1', 'a2', 'b1']);
      expect(await rest(a1?.position, 2)).toEqual(['a2', 'b1']);
      expect(await rest(b1?.position, 1)).toEqual(['a2']);
      // The position of one channel alone: the other one begins now.
      const joined = await subscribe([a, b], `${(await publish(b, 'b2')).position}`);
      await publish(a, 'a3');
      expect(await take(joined.stream, 1)).toMatchObject([{ data: 'a3' }]);
      joined.stream.cancel();
    });

    test('the same idempotency key publishes once, whichever instance it reaches', async () => {
      const channel = fresh();
      const key = { idempotencyKey: 'k1' };
      const first = await publish(channel, 1, { ...key, by: as('ada') });
      const again = await publish(channel, 1, { ...key, by: as('ada'), at: other });
      expect(again).toEqual({ position: first.position, duplicate: true });
      // Somebody else's key is another one.
      expect((await publish(channel, 2, { ...key, by: as('bob') })).duplicate).toBe(false);
      expect((await history(channel)).events.map(({ data }) => data)).toEqual([1, 2]);
    });

    test('a batch keeps the order within each channel, and can be sent again', async () => {
      const [a, b] = [fresh(), fresh()];
      const messages = ['a1', 'b1', 'a2', 'a3', 'b2', 'a4'].map((data, index) =>
        PublishRequest.fromPartial({
          channel: data.startsWith('a') ? a : b,
          data,
          idempotencyKey: index === 2 ? 'second' : '',
        }),
      );
      const send = (list: PublishRequest[]) =>
        ask(one.channels, one.channels.publishBatch, { messages: list }, as('ada'));
      const { results } = await send(messages);
      const [ofA, ofB] = [await history(a), await history(b)];
      expect(ofA.events.map(({ data }) => data)).toEqual(['a1', 'a2', 'a3', 'a4']);
      expect(ofB.events.map(({ data }) => data)).toEqual(['b1', 'b2']);
      const places = [
        ofA.events[0],
        ofB.events[0],
        ofA.events[1],
        ofA.events[2],
        ofB.events[1],
        ofA.events[3],
      ];
      expect(results.map(({ position }) => position)).toEqual(places.map((event) => event?.position));
      const again = await send(messages.slice(2, 3));
      expect(again.results).toEqual([{ position: results[2]?.position, duplicate: true }]);
    });

    test('a subscriber that takes nothing holds up nobody, and loses nothing', async () => {
      const channel = fresh();
      const slow = await subscribe(channel);
      const fast = await subscribe(channel, undefined, one);
      const text = 'x'.repeat(20_000);
      const reading = take(fast.stream, 300);
      for (let n = 0; n < 300; n += 10) {
        await Promise.all(Array.from({ length: 10 }, (_, at) => publish(channel, { n: n + at, text })));
      }
      expect(await reading).toHaveLength(300);
      const late = await take(slow.stream, 300);
      expect(late.map(({ position }) => position)).toEqual((await reading).map(({ position }) => position));
      for (const { stream } of [slow, fast]) stream.cancel();
    });
  });

  describe('a position that cannot be gone on from', () => {
    test('is refused when what follows is no longer kept', async () => {
      const channel = fresh('short');
      const { stream, start } = await subscribe(channel);
      stream.cancel();
      const positions = [];
      for (const letter of 'abcdefghij') positions.push((await publish(channel, letter)).position);
      for (const after of [start, positions[0]]) {
        const { error } = await drain(
          other.channels.subscribe({ channel, channels: [], after: after as string }),
        );
        expect(refusal(error as ServiceError)).toMatchObject({
          code: status.OUT_OF_RANGE,
          details: {
            ErrorInfo: { reason: 'HISTORY_TRUNCATED', metadata: { channel, position: positions[9] } },
          },
        });
      }
    });

    test('is refused when the channel has something else there, or is another one', async () => {
      const channel = fresh();
      await publish(channel, 'a');
      const { position } = await publish(channel, 'b');
      const [key, epoch, offset, nonce] = position.split('.') as [string, string, string, string];
      const reasonOf = async (after: string) => {
        const { error } = await drain(other.channels.subscribe({ channel, channels: [], after }));
        return refusal(error as ServiceError).details.ErrorInfo?.reason;
      };
      const another = nonce === '1' ? '2' : '1';
      expect(await reasonOf(`${key}.${epoch}.${offset}.${another}`)).toBe('LOG_DIVERGED');
      expect(await reasonOf(`${key}.${epoch}.zzzzz.${nonce}`)).toBe('LOG_DIVERGED');
      expect(await reasonOf(`${key}.${'0'.repeat(12)}.${offset}.${nonce}`)).toBe('EPOCH_CHANGED');
    });
  });

  describe('history', () => {
    test('is read page by page, in both directions', async () => {
      const channel = fresh();
      const sent: { position: string }[] = [];
      for (const letter of 'abcdefg') sent.push(await publish(channel, letter));
      const walk = async (reverse: boolean) => {
        const pages: string[] = [];
        for (let after = ''; ; ) {
          const page: HistoryResponse = await history(channel, { after, pageSize: 3, reverse });
          pages.push(page.events.map(({ data }) => data).join(''));
          expect(page.position).toBe(sent[6]?.position);
          if (!page.more) return pages;
          after = page.events.at(-1)?.position ?? '';
        }
      };
      expect(await walk(false)).toEqual(['abc', 'def', 'g']);
      expect(await walk(true)).toEqual(['gfe', 'dcb', 'a']);
      const end = await history(channel, { after: sent[6]?.position as string });
      expect(end).toMatchObject({ events: [], more: false, truncated: false, position: sent[6]?.position });
    });

    test('is read by time', async () => {
      const channel = fresh();
      for (const letter of 'abcde') {
        await publish(channel, letter);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      const { events } = await history(channel);
      const [, b, , d] = events.map(({ time }) => time as Date);
      const texts = async (query: Partial<HistoryRequest>) => {
        const page = await history(channel, query);
        return [page.events.map(({ data }) => data).join(''), page.more];
      };
      expect(await texts({ startTime: b, endTime: d })).toEqual(['bc', false]);
      expect(await texts({ startTime: b, endTime: d, reverse: true })).toEqual(['cb', false]);
      expect(await texts({ endTime: d, pageSize: 2 })).toEqual(['ab', true]);
      expect(await texts({ endTime: d, pageSize: 2, reverse: true })).toEqual(['cb', true]);
      expect(await texts({ startTime: d })).toEqual(['de', false]);
      const after = events[1]?.position as string;
      expect(await texts({ after, endTime: d })).toEqual(['c', false]);
      expect(await texts({ after, endTime: d, reverse: true })).toEqual(['a', false]);
      expect(await texts({ startTime: new Date(Date.now() + 60_000) })).toEqual(['', false]);
    });

    test('says when something is no longer kept, and refuses what was lost', async () => {
      const channel = fresh('short');
      const { position } = await publish(channel, 'a');
      for (const letter of 'bcdefgh') await publish(channel, letter);
      const page = await history(channel, { after: position });
      expect(page.truncated).toBe(true);
      expect(page.events.at(-1)).toMatchObject({ data: 'h' });
      expect((await history(channel, { startTime: new Date(0) })).truncated).toBe(true);
      expect((await history(channel)).truncated).toBe(false);
      expect(await history(channel, { after: position, reverse: true })).toMatchObject({
        events: [],
        truncated: true,
      });
      const lost = position.replace(/\.[^.]+$/, '.0').replace(/\.[0-9a-z]+\.0$/, '.zzzz.0');
      expect((await refusalOf(history(channel, { after: lost }))).details.ErrorInfo?.reason).toBe(
        'LOG_DIVERGED',
      );
    });

    test('of a channel that nobody has published to is empty', async () => {
      const channel = fresh();
      const page = await history(channel);
      expect(page).toMatchObject({ events: [], more: false, truncated: false });
      const { stream } = await subscribe(channel, page.position);
      await publish(channel, 1);
      expect(await take(stream, 1)).toHaveLength(1);
      stream.cancel();
      expect(await history(channel, { after: page.position, reverse: true })).toMatchObject({ events: [] });
    });

    test('has pages that a client can hold', async () => {
      const channel = fresh();
      const text = 'x'.repeat(60_000);
      for (let n = 0; n < 30; n += 1) await publish(channel, { n, text });
      const page = await history(channel, { pageSize: 1_000 });
      expect(Buffer.from(HistoryResponse.encode(page).finish()).length).toBeLessThan(1_300_000);
      expect(page.more).toBe(true);
      const rest = await history(channel, { pageSize: 1_000, after: page.events.at(-1)?.position as string });
      expect(page.events.length + rest.events.length).toBe(30);
      expect(rest.more).toBe(false);
      const newest = await history(channel, { pageSize: 1_000, reverse: true });
      expect(newest.more).toBe(true);
    });
  });

  describe('presence', () => {
    test('lasts as long as the stream, and is seen from everywhere', async () => {
      const channel = fresh();
      const { stream: watching, start } = await watch(channel);
      const ada = await join(channel, 'ada', { data: { name: 'Ada' } });
      expect(ada.present).toMatchObject({
        type: PRESENT,
        channel,
        memberCount: 1,
        members: [{ user: 'ada', data: { name: 'Ada' } }],
      });
      const bob = await join(channel, 'bob', { at: other });
      expect(bob.present?.members.map(({ user }) => user)).toEqual(['ada', 'bob']);
      expect(await take(ada.stream, 1)).toMatchObject([{ type: JOINED, member: { user: 'bob' } }]);
      const listed = await presence(channel);
      expect(listed).toMatchObject({ memberCount: 2, nextPageToken: '' });
      expect(listed.members.map(({ user }) => user)).toEqual(['ada', 'bob']);
      expect(listed.members[0]?.joinTime).toBeInstanceOf(Date);
      ada.stream.cancel();
      expect(await take(bob.stream, 1)).toMatchObject([
        { type: LEFT, member: { user: 'ada', data: undefined } },
      ]);
      const seen = await take(watching, 3);
      expect(seen.map(({ type, member }) => [type, member?.user])).toEqual([
        [JOINED, 'ada'],
        [JOINED, 'bob'],
        [LEFT, 'ada'],
      ]);
      expect(seen[0]).toMatchObject({ channel, member: { data: { name: 'Ada' } } });
      for (const stream of [bob.stream, watching]) stream.cancel();
      const since = await watch(channel, listed.position);
      expect(await take(since.stream, 2)).toMatchObject([
        { type: LEFT },
        { type: LEFT, member: { user: 'bob' } },
      ]);
      since.stream.cancel();
      const all = await watch(channel, start);
      expect(await take(all.stream, 3)).toEqual(seen);
      all.stream.cancel();
    });

    test('of a user with several streams begins once and ends once', async () => {
      const channel = fresh();
      const { stream: watching } = await watch(channel);
      const here = await join(channel, 'ada');
      const also = await join(channel, 'ada');
      const there = await join(channel, 'ada', { at: other });
      expect(there.present).toMatchObject({ memberCount: 1 });
      here.stream.cancel();
      also.stream.cancel();
      await eventually(() => servers[0]?.load().streams === 0);
      expect((await presence(channel)).members).toMatchObject([{ user: 'ada' }]);
      there.stream.cancel();
      await join(channel, 'last').then(({ stream }) => stream.cancel());
      const seen = (await take(watching, 4)).map(({ type, member }) => [type, member?.user]);
      watching.cancel();
      expect(seen).toContainEqual([LEFT, 'ada']);
      expect(seen.filter(([, user]) => user === 'ada')).toEqual([
        [JOINED, 'ada'],
        [LEFT, 'ada'],
      ]);
    });

    test('says what a member says of itself, whichever stream says it', async () => {
      const channel = fresh();
      const { stream: watching } = await watch(channel);
      const here = await join(channel, 'ada', { data: 'busy' });
      const there = await join(channel, 'ada', { at: other });
      expect((await presence(channel)).members).toMatchObject([{ user: 'ada', data: 'busy' }]);
      const third = await join(channel, 'ada', { at: other, data: 'away' });
      const seen = await take(watching, 2);
      expect(seen).toMatchObject([
        { type: JOINED },
        { type: UPDATED, member: { user: 'ada', data: 'away' } },
      ]);
      // The leases of both instances are renewed with what was said last.
      await new Promise((resolve) => setTimeout(resolve, TTL_MS));
      expect((await presence(channel)).members).toMatchObject([{ user: 'ada', data: 'away' }]);
      for (const { stream } of [here, there, third]) stream.cancel();
      watching.cancel();
    });

    test('does not end when a stream breaks and another one follows soon', async () => {
      const channel = fresh('linger');
      const { stream: watching } = await watch(channel);
      const first = await join(channel, 'ada', { data: 1 });
      first.stream.cancel();
      await eventually(() => servers[0]?.load().streams === 0);
      expect((await presence(channel, { countOnly: true })).memberCount).toBe(1);
      const second = await join(channel, 'ada', { at: other });
      expect(second.present?.members).toMatchObject([{ user: 'ada', data: 1 }]);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      expect(await presence(channel, { countOnly: true })).toMatchObject({ memberCount: 1, members: [] });
      second.stream.cancel();
      const seen = await take(watching, 2);
      expect(seen).toMatchObject([{ type: JOINED }, { type: LEFT }]);
      watching.cancel();
    });

    test('has room for as many as it is configured for', async () => {
      const channel = fresh('small');
      const ada = await join(channel, 'ada');
      const bob = await join(channel, 'bob', { at: other });
      const refused = await drain(one.channels.join(JoinRequest.fromPartial({ channel }), as('eve')));
      expect(refusal(refused.error as ServiceError)).toMatchObject({
        code: status.RESOURCE_EXHAUSTED,
        message: `the channel ${channel} is full: it holds 2 members`,
      });
      // Another stream of somebody who is there takes no room.
      const again = await join(channel, 'bob');
      expect((await presence(channel)).members.map(({ user }) => user)).toEqual(['ada', 'bob']);
      ada.stream.cancel();
      await take(bob.stream, 1);
      const eve = await join(channel, 'eve');
      for (const { stream } of [bob, again, eve]) stream.cancel();
    });

    test('is listed in pages', async () => {
      const channel = fresh();
      const streams = await Promise.all(
        ['e', 'b', 'd', 'a', 'c'].map((user, index) => join(channel, user, { at: index % 2 ? one : other })),
      );
      const pages = [];
      for (let pageToken = ''; ; ) {
        const page = await presence(channel, { pageSize: 2, pageToken });
        expect(page.memberCount).toBe(5);
        pages.push(page.members.map(({ user }) => user).join(''));
        pageToken = page.nextPageToken;
        if (pageToken === '') break;
      }
      expect(pages).toEqual(['ab', 'cd', 'e']);
      for (const { stream } of streams) stream.cancel();
    });
  });
});
