/** A gRPC server for a set of services: with health, with reflection, and with an end that its callers hear of. */
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { indexDescriptors, loadDescriptors } from './descriptors.js';
import { ServiceError } from './errors.js';
import { createHandlers, type Handlers, type Load } from './handlers.js';
import { createHealth, HEALTH_SERVICE } from './health.js';
import { createReflection } from './reflection/reflection.js';

export interface Service {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface ServerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any that is free. */
  readonly port?: number;
  /** The path of a unix socket to listen on, instead of host and port. */
  readonly socket?: string;
  /** Encoded FileDescriptorProtos of the services and all they import, for reflection. Default: no reflection. */
  readonly descriptors?: readonly Uint8Array[];
  /** Milliseconds that calls in progress have to finish once the server stops. Default 5,000. */
  readonly graceMs?: number;
  /** Hears of errors that no service threw on purpose. Default: printed to stderr. */
  readonly report?: (error: unknown) => void;
}

export interface RunningServer {
  /** `host:port`, or `unix:path` */
  readonly address: string;
  readonly load: () => Load;
  /**
   * Health says NOT_SERVING, open streams end with UNAVAILABLE, no call is taken any more; calls in progress finish, or
   * are cut off after the grace. Resolves when all connections are closed. May be called again.
   */
  readonly close: () => Promise<void>;
}

/** Rejects when it cannot listen there. */
export async function createServer(
  build: (handlers: Handlers) => readonly Service[],
  options: ServerOptions,
): Promise<RunningServer> {
  const { descriptors, graceMs = 5_000, report = console.error } = options;
  const stopping = new AbortController();
  const handlers = createHandlers(stopping.signal, report);
  const services = build(handlers);
  const names = services.map(({ definition }) => serviceName(definition));
  const health = createHealth(names, stopping.signal);
  const reflection = descriptors === undefined ? [] : reflect(descriptors, names, handlers);
  const server = new Server();
  for (const { definition, implementation } of [...services, health.service, ...reflection]) {
    server.addService(definition, implementation);
  }
  const address = await listen(server, options);

  const stop = async () => {
    health.stop();
    stopping.abort(new ServiceError(status.UNAVAILABLE, 'the service is stopping'));
    const grace = setTimeout(() => server.forceShutdown(), graceMs);
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    clearTimeout(grace);
  };
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= stop();
    return closed;
  };
  return { address, load: handlers.load, close };
}

/** `/orders.v1.OrdersService/GetOrder` is a method of `orders.v1.OrdersService`. */
function serviceName(definition: ServiceDefinition): string {
  const [method] = Object.values(definition);
  return method?.path.split('/')[1] ?? '';
}

function reflect(
  descriptors: readonly Uint8Array[],
  names: readonly string[],
  handlers: Handlers,
): readonly Service[] {
  const known = indexDescriptors([...descriptors, ...loadDescriptors('health.binpb')]);
  return createReflection(known, [...names, HEALTH_SERVICE], handlers);
}

async function listen(
  server: Server,
  { host = '127.0.0.1', port = 0, socket }: ServerOptions,
): Promise<string> {
  const authority = host.includes(':') ? `[${host}]` : host;
  const target = socket === undefined ? `${authority}:${port}` : `unix:${socket}`;
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(target, ServerCredentials.createInsecure(), (error, actual) => {
      if (error === null) resolve(actual);
      else reject(new Error(`cannot listen on ${target}: ${error.message}`));
    });
  });
  return socket === undefined ? `${authority}:${bound}` : target;
}
