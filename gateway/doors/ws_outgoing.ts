/** The control frames of a multiplexed WebSocket on their way out: a client that makes us answer and does not read the answers is not read either. */
import type { Socket } from './ws_socket.js';

/** Control frames that the socket has not taken before we stop reading what causes them. */
const UNSENT_MOST = 64;

export class Outgoing {
  #unsent = 0;
  #reading = true;
  #closed = false;

  /** `resumed`: the client is read again. */
  constructor(
    private readonly socket: Socket,
    private readonly resumed: () => void,
  ) {}

  send(frame: string | Uint8Array): void {
    this.#unsent++;
    if (this.#unsent > UNSENT_MOST && this.#reading) {
      this.#reading = false;
      this.socket.pause();
    }
    void this.socket.send(frame).then(() => this.#sent());
  }

  /** The socket closes: it is no longer paused or read for our sake. */
  close(): void {
    this.#closed = true;
  }

  #sent(): void {
    this.#unsent--;
    if (this.#reading || this.#unsent > UNSENT_MOST / 2 || this.#closed) return;
    this.#reading = true;
    this.resumed();
    this.socket.resume();
  }
}
