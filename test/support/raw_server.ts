/** A gRPC server whose handlers see messages as bytes, and calls to try it with. */
import { createServer, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { EmptySchema } from '@bufbuild/protobuf/wkt';
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Call, Requests } from '../../src/call.js';
import { type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { ANONYMOUS } from '../../src/principal.js';

/** One handler, by the kind of its method. */
export interface RawHandlers {
  readonly unary?: handleUnaryCall<Buffer, Buffer>;
  readonly serverStream?: handleServerStreamingCall<Buffer, Buffer>;
  readonly clientStream?: handleClientStreamingCall<Buffer, Buffer>;
  readonly bidi?: handleBidiStreamingCall<Buffer, Buffer>;
}

export interface RawServer {
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly port: number;
  /** Breaks off everything. */
  stop(): Promise<void>;
}

type Kind = keyof RawHandlers;

const same = (bytes: Buffer): Buffer => bytes;
const PATHS: Readonly<Record<Kind, string>> = {
  unary: '/raw.v1.Raw/Unary',
  serverStream: '/raw.v1.Raw/ServerStream',
  clientStream: '/raw.v1.Raw/ClientStream',
  bidi: '/raw.v1.Raw/Bidi',
};

/** Serves raw.v1.Raw on a free port, or on the given one. */
export async function startRawServer(
  handlers: RawHandlers,
  { port = 0, options = {} }: { port?: number; options?: Record<string, number> } = {},
): Promise<RawServer> {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: Record<string, UntypedServiceImplementation[string]> = {};
  for (const kind of Object.keys(handlers) as Kind[]) {
    const handler = handlers[kind];
    if (!handler) continue;
    definition[kind] = {
      path: PATHS[kind],
      requestStream: kind === 'clientStream' || kind === 'bidi',
      responseStream: kind === 'serverStream' || kind === 'bidi',
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    };
    implementation[kind] = handler as UntypedServiceImplementation[string];
  }
  const server = new Server(options);
  server.addService(definition, implementation);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, actual) =>
      error ? reject(error) : resolve(actual),
    );
  });
  return {
    address: `127.0.0.1:${bound}`,
    port: bound,
    async stop() {
      server.forceShutdown();
    },
  };
}

/** An HTTP/2 server that answers each stream as told, for what no gRPC server would do. */
export async function startHttp2Server(
  answer: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const server = createServer();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    answer(stream, headers);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    port,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      // Sockets die without a word of HTTP/2, as those of a killed process do.
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A message as gRPC frames it on the wire. */
export function frame(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

export function rawMethod(kind: Kind, upstream = 'raw'): Method {
  return {
    name: PATHS[kind].slice(1),
    service: 'raw.v1.Raw',
    path: PATHS[kind],
    clientStreaming: kind === 'clientStream' || kind === 'bidi',
    serverStreaming: kind === 'serverStream' || kind === 'bidi',
    input: EmptySchema,
    output: EmptySchema,
    routes: [],
    access: { public: false, permissions: [], roles: [] },
    stream: STREAM_DEFAULTS,
    upstream,
    source: { file: 'raw.proto' },
  };
}

/** A call of raw.v1.Raw by nobody, with an empty request, no metadata and no deadline, unless told otherwise. */
export function rawCall(kind: Kind, given: Partial<Call> = {}): Call {
  const empty: Requests = () => new Uint8Array();
  return {
    id: 'r1',
    method: rawMethod(kind),
    requests: empty,
    metadata: {},
    principal: ANONYMOUS,
    signal: new AbortController().signal,
    deadline: undefined,
    ...given,
  };
}
