/** `tidegate serve`: runs a gateway until it is told to stop. */
import { isIPv6 } from 'node:net';
import { printProblem } from '../../src/contract/contract.js';
import { type Config, ConfigError } from '../config.js';
import { createGateway, type GatewayServer } from '../gateway.js';
import { NO_KEYS } from './check.js';
import { type Io, version } from './command.js';
import { formatRoutes } from './routes.js';
import { issueToken } from './token.js';

const TOKEN_HOURS = 24;
/** 128 plus the signal's number, as shells report it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
type Signal = keyof typeof EXIT_CODES;

/**
 * Resolves with 0 after the first signal, when all calls have ended or been cut; after a second one at once. Rejects
 * with ContractError, StatusError or, when it cannot listen, ConfigError.
 */
export async function serve(config: Config, io: Io): Promise<number> {
  const signals = listenForSignals(io);
  try {
    const started = await Promise.race([start(config, io), signals.first]);
    if (typeof started === 'string') return EXIT_CODES[started];
    started.log.info({ signal: await signals.first, drainMs: config.timeouts.drainMs }, 'draining');
    const ended = await Promise.race([started.close(), signals.second]);
    if (ended !== undefined) return EXIT_CODES[ended];
    started.log.info('stopped');
    return 0;
  } finally {
    signals.stop();
  }
}

async function start(config: Config, io: Io): Promise<GatewayServer> {
  const gateway = await createGateway(config);
  const { host, port } = await gateway.listen().catch(async (thrown: unknown) => {
    await gateway.close();
    throw new ConfigError([`cannot listen on ${printAddress(config)}: ${listenReason(thrown)}`], false);
  });
  const url = `http://${printAddress({ host, port })}`;
  gateway.log.info(
    { url, methods: gateway.table().contract.methods.length, version: version() },
    'listening',
  );
  for (const problem of gateway.table().shadowed) gateway.log.warn(`not served: ${printProblem(problem)}`);
  if (config.auth.keys.length === 0) gateway.log.warn(NO_KEYS);
  if (config.dev) io.out(greeting(config, gateway, url));
  return gateway;
}

function greeting(config: Config, gateway: GatewayServer, url: string): string {
  const { token } = issueToken(config, {
    subject: 'developer',
    roles: ['admin'],
    expiresInSeconds: TOKEN_HOURS * 3600,
  });
  return [
    '',
    formatRoutes(gateway.table()),
    '',
    `Development mode at ${url}. A token with the role admin for ${TOKEN_HOURS} hours:`,
    '',
    token,
    '',
  ].join('\n');
}

/** The first two signals, each as a promise that never rejects. */
function listenForSignals(io: Io) {
  const hearers: ((signal: Signal) => void)[] = [];
  const heard = () => new Promise<Signal>((resolve) => hearers.push(resolve));
  const stop = io.onSignal((signal) => hearers.shift()?.(signal));
  return { first: heard(), second: heard(), stop };
}

function listenReason(thrown: unknown): string {
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') return 'another program listens there; --port picks another port';
  if (code === 'EACCES') return 'permission denied';
  if (code === 'EADDRNOTAVAIL') return 'the address is not one of this machine';
  if (code === 'ENOTFOUND') return 'the host is not known';
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function printAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
