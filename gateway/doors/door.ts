/** What a door gets: the request that was routed to it, and the gateway that it is a door of. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { Broker } from '../../src/broker/broker.js';
import type { Call, Invoke, Metadata } from '../../src/call.js';
import type { Principal } from '../../src/principal.js';
import type { StatusError } from '../../src/status.js';
import type { Agenda } from '../agenda.js';
import type { Sources } from '../auth/sources.js';
import type { Config } from '../config.js';
import type { Resume, Wait } from '../http/resume.js';
import type { Endpoint, Table } from '../http/table.js';
import type { StreamCounts } from '../streams.js';

/** Who sends a request and what it says besides its message. */
export interface Caller {
  /** Request id: the client's `x-request-id` if it is a sane one, else a new one. */
  readonly id: string;
  readonly principal: Principal;
  /** The address that the client is counted by, if it is counted: see gateway/limits/address.ts. */
  readonly peer?: string | undefined;
  /** End-to-end headers under their own names, without identity, hop-by-hop, grpc-* and content-* headers. */
  readonly metadata: Metadata;
  /** Milliseconds since the epoch, from the client's timeout headers or the default for the method's kind. */
  readonly deadline: number | undefined;
}

/** One HTTP request on its way through a door. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The table that routed it: a call ends on the one it began with. */
  readonly table: Table;
  readonly endpoint: Endpoint;
  /** Captured by the path template, decoded, in the template's order. */
  readonly variables: readonly string[];
  /** The raw query, without `?` and without what `resume` was read from. */
  readonly query: string;
  /** Where a stream shall go on; absent for a client that did not say, and for methods that do not stream. */
  readonly resume?: Resume;
  /** A long poll, where the method has cursors. */
  readonly wait?: Wait;
  /** Whether the query goes on in the body, a form (`http.formOverride`); default false. */
  readonly form?: boolean;
}

/** What all doors share. */
export interface Gateway {
  readonly config: Config;
  readonly log: Logger;
  /** Logs an error that may have come up outside the chain, unless the chain has logged it already. */
  readonly report: (id: string, error: StatusError) => void;
  /** The whole chain: observe, authorize, deadline, rules about the request, shared streams, identity, upstream. */
  readonly invoke: Invoke;
  /** The table in force. It may be replaced between two calls; a call keeps the one it began with. */
  readonly table: () => Table;
  /**
   * Reads the caller from an HTTP request. Throws StatusError: UNAUTHENTICATED for a bad token, INVALID_ARGUMENT for a
   * header that cannot be metadata or a bad timeout. `token`, when given, is used instead of whatever else the request has. A promise, which may
   * reject with the same, only when somebody has to be asked: for keys, or for a ticket.
   */
  readonly identify: (
    request: IncomingMessage,
    endpoint: Endpoint | undefined,
    token?: string,
  ) => Caller | Promise<Caller>;
  /** The principal of a token, in the same ways. */
  readonly verify: (token: string) => Principal | Promise<Principal>;
  /** Reads the tokens of handshakes; default: there are none in queries, and any other is good. */
  readonly sources?: Sources;
  /** Hears of principals whose rights were taken back, until the result is called; default: nobody's ever are. */
  readonly onRevoked?: (hear: (isRevoked: (principal: Principal) => boolean) => void) => () => void;
  /** Aborted, with a StatusError UNAVAILABLE as reason, when the gateway starts to drain. */
  readonly draining: AbortSignal;
  /** The HTTP calls that are open now, so that a gateway that stops can tell each one. */
  readonly live: Set<LiveCall>;
  /** When each connection has its next heartbeat, and its end. */
  readonly agenda: Agenda;
  readonly counts: StreamCounts;
  /** How much of each client is taken; default: all that it sends. */
  readonly limits?: SocketLimits;
  /** Remembers what clients of WebSockets have sent; default: in this process. It is that of the broker. */
  readonly raise?: Broker['raise'];
}

/** What the WebSocket door asks before it takes something. */
export interface SocketLimits {
  /** Throws StatusError for a handshake that is too much. */
  handshake(request: IncomingMessage): void;
  /** Counts a WebSocket. Throws StatusError for one that is too much. */
  open(caller: Caller): Meter;
}

/** What one WebSocket may send. */
export interface Meter {
  /** One more message or frame has come: whether it is taken. */
  take(): boolean;
  /** The caller is another one now. Throws StatusError if that one has too many WebSockets. */
  become(caller: Caller): void;
  /** A limit of the door was reached. */
  reached(limit: string): void;
  /** What was thrown is told to the client. It may be one of a limit. */
  failed(thrown: unknown): void;
  /** The WebSocket is gone. Idempotent. */
  close(): void;
}

/** An open call as the draining gateway sees it. */
export interface LiveCall {
  readonly call: Call;
  /** Ends the call: its reply rejects, or its messages throw, with this reason. */
  readonly cancel: (reason: StatusError) => void;
  /**
   * Sends the client away, to go on elsewhere, if its door has said that it can: called when the gateway drains, at a moment of its own. Without
   * effect when the call has ended.
   */
  leave(): void;
  /** Who is served, for as long as the call lasts. */
  client: Client | undefined;
}

export interface Client {
  /** Of a client that can resume: it is sent away. */
  leave(): void;
  /** It has left, and its call was cancelled. */
  gone(): void;
}
