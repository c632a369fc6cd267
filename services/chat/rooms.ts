/** The rooms there are, and the history of each by position or by time: in memory and bounded. */
import type { ListMessagesRequest, ListMessagesResponse, Message } from '../../gen/chat/v1/chat.js';
import { alreadyExists, exhausted, notFound } from '../errors.js';
import { check, pageSize } from '../validation.js';
import { Limiter, type Rate } from './limiter.js';
import { Room, type RoomLimits } from './room.js';

const LONGEST_TEXT = 1000;

export interface ChatLimits extends RoomLimits {
  /** How many rooms there can be. Default 128. */
  readonly rooms: number;
  /** How fast one author may talk, over all rooms. Default 100 messages a second, 200 at once. */
  readonly rate: Rate;
}

const DEFAULTS: ChatLimits = {
  rooms: 128,
  messages: 1_000,
  members: 10_000,
  rate: { perSecond: 100, burst: 200 },
};

/** Every method throws ServiceErrors as chat.proto says. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();
  readonly #limits: ChatLimits;
  readonly #limiter: Limiter;

  /** There is a room `lobby` from the beginning. */
  constructor(limits: Partial<ChatLimits> = {}) {
    this.#limits = { ...DEFAULTS, ...limits };
    this.#limiter = new Limiter(this.#limits.rate);
    this.create('lobby', 'Lobby', 'system');
  }

  create(name: string, title: string, creator: string): Room {
    const valid = /^[a-z0-9][a-z0-9-]{0,62}$/.test(name);
    check(valid, 'room.room_id', 'must be 1 to 63 lower-case letters, digits or `-`, not beginning with `-`');
    check(title.length <= 200, 'room.title', 'must have at most 200 characters');
    if (this.#rooms.has(name)) throw alreadyExists('room', name, `there is a room ${name} already`);
    if (this.#rooms.size >= this.#limits.rooms) {
      throw exhausted(`no more than ${this.#limits.rooms} rooms can be open`, 60_000);
    }
    const room = new Room(name, { title: title === '' ? name : title, creator }, this.#limits);
    this.#rooms.set(name, room);
    return room;
  }

  get(name: string): Room {
    check(name !== '', 'room', 'is required');
    const room = this.#rooms.get(name);
    if (room === undefined) throw notFound('room', name.slice(0, 80));
    return room;
  }

  /** Says something. RESOURCE_EXHAUSTED for an author who talks too fast. */
  post(name: string, author: string, text: string): Message {
    const room = this.get(name);
    checkText(text);
    const wait = this.waitOf(author);
    if (wait > 0) throw exhausted('too many messages: wait a little', wait);
    return room.say(author, text);
  }

  /** Milliseconds until the author may say something; 0 is leave to say one thing now. */
  waitOf(author: string): number {
    return this.#limiter.take(author);
  }

  list(request: ListMessagesRequest): ListMessagesResponse {
    const { messages: history } = this.get(request.room);
    const size = pageSize(request.pageSize);
    const { start, endTime } = request;
    if (start?.$case === 'afterSequence') {
      check(start.value >= 0n, 'after_sequence', 'must not be negative');
    }
    const from = (message: Message) => {
      if (start?.$case === 'afterSequence') return message.sequence > start.value;
      return start === undefined || timeOf(message) >= start.value.getTime();
    };
    const found = history
      .kept()
      .filter((each) => from(each) && timeOf(each) < (endTime?.getTime() ?? Infinity));
    if (start === undefined) return { messages: found.slice(-size), more: false, truncated: false };
    return {
      messages: found.slice(0, size),
      more: found.length > size,
      truncated: isTruncated(start, history.first, found[0]),
    };
  }
}

/** Throws INVALID_ARGUMENT for nothing, and for more than a message holds. */
export function checkText(text: string): void {
  check(text.length >= 1 && text.length <= LONGEST_TEXT, 'text', `must have 1 to ${LONGEST_TEXT} characters`);
}

/** By time nobody knows what was there before the oldest that is kept, so that it may have been asked for must do. */
function isTruncated(
  start: NonNullable<ListMessagesRequest['start']>,
  first: bigint,
  oldest: Message | undefined,
): boolean {
  if (start.$case === 'afterSequence') return start.value < first - 1n;
  return first > 1n && (oldest === undefined || oldest.sequence === first);
}

function timeOf(message: Message): number {
  return message.createTime?.getTime() ?? 0;
}
