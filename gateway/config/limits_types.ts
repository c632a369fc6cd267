/** What is configured of how much and how long. */

export interface LimitsConfig {
  /** Largest request body, in bytes; default 4 MiB (gRPC's own default). */
  readonly bodyBytes: number;
  /** Largest WebSocket message, in bytes; default 64 KiB. */
  readonly frameBytes: number;
  /** Largest request header block and largest metadata, in bytes; default 16 KiB. */
  readonly headerBytes: number;
  /** Largest message that an upstream may send, in bytes; default 4 MiB. */
  readonly replyBytes: number;
  /** Calls open at once on one WebSocket; default 100. */
  readonly streamsPerSocket: number;
  /** Messages from the client that wait for one service, per WebSocket call; default 64. */
  readonly queuedMessages: number;
  // In all that follow 0 is any number.
  /** Largest request target, path and query, in bytes; default 12 KiB. Then: 414. */
  readonly urlBytes: number;
  /** What a client sends of a body a second, once it has taken `timeouts.bodyMs`, in bytes; default 256. Then: 408. */
  readonly bodyBytesPerSecond: number;
  /** Connections that are open; default 20,000. Then: 503, closed. */
  readonly connections: number;
  /** Of one address, an IPv6 one by its /64; default 1,000. Behind proxies (`trustedHops`): requests and WebSockets that are open. */
  readonly connectionsPerAddress: number;
  /** WebSockets of one principal; default 1,000. */
  readonly connectionsPerPrincipal: number;
  /** WebSocket handshakes a second; default 1,000. Then: 503. */
  readonly handshakesPerSecond: number;
  /** The same from one address; default 200. Then: 429. */
  readonly handshakesPerAddress: number;
  /** Calls a second of one principal, and of one address without a token; default 2,000. Then: 429. */
  readonly requestsPerSecond: number;
  /** WebSocket messages and frames a second of the same; default 2,000. Then: closed with 4102. */
  readonly messagesPerSecond: number;
  /** Tokens a second of one address that are refused; default 100. Then: 429, and no token is looked at. */
  readonly badTokensPerSecond: number;
  /** Streams, client streams among them, of one principal, and of one address without a token; default 1,000. Then: 429. */
  readonly streamsPerPrincipal: number;
  /** Calls that run at once on one upstream, streams among them; default 20,000. Then: 503. */
  readonly callsPerUpstream: number;
  /** Whether the nodes that share a Redis broker count what is done a second together; default true. */
  readonly shared: boolean;
}

export interface TimeoutsConfig {
  /** Deadline of calls whose client names none, in ms; 0 is none; default 30 s. Server and bidi streams have none. */
  readonly unaryMs: number;
  /** The largest deadline that a client may ask for, in ms; 0 is any; default 0. */
  readonly maxMs: number;
  /** A stream whose service is silent this long counts as accepted, in ms; default 200. */
  readonly acceptMs: number;
  /** Between heartbeats on a quiet SSE stream, and between WebSocket pings, in ms; default 25 s. */
  readonly heartbeatMs: number;
  /** For `hello` on a multiplexed WebSocket, in ms; default 10 s. */
  readonly helloMs: number;
  /** How long a client may send nothing in the middle of a body, in ms; 0 is for ever; default 20 s. Then: 408. */
  readonly bodyMs: number;
  /** For the head of a request, in ms; 0 is for ever; default 20 s. Then: 408. */
  readonly headersMs: number;
  /** How long a connection may wait for its next request, in ms; 0 is for ever; default 65 s. */
  readonly keepAliveMs: number;
  /** How long a client may take nothing of an answer that is written, in ms; 0 is for ever; default 30 s. */
  readonly writeMs: number;
  /** How long a multiplexed WebSocket may have no call open, in ms; 0 is for ever; default 10 min. Then: closed with 4106. */
  readonly idleMs: number;
  /** Between SIGTERM and the end of calls that are still running, in ms; default 10 s. */
  readonly drainMs: number;
  /** For upstreams that cannot be asked for their contract yet when the gateway starts, in ms; 0: none; default 30 s. */
  readonly startMs: number;
}
