/** Flags, environment and a YAML file become one complete, validated, frozen Config. */
import type { JsonOptions } from '../src/codec/codec.js';

/** One gRPC server (or several behind one name) and the part of the contract that it serves. */
export interface UpstreamConfig {
  /** In logs, metrics and readiness; default `u1`, `u2` ... in order, or the service prefix given on the command line. */
  readonly name: string;
  /** `host:port`, plaintext (h2c). */
  readonly address: string;
  /**
   * Full names of services, or package prefixes ending in `.`, that this upstream serves. Empty: with reflection,
   * what the upstream lists; else everything that no other upstream claims.
   */
  readonly services: readonly string[];
}

/** Where the contract comes from. With neither protos nor descriptors, it is read from the upstreams by reflection. */
export interface ContractConfig {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each proto folder itself and the Google API protos that we carry. */
  readonly includes: readonly string[];
  /** Files that hold an encoded google.protobuf.FileDescriptorSet. */
  readonly descriptors: readonly string[];
}

/** One way of verifying tokens. A token must name (`kid`) or match one of them by algorithm. */
export interface KeyConfig {
  readonly algorithm: 'HS256' | 'RS256';
  /** HS256: the shared secret, at least 32 bytes. RS256: a PEM public key. */
  readonly key: string;
  /** Only for tokens whose header names this key id, if set. */
  readonly keyId?: string;
}

export interface AuthConfig {
  readonly keys: readonly KeyConfig[];
  /** Required `iss`, if set. */
  readonly issuer?: string;
  /** Required `aud`, if set. */
  readonly audience?: string;
  /** Allowed clock difference in seconds for exp, nbf and iat; default 30. */
  readonly leewaySeconds: number;
  /** Permissions of each role. A token's roles (`roles` claim) add these to its `permissions` claim. */
  readonly roles: Readonly<Record<string, readonly string[]>>;
}

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
  /** Between SIGTERM and the end of calls that are still running, in ms; default 10 s. */
  readonly drainMs: number;
}

export interface Config {
  /** Default 127.0.0.1 in dev mode, else 0.0.0.0. */
  readonly host: string;
  /** Default 8080; 0 picks a free one. */
  readonly port: number;
  /** Development mode: tokens signed with the public development secret are accepted, and only loopback is listened on. */
  readonly dev: boolean;
  readonly upstreams: readonly UpstreamConfig[];
  readonly contract: ContractConfig;
  readonly auth: AuthConfig;
  readonly json: JsonOptions;
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  /** Origins, besides the gateway's own host, whose pages may open WebSockets; `*` allows all. Default none. */
  readonly origins: readonly string[];
  /** pino level: fatal, error, warn, info, debug, trace or silent; default info. */
  readonly logLevel: string;
}
