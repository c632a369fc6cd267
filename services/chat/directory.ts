/** Which rooms there are: a log of their openings, which every node reads. */
import { status } from '@grpc/grpc-js';
import { Room as RoomState } from '../../gen/chat/v1/chat.js';
import { FOR_EVER_MS, type Hub } from '../channels/hub.js';
import { NumberedLog, numberedOf } from '../channels/numbered.js';
import { readStretch, type Stretch } from '../channels/stretch.js';
import type { LogPosition } from '../channels/topic.js';
import { alreadyExists, exhausted, ServiceError } from '../errors.js';

export type About = Pick<RoomState, 'title' | 'creator' | 'createTime'>;

/** There from the beginning. */
const LOBBY = 'lobby';
const PAGE = 1_000;

export class Directory {
  readonly #rooms = new Map<string, About>();
  readonly #log: NumberedLog;
  /** How far the log was read. */
  #position: LogPosition | undefined;
  #reading: Promise<void> = Promise.resolve();

  /** `most`: how many rooms there can be. */
  constructor(
    hub: Hub,
    private readonly most: number,
  ) {
    const retention = { entries: most, ageMs: FOR_EVER_MS, bytes: most * 8 * 1024 };
    this.#log = new NumberedLog(hub.topic({ space: 'chat-rooms', kind: 'rooms', name: 'rooms', retention }));
    this.#forget();
  }

  /** Undefined when there is none of that name. */
  async find(name: string): Promise<About | undefined> {
    if (!this.#rooms.has(name)) await this.#read();
    return this.#rooms.get(name);
  }

  /** ALREADY_EXISTS for a name that is taken, RESOURCE_EXHAUSTED when there are as many rooms as can be. */
  async add(name: string, title: string, creator: string): Promise<void> {
    await this.#log.append(async () => {
      await this.#read();
      if (this.#rooms.has(name)) throw alreadyExists('room', name, `there is a room ${name} already`);
      if (this.#rooms.size >= this.most) {
        throw exhausted(`no more than ${this.most} rooms can be open`, 60_000);
      }
      return RoomState.encode(RoomState.fromPartial({ roomId: name, title, creator })).finish();
    });
  }

  #forget(): void {
    this.#position = undefined;
    this.#rooms.clear();
    this.#rooms.set(LOBBY, { title: 'Lobby', creator: 'system', createTime: new Date() });
  }

  /** Takes in what has been opened since the last time. */
  #read(): Promise<void> {
    const read = () => this.#readOn();
    this.#reading = this.#reading.then(read, read);
    return this.#reading;
  }

  async #readOn(): Promise<void> {
    for (let more = true; more; ) {
      const stretch = await this.#next();
      for (const entry of stretch.entries) {
        const { data, at } = numberedOf(entry);
        const { roomId, title, creator } = RoomState.decode(data);
        this.#rooms.set(roomId, { title, creator, createTime: at });
        this.#position = { epoch: stretch.tail.epoch, offset: entry.offset, nonce: entry.nonce };
      }
      more = stretch.more;
    }
  }

  async #next(): Promise<Stretch> {
    const query = { startTime: undefined, endTime: undefined, limit: PAGE, reverse: false };
    const { topic } = this.#log;
    try {
      return await readStretch(topic, { ...query, after: this.#position });
    } catch (thrown) {
      if (!(thrown instanceof ServiceError && thrown.code === status.OUT_OF_RANGE)) throw thrown;
      // The broker has lost rooms: those that are left are all there are.
      this.#forget();
      return readStretch(topic, { ...query, after: undefined });
    }
  }
}
