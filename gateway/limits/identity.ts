/** Reading who calls, for clients that are counted: with their address, and with the count of tokens that were refused. */
import type { IncomingMessage } from 'node:http';
import { rateExceeded } from '../../src/policy/limit.js';
import type { Rates } from '../../src/policy/rates.js';
import { Code, StatusError } from '../../src/status.js';
import type { Caller, Gateway } from '../doors/door.js';
import type { Exchanges } from './exchanges.js';

export interface IdentityGuardOptions {
  readonly peerOf: (request: IncomingMessage) => string;
  /** Refused tokens of one address; undefined: any number. */
  readonly badTokens: Rates | undefined;
  readonly exchanges: Exchanges | undefined;
}

type Addressed = Omit<Caller, 'peer'> & { peer?: string | undefined };

/** Throws LimitError for an address whose tokens were refused too often: for what is asked before a token is verified. */
export function guardTokens({
  peerOf,
  badTokens,
}: Pick<IdentityGuardOptions, 'peerOf' | 'badTokens'>): (request: IncomingMessage) => void {
  if (badTokens === undefined) return () => {};
  return (request) => {
    const peer = peerOf(request);
    const retryMs = peer === '' ? 0 : badTokens.wait(peer);
    if (retryMs > 0) throw rateExceeded('bad_tokens', badTokens, { retryMs, subject: `address:${peer}` });
  };
}

/** Notes the address of each caller, and counts it when the token is refused. Throws what `identify` throws, and LimitError of `exchanges`. */
export function guardIdentity(
  identify: Gateway['identify'],
  { peerOf, badTokens, exchanges }: IdentityGuardOptions,
): Gateway['identify'] {
  return (request, endpoint, token): Caller | Promise<Caller> => {
    const peer = peerOf(request);
    exchanges?.check(peer);
    const failed = (thrown: unknown): never => {
      if (peer !== '' && thrown instanceof StatusError && thrown.code === Code.UNAUTHENTICATED)
        badTokens?.take(peer);
      throw thrown;
    };
    try {
      const caller = identify(request, endpoint, token);
      return caller instanceof Promise
        ? caller.then((known) => addressed(known, peer), failed)
        : addressed(caller, peer);
    } catch (thrown) {
      return failed(thrown);
    }
  };
}

/** It is nobody else's yet, and a copy would cost more than all of this. */
function addressed(caller: Addressed, peer: string): Caller {
  caller.peer = peer;
  return caller;
}
