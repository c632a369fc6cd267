/** What an `open` frame asks for: which method, bound how, under which id and with which metadata. */
import type { Metadata } from '../../src/call.js';
import { Code, StatusError } from '../../src/status.js';
import { metadataFrom } from '../http/headers.js';
import { requestId } from '../http/request.js';
import type { Bound, Endpoint, Table } from '../http/table.js';
import type { Caller } from './door.js';
import { bindLater } from './ws_bound.js';
import type { OpenFrame } from './ws_frames.js';

export interface Target {
  readonly endpoint: Endpoint;
  readonly bound: () => Bound;
}

/** A verb, a raw path and a raw query, as on the first line of an HTTP request. */
const ROUTE = /^([A-Z]+) (\/[^ ?#]*)(?:\?([^ #]*))?$/;

function atRoute({ router }: Table, route: string): Target {
  const parts = ROUTE.exec(route);
  if (parts === null) {
    throw new StatusError(
      Code.INVALID_ARGUMENT,
      'open.route: expected a verb and a path, such as GET /v1/orders/42',
    );
  }
  const [, verb = '', path = '', query = ''] = parts;
  const found = router.match(verb, path);
  if (found === undefined)
    throw new StatusError(Code.NOT_FOUND, `open.route: no route for ${path.slice(0, 200)}`);
  if ('allow' in found) {
    throw new StatusError(Code.UNIMPLEMENTED, `open.route: this path takes ${found.allow.join(', ')}`);
  }
  const { endpoint, variables } = found.match;
  return { endpoint, bound: bindLater(endpoint, variables, query) };
}

/** Throws StatusError: INVALID_ARGUMENT, NOT_FOUND for an unknown route, UNIMPLEMENTED for an unknown method or verb. */
export function resolveOpen(table: Table, { method, route }: OpenFrame): Target {
  if (route !== undefined && method === undefined) return atRoute(table, route);
  if (method === undefined || route !== undefined) {
    throw new StatusError(Code.INVALID_ARGUMENT, 'open: expected either method or route');
  }
  const endpoint = table.byName.get(method);
  if (endpoint === undefined) {
    throw new StatusError(Code.UNIMPLEMENTED, `open.method: no method ${method.slice(0, 200)}`);
  }
  return { endpoint, bound: bindLater(endpoint, [], '') };
}

/** The id that the client gave the call with x-request-id, else that of the session and the sid. */
export function callId({ headers, sid }: OpenFrame, { id }: Caller): string {
  const given = headers['x-request-id'];
  return given === undefined ? `${id}-${sid}` : requestId(given);
}

/** The headers of the frame over those of the handshake, by the rules of HTTP headers. Throws StatusError. */
export function callMetadata({ headers }: OpenFrame, { metadata }: Caller, maxBytes: number): Metadata {
  // A token is verified in the handshake or in hello: one that nobody verified must not reach a service.
  const { authorization: _unverified, ...own } = metadataFrom(headers, maxBytes);
  return { ...metadata, ...own };
}
