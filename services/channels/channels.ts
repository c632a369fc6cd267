/** The events of channels: publishing, following and reading them, whoever asks. Rights are the service's business. */
import { createHash } from 'node:crypto';
import type { Broker, Logs } from '../../src/broker/broker.js';
import { invalid, type Violation } from '../errors.js';
import { check } from '../validation.js';
import { type HistoryQuery, readHistory } from './history.js';
import { checkName } from './name.js';
import { printPosition } from './position.js';
import { encodeEvent, encodeRecord, type Page, type Publication } from './record.js';
import { answered } from './refusals.js';
import { type ChannelRule, type ChannelSettings, settingsOf } from './rules.js';
import { followTopics, newNonce, type Topic, topicOf } from './topic.js';
import { faultOf } from './value.js';

const MOST_DATA = 64 * 1024;
const MOST_BATCH = 100;
const MOST_BATCH_BYTES = 1024 * 1024;
/** So that the position of a subscription fits a cursor of the gateway, and an URL. */
const MOST_CHANNELS = 32;
const TYPE = /^[A-Za-z0-9_.:-]{0,64}$/;
const LONGEST_KEY = 200;

export interface Published {
  readonly position: string;
  readonly duplicate: boolean;
}

export interface Subscription {
  /** Where it begins. */
  readonly start: string;
  /** Encoded tidegate.v1.Event, one by one. */
  readonly events: AsyncIterable<Uint8Array>;
}

/** Every method throws ServiceErrors as channels.proto says. */
export class Channels {
  readonly #spaces = new Map<string, Logs>();

  constructor(
    private readonly broker: Broker,
    private readonly rules: readonly ChannelRule[],
  ) {}

  settings(channel: string): ChannelSettings {
    return settingsOf(this.rules, channel);
  }

  /** In order within each channel; `publisher` is empty for nobody. The results are in the order of the messages. */
  async publish(messages: readonly Publication[], publisher: string): Promise<Published[]> {
    const results: Published[] = new Array(messages.length);
    const indexes = new Map<string, number[]>();
    for (const [index, { channel }] of messages.entries()) {
      const own = indexes.get(channel) ?? [];
      own.push(index);
      indexes.set(channel, own);
    }
    const publishing = [...indexes].map(async ([channel, own]) => {
      const topic = this.#topic(channel);
      for (const run of runsOf(own, messages)) {
        const published = await this.#append(
          topic,
          run.map((index) => messages[index] as Publication),
          publisher,
        );
        for (const [at, index] of run.entries()) results[index] = published[at] as Published;
      }
    });
    await Promise.all(publishing);
    return results;
  }

  async #append(
    topic: Topic,
    messages: readonly Publication[],
    publisher: string,
  ): Promise<readonly Published[]> {
    const entries = messages.map((message) => ({
      nonce: newNonce(),
      data: encodeRecord(message, publisher),
    }));
    const [key] = messages.map(({ idempotencyKey }) => idempotencyKey);
    const options = key ? { key: hashOf(publisher, key) } : {};
    const { epoch, positions, duplicate } = await answered(topic.logs.append(topic.name, entries, options));
    return positions.map((position) => ({
      position: printPosition(topic.key, { epoch, ...position }),
      duplicate,
    }));
  }

  async subscribe(
    channels: readonly string[],
    after: string | undefined,
    signal: AbortSignal,
  ): Promise<Subscription> {
    const topics = channels.map((channel) => this.#topic(channel));
    const { start, entries } = await followTopics(topics, { after, signal });
    return { start, events: eventsOf(entries) };
  }

  history(channel: string, query: HistoryQuery): Promise<Page> {
    return readHistory(this.#topic(channel), query);
  }

  #topic(channel: string): Topic {
    const { entries, ageMs, bytes } = this.settings(channel).retention;
    // One space has one retention: a channel that is given another one begins anew, and its subscribers are told so.
    const space = `channels.${entries}-${ageMs}-${bytes}`;
    const logs = this.#spaces.get(space) ?? this.broker.logs(space, { entries, ageMs, bytes });
    this.#spaces.set(space, logs);
    return topicOf(logs, 'channel', channel);
  }
}

async function* eventsOf(
  entries: Awaited<ReturnType<typeof followTopics>>['entries'],
): AsyncGenerator<Uint8Array, void> {
  for await (const { topic, entry, position } of entries) yield encodeEvent(entry, topic.name, position);
}

/** Indexes that can be appended together: a message with a key has to be by itself. */
function runsOf(indexes: readonly number[], messages: readonly Publication[]): number[][] {
  const runs: number[][] = [];
  let open: number[] | undefined;
  for (const index of indexes) {
    const hasKey = messages[index]?.idempotencyKey !== '';
    if (open === undefined || hasKey) {
      const run = [index];
      runs.push(run);
      open = hasKey ? undefined : run;
    } else open.push(index);
  }
  return runs;
}

/** Of one length, and nobody's key is another one's. */
function hashOf(publisher: string, key: string): string {
  return createHash('sha256')
    .update(JSON.stringify([publisher, key]))
    .digest('base64url');
}

/** Throws INVALID_ARGUMENT with all that is wrong with a message. `at` goes before the names of its fields. */
export function checkPublication({ channel, data, type, idempotencyKey }: Publication, at = ''): void {
  checkName(channel, `${at}channel`);
  const violations: Violation[] = [];
  const note = (field: string, description: string) =>
    violations.push({ field: `${at}${field}`, description });
  if (data === undefined) note('data', 'is required');
  else if (data.length > MOST_DATA) note('data', `must have at most ${MOST_DATA} bytes`);
  else {
    const fault = faultOf(data);
    if (fault !== undefined) note('data', fault);
  }
  if (!TYPE.test(type)) note('type', 'must have at most 64 letters, digits, `_`, `-`, `.` and `:`');
  if (idempotencyKey.length > LONGEST_KEY)
    note('idempotency_key', `must have at most ${LONGEST_KEY} characters`);
  const [first, ...others] = violations;
  if (first !== undefined) throw invalid([first, ...others]);
}

export function checkBatch(messages: readonly Publication[]): void {
  const { length } = messages;
  check(length >= 1 && length <= MOST_BATCH, 'messages', `must be 1 to ${MOST_BATCH}`);
  for (const [index, message] of messages.entries()) checkPublication(message, `messages[${index}].`);
  const bytes = messages.reduce((sum, { data }) => sum + (data?.length ?? 0), 0);
  check(
    bytes <= MOST_BATCH_BYTES,
    'messages',
    `must have at most ${MOST_BATCH_BYTES} bytes of data together`,
  );
}

/** The channels of a request, each once and sorted, so that equal sets have equal positions. */
export function checkChannels(channel: string, channels: readonly string[]): string[] {
  if (channel !== '' || channels.length === 0) checkName(channel);
  for (const [index, name] of channels.entries()) checkName(name, `channels[${index}]`);
  const names = new Set(channel === '' ? channels : [channel, ...channels]);
  check(names.size <= MOST_CHANNELS, 'channels', `must be at most ${MOST_CHANNELS}`);
  return [...names].sort();
}
