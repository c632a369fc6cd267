/** One JetStream stream: made when it is first used, and again when it has gone. Its messages by subject, and what is done with them. */
import { randomUUID } from 'node:crypto';
import { BrokerError } from './broker.js';
import { ApiError, type NatsLink, NO_RESPONDERS } from './nats_connection.js';
import { nanos, openDelivery, type Stored } from './nats_delivery.js';

export interface StoreConfig {
  readonly name: string;
  readonly subjects: readonly string[];
  /** Of each subject, at most. */
  readonly messages: number;
  /** Default: for ever. */
  readonly ageMs?: number;
  /** For which the id of a message is remembered. */
  readonly idMs?: number;
  /** Where what was stored is told, with the same wildcard. */
  readonly told?: string;
}

/** Another message is the last one of the subject than was expected. */
export class Conflict extends Error {}

/** Sequences, the first and the last; without it, that of the last message there is. */
export interface Range {
  readonly from: number;
  readonly to?: number;
}

export interface PublishOptions {
  /** The sequence of the last message of the subject; 0 if there is none. */
  readonly expect: number;
  /** Stored once for the same id, whatever is expected. */
  readonly id?: string | undefined;
}

export interface Published {
  readonly seq: number;
  /** It was stored before. */
  readonly duplicate: boolean;
}

/** What the server says; see errors.json of nats-server. */
const NO_MESSAGE = 10037;
const NO_SEQUENCE = 10043;
/** With what has failed in words. */
const DELETE_FAILED = 10057;
const WRONG_SEQUENCE = 10071;
const NO_STREAM = 10059;
const NAME_IN_USE = 10058;

/** A consumer that nobody asks is removed by the server. */
const CONSUMER_MS = 10_000;
/** Pulls without a message though there are some, before the server counts as confused. */
const MOST_IDLE = 5;
/** How long a pull waits for the first message, in ms; after one in vain twice as long, up to a part of what a call may take: the server may be busy. */
const PULL_MS = 200;
const LONGEST_PULL = 0.5;
/** The server's clock is looked at again after this long. */
const CLOCK_MS = 20_000;

export class NatsStore {
  #ready: Promise<void> | undefined;
  #readyOf = -1;
  #incarnation = 0;
  /** The server's time less that of this process, and when that was seen. */
  #clock: { readonly ahead: number; readonly at: number } | undefined;

  constructor(
    readonly link: NatsLink,
    private readonly config: StoreConfig,
  ) {}

  /** Another number after the connection was lost, or the stream: then nothing that was known of it has to be true still. */
  get incarnation(): number {
    return this.#incarnation + this.link.times();
  }

  /** Rejects with Conflict. */
  async publish(subject: string, data: Uint8Array, { expect, id }: PublishOptions): Promise<Published> {
    const headers: Record<string, string> = { 'Nats-Expected-Last-Subject-Sequence': String(expect) };
    if (id !== undefined) headers['Nats-Msg-Id'] = id;
    try {
      const { seq, duplicate = false } = await this.#with(() =>
        this.link.ask<{ seq: number; duplicate?: boolean }>(subject, data, headers),
      );
      return { seq, duplicate };
    } catch (error) {
      throw error instanceof ApiError && error.code === WRONG_SEQUENCE ? new Conflict(error.message) : error;
    }
  }

  last(subject: string): Promise<Stored | undefined> {
    return this.#get({ last_by_subj: subject });
  }

  /** The first one with this sequence or a greater one. */
  next(subject: string, seq: number): Promise<Stored | undefined> {
    return this.#get({ next_by_subj: subject, seq });
  }

  at(seq: number): Promise<Stored | undefined> {
    return this.#get({ seq });
  }

  /** Removes the messages of a subject with smaller sequences. */
  async purge(subject: string, before: number): Promise<void> {
    const { name } = this.config;
    await this.#with(() => this.link.api(`STREAM.PURGE.${name}`, { filter: subject, seq: before }));
  }

  /** Whether it was there: true for one of those who ask. */
  async remove(seq: number): Promise<boolean> {
    const { name } = this.config;
    try {
      await this.#with(() => this.link.api(`STREAM.MSG.DELETE.${name}`, { seq, no_erase: true }));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /**
   * The messages from a sequence on, in order, until `take` answers false. Without `to` up to the last one, also if it is stored meanwhile: a
   * subject of one message whose message is replaced while this goes on is not passed over.
   */
  async scan(filter: string, { from, to }: Range, take: (message: Stored) => boolean): Promise<void> {
    let end = to ?? (await this.last(filter))?.seq ?? 0;
    if (end < from) return;
    const stream = this.config.name;
    const name = `r${randomUUID()}`;
    await this.#createConsumer(name, filter, from);
    const client = await this.link.use(`reading ${stream}`, async (client) => client);
    const delivery = openDelivery(client, `${stream}.${name}`, this.link.mostBytes() * 2);
    let read = from - 1;
    try {
      for (let idle = 0; read < end && idle < MOST_IDLE; ) {
        const waitMs = Math.min(PULL_MS * 2 ** idle, this.link.callMs * LONGEST_PULL);
        const messages = await this.link.use(`reading ${stream}`, () => delivery.next(waitMs));
        for (const message of messages) {
          read = message.seq;
          if (!take(message)) return;
        }
        if (read >= end) end = to ?? (await this.last(filter))?.seq ?? 0;
        if (read >= end || messages.length > 0) continue;
        // The last ones may have been removed meanwhile; or the server was busy.
        if (!(await this.next(filter, read + 1))) return;
        idle++;
      }
    } finally {
      delivery.close();
      this.#dropConsumer(name);
    }
    if (read < end) throw new BrokerError(`${stream} has messages that it does not show`);
  }

  /** Now, by the server's clock or a little before it; in ms since the epoch. */
  async now(): Promise<number> {
    if (!this.#clock || performance.now() - this.#clock.at > CLOCK_MS) {
      // Nothing else of the API of all supported versions tells the time.
      const name = `c${randomUUID()}`;
      await this.#createConsumer(name, this.config.subjects[0] ?? '', 1);
      this.#dropConsumer(name);
    }
    return performance.now() + (this.#clock?.ahead ?? 0);
  }

  async #createConsumer(name: string, filter: string, from: number): Promise<void> {
    const stream = this.config.name;
    const config = {
      name,
      filter_subject: filter,
      deliver_policy: 'by_start_sequence',
      opt_start_seq: Math.max(1, from),
      ack_policy: 'none',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(CONSUMER_MS),
    };
    const created = await this.#with(() =>
      this.link.api<{ created: string }>(`CONSUMER.CREATE.${stream}.${name}.${filter}`, {
        stream_name: stream,
        config,
      }),
    );
    const at = performance.now();
    this.#clock = { ahead: Date.parse(created.created) - at, at };
  }

  #dropConsumer(name: string): void {
    const verb = `CONSUMER.DELETE.${this.config.name}.${name}`;
    this.link.use(verb, async (client) => client.publish(`$JS.API.${verb}`)).catch(() => {});
  }

  async #get(body: object): Promise<Stored | undefined> {
    try {
      const { message } = await this.#with(() =>
        this.link.api<{ message: { subject: string; seq: number; time: string; data?: string } }>(
          `STREAM.MSG.GET.${this.config.name}`,
          body,
        ),
      );
      const { subject, seq, time, data = '' } = message;
      return { subject, seq, time: Date.parse(time), data: Buffer.from(data, 'base64') };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Resolves when the stream is there. */
  ready(): Promise<void> {
    const times = this.link.times();
    if (!this.#ready || this.#readyOf !== times) {
      this.#readyOf = times;
      this.#ready = this.#make();
      this.#ready.catch(() => {
        this.#ready = undefined;
      });
    }
    return this.#ready;
  }

  async #with<T>(work: () => Promise<T>): Promise<T> {
    await this.ready();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiError && (error.code === NO_STREAM || error.code === NO_RESPONDERS)))
        throw error;
      // Somebody has removed it while we were connected.
      this.#ready = undefined;
      this.#incarnation += 1;
      await this.ready();
      return work();
    }
  }

  async #make(): Promise<void> {
    const { name, subjects, messages, ageMs, idMs, told } = this.config;
    const wanted = {
      name,
      subjects,
      retention: 'limits',
      discard: 'old',
      storage: 'file',
      max_msgs_per_subject: messages,
      max_age: ageMs === undefined ? 0 : nanos(ageMs),
      // Zero is two minutes, which must not be more than the age.
      duplicate_window: idMs === undefined ? 0 : nanos(idMs),
      ...(told && { republish: { src: subjects[0], dest: told } }),
    };
    try {
      await this.link.api(`STREAM.CREATE.${name}`, { ...wanted, num_replicas: 1 });
    } catch (error) {
      if (!(error instanceof ApiError && error.code === NAME_IN_USE)) throw error;
      // With another retention, or with what its operator has changed: replicas, storage, placement.
      const { config } = await this.link.api<{ config: object & { storage: string } }>(`STREAM.INFO.${name}`);
      await this.link.api(`STREAM.UPDATE.${name}`, { ...config, ...wanted, storage: config.storage });
    }
  }
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  const { code, message } = error;
  return (
    code === NO_MESSAGE ||
    code === NO_SEQUENCE ||
    (code === DELETE_FAILED && message.endsWith('no message found'))
  );
}
