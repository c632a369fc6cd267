/** A line in the log for every call: what went wrong loudly, the rest when somebody asks for it. */
import type { Logger } from 'pino';
import type { Observer } from '../../src/policy/observe.js';
import { Code, type StatusError, statusOf } from '../../src/status.js';

/** Something is broken, here or in a service. */
const BROKEN: ReadonlySet<Code> = new Set([Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS]);
/** Something is short of time or room, or away. */
const STRAINED: ReadonlySet<Code> = new Set([
  Code.DEADLINE_EXCEEDED,
  Code.RESOURCE_EXHAUSTED,
  Code.UNAVAILABLE,
]);

export interface CallLog {
  /** For `observe()` in the chain. */
  readonly observer: Observer;
  /** What failed outside the chain: before a call was made of a request, or while its reply was shown. Logged once. */
  failure(id: string, error: StatusError): void;
}

/**
 * Logs every call when it ends: at `error` what is broken, at `warn` what is short of time or room, everything else at
 * `debug`. Tokens and messages are never logged; the caller is its token's subject.
 */
export function createCallLog(log: Logger): CallLog {
  const told = new WeakSet<StatusError>();
  const observer: Observer = {
    start: ({ id, method, principal }) => ({
      end({ code, error, durationMs, messagesIn, messagesOut }) {
        if (error !== undefined) told.add(error);
        const level = levelOf(code, error);
        if (!log.isLevelEnabled(level)) return;
        const line = {
          id,
          method: method.name,
          code: statusOf(code).name,
          ms: Math.round(durationMs * 10) / 10,
          ...(principal.subject === '' ? {} : { subject: principal.subject }),
          ...(method.clientStreaming ? { messagesIn } : {}),
          ...(method.serverStreaming ? { messagesOut } : {}),
          ...(error?.cause === undefined ? {} : { cause: causeOf(error.cause, code) }),
        };
        log[level](line, error === undefined ? 'call' : error.message);
      },
    }),
  };
  return {
    observer,
    failure(id, error) {
      if (told.has(error)) return;
      told.add(error);
      const { code, cause } = error;
      log[levelOf(code, error)](
        { id, code: statusOf(code).name, ...(cause === undefined ? {} : { cause: causeOf(cause, code) }) },
        error.message,
      );
    },
  };
}

/** Limits have a line of their own, now and then: who runs into one a thousand times a second must not fill the log. */
function levelOf(code: Code, error: StatusError | undefined): 'error' | 'warn' | 'debug' {
  if (error?.limit !== undefined) return 'debug';
  if (BROKEN.has(code)) return 'error';
  return STRAINED.has(code) ? 'warn' : 'debug';
}

/** The stack helps with what is broken; of what is merely away, the text says all. */
function causeOf(cause: unknown, code: Code): unknown {
  if (!(cause instanceof Error)) return String(cause);
  return BROKEN.has(code) ? (cause.stack ?? cause.message) : cause.message;
}
