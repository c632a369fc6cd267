/** How many WebSockets one principal has, and how much each caller sends on them. */
import { callerKey, describeCaller } from '../../src/policy/caller.js';
import { Tally, tooMany } from '../../src/policy/limit.js';
import type { Rates } from '../../src/policy/rates.js';
import { StatusError } from '../../src/status.js';
import type { Caller, Meter } from '../doors/door.js';

export interface SocketCountOptions {
  /** Messages and frames of one caller a second; undefined: any number. */
  readonly messages: Rates | undefined;
  /** WebSockets of one principal; 0: any number. */
  readonly perPrincipal: number;
  readonly reached: (limit: string) => void;
}

/** Opens meters: see SocketLimits. */
export function createSocketCount(options: SocketCountOptions): (caller: Caller) => Meter {
  const open = new Tally();
  return (caller) => new SocketMeter(caller, open, options);
}

/** One object for each socket. Rates are asked by key each time: a bucket that was forgotten would no longer be that of the others. */
class SocketMeter implements Meter {
  /** What it is counted under. */
  private principal: string | undefined;
  private key: string | undefined;

  constructor(
    caller: Caller,
    private readonly open: Tally,
    private readonly options: SocketCountOptions,
  ) {
    this.become(caller);
  }

  take(): boolean {
    const { messages } = this.options;
    if (messages === undefined || this.key === undefined || messages.take(this.key) === 0) return true;
    this.reached('messages');
    return false;
  }

  become(caller: Caller): void {
    const { perPrincipal } = this.options;
    const key = callerKey(caller);
    const principal = perPrincipal === 0 || caller.principal.subject === '' ? undefined : key;
    this.key = key;
    if (principal === this.principal) return;
    if (principal !== undefined && this.open.of(principal) >= perPrincipal)
      throw tooMany('connections_per_principal', perPrincipal, describeCaller(caller));
    this.close();
    this.principal = principal;
    if (principal !== undefined) this.open.enter(principal);
  }

  reached(limit: string): void {
    this.options.reached(limit);
  }

  failed(thrown: unknown): void {
    if (thrown instanceof StatusError && thrown.limit !== undefined) this.reached(thrown.limit);
  }

  close(): void {
    if (this.principal !== undefined) this.open.leave(this.principal);
    this.principal = undefined;
  }
}
