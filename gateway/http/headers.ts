/** HTTP headers to gRPC metadata and back: what passes, what is stripped, what is refused. */
import type { OutgoingHttpHeaders } from 'node:http';
import type { Metadata } from '../../src/call.js';
import { IDENTITY_HEADERS } from '../../src/policy/identity.js';
import type { HttpConfig, UpstreamConfig } from '../config.js';
import { headersTooLarge, invalid } from './error.js';

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
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
]);

/** What grpc-gateway takes for permanent header fields of HTTP, and passes with its prefix. */
const PERMANENT: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-language',
  'accept-ranges',
  'authorization',
  'cache-control',
  'content-type',
  'cookie',
  'date',
  'from',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-schedule-tag-match',
  'if-unmodified-since',
  'max-forwards',
  'origin',
  'pragma',
  'referer',
  'user-agent',
  'via',
  'warning',
]);

/** Names of services that HTTP or the gateway itself sets on a response. */
const OURS: ReadonlySet<string> = new Set(['date', 'host', 'x-request-id', 'x-http-code']);

/** Of all metadata on one response: what is over it is dropped. Node's client takes 16 KiB of headers in all, nginx 4 or 8. */
const RESPONSE_BYTES = 12_288;

export type Naming = HttpConfig['headers'];

export interface MetadataRules {
  /** Default same. */
  readonly naming?: Naming;
  /** Whether a trusted proxy vouches for `x-forwarded-*` and `x-real-ip`; default false: they are dropped. */
  readonly behindProxy?: boolean;
}

const NAME = /^[a-z0-9._-]+$/;
/** Space and printable ASCII: what gRPC carries as a text value (grpc over HTTP/2, "Custom-Metadata"). */
const VALUE = /^[ -~]*$/;
/** What Node writes into a header line: RFC 9110 section 5.5 without folding. */
const FIELD_VALUE = /^[\t -~\x80-\xff]*$/;
const METADATA_PREFIX = 'grpc-metadata-';
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

/** What clients say of themselves in the place of proxies. The three that services know are set anew (forwarded.ts). */
function isForwarding(name: string): boolean {
  return name.startsWith('x-forwarded-') || name === 'x-real-ip';
}

function checkValue(name: string, value: string): void {
  if (!VALUE.test(value)) throw invalid(`header ${name}`, 'only printable ASCII can be passed to a service');
  if (!name.endsWith('-bin')) return;
  // Several values of one -bin header may be joined by commas (gRPC over HTTP/2, "Custom-Metadata").
  for (const part of value.split(',')) {
    const text = part.trim();
    if (!BASE64.test(text) || text.replace(/=+$/, '').length % 4 === 1) {
      throw invalid(`header ${name}`, 'expected base64');
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

/** The name that a header has as metadata; undefined: it does not pass. */
function metadataName(header: string, naming: Naming, behindProxy: boolean): string | undefined {
  let name = header;
  if (naming === 'grpc-gateway' && !isForwarding(header)) {
    if (header.startsWith(METADATA_PREFIX)) name = header.slice(METADATA_PREFIX.length);
    else return PERMANENT.has(header) ? `grpcgateway-${header}` : undefined;
    // The token that was verified is in the header of that name; no other may look like it to a service.
    if (name === '' || name === 'authorization') return undefined;
  }
  return isStripped(name) || (!behindProxy && isForwarding(name)) ? undefined : name;
}

/**
 * The metadata that a client's headers become: every end-to-end header under its own lower-case name, without
 * hop-by-hop, grpc-*, content-* and identity headers. With the names of grpc-gateway: `Grpc-Metadata-X` under `x`, by the
 * same rules; fields of HTTP itself under `grpcgateway-`; `authorization` also as it is; no others.
 * Throws INVALID_ARGUMENT, naming the header, for a name or value that gRPC cannot carry, and HttpError 431 over
 * `maxBytes` in all (default 16 KiB).
 */
export function metadataFrom(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  maxBytes = 16_384,
  { naming = 'same', behindProxy = false }: MetadataRules = {},
): Metadata {
  const metadata: Record<string, string | readonly string[]> = Object.create(null);
  const alsoHopByHop = connectionOptions(headers.connection);
  let bytes = 0;
  for (const key in headers) {
    const value = headers[key];
    const header = key.toLowerCase();
    if (value === undefined || HOP_BY_HOP.has(header) || alsoHopByHop?.has(header)) continue;
    const name = metadataName(header, naming, behindProxy);
    if (name === undefined) continue;
    bytes += checkHeader(key, name, value);
    metadata[name] = value;
    if (name === 'grpcgateway-authorization') metadata.authorization = value;
  }
  if (bytes > maxBytes) throw headersTooLarge(`headers: more than ${maxBytes} bytes for the service`);
  return metadata;
}

/** Its size in bytes. */
function checkHeader(key: string, name: string, value: string | readonly string[]): number {
  if (!NAME.test(name)) throw invalid(`header ${JSON.stringify(key)}`, 'a service cannot receive this name');
  if (!isValues(value)) {
    checkValue(name, value);
    return name.length + value.length;
  }
  for (const one of value) checkValue(name, one);
  return value.reduce((sum, one) => sum + name.length + one.length, 0);
}

/**
 * What a service's metadata become on an HTTP response: own names, without what belongs to HTTP, to gRPC or to the gateway
 * itself. With the names of grpc-gateway each has `prefix` before it, by default `grpc-metadata-`. Names and values that
 * HTTP/1.1 does not carry are dropped, and so is, from the first that does not fit, what is over 12 KiB in all.
 */
export function responseHeaders(
  metadata: Metadata,
  naming: Naming = 'same',
  prefix: string = METADATA_PREFIX,
): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  let bytes = 0;
  for (const name in metadata) {
    const value = metadata[name];
    if (value === undefined || !NAME.test(name) || isWithheld(name)) continue;
    const fits = isValues(value) ? value.filter((one) => FIELD_VALUE.test(one)) : value;
    if (isValues(fits) ? fits.length === 0 : !FIELD_VALUE.test(fits)) continue;
    const shown = naming === 'same' ? name : `${prefix}${name}`;
    bytes += sizeOf(shown, fits);
    if (bytes > RESPONSE_BYTES) break;
    headers[shown] = isValues(fits) ? [...fits] : fits;
  }
  return headers;
}

/** Of a service's metadata: about its own connection, or for the gateway alone to say, which pages may read what among it. */
function isWithheld(name: string): boolean {
  return (
    HOP_BY_HOP.has(name) ||
    OURS.has(name) ||
    name === '__proto__' ||
    name.startsWith('grpc-') ||
    name.startsWith('content-') ||
    name.startsWith('access-control-') ||
    name.startsWith('sec-websocket-')
  );
}

/** As lines of an HTTP message, each with its colon, space and end. */
function sizeOf(name: string, value: string | readonly string[]): number {
  if (!isValues(value)) return name.length + value.length + 4;
  return value.reduce((sum, one) => sum + name.length + one.length + 4, 0);
}

/** The HTTP status that a trusted service asks for by `x-http-code`; undefined unless it is one between `from` and 499. */
export function chosenStatus(
  metadata: Metadata,
  from: number,
  upstream: UpstreamConfig | undefined,
): number | undefined {
  const code = metadata['x-http-code'];
  if (typeof code !== 'string' || upstream?.trusted !== true || !/^[1-9]\d\d$/.test(code)) return undefined;
  const status = Number(code);
  return status >= from && status <= 499 ? status : undefined;
}

/** Says that a response differs by a request header (RFC 9110 section 12.5.5), beside what `vary` says already. */
export function addVary(headers: OutgoingHttpHeaders, field: string): void {
  const { vary } = headers;
  const said = vary === undefined ? '' : String(vary);
  const fields = said.toLowerCase().split(/[ \t]*,[ \t]*/);
  if (said === '') headers.vary = field;
  else if (!fields.includes(field) && !fields.includes('*')) headers.vary = `${said}, ${field}`;
}
