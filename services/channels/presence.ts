/** Presence in channels: who is there, and a log of who came and went, which Join and WatchPresence follow. */
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { PresenceEvent_Type as Type } from '../../gen/tidegate/v1/channels.js';
import type { Broker, Entry, Logs, Member, Retention } from '../../src/broker/broker.js';
import { exhausted } from '../errors.js';
import { check, pageSize } from '../validation.js';
import { Attendance, type Change } from './attendance.js';
import { printPosition } from './position.js';
import { writeTime } from './record.js';
import { answered } from './refusals.js';
import type { ChannelSettings } from './rules.js';
import { followTopics, type Located, newNonce, type Topic, topicOf } from './topic.js';
import { faultOf } from './value.js';

/** Of who came and went. */
const RETENTION: Retention = { entries: 1_000, ageMs: 3_600_000, bytes: 4 * 1024 * 1024 };
const MOST_DATA = 4 * 1024;
const SIZES = { usual: 100, most: 1_000 };
/** Members of a channel that tells who is there to everybody who joins. */
const MOST_SHOWN = 1_000;
/** Of one page, as they are put. */
const PAGE_BYTES = 1024 * 1024;

const TYPES: Readonly<Record<Change['kind'], Type>> = {
  joined: Type.JOINED,
  updated: Type.UPDATED,
  left: Type.LEFT,
};

export interface PresenceStream {
  /** Where it begins. */
  readonly start: string;
  /** Encoded tidegate.v1.PresenceEvent, one by one. */
  readonly events: AsyncIterable<Uint8Array>;
}

export interface JoinRequest {
  readonly channel: string;
  readonly user: string;
  /** Encoded google.protobuf.Value; undefined: what the user's other streams have said. */
  readonly data: Uint8Array | undefined;
  readonly settings: ChannelSettings;
}

export interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly countOnly: boolean;
}

interface Snapshot {
  readonly members: readonly Member[];
  readonly count: number;
}

/** Every method throws ServiceErrors as channels.proto says. */
export class Presence {
  readonly #logs: Logs;
  readonly #attendance: Attendance;

  constructor(
    broker: Broker,
    options: { readonly presenceTtlMs?: number; readonly report: (error: unknown) => void },
  ) {
    const { presenceTtlMs, report } = options;
    this.#logs = broker.logs('presence', RETENTION);
    this.#attendance = new Attendance({
      members: broker.members,
      space: 'presence',
      tell: async (change) => {
        await this.#logs.append(change.room, [{ nonce: newNonce(), data: encodeChange(change) }]);
      },
      ...(presenceTtlMs !== undefined && { ttlMs: presenceTtlMs }),
      report,
    });
  }

  /** Present from now on, until the events are no longer iterated. */
  async join({ channel, user, data, settings }: JoinRequest, signal: AbortSignal): Promise<PresenceStream> {
    checkData(data);
    const { capacity, lingerMs } = settings;
    const now = Date.now();
    const value = (before: string | undefined) => encodeValue({ data, before, now });
    const joined = await answered(this.#attendance.join(channel, user, { value, capacity, lingerMs }));
    if (joined.isFull) {
      throw exhausted(`the channel ${channel} is full: it holds ${capacity} members`, 10_000);
    }
    const { stay } = joined;
    let stop = () => {};
    try {
      // Followed first, listed then: whoever comes or goes in between is told of.
      const following = await followTopics([this.#topic(channel)], { after: 'now', signal });
      stop = following.stop;
      const { start, entries } = following;
      const present = encodePresent(channel, start, await this.#snapshot(channel));
      return { start, events: this.#stay(present, entries, stay.leave) };
    } catch (thrown) {
      stop();
      await stay.leave();
      throw thrown;
    }
  }

  async watch(channel: string, after: string | undefined, signal: AbortSignal): Promise<PresenceStream> {
    const { start, entries } = await followTopics([this.#topic(channel)], { after, signal });
    return { start, events: eventsOf(entries) };
  }

  /** Encoded tidegate.v1.PresenceResponse. */
  async page(channel: string, { pageSize: asked, pageToken, countOnly }: PageRequest): Promise<Uint8Array> {
    const size = pageSize(asked, SIZES);
    const { key, logs, name } = this.#topic(channel);
    // Before the list, so that nobody comes or goes between them unseen.
    const position = printPosition(key, await answered(logs.tail(name)));
    if (countOnly) {
      return encodePage({
        members: [],
        count: await answered(this.#attendance.count(channel)),
        next: '',
        position,
      });
    }
    const all = await answered(this.#attendance.list(channel));
    const rest = pageToken === '' ? all : all.filter(({ member }) => member > pageToken);
    const members = rest.slice(0, Math.min(size, roomFor(rest)));
    const next = rest.length > members.length ? (members.at(-1)?.member ?? '') : '';
    return encodePage({ members, count: all.length, next, position });
  }

  close(): void {
    this.#attendance.close();
  }

  /** Without the members where there are so many that listing them to everybody who comes would be most of the work. */
  async #snapshot(channel: string): Promise<Snapshot> {
    const count = await answered(this.#attendance.count(channel));
    if (count > MOST_SHOWN) return { members: [], count };
    const members = await answered(this.#attendance.list(channel));
    return { members: members.slice(0, SIZES.usual), count: members.length };
  }

  async *#stay(
    present: Uint8Array,
    entries: AsyncIterable<Located<Topic>>,
    leave: () => Promise<unknown>,
  ): AsyncGenerator<Uint8Array, void> {
    try {
      yield present;
      for await (const { topic, entry, position } of entries) {
        const updated = updateOf(entry);
        if (updated !== undefined) this.#attendance.updated(topic.name, updated.user, updated.value);
        yield encodeEvent(entry, topic.name, position);
      }
    } finally {
      await leave();
    }
  }

  #topic(channel: string): Topic {
    return topicOf(this.#logs, 'presence', channel);
  }
}

function checkData(data: Uint8Array | undefined): void {
  if (data === undefined) return;
  check(data.length <= MOST_DATA, 'data', `must have at most ${MOST_DATA} bytes`);
  const fault = faultOf(data);
  check(fault === undefined, 'data', fault ?? '');
}

/** How many of the first members fit into one page. */
function roomFor(members: readonly Member[]): number {
  let bytes = 0;
  for (const [index, { value }] of members.entries()) {
    bytes += value.length;
    if (bytes > PAGE_BYTES) return Math.max(index, 1);
  }
  return members.length;
}

async function* eventsOf(entries: AsyncIterable<Located<Topic>>): AsyncGenerator<Uint8Array, void> {
  for await (const { topic, entry, position } of entries) yield encodeEvent(entry, topic.name, position);
}

/** What is put for a member: tidegate.v1.Member without the user, data = 2 and join_time = 3, as base64. */
function encodeValue(of: {
  readonly data: Uint8Array | undefined;
  readonly before: string | undefined;
  readonly now: number;
}): string {
  const known = of.before === undefined ? undefined : decodeValue(of.before);
  const data = of.data ?? known?.data;
  const writer = new BinaryWriter();
  if (data !== undefined) writer.uint32(18).bytes(data);
  const time = known?.time ?? writeTime(new BinaryWriter(), of.now).finish();
  return Buffer.from(writer.uint32(26).bytes(time).finish()).toString('base64');
}

function decodeValue(value: string): { readonly data?: Uint8Array; readonly time?: Uint8Array } {
  const found: { data?: Uint8Array; time?: Uint8Array } = {};
  const reader = new BinaryReader(Buffer.from(value, 'base64'));
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 2) found.data = reader.bytes();
    else if (number === 3) found.time = reader.bytes();
    else reader.skip(wireType, number);
  }
  return found;
}

/** tidegate.v1.Member: user = 1, and what was put for it. */
function encodeMember(user: string, value: string): Uint8Array {
  return new BinaryWriter().uint32(10).string(user).raw(Buffer.from(value, 'base64')).finish();
}

/** What the log keeps: tidegate.v1.PresenceEvent with type = 1 and member = 4. */
function encodeChange({ kind, user, value }: Change): Uint8Array {
  const member = encodeMember(user, kind === 'left' ? '' : value);
  return new BinaryWriter().uint32(8).int32(TYPES[kind]).uint32(34).bytes(member).finish();
}

/** The user of an UPDATED event, and what is put for it now. */
function updateOf({ data }: Entry): { readonly user: string; readonly value: string } | undefined {
  const reader = new BinaryReader(data);
  // As encodeChange has written it.
  reader.tag();
  if (reader.int32() !== Type.UPDATED) return undefined;
  reader.tag();
  const member = reader.bytes();
  const inner = new BinaryReader(member);
  inner.tag();
  const user = inner.string();
  return { user, value: Buffer.from(member.subarray(inner.pos)).toString('base64') };
}

/** tidegate.v1.PresenceEvent: channel = 2, position = 3, what the log has of it, and time = 5. */
function encodeEvent({ data, at }: Entry, channel: string, position: string): Uint8Array {
  const writer = new BinaryWriter().raw(data).uint32(18).string(channel).uint32(26).string(position);
  return writeTime(writer.uint32(42).fork(), at).join().finish();
}

/** The first event of Join: members = 6, member_count = 7. */
function encodePresent(channel: string, position: string, { members, count }: Snapshot): Uint8Array {
  const writer = new BinaryWriter().uint32(8).int32(Type.PRESENT);
  writer.uint32(18).string(channel).uint32(26).string(position);
  writeTime(writer.uint32(42).fork(), Date.now()).join();
  for (const { member, value } of members) writer.uint32(50).bytes(encodeMember(member, value));
  return writer.uint32(56).int32(count).finish();
}

/** tidegate.v1.PresenceResponse: members = 1, member_count = 2, next_page_token = 3, position = 4. */
function encodePage(page: {
  readonly members: readonly Member[];
  readonly count: number;
  readonly next: string;
  readonly position: string;
}): Uint8Array {
  const writer = new BinaryWriter();
  for (const { member, value } of page.members) writer.uint32(10).bytes(encodeMember(member, value));
  if (page.count > 0) writer.uint32(16).int32(page.count);
  if (page.next !== '') writer.uint32(26).string(page.next);
  return writer.uint32(34).string(page.position).finish();
}
