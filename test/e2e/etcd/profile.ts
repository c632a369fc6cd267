/** Tidegate told to answer as etcd's own gateway does: the profile of grpc-gateway, and what version 1 of it has otherwise. */
import { type Answer, comparable, isError } from './compare.js';
import type { PairedRequest } from './requests.js';

/** The configuration file, for `tidegate serve --config`. It names PUBLIC_METHODS beside it. */
export const LIKE_GRPC_GATEWAY_V1 = `
http:
  profile: grpc-gateway
  wrongMethod: 405
  precedence: first
  uncleanPaths: redirect
  unknownEnumNames: reject
  jsonDialect: jsonpb
  errors: grpc-gateway-v1
contract: { duplicateRoutes: first, serviceConfigs: [public.yaml] }
json: { emitDefaults: false, protoNames: true }
stripHeaders: [authorization]
`;

/** As etcd's own gateway has it: who may do what is up to etcd. */
export const PUBLIC_METHODS = `
type: google.api.Service
tidegate:
  rules:
    - selector: "*"
      access: { public: true }
`;

/**
 * What a program can tell of two answers. When both refuse, that is status and code, and the words if they are etcd's, which
 * pass through: a parser's own words are for people. A gateway of version 1 has no JSON for what it cannot route: then the
 * status is all.
 */
export function told(answer: Answer, other: Answer, request: PairedRequest): unknown {
  const { status, body } = answer;
  if (!isRefusal(answer) || !isRefusal(other)) return comparable(answer, request);
  if (!isError(body) || !isError(other.body)) return status;
  if (isOfEtcd(body) && isOfEtcd(other.body)) return { status, body };
  return { status, code: body.code, isRepeated: 'error' in body && body.error === body.message };
}

function isRefusal({ status }: Answer): boolean {
  return typeof status === 'number' && status >= 400;
}

function isOfEtcd({ message }: { readonly message: string }): boolean {
  return message.startsWith('etcdserver: ');
}
