/** What policies decide about calls, for those who keep a record of it: an audit log, metrics. */
import type { Call, Interceptor } from '../call.js';
import { Code, StatusError } from '../status.js';

/** Why a call was refused: one of our words, never a client's. */
export type DenialReason =
  | 'token_required'
  | 'token_expired'
  | 'permission_missing'
  | 'role_missing'
  | 'resource_mismatch'
  | 'external_denied'
  | 'external_unavailable';

/** Must not throw. */
export interface DecisionRecord {
  denied(call: Call, reason: DenialReason, error: StatusError): void;
  /** All policies have let it pass. */
  allowed?(call: Call): void;
}

/** Keeps none. */
export const NO_RECORD: DecisionRecord = { denied: () => {} };

/** Behind the last policy that may refuse: what arrives here is allowed. */
export function admitted({ allowed }: DecisionRecord): Interceptor {
  if (allowed === undefined) return (next) => next;
  return (next) => (call) => {
    allowed(call);
    return next(call);
  };
}

/** A refusal by a rule about who may call: PERMISSION_DENIED, with the permissions that the token lacks, if it is those. */
export class AccessError extends StatusError {
  constructor(
    message: string,
    readonly permissions: readonly string[],
  ) {
    super(Code.PERMISSION_DENIED, message);
  }
}
