/** A gateway for tests: in this process, on a free port, quiet, with short timeouts. */

import { type Config, DEVELOPMENT_SECRET, loadConfig } from '../../gateway/config.js';
import { createGateway, type GatewayServer } from '../../gateway/gateway.js';
import { signToken } from '../../gateway/http/token.js';
import { PROBE_PROTO } from './probe.js';

export interface RunningGateway {
  readonly port: number;
  readonly gateway: GatewayServer;
  close(): Promise<void>;
}

/** In front of `address`, serving probe.proto; other flags of `tidegate serve` may be given, and what has no flag changed. */
export async function startGateway(
  address: string,
  flags: readonly string[] = ['--proto', PROBE_PROTO],
  change: (config: Config) => Config = (config) => config,
): Promise<RunningGateway> {
  const argv = [
    '--dev',
    '--port',
    '0',
    '--log-level',
    'silent',
    '--upstream',
    address,
    '--drain',
    '1s',
    ...flags,
  ];
  const gateway = await createGateway(change(loadConfig({ argv, env: {} })));
  const { port } = await gateway.listen();
  return { port, gateway, close: () => gateway.close() };
}

/** A token that a gateway in development mode accepts, for one hour. */
export function tokenFor(subject: string, permissions: readonly string[] = []): string {
  return signToken({ subject, permissions, roles: [], expiresInSeconds: 3600, key: DEVELOPMENT_SECRET });
}
