/** How a call ended: one error class and one table from gRPC codes to what every client protocol shows. */
import type { Metadata } from './call.js';

/** A gRPC status code (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];
export type CodeName = keyof typeof Code;

export interface StatusRow {
  readonly code: Code;
  readonly name: CodeName;
  /** The HTTP status of a refused call (google.rpc.Code's HTTP mapping). */
  readonly http: number;
  /**
   * The close code of a WebSocket that carries this one call and ends with this status. Codes are advice by
   * range: 1000 done, 4000-4099 stop, 4100-4199 reconnect with jitter, 4300-4399 get a new token first.
   */
  readonly close: number;
  /** Whether the same call may succeed when it is simply made again later. */
  readonly retryable: boolean;
}

const row = (name: CodeName, http: number, close: number, retryable = false): StatusRow => ({
  code: Code[name],
  name,
  http,
  close,
  retryable,
});

/** Indexed by code: `STATUS[5].name === 'NOT_FOUND'`. */
export const STATUS: readonly StatusRow[] = [
  row('OK', 200, 1000),
  row('CANCELLED', 499, 4001),
  row('UNKNOWN', 500, 4002),
  row('INVALID_ARGUMENT', 400, 4003),
  row('DEADLINE_EXCEEDED', 504, 4124, true),
  row('NOT_FOUND', 404, 4005),
  row('ALREADY_EXISTS', 409, 4006),
  row('PERMISSION_DENIED', 403, 4007),
  row('RESOURCE_EXHAUSTED', 429, 4128, true),
  row('FAILED_PRECONDITION', 400, 4009),
  row('ABORTED', 409, 4130, true),
  row('OUT_OF_RANGE', 400, 4011),
  row('UNIMPLEMENTED', 501, 4012),
  row('INTERNAL', 500, 4013),
  row('UNAVAILABLE', 503, 4134, true),
  row('DATA_LOSS', 500, 4015),
  row('UNAUTHENTICATED', 401, 4316),
];

/** The row of a code; an unknown number is UNKNOWN, as gRPC asks of receivers. */
export function statusOf(code: number): StatusRow {
  return STATUS[code] ?? (STATUS[Code.UNKNOWN] as StatusRow);
}

/** One google.protobuf.Any of google.rpc.Status.details, still encoded. */
export interface Detail {
  /** For example `type.googleapis.com/google.rpc.BadRequest`. */
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface StatusErrorOptions {
  readonly details?: readonly Detail[];
  /** Trailers that came with the status: shown to the client like any other response metadata. */
  readonly metadata?: Metadata;
  /** What caused it. For logs only; it never reaches a client. */
  readonly cause?: unknown;
  /** The limit of the gateway that was reached: one of a few words, for metrics. */
  readonly limit?: string;
}

const NO_METADATA: Metadata = Object.freeze({});

/** The only error that reaches a client. Its message is shown to the client as it is: write it for them. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly code: Code;
  readonly details: readonly Detail[];
  readonly metadata: Metadata;
  readonly limit: string | undefined;

  constructor(code: Code, message: string, options: StatusErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? [];
    this.metadata = options.metadata ?? NO_METADATA;
    this.limit = options.limit;
  }

  get row(): StatusRow {
    return statusOf(this.code);
  }

  /**
   * Any thrown value as a StatusError. What is not one already becomes INTERNAL with a message that tells the
   * client nothing of our insides; the original is kept as `cause` for the log.
   */
  static from(thrown: unknown): StatusError {
    if (thrown instanceof StatusError) return thrown;
    return new StatusError(Code.INTERNAL, 'internal error', { cause: thrown });
  }
}
