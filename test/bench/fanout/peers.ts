/** What the gateway's broadcast is compared with: servers that send one event to all who are connected. `peers.js PEER RATE BURST`. */
import { createServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { createChannel, createSession } from 'better-sse';
import { Server as SocketIo } from 'socket.io';
import { type WebSocket, WebSocketServer } from 'ws';
import { benchTick } from './event.js';

/** Sends `count` events in one turn to everybody. */
type Broadcast = (count: number) => void;

interface Peer {
  readonly broadcast: Broadcast;
  listen(ready: (port: number) => void): void;
}

function listening(server: HttpServer | ReturnType<typeof createTcpServer>): Peer['listen'] {
  return (ready) => server.listen(0, '127.0.0.1', 8192, () => ready((server.address() as AddressInfo).port));
}

/** Answers the first bytes of every connection with `head`, and hands out bytes that were made once: there is no less work than this. */
function bare(head: string, encode: (text: string) => Buffer, joins: boolean): Peer {
  const sockets = new Set<Socket>();
  const server = createTcpServer({ noDelay: true }, (socket) => {
    socket.once('data', () => {
      socket.write(head);
      sockets.add(socket);
    });
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  return {
    listen: listening(server),
    broadcast: (count) => {
      const events = Array.from({ length: count }, () => encode(benchTick()));
      const writes = joins ? [Buffer.concat(events)] : events;
      for (const socket of sockets) for (const bytes of writes) socket.write(bytes);
    },
  };
}

const SSE_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n\r\n';
/** The answer to the key that the fleet sends (RFC 6455, 1.3). */
const SOCKET_HEAD =
  'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

const sseEvent = (text: string): Buffer => Buffer.from(`event: message\ndata: ${text}\n\n`);

/** An unmasked text frame of 126 bytes to 64 KiB. */
function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  return Buffer.concat([Buffer.from([0x81, 126, length >> 8, length & 255]), Buffer.from(text)]);
}

function betterSse(): Peer {
  const channel = createChannel();
  const server = createServer(async (request, response) => {
    channel.register(await createSession(request, response, { keepAlive: null, retry: null }));
  });
  return {
    listen: listening(server),
    broadcast: (count) => {
      for (let index = 0; index < count; index++) channel.broadcast(JSON.parse(benchTick()), 'message');
    },
  };
}

function plainWs(): Peer {
  const server = createServer();
  const sockets: Set<WebSocket> = new WebSocketServer({ server, perMessageDeflate: false }).clients;
  return {
    listen: listening(server),
    broadcast: (count) => {
      for (let index = 0; index < count; index++) {
        const text = benchTick();
        for (const socket of sockets) socket.send(text);
      }
    },
  };
}

function socketIo(): Peer {
  const server = createServer();
  // No pings while it is measured: nobody else sends any in that time.
  const io = new SocketIo(server, { transports: ['websocket'], pingInterval: 600_000, serveClient: false });
  return {
    listen: listening(server),
    broadcast: (count) => {
      for (let index = 0; index < count; index++) io.emit('message', JSON.parse(benchTick()));
    },
  };
}

const PEERS: Readonly<Record<string, () => Peer>> = {
  'bare-sse': () => bare(SSE_HEAD, sseEvent, false),
  'bare-sse-joined': () => bare(SSE_HEAD, sseEvent, true),
  'better-sse': betterSse,
  'bare-socket': () => bare(SOCKET_HEAD, textFrame, false),
  'bare-socket-joined': () => bare(SOCKET_HEAD, textFrame, true),
  ws: plainWs,
  'socket.io': socketIo,
};

const [name = '', rate, burst] = process.argv.slice(2);
const create = PEERS[name];
if (create === undefined) throw new Error(`no peer ${name}: one of ${Object.keys(PEERS).join(', ')}`);
const peer = create();
setInterval(() => peer.broadcast(Number(burst)), (1000 * Number(burst)) / Number(rate));
peer.listen((port) => process.stdout.write(`${port}\n`));
process.on('SIGTERM', () => process.exit(0));
