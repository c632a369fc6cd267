/** HTTP headers to gRPC metadata and back: what passes, what is stripped, what is refused. */
import type { OutgoingHttpHeaders } from 'node:http';
import type { Metadata } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';

/** Says who the caller is. Never taken from a client: stripped here, set from the verified token further in. */
export const IDENTITY_HEADERS: ReadonlySet<string> = new Set([
  'x-user-id',
  'x-permissions',
  'x-auth-issued-at',
]);

/** RFC 9110 section 7.6.1, and what older proxies treat alike. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Spent at the gateway: about this connection or this gateway, not about the call. */
const CONSUMED: ReadonlySet<string> = new Set([
  'host',
  'expect',
  'x-request-id',
  'x-server-timeout',
  'connect-timeout-ms',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
]);

const NAME = /^[a-z0-9._-]+$/;
/** Space and printable ASCII: what gRPC carries as a text value (grpc over HTTP/2, "Custom-Metadata"). */
const VALUE = /^[ -~]*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

function isStripped(name: string): boolean {
  return (
    HOP_BY_HOP.has(name) ||
    CONSUMED.has(name) ||
    IDENTITY_HEADERS.has(name) ||
    name.startsWith('content-') ||
    name.startsWith('grpc-') ||
    name.startsWith('sec-websocket-') ||
    name.charCodeAt(0) === 0x3a
  );
}

function checkValue(name: string, value: string): void {
  if (!VALUE.test(value)) {
    throw new StatusError(
      Code.INVALID_ARGUMENT,
      `header ${name}: only printable ASCII can be passed to a service`,
    );
  }
  if (!name.endsWith('-bin')) return;
  // Several values of one -bin header may be joined by commas (gRPC over HTTP/2, "Custom-Metadata").
  for (const part of value.split(',')) {
    const text = part.trim();
    if (!BASE64.test(text) || text.replace(/=+$/, '').length % 4 === 1) {
      throw new StatusError(Code.INVALID_ARGUMENT, `header ${name}: expected base64`);
    }
  }
}

function isValues(value: string | readonly string[]): value is readonly string[] {
  return typeof value !== 'string';
}

/** Names that the Connection header declares hop-by-hop for this message. */
function connectionOptions(
  connection: string | readonly string[] | undefined,
): ReadonlySet<string> | undefined {
  if (connection === undefined) return undefined;
  const text = isValues(connection) ? connection.join(',') : connection;
  if (text === 'keep-alive' || text === 'close' || text === 'Upgrade') return undefined;
  return new Set(text.split(',').map((option) => option.trim().toLowerCase()));
}

/**
 * The metadata that a client's headers become: every end-to-end header under its own lower-case name, without
 * hop-by-hop, grpc-*, content-* and identity headers. Throws StatusError INVALID_ARGUMENT, naming the header, for a
 * name or value that gRPC cannot carry, and RESOURCE_EXHAUSTED over `maxBytes` in all (default 16 KiB).
 */
export function metadataFrom(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  maxBytes = 16_384,
): Metadata {
  const metadata: Record<string, string | readonly string[]> = Object.create(null);
  const alsoHopByHop = connectionOptions(headers['connection']);
  let bytes = 0;
  for (const key in headers) {
    const value = headers[key];
    const name = key.toLowerCase();
    if (value === undefined || isStripped(name) || alsoHopByHop?.has(name)) continue;
    if (!NAME.test(name)) {
      throw new StatusError(
        Code.INVALID_ARGUMENT,
        `header ${JSON.stringify(key)}: a service cannot receive this name`,
      );
    }
    if (isValues(value)) {
      for (const one of value) checkValue(name, one);
      bytes += value.reduce((sum, one) => sum + name.length + one.length, 0);
    } else {
      checkValue(name, value);
      bytes += name.length + value.length;
    }
    metadata[name] = value;
  }
  if (bytes > maxBytes) {
    throw new StatusError(Code.RESOURCE_EXHAUSTED, `headers: more than ${maxBytes} bytes for the service`);
  }
  return metadata;
}

/** What a service's metadata become on an HTTP response: own names, without what belongs to HTTP or gRPC itself. */
export function responseHeaders(metadata: Metadata): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (const name in metadata) {
    if (HOP_BY_HOP.has(name) || name.startsWith('grpc-') || name.startsWith('content-')) continue;
    if (name === 'date' || name === 'host' || name === 'x-request-id') continue;
    const value = metadata[name];
    if (value !== undefined) headers[name] = isValues(value) ? [...value] : value;
  }
  return headers;
}
