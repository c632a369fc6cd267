/** Who may come in: the sources of tokens, their verifier, tickets and revocations, put together for the doors. */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Broker } from '../../src/broker/broker.js';
import type { Codec } from '../../src/codec/codec.js';
import { type Grants, NO_GRANTS } from '../../src/policy/grants.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import type { Config } from '../config.js';
import type { Endpoint } from '../http/table.js';
import { isWebSocket } from '../http/upgrade.js';
import { createEndpoints, type OwnEndpoints } from './endpoints.js';
import type { FetchOutcome } from './jwks.js';
import { registerAuth } from './metrics.js';
import { createRevocations, type Revocations } from './revocations.js';
import { createSources, hasQueryCredential, type Sources } from './sources.js';
import { createTickets } from './tickets.js';
import { createTokenVerifier, type TokenVerifier } from './verifier.js';

export interface AuthOptions {
  readonly config: Config;
  /** Keeps tickets and revocations. */
  readonly broker: Broker;
  readonly log: Logger;
  readonly registry: Registry;
  /** Prints the details of refusals. */
  readonly codec: () => Codec;
  /** What the roles of a principal are worth now; default: the verifier has found that. */
  readonly grants?: () => Grants;
  /**
   * Asked about a request before its token is verified, or its ticket looked up, but not for a token that is remembered as a good one. Throws StatusError for who
   * may not try any more; default: everybody may.
   */
  readonly mayTry?: (request: IncomingMessage) => void;
}

export interface Auth {
  /**
   * Who sends a request; `token`, when given, is taken instead of whatever else the request has. A promise only when somebody has to be asked.
   * Throws, or rejects with, StatusError.
   */
  readonly authenticate: Authenticate;
  readonly verify: TokenVerifier;
  readonly sources: Sources;
  readonly own: OwnEndpoints;
  readonly revocations: Revocations;
  close(): void;
}

export type Authenticate = (
  request: IncomingMessage,
  endpoint: Endpoint | undefined,
  token?: string,
) => Principal | Promise<Principal>;

/** How long a start waits for the revocations that the broker remembers. Without them, the gateway starts all the same, and says so. */
const READY_MS = 5_000;

/** Resolves when it knows what was revoked before it started, or cannot know it in time. */
export async function createAuth({
  config,
  broker,
  log,
  registry,
  codec,
  grants = () => NO_GRANTS,
  mayTry = () => {},
}: AuthOptions): Promise<Auth> {
  const { auth, http } = config;
  const revocations = createRevocations(broker, log);
  const fetches = { ok: 0, failed: 0 };
  const observe = ({ url, keys, problem }: FetchOutcome): void => {
    if (problem === undefined) {
      fetches.ok++;
      log.debug({ url, keys }, 'the keys of a token issuer were fetched');
      return;
    }
    fetches.failed++;
    log.warn(
      { url, problem },
      'the keys of a token issuer cannot be fetched; those that are known stay in force',
    );
  };
  const verify = createTokenVerifier(auth, { isRevoked: revocations.isRevoked, observe });
  const sources = createSources(auth, config);
  const tickets = auth.sources.includes('tickets')
    ? createTickets({ broker, ttlMs: auth.ticketTtlMs, most: auth.ticketsAtOnce })
    : undefined;
  registerAuth(registry, {
    verify: verify.counts,
    tickets: tickets?.counts,
    fetches,
    revocations: revocations.size,
  });
  const own = createEndpoints({
    tickets,
    revocations,
    revocationTtlMs: auth.revocationTtlMs,
    leewayMs: auth.leewaySeconds * 1000,
    read: sources.read,
    verify,
    granted: (principal) => grants().of(principal),
    codec,
    http,
    log,
  });
  const isFast = auth.sources.includes('authorization');

  /** What is remembered of a token costs next to nothing, and is true whatever others at the same address send. */
  const verifyOf = (request: IncomingMessage, token: string): Principal | Promise<Principal> => {
    const principal = verify.known(token);
    if (principal !== undefined) return principal;
    mayTry(request);
    return verify(token);
  };
  const redeem = async (ticket: string): Promise<Principal> => {
    if (tickets === undefined) throw new StatusError(Code.UNAUTHENTICATED, 'tickets are switched off');
    return verify(await tickets.redeem(ticket));
  };
  const authenticate: Authenticate = (request, endpoint, token) => {
    if (token !== undefined) return verifyOf(request, token);
    const { authorization } = request.headers;
    // By far the most: the same header as before, and nothing else that would have to be looked at.
    if (isFast && authorization?.startsWith('Bearer ') && !hasQueryCredential(request)) {
      const principal = verify.known(authorization.slice(7));
      if (principal !== undefined) return principal;
    }
    const credential = sources.read(request);
    if (credential === undefined) return ANONYMOUS;
    if (credential.kind === 'token') return verifyOf(request, credential.token);
    if (!opensStream(request, endpoint)) {
      throw new StatusError(Code.UNAUTHENTICATED, 'ticket: only streams and WebSockets take one');
    }
    mayTry(request);
    return redeem(credential.ticket);
  };

  const known = new AbortController();
  const late = sleep(READY_MS, false, { signal: known.signal }).catch(() => true);
  if (!(await Promise.race([revocations.ready.then(() => true), late]))) {
    log.warn('starting without the revocations that the broker remembers: it does not answer');
  }
  known.abort();
  return {
    authenticate,
    verify,
    sources,
    own,
    revocations,
    close() {
      verify.close();
      tickets?.close();
      revocations.close();
    },
  };
}

function opensStream(request: IncomingMessage, endpoint: Endpoint | undefined): boolean {
  return isWebSocket(request) || endpoint?.method.serverStreaming === true;
}
