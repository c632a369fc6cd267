/** Errors for which HTTP has words of its own, and the ones that the gateway makes of a request's HTTP. */
import type { OutgoingHttpHeaders } from 'node:http';
import { badRequest } from '../../src/details.js';
import { Code, StatusError, type StatusErrorOptions } from '../../src/status.js';

export interface HttpErrorOptions extends StatusErrorOptions {
  /** Replaces the status that the code's row gives, for what HTTP says more exactly: 405, 413, 415, 431. */
  readonly http: number;
  readonly headers?: OutgoingHttpHeaders;
}

/** A StatusError for which HTTP has a more exact status than the table. */
export class HttpError extends StatusError {
  readonly http: number;
  readonly headers: OutgoingHttpHeaders;

  constructor(code: Code, message: string, options: HttpErrorOptions) {
    super(code, message, options);
    this.http = options.http;
    this.headers = options.headers ?? {};
  }
}

export function notFound(path: string): StatusError {
  return new StatusError(Code.NOT_FOUND, `no route for ${path.slice(0, 200)}`);
}

/** RFC 9110 section 15.5.6; `http` is what the configuration wants for it. */
export function methodNotAllowed(verb: string, allow: readonly string[], http = 405): HttpError {
  const allowed = allow.join(', ');
  return new HttpError(Code.UNIMPLEMENTED, `${verb} is not allowed here; allowed: ${allowed}`, {
    http,
    headers: { allow: allowed },
  });
}

/** INVALID_ARGUMENT about one place of a request (`header x-name`), with google.rpc.BadRequest that names it as the field. */
export function invalid(place: string, description: string, cause?: unknown): StatusError {
  return new StatusError(Code.INVALID_ARGUMENT, `${place}: ${description}`, {
    details: [badRequest([{ field: place, description }])],
    cause,
  });
}

/** RFC 6585 section 5. */
export function headersTooLarge(message: string): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, message, { http: 431, limit: 'headers' });
}

/** RFC 9110 section 15.5.15. */
export function urlTooLong(limit: number): HttpError {
  return new HttpError(Code.RESOURCE_EXHAUSTED, `url: longer than ${limit} bytes`, {
    http: 414,
    limit: 'url',
  });
}

/** The HTTP status a client sees for this error. */
export function httpStatus(error: StatusError): number {
  return error instanceof HttpError ? error.http : error.row.http;
}
