/** The echo service of echo.proto: a real gRPC server that decodes by the reference implementation and answers what it saw. */
import {
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import type { JsonObject, JsonValue } from '../../src/codec/codec.js';
import { encodeStatus } from '../../src/details.js';

export interface EchoService {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Calls that reached it, by the name of their method. */
  readonly reached: string[];
  /** Calls of Wait and Talk that are over: these end when their client does. */
  readonly cancelled: string[];
  /** Stops at once. */
  kill(): void;
}

/** The message types of echo.proto by their short names, others by their full ones. */
export interface Types {
  encode(name: string, value: JsonValue): Buffer;
  decode(name: string, bytes: Uint8Array): JsonValue;
}

export function typesOf(registry: FileRegistry): Types {
  const find = (name: string): DescMessage => {
    const desc = registry.getMessage(name.includes('.') ? name : `echo.v1.${name}`);
    if (desc === undefined) throw new Error(`no such type: ${name}`);
    return desc;
  };
  return {
    encode: (name, value) => Buffer.from(toBinary(find(name), fromJson(find(name), value, { registry }))),
    decode: (name, bytes) => toJson(find(name), fromBinary(find(name), bytes), { registry }) as JsonValue,
  };
}

type Unary = (call: grpc.ServerUnaryCall<Buffer, Buffer>, reply: grpc.sendUnaryData<Buffer>) => void;
type AnyCall = {
  readonly metadata: grpc.Metadata;
  getDeadline(): grpc.Deadline;
};

interface FailRequest {
  readonly code?: number;
  readonly message?: string;
  readonly details?: readonly JsonObject[];
  readonly detailType?: string;
  readonly detailValue?: string;
}

/** The status that a FailRequest asks for, as gRPC trailers. */
function failureOf(types: Types, asked: FailRequest): Partial<grpc.StatusObject> {
  const { code = 2, message = '' } = asked;
  const details = (asked.details ?? []).map((detail) => {
    const { '@type': typeUrl, ...fields } = detail;
    const name = String(typeUrl).split('/').at(-1) as string;
    return { typeUrl: String(typeUrl), value: types.encode(name, fields.value ?? fields) };
  });
  if (asked.detailType !== undefined) {
    details.push({ typeUrl: asked.detailType, value: Buffer.from(asked.detailValue ?? '', 'base64') });
  }
  const metadata = new grpc.Metadata();
  metadata.set('x-reason', 'asked');
  if (details.length > 0) {
    metadata.set('grpc-status-details-bin', Buffer.from(encodeStatus({ code, message, details })));
  }
  return { code, details: message, metadata };
}

function seenMetadata(metadata: grpc.Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata.getMap()).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : value.toString('base64'),
    ]),
  );
}

/** A Seen message: what this call brought. */
function seen(types: Types, rpc: string, { request, call }: { request: JsonValue; call: AnyCall }): Buffer {
  const until = Number(call.getDeadline());
  return types.encode('Seen', {
    rpc,
    request: JSON.stringify(request),
    metadata: seenMetadata(call.metadata),
    remainingMs: String(Number.isFinite(until) ? Math.round(until - Date.now()) : 0),
  });
}

/** Names of calls, in the order of their events. */
interface Calls {
  readonly reached: string[];
  readonly cancelled: string[];
}

function unaryHandlers(types: Types, { reached, cancelled }: Calls): Record<string, Unary> {
  const echo =
    (rpc: string): Unary =>
    (call, reply) => {
      reached.push(rpc);
      const headers = new grpc.Metadata();
      headers.set('x-echo', rpc);
      headers.set('x-data-bin', Buffer.from([1, 2, 255]));
      call.sendMetadata(headers);
      reply(null, seen(types, rpc, { request: types.decode('Thing', call.request), call }));
    };
  const fail: Unary = (call, reply) => {
    reached.push('Fail');
    reply(failureOf(types, types.decode('FailRequest', call.request) as FailRequest));
  };
  return {
    Route: echo('Route'),
    Bind: echo('Bind'),
    Plain: echo('Plain'),
    Fail: fail,
    FailSecret: fail,
    Reply: (call, reply) => {
      reached.push('Reply');
      const { thing = '' } = types.decode('ReplyRequest', call.request) as { thing?: string };
      reply(null, Buffer.from(thing, 'base64'));
    },
    Wait: (call) => {
      reached.push('Wait');
      // grpc-js emits this when any call is over.
      call.on('cancelled', () => cancelled.push('Wait'));
    },
  };
}

function streamHandlers(types: Types, { reached, cancelled }: Calls): grpc.UntypedServiceImplementation {
  return {
    Stream: (call: grpc.ServerWritableStream<Buffer, Buffer>) => {
      reached.push('Stream');
      const { count = 0, code = 0 } = types.decode('StreamRequest', call.request) as {
        count?: number;
        code?: number;
      };
      for (let number = 1; number <= count; number++) call.write(types.encode('Thing', { number }));
      if (code === 0) call.end();
      else setTimeout(() => call.emit('error', { code, details: 'the service gave up' }), count && 30);
    },
    Collect: (call: grpc.ServerReadableStream<Buffer, Buffer>, reply: grpc.sendUnaryData<Buffer>) => {
      reached.push('Collect');
      const things: JsonValue[] = [];
      call.on('data', (thing: Buffer) => things.push(types.decode('Thing', thing)));
      call.on('end', () => reply(null, seen(types, 'Collect', { request: things, call })));
    },
    Talk: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      reached.push('Talk');
      call.on('cancelled', () => cancelled.push('Talk'));
      call.on('data', (thing: Buffer) => call.write(thing));
      call.on('end', () => call.end());
    },
  };
}

/** Starts the service on a free port of 127.0.0.1. */
export async function startEcho(types: Types): Promise<EchoService> {
  const calls: Calls = { reached: [], cancelled: [] };
  const handlers = { ...unaryHandlers(types, calls), ...streamHandlers(types, calls) };
  const server = new grpc.Server();
  server.addService(definitionOf(Object.keys(handlers)), handlers as grpc.UntypedServiceImplementation);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, ...calls, kill: () => server.forceShutdown() };
}

function definitionOf(names: readonly string[]): grpc.ServiceDefinition {
  const same = (bytes: Buffer): Buffer => bytes;
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        path: `/echo.v1.Echo/${name}`,
        requestStream: name === 'Collect' || name === 'Talk',
        responseStream: name === 'Stream' || name === 'Talk',
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    ]),
  );
}
