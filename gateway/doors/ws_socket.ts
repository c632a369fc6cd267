/** A WebSocket as the rest of the door sees it: sends that say when to go on, and a client that may leave. */
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Principal } from '../../src/principal.js';
import { DirectWriter } from '../http/direct_write.js';
import type { Meter } from './door.js';
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
  /** The client sends more than it may: closes with 4102. */
  flooded(): void;
  /** The client left. Cancels everything. */
  gone(): void;
  /** Whose rights everything on it is done by. */
  readonly principal: Principal;
  /** Those were taken back: ends everything, and closes. */
  revoke(): void;
}

/** Bytes that wait in the process for one socket before its calls stop reading from their services. */
export const HIGH_WATER = 65_536;

/** How long a client that seemed dead may take to show that it is not, one that sends too much to stop, and one that is too slow to read that it is, in ms. */
const LAST_CHANCE_MS: Readonly<Record<number, number>> = {
  [Close.NO_PONG]: 1000,
  [Close.OVERLOAD]: 1000,
  [Close.SLOW]: 10_000,
};

/** While reading is paused, only a failing write shows that the client has gone: one is tried this often, in ms. */
const PROBE_MS = 500;

const READY = Promise.resolve();

/** Where connections are kept while they last. */
export interface Home {
  remove(connection: Connection): void;
}

/**
 * Says what happens to its connection without an event listener for each: a table of those takes half a KB for each socket. And says that the
 * close has begun, whoever began it: 'close' comes only when the handshake is over.
 */
export class ClosingWebSocket extends WebSocket {
  /** What lives on it. */
  connection: Connection | undefined;
  /** How that reaches it. */
  line: Line | undefined;
  /** What its client may still send; undefined: as much as it likes. */
  meter: Meter | undefined;
  home: Home | undefined;

  override close(code?: number, reason?: string | Buffer): void {
    const before = this.readyState;
    super.close(code, reason);
    this.line?.shut();
    // The client's close frame, or a fault such as bad UTF-8 (1007) or a frame too long (1009), which ws has already answered.
    if (before === WebSocket.OPEN) this.connection?.gone();
  }

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    switch (event) {
      case 'message':
        this.received(values[0] as Buffer, values[1] === true);
        return true;
      case 'ping':
      case 'pong':
        if (this.meter?.take() === false) this.connection?.flooded();
        else this.connection?.alive();
        return true;
      case 'error':
        if (TOO_LARGE.has((values[0] as NodeJS.ErrnoException).code)) this.meter?.reached('frame');
        this.connection?.gone();
        return true;
      case 'close':
        this.closed();
    }
    return super.emit(event, ...values);
  }

  private received(data: Buffer, isBinary: boolean): void {
    const { connection, meter } = this;
    if (meter?.take() === false) connection?.flooded();
    else connection?.receive(isBinary ? data : data.toString());
  }

  private closed(): void {
    const { connection, home } = this;
    this.line?.stopProbing();
    this.line?.flushed();
    this.meter?.close();
    if (connection === undefined) return;
    connection.gone();
    home?.remove(connection);
  }
}

/** One object for each socket, without closures of its own: an idle one is held for hours. */
class Line extends DirectWriter implements Socket {
  private sent: Promise<void> | undefined;
  private release: (() => void) | undefined;
  private corked = false;
  /** Whether our close frame has been sent: after it nothing may come at all. */
  private isShut = false;
  private probe: NodeJS.Timeout | undefined;

  constructor(
    private readonly ws: ClosingWebSocket,
    raw: Duplex,
  ) {
    super(raw);
  }

  send(data: string | Uint8Array): Promise<void> {
    const { ws, raw } = this;
    if (ws.readyState !== WebSocket.OPEN) return READY;
    if (!this.corked) {
      // What is sent in one turn (opened, msg, end of a unary call) leaves in one write.
      this.corked = true;
      raw.cork();
      process.nextTick(uncork, this);
    }
    ws.send(data);
    if (this.sent !== undefined) return this.sent;
    if (ws.bufferedAmount <= HIGH_WATER) return READY;
    this.sent = new Promise((resolve) => {
      this.release = resolve;
    });
    return this.sent;
  }

  /** Everything has left, or nothing ever will. */
  flushed(): void {
    const { release } = this;
    this.release = undefined;
    this.sent = undefined;
    release?.();
  }

  uncork(): void {
    this.corked = false;
    this.raw.uncork();
  }

  write(frames: Uint8Array): void {
    // The ws package writes a frame in one turn when it does not compress, so that ours cannot come between its parts.
    if (!this.isShut && frames.length > 0) this.writeRaw(frames);
  }

  shut(): void {
    this.isShut = true;
  }

  /** Somebody reads: a slow client may take its time to come to our ping. */
  drained(): void {
    const { connection } = this.ws;
    if (!this.raw.writableNeedDrain) this.flushed();
    connection?.alive();
    connection?.roomy();
  }

  close(code: number, reason: string): void {
    const { ws } = this;
    this.stopProbing();
    ws.resume();
    ws.close(code, reason);
    const lastChanceMs = LAST_CHANCE_MS[code];
    if (lastChanceMs === undefined) return;
    const timer = setTimeout(() => ws.terminate(), lastChanceMs);
    ws.once('close', () => clearTimeout(timer));
  }

  pause(): void {
    this.ws.pause();
    this.stopProbing();
    this.probe = setInterval(() => this.ws.ping(), PROBE_MS);
  }

  resume(): void {
    this.stopProbing();
    this.ws.resume();
  }

  ping(): void {
    this.ws.ping();
  }

  stopProbing(): void {
    clearInterval(this.probe);
    this.probe = undefined;
  }
}

function uncork(line: Line): void {
  line.uncork();
}

/** `raw` is the connection under `ws`. */
export function createSocket(ws: ClosingWebSocket, raw: Duplex): Socket {
  const line = new Line(ws, raw);
  ws.line = line;
  return line;
}

/** How ws names a message that is too large, and one of too many parts. */
const TOO_LARGE: ReadonlySet<unknown> = new Set([
  'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH',
  'WS_ERR_TOO_MANY_BUFFERED_PARTS',
]);

/** A connection of the process, and the WebSocket on it. */
interface Attached extends Duplex {
  [ATTACHED]?: ClosingWebSocket;
}

const ATTACHED = Symbol('the WebSocket on this connection');

function onRawEnd(this: Attached): void {
  this[ATTACHED]?.connection?.gone();
}

function onRawDrain(this: Attached): void {
  this[ATTACHED]?.line?.drained();
}

/** Binds what lives on a socket to its events. `home` is told when the socket is gone. */
export function attach(ws: ClosingWebSocket, raw: Duplex, connection: Connection, home: Home): void {
  ws.connection = connection;
  ws.home = home;
  (raw as Attached)[ATTACHED] = ws;
  // A client that left without a word: nobody waits for what we still had to send.
  raw.on('end', onRawEnd);
  raw.on('drain', onRawDrain);
}
