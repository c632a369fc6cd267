/** Tickets: what stands in the URL of an EventSource or a WebSocket in place of a token, for a short time and once. */
import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto';
import type { Broker } from '../../src/broker/broker.js';
import { retryInfo } from '../../src/details.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { TokenRefusal } from './jws.js';
import { TICKET_PREFIX } from './sources.js';

export interface Ticket {
  readonly ticket: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface TicketCounts {
  issued: number;
  redeemed: number;
  refused: number;
}

export interface Tickets {
  /** Of a token that was verified. Rejects with StatusError: RESOURCE_EXHAUSTED when too many wait, UNAVAILABLE without the broker. */
  issue(token: string, principal: Principal): Promise<Ticket>;
  /** The token that it stands for: once, on any node. Rejects with StatusError: UNAUTHENTICATED, or UNAVAILABLE without the broker. */
  redeem(ticket: string): Promise<string>;
  readonly counts: Readonly<TicketCounts>;
  close(): void;
}

export interface TicketsOptions {
  /** Keeps them: shared, for every node to redeem. */
  readonly broker: Pick<Broker, 'members'>;
  readonly ttlMs: number;
  /** That wait to be used at once, of this node's. */
  readonly most: number;
}

/** Of one principal, this part of all that may wait, but never fewer than the other. */
const SHARE = 100;
const SHARE_AT_LEAST = 10;
const SYNTAX = new RegExp(`^${TICKET_PREFIX}[\\w-]{32}$`);
const SET = 'tickets/';
const MEMBER = 'token';
/** Nobody has two boxes with one key. */
const NONCE = Buffer.alloc(12);
const TAG_BYTES = 16;

interface Waiting {
  readonly owner: string;
  readonly until: number;
}

export function createTickets({ broker, ttlMs, most }: TicketsOptions): Tickets {
  const { members } = broker;
  const waiting = new Map<string, Waiting>();
  const byOwner = new Map<string, number>();
  const share = Math.max(Math.floor(most / SHARE), SHARE_AT_LEAST);
  const counts: TicketCounts = { issued: 0, redeemed: 0, refused: 0 };

  const count = (owner: string, by: 1 | -1): void => {
    const next = (byOwner.get(owner) ?? 0) + by;
    if (next === 0) byOwner.delete(owner);
    else byOwner.set(owner, next);
  };
  const forget = (id: string): void => {
    const one = waiting.get(id);
    if (one === undefined) return;
    waiting.delete(id);
    count(one.owner, -1);
  };
  const forgetExpired = (): void => {
    const now = Date.now();
    // In the order in which they expire, but for those of tokens that expire earlier.
    for (const [id, { until }] of waiting) {
      if (until > now) break;
      forget(id);
    }
  };
  // What was never used would stay until somebody asks.
  const tidy = setInterval(
    () => {
      forgetExpired();
      members.sweep(SET).catch(() => {});
    },
    Math.max(ttlMs, 10_000),
  ).unref();

  const refuse = (): never => {
    counts.refused++;
    throw new TokenRefusal('ticket: not known, used before, or expired');
  };

  return {
    counts,
    async issue(token, { subject, issuer = '', expiresAt = Number.POSITIVE_INFINITY }) {
      forgetExpired();
      const owner = JSON.stringify([issuer, subject]);
      if (waiting.size >= most || (byOwner.get(owner) ?? 0) >= share) {
        throw new StatusError(Code.RESOURCE_EXHAUSTED, 'too many tickets wait to be used', {
          details: [retryInfo(ttlMs)],
        });
      }
      const ticket = `${TICKET_PREFIX}${randomBytes(24).toString('base64url')}`;
      const id = idOf(ticket);
      const until = Date.now() + Math.max(Math.min(ttlMs, expiresAt - Date.now()), 1000);
      waiting.set(id, { owner, until });
      count(owner, 1);
      try {
        const left = Math.max(until - Date.now(), 1);
        await members.put(SET + id, MEMBER, { ttlMs: Math.floor(left), value: lock(ticket, token) });
      } catch (thrown) {
        forget(id);
        throw unavailable(thrown);
      }
      counts.issued++;
      return { ticket, expiresAt: Math.floor(until) };
    },

    async redeem(ticket) {
      if (!SYNTAX.test(ticket)) return refuse();
      const id = idOf(ticket);
      const set = SET + id;
      try {
        const [kept] = await members.list(set);
        // Of all who try, one alone takes it away.
        if (kept === undefined || !(await members.remove(set, MEMBER))) return refuse();
        forget(id);
        counts.redeemed++;
        return unlock(ticket, kept.value);
      } catch (thrown) {
        throw thrown instanceof StatusError ? thrown : unavailable(thrown);
      }
    },

    close: () => clearInterval(tidy),
  };
}

function unavailable(cause: unknown): StatusError {
  return new StatusError(Code.UNAVAILABLE, 'tickets cannot be kept at the moment', {
    details: [retryInfo(1000)],
    cause,
  });
}

/**
 * The name that a ticket is kept under, and the key that its token is locked with, both come from the ticket, which is kept nowhere: whoever reads
 * the broker can neither use a ticket nor see a token; and whoever writes there can make no token.
 */
function idOf(ticket: string): string {
  return hash('sha256', `name ${ticket}`, 'base64url');
}

function keyOf(ticket: string): Buffer {
  return hash('sha256', `key ${ticket}`, 'buffer');
}

function lock(ticket: string, token: string): string {
  const cipher = createCipheriv('aes-256-gcm', keyOf(ticket), NONCE);
  return Buffer.concat([cipher.update(token), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** Throws TokenRefusal for what somebody else has put in its place. */
function unlock(ticket: string, value: string): string {
  const bytes = Buffer.from(value, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(ticket), NONCE, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG_BYTES)), decipher.final()]).toString();
  } catch {
    throw new TokenRefusal('ticket: not known, used before, or expired');
  }
}
