/** WebSocket close codes of our own, and how a status becomes a close. PROTOCOL.md lists them all. */
import { StatusError } from '../../src/status.js';

/**
 * Codes that are no call's status (those stand in src/status.ts). Ranges are advice: 4000-4099 stop, 4100-4199
 * reconnect with jitter, 4200-4299 reconnect after the told delay, 4300-4399 get a new token first.
 */
export const Close = {
  /** No hello came in time. */
  HELLO_LATE: 4050,
  /** Another frame came before hello. */
  HELLO_MISSING: 4051,
  HELLO_TWICE: 4052,
  /** Not JSON or protobuf, or a field of the wrong type or out of range. */
  FRAME_MALFORMED: 4053,
  /** A frame type that does not exist, or that only the gateway sends. */
  FRAME_UNKNOWN: 4054,
  /** Binary where text is due, or text where binary is due. */
  KIND_WRONG: 4055,
  /** A frame for a sid that was never opened. */
  SID_UNKNOWN: 4056,
  /** The client reads too slowly for a stream that does not wait. */
  SLOW: 4101,
  /** The client sends more than it may, or has more sockets than it may. */
  OVERLOAD: 4102,
  /** Nothing was heard of the client for three heartbeats. */
  NO_PONG: 4103,
  /** The connection has lasted long enough. */
  LIFETIME: 4104,
  /** A route socket: what follows does not continue what the client has seen. */
  RESET: 4105,
  /** No call was open for long. */
  IDLE: 4106,
  /** The gateway drains. */
  DRAIN: 4200,
  /** The token has expired. */
  EXPIRED: 4300,
  /** The token was revoked. */
  REVOKED: 4301,
} as const;
export type Close = (typeof Close)[keyof typeof Close];

/** What the client of OVERLOAD is told. */
export const FLOOD_TEXT = 'more messages than this client may send in a second';

/** A client that broke the protocol of a multiplexed socket: the socket is closed with this code and reason. */
export class FrameFault extends Error {
  override readonly name = 'FrameFault';
  constructor(
    readonly code: Close,
    reason: string,
  ) {
    super(reason);
  }
}

/** RFC 6455 section 5.5: a control frame holds 125 bytes, two of them are the code. */
const REASON_BYTES = 123;

/** The text, cut to what a close frame holds without splitting a character. */
export function closeReason(text: string): string {
  // Three bytes is the most that one UTF-16 unit takes.
  if (text.length * 3 <= REASON_BYTES) return text;
  const bytes = Buffer.from(text);
  if (bytes.length <= REASON_BYTES) return text;
  let end = REASON_BYTES;
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

/** `NOT_FOUND: no order o-1`, with the close code of the status. */
export function closeOf(error: StatusError): { readonly code: number; readonly reason: string } {
  const { row } = error;
  return {
    code: row.close,
    reason: closeReason(error.message === '' ? row.name : `${row.name}: ${error.message}`),
  };
}

/** What a thrown value closes a socket with. */
export function closeOfThrown(thrown: unknown): { readonly code: number; readonly reason: string } {
  if (thrown instanceof FrameFault) return { code: thrown.code, reason: closeReason(thrown.message) };
  return closeOf(StatusError.from(thrown));
}
