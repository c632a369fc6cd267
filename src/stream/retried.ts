/** Patience with a broker: what it does not answer is asked again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BrokerError } from '../broker/broker.js';

const FIRST_MS = 100;
const LONGEST_MS = 2_000;

/**
 * What `ask` answers, as soon as the broker does; rejects with the reason of the signal, or with any other error of `ask`. An append that
 * failed may have arrived: its next try is done once in all.
 */
export async function retried<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let delayMs = FIRST_MS; ; delayMs = Math.min(delayMs * 2, LONGEST_MS)) {
    signal.throwIfAborted();
    try {
      return await ask();
    } catch (thrown) {
      if (!(thrown instanceof BrokerError)) throw thrown;
    }
    await sleep(delayMs, undefined, { signal }).catch(() => {});
  }
}
