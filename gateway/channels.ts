/** The channels service inside the gateway: a gRPC server in this process, on a socket that nobody but this user can reach. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Broker } from '../src/broker/broker.js';
import type { Described } from '../src/contract/described.js';
import { describeProtos } from '../src/contract/protos.js';
import { carriedPath } from '../src/contract/well_known.js';
import type { Config, UpstreamConfig } from './config.js';

/** The service of channels.proto, as contracts name it. */
export const CHANNELS_SERVICE = 'tidegate.v1.ChannelsService';
const PROTO = 'tidegate/v1/channels.proto';
/** For calls that are still running when the gateway has already ended all of its own. */
const GRACE_MS = 500;

/** A service that the gateway brings itself. */
export interface BuiltIn {
  readonly upstream: UpstreamConfig;
  /** Its part of the contract. */
  readonly described: Described;
}

export interface ChannelsServer extends BuiltIn {
  /** Its streams have to have ended, and its broker must still be open. */
  close(): Promise<void>;
}

/** The contract without anybody behind it: to be looked at. */
export function describeChannels(address = 'unix:/dev/null'): BuiltIn {
  const upstream: UpstreamConfig = {
    name: 'channels',
    address,
    services: [CHANNELS_SERVICE],
    trusted: false,
  };
  const path = carriedPath(PROTO);
  if (path === undefined) throw new Error(`${PROTO} is missing in this package`);
  const { files, ...described } = describeProtos({ protos: [path], includes: [] });
  return {
    upstream,
    described: {
      ...described,
      upstream: upstream.name,
      // What it imports are options, which are read without their declarations: others may bring other versions of them.
      files: files.filter(({ name }) => name === PROTO),
      services: new Set([CHANNELS_SERVICE]),
      partial: true,
    },
  };
}

/** Rejects when the socket cannot be made. */
export async function startChannelsServer(
  { channelRules }: Pick<Config, 'channelRules'>,
  broker: Broker,
  log: Logger,
): Promise<ChannelsServer> {
  // Only gateways that have channels carry the service.
  const { startChannels } = await import('../services/channels/serve.js');
  const folder = await mkdtemp(join(tmpdir(), 'tidegate-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await chmod(folder, 0o700);
    const server = await startChannels({
      broker,
      rules: channelRules,
      socket: join(folder, 'channels'),
      graceMs: GRACE_MS,
      report: (err) => log.error({ err }, 'channels'),
    });
    const close = async () => {
      await server.close();
      await remove();
    };
    return { ...describeChannels(server.address), close };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
