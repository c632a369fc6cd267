/** Everything that follows from one contract: built as a whole, checked as a whole, swapped as a whole. */
import type { Codec, JsonOptions, JsonValue } from '../../src/codec/codec.js';
import type { Contract } from '../../src/contract/contract.js';
import type { Message } from '../../src/call.js';
import type { HttpRule, Method } from '../../src/method.js';

/** A request's URL, bound: what remains is the body. Every message of a client stream is bound like a request of its own. */
export interface Bound {
  /** From the URL alone (no body came). */
  empty(): Message;
  /** With a JSON body (the value of the rule's body field, or the whole message for `*`). */
  json(body: JsonValue): Message;
  /** With a protobuf body. Passed through untouched when the URL sets nothing and the body is the whole message. */
  bytes(body: Uint8Array): Message;
}

/** The compiled form of one HttpRule: request parts to message, message to response body. */
export interface Binding {
  /** Throws StatusError INVALID_ARGUMENT that names the path variable or query parameter. */
  bind(variables: readonly string[], query: string): Bound;
  /** JSON text of the HTTP response body: the message, or the rule's response_body field of it. */
  print(message: Message): string;
}

export interface Endpoint {
  readonly method: Method;
  readonly rule: HttpRule;
  readonly binding: Binding;
}

export interface Match {
  readonly endpoint: Endpoint;
  readonly variables: readonly string[];
}

export interface Router {
  /**
   * Routes a raw, still percent-encoded path without its query. `match`, or the methods that the path does know
   * (for 405 and Allow, sorted), or undefined for an unknown path. Throws StatusError INVALID_ARGUMENT for a malformed path.
   */
  match(verb: string, path: string): { readonly match: Match } | { readonly allow: readonly string[] } | undefined;
  /** For WebSocket, whose handshake is always GET: the path's endpoints under any verb, streaming methods first, then GET. */
  matchAny(path: string): Match | undefined;
}

export interface Table {
  readonly contract: Contract;
  readonly codec: Codec;
  readonly router: Router;
  /** By `pkg.Service/Method`: every method with body `*` and no path variables, as at POST /pkg.Service/Method. */
  readonly byName: ReadonlyMap<string, Endpoint>;
  /** Every route in the order of the contract, for `tidegate routes`. */
  readonly endpoints: readonly Endpoint[];
}

/** Throws ContractError that lists bad templates, bad bindings and duplicate routes with both sources. */
export declare function buildTable(contract: Contract, json: Partial<JsonOptions>): Table;
