/** The audit log: a line for each decision about who may call what. Apart from the log, since others read it, and keep it longer. */
import { closeSync, openSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { type Logger, pino } from 'pino';
import type { Call } from '../../src/call.js';
import type { DecisionRecord } from '../../src/policy/decisions.js';
import type { Principal } from '../../src/principal.js';
import { type StatusError, statusOf } from '../../src/status.js';
import { reasonOf } from '../config/sources.js';
import { type AuditConfig, ConfigError } from '../config.js';

/** Before a call could be made of a request. */
export interface Unauthenticated {
  readonly request: IncomingMessage;
  /** Of the client, as far as the trusted proxies tell. */
  readonly address: string | undefined;
  /** Undefined where a connection is not for one method. */
  readonly method: string | undefined;
  readonly error: StatusError;
}

export interface Audit {
  /** The record of one door, by its name: `rest`, `sse`, `poll`, `ws`. */
  door(name: string): DecisionRecord & { unauthenticated(what: Unauthenticated): void };
  /** Opens the file anew, after somebody has moved it away. */
  reopen(): void;
  /** Writes what is left. */
  close(): void;
}

/** Only its owner needs to read who calls what. */
const MODE = 0o600;

/**
 * Lines of JSON: `log` (audit), `time`, `decision` (allowed, denied), `reason`, `id` (of the request), `door`, `address`, `method`, and of the caller `subject`, `issuer` and
 * `tokenId` as far as its token has them; for a refusal `code` and `message`. Nothing of a request or a token besides. Throws ConfigError when the file
 * cannot be written; what goes wrong later is told in the log.
 */
export function createAudit({ file, allowed }: AuditConfig, log: Logger): Audit {
  if (file === undefined) return NO_AUDIT;
  if (file !== '-') assertWritable(file);
  const isFile = file !== '-';
  const destination = pino.destination({ dest: isFile ? file : 1, sync: false, mode: MODE });
  destination.on('error', (err: Error) => log.error({ err }, 'the audit log cannot be written'));
  const lines = pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: () => ({ log: 'audit' }) } },
    destination,
  );
  return {
    door: (door) => ({
      denied(call, reason, error) {
        lines.info({ decision: 'denied', reason, ...aboutCall(call, door), ...aboutError(error) });
      },
      ...(allowed && {
        allowed(call) {
          lines.info({ decision: 'allowed', ...aboutCall(call, door) });
        },
      }),
      unauthenticated({ address, method, error }) {
        lines.info({
          decision: 'denied',
          reason: 'token_invalid',
          door,
          address,
          method,
          ...aboutError(error),
        });
      },
    }),
    reopen() {
      if (isFile) destination.reopen();
    },
    close() {
      try {
        destination.flushSync();
      } catch (err) {
        log.error({ err }, 'the audit log cannot be written');
      }
      if (isFile) destination.end();
    },
  };
}

/** Writes nothing anywhere. */
const NO_AUDIT: Audit = {
  door: () => ({ denied() {}, unauthenticated() {} }),
  reopen() {},
  close() {},
};

function assertWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a', MODE));
  } catch (thrown) {
    throw new ConfigError([`audit.file: cannot write ${file}: ${reasonOf(thrown)}`]);
  }
}

function aboutCall({ id, method, principal, metadata }: Call, door: string) {
  const forwarded = metadata['x-forwarded-for'];
  const address = typeof forwarded === 'string' ? forwarded.split(',', 1)[0] : undefined;
  return { id, door, address, method: method.name, ...aboutCaller(principal) };
}

function aboutCaller({ subject, issuer, tokenId }: Principal) {
  return { subject: subject === '' ? undefined : subject, issuer, tokenId };
}

function aboutError({ code, message }: StatusError) {
  return { code: statusOf(code).name, message };
}
