/** A WebSocket as the rest of the door sees it: sends that say when to go on, and a client that may leave. */
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { Close } from './ws_close.js';

export interface Socket {
  /** Resolves when it is safe to send more, which is also when the socket has gone. Never rejects. */
  send(data: string | Uint8Array): Promise<void>;
  /**
   * Whole frames of RFC 6455 as they are, in order with what is sent: for bytes that many sockets share. Not while it is full, as far as the
   * caller can wait; the connection hears when it is `roomy`.
   */
  write(frames: Uint8Array): void;
  /** Whether the client does not take what was written. */
  isFull(): boolean;
  /** The closing handshake, after everything sent so far. The reason is at most 123 bytes. */
  close(code: number, reason: string): void;
  /** Stops and starts reading. A few messages that were already read may still come after `pause`. */
  pause(): void;
  resume(): void;
  /** A ping of the WebSocket protocol, which browsers answer by themselves. */
  ping(): void;
}

/** What lives on a socket: the multiplex machine or one call. */
export interface Connection {
  receive(data: string | Uint8Array): void;
  /** Anything was heard of the client that is no message. */
  alive(): void;
  /** The socket takes bytes again. */
  roomy(): void;
  /** The gateway drains: no new calls, and the client is to come back after `leaveMs`. */
  drain(leaveMs: number): void;
  /** That moment has come: closes as soon as nothing is open that the client could not resume. */
  leave(): void;
  /** Ends the streams that the client could not resume; with `all`, whatever still runs, and closes. */
  cut(all: boolean): void;
  /** The client left. Cancels everything. */
  gone(): void;
}

/** Bytes that wait in the process for one socket before its calls stop reading from their services. */
export const HIGH_WATER = 65_536;

/** How long a client that seemed dead may take to show that it is not, and one that is too slow to read that it is, in ms. */
const LAST_CHANCE_MS: Readonly<Record<number, number>> = { [Close.NO_PONG]: 1000, [Close.SLOW]: 10_000 };

/** While reading is paused, only a failing write shows that the client has gone: one is tried this often, in ms. */
const PROBE_MS = 500;

/** Says that the close has begun, whoever began it: 'close' comes only when the handshake is over. */
export class ClosingWebSocket extends WebSocket {
  override close(code?: number, reason?: string | Buffer): void {
    const before = this.readyState;
    super.close(code, reason);
    if (before === WebSocket.OPEN) this.emit('closing');
  }
}

const READY = Promise.resolve();

/** `raw` is the connection under `ws`. */
export function createSocket(ws: WebSocket, raw: Duplex): Socket {
  let drained: Promise<void> | undefined;
  let release: (() => void) | undefined;
  let corked = false;
  let probe: NodeJS.Timeout | undefined;
  const flushed = (): void => {
    if (release === undefined || (ws.readyState === WebSocket.OPEN && ws.bufferedAmount > HIGH_WATER / 2))
      return;
    const resolve = release;
    release = undefined;
    drained = undefined;
    resolve();
    // What was stuck has moved on, so somebody reads: a slow client may take its time to come to our ping.
    ws.emit('progress');
  };
  const uncork = (): void => {
    corked = false;
    raw.uncork();
  };
  ws.once('close', () => {
    clearInterval(probe);
    flushed();
  });
  return {
    send(data) {
      if (ws.readyState !== WebSocket.OPEN) return READY;
      if (!corked) {
        // What is sent in one turn (opened, msg, end of a unary call) leaves in one write.
        corked = true;
        raw.cork();
        process.nextTick(uncork);
      }
      ws.send(data, flushed);
      if (drained !== undefined) return drained;
      if (ws.bufferedAmount <= HIGH_WATER) return READY;
      drained = new Promise((resolve) => {
        release = resolve;
      });
      return drained;
    },
    write(frames) {
      // The ws package writes a frame in one turn when it does not compress, so that ours cannot come between its parts; after its close
      // frame nothing may come at all.
      if (ws.readyState === WebSocket.OPEN && raw.writable && frames.length > 0) raw.write(frames);
    },
    isFull: () => raw.writableNeedDrain,
    close(code, reason) {
      clearInterval(probe);
      ws.resume();
      ws.close(code, reason);
      const lastChanceMs = LAST_CHANCE_MS[code];
      if (lastChanceMs === undefined) return;
      const timer = setTimeout(() => ws.terminate(), lastChanceMs);
      ws.once('close', () => clearTimeout(timer));
    },
    pause() {
      ws.pause();
      clearInterval(probe);
      probe = setInterval(() => ws.ping(), PROBE_MS);
    },
    resume() {
      clearInterval(probe);
      ws.resume();
    },
    ping: () => ws.ping(),
  };
}

/** Binds what lives on a socket to its events. Calls `done` once, when the socket is gone. */
export function attach(ws: WebSocket, raw: Duplex, connection: Connection, done: () => void): void {
  const gone = (): void => connection.gone();
  const roomy = (): void => {
    // Somebody reads: a slow client may take its time to come to our ping.
    connection.alive();
    connection.roomy();
  };
  ws.on('message', (data: Buffer, isBinary) => connection.receive(isBinary ? data : data.toString()));
  ws.on('pong', () => connection.alive());
  ws.on('ping', () => connection.alive());
  ws.on('progress', () => connection.alive());
  // 'closing' is the client's close frame or a fault such as bad UTF-8 (1007) or a frame too long (1009), which ws has
  // already answered; 'end' is a client that left without a word. Neither waits for what we still had to send.
  ws.on('closing', gone);
  raw.once('end', gone);
  raw.on('drain', roomy);
  ws.on('error', gone);
  ws.once('close', () => {
    connection.gone();
    done();
  });
}
