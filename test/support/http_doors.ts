/** The HTTP doors on a real server, over a backend whose service is a function. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Config } from '../../gateway/config.js';
import { createPollDoor } from '../../gateway/doors/poll.js';
import { createRestDoor } from '../../gateway/doors/rest.js';
import { createSseDoor } from '../../gateway/doors/sse.js';
import { endCalls } from '../../gateway/drain.js';
import { createDispatch } from '../../gateway/http/dispatch.js';
import type { StatusError } from '../../src/status.js';
import { type Backend, type BackendOptions, createBackend } from './ws_backend.js';

export interface HttpDoors extends Backend {
  readonly port: number;
  readonly url: string;
  /** Server sockets that are open. */
  readonly sockets: Set<Socket>;
  /** Drains like the gateway, with `timeouts.drainMs`. Resolves when no call is open. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

export interface HttpDoorsOptions extends BackendOptions {
  /** Sees each request before the doors. */
  readonly before?: (request: IncomingMessage, response: ServerResponse) => void;
}

export async function startHttpDoors(options: HttpDoorsOptions = {}): Promise<HttpDoors> {
  const backend = createBackend(options);
  const { gateway } = backend;
  const dispatch = createDispatch({
    config: { ...gateway.config, origins: [] } as Config,
    table: gateway.table,
    rest: createRestDoor(gateway),
    sse: createSseDoor(gateway),
    poll: createPollDoor(gateway),
    observer: { request: () => {}, connection: () => () => {}, refused: () => {} },
    draining: gateway.draining,
  });
  const sockets = new Set<Socket>();
  const server = createServer((incoming, response) => {
    options.before?.(incoming, response);
    dispatch(incoming, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    ...backend,
    port,
    url: `http://127.0.0.1:${port}`,
    sockets,
    leave() {
      backend.drain();
      const reason = gateway.draining.reason as StatusError;
      return endCalls(gateway.live, reason, gateway.config.timeouts.drainMs);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface SeenEvent {
  readonly event: string;
  readonly data: string;
  readonly id?: string;
  readonly retry?: number;
}

/** An event stream as a client sees it, event by event. */
export interface EventClient {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** All that came so far, comments included. */
  readonly text: () => string;
  readonly events: () => SeenEvent[];
  /** Resolves when the body is over; false if it was cut. */
  readonly over: Promise<boolean>;
  /** Stops and starts reading. */
  pause(): void;
  resume(): void;
  leave(): void;
}

function parseEvents(text: string): SeenEvent[] {
  const blocks = text.split('\n\n').slice(0, -1);
  return blocks.flatMap((block) => {
    const fields = new Map(
      block.split('\n').map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')] as const;
      }),
    );
    if (!fields.has('event') && !fields.has('data')) return [];
    const retry = fields.get('retry');
    const id = fields.get('id');
    return [
      {
        event: fields.get('event') ?? 'message',
        data: fields.get('data') ?? '',
        ...(id !== undefined && { id }),
        ...(retry !== undefined && { retry: Number(retry) }),
      },
    ];
  });
}

export function openEvents(url: string, headers: Record<string, string> = {}): Promise<EventClient> {
  const all = { accept: 'text/event-stream', ...headers };
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers: all, agent: false });
    sent.once('error', reject);
    sent.once('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      const over = new Promise<boolean>((settle) => {
        response.once('close', () => settle(response.complete));
        response.on('error', () => undefined);
      });
      sent.on('error', () => undefined);
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        text: () => text,
        events: () => parseEvents(text),
        over,
        pause: () => void response.pause(),
        resume: () => void response.resume(),
        leave: () => sent.destroy(),
      });
    });
    sent.end();
  });
}
