/** A contract from a running service, by gRPC server reflection (grpc/reflection/v1/reflection.proto). */
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import type { Invoke } from '../call.js';
import type { Method } from '../method.js';
import { Code, StatusError } from '../status.js';
import { type ContractUpstream, claims } from './assign.js';
import { ContractError } from './contract.js';
import { separateCycles } from './cycles.js';
import type { Described } from './described.js';
import { brokenReflection } from './merge.js';
import { missingNames, resolveNames, restoreShape } from './rebuilt.js';
import { type Answer, malformed, reflectionMethod, Talk } from './reflection_talk.js';
import { checkRules } from './rules.js';
import { wellKnownFile, wellKnownFiles } from './well_known.js';

export interface ReflectionOptions {
  /** Who is asked. With `services`, only those are described. */
  readonly upstream: ContractUpstream;
  /** For all questions together, in ms; default 10 s. */
  readonly timeoutMs?: number;
}

const VERSIONS = ['v1', 'v1alpha'] as const;

/** Infrastructure that every server may have; a gateway has its own. */
const NOT_SERVED = /^grpc\.(reflection|health)\./;

/**
 * Asks an upstream for its services and their files, in v1 or, where that is unimplemented, v1alpha (the messages are
 * the same). Throws ContractError that names the upstream; it is `temporary` when the upstream cannot be reached.
 */
export async function describeByReflection(
  invoke: Invoke,
  { upstream, timeoutMs = 10_000 }: ReflectionOptions,
): Promise<Described> {
  const stop = new AbortController();
  const late = new StatusError(Code.DEADLINE_EXCEEDED, `no answer within ${timeoutMs} ms`);
  const timer = setTimeout(() => stop.abort(late), timeoutMs);
  const stopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason), { once: true });
  });
  try {
    return await Promise.race([askVersions(invoke, upstream, stop.signal), stopped]);
  } catch (error) {
    throw error instanceof ContractError ? error : new ContractError([problemOf(error, upstream)]);
  } finally {
    clearTimeout(timer);
    // Ends the call where it is still open; nobody waits for `stopped` any more.
    stopped.catch(() => {});
    stop.abort(new StatusError(Code.CANCELLED, 'reflection is done'));
  }
}

/** Where a server describes its methods, but none with a route: a line for each such upstream. */
export function reflectionWarnings(parts: readonly Described[], methods: readonly Method[]): string[] {
  return parts.flatMap(({ upstream, services }) => {
    const own = methods.filter(({ service }) => services.has(service));
    if (upstream === undefined || own.length === 0 || own.some(({ routes }) => routes.length > 0)) return [];
    return [
      `upstream ${upstream}: its server reflection tells no google.api.http options, so its methods are served by name alone (POST /pkg.Service/Method). Some servers lose options there, those with @grpc/reflection all: --proto or --descriptors gives the contract as it is written`,
    ];
  });
}

function problemOf(error: unknown, { name }: ContractUpstream): { problem: string; temporary?: boolean } {
  const status = StatusError.from(error);
  if (status.code === Code.UNIMPLEMENTED) {
    const problem = `upstream ${name} does not offer server reflection: switch it on there, or give --proto or --descriptors`;
    return { problem };
  }
  const why = error instanceof StatusError ? `${status.row.name}: ${status.message}` : String(error);
  const problem = `upstream ${name} could not be asked for its contract by server reflection: ${why}`;
  return { problem, ...(status.row.retryable && { temporary: true }) };
}

async function askVersions(
  invoke: Invoke,
  upstream: ContractUpstream,
  signal: AbortSignal,
): Promise<Described> {
  for (const version of VERSIONS) {
    const talk = new Talk(invoke, reflectionMethod(version, upstream.name), signal);
    try {
      return await describe(talk, upstream);
    } catch (error) {
      const last = version === VERSIONS[VERSIONS.length - 1];
      if (last || !(error instanceof StatusError) || error.code !== Code.UNIMPLEMENTED) throw error;
    } finally {
      talk.end();
    }
  }
  throw new StatusError(Code.UNIMPLEMENTED, 'no version of server reflection');
}

async function describe(talk: Talk, upstream: ContractUpstream): Promise<Described> {
  const listed = await talk.listServices();
  const served = listed
    .filter((symbol) => !NOT_SERVED.test(symbol))
    .filter((symbol) => upstream.services.length === 0 || claims(upstream, serviceName(symbol)));
  const files = new Files();
  for (const answer of await talk.ask(served.map((symbol) => ({ symbol })))) {
    if ('error' in answer)
      throw malformed(`it lists services whose files it does not have (${answer.error})`);
    files.add(answer.files);
  }
  await askImports(talk, files);
  // Where the files do not say what they import, or not truly.
  for (let names = files.missingTypes(); names.length > 0; names = files.missingTypes()) {
    for (const answer of await talk.ask(names.map((symbol) => ({ symbol }))))
      if ('files' in answer) files.add(answer.files);
    await askImports(talk, files);
  }
  const described = files.all();
  const problems = checkRules(described, { lenient: true });
  if (problems.length > 0) throw new ContractError([brokenReflection(upstream.name, problems)]);
  return {
    origin: `upstream ${upstream.name}`,
    files: described,
    services: new Set(served.map(serviceName)),
    upstream: upstream.name,
    partial: true,
  };
}

/** @grpc/reflection puts a dot before the name of a service without a package, and knows it by no other. */
const serviceName = (symbol: string) => symbol.replace(/^\./, '');

async function askImports(talk: Talk, files: Files): Promise<void> {
  for (let missing = files.missing(); missing.length > 0; missing = files.missing()) {
    const answers = await talk.ask(missing.map((file) => ({ file })));
    for (const [index, name] of missing.entries()) files.addImport(name, answers[index] as Answer);
  }
}

/**
 * The files collected so far. Servers answer with one file or with all that it imports, and some (Go's, with vendored
 * code) know a file by another name than its importers use, or not at all.
 */
class Files {
  readonly #files = new Map<string, FileDescriptorProto>();
  readonly #asked = new Set<string>();
  readonly #askedTypes = new Set<string>();
  readonly #renamed = new Map<string, string>();

  add(files: readonly FileDescriptorProto[]): void {
    for (const file of files) {
      if (this.#files.has(file.name)) continue;
      for (const part of restoreShape(file)) this.#files.set(part.name, part);
    }
  }

  addImport(name: string, answer: Answer): void {
    this.#asked.add(name);
    if ('error' in answer) return;
    this.add(answer.files);
    const [first] = answer.files;
    if (first && !answer.files.some((file) => file.name === name)) this.#renamed.set(name, first.name);
  }

  /** Imports that nobody has answered for yet. */
  missing(): string[] {
    const wanted = new Set([...this.#files.values()].flatMap((file) => file.dependency));
    return [...wanted].filter(
      (name) => !this.#files.has(name) && !this.#asked.has(name) && !wellKnownFile(name),
    );
  }

  /** Full names that nobody has answered for yet, and that types which no file declares may have. */
  missingTypes(): string[] {
    const names = [...missingNames([...this.#files.values()], wellKnownFiles())];
    const missing = names.filter((name) => !this.#askedTypes.has(name));
    for (const name of missing) this.#askedTypes.add(name);
    return missing;
  }

  all(): FileDescriptorProto[] {
    const files = [...this.#files.values()];
    for (const file of files) {
      file.dependency = file.dependency.map((name) => this.#renamed.get(name) ?? name);
    }
    resolveNames(files, wellKnownFiles());
    return separateCycles(files);
  }
}
