/** `tidegate serve`: runs a gateway until it is told to stop. */
import { isIPv6 } from 'node:net';
import { printProblem } from '../../src/contract/contract.js';
import { type Config, ConfigError } from '../config.js';
import { createGateway, type GatewayServer } from '../gateway.js';
import { NO_KEYS } from './check.js';
import { type Io, version } from './command.js';
import { releaseGarbage } from './garbage.js';
import { formatRoutes } from './routes.js';
import { issueToken } from './token.js';

const TOKEN_HOURS = 24;
/** One Ctrl-C arrives twice below `npm`: from the terminal, and passed on by npm. */
const ECHO_MS = 500;
/** 128 plus the signal's number, as shells report it. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
type Signal = keyof typeof EXIT_CODES;

/**
 * Resolves with 0 after the first signal, when all calls have ended or been cut; after a second one at once. Rejects
 * with ContractError, StatusError or, when it cannot listen, ConfigError.
 */
export async function serve(config: Config, io: Io, reread?: () => Config): Promise<number> {
  const { first, second } = listenForSignals(io);
  const starting = start(config, io, reread);
  // Before the first contract is there, there is nothing to reload; what goes wrong is logged by the gateway.
  io.onReload?.(() => void starting.then((gateway) => gateway.reload('signal')).catch(() => {}));
  const started = await Promise.race([starting, first]);
  if (typeof started === 'string') return EXIT_CODES[started];
  started.log.info({ signal: await first, drainMs: config.timeouts.drainMs }, 'draining');
  const ended = await Promise.race([started.close(), second]);
  if (ended !== undefined) return EXIT_CODES[ended];
  started.log.info('stopped');
  return 0;
}

async function start(config: Config, io: Io, reread?: () => Config): Promise<GatewayServer> {
  const gateway = await createGateway(config, { reread });
  releaseGarbage();
  const { host, port } = await gateway.listen().catch(async (thrown: unknown) => {
    await gateway.close();
    throw new ConfigError([`cannot listen on ${printAddress(config)}: ${listenReason(thrown)}`], false);
  });
  const url = `${config.tls === undefined ? 'http' : 'https'}://${printAddress({ host, port })}`;
  gateway.log.info(
    { url, methods: gateway.table().contract.methods.length, version: version() },
    'listening',
  );
  for (const problem of gateway.table().shadowed) gateway.log.warn(`not served: ${printProblem(problem)}`);
  for (const warning of gateway.table().contract.warnings ?? []) gateway.log.warn(warning);
  if (config.auth.keys.length + config.auth.issuers.length === 0) gateway.log.warn(NO_KEYS);
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
function listenForSignals(io: Io): { readonly first: Promise<Signal>; readonly second: Promise<Signal> } {
  const hearers: ((signal: Signal) => void)[] = [];
  const heard = () => new Promise<Signal>((resolve) => hearers.push(resolve));
  let last: Signal | undefined;
  let at = 0;
  io.onSignal((signal) => {
    if (signal === last && performance.now() - at < ECHO_MS) return;
    [last, at] = [signal, performance.now()];
    hearers.shift()?.(signal);
  });
  return { first: heard(), second: heard() };
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
