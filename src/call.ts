/** The call in the middle: what every door makes of a client's request, and what every policy and upstream see. */
import type { Method } from './method.js';
import type { Principal } from './principal.js';
import type { Feed } from './stream/feed.js';

/** One protobuf message, encoded. */
export type Message = Uint8Array;

/**
 * gRPC metadata: lower-case names; a repeated name has an array. Values of names that end in `-bin` are base64
 * (with or without padding), as they are on the wire.
 */
export type Metadata = Readonly<Record<string, string | readonly string[]>>;

/**
 * What the client sends. A method that takes one message gets a function, called by the upstream only after
 * every policy has accepted the call, so that a refused call never reads or parses its body; it may be called
 * again (a retry) and answers the same. A client-streaming method gets the messages one by one.
 */
export type Requests = (() => Message | Promise<Message>) | AsyncIterable<Message>;

export interface Call {
  /** The request id: in logs, in every error, and sent upstream as `x-request-id`. */
  readonly id: string;
  readonly method: Method;
  readonly requests: Requests;
  readonly metadata: Metadata;
  readonly principal: Principal;
  /** Whom a caller without a token is counted as: the client's address, an IPv6 one by its /64. Default: nobody, who is not counted. */
  readonly peer?: string | undefined;
  /** Aborted with a StatusError as its reason when the client leaves, the deadline passes or the gateway stops. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch, or undefined for none. */
  readonly deadline: number | undefined;
  /** Where a stream shall go on: a cursor that a client got with an event, `earliest` or `now`. Default: where the method begins. */
  readonly resume?: string | undefined;
}

export interface Reply {
  readonly headers: Metadata;
  /**
   * One message for methods that answer one; else the stream, to be iterated once. Iteration throws a StatusError
   * if the call fails after it was accepted. Leaving the loop early cancels the call.
   */
  readonly messages: Message | AsyncIterable<Message>;
  /**
   * The same stream with positions, for doors that show them, if the method's streams have any. Either this is started or `messages`
   * is iterated. Messages without positions cannot tell of a reset: their iteration then throws ABORTED.
   */
  readonly feed?: Feed;
  /** Complete when the last message has been read; for a single message at once. */
  readonly trailers: () => Metadata;
}

/**
 * Resolves when the call is accepted: the one reply is there, or the service sent headers or a message, or it
 * has been silent for a short while. Rejects with a StatusError when it is refused.
 */
export type Invoke = (call: Call) => Promise<Reply>;

export type Interceptor = (next: Invoke) => Invoke;

/** Wraps `innermost` so that the first interceptor is the outermost. */
export function chain(interceptors: readonly Interceptor[], innermost: Invoke): Invoke {
  return interceptors.reduceRight((next, interceptor) => interceptor(next), innermost);
}

/** Whether the reply is one message. Agrees with `!method.serverStreaming`. */
export function isSingle(messages: Reply['messages']): messages is Message {
  return messages instanceof Uint8Array;
}
