/** tidegate.v1.ChannelsService: rights and requests are checked here, before channels and presence are asked. */
import {
  ChannelsServiceService,
  type HistoryRequest,
  type PresenceRequest,
  type PublishBatchResponse,
  type PublishResponse,
  type SubscribeRequest,
  type WatchPresenceRequest,
} from '../../gen/tidegate/v1/channels.js';
import { type Caller, userOf } from '../caller.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { type Channels, checkBatch, checkChannels, checkPublication } from './channels.js';
import { checkName } from './name.js';
import type { Presence } from './presence.js';
import { decodeBatch, decodeJoin, decodePublication, encodePage } from './record.js';
import { type Action, checkRight } from './rules.js';

export interface ChannelsParts {
  readonly channels: Channels;
  readonly presence: Presence;
}

/** Events are encoded when they come here: what is in them is nobody's business but the subscriber's. */
const encoded = (message: Uint8Array): Buffer =>
  Buffer.from(message.buffer, message.byteOffset, message.length);

const definition = {
  ...ChannelsServiceService,
  publish: { ...ChannelsServiceService.publish, requestDeserialize: decodePublication },
  publishBatch: { ...ChannelsServiceService.publishBatch, requestDeserialize: decodeBatch },
  subscribe: { ...ChannelsServiceService.subscribe, responseSerialize: encoded },
  history: { ...ChannelsServiceService.history, responseSerialize: encoded },
  presence: { ...ChannelsServiceService.presence, responseSerialize: encoded },
  watchPresence: { ...ChannelsServiceService.watchPresence, responseSerialize: encoded },
  join: { ...ChannelsServiceService.join, requestDeserialize: decodeJoin, responseSerialize: encoded },
};

export function createChannelsService({ channels, presence }: ChannelsParts, handlers: Handlers): Service {
  const { unary, serverStream } = handlers;
  const allow = (action: Action, channel: string, caller: Caller) =>
    checkRight(channels.settings(channel), { action, channel }, caller);

  const implementation = {
    publish: unary(
      async (message: ReturnType<typeof decodePublication>, caller): Promise<PublishResponse> => {
        checkPublication(message);
        allow('publish', message.channel, caller);
        const [published] = await channels.publish([message], caller.userId);
        return published as PublishResponse;
      },
    ),
    publishBatch: unary(
      async (messages: ReturnType<typeof decodeBatch>, caller): Promise<PublishBatchResponse> => {
        checkBatch(messages);
        for (const { channel } of messages) allow('publish', channel, caller);
        return { results: await channels.publish(messages, caller.userId) };
      },
    ),
    subscribe: serverStream(
      async ({ channel, channels: others, after }: SubscribeRequest, { caller, signal, beginsAt }) => {
        const names = checkChannels(channel, others);
        for (const name of names) allow('subscribe', name, caller);
        const { start, events } = await channels.subscribe(names, after, signal);
        beginsAt(start);
        return events;
      },
    ),
    history: unary(async ({ channel, ...query }: HistoryRequest, caller) => {
      checkName(channel);
      allow('subscribe', channel, caller);
      return encodePage(await channels.history(channel, query));
    }),
    presence: unary(({ channel, ...query }: PresenceRequest, caller) => {
      checkName(channel);
      allow('presence', channel, caller);
      return presence.page(channel, query);
    }),
    watchPresence: serverStream(
      async ({ channel, after }: WatchPresenceRequest, { caller, signal, beginsAt }) => {
        checkName(channel);
        allow('presence', channel, caller);
        const { start, events } = await presence.watch(channel, after, signal);
        beginsAt(start);
        return events;
      },
    ),
    join: serverStream(async ({ channel, data }: ReturnType<typeof decodeJoin>, { caller, signal }) => {
      checkName(channel);
      const settings = channels.settings(channel);
      allow('join', channel, caller);
      const { events } = await presence.join({ channel, user: userOf(caller), data, settings }, signal);
      return events;
    }),
  };
  return { definition, implementation };
}
