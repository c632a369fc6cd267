/** Cursors: a position in one stream as an opaque ASCII string that nobody else can make, and that fits no other stream. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ResetReason } from './feed.js';
import type { StreamId } from './stream_id.js';

/** What a cursor names. */
export interface Place {
  /** The incarnation of the log; empty when no log of ours is meant, but the token alone. */
  readonly epoch: string;
  /** Of the last entry that the client has seen; 0 is before the first. */
  readonly offset: number;
  /** Of the same entry. */
  readonly nonce: number;
  /** The service's own position, if the contract declares one: what its resume field takes. */
  readonly token: Uint8Array | undefined;
}

/** A place in the service's own log alone. */
export function placeOfToken(token: Uint8Array | undefined): Place {
  return { epoch: '', offset: 0, nonce: 0, token };
}

export interface Cursors {
  print(id: StreamId, place: Place): string;
  /**
   * A place in the stream `id`, or why it is none: `cursor_invalid` for what we did not make, or made for another stream;
   * `scope_changed` for a cursor of the same stream in another scope, for example of another user.
   */
  parse(id: StreamId, text: string): Place | ResetReason;
}

const VERSION = 1;
/** Of the MAC (HMAC-SHA-256, truncated as RFC 2104 section 5 allows) and of each half of the stream's identity, in bytes. */
const MAC_BYTES = 12;
const ID_BYTES = 8;
/** version, request, scope, flags, nonce, offset (as two halves). */
const HEAD_BYTES = 1 + 2 * ID_BYTES + 1 + 4 + 8;
const HAS_TOKEN = 1;
/** What a header can reasonably hold; the longest token that services should use is far below. */
export const LONGEST_CURSOR = 2_048;
const ALPHABET = /^[A-Za-z0-9_-]+$/;

/** `secret`: at least 32 bytes, the same for all nodes whose cursors shall be good for each other. */
export function createCursors(secret: Uint8Array): Cursors {
  const seal = (body: Uint8Array): Buffer =>
    createHmac('sha256', secret).update(body).digest().subarray(0, MAC_BYTES);
  return {
    print(id, place) {
      const body = printBody(id, place);
      return Buffer.concat([body, seal(body)]).toString('base64url');
    },
    parse(id, text) {
      if (text.length > LONGEST_CURSOR || !ALPHABET.test(text)) return 'cursor_invalid';
      const bytes = Buffer.from(text, 'base64url');
      const body = bytes.subarray(0, -MAC_BYTES);
      if (body.length < HEAD_BYTES + 1 || !timingSafeEqual(bytes.subarray(-MAC_BYTES), seal(body)))
        return 'cursor_invalid';
      return parseBody(id, body);
    },
  };
}

/** version | request | scope | flags | nonce | offset | length of the epoch, epoch | token */
function printBody({ request, scope }: StreamId, { epoch, offset, nonce, token }: Place): Buffer {
  const body = Buffer.allocUnsafe(HEAD_BYTES + 1 + epoch.length + (token?.length ?? 0));
  body[0] = VERSION;
  body.set(request.subarray(0, ID_BYTES), 1);
  body.set(scope.subarray(0, ID_BYTES), 1 + ID_BYTES);
  body[1 + 2 * ID_BYTES] = token === undefined ? 0 : HAS_TOKEN;
  body.writeUInt32BE(nonce, 2 + 2 * ID_BYTES);
  body.writeBigUInt64BE(BigInt(offset), 6 + 2 * ID_BYTES);
  body[HEAD_BYTES] = epoch.length;
  body.write(epoch, HEAD_BYTES + 1, 'latin1');
  if (token !== undefined) body.set(token, HEAD_BYTES + 1 + epoch.length);
  return body;
}

/** What we have sealed is well-formed: only its version and the stream that it was made for can be others. */
function parseBody({ request, scope }: StreamId, body: Buffer): Place | ResetReason {
  if (body[0] !== VERSION || !body.subarray(1, 1 + ID_BYTES).equals(request.subarray(0, ID_BYTES)))
    return 'cursor_invalid';
  if (!body.subarray(1 + ID_BYTES, 1 + 2 * ID_BYTES).equals(scope.subarray(0, ID_BYTES)))
    return 'scope_changed';
  const end = HEAD_BYTES + 1 + (body[HEAD_BYTES] ?? 0);
  return {
    epoch: body.toString('latin1', HEAD_BYTES + 1, end),
    offset: Number(body.readBigUInt64BE(6 + 2 * ID_BYTES)),
    nonce: body.readUInt32BE(2 + 2 * ID_BYTES),
    token: body[1 + 2 * ID_BYTES] === HAS_TOKEN ? new Uint8Array(body.subarray(end)) : undefined,
  };
}
