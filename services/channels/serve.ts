/** The Channels service on a server of its own: on a port, or on a socket that only this user can reach. */
import type { Broker } from '../../src/broker/broker.js';
import { createServer, type RunningServer, type ServerOptions } from '../server.js';
import { Channels } from './channels.js';
import { Presence } from './presence.js';
import type { ChannelRule } from './rules.js';
import { createChannelsService } from './service.js';

export interface ChannelsOptions extends ServerOptions {
  /** Stays open when the server closes. */
  readonly broker: Broker;
  /** Default none: permissions decide, and channels keep what they keep by default. */
  readonly rules?: readonly ChannelRule[];
  /** How long the members of a node that has died are still present, in ms; default 30 s. */
  readonly presenceTtlMs?: number;
}

/** Rejects when it cannot listen there. */
export async function startChannels(options: ChannelsOptions): Promise<RunningServer> {
  const { broker, rules = [], presenceTtlMs, ...where } = options;
  const { report = console.error } = where;
  const presence = new Presence(broker, { report, ...(presenceTtlMs !== undefined && { presenceTtlMs }) });
  const channels = new Channels(broker, rules);
  try {
    const server = await createServer(
      (handlers) => [createChannelsService({ channels, presence }, handlers)],
      where,
    );
    const close = async () => {
      await server.close();
      presence.close();
    };
    return { ...server, close };
  } catch (thrown) {
    presence.close();
    throw thrown;
  }
}
