/** What a call on a WebSocket of its own is made of, and how it may end. */
import type { Metadata } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import type { Bound, Endpoint, Table } from '../http/table.js';
import type { Farewell } from '../streams.js';
import type { Caller, Gateway } from './door.js';
import type { Close } from './ws_close.js';

export interface SocketCallOptions {
  readonly gateway: Pick<Gateway, 'config' | 'invoke' | 'draining' | 'log' | 'agenda' | 'counts'>;
  /** A call ends on the table that it began with. */
  readonly table: Table;
  readonly endpoint: Endpoint;
  /** Binds the URL, once; throws StatusError INVALID_ARGUMENT. */
  readonly bound: () => Bound;
  /** Where the stream of replies shall go on. */
  readonly resume: string | undefined;
  readonly caller: Caller;
  /** What messages are: chosen by subprotocol, or undefined: the first message of the client decides. */
  readonly binary: boolean | undefined;
}

export const NO_METADATA: Metadata = Object.freeze({});

export function nothing(): void {}

/** For what a call is given once, and lets go. */
export function forgotten(): never {
  throw new StatusError(Code.INTERNAL, 'the request was taken already');
}

export interface Ending {
  /** Default: that of the status. */
  readonly code?: Close;
  /** Set when it is the gateway that ends it. */
  readonly why?: Farewell;
}
