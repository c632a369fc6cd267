/** Notices a WebSocket client that has gone without a word. */

export interface WatchOptions {
  /** Between two pings, in ms. */
  readonly intervalMs: number;
  /** Asks the client for a sign of life. */
  readonly ping: () => void;
  /** Called once, when three pings in a row have had no answer. */
  readonly dead: () => void;
}

export interface Watch {
  /** Anything was heard of the client. */
  alive(): void;
  /** While we do not read, silence says nothing: the client is asked, but not judged. */
  setReading(reading: boolean): void;
  stop(): void;
}

const UNANSWERED = 3;

export function createWatch({ intervalMs, ping, dead }: WatchOptions): Watch {
  let unanswered = 0;
  let reading = true;
  const tick = (): void => {
    if (!reading) unanswered = 0;
    if (unanswered >= UNANSWERED) {
      clearInterval(timer);
      dead();
      return;
    }
    unanswered++;
    ping();
  };
  const timer = setInterval(tick, intervalMs);
  return {
    alive: () => {
      unanswered = 0;
    },
    setReading: (now) => {
      reading = now;
      unanswered = 0;
    },
    stop: () => clearInterval(timer),
  };
}
