/** What an `open` frame asks for: which method, bound how, under which id and with which metadata. */
import type { Metadata } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import { metadataFrom } from '../http/headers.js';
import { effectiveTimeout, requestId } from '../http/request.js';
import { type Resume, readStreamRequest, resumeAt } from '../http/resume.js';
import type { Bound, Endpoint, Table } from '../http/table.js';
import type { Caller } from './door.js';
import { type Senders, senderName } from './ws_acks.js';
import { bindLater } from './ws_bound.js';
import type { OpenFrame } from './ws_frames.js';
import type { Feature } from './ws_hello.js';
import { Stream, type StreamHost } from './ws_stream.js';

interface Target {
  readonly endpoint: Endpoint;
  readonly bound: () => Bound;
  /** Where the stream shall go on. */
  readonly resume: string | undefined;
}

/** A key for its sender's messages, also forwarded to the service. */
const KEY = /^[!-~]{8,128}$/;

/** A verb, a raw path and a raw query, as on the first line of an HTTP request. */
const ROUTE = /^([A-Z]+) (\/[^ ?#]*)(?:\?([^ #]*))?$/;

function atRoute({ router }: Table, route: string): Target {
  const parts = ROUTE.exec(route);
  if (parts === null) {
    throw new StatusError(
      Code.INVALID_ARGUMENT,
      'open.route: expected a verb and a path, such as GET /v1/orders/42',
    );
  }
  const [, verb = '', path = '', query = ''] = parts;
  const found = router.match(verb, path);
  if (found === undefined)
    throw new StatusError(Code.NOT_FOUND, `open.route: no route for ${path.slice(0, 200)}`);
  if ('allow' in found) {
    throw new StatusError(Code.UNIMPLEMENTED, `open.route: this path takes ${found.allow.join(', ')}`);
  }
  const { endpoint, variables } = found.match;
  const asked = readStreamRequest({}, endpoint.method, query);
  const resume = cursorOf(asked.resume);
  return { endpoint, bound: bindLater(endpoint, variables, asked.query), resume };
}

/** Of a stream that has ended there is no rest. Throws StatusError OUT_OF_RANGE for its last cursor. */
export function cursorOf(resume: Resume | undefined): string | undefined {
  if (resume?.finished === true) {
    throw new StatusError(Code.OUT_OF_RANGE, 'the stream has ended: nothing follows its last event');
  }
  return resume?.cursor;
}

function checkFeatures({ cursor, idempotency_key: key }: OpenFrame, features: ReadonlySet<Feature>): void {
  const problem = (field: string, what: string) =>
    new StatusError(Code.INVALID_ARGUMENT, `open.${field}: ${what}`);
  if (cursor !== undefined && !features.has('resume')) throw problem('cursor', 'needs the feature resume');
  if (key === undefined) return;
  if (!features.has('ack')) throw problem('idempotency_key', 'needs the feature ack');
  if (!KEY.test(key)) throw problem('idempotency_key', 'expected 8 to 128 visible ASCII characters');
}

/**
 * Throws StatusError: INVALID_ARGUMENT, NOT_FOUND for an unknown route, UNIMPLEMENTED for an unknown method or verb, OUT_OF_RANGE for the
 * cursor of a stream that has ended.
 */
function resolveOpen(table: Table, frame: OpenFrame, features: ReadonlySet<Feature>): Target {
  const { method, route, cursor } = frame;
  checkFeatures(frame, features);
  const resume = cursorOf(resumeAt(cursor));
  if (route !== undefined && method === undefined) {
    const target = atRoute(table, route);
    return resume === undefined ? target : { ...target, resume };
  }
  if (method === undefined || route !== undefined) {
    throw new StatusError(Code.INVALID_ARGUMENT, 'open: expected either method or route');
  }
  const endpoint = table.byName.get(method);
  if (endpoint === undefined) {
    throw new StatusError(Code.UNIMPLEMENTED, `open.method: no method ${method.slice(0, 200)}`);
  }
  return { endpoint, bound: bindLater(endpoint, [], ''), resume };
}

/** The id that the client gave the call with x-request-id, else that of the session and the sid. */
function callId({ headers, sid }: OpenFrame, { id }: Caller): string {
  const given = headers['x-request-id'];
  return given === undefined ? `${id}-${sid}` : requestId(given);
}

/** The headers of the frame over those of the handshake, by the rules of HTTP headers. Throws StatusError. */
function callMetadata(frame: OpenFrame, { metadata }: Caller, maxBytes: number): Metadata {
  const { headers, idempotency_key: key } = frame;
  // A token is verified in the handshake or in hello: one that nobody verified must not reach a service.
  const { authorization: _unverified, ...own } = metadataFrom(headers, maxBytes);
  return { ...metadata, ...own, ...(key !== undefined && { 'idempotency-key': key }) };
}

export interface OpenContext {
  readonly host: StreamHost;
  readonly table: Table;
  readonly caller: Caller;
  readonly senders: Senders;
  /** How many calls run on the socket. */
  readonly live: number;
  /** Why no new calls are taken, if so. */
  readonly leaving: string | undefined;
}

/** Throws StatusError UNAVAILABLE, RESOURCE_EXHAUSTED or UNAUTHENTICATED for a socket that may open no more. */
function checkSocket({ host, caller, live, leaving }: OpenContext): void {
  const { streamsPerSocket } = host.gateway.config.limits;
  const { expiresAt } = caller.principal;
  if (leaving !== undefined) throw new StatusError(Code.UNAVAILABLE, leaving);
  if (live >= streamsPerSocket) {
    throw new StatusError(
      Code.RESOURCE_EXHAUSTED,
      `open: ${streamsPerSocket} calls are open on this socket`,
      { limit: 'streams_per_socket' },
    );
  }
  if (expiresAt !== undefined && expiresAt <= Date.now()) {
    throw new StatusError(Code.UNAUTHENTICATED, 'token: expired since this socket was opened');
  }
}

/** The call that a frame opens; not made yet. Throws StatusError for one that cannot become a call. */
export function openStream(frame: OpenFrame, context: OpenContext): Stream {
  const { host, table, caller, senders } = context;
  const { config } = host.gateway;
  const { sid, message, credit, idempotency_key: key } = frame;
  checkSocket(context);
  const { endpoint, bound, resume } = resolveOpen(table, frame, host.features);
  const { method } = endpoint;
  const timeout = effectiveTimeout(frame.deadline_ms, endpoint, config.timeouts);
  const id = callId(frame, caller);
  const metadata = callMetadata(frame, caller, config.limits.headerBytes);
  // Claimed last: an open that is refused ends no other call.
  const named = key !== undefined && method.clientStreaming;
  const name = named ? senderName(caller.principal.subject, method.name, key) : '';
  const stream: Stream = new Stream({
    host,
    sid,
    endpoint,
    bound,
    resume,
    sender: named ? senders.open(name, () => stream.fail(superseded())) : undefined,
    message,
    credit,
    id,
    metadata,
    principal: caller.principal,
    peer: caller.peer,
    deadline: timeout === undefined ? undefined : Date.now() + timeout,
  });
  return stream;
}

function superseded(): StatusError {
  return new StatusError(Code.ABORTED, 'open.idempotency_key: the same sender has opened another call');
}
