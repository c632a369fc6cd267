/** The `tidegate` command: finds the subcommand, reads its flags, and turns what goes wrong into text and an exit code. */
import { createRequire } from 'node:module';
import { ContractError } from '../../src/contract/contract.js';
import { suggest } from '../../src/nearest.js';
import { StatusError } from '../../src/status.js';
import { type ParsedFlags, parseFlags } from '../config/flags.js';
import { type Flag, SETTING_GROUPS, SETTINGS } from '../config/settings.js';
import type { Environment } from '../config/sources.js';
import { type Config, ConfigError, type LoadOptions, loadConfig } from '../config.js';
import { formatHelp, formatOverview } from './help.js';

/** The world outside of a command. */
export interface Io {
  /** A line of output; its newline is added. */
  readonly out: (line: string) => void;
  /** A line for a person: problems, notes. */
  readonly err: (line: string) => void;
  /** Hears of SIGTERM and SIGINT from now on, which then do not end the process by themselves. */
  readonly onSignal: (listener: (signal: 'SIGTERM' | 'SIGINT') => void) => void;
  /** Hears of SIGHUP from now on, which then does not end the process by itself; absent where there is no such signal. */
  readonly onReload?: (listener: () => void) => void;
}

/** One subcommand. */
export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Lines of the help between the usage and the flags. */
  readonly description: readonly string[];
  /** Its flags besides the settings. */
  readonly ownFlags: readonly Flag[];
  /** The settings that it takes as flags; all of them are read from the environment and the file. */
  readonly settings: readonly string[] | 'all';
  /** Whether upstreams must be configured; see LoadOptions. */
  readonly upstreams: NonNullable<LoadOptions['upstreams']>;
  /** Resolves with the exit code. */
  run(config: Config, flags: ParsedFlags, io: Io, reread: () => Config): Promise<number>;
}

const COMMANDS: readonly Command[] = [
  {
    name: 'serve',
    summary: 'serve the contract of gRPC services as REST, SSE and WebSocket',
    description: [
      'SIGTERM and SIGINT let running calls end within --drain; a second signal ends at once. SIGHUP looks for a new contract,',
      'with roles and rules about access, and opens the audit log anew.',
      '',
      'Example: tidegate serve --dev --upstream localhost:50051',
    ],
    ownFlags: [],
    settings: 'all',
    upstreams: 'required',
    run: async (config, _flags, io, reread) => (await import('./serve.js')).serve(config, io, reread),
  },
  {
    name: 'routes',
    summary: 'print every route that serve would serve, and its doors',
    description: ['Example: tidegate routes --proto ./proto'],
    ownFlags: [{ flag: 'json', help: 'print JSON instead of a table' }],
    settings: 'all',
    upstreams: 'for-reflection',
    run: async (config, flags, io) =>
      (await import('./routes.js')).routes(config, { json: isJson(flags) }, io),
  },
  {
    name: 'check',
    summary:
      'validate the configuration and the contract, say all that is wrong, and print who may call what',
    description: [
      'Connects to no service, except to read its contract when neither --proto nor --descriptors is given.',
      'The table has every method and every role: yes, - for no, or own where a field of the request must hold a claim.',
    ],
    ownFlags: [{ flag: 'json', help: 'print the table as JSON' }],
    settings: 'all',
    upstreams: 'required',
    run: async (config, flags, io) => (await import('./check.js')).check(config, { json: isJson(flags) }, io),
  },
  {
    name: 'token',
    summary: 'print a token for development or tests, alone on the last line',
    description: [
      'Signed with the configured HS256 secret, or without one with the public development secret, which serve',
      'accepts with --dev alone.',
      '',
      'Example: tidegate token --sub u1 --role admin',
    ],
    ownFlags: [
      { flag: 'sub', value: 'SUBJECT', help: 'who the token is for; required' },
      { flag: 'role', value: 'ROLE', repeatable: true, help: 'role of the bearer' },
      { flag: 'permission', value: 'PERMISSION', repeatable: true, help: 'permission of the bearer' },
      { flag: 'expires', value: 'DURATION', help: 'how long it is valid, for example 30m (default 24h)' },
    ],
    settings: ['config', 'jwt-secret-file', 'issuer', 'audience'],
    upstreams: 'optional',
    run: async (config, flags, io) => (await import('./token.js')).token(config, flags, io),
  },
];

const isJson = ({ values }: ParsedFlags): boolean => values.get('json')?.at(-1) === 'true';

const HELP: Flag = { flag: 'help', help: 'print this help' };

/**
 * Runs a command line without the program's name. Resolves with the exit code: 0 done, 1 it failed, 2 the command line
 * was not understood. Rejects only for a bug.
 */
export async function run(argv: readonly string[], env: Environment, io: Io): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--version' && rest.length === 0) return print(io, `tidegate ${version()}`);
  if (name === '--help' || name === '-h') return print(io, formatOverview(COMMANDS));
  if (name === 'help') return help(rest, io);
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return runCommand(command, rest, env, io);
  if (name === undefined) io.err(formatOverview(COMMANDS));
  else if (name.startsWith('-')) io.err(`expected a command before ${name}: ${names().join(', ')}`);
  else io.err(unknown(name));
  return 2;
}

/** The version of this package. */
export function version(): string {
  const { version } = createRequire(import.meta.url)('tidegate/package.json') as { version: string };
  return version;
}

async function runCommand(
  command: Command,
  argv: readonly string[],
  env: Environment,
  io: Io,
): Promise<number> {
  const flags = [...settingsOf(command), ...command.ownFlags, HELP];
  const parsed = parseFlags(argv, flags);
  if (parsed.values.has('help')) return print(io, helpOf(command));
  let config: Config | undefined;
  try {
    const load = () => loadConfig({ argv, env, flags, upstreams: command.upstreams });
    config = load();
    return await command.run(config, parsed, io, load);
  } catch (thrown) {
    const problems = problemsOf(thrown);
    if (problems === undefined) throw thrown;
    for (const problem of problems) io.err(problem);
    if (config && thrown instanceof ContractError) noteUpstreams(config, io);
    if (!(thrown instanceof ConfigError && thrown.usage)) return 1;
    io.err(`see: tidegate help ${command.name}`);
    return 2;
  }
}

/** What a person can put right, one problem a line; undefined for a bug of ours. */
function problemsOf(thrown: unknown): readonly string[] | undefined {
  if (thrown instanceof ConfigError) return thrown.problems;
  if (thrown instanceof ContractError || thrown instanceof StatusError) return thrown.message.split('\n');
  return undefined;
}

/** Problems give upstreams by name, as clients may see them too; who runs the command wants to know where it asked. */
function noteUpstreams({ upstreams, contract }: Config, io: Io): void {
  if (contract.protos.length + contract.descriptors.length > 0) return;
  io.err(`asked: ${upstreams.map(({ name, address }) => `${name} at ${address}`).join(', ')}`);
}

function settingsOf({ settings }: Command) {
  return settings === 'all' ? SETTINGS : SETTINGS.filter(({ flag }) => settings.includes(flag));
}

function help([name]: readonly string[], io: Io): number {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return print(io, helpOf(command));
  if (name === undefined) return print(io, formatOverview(COMMANDS));
  io.err(unknown(name));
  return 2;
}

function helpOf(command: Command): string {
  const taken = new Set(settingsOf(command));
  const groups = SETTING_GROUPS.map(({ title, settings }) => ({
    title,
    settings: settings.filter((setting) => taken.has(setting)),
  }));
  return formatHelp(command, [...command.ownFlags, HELP], groups);
}

const names = () => COMMANDS.map(({ name }) => name);

function unknown(name: string): string {
  return `unknown command '${name}'${suggest(name, names()) || `; commands: ${names().join(', ')}`}`;
}

function print(io: Io, text: string): number {
  io.out(text);
  return 0;
}
