/** All that decides and tells who calls, put together from the configuration: the rules, the second opinion, the identity, the record. */
import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { chain, type Interceptor } from '../../src/call.js';
import type { Codec } from '../../src/codec/codec.js';
import { authorize } from '../../src/policy/authorize.js';
import { admitted, type DecisionRecord } from '../../src/policy/decisions.js';
import { consult, createDecisions } from '../../src/policy/external.js';
import type { Grants } from '../../src/policy/grants.js';
import { identity } from '../../src/policy/identity.js';
import { bindResources } from '../../src/policy/resource.js';
import { Code, StatusError } from '../../src/status.js';
import { collectCounts } from '../admin/collected.js';
import { type Config, ConfigError } from '../config.js';
import type { Gateway } from '../doors/door.js';
import { clientAddress } from '../http/forwarded.js';
import { globPattern } from '../http/glob.js';
import { createAudit } from './audit.js';
import { createTokenIssuer } from './internal_token.js';
import { createOpa } from './opa.js';

type Identify = Gateway['identify'];

export interface DoorAccess {
  /** Who may call. Outermost, so that a refused call costs nothing. */
  readonly authorize: Interceptor;
  /** What may be asked, and the second opinion: read the request, and so stand behind the deadline. */
  readonly judge: Interceptor;
  /** Notes who could not be identified. */
  noting(identify: Identify): Identify;
}

export interface Access {
  door(name: string): DoorAccess;
  /** Tells services who calls. Innermost. */
  readonly identity: Interceptor;
  /** For GET /-/jwks; undefined when the gateway signs nothing. */
  readonly jwks: (() => object) | undefined;
  /** After SIGHUP: the audit log is opened and keys are read anew. */
  reopen(): void;
  close(): void;
}

export interface AccessContext {
  readonly log: Logger;
  readonly registry: Registry;
  readonly grants: () => Grants;
  readonly codec: () => Codec;
}

/** Throws ConfigError when the audit log cannot be written, or a key is none. */
export function createAccess(config: Config, { log, registry, grants, codec }: AccessContext): Access {
  const { auth, identity: told, audit: auditing, trustedHops } = config;
  const issuer =
    told.token &&
    createTokenIssuer({
      token: told.token,
      claims: Object.values(told.claims),
      leewaySeconds: auth.leewaySeconds,
    });
  const audit = createAudit(auditing, log);
  const denials = new Map<string, number>();
  collectCounts(registry, {
    name: 'tidegate_access_denied_total',
    help: 'Calls that were refused for who makes them, by reason.',
    label: 'reason',
    counts: () => denials,
  });
  const consulting = createConsulting(config, { registry, codec });

  const door = (name: string): DoorAccess => {
    const { denied, allowed, unauthenticated } = audit.door(name);
    const count = (reason: string): void => void denials.set(reason, (denials.get(reason) ?? 0) + 1);
    const record: DecisionRecord = {
      denied(call, reason, error) {
        count(reason);
        denied(call, reason, error);
      },
      ...(allowed && { allowed }),
    };
    const note = (request: IncomingMessage, method: string | undefined, thrown: unknown): void => {
      if (!(thrown instanceof StatusError) || thrown.code !== Code.UNAUTHENTICATED) return;
      count('token_invalid');
      const address = clientAddress(request, trustedHops);
      unauthenticated({ request, address, method, error: thrown });
    };
    const judges = [bindResources(record), ...consulting(record), admitted(record)];
    return {
      authorize: authorize({ leewayMs: auth.leewaySeconds * 1_000, grants, record }),
      judge: (next) => chain(judges, next),
      noting: (identify) => noting(identify, note),
    };
  };

  return {
    door,
    identity: identity({ claims: told.claims, token: issuer?.identity }),
    jwks: issuer?.jwks,
    reopen() {
      audit.reopen();
      try {
        issuer?.reload();
      } catch (thrown) {
        if (!(thrown instanceof ConfigError)) throw thrown;
        log.error({ problems: thrown.problems }, 'the keys cannot be read; the old ones stay in force');
      }
    },
    close() {
      audit.close();
      issuer?.close();
    },
  };
}

type Note = (request: IncomingMessage, method: string | undefined, thrown: unknown) => void;

/** Whether the caller is known at once or later, a failure is noted and passed on. */
function noting(identify: Identify, note: Note): Identify {
  return ((request, endpoint, token) => {
    const fail = (thrown: unknown): never => {
      note(request, endpoint?.method.name, thrown);
      throw thrown;
    };
    try {
      const caller: unknown = identify(request, endpoint, token);
      return caller instanceof Promise ? caller.catch(fail) : caller;
    } catch (thrown) {
      return fail(thrown);
    }
  }) as Identify;
}

/** The second opinion for a door, if one is configured: one memory for all doors. */
function createConsulting(
  { auth: { external } }: Config,
  { registry, codec }: Pick<AccessContext, 'registry' | 'codec'>,
): (record: DecisionRecord) => readonly Interceptor[] {
  if (external === undefined) return () => [];
  const { cacheMs, cacheEntries, match, claims, request } = external;
  const { decide, stats } = createDecisions({ ask: createOpa(external), cacheMs, most: cacheEntries });
  collectCounts(registry, {
    name: 'tidegate_external_decisions_total',
    help: 'Decisions of the external policy server: allowed, denied, failed; remembered are those that needed no question.',
    label: 'result',
    counts: () => Object.entries(stats()),
  });
  const pattern = globPattern(...match);
  return (record) => [
    consult({
      decide,
      applies: ({ name }) => pattern.test(name),
      claims,
      print: request
        ? ({ input }, message) => JSON.parse(codec().print(input, message)) as unknown
        : undefined,
      record,
    }),
  ];
}
