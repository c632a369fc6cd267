/** The broker of gateways that share one NATS (2.9 or newer) with JetStream. */
import { randomBytes } from 'node:crypto';
import { checkMark, checkTtl } from './arguments.js';
import type { Broker } from './broker.js';
import { createLeases } from './leases.js';
import { connectNats, type NatsLink } from './nats_connection.js';
import { createNatsFollowers } from './nats_followers.js';
import { NatsLogs } from './nats_logs.js';
import { createNatsMembers } from './nats_members.js';
import { stateSubject } from './nats_names.js';
import { type Cell, NatsState } from './nats_state.js';
import { createStates } from './states.js';

export interface NatsBrokerOptions {
  readonly url: URL;
  /** The URL without its password. */
  readonly shown: string;
  readonly callMs: number;
}

/** Its `first` resolves when it is ready, and rejects if the server will never serve us. */
export async function createNatsBroker({
  url,
  shown,
  callMs,
}: NatsBrokerOptions): Promise<{ readonly broker: Broker; readonly first: Promise<void> }> {
  const states = createStates('connecting');
  const followers = createNatsFollowers(() => link);
  const link: NatsLink = await connectNats({
    url,
    shown,
    callMs,
    prepare: (client) => followers.prepare(client),
    changed(connected) {
      states.set(connected ? 'ready' : 'connecting');
      if (connected) followers.gap();
    },
  });
  const state = new NatsState(link);
  const leases = createNatsLeases(state);
  // A server that comes back may have come back without them.
  states.onState((is) => {
    if (is === 'ready') leases.check();
  });
  const spaces = new Map<string, NatsLogs>();
  let closing: Promise<void> | undefined;

  const broker: Broker = {
    kind: 'nats',
    shared: true,
    logs(space, retention) {
      const logs = spaces.get(space) ?? new NatsLogs({ space, retention, link, followers });
      spaces.set(space, logs);
      return logs;
    },
    acquire: (name, ttlMs) => leases.acquire(name, ttlMs),
    members: createNatsMembers(state),
    async raise(name, value, ttlMs) {
      checkMark(value);
      checkTtl(ttlMs);
      return state.change(stateSubject('mark', name), (cell, now) => {
        const raised = Math.max(value, Number(live(cell, now)?.parts[0] ?? 0));
        return { put: { ttlMs, parts: [String(raised)] }, answer: raised };
      });
    },
    async secret(name) {
      const proposed = randomBytes(32).toString('base64url');
      const kept = await state.change(stateSubject('secret', name), (cell) =>
        cell
          ? { answer: cell.parts[0] ?? '' }
          : { put: { ttlMs: undefined, parts: [proposed] }, answer: proposed },
      );
      return Buffer.from(kept, 'base64url');
    },
    state: states.state,
    onState: states.onState,
    close() {
      closing ??= (async () => {
        await leases.close();
        state.close();
        for (const logs of spaces.values()) logs.close();
        link.close();
        states.set('closed');
      })();
      return closing;
    },
  };
  return { broker, first: link.first };
}

function createNatsLeases(state: NatsState): ReturnType<typeof createLeases> {
  const subject = (name: string): string => stateSubject('lease', name);
  return createLeases({
    acquire: (name, token, ttlMs) =>
      state.change(subject(name), (cell, now) =>
        live(cell, now) ? { answer: false } : { put: { ttlMs, parts: [token] }, answer: true },
      ),
    // A lease that the server has lost is the holder's again.
    renew: (name, token, ttlMs) =>
      state.change(subject(name), (cell, now) => {
        const holder = live(cell, now)?.parts[0];
        if (holder !== undefined && holder !== token) return { answer: false };
        return { put: { ttlMs, parts: [token] }, answer: true };
      }),
    release: (name, token) =>
      state.change(subject(name), (cell) => ({ remove: cell?.parts[0] === token, answer: undefined })),
  });
}

/** What has not expired. */
function live(cell: Cell | undefined, now: number): Cell | undefined {
  return cell && cell.until > now ? cell : undefined;
}
