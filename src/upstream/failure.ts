/** How a call ended on grpc-js as a StatusError: the service's own words, or ours where grpc-js made the status. */
import { Metadata, type StatusObject } from '@grpc/grpc-js';
import { decodeStatus } from '../details.js';
import { DEADLINE_TEXT } from '../policy/deadline.js';
import { Code, type Detail, StatusError, statusOf } from '../status.js';
import { fromGrpc } from './metadata.js';

/** What is known of the upstream when one of its calls fails. */
export interface Origin {
  readonly name: string;
  readonly address: string;
  readonly maxReplyBytes: number;
}

/**
 * How the statuses begin that grpc-js makes itself, when no trailers came. They tell addresses and library
 * internals, and such a status has no metadata.
 */
const LOCAL =
  /^(Connection dropped|Stream refused|Call cancelled|Bandwidth exhausted|Protocol not secure|Received RST_STREAM|No status information|Write error:|Write failed|Received (compressed )?message|Received unary|Failed to (decompress|start)|Deadline exceeded after|No connection established|Name resolution failed|Channel closed|(read|write|connect) E[A-Z]+)/;

const UNREADABLE = 'Failed to decompress a message';

const HTTP = /^Received HTTP status code (\d+)/;

/**
 * The failure to show for a status that is not OK. `peer` is what grpc-js calls the other end, if the call was
 * sent to one; a call that was not sent has no status but a local one.
 */
export function failureOf(
  given: Partial<StatusObject>,
  origin: Origin,
  peer: string | undefined,
): StatusError {
  const status = complete(given);
  if (isLocal(status, origin, peer)) {
    const { code, text } = ownWords(status, origin, peer !== undefined);
    return new StatusError(code, text, { cause: new Error(status.details) });
  }
  return new StatusError(statusOf(status.code).code || Code.UNKNOWN, status.details, {
    details: detailsOf(status),
    metadata: fromGrpc(status.metadata),
  });
}

/**
 * The failure of a call that was answered with another media type than gRPC's: what a status or HTTP says of it (gRPC's
 * http-grpc-status-mapping), else UNKNOWN. What grpc-js says of a body that it has read as messages is of no use.
 */
export function notGrpc(
  status: StatusObject,
  origin: Origin,
  { type, peer }: { readonly type: string; readonly peer: string | undefined },
): StatusError {
  if (HTTP.test(status.details) || !isMadeHere(status)) return failureOf(status, origin, peer);
  const text = `upstream ${origin.name} answered ${type} instead of gRPC`;
  return new StatusError(Code.UNKNOWN, text, { cause: new Error(status.details) });
}

/** grpc-js leaves out code and text when it could not decompress a message (1.14: resolving-call's cancelWithStatus). */
function complete({
  code = Code.INTERNAL,
  details = UNREADABLE,
  metadata = new Metadata(),
}: Partial<StatusObject>): StatusObject {
  return { code, details, metadata };
}

/** The failure of a call whose connection went away under it. */
export function lost({ name }: Origin, cause: unknown): StatusError {
  return new StatusError(Code.UNAVAILABLE, `the connection to upstream ${name} was lost`, { cause });
}

function isMadeHere({ details = UNREADABLE, metadata }: Partial<StatusObject>): boolean {
  return LOCAL.test(details) && (metadata === undefined || Object.keys(metadata.getMap()).length === 0);
}

function isLocal(status: StatusObject, origin: Origin, peer: string | undefined): boolean {
  const { details } = status;
  if (peer === undefined || HTTP.test(details)) return true;
  return isMadeHere(status) || details.includes(peer) || details.includes(origin.address);
}

function ownWords(status: StatusObject, origin: Origin, sent: boolean): { code: Code; text: string } {
  const name = `upstream ${origin.name}`;
  const code = statusOf(status.code).code || Code.UNKNOWN;
  const http = HTTP.exec(status.details)?.[1];
  if (http) return { code, text: `${name} answered HTTP ${http} instead of gRPC` };
  switch (code) {
    case Code.UNAVAILABLE:
      if (!sent || status.details.startsWith('Stream refused'))
        return { code, text: `${name} is unavailable` };
      return { code, text: `the connection to ${name} was lost` };
    case Code.DEADLINE_EXCEEDED:
      return { code, text: DEADLINE_TEXT };
    case Code.RESOURCE_EXHAUSTED:
      if (!status.details.includes(String(origin.maxReplyBytes)))
        return { code, text: `${name} is overloaded` };
      return { code, text: `a message of ${name} is larger than ${origin.maxReplyBytes} bytes` };
    default:
      return { code, text: `${name} broke off the call` };
  }
}

/** google.rpc.Status in `grpc-status-details-bin`, ignored when it is malformed or speaks of another code. */
function detailsOf(status: StatusObject): readonly Detail[] {
  const [bytes] = status.metadata.get('grpc-status-details-bin');
  if (bytes === undefined || typeof bytes === 'string') return [];
  const decoded = decodeStatus(bytes);
  return decoded?.code === status.code ? decoded.details : [];
}
