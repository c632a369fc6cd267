/** The wire of gRPC server reflection (grpc/reflection/v1/reflection.proto): questions in, answers out. */
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { EmptySchema, type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Call, Invoke, Message } from '../call.js';
import { type Method, STREAM_DEFAULTS } from '../method.js';
import { ANONYMOUS } from '../principal.js';
import { Code, StatusError, statusOf } from '../status.js';
import { bytesOf, numberOf, readFields, textOf, type WireField } from './wire.js';

export type Question = { readonly symbol: string } | { readonly file: string };
export type Answer = { readonly files: readonly FileDescriptorProto[] } | { readonly error: string };

/** Field numbers of ServerReflectionRequest and ServerReflectionResponse. */
const REQUEST = { file: 3, symbol: 4, listServices: 7 } as const;
const RESPONSE = { files: 4, services: 6, error: 7 } as const;

/** One reflection stream: questions go out together, and the answers come in their order. */
export class Talk {
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

export function reflectionMethod(version: string, upstream: string): Method {
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
    stream: STREAM_DEFAULTS,
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

export const malformed = (what: string) => new StatusError(Code.INTERNAL, `the answer is malformed: ${what}`);
