/** A contract from a running service, by gRPC server reflection (grpc/reflection/v1/reflection.proto). */
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { EmptySchema, type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Call, Invoke, Message } from '../call.js';
import type { Method } from '../method.js';
import { ANONYMOUS } from '../principal.js';
import { Code, StatusError, statusOf } from '../status.js';
import { type ContractUpstream, claims } from './assign.js';
import { ContractError } from './contract.js';
import type { Described } from './described.js';
import { wellKnownFile } from './well_known.js';
import { bytesOf, numberOf, readFields, textOf, type WireField } from './wire.js';

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
    throw new ContractError([problemOf(error, upstream)]);
  } finally {
    clearTimeout(timer);
    // Ends the call where it is still open; nobody waits for `stopped` any more.
    stopped.catch(() => {});
    stop.abort(new StatusError(Code.CANCELLED, 'reflection is done'));
  }
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
    .filter((name) => !NOT_SERVED.test(name))
    .filter((name) => upstream.services.length === 0 || claims(upstream, name));
  const files = new Files();
  for (const answer of await talk.ask(served.map((symbol) => ({ symbol })))) {
    if ('error' in answer)
      throw malformed(`it lists services whose files it does not have (${answer.error})`);
    files.add(answer.files);
  }
  for (let missing = files.missing(); missing.length > 0; missing = files.missing()) {
    const answers = await talk.ask(missing.map((file) => ({ file })));
    for (const [index, name] of missing.entries()) files.addImport(name, answers[index] as Answer);
  }
  return {
    origin: `upstream ${upstream.name}`,
    files: files.all(),
    services: new Set(served),
    upstream: upstream.name,
    partial: true,
  };
}

/**
 * The files collected so far. Servers answer with one file or with all that it imports, and some (Go's, with vendored
 * code) know a file by another name than its importers use, or not at all.
 */
class Files {
  readonly #files = new Map<string, FileDescriptorProto>();
  readonly #asked = new Set<string>();
  readonly #renamed = new Map<string, string>();

  add(files: readonly FileDescriptorProto[]): void {
    for (const file of files) if (!this.#files.has(file.name)) this.#files.set(file.name, file);
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

  all(): FileDescriptorProto[] {
    for (const file of this.#files.values()) {
      file.dependency = file.dependency.map((name) => this.#renamed.get(name) ?? name);
    }
    return [...this.#files.values()];
  }
}

type Question = { readonly symbol: string } | { readonly file: string };
type Answer = { readonly files: readonly FileDescriptorProto[] } | { readonly error: string };

/** Field numbers of ServerReflectionRequest and ServerReflectionResponse. */
const REQUEST = { file: 3, symbol: 4, listServices: 7 } as const;
const RESPONSE = { files: 4, services: 6, error: 7 } as const;

/** One reflection stream: questions go out together, and the answers come in their order. */
class Talk {
  readonly #waiting: Message[] = [];
  #wake: () => void = () => {};
  #ended = false;
  #replies: AsyncIterator<Message> | undefined;
  readonly #call: Call;

  constructor(
    readonly invoke: Invoke,
    method: Method,
    signal: AbortSignal,
  ) {
    this.#call = {
      id: `reflection-${method.upstream}`,
      method,
      requests: this.#requests(),
      metadata: {},
      principal: ANONYMOUS,
      signal,
      deadline: undefined,
    };
  }

  async listServices(): Promise<string[]> {
    const [answer] = await this.#exchange([question(REQUEST.listServices, '*')]);
    const services = (answer ?? []).filter(({ no }) => no === RESPONSE.services).flatMap(messageOf);
    if (services.length === 0 && !answer?.some(({ no }) => no === RESPONSE.services)) {
      throw malformed(`it does not list its services (${errorOf(answer ?? []) ?? 'another answer came'})`);
    }
    return services.flatMap((service) => {
      const name = messageOf(service).find(({ no }) => no === 1);
      return (name && textOf(name)) ?? [];
    });
  }

  async ask(questions: readonly Question[]): Promise<Answer[]> {
    const requests = questions.map((asked) =>
      'file' in asked ? question(REQUEST.file, asked.file) : question(REQUEST.symbol, asked.symbol),
    );
    const answers = await this.#exchange(requests);
    return answers.map((fields) => {
      const error = errorOf(fields);
      if (error !== undefined) return { error };
      const found = fields.find(({ no }) => no === RESPONSE.files);
      if (!found) throw malformed('an answer has neither files nor an error');
      return {
        files: messageOf(found)
          .filter(({ no }) => no === 1)
          .map(fileOf),
      };
    });
  }

  /** The fields of one ServerReflectionResponse for each request. */
  async #exchange(requests: readonly Message[]): Promise<WireField[][]> {
    this.#waiting.push(...requests);
    this.#wake();
    const answers: WireField[][] = [];
    while (answers.length < requests.length) {
      this.#replies ??= await this.#open();
      const { done, value } = await this.#replies.next();
      if (done) throw malformed('it ended the stream before it had answered');
      answers.push(decode(() => readFields(value)));
    }
    return answers;
  }

  async #open(): Promise<AsyncIterator<Message>> {
    const { messages } = await this.invoke(this.#call);
    if (messages instanceof Uint8Array) throw malformed('it answered a stream with one message');
    return messages[Symbol.asyncIterator]();
  }

  async *#requests(): AsyncGenerator<Message> {
    while (!this.#ended) {
      const next = this.#waiting.shift();
      if (next) yield next;
      else await new Promise<void>((wake) => (this.#wake = wake));
    }
  }

  /** Half-closes, and lets go of the replies; the caller's signal ends what is left. */
  end(): void {
    this.#ended = true;
    this.#wake();
    this.#replies?.return?.()?.catch(() => {});
  }
}

function reflectionMethod(version: string, upstream: string): Method {
  const service = `grpc.reflection.${version}.ServerReflection`;
  const name = `${service}/ServerReflectionInfo`;
  return {
    name,
    service,
    path: `/${name}`,
    clientStreaming: true,
    serverStreaming: true,
    // Requests and replies stay bytes on this path, so that nobody looks at their types.
    input: EmptySchema,
    output: EmptySchema,
    routes: [],
    access: { public: true, permissions: [], roles: [] },
    stream: { eventField: '', heartbeatMs: 0 },
    upstream,
    source: { file: `grpc/reflection/${version}/reflection.proto` },
  };
}

function question(no: number, text: string): Message {
  return new BinaryWriter().tag(no, WireType.LengthDelimited).string(text).finish();
}

function errorOf(fields: readonly WireField[]): string | undefined {
  const error = fields.find(({ no }) => no === RESPONSE.error);
  if (!error) return undefined;
  const parts = messageOf(error);
  const code = parts.find(({ no }) => no === 1);
  const message = parts.find(({ no }) => no === 2);
  return `${statusOf((code && numberOf(code)) ?? Code.UNKNOWN).name}: ${(message && textOf(message)) ?? ''}`;
}

function messageOf(field: WireField): WireField[] {
  const bytes = bytesOf(field);
  if (bytes === undefined) throw malformed('a field has the wrong type');
  return decode(() => readFields(bytes));
}

function fileOf(field: WireField): FileDescriptorProto {
  return decode(() => fromBinary(FileDescriptorProtoSchema, bytesOf(field) ?? new Uint8Array()));
}

function decode<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw malformed('it is not a protobuf message of the kind that was asked for');
  }
}

const malformed = (what: string) => new StatusError(Code.INTERNAL, `the answer is malformed: ${what}`);
