/** Notices a multiplexed WebSocket on which nothing has been open for long. */

export class Idle {
  /** By performance.now(); undefined: a call was open when somebody last looked. */
  #since: number | undefined;

  /** `ms`: for how long nothing may be open; 0 is for ever. */
  constructor(readonly ms: number) {}

  /** Whether nothing was open, whenever somebody looked, for too long. */
  isOver(isOpen: boolean): boolean {
    if (isOpen || this.ms === 0) {
      this.#since = undefined;
      return false;
    }
    const now = performance.now();
    this.#since ??= now;
    return now - this.#since >= this.ms;
  }

  /** Something was opened. */
  end(): void {
    this.#since = undefined;
  }
}
