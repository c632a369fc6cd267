/** Access tokens that are taken back before they expire: told to the gateway, whose nodes all then refuse them and end what is open with them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AccessToken } from './store.js';

export interface RevokeTimes {
  /** For one answer of the gateway, in ms; default 2 s. */
  readonly timeoutMs: number;
  /** Before each further try, in ms; default 0.5, 2, 5 and 15 s. */
  readonly pausesMs: readonly number[];
  /** How long whoever asked waits, in ms; after it the rest is done on the side; default 1 s. */
  readonly waitMs: number;
}

const TIMES: RevokeTimes = { timeoutMs: 2_000, pausesMs: [500, 2_000, 5_000, 15_000], waitMs: 1_000 };
/** Waiting for the gateway at a time; those beyond run until they expire. */
const MOST_WAITING = 10_000;

/** One try that failed. */
export interface RevokeFailure {
  readonly problem: string;
  /** How often it is tried again. */
  readonly triesLeft: number;
}

export interface RevokeOptions {
  /** `POST /-/revocations` of a gateway. */
  readonly url: string;
  /** A token for it, with the permission `tidegate:revoke`. */
  readonly credential: () => Promise<string>;
  /** `iss` of the tokens. */
  readonly issuer: string;
  readonly failed: (failure: RevokeFailure) => void;
  readonly times?: Partial<RevokeTimes>;
}

export interface Revoke {
  /** Those of one login. Resolves when the gateway has taken them all, or `waitMs` later. Never rejects. */
  readonly tokens: (tokens: readonly AccessToken[]) => Promise<void>;
  /** All of a user's that were issued until `at`; `expiresAt`: when the last of them does. Both in ms since the epoch. As `tokens`. */
  readonly user: (
    userId: string,
    times: { readonly at: number; readonly expiresAt: number },
  ) => Promise<void>;
  /** What is still tried is given up. */
  readonly close: () => void;
}

/** Where no gateway is told. */
export const REVOKES_NOTHING: Revoke = { tokens: async () => {}, user: async () => {}, close() {} };

export function createRevoke({ url, credential, issuer, failed, times }: RevokeOptions): Revoke {
  const { timeoutMs, pausesMs, waitMs } = { ...TIMES, ...times };
  const closing = new AbortController();
  let waiting = 0;

  const post = async (body: object): Promise<void> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${await credential()}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, issuer }),
      // The credential is for this address.
      redirect: 'manual',
      signal: AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)]),
    });
    await response.body?.cancel();
    if (response.status !== 200) throw new Error(`the gateway answers ${response.status}`);
  };

  const insist = async (body: object): Promise<void> => {
    for (let tries = 0; !closing.signal.aborted; tries++) {
      try {
        await post(body);
        return;
      } catch (thrown) {
        if (closing.signal.aborted) return;
        failed({ problem: problemOf(thrown), triesLeft: pausesMs.length - tries });
      }
      const pauseMs = pausesMs[tries];
      if (pauseMs === undefined) return;
      await sleep(pauseMs, undefined, { signal: closing.signal, ref: false }).catch(() => {});
    }
  };

  const all = async (bodies: readonly object[]): Promise<void> => {
    if (bodies.length === 0) return;
    if (waiting + bodies.length > MOST_WAITING) {
      failed({ problem: `more than ${MOST_WAITING} wait for the gateway`, triesLeft: 0 });
      return;
    }
    waiting += bodies.length;
    const done = Promise.all(bodies.map(insist)).finally(() => {
      waiting -= bodies.length;
    });
    const patience = new AbortController();
    const late = sleep(waitMs, undefined, { signal: patience.signal, ref: false }).catch(() => {});
    await Promise.race([done, late]);
    patience.abort();
  };

  return {
    tokens: (tokens) => all(tokens.map(({ id, expiresAt }) => ({ token_id: id, expires_at: expiresAt }))),
    // Of this very millisecond too.
    user: (subject, { at, expiresAt }) =>
      all([{ subject, issued_before: at + 1, expires_at: Math.max(expiresAt, at + 1) }]),
    close: () => closing.abort(),
  };
}

/** Without the URL or the credential. What fetch itself says is "fetch failed". */
function problemOf(thrown: unknown): string {
  const { cause, message, name } = thrown as Error;
  if (name === 'TimeoutError') return 'the gateway does not answer';
  return cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : message;
}
