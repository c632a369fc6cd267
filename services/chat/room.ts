/** One room: what was said in it, what happens in it, and who is there. */
import {
  type Message,
  type RoomEvent,
  RoomEvent_Type,
  type Room as RoomState,
} from '../../gen/chat/v1/chat.js';
import { exhausted } from '../errors.js';
import { History } from '../history.js';

export interface RoomLimits {
  /** Messages that each room keeps, and events for readers that are behind. Default 1,000 of both. */
  readonly messages: number;
  /** How many users can be in one room. Default 10,000. */
  readonly members: number;
}

/**
 * Messages are numbered and kept for resuming. Beside them runs a feed of everything that happens, messages too, which live
 * readers follow; its own numbers are nobody's business.
 */
export class Room {
  readonly messages: History<Message>;
  readonly feed: History<RoomEvent>;
  readonly #members = new Map<string, number>();
  readonly #createTime = new Date();

  constructor(
    readonly name: string,
    readonly about: Pick<RoomState, 'title' | 'creator'>,
    private readonly limits: RoomLimits,
  ) {
    this.messages = new History(limits.messages);
    this.feed = new History(limits.messages);
  }

  state(): RoomState {
    return {
      ...this.about,
      roomId: this.name,
      createTime: this.#createTime,
      members: [...this.#members.keys()].sort().slice(0, 100),
      memberCount: this.#members.size,
      lastSequence: this.messages.last,
    };
  }

  say(author: string, text: string): Message {
    const createTime = new Date();
    const message = this.messages.append((sequence) => ({
      room: this.name,
      sequence,
      author,
      text,
      createTime,
    }));
    this.feed.append(() => eventOf(message));
    return message;
  }

  typing(user: string): void {
    this.feed.append(() => this.#event(RoomEvent_Type.TYPING, user));
  }

  /** Lets a user in and answers the JOINED event, which the others see unless the user is here already. */
  join(user: string): RoomEvent {
    const times = this.#members.get(user) ?? 0;
    if (times === 0 && this.#members.size >= this.limits.members) {
      throw exhausted(`the room ${this.name} is full: it holds ${this.limits.members} members`, 10_000);
    }
    this.#members.set(user, times + 1);
    const event = this.#event(RoomEvent_Type.JOINED, user);
    return times === 0 ? this.feed.append(() => event) : event;
  }

  /** Undoes one `join` and answers the LEFT event, which the others see unless the user is still here by another. */
  leave(user: string): RoomEvent {
    const times = this.#members.get(user) ?? 0;
    const event = this.#event(RoomEvent_Type.LEFT, user);
    if (times > 1) {
      this.#members.set(user, times - 1);
      return event;
    }
    this.#members.delete(user);
    return this.feed.append(() => event);
  }

  /** The messages after a sequence, as events, and the feed's position from which to go on after them. Throws OUT_OF_RANGE. */
  replay(afterSequence: bigint | undefined): {
    readonly events: readonly RoomEvent[];
    readonly position: bigint;
  } {
    const messages = afterSequence === undefined ? [] : this.messages.after(afterSequence);
    return { events: messages.map(eventOf), position: this.feed.last };
  }

  #event(type: RoomEvent_Type, user: string): RoomEvent {
    return { type, sequence: this.messages.last, user, message: undefined, eventTime: new Date() };
  }
}

function eventOf(message: Message): RoomEvent {
  const { sequence, author, createTime } = message;
  return { type: RoomEvent_Type.MESSAGE, sequence, user: author, message, eventTime: createTime };
}
