/** The frames of one session, both ways: read in order and not faster than they can be answered, and written as they come. */
import type { ClientFrame, Framing, ServerFrame } from './ws_frames.js';
import type { Socket } from './ws_socket.js';

/** Control frames that the socket has not taken before we stop reading what causes them. */
const UNSENT_MOST = 64;

export interface Receiver {
  readonly socket: Socket;
  readonly framing: Framing;
  /** Nothing more is to be read or written. */
  readonly over: boolean;
  /** Whether the client may send one frame more in a message: the first one was counted with the message. */
  admits(): boolean;
  /** A promise for a frame that the next ones have to wait for: until it is known whose they are. May throw. */
  take(frame: ClientFrame): Promise<void> | undefined;
  /** Reading goes on. */
  alive(): void;
  fail(thrown: unknown): void;
}

export class Traffic {
  readonly #receiver: Receiver;
  #unsent = 0;
  /** A client that makes us answer and does not read the answers is not read either. */
  #flooded = false;
  /** Messages that came while frames wait: reading is paused, but what was read before may still come. */
  #waiting: (string | Uint8Array)[] | undefined;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  receive(data: string | Uint8Array): void {
    if (this.#waiting !== undefined) {
      this.#waiting.push(data);
      return;
    }
    try {
      this.#read(this.#receiver.framing.decode(data)[Symbol.iterator](), true);
    } catch (thrown) {
      this.#receiver.fail(thrown);
    }
  }

  #read(frames: Iterator<ClientFrame>, isFirst: boolean): void {
    const receiver = this.#receiver;
    let isCounted = isFirst;
    try {
      for (let next = frames.next(); next.done !== true; next = frames.next()) {
        if (receiver.over || !(isCounted || receiver.admits())) return;
        isCounted = false;
        const known = receiver.take(next.value);
        if (known === undefined) continue;
        this.#wait(known, frames);
        return;
      }
    } catch (thrown) {
      receiver.fail(thrown);
    }
  }

  #wait(known: Promise<void>, frames: Iterator<ClientFrame>): void {
    const messages: (string | Uint8Array)[] = [];
    this.#waiting = messages;
    this.#receiver.socket.pause();
    const goOn = (): void => {
      this.#waiting = undefined;
      this.#resume();
    };
    known.then(
      () => {
        goOn();
        this.#read(frames, false);
        for (const data of messages) this.receive(data);
      },
      (thrown: unknown) => {
        goOn();
        this.#receiver.fail(thrown);
      },
    );
  }

  send(frame: ServerFrame): void {
    const { socket, framing, over } = this.#receiver;
    if (over) return;
    this.#unsent++;
    if (this.#unsent > UNSENT_MOST && !this.#flooded) {
      this.#flooded = true;
      socket.pause();
    }
    void socket.send(framing.encode(frame)).then(() => this.#sent());
  }

  #sent(): void {
    this.#unsent--;
    if (!this.#flooded || this.#unsent > UNSENT_MOST / 2) return;
    this.#flooded = false;
    this.#resume();
  }

  #resume(): void {
    const { socket, over } = this.#receiver;
    if (over || this.#flooded || this.#waiting !== undefined) return;
    this.#receiver.alive();
    socket.resume();
  }
}
