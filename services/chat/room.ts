/** One room: what was said in it, what happens in it, and who is there. The same on every node of a broker. */
import { status } from '@grpc/grpc-js';
import {
  Message,
  RoomEvent,
  type Room as RoomState,
  RoomEvent_Type as Type,
} from '../../gen/chat/v1/chat.js';
import type { Attendance, Change, Stay } from '../channels/attendance.js';
import { FOR_EVER_MS, type Hub, tellTopic } from '../channels/hub.js';
import { type Numbered, NumberedLog, numberedOf } from '../channels/numbered.js';
import { parsePositions } from '../channels/position.js';
import { answered } from '../channels/refusals.js';
import {
  BEGINNING,
  type FollowOptions,
  followTopics,
  type Located,
  type LogPosition,
  type Topic,
} from '../channels/topic.js';
import { exhausted, refused } from '../errors.js';

export interface RoomLimits {
  /** Messages that each room keeps, and events for readers that are behind. Default 1,000 of both. */
  readonly messages: number;
  /** How many users can be in one room. Default 10,000. */
  readonly members: number;
}

/** The logs of a room. */
export interface RoomTopics {
  /** What was said, numbered. */
  readonly messages: Topic;
  /** Who came, went and types. */
  readonly events: Topic;
}

export interface RoomParts extends RoomTopics {
  readonly attendance: Attendance;
  readonly limits: RoomLimits;
}

/** Events of a room from somewhere on. Throws OUT_OF_RANGE where one of them is no longer there. */
export interface RoomStream {
  readonly events: AsyncIterable<RoomEvent>;
  /** Where it begins. */
  readonly position: string;
  /** Of the last message before it. */
  readonly sequence: bigint;
}

/** A user in the room. */
export interface Visit {
  readonly stay: Stay;
  /** The user's own event. */
  readonly joined: RoomEvent;
  /** What comes after it. */
  readonly events: AsyncIterable<RoomEvent>;
}

const KINDS: Readonly<Record<Change['kind'], Type>> = {
  joined: Type.JOINED,
  updated: Type.TYPE_UNSPECIFIED,
  left: Type.LEFT,
};

/** Where the event of its own joining is looked for: so many may have come and gone since. */
const NEWEST = 100;

/** How attendance tells of a room's members. */
export function tellChange(topic: Topic, { kind, user }: Change): Promise<void> {
  return tellTopic(topic, encodeEvent(KINDS[kind], user));
}

export class Room {
  readonly messages: NumberedLog;
  readonly #parts: RoomParts;

  constructor(
    readonly name: string,
    readonly about: Pick<RoomState, 'title' | 'creator' | 'createTime'>,
    parts: RoomParts,
  ) {
    this.#parts = parts;
    this.messages = new NumberedLog(parts.messages);
  }

  async state(): Promise<RoomState> {
    const members = (await answered(this.#parts.attendance.list(this.name))).map(({ member }) => member);
    return {
      ...this.about,
      roomId: this.name,
      members: members.slice(0, 100),
      memberCount: members.length,
      lastSequence: await this.messages.last(),
    };
  }

  /** Resolves with the message's number, and where it stands. */
  say(author: string, text: string): Promise<Pick<Numbered, 'sequence' | 'offset'>> {
    const data = Message.encode(Message.fromPartial({ author, text })).finish();
    return this.messages.append(() => data);
  }

  /** As everybody sees it, with the time at which the log took it. */
  async sayAndRead(author: string, text: string): Promise<Message> {
    const { sequence, offset } = await this.say(author, text);
    const numbered = await this.messages.at(offset);
    if (numbered !== undefined) return this.messageOf(numbered);
    return { room: this.name, sequence, author, text, createTime: new Date() };
  }

  typing(user: string): Promise<void> {
    return answered(tellTopic(this.#parts.events, encodeEvent(Type.TYPING, user)));
  }

  messageOf({ sequence, data, at }: Numbered): Message {
    return { ...Message.decode(data), room: this.name, sequence, createTime: at };
  }

  /** What happens from now on, after the messages that follow a number. Throws OUT_OF_RANGE. */
  async follow(afterSequence: bigint | undefined, signal: AbortSignal): Promise<RoomStream> {
    const begin = await this.#beginning(afterSequence);
    return this.#follow(
      ({ key }) => (key === this.messages.topic.key ? begin : 'now'),
      signal,
      afterSequence,
    );
  }

  /** Everything after the position of an event. Throws INVALID_ARGUMENT and OUT_OF_RANGE. */
  followAfter(position: string, signal: AbortSignal): Promise<RoomStream> {
    return this.#follow(position, signal);
  }

  /** Lets a user in, which the others see unless the user is here already. RESOURCE_EXHAUSTED when the room is full. */
  async enter(user: string, afterSequence: bigint | undefined, signal: AbortSignal): Promise<Visit> {
    const { attendance, limits, events } = this.#parts;
    // First: who asks for what is no longer kept has not been here.
    const begin = await this.#beginning(afterSequence);
    const options = { value: () => '', capacity: limits.members, lingerMs: 0 };
    const joined = await answered(attendance.join(this.name, user, options));
    if (joined.isFull) {
      throw exhausted(`the room ${this.name} is full: it holds ${limits.members} members`, 10_000);
    }
    const { stay } = joined;
    try {
      const own = stay.isFirst ? await this.#joining(user) : undefined;
      const after: FollowOptions['after'] = ({ key }) =>
        key === events.key ? (own?.position ?? 'now') : begin;
      const stream = await this.#follow(after, signal, afterSequence);
      const { sequence, position } = stream;
      const event = RoomEvent.fromPartial({ type: Type.JOINED, sequence, user, position });
      return { stay, joined: { ...event, eventTime: own?.at ?? new Date() }, events: stream.events };
    } catch (thrown) {
      await stay.leave();
      throw thrown;
    }
  }

  #beginning(afterSequence: bigint | undefined): Promise<LogPosition | 'earliest' | 'now'> {
    return afterSequence === undefined ? Promise.resolve('now') : this.messages.find(afterSequence);
  }

  /** Where a user's newest event of joining stands; undefined when too much has happened since. */
  async #joining(user: string): Promise<{ readonly position: LogPosition; readonly at: Date } | undefined> {
    const { logs, name } = this.#parts.events;
    const { entries, tail } = await answered(logs.read(name, { after: 0, limit: NEWEST, reverse: true }));
    const joined = entries.find(({ data }) => isOf(data, Type.JOINED, user));
    if (joined === undefined) return undefined;
    const { offset, nonce, at } = joined;
    return { position: { epoch: tail.epoch, offset, nonce }, at: new Date(at) };
  }

  async #follow(after: FollowOptions['after'], signal: AbortSignal, known?: bigint): Promise<RoomStream> {
    const { messages, events } = this.#parts;
    const { start, entries, stop } = await followTopics([messages, events], { after, signal });
    const position = parsePositions(start, 'after').get(messages.key) ?? BEGINNING;
    try {
      const sequence = known ?? (await this.messages.sequenceAt(position));
      // With the oldest there is, whichever number it has.
      const isOpen = after === '' || after === 'earliest';
      return { position: start, sequence, events: this.#eventsOf(entries, isOpen ? undefined : sequence) };
    } catch (thrown) {
      stop();
      throw thrown;
    }
  }

  /** `start`: the number after which the messages have to begin, if that is known. */
  async *#eventsOf(
    entries: AsyncIterable<Located<Topic>>,
    start: bigint | undefined,
  ): AsyncGenerator<RoomEvent, void> {
    let last = start;
    for await (const { topic, entry, position } of entries) {
      if (topic.key === this.messages.topic.key) {
        const message = this.messageOf(numberedOf(entry));
        const { sequence, author: user, createTime: eventTime } = message;
        if (last !== undefined && sequence !== last + 1n) throw truncated(last);
        last = sequence;
        yield { type: Type.MESSAGE, sequence, user, message, eventTime, position };
      } else {
        const event = RoomEvent.decode(entry.data);
        yield { ...event, sequence: last ?? 0n, eventTime: new Date(entry.at), position };
      }
    }
  }
}

function truncated(sequence: bigint): Error {
  const message = `what follows the sequence ${sequence} is no longer kept`;
  return refused(status.OUT_OF_RANGE, 'HISTORY_TRUNCATED', message);
}

/** What the log keeps of an event that is no message. */
function encodeEvent(type: Type, user: string): Uint8Array {
  return RoomEvent.encode(RoomEvent.fromPartial({ type, user })).finish();
}

function isOf(data: Uint8Array, type: Type, user: string): boolean {
  const event = RoomEvent.decode(data);
  return event.type === type && event.user === user;
}

/** The logs of a room of this name. */
export function topicsOf(hub: Hub, name: string, { messages }: RoomLimits): RoomTopics {
  const bytes = messages * 8 * 1024;
  return {
    messages: hub.topic({
      space: 'chat',
      kind: 'room',
      name,
      retention: { entries: messages, ageMs: FOR_EVER_MS, bytes },
    }),
    events: hub.topic({
      space: 'chat-events',
      kind: 'room-events',
      name,
      retention: { entries: messages, ageMs: 3_600_000, bytes },
    }),
  };
}
