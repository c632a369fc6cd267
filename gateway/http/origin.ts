/** Where the page is from that sends a request (RFC 6454, Fetch Metadata), as far as its browser says so. */
import type { IncomingMessage } from 'node:http';
import { hostOf, protoOf } from './forwarded.js';

export interface OriginRules {
  /** In lower case, besides our own; `*` is any. */
  readonly origins: readonly string[];
  readonly trustedHops: number;
}

/** Host and port as a URL of that scheme has them: without the scheme's own port. */
function normalHost(scheme: string, host: string | undefined): string | undefined {
  const url = `${scheme}//${host ?? ''}`;
  return URL.canParse(url) ? new URL(url).host : undefined;
}

/**
 * Whether the origin is the host that was asked (of trusted proxies, if there are any), by http or https: a page of another scheme, such as that of an app, is somebody
 * else's, whatever it calls its host.
 */
export function isOwnHost(request: IncomingMessage, origin: string, hops: number): boolean {
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  if (url === undefined || url.host === '' || !/^https?:$/.test(url.protocol)) return false;
  return url.host === normalHost(url.protocol, hostOf(request, hops));
}

/** Whether it is one of the named ones: `*` names none. */
export function isNamed(origin: string, origins: readonly string[]): boolean {
  const asked = origin.toLowerCase();
  return origins.some((one) => one.toLowerCase().replace(/\/$/, '') === asked);
}

/**
 * Whether a request may use what a browser sends by itself, such as a cookie: the page is our own or of a named origin. Browsers
 * name the origin with all requests to other origins that can be read, with WebSockets, and with all unsafe methods; for the rest
 * `Sec-Fetch-Site` says it. Where neither does, nobody knows.
 */
export function isTrustedPage(request: IncomingMessage, { origins, trustedHops }: OriginRules): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (origin === undefined) return isSafe(request) && (site === 'same-origin' || site === 'none');
  if (isNamed(origin, origins)) return true;
  // Who is on the way can change a page that came in the clear: it is no page of a host with TLS.
  const downgraded = origin.startsWith('http:') && protoOf(request, trustedHops) === 'https';
  // Our own page asks nobody across sites: whoever changed the Host on the way has made a foreign page look like ours.
  return !downgraded && site !== 'cross-site' && isOwnHost(request, origin, trustedHops);
}

/** RFC 9110, 9.2.1. A WebSocket handshake is a GET too, but always has an origin. */
export function isSafe({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}
