/** What is refused of how somebody says who it is. */
import { Code, StatusError } from '../../src/status.js';
import { HttpError } from '../http/error.js';

export function forbidden(message: string): StatusError {
  return new HttpError(Code.PERMISSION_DENIED, message, { http: 403 });
}

/** What the client of a stream is told whose token is no longer good, before its time. */
export function revoked(): StatusError {
  return new StatusError(Code.UNAUTHENTICATED, 'token: revoked since this stream was opened');
}

/** A place for a token that the configuration has switched off. */
export function switchedOff(place: string): StatusError {
  return new StatusError(Code.UNAUTHENTICATED, `${place}: tokens are not taken from here`);
}
