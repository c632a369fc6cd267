/** How a multiplexed socket is given up without a loss: no new calls, and closed when nothing is open that its client could not resume. */
import type { Farewell } from '../streams.js';
import type { Close } from './ws_close.js';

export interface Reason {
  readonly code: Close;
  /** For the client. */
  readonly text: string;
  readonly why: Farewell;
}

export interface Departing {
  /** Whether the client can go on elsewhere with everything that is open. */
  isFree(): boolean;
  /** Closes. */
  depart(reason: Reason): void;
}

export class Departure {
  readonly #departing: Departing;
  #reason: Reason | undefined;
  #due = false;

  constructor(departing: Departing) {
    this.#departing = departing;
  }

  /** Why no new calls are taken, if so. */
  get reason(): Reason | undefined {
    return this.#reason;
  }

  /** From now on there are no new calls; of two reasons the later one counts. */
  announce(reason: Reason): void {
    this.#reason = reason;
  }

  /** The moment has come. */
  leave(): void {
    this.#due = true;
    this.check();
  }

  /** A call has ended. */
  check(): void {
    if (this.#due && this.#reason !== undefined && this.#departing.isFree())
      this.#departing.depart(this.#reason);
  }
}
