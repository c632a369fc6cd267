/**
 * A stage for clients to rehearse on: one stream, spoken as PROTOCOL.md says by as little code as possible, which keeps its
 * promises or breaks one of them on purpose. So it is seen that the clients write down what happens, and that the checker reads it.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { decodeJson, decodeProto, encodeJson, encodeProto, type Frame } from '../../support/resume/frames.js';

/** A promise that is broken. */
export type Defect =
  /** A client that resumes misses an event. */
  | 'skips'
  /** A client that resumes gets the last event again. */
  | 'repeats'
  /** Every seventh event is not sent to those who are connected. */
  | 'drops'
  /** A bookmark is sent for an event before the event. */
  | 'runs ahead'
  /** A client is not told that its history is gone. */
  | 'conceals'
  /** An event of another stream is sent. */
  | 'confuses'
  /** Clients are told of a loss that was none. */
  | 'cries wolf';

export interface Stage {
  readonly port: number;
  defect: Defect | undefined;
  publish(count: number): void;
  bookmark(): void;
  /** Forgets everything: all cursors are of an epoch that has passed. */
  forget(): void;
  close(): void;
}

/** One client on stage, whatever its protocol. */
interface Seat {
  open(cursor: string, resumed: boolean): void;
  message(cursor: string, n: number, stream: string): void;
  mark(kind: 'bookmark' | 'caught_up', cursor: string): void;
  reset(reason: string, cursor: string): void;
  leave(): void;
}

const HEARTBEAT_MS = 500;

/** Serves the stream `name` at every path, as Server-Sent Events, and as a call of a WebSocket. */
export async function openStage(name: string): Promise<Stage> {
  const seats = new Set<Seat>();
  const log: number[] = [];
  let epoch = 1;
  let sent = 0;
  let defect: Defect | undefined;
  const cursorOf = (offset: number): string => `${epoch}-${offset}`;
  const send = (seat: Seat, offset: number): void =>
    seat.message(cursorOf(offset), log[offset - 1] as number, name);

  const seatOf = (seat: Seat, asked: string | undefined): void => {
    seats.add(seat);
    const [of, after] = (asked ?? '').split('-').map(Number);
    const known = asked !== undefined && of === epoch;
    if (known && defect !== 'cries wolf') {
      const from = (after as number) + (defect === 'skips' ? 1 : defect === 'repeats' ? -1 : 0);
      seat.open(asked, true);
      for (let offset = from + 1; offset <= log.length; offset++) send(seat, offset);
      seat.mark('caught_up', cursorOf(log.length));
      return;
    }
    seat.open(cursorOf(log.length), false);
    if (asked !== undefined && defect !== 'conceals') seat.reset('epoch_changed', cursorOf(log.length));
  };

  const publish = (): void => {
    log.push(++sent);
    const offset = log.length;
    for (const seat of seats) {
      if (defect === 'runs ahead') seat.mark('bookmark', cursorOf(offset));
      if (defect === 'confuses') seat.message(cursorOf(offset), sent, 'another');
      else if (defect !== 'drops' || sent % 7 !== 0) send(seat, offset);
    }
  };

  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const seat = eventSeat(response);
    response.on('close', () => seats.delete(seat));
    seatOf(seat, request.headers['last-event-id'] as string | undefined);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const upgrades = new WebSocketServer({ server, handleProtocols: ([first]) => first as string });
  upgrades.on('connection', (socket) => {
    const seat = socketSeat(socket);
    socket.on('close', () => seats.delete(seat));
    socket.on('message', (data: Buffer) => {
      const frames = socket.protocol === 'tidegate.v1.json' ? decodeJson(data) : decodeProto(data);
      const opened = frames.find(({ type }) => type === 'open');
      if (opened !== undefined) seatOf(seat, opened.cursor);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get defect() {
      return defect;
    },
    set defect(broken) {
      defect = broken;
    },
    publish: (count) => {
      for (let index = 0; index < count; index++) publish();
    },
    bookmark: () => {
      for (const seat of seats) seat.mark('bookmark', cursorOf(log.length));
    },
    forget: () => {
      epoch++;
      log.length = 0;
      sent += 3;
      for (const seat of [...seats]) seat.leave();
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function eventSeat(response: ServerResponse): Seat {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const write = (event: string, id: string, data: object | ''): void => {
    response.write(`event: ${event}\nid: ${id}\ndata: ${data === '' ? '' : JSON.stringify(data)}\n\n`);
  };
  return {
    open: (cursor, resumed) => write('open', cursor, { resumed, heartbeatMs: HEARTBEAT_MS }),
    message: (cursor, n, stream) => write('message', cursor, { n: String(n), stream }),
    mark: (kind, cursor) => write(kind, cursor, ''),
    reset: (reason, cursor) => write('reset', cursor, { reason }),
    leave: () => response.destroy(),
  };
}

function socketSeat(socket: WebSocket): Seat {
  const json = socket.protocol === 'tidegate.v1.json';
  const send = (frame: Frame): void => socket.send(json ? encodeJson(frame) : encodeProto(frame));
  send({ type: 'welcome', heartbeat_ms: HEARTBEAT_MS, features: ['resume'] });
  return {
    open: (cursor, resumed) => send({ type: 'opened', sid: 1, cursor, resumed }),
    message: (cursor, n, stream) =>
      send({ type: 'msg', sid: 1, cursor, data: json ? { n: String(n), stream } : encodeTick(n, stream) }),
    mark: (type, cursor) => send({ type, sid: 1, cursor }),
    reset: (reason, cursor) => send({ type: 'reset', sid: 1, reason, cursor }),
    leave: () => socket.terminate(),
  };
}

/** `n` and `stream` of ticker.v1.Tick. */
function encodeTick(n: number, stream: string): Uint8Array {
  return Buffer.concat([
    Buffer.of(8, ...(n < 128 ? [n] : [(n & 127) | 128, n >> 7]), 18, stream.length),
    Buffer.from(stream),
  ]);
}
