/** Everybody gets what is new, in slices: thousands of writes in a row would keep all other work waiting. */
import type { SharedDelivery } from './delivery.js';

/** How long one slice may take, in ms, and how many writes lie between looks at the clock. */
const SLICE_MS = 4;
const SLICE_DELIVERIES = 64;

/** `done` is called each time that everybody has been served. What is called for while that goes on is served right after. */
export function createBroadcast(deliveries: ReadonlySet<SharedDelivery>, done: () => void): () => void {
  let running = false;
  let again = false;

  const serve = (left: Iterator<SharedDelivery>): void => {
    const until = performance.now() + SLICE_MS;
    for (let count = 1; ; count++) {
      const next = left.next();
      if (next.done === true) break;
      next.value.deliver();
      if (count % SLICE_DELIVERIES === 0 && performance.now() > until) {
        setImmediate(() => serve(left));
        return;
      }
    }
    running = false;
    if (again) broadcast();
    else done();
  };

  const broadcast = (): void => {
    again = running;
    if (running) return;
    running = true;
    // What comes in the same turn of the event loop leaves in the same write.
    setImmediate(() => serve(deliveries.values()));
  };
  return broadcast;
}
