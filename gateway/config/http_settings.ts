/** The settings of how HTTP is spoken, with their flags and environment variables. */
import { DEFAULTS } from './schema.js';
import type { Setting } from './settings.js';
import { printSize } from './units.js';

export const HTTP: readonly Setting[] = [
  {
    flag: 'profile',
    value: 'NAME',
    path: ['http', 'profile'],
    env: ['TIDEGATE_PROFILE'],
    help: 'answer as default, grpc-gateway or envoy does: presets the options of http that are not set',
    default: DEFAULTS.http.profile,
  },
  {
    flag: 'errors',
    value: 'SHAPE',
    path: ['http', 'errors'],
    env: ['TIDEGATE_ERRORS'],
    help: 'body of errors: status (google.rpc.Status), google ({"error": ...}), problem (RFC 9457) or grpc-gateway-v1',
    default: DEFAULTS.http.errors,
  },
  {
    flag: 'request-info',
    path: ['http', 'requestInfo'],
    env: ['TIDEGATE_REQUEST_INFO'],
    help: 'put the request id into the details of errors',
    default: 'on',
  },
  {
    flag: 'headers',
    value: 'NAMES',
    path: ['http', 'headers'],
    env: ['TIDEGATE_HEADERS'],
    help: 'names of metadata: same as the headers, or grpc-gateway (Grpc-Metadata- and the like)',
    default: DEFAULTS.http.headers,
  },
  {
    flag: 'compress-above',
    value: 'SIZE',
    path: ['http', 'compressAboveBytes'],
    env: ['TIDEGATE_COMPRESS_ABOVE'],
    help: 'replies from this size on are compressed for clients that accept it; 0 is none',
    default: printSize(DEFAULTS.http.compressAboveBytes),
  },
  {
    flag: 'compress-events',
    path: ['http', 'compressEvents'],
    env: ['TIDEGATE_COMPRESS_EVENTS'],
    help: 'compress SSE streams too, at about 140 KB of memory each',
    default: 'off',
  },
  {
    flag: 'etag',
    path: ['http', 'etag'],
    env: ['TIDEGATE_ETAG'],
    help: 'replies to GET have an ETag, and If-None-Match is answered with 304',
    default: 'off',
  },
  {
    flag: 'trusted-hops',
    value: 'COUNT',
    path: ['trustedHops'],
    env: ['TIDEGATE_TRUSTED_HOPS'],
    help: 'proxies before the gateway that add themselves to x-forwarded-for',
    default: String(DEFAULTS.trustedHops),
  },
  {
    flag: 'cors-credentials',
    path: ['cors', 'credentials'],
    env: ['TIDEGATE_CORS_CREDENTIALS'],
    help: 'requests from pages of the allowed origins may carry cookies',
    default: 'off',
  },
  {
    flag: 'cors-allow-header',
    value: 'NAME',
    repeatable: true,
    path: ['cors', 'allowHeaders'],
    env: ['TIDEGATE_CORS_ALLOW_HEADERS'],
    help: 'request header that these pages may send, besides those the gateway reads itself; * is any',
    default: 'none',
  },
];
