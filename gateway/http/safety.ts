/** What keeps a browser from making more of an answer than it is: headers that cost nothing and that scanners look for. */
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { hasHiddenCredential } from '../auth/sources.js';

const NOSNIFF = 'x-content-type-options';

/**
 * Of answers that the gateway itself has written: errors and its own pages. There is nothing in them to be run, framed or followed, so that all of it is forbidden (Content
 * Security Policy Level 3; `x-frame-options` for browsers from before its `frame-ancestors`).
 */
export const OWN_ANSWER: Readonly<Record<string, string>> = {
  [NOSNIFF]: 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
};

/**
 * Of a service's reply: it is of the type that it says (Fetch standard, 3.6), and no cache that others share keeps what was asked for with a token in a cookie or a query, which
 * it could not know (RFC 6750, 2.3). What the service says itself stays.
 */
export function guardReply(headers: OutgoingHttpHeaders, request: IncomingMessage): void {
  headers[NOSNIFF] ??= 'nosniff';
  if (headers['cache-control'] === undefined && hasHiddenCredential(request))
    headers['cache-control'] = 'private';
}
