/** What the gateway answers itself about tokens: `POST /-/tickets` and `POST /-/revocations`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Codec } from '../../src/codec/codec.js';
import { AccessError, covers } from '../../src/policy/authorize.js';
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { HttpError, invalid, methodNotAllowed } from '../http/error.js';
import type { ErrorConfig } from '../http/error_body.js';
import { REVOCATIONS_PATH, TICKETS_PATH } from '../http/own_paths.js';
import { requestId } from '../http/request.js';
import { OWN_ANSWER } from '../http/safety.js';
import { sendError } from '../http/send_error.js';
import type { Revocation, Revocations } from './revocations.js';
import type { Credential } from './sources.js';
import type { Tickets } from './tickets.js';

/** What a caller needs to revoke tokens of others. */
export const REVOKE_PERMISSION = 'tidegate:revoke';

/** A revocation is three names and two numbers. */
const MAX_BODY_BYTES = 8_192;
const BODY_MS = 10_000;
const MAX_NAME = 2_048;

export interface EndpointsOptions {
  /** Undefined where tickets are not taken. */
  readonly tickets: Tickets | undefined;
  readonly revocations: Revocations;
  readonly revocationTtlMs: number;
  readonly leewayMs: number;
  readonly read: (request: IncomingMessage) => Credential | undefined;
  readonly verify: (token: string) => Principal | Promise<Principal>;
  /** With what its roles are worth. */
  readonly granted: (principal: Principal) => Principal;
  readonly codec: () => Codec;
  readonly http: ErrorConfig;
  readonly log: Logger;
}

export interface OwnEndpoints {
  readonly paths: ReadonlySet<string>;
  /** Answers. Never throws. */
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
}

interface Identified {
  readonly token: string;
  readonly principal: Principal;
}

export function createEndpoints(options: EndpointsOptions): OwnEndpoints {
  const { tickets, revocations, read, verify, log } = options;

  const identify = async (request: IncomingMessage): Promise<Identified> => {
    const credential = read(request);
    if (credential === undefined) throw new StatusError(Code.UNAUTHENTICATED, 'a token is required');
    if (credential.kind === 'ticket')
      throw invalid('ticket', 'expected a token: a ticket opens one stream or socket');
    return { token: credential.token, principal: await verify(credential.token) };
  };

  const issue = async (request: IncomingMessage): Promise<object> => {
    if (tickets === undefined) throw new StatusError(Code.NOT_FOUND, 'tickets are switched off');
    const { token, principal } = await identify(request);
    const { ticket, expiresAt } = await tickets.issue(token, principal);
    return { ticket, expires_at: expiresAt };
  };

  const revoke = async (request: IncomingMessage): Promise<object> => {
    const principal = options.granted((await identify(request)).principal);
    if (!covers(principal.permissions, REVOKE_PERMISSION)) {
      throw new AccessError(`missing permission: ${REVOKE_PERMISSION}`, [REVOKE_PERMISSION]);
    }
    const revocation = readRevocation(await readBody(request), options);
    await revocations.revoke(revocation);
    const { tokenId, subject, issuer, before, until } = revocation;
    log.info({ by: principal.subject, tokenId, subject, issuer, before, until }, 'revoked');
    return print(revocation);
  };

  const answers: Readonly<Record<string, (request: IncomingMessage) => Promise<object>>> = {
    [TICKETS_PATH]: issue,
    [REVOCATIONS_PATH]: revoke,
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const id = requestId(request.headers['x-request-id']);
    const [path = ''] = (request.url ?? '').split('?', 1);
    response.setHeader('cache-control', 'no-store');
    try {
      if (request.method !== 'POST') throw methodNotAllowed(request.method ?? '', ['POST']);
      const body = Buffer.from(JSON.stringify(await answers[path]?.(request)));
      if (response.destroyed) return;
      const headers = {
        'content-type': 'application/json',
        'content-length': body.length,
        'x-request-id': id,
        ...OWN_ANSWER,
      };
      response.writeHead(200, headers).end(body);
      request.resume();
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (!(thrown instanceof StatusError)) log.error({ err: thrown, id }, 'a request about tokens failed');
      sendError(response, error, { codec: options.codec(), http: options.http, id });
    }
  };

  return {
    paths: new Set(Object.keys(answers)),
    handle: (request, response) => void answer(request, response),
  };
}

function print({ tokenId, subject, issuer, before, until }: Revocation): object {
  return {
    ...(tokenId !== undefined && { token_id: tokenId }),
    ...(subject !== undefined && { subject, issued_before: before }),
    ...(issuer !== undefined && { issuer }),
    until,
  };
}

type Body = Readonly<Record<string, unknown>>;
const FIELDS: ReadonlySet<string> = new Set(['token_id', 'subject', 'issuer', 'issued_before', 'expires_at']);

function readRevocation(body: Body, { revocationTtlMs, leewayMs }: EndpointsOptions): Revocation {
  const unknown = Object.keys(body).find((name) => !FIELDS.has(name));
  if (unknown !== undefined) throw invalid(unknown.slice(0, 100), `expected ${[...FIELDS].join(', ')} alone`);
  const tokenId = name(body, 'token_id');
  const subject = name(body, 'subject');
  const issuer = name(body, 'issuer');
  if ((tokenId === undefined) === (subject === undefined))
    throw invalid('body', 'expected token_id or subject');
  const now = Date.now();
  const before = time(body, 'issued_before');
  if (tokenId !== undefined && before !== undefined) throw invalid('issued_before', 'belongs to subject');
  const expires = time(body, 'expires_at');
  // A token that could be refused for its age anyway needs no more.
  const until = expires === undefined ? Math.max(before ?? now, now) + revocationTtlMs : expires + leewayMs;
  return {
    ...(tokenId !== undefined && { tokenId }),
    ...(subject !== undefined && { subject, before: before ?? now }),
    ...(issuer !== undefined && { issuer }),
    until,
  };
}

function name(body: Body, field: string): string | undefined {
  const value = body[field];
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '' && value.length <= MAX_NAME) return value;
  throw invalid(field, `expected a text of 1 to ${MAX_NAME} characters`);
}

function time(body: Body, field: string): number | undefined {
  const value = body[field];
  if (value === undefined) return undefined;
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw invalid(field, 'expected milliseconds since the epoch');
}

/** A JSON object. Rejects with StatusError. */
async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => request.destroy(), BODY_MS);
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) break;
      chunks.push(chunk);
    }
  } catch {
    throw new StatusError(Code.CANCELLED, 'the client left');
  } finally {
    clearTimeout(timer);
  }
  if (bytes > MAX_BODY_BYTES) {
    throw new HttpError(Code.RESOURCE_EXHAUSTED, `body: longer than ${MAX_BODY_BYTES} bytes`, { http: 413 });
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw invalid('body', 'expected a JSON object');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('body', 'expected a JSON object');
  return value as Body;
}
