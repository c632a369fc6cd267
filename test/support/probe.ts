/** The probe service of probe.proto: a real gRPC server that fails, stalls, floods and counts as it is asked to. */
import { createServer } from 'node:net';
import {
  loadPackageDefinition,
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { badRequest, encodeStatus } from '../../src/details.js';

/** The repository, also when this file runs from dist/. */
export const ROOT = new URL('../..', import.meta.url).pathname.replace(/dist\/$/, '');
export const PROBE_PROTO = `${ROOT}test/support/contracts/probe.proto`;

interface GetRequest {
  readonly mode: string;
  readonly count: number;
  readonly bytes: number;
}
interface Event {
  readonly sequence?: string | number;
  readonly text?: string;
  readonly seen?: Record<string, string>;
}

export interface Probe {
  readonly address: string;
  /** Messages that the flood could hand to its transport. */
  sent: number;
  /** Calls that were cancelled by the gateway, by mode. */
  readonly cancelled: string[];
  /** Calls that are running now. */
  running: number;
  /** Stops at once, cutting every connection, as a crash would. */
  kill(): void;
}

const TYPED_ERROR = {
  code: status.FAILED_PRECONDITION,
  details: 'the probe refuses',
  metadata: (() => {
    const metadata = new Metadata();
    const details = [badRequest([{ field: 'mode', description: 'asks for a failure' }])];
    metadata.set(
      'grpc-status-details-bin',
      Buffer.from(encodeStatus({ code: 9, message: 'the probe refuses', details })),
    );
    metadata.set('x-reason', 'asked');
    return metadata;
  })(),
};

function seenBy(call: { metadata: Metadata }): Record<string, string> {
  return Object.fromEntries(
    Object.entries(call.metadata.getMap()).map(([name, value]) => [name, value.toString()]),
  );
}

/** Below the ports that Linux gives to outgoing connections: none of those takes it while its server is away. */
const PORTS = { first: 10_000, last: 32_000 } as const;

/** A free port on loopback, for a server that must be known by address before it runs, or that comes back. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + Math.floor(Math.random() * (PORTS.last - PORTS.first));
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
        .once('error', () => resolve(false))
        .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}

/** Starts the probe on 127.0.0.1. */
export async function startProbe(port = 0): Promise<Probe> {
  const definition = loadSync(PROBE_PROTO, {
    includeDirs: [`${ROOT}proto`, `${ROOT}node_modules/protobufjs`],
    keepCase: true,
    longs: String,
    defaults: true,
  });
  const root = loadPackageDefinition(definition) as unknown as {
    probe: { v1: { ProbeService: { service: Record<string, MethodDefinition<unknown, unknown>> } } };
  };
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  const state = { sent: 0, running: 0, cancelled: [] as string[] };

  const track = (
    call: { on(event: 'cancelled' | 'close', listener: () => void): unknown },
    mode: string,
  ): void => {
    state.running++;
    let over = false;
    const end = (): void => {
      if (!over) state.running--;
      over = true;
    };
    call.on('cancelled', () => {
      end();
      state.cancelled.push(mode);
    });
    call.on('close', end);
  };

  const get = (call: ServerUnaryCall<GetRequest, Event>, reply: sendUnaryData<Event>): void => {
    const { mode } = call.request;
    track(call, mode);
    if (mode === 'fail') reply(TYPED_ERROR);
    else if (mode === 'unknown') reply({ code: status.UNKNOWN, details: 'something broke' });
    else if (mode !== 'silent') reply(null, { sequence: 1, text: mode, seen: seenBy(call) });
  };

  const flood = (call: ServerWritableStream<GetRequest, Event>): void => {
    const text = 'x'.repeat(call.request.bytes || 1000);
    const pump = (): void => {
      while (!call.cancelled && state.sent < call.request.count) {
        state.sent++;
        if (call.write({ sequence: state.sent, text })) continue;
        call.once('drain', pump);
        return;
      }
      if (!call.cancelled) call.end();
    };
    pump();
  };

  const watch = (call: ServerWritableStream<GetRequest, Event>): void => {
    const { mode } = call.request;
    track(call, mode);
    if (mode === 'fail') call.emit('error', TYPED_ERROR);
    else if (mode === 'flood') flood(call);
    else if (mode !== 'silent') send(call);
  };

  const send = (call: ServerWritableStream<GetRequest, Event>): void => {
    const { mode, count } = call.request;
    for (let sequence = 1; sequence <= (count || 3); sequence++) {
      call.write({ sequence, text: mode, seen: sequence === 1 ? seenBy(call) : {} });
    }
    if (mode === 'fail-late') setTimeout(() => call.emit('error', TYPED_ERROR), 50);
    else if (mode !== 'open') call.end();
  };

  const sum = (call: ServerReadableStream<Event, Event>, reply: sendUnaryData<Event>): void => {
    let total = 0;
    track(call, 'sum');
    call.on('data', (event: Event) => {
      total += Number(event.sequence);
      if (Number(event.sequence) < 0) reply(TYPED_ERROR);
    });
    call.on('end', () => reply(null, { sequence: total, text: 'sum' }));
  };

  const talk = (call: ServerDuplexStream<Event, Event>): void => {
    track(call, 'talk');
    call.on('data', (event: Event) => call.write(event));
    call.on('end', () => call.end());
  };

  const put = (call: ServerUnaryCall<Event, Event>, reply: sendUnaryData<Event>): void =>
    reply(null, call.request);

  server.addService(root.probe.v1.ProbeService.service, {
    Get: get,
    GetSecret: get,
    Watch: watch,
    WatchSecret: watch,
    Sum: sum,
    Talk: talk,
    Put: put,
  });
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, at) =>
      error ? reject(error) : resolve(at),
    ),
  );
  return Object.assign(state, { address: `127.0.0.1:${bound}`, kill: () => server.forceShutdown() });
}
