/** ETag and If-None-Match: a client that has the reply already is not sent it again (RFC 9110 sections 8.8.3 and 13.1.2). */
import { createHash } from 'node:crypto';
import type { Coding } from './compress.js';

/** A strong validator of a body: 132 bits of its SHA-256. */
export function etagOf(body: Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
}

/**
 * The tag of the same body in another coding, which is another sequence of bytes. A tag that the service gave is made weak
 * instead: it says what it said of the content, and nothing of these bytes.
 */
export function codedTag(tag: string, coding: Coding, own: boolean): string {
  if (own) return `${tag.slice(0, -1)}-${coding}"`;
  return tag.startsWith('W/') ? tag : `W/${tag}`;
}

/** Whether If-None-Match names the tag, compared weakly as the field asks for. A malformed list matches nothing. */
export function matchesTag(header: string, tag: string): boolean {
  const list = header.trim();
  if (list === '*') return true;
  const opaque = tag.replace(/^W\//, '');
  return (list.match(/(?:W\/)?"[!#-~\x80-\xff]*"/g) ?? []).some(
    (given) => given.replace(/^W\//, '') === opaque,
  );
}
