/** How a service refuses: one error class, and google.rpc details that say which field, which resource, when to try again. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Metadata, status } from '@grpc/grpc-js';

/** The domain of every ErrorInfo: its reasons are unique within it (google.rpc.ErrorInfo.domain). */
const DOMAIN = 'examples.tidegate.dev';

/** One google.protobuf.Any, encoded: type_url = 1, value = 2. */
export type Detail = Uint8Array;

/** The only error that services throw on purpose. Its message is shown to the caller as it is. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  constructor(
    readonly code: status,
    message: string,
    readonly details: readonly Detail[] = [],
  ) {
    super(message);
  }
}

/** What is wrong with one field of the request, named as in the contract: `order.items[0].quantity`. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** INVALID_ARGUMENT. The message tells the first violation, the BadRequest detail all of them. */
export function invalid(violations: readonly [Violation, ...Violation[]]): ServiceError {
  const [first, ...others] = violations;
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`;
  const message = `${first.field}: ${first.description}${more}`;
  return new ServiceError(status.INVALID_ARGUMENT, message, [badRequest(violations)]);
}

/** NOT_FOUND of a named resource, for example `notFound('order', '17')`. */
export function notFound(type: string, name: string): ServiceError {
  return new ServiceError(status.NOT_FOUND, `there is no ${type} ${name}`, [
    errorInfo(`${type.toUpperCase()}_NOT_FOUND`, { [type]: name }),
    resourceInfo(type, name),
  ]);
}

/** ALREADY_EXISTS of a named resource. */
export function alreadyExists(type: string, name: string, message: string): ServiceError {
  return new ServiceError(status.ALREADY_EXISTS, message, [resourceInfo(type, name)]);
}

/** RESOURCE_EXHAUSTED, with the time after which it may go better. */
export function exhausted(message: string, retryMs: number): ServiceError {
  return new ServiceError(status.RESOURCE_EXHAUSTED, message, [retryInfo(retryMs)]);
}

/** Any other refusal, with a reason in UPPER_SNAKE_CASE that programs can tell it by. */
export function refused(
  code: status,
  reason: string,
  message: string,
  metadata: Record<string, string> = {},
): ServiceError {
  return new ServiceError(code, message, [errorInfo(reason, metadata)]);
}

/** What grpc-js sends for an error: code, message, and the details in the trailer. Unforeseen errors tell nothing of themselves. */
export function toStatus(thrown: unknown): { code: status; details: string; metadata: Metadata } {
  const error = thrown instanceof ServiceError ? thrown : new ServiceError(status.INTERNAL, 'internal error');
  const metadata = new Metadata();
  if (error.details.length > 0) metadata.set('grpc-status-details-bin', Buffer.from(encodeStatus(error)));
  return { code: error.code, details: error.message, metadata };
}

/** google.rpc.Status: code = 1, message = 2, details = 3. */
function encodeStatus({ code, message, details }: ServiceError): Uint8Array {
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  for (const detail of details) writer.uint32(26).bytes(detail);
  return writer.finish();
}

function any(type: string, value: BinaryWriter): Detail {
  const writer = new BinaryWriter().uint32(10).string(`type.googleapis.com/google.rpc.${type}`);
  return writer.uint32(18).bytes(value.finish()).finish();
}

/** google.rpc.BadRequest: field_violations = 1 { field = 1, description = 2 }. */
function badRequest(violations: readonly Violation[]): Detail {
  const writer = new BinaryWriter();
  for (const { field, description } of violations) {
    writer.uint32(10).fork().uint32(10).string(field).uint32(18).string(description).join();
  }
  return any('BadRequest', writer);
}

/** google.rpc.ErrorInfo: reason = 1, domain = 2, metadata = 3 (a map). */
function errorInfo(reason: string, metadata: Record<string, string>): Detail {
  const writer = new BinaryWriter().uint32(10).string(reason).uint32(18).string(DOMAIN);
  for (const [key, value] of Object.entries(metadata)) {
    writer.uint32(26).fork().uint32(10).string(key).uint32(18).string(value).join();
  }
  return any('ErrorInfo', writer);
}

/** google.rpc.ResourceInfo: resource_type = 1, resource_name = 2. */
function resourceInfo(type: string, name: string): Detail {
  return any('ResourceInfo', new BinaryWriter().uint32(10).string(type).uint32(18).string(name));
}

/** google.rpc.RetryInfo: retry_delay = 1, a Duration of seconds = 1 and nanos = 2. */
function retryInfo(ms: number): Detail {
  const writer = new BinaryWriter().uint32(10).fork();
  writer.uint32(8).int64(Math.floor(ms / 1000));
  writer.uint32(16).int32(Math.round((ms % 1000) * 1e6));
  return any('RetryInfo', writer.join());
}
