/** Opens the broker that an URL names. */
import type { Broker } from './broker.js';
import { createMemoryBroker } from './memory.js';
import { CALL_MS } from './within.js';

/** How long a broker that does not answer yet is waited for. */
const WAIT_MS = 5000;

export interface OpenOptions {
  /** How long to wait for a server that does not answer yet; default 5 s. */
  readonly waitMs?: number;
  /** How long a server may take to answer a call, at least 100 ms; default 3 s. */
  readonly callMs?: number;
  /** What all logs of `memory` may take together, in bytes; default 256 MiB. */
  readonly logBytes?: number;
}

interface Opening {
  readonly broker: Broker;
  /** Resolves when it is ready; rejects if the server will never serve us. */
  readonly first: Promise<void>;
}

/**
 * `memory` (or undefined), `redis://`, `rediss://`, `nats://` or `tls://` (NATS). Rejects with an Error that names what is wrong with the URL, and with BrokerError when the
 * server refuses us (password, version). A server that is not there within `waitMs` is not waited for any longer: the broker is `connecting` until it
 * is, and every call rejects until then.
 */
export async function openBroker(url: string | undefined, options: OpenOptions = {}): Promise<Broker> {
  if (url === undefined || url === 'memory') return createMemoryBroker(options);
  const { broker, first } = await open(url, options.callMs ?? CALL_MS);
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options.waitMs ?? WAIT_MS);
  });
  try {
    await Promise.race([first, enough]);
  } catch (error) {
    await broker.close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return broker;
}

async function open(text: string, callMs: number): Promise<Opening> {
  if (text === '') throw new Error('the broker is empty: memory, or an URL');
  if (!URL.canParse(text)) throw new Error(`broker ${withoutPassword(text)}: not an URL`);
  const url = new URL(text);
  const shown = `${url.protocol}//${url.host}${url.pathname}`;
  const bad = (problem: string): Error => new Error(`broker ${withoutPassword(text)}: ${problem}`);
  switch (url.protocol) {
    case 'redis:':
    case 'rediss:': {
      if (url.hostname === '') throw bad('no host');
      if (!/^\/?\d*$/.test(url.pathname)) throw bad('the path is the number of a database');
      const { createRedisBroker } = await import('./redis.js');
      return createRedisBroker({ url, shown, callMs });
    }
    case 'nats:':
    case 'tls:': {
      if (url.hostname === '') throw bad('no host');
      if (!/^\/?$/.test(url.pathname)) throw bad('a path means nothing to NATS');
      if (!isEncoded(url.username) || !isEncoded(url.password)) {
        throw bad('a % of the password is written %25');
      }
      const { createNatsBroker } = await import('./nats.js');
      return createNatsBroker({ url, shown, callMs });
    }
    default:
      throw bad('memory, redis://, rediss://, nats:// and tls:// are known');
  }
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** What stands after the last `@`: of an URL that is mistaken, nobody knows where the password ends. */
function withoutPassword(url: string): string {
  return url.replace(/^([a-z]+:\/*)?.*@/is, '$1');
}
