/** Decisions that somebody else takes: asked beside the method's own rules, remembered for a while, and never assumed. */
import { createHash } from 'node:crypto';
import type { Call, Interceptor, Message } from '../call.js';
import { claimOf } from '../claims.js';
import type { Method } from '../method.js';
import { Code, StatusError } from '../status.js';
import { AccessError, type DecisionRecord, NO_RECORD } from './decisions.js';

/** What is sent. A caller without a token has an empty subject. */
export interface Question {
  /** `orders.v1.OrdersService/GetOrder` */
  readonly method: string;
  readonly subject: string;
  /** Sorted, with those that roles include. */
  readonly roles: readonly string[];
  /** Sorted, with those of the roles. */
  readonly permissions: readonly string[];
  /** Those that are asked with, as far as the token has them. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The request as canonical JSON, if it is asked with; of a stream of requests never. */
  readonly request?: unknown;
}

export interface Verdict {
  readonly allow: boolean;
  /** Why not, in words for the client; at most 200 characters of it are shown. */
  readonly reason?: string | undefined;
}

/** Rejects when there is no answer. */
export type Decide = (question: Question) => Promise<Verdict>;

export interface DecisionsOptions {
  readonly ask: Decide;
  /** How long an answer counts, in ms; 0: for this call alone. */
  readonly cacheMs: number;
  /** Answers that are remembered; the oldest are forgotten; default 10,000. */
  readonly most?: number;
}

export interface DecisionStats {
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  /** Decided without asking: from memory, or together with another call that asked the same. */
  readonly remembered: number;
}

export interface Decisions {
  readonly decide: Decide;
  readonly stats: () => DecisionStats;
}

/** Asks the same only once at a time. What failed is not remembered. */
export function createDecisions({ ask, cacheMs, most = 10_000 }: DecisionsOptions): Decisions {
  const known = new Map<string, { readonly verdict: Verdict; readonly until: number }>();
  const running = new Map<string, Promise<Verdict>>();
  const stats = { allowed: 0, denied: 0, failed: 0, remembered: 0 };

  const askOnce = async (key: string, question: Question): Promise<Verdict> => {
    try {
      const verdict = await ask(question);
      stats[verdict.allow ? 'allowed' : 'denied']++;
      if (cacheMs > 0) {
        if (known.size >= most) known.delete(known.keys().next().value as string);
        known.set(key, { verdict, until: performance.now() + cacheMs });
      }
      return verdict;
    } catch (thrown) {
      stats.failed++;
      throw thrown;
    } finally {
      running.delete(key);
    }
  };

  return {
    async decide(question) {
      const key = createHash('sha256').update(JSON.stringify(question)).digest('base64');
      const answer = known.get(key);
      if (answer !== undefined && performance.now() < answer.until) {
        stats.remembered++;
        return answer.verdict;
      }
      known.delete(key);
      const other = running.get(key);
      if (other !== undefined) {
        stats.remembered++;
        return other;
      }
      const asked = askOnce(key, question);
      running.set(key, asked);
      return asked;
    },
    stats: () => ({ ...stats }),
  };
}

export interface ConsultOptions {
  readonly decide: Decide;
  /** Whether it is asked about a method. */
  readonly applies: (method: Method) => boolean;
  /** The claims that are asked with, by name or path. */
  readonly claims: readonly string[];
  /** The request as a JSON value, if it is asked with. */
  readonly print?: ((method: Method, message: Message) => unknown) | undefined;
  readonly record?: DecisionRecord;
}

/**
 * Refuses what the other side does not allow: PERMISSION_DENIED with its reason; UNAVAILABLE when it does not answer, since nothing is
 * allowed for want of an answer.
 */
export function consult(options: ConsultOptions): Interceptor {
  const { decide, applies, print, record = NO_RECORD } = options;
  const judge = async (call: Call, message: Message | undefined): Promise<void> => {
    let verdict: Verdict;
    try {
      verdict = await decide(questionOf(call, message, options));
    } catch (cause) {
      const error = new StatusError(Code.UNAVAILABLE, 'access cannot be decided at the moment', { cause });
      record.denied(call, 'external_unavailable', error);
      throw error;
    }
    if (verdict.allow) return;
    const error = new AccessError(`not allowed${printReason(verdict.reason)}`, []);
    record.denied(call, 'external_denied', error);
    throw error;
  };
  return (next) => async (call) => {
    if (!applies(call.method)) return next(call);
    const { requests } = call;
    if (print === undefined || typeof requests !== 'function') {
      await judge(call, undefined);
      return next(call);
    }
    const message = await requests();
    await judge(call, message);
    return next({ ...call, requests: () => message });
  };
}

function questionOf(
  { method, principal }: Call,
  message: Message | undefined,
  { claims, print }: ConsultOptions,
): Question {
  const told = claims.map((name) => [name, claimOf(principal, name)] as const);
  return {
    method: method.name,
    subject: principal.subject,
    roles: [...principal.roles].sort(),
    permissions: [...principal.permissions].sort(),
    claims: Object.fromEntries(told.filter(([, value]) => value !== undefined)),
    ...(message !== undefined && print !== undefined && { request: print(method, message) }),
  };
}

function printReason(reason: string | undefined): string {
  const text = reason?.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200);
  return text === undefined || text === '' ? '' : `: ${text}`;
}
