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
}

/** tidegate.v1.stream. Field names are proto names. */
export interface StreamOptions {
  /** A string or enum field of the response whose value names the event on SSE. Empty: `message`. */
  readonly eventField: string;
  /** Milliseconds between heartbeats on a quiet stream; 0: the gateway's default. */
  readonly heartbeatMs: number;
}

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
