/** Time limits of calls to a server. */
import { BrokerError } from './broker.js';

/** How long a server may take before a call to it rejects. */
export const CALL_MS = 3000;

/** The result of `work`; rejects with BrokerError after `ms`, whatever becomes of it then. */
export function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new BrokerError(`${what}: no answer in ${ms} ms`));
    // What has arrived while this process was busy is read before it is called late.
    const timer = setTimeout(() => setImmediate(late), ms);
    work.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
