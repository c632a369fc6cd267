/** The connections of the WebSocket door, and how they come to an end when the gateway drains. */
import type { Principal } from '../../src/principal.js';
import { depart, type Moments, momentsOf } from '../drain.js';
import type { Connection, Home } from './ws_socket.js';

/** How long sockets may take to close after the last call was cut, in ms. */
const CLOSE_MS = 1000;

/** Of which nothing is left without a word. */
export interface Destroyable {
  terminate(): void;
}

export interface Live extends Home {
  /** Whether the end has begun. */
  readonly draining: boolean;
  /** A connection, or a call whose handshake is not over, and what it is on. */
  add(connection: Connection, under: Destroyable): void;
  remove(connection: Connection): void;
  /** Ends those whose principal's rights were taken back. */
  revoke(isRevoked: (principal: Principal) => boolean): void;
  /** Tells all, lets each leave at its moment, and cuts what still runs after `drainMs`. Resolves when none is left. */
  drain(): Promise<void>;
}

export function createLive(drainMs: number): Live {
  const connections = new Map<Connection, Destroyable>();
  let idle: (() => void) | undefined;
  let drained: Promise<void> | undefined;

  /** Resolves when no connection is left, at the latest after `ms`. */
  const empty = (ms: number): Promise<void> => {
    if (connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };
  const run = async (): Promise<void> => {
    const all = [...connections.keys()];
    const moments = momentsOf(all.length, drainMs);
    const leaving = all.map((connection, index) => {
      const { leaveAt, cutAt } = moments[index] as Moments;
      return { leaveAt, cutAt, leave: () => connection.leave(), cut: () => connection.cut(false) };
    });
    for (const [index, connection] of all.entries()) connection.drain(leaving[index]?.leaveAt ?? 0);
    await depart(leaving, drainMs, () => connections.size === 0);
    for (const connection of [...connections.keys()]) connection.cut(true);
    await empty(CLOSE_MS);
    for (const under of [...connections.values()]) under.terminate();
    await empty(CLOSE_MS);
  };
  return {
    get draining() {
      return drained !== undefined;
    },
    add(connection, under) {
      connections.set(connection, under);
      if (drained === undefined) return;
      connection.drain(0);
      connection.leave();
    },
    remove(connection) {
      connections.delete(connection);
      if (connections.size === 0) idle?.();
    },
    revoke(isRevoked) {
      for (const connection of [...connections.keys()]) {
        if (isRevoked(connection.principal)) connection.revoke();
      }
    },
    drain() {
      drained ??= run();
      return drained;
    },
  };
}
