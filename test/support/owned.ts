/** The service of owned.proto: answers with what it has decoded and the metadata it saw, and remembers both. */
import {
  loadPackageDefinition,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ROOT } from './probe.js';

export const OWNED_PROTO = `${ROOT}test/support/contracts/owned.proto`;

export interface Owned {
  readonly address: string;
  /** Every message that arrived, in order. */
  readonly requests: object[];
  /** Of every call that arrived. */
  readonly metadata: Record<string, string>[];
  kill(): void;
}

interface Seen {
  readonly request: string;
  readonly metadata: Record<string, string>;
}

/** Starts it on 127.0.0.1. It decodes with protobufjs, which takes the last piece of a message, and looks at no wire types. */
export async function startOwned(): Promise<Owned> {
  const definition = loadSync(OWNED_PROTO, {
    includeDirs: [`${ROOT}proto`, `${ROOT}node_modules/protobufjs`],
    keepCase: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    owned: { v1: { OwnedService: { service: ServiceDefinition } } };
  };
  const requests: object[] = [];
  const metadata: Record<string, string>[] = [];
  const arrived = (call: { metadata: Metadata }): Record<string, string> => {
    const seen = Object.fromEntries(
      Object.entries(call.metadata.getMap()).map(([name, value]) => [name, value.toString()]),
    );
    metadata.push(seen);
    return seen;
  };
  const take = (request: object): string => {
    requests.push({ ...request });
    return JSON.stringify(request);
  };
  const one = (call: ServerUnaryCall<object, Seen>, reply: sendUnaryData<Seen>): void => {
    const seen = arrived(call);
    reply(null, { request: take(call.request), metadata: seen });
  };
  const watch = (call: ServerWritableStream<object, Seen>): void => {
    const seen = arrived(call);
    call.write({ request: take(call.request), metadata: seen });
    const timer = setTimeout(() => call.end(), 2_000);
    call.on('cancelled', () => clearTimeout(timer));
  };
  const watchBriefly = (call: ServerWritableStream<object, Seen>): void => {
    const seen = arrived(call);
    call.write({ request: take(call.request), metadata: seen });
    call.end();
  };
  const upload = (call: ServerReadableStream<object, Seen>, reply: sendUnaryData<Seen>): void => {
    const seen = arrived(call);
    const texts: string[] = [];
    call.on('data', (chunk: object) => texts.push(take(chunk)));
    call.on('end', () => reply(null, { request: `[${texts.join()}]`, metadata: seen }));
  };
  const talk = (call: ServerDuplexStream<object, Seen>): void => {
    const seen = arrived(call);
    call.on('data', (chunk: object) => call.write({ request: take(chunk), metadata: seen }));
    call.on('end', () => call.end());
  };
  const server = new Server();
  server.addService(root.owned.v1.OwnedService.service, {
    Get: one,
    Create: one,
    Claim: one,
    Open: one,
    Watch: watchBriefly,
    WatchOpen: watchBriefly,
    WatchShared: watch,
    Upload: upload,
    Talk: talk,
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  return { address: `127.0.0.1:${port}`, requests, metadata, kill: () => server.forceShutdown() };
}
