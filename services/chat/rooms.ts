/** The rooms there are, and the history of each by number or by time: kept by a broker, bounded, and the same on all of its nodes. */
import type { ListMessagesRequest, ListMessagesResponse, Message } from '../../gen/chat/v1/chat.js';
import type { Attendance } from '../channels/attendance.js';
import type { Hub } from '../channels/hub.js';
import { numberedOf } from '../channels/numbered.js';
import { readStretch, type StretchQuery } from '../channels/stretch.js';
import { exhausted, notFound } from '../errors.js';
import { check, pageSize } from '../validation.js';
import { type About, Directory } from './directory.js';
import { Limiter, type Rate } from './limiter.js';
import { Room, type RoomLimits, tellChange, topicsOf } from './room.js';

const LONGEST_TEXT = 1000;

export interface ChatLimits extends RoomLimits {
  /** How many rooms there can be. Default 128. */
  readonly rooms: number;
  /** How fast one author may talk, over all rooms of a node. Default 100 messages a second, 200 at once. */
  readonly rate: Rate;
}

const DEFAULTS: ChatLimits = {
  rooms: 128,
  messages: 1_000,
  members: 10_000,
  rate: { perSecond: 100, burst: 200 },
};

export interface RoomsOptions {
  readonly hub: Hub;
  readonly limits?: Partial<ChatLimits> | undefined;
  /** Hears of errors that nobody waits for. */
  readonly report: (error: unknown) => void;
}

/** Every method throws ServiceErrors as chat.proto says. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #hub: Hub;
  readonly #limits: ChatLimits;
  readonly #attendance: Attendance;
  readonly #directory: Directory;
  readonly #limiter: Limiter;

  constructor({ hub, limits, report }: RoomsOptions) {
    this.#hub = hub;
    this.#limits = { ...DEFAULTS, ...limits };
    this.#attendance = hub.attend({
      space: 'chat',
      tell: (change) => tellChange(topicsOf(hub, change.room, this.#limits).events, change),
      report,
    });
    this.#limiter = new Limiter(this.#limits.rate);
    this.#directory = new Directory(hub, this.#limits.rooms);
  }

  async create(name: string, title: string, creator: string): Promise<Room> {
    const valid = /^[a-z0-9][a-z0-9-]{0,62}$/.test(name);
    check(valid, 'room.room_id', 'must be 1 to 63 lower-case letters, digits or `-`, not beginning with `-`');
    check(title.length <= 200, 'room.title', 'must have at most 200 characters');
    await this.#directory.add(name, title === '' ? name : title, creator);
    return this.get(name);
  }

  async get(name: string): Promise<Room> {
    check(name !== '', 'room', 'is required');
    const about = await this.#directory.find(name);
    if (about === undefined) throw notFound('room', name.slice(0, 80));
    const room = this.#rooms.get(name) ?? this.#open(name, about);
    this.#rooms.set(name, room);
    return room;
  }

  #open(name: string, about: About): Room {
    const parts = { attendance: this.#attendance, limits: this.#limits };
    return new Room(name, about, { ...topicsOf(this.#hub, name, this.#limits), ...parts });
  }

  /** Says something. RESOURCE_EXHAUSTED for an author who talks too fast. */
  async post(name: string, author: string, text: string): Promise<Message> {
    const room = await this.get(name);
    checkText(text);
    const wait = this.waitOf(author);
    if (wait > 0) throw exhausted('too many messages: wait a little', wait);
    return room.sayAndRead(author, text);
  }

  /** Milliseconds until the author may say something; 0 is leave to say one thing now. */
  waitOf(author: string): number {
    return this.#limiter.take(author);
  }

  async list({
    room: name,
    pageSize: asked,
    start,
    endTime,
  }: ListMessagesRequest): Promise<ListMessagesResponse> {
    const room = await this.get(name);
    const query = { after: undefined, startTime: undefined, endTime, limit: pageSize(asked), reverse: false };
    if (start === undefined) {
      const { messages } = await stretchOf(room, { ...query, reverse: true });
      return { messages: messages.reverse(), more: false, truncated: false };
    }
    if (start.$case === 'startTime') return stretchOf(room, { ...query, startTime: start.value });
    check(start.value >= 0n, 'after_sequence', 'must not be negative');
    return listAfter(room, start.value, query);
  }
}

async function listAfter(room: Room, sequence: bigint, query: StretchQuery): Promise<ListMessagesResponse> {
  const after = await room.messages.nearest(sequence);
  if (after === 'end') return { messages: [], more: false, truncated: false };
  const list = await stretchOf(room, { ...query, after: after === 'earliest' ? undefined : after });
  const [first] = list.messages;
  return { ...list, truncated: first !== undefined && first.sequence > sequence + 1n };
}

async function stretchOf(room: Room, query: StretchQuery) {
  const { entries, more, truncated } = await readStretch(room.messages.topic, query);
  return { messages: entries.map((entry) => room.messageOf(numberedOf(entry))), more, truncated };
}

/** Throws INVALID_ARGUMENT for nothing, and for more than a message holds. */
export function checkText(text: string): void {
  check(text.length >= 1 && text.length <= LONGEST_TEXT, 'text', `must have 1 to ${LONGEST_TEXT} characters`);
}
