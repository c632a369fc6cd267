/** A gRPC server with nothing but server reflection, as well or as badly behaved as a test wants it. */

import { toBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { type FileDescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';

export interface ReflectionServerOptions {
  readonly files: readonly FileDescriptorProto[];
  /** Full names of the services it lists. */
  readonly services: readonly string[];
  /** Default: a free one. */
  readonly port?: number;
  /** Default `['v1', 'v1alpha']`. */
  readonly versions?: readonly string[];
  /** Whether it sends a file's imports along, as some servers do; default false. */
  readonly transitive?: boolean;
  /** Files that it does not find by name. */
  readonly hidden?: readonly string[];
  /** Instead of a proper answer: these bytes, silence, or the end of the stream. */
  readonly answer?: Uint8Array | 'nothing' | 'end';
  /** Answers file names with the file of another name. */
  readonly renamed?: Readonly<Record<string, string>>;
}

export interface ReflectionServer {
  readonly address: string;
  /** Every question so far, as `list`, `symbol x` or `file x`, after its version. */
  readonly asked: readonly string[];
  /** Streams that are open now. */
  open(): number;
  close(): void;
}

type Stream = ServerDuplexStream<Buffer, Buffer>;

export async function startReflectionServer(options: ReflectionServerOptions): Promise<ReflectionServer> {
  const server = new Server();
  const asked: string[] = [];
  const open = new Set<Stream>();
  for (const version of options.versions ?? ['v1', 'v1alpha']) {
    server.addService(definition(version), {
      ServerReflectionInfo(stream: Stream) {
        open.add(stream);
        stream.on('cancelled', () => open.delete(stream));
        stream.on('end', () => {
          open.delete(stream);
          stream.end();
        });
        stream.on('data', (request: Buffer) => {
          const [kind, name] = parseQuestion(request);
          asked.push(`${version} ${kind} ${name}`.trim());
          if (options.answer === 'nothing') return;
          if (options.answer === 'end') stream.end();
          else stream.write(Buffer.from(options.answer ?? answer(kind, name, options)));
        });
      },
    });
  }
  const port = await new Promise<number>((resolve, reject) => {
    const done = (error: Error | null, bound: number) => (error ? reject(error) : resolve(bound));
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, ServerCredentials.createInsecure(), done);
  });
  return { address: `127.0.0.1:${port}`, asked, open: () => open.size, close: () => server.forceShutdown() };
}

function definition(version: string): ServiceDefinition {
  const bytes = (value: Buffer) => value;
  return {
    ServerReflectionInfo: {
      path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      requestStream: true,
      responseStream: true,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    },
  };
}

const KINDS: Readonly<Record<number, string>> = { 3: 'file', 4: 'symbol', 7: 'list' };

function parseQuestion(request: Buffer): [string, string] {
  const reader = new BinaryReader(request);
  const [no] = reader.tag();
  const text = reader.string();
  return [KINDS[no] ?? 'other', no === 7 ? '' : text];
}

function answer(kind: string, name: string, options: ReflectionServerOptions): Uint8Array {
  if (kind === 'list') {
    return message(6, (list) => {
      for (const service of options.services)
        nest(list, 1, (entry) => entry.tag(1, WireType.LengthDelimited).string(service));
    });
  }
  const file = kind === 'symbol' ? fileOfSymbol(name, options) : fileOfName(name, options);
  if (!file) {
    return message(7, (error) => {
      error.tag(1, WireType.Varint).int32(status.NOT_FOUND);
      error.tag(2, WireType.LengthDelimited).string(`${name} not found`);
    });
  }
  const files = options.transitive ? withImports(file, options) : [file];
  return message(4, (response) => {
    for (const one of files)
      response.tag(1, WireType.LengthDelimited).bytes(toBinary(FileDescriptorProtoSchema, one));
  });
}

/** Services, messages and enums; those without a package have a dot before their name, as in @grpc/reflection. */
function fileOfSymbol(symbol: string, { files }: ReflectionServerOptions): FileDescriptorProto | undefined {
  return files.find((file) =>
    [...file.service, ...file.messageType, ...file.enumType].some(
      ({ name }) => `${file.package}.${name}` === symbol,
    ),
  );
}

function fileOfName(
  name: string,
  { files, hidden, renamed }: ReflectionServerOptions,
): FileDescriptorProto | undefined {
  if (hidden?.includes(name)) return undefined;
  return files.find((file) => file.name === (renamed?.[name] ?? name));
}

function withImports(file: FileDescriptorProto, options: ReflectionServerOptions): FileDescriptorProto[] {
  const imports = file.dependency.flatMap((name) => fileOfName(name, options) ?? []);
  return [file, ...imports.flatMap((imported) => withImports(imported, options))];
}

/** A ServerReflectionResponse with this one field. */
function message(no: number, write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  nest(writer, no, write);
  return writer.finish();
}

function nest(writer: BinaryWriter, no: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(no, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}
