/** The complete configuration of a gateway. */
import type { JsonOptions } from '../../src/codec/codec.js';
import type { HttpOptions, Profile } from '../profile.js';
import type { StreamsConfig } from '../streams.js';
import type { AccessRuleConfig, AuditConfig, IdentityConfig } from './access_types.js';
import type { AuthConfig } from './auth_types.js';
import type { ChannelRuleConfig } from './channel_rules.js';
import type { LimitsConfig, TimeoutsConfig } from './limits_types.js';
import type { TlsConfig, UpstreamTlsConfig } from './tls_types.js';

/** One gRPC server (or several behind one name) and the part of the contract that it serves. */
export interface UpstreamConfig {
  /** In logs, metrics and readiness; default `u1`, `u2` ... in order, or the service prefix given on the command line. */
  readonly name: string;
  /** `host:port`. */
  readonly address: string;
  /**
   * Full names of services, or package prefixes ending in `.`, that this upstream serves. Empty: with reflection,
   * what the upstream lists; else everything that no other upstream claims.
   */
  readonly services: readonly string[];
  /** Whether its `x-http-code` chooses the HTTP status of a reply; default false: it is dropped. */
  readonly trusted: boolean;
  /** Of its connections; default: plaintext (h2c). */
  readonly tls?: UpstreamTlsConfig | undefined;
}

/** How the REST and SSE doors speak HTTP, where clients of other gateways are used to something else. */
export interface HttpConfig extends HttpOptions {
  /** Presets every option of gateway/profile.ts that is not set itself; default `default`. */
  readonly profile: Profile;
  /**
   * The body of an HTTP error; default status. `status`: google.rpc.Status. `google`: `{"error": {...}}` of Google's APIs.
   * `problem`: RFC 9457; a request that accepts application/problem+json gets that one anyway. `grpc-gateway-v1`:
   * `{"error","message","code"}`, and its statuses 408 for CANCELLED and 412 for FAILED_PRECONDITION.
   */
  readonly errors: 'status' | 'google' | 'problem' | 'grpc-gateway-v1';
  /** Whether errors carry google.rpc.RequestInfo with the request id, as a detail; default true. */
  readonly requestInfo: boolean;
  /**
   * Names of metadata; default same: those of the headers. `grpc-gateway`: `Grpc-Metadata-`, `Grpc-Trailer-` and
   * `grpcgateway-` before them, as grpc-gateway has it by default.
   */
  readonly headers: 'same' | 'grpc-gateway';
  /** Replies of at least this size are compressed for clients that accept it, streams of lines and arrays too; 0 is none; default 1 KiB. */
  readonly compressAboveBytes: number;
  /** Whether SSE streams are compressed too, at about 140 KB of memory each; default false. */
  readonly compressEvents: boolean;
  /** Whether single replies to GET have an ETag, a hash of the body, and If-None-Match is answered with 304; default false. */
  readonly etag: boolean;
}

/** Options of the methods or routes that `match`: of what is not given, the application's. */
export interface RouteConfig {
  /**
   * `orders.v1.OrdersService/GetOrder` is a method, with all its routes; `GET /v1/orders/{order_id}` is a route as the contract
   * declares it. `*` stands for any text. One that matches nothing is a problem of the contract.
   */
  readonly match: string;
  readonly json?: { readonly [K in keyof JsonOptions]?: JsonOptions[K] | undefined } | undefined;
  readonly unknownFields?: HttpOptions['unknownFields'] | undefined;
  readonly unknownParameters?: HttpOptions['unknownParameters'] | undefined;
  /** The longest deadline of its calls, in ms: also of those that would have none. */
  readonly maxTimeoutMs?: number | undefined;
}

/** What pages of the allowed `origins` may do by fetch and EventSource (the CORS protocol of the Fetch standard). */
export interface CorsConfig {
  /** Whether their requests may carry cookies and be read; default false. Not together with the origin `*`. */
  readonly credentials: boolean;
  /** How long a browser may remember the answer to a preflight, in seconds; default 600. */
  readonly maxAgeSeconds: number;
  /** Request headers, in lower case, that they may send besides the ones that the gateway itself reads; `*` is any; default none. */
  readonly allowHeaders: readonly string[];
}

/** Where the contract comes from. With neither protos nor descriptors, it is read from the upstreams by reflection. */
export interface ContractConfig {
  /** .proto files, or folders that are searched for them. */
  readonly protos: readonly string[];
  /** Folders where imports are looked up, besides each proto folder itself and the Google API protos that we carry. */
  readonly includes: readonly string[];
  /** Files that hold an encoded google.protobuf.FileDescriptorSet. */
  readonly descriptors: readonly string[];
  /**
   * google.api.Service files (YAML) whose rules stand in for the contract's own options; of several rules for a method the
   * last one holds.
   */
  readonly serviceConfigs: readonly string[];
  /**
   * Between two looks whether the contract has changed, in ms; 0 is never; default 1 s for files, which are read only when
   * they were written to, and 30 s for upstreams that are asked by reflection.
   */
  readonly reloadMs?: number | undefined;
  /**
   * Of two routes for the same requests (one HTTP method, one path) the one declared first or last serves them, or the
   * contract is refused; default error.
   */
  readonly duplicateRoutes: 'error' | 'first' | 'last';
}

export interface Config {
  /** Default 127.0.0.1 in dev mode, else 0.0.0.0. */
  readonly host: string;
  /** Default 8080; 0 picks a free one. */
  readonly port: number;
  /** Default: none, the gateway speaks plaintext. */
  readonly tls?: TlsConfig | undefined;
  /** Development mode: tokens signed with the public development secret are accepted, and only loopback is listened on. */
  readonly dev: boolean;
  readonly upstreams: readonly UpstreamConfig[];
  readonly contract: ContractConfig;
  readonly auth: AuthConfig;
  /** Who may call which methods, beside the contract. Of several rules that match, the later decides; default none. */
  readonly access: readonly AccessRuleConfig[];
  readonly identity: IdentityConfig;
  readonly audit: AuditConfig;
  /** The YAML file that it was read from, if any. */
  readonly file?: string | undefined;
  readonly json: JsonOptions;
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  readonly http: HttpConfig;
  /** What some methods and routes have otherwise. Of several that match, the later decides. */
  readonly routes: readonly RouteConfig[];
  /** Origins, besides the gateway's own host, whose pages may read answers (CORS) and open WebSockets; `*` allows all. Default none. */
  readonly origins: readonly string[];
  readonly cors: CorsConfig;
  /**
   * How many proxies stand before the gateway and add themselves to `x-forwarded-for`; default 0: what clients say in
   * `x-forwarded-*` is dropped.
   */
  readonly trustedHops: number;
  /** Headers, in lower case, that no service receives, besides those that never reach one; default none. */
  readonly stripHeaders: readonly string[];
  /** `memory` (also undefined), or the URL of the Redis or NATS server that the nodes of a cluster share. May hold a password. */
  readonly broker?: string | undefined;
  readonly streams: StreamsConfig;
  /** Whether the built-in Channels service is served; default false. */
  readonly channels: boolean;
  /** Who may do what in which channels. Of several rules that match, the later decides; default none. */
  readonly channelRules: readonly ChannelRuleConfig[];
  /** pino level: fatal, error, warn, info, debug, trace or silent; default info. */
  readonly logLevel: string;
}
