/** Tokens that were taken back before their time: by id (`jti`) or by subject, known to all nodes, over restarts of each of them. */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Broker } from '../../src/broker/broker.js';
import { followLog } from '../../src/broker/follower.js';
import { retryInfo } from '../../src/details.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';

export interface Revocation {
  /** Of one token; or else */
  readonly tokenId?: string;
  /** all tokens of a subject that were issued */
  readonly subject?: string;
  /** before this time, in ms since the epoch. */
  readonly before?: number;
  /** Of whose tokens; undefined: of all issuers. */
  readonly issuer?: string;
  /** Until when it is remembered, in ms since the epoch: by then what it is about has expired. */
  readonly until: number;
}

type Hear = (isRevoked: (principal: Principal) => boolean) => void;

export interface Revocations {
  isRevoked(principal: Principal): boolean;
  /** Resolves when every node that is there will know. Rejects with StatusError UNAVAILABLE when the broker does not take it: then nobody knows. */
  revoke(revocation: Revocation): Promise<void>;
  /** Hears whenever something was revoked, here or elsewhere, until the result is called. */
  onRevoked(hear: Hear): () => void;
  /** Resolves when all that the broker remembers is known here. Never rejects. */
  readonly ready: Promise<void>;
  readonly size: () => number;
  close(): void;
}

const SPACE = 'auth';
const LOG = 'revocations';
/** One takes about 150 bytes. Their ends are their own; the log keeps them for at least as long as almost any. */
const RETENTION = { entries: 1_000_000, ageMs: 400 * 24 * 3_600_000, bytes: 256 * 1024 * 1024 };
const TIDY_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export function createRevocations(broker: Pick<Broker, 'logs'>, log: Logger): Revocations {
  const logs = broker.logs(SPACE, RETENTION);
  const known = new Known();
  const hearers = new Set<Hear>();
  const closing = new AbortController();
  let isReady = (): void => {};
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const isRevoked = (principal: Principal): boolean => known.has(principal);
  const take = (revocations: readonly Revocation[]): void => {
    const news = revocations.filter((one) => known.add(one));
    if (news.length > 0) for (const hear of hearers) hear(isRevoked);
  };
  const tidy = setInterval(() => known.forgetPast(), TIDY_MS).unref();

  const follow = async (): Promise<void> => {
    const { signal } = closing;
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; ) {
      try {
        const follower = await followLog({ logs, name: LOG, after: 'earliest', signal });
        for await (const { entries, caughtUp } of follower) {
          take(entries.flatMap(({ data }) => read(data) ?? []));
          if (caughtUp) isReady();
          pauseMs = FIRST_PAUSE_MS;
        }
      } catch (thrown) {
        // Away, or it has lost what it knew: what is known here stays so.
        if (!signal.aborted)
          log.warn({ err: thrown }, 'the revocations of other nodes cannot be read; trying again');
      }
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => {});
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  };
  void follow();

  return {
    isRevoked,
    ready,
    size: () => known.size,
    async revoke(revocation) {
      const nonce = randomInt(2 ** 32);
      try {
        await logs.append(LOG, [{ nonce, data: Buffer.from(JSON.stringify(revocation)) }]);
      } catch (thrown) {
        throw new StatusError(
          Code.UNAVAILABLE,
          'the revocation cannot be kept at the moment: nothing is revoked',
          {
            details: [retryInfo(1000)],
            cause: thrown,
          },
        );
      }
      take([revocation]);
    },
    onRevoked(hear) {
      hearers.add(hear);
      return () => hearers.delete(hear);
    },
    close() {
      clearInterval(tidy);
      closing.abort();
      isReady();
    },
  };
}

/** Undefined for what no node of this version has written. */
function read(data: Uint8Array): Revocation | undefined {
  try {
    const value = JSON.parse(Buffer.from(data).toString()) as Revocation | null;
    return typeof value?.until === 'number' && value.until > Date.now() ? value : undefined;
  } catch {
    return undefined;
  }
}

/** By what a principal has. With nothing revoked, asking costs nothing. */
class Known {
  readonly #byToken = new Map<string, Revocation[]>();
  readonly #bySubject = new Map<string, Revocation[]>();

  get size(): number {
    let size = 0;
    for (const map of [this.#byToken, this.#bySubject]) for (const list of map.values()) size += list.length;
    return size;
  }

  has({ subject, tokenId, issuedAt, issuer }: Principal): boolean {
    if (this.#byToken.size > 0 && tokenId !== undefined) {
      if (this.#byToken.get(tokenId)?.some((one) => isOf(one, issuer))) return true;
    }
    if (this.#bySubject.size === 0) return false;
    // A token that does not say when it was issued may be older.
    const issued = issuedAt === undefined ? Number.NEGATIVE_INFINITY : issuedAt * 1000;
    return (
      this.#bySubject.get(subject)?.some((one) => isOf(one, issuer) && issued < (one.before ?? 0)) === true
    );
  }

  /** False for one that says nothing new. */
  add(revocation: Revocation): boolean {
    const { tokenId, subject, issuer, before = 0, until } = revocation;
    const [map, key] = tokenId === undefined ? [this.#bySubject, subject] : [this.#byToken, tokenId];
    if (key === undefined) return false;
    const list = map.get(key) ?? [];
    const same = list.findIndex((one) => one.issuer === issuer);
    const old = list[same];
    if (old !== undefined && (old.before ?? 0) >= before && old.until >= until) return false;
    if (old === undefined) list.push(revocation);
    else
      list[same] = {
        ...revocation,
        before: Math.max(before, old.before ?? 0),
        until: Math.max(until, old.until),
      };
    map.set(key, list);
    return true;
  }

  forgetPast(): void {
    const now = Date.now();
    for (const map of [this.#byToken, this.#bySubject]) {
      for (const [key, list] of map) {
        const left = list.filter(({ until }) => until > now);
        if (left.length === 0) map.delete(key);
        else if (left.length < list.length) map.set(key, left);
      }
    }
  }
}

function isOf({ issuer }: Revocation, its: string | undefined): boolean {
  return issuer === undefined || issuer === its;
}
