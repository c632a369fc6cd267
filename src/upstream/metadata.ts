/** Call metadata to grpc-js metadata and back, leaving out what belongs to the transport. */
import { Metadata as GrpcMetadata } from '@grpc/grpc-js';
import type { Metadata } from '../call.js';
import { badRequest } from '../details.js';
import { Code, StatusError } from '../status.js';

export const NO_METADATA: Metadata = Object.freeze({});

const NAME = /^[0-9a-z_.-]+$/;
const VALUE = /^[ -~]*$/;

/** Names that describe one HTTP hop or its body. Node refuses most of them and would give up the whole connection. */
const HOP = new Set([
  'connection',
  'date',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Names that Node's HTTP/2 client refuses to send twice; it would give up the whole connection. */
const ONCE = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'dnt',
  'etag',
  'expires',
  'from',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
]);

/**
 * What is sent to a service. Left out: names that gRPC does not allow, `grpc-*`, `content-*` and those of one HTTP
 * hop. Repeated values of a header that HTTP allows only once are joined with a comma (RFC 9110, 5.3).
 * Throws StatusError INVALID_ARGUMENT for a value that is not printable ASCII, naming the header.
 */
export function toGrpc(metadata: Metadata): GrpcMetadata {
  const result = new GrpcMetadata();
  for (const key in metadata) {
    const value = metadata[key];
    if (value === undefined) continue;
    const name = key.toLowerCase();
    if (!passes(name)) continue;
    if (typeof value === 'string') add(result, name, value);
    else if (ONCE.has(name)) add(result, name, value.join(', '));
    else for (const each of value) add(result, name, each);
  }
  return result;
}

/** What a service sent, without `grpc-*`, `content-*` and the names of one HTTP hop. Values of `-bin` names are base64. */
export function fromGrpc(metadata: GrpcMetadata): Metadata {
  const headers = metadata.toHttp2Headers();
  let result: Record<string, string | string[]> | undefined;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || !passes(name)) continue;
    result ??= {};
    result[name] = typeof value === 'number' ? String(value) : value;
  }
  return result ?? NO_METADATA;
}

function passes(name: string): boolean {
  return NAME.test(name) && !name.startsWith('grpc-') && !name.startsWith('content-') && !HOP.has(name);
}

function add(metadata: GrpcMetadata, name: string, value: string): void {
  if (name.endsWith('-bin')) {
    // One header may hold several binary values, separated by commas.
    for (const each of value.split(',')) metadata.add(name, Buffer.from(each.trim(), 'base64'));
    return;
  }
  if (!VALUE.test(value)) {
    const description = 'only printable ASCII can be sent to a service';
    throw new StatusError(Code.INVALID_ARGUMENT, `header ${name}: ${description}`, {
      details: [badRequest([{ field: `header ${name}`, description }])],
    });
  }
  metadata.add(name, value.trim());
}
