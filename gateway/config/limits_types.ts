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
  /** Between SIGTERM and the end of calls that are still running, in ms; default 10 s. */
  readonly drainMs: number;
  /** For upstreams that cannot be asked for their contract yet when the gateway starts, in ms; 0: none; default 30 s. */
  readonly startMs: number;
}
