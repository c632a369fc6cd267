/** Leases that a server keeps: renewed at a third of their time, and given up before anybody else can have them. */
import { randomUUID } from 'node:crypto';
import { checkTtl } from './arguments.js';
import { BrokerError, type Lease } from './broker.js';

/** What a server does for leases. A token is the holder's alone. */
export interface LeaseServer {
  /** False when somebody else holds it. */
  acquire(name: string, token: string, ttlMs: number): Promise<boolean>;
  /** False when it is not, and can not be, the holder's any more. */
  renew(name: string, token: string, ttlMs: number): Promise<boolean>;
  /** Of no effect when it is not the holder's. */
  release(name: string, token: string): Promise<void>;
}

export interface Leases {
  acquire(name: string, ttlMs: number): Promise<Lease | undefined>;
  /** Looks at once whether all of them are still held: the server may have lost them. */
  check(): void;
  /** Releases what is held. */
  close(): Promise<void>;
}

interface Held {
  check(): void;
  release(): Promise<void>;
  lose(reason: string): void;
}

export function createLeases(server: LeaseServer): Leases {
  const held = new Set<Held>();

  return {
    async acquire(name, ttlMs) {
      checkTtl(ttlMs);
      const token = randomUUID();
      const asked = performance.now();
      if (!(await server.acquire(name, token, ttlMs))) return undefined;
      return keep(name, { token, ttlMs, asked });
    },
    check() {
      for (const lease of held) lease.check();
    },
    async close() {
      const all = [...held];
      for (const lease of all) lease.lose('the broker is closed');
      await Promise.all(all.map((lease) => lease.release()));
    },
  };

  function keep(
    name: string,
    { token, ttlMs, asked }: { readonly token: string; readonly ttlMs: number; readonly asked: number },
  ): Lease {
    const lost = new AbortController();
    // The server counts from when it was asked or later; the rest is for timers that are late.
    const safeMs = ttlMs * 0.9;
    let over = false;
    let released: Promise<void> | undefined;
    let deadline = setTimeout(expire, asked + safeMs - performance.now());
    let next = setTimeout(renew, ttlMs / 3);

    function end(): void {
      over = true;
      clearTimeout(deadline);
      clearTimeout(next);
    }
    function lose(reason: string): void {
      if (over) return;
      end();
      lost.abort(new BrokerError(`the lease ${name} is lost: ${reason}`));
    }
    function expire(): void {
      lose(`it could not be renewed for ${safeMs} ms`);
      held.delete(lease);
      // A renewal may still arrive: the server is not to keep it for nobody.
      void release();
    }
    async function renew(): Promise<void> {
      clearTimeout(next);
      const before = performance.now();
      const still = await server.renew(name, token, ttlMs).catch(() => undefined);
      if (over) return;
      if (still === false) {
        lose('somebody else has it');
        held.delete(lease);
        return;
      }
      if (still) {
        clearTimeout(deadline);
        deadline = setTimeout(expire, before + safeMs - performance.now());
      }
      next = setTimeout(renew, still ? ttlMs / 3 : Math.min(ttlMs / 10, 500));
    }
    function release(): Promise<void> {
      end();
      held.delete(lease);
      released ??= server.release(name, token).catch(() => {});
      return released;
    }

    const lease: Held = { check: () => void renew(), release, lose };
    held.add(lease);
    return { lost: lost.signal, release };
  }
}
