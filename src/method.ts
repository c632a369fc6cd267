/** One RPC of the contract: its types, its routes, who may call it, and how its stream behaves. */
import type { DescMessage } from '@bufbuild/protobuf';

/** Where something in a contract stands, for messages to the person who wrote it. */
export interface Source {
  /** The .proto file's name, as the contract names it. */
  readonly file: string;
  /** 1-based, where the contract's source tells. */
  readonly line?: number;
}

/** One binding of google.api.http; additional_bindings are bindings of their own. */
export interface HttpRule {
  /** GET, PUT, POST, DELETE, PATCH, the kind of a `custom` rule, or `*` for every HTTP method. */
  readonly verb: string;
  /** The path template, for example `/v1/{name=shelves/*}:move`. */
  readonly template: string;
  /** `*`, the name of a field of the request, or empty: no body. */
  readonly body: string;
  /** The name of a field of the response that is the HTTP body, or empty: the whole response. */
  readonly responseBody: string;
  /** Whether `%2F` is decoded too in variables of several segments (google.api.Http.fully_decode_reserved_expansion); default false. */
  readonly fullyDecode?: boolean;
  /** Where it stands, if not in the contract's files: in a service configuration. */
  readonly source?: Source;
}

/** tidegate.v1.access. Without the option, a method needs a valid token and nothing more. */
export interface Access {
  /** No token is needed. A token that is sent must be valid all the same. */
  readonly public: boolean;
  /** The caller must have all of these. */
  readonly permissions: readonly string[];
  /** The caller must have one of these, if there are any. */
  readonly roles: readonly string[];
  /** What the request itself must say of the caller: all of them; default nothing. */
  readonly bind?: readonly ClaimBinding[];
}

/** A field of the request that must hold what a claim of the token says. */
export interface ClaimBinding {
  /** The path of a field of the request, by proto names: `customer_id`, or `order.customer_id`. A string, bytes, integer, enum or bool. */
  readonly field: string;
  /** `sub`, or the name of any claim, or a path to one inside objects (`org.id`). Of a list, one element has to be the field's value. */
  readonly claim: string;
  /** Who has one of these permissions may say anything. */
  readonly unless: readonly string[];
  /**
   * Of a stream of requests, only the first must have the field: a later one may leave it out, but not say anything else. Default: each of them
   * must have it.
   */
  readonly firstOnly?: boolean | undefined;
}

/** What becomes of a reader that is too slow for a shared stream; a private stream slows its service down instead. */
export interface SlowReader {
  /**
   * `disconnect`: the connection is closed, and the client resumes. `drop_oldest`: what does not fit is skipped, and the client is told by a
   * reset. `conflate`: of what has waited, only the last message of each `key` is sent. `latest`: only the last message is sent.
   */
  readonly policy: 'disconnect' | 'drop_oldest' | 'conflate' | 'latest';
  /** For `conflate`: the path of a field of the response, for example `symbol`. Else empty. */
  readonly key: string;
  /** How far a reader may be behind before the policy is used, in bytes of encoded messages. */
  readonly bytes: number;
  /** The same in ms. */
  readonly ageMs: number;
}

/** tidegate.v1.stream. Fields are named by their proto names. */
export interface StreamOptions {
  /** A string or enum field of the response whose value names the event on SSE. Empty: `message`. */
  readonly eventField: string;
  /** Milliseconds between heartbeats on a quiet stream; 0: the gateway's default. */
  readonly heartbeatMs: number;
  /**
   * `private`: a call of the service for each client. `shared`: one call for all clients of the cluster that ask for the same, logged for
   * resume. `node`: one call and one log for each gateway node, for services that keep the history themselves.
   */
  readonly sharing: 'private' | 'shared' | 'node';
  /** What makes two equal requests different: claims of the token (`sub`, `roles`, `permissions` or any other) and request headers. */
  readonly scope: { readonly claims: readonly string[]; readonly headers: readonly string[] };
  /** The path of the response field (string, bytes or integer) that is a position in the service's own log. Empty: it has none. */
  readonly cursorField: string;
  /** The path of the request field, of the same type, after whose position the service goes on. Empty exactly if `cursorField` is. */
  readonly resumeField: string;
  /** What is kept of a shared stream for clients that come back. */
  readonly retention: { readonly entries: number; readonly ageMs: number; readonly bytes: number };
  /** How long the call of a shared stream goes on without clients, in ms. */
  readonly lingerMs: number;
  readonly slow: SlowReader;
}

/** Without the option, or for what it does not say. */
export const STREAM_DEFAULTS: StreamOptions = Object.freeze<StreamOptions>({
  eventField: '',
  heartbeatMs: 0,
  sharing: 'private',
  scope: Object.freeze({ claims: [], headers: [] }),
  cursorField: '',
  resumeField: '',
  retention: Object.freeze({ entries: 10_000, ageMs: 3_600_000, bytes: 16 * 1024 * 1024 }),
  lingerMs: 15_000,
  slow: { policy: 'disconnect', key: '', bytes: 1024 * 1024, ageMs: 30_000 },
});

export interface Method {
  /** `orders.v1.OrdersService/GetOrder` */
  readonly name: string;
  /** `orders.v1.OrdersService` */
  readonly service: string;
  /** `/orders.v1.OrdersService/GetOrder`: the HTTP/2 path of gRPC. */
  readonly path: string;
  readonly clientStreaming: boolean;
  readonly serverStreaming: boolean;
  readonly input: DescMessage;
  readonly output: DescMessage;
  /** Empty for a method without google.api.http: such a one is served at POST `path`. */
  readonly routes: readonly HttpRule[];
  readonly access: Access;
  readonly stream: StreamOptions;
  /** The name of the upstream that serves it. */
  readonly upstream: string;
  readonly source: Source;
}
