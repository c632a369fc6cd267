/** Reading who calls, for clients that are counted: with their address, and without those who only try tokens. */
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

/** Whether there may be something to verify, which is what costs. */
function brings({ headers }: IncomingMessage, token: string | undefined): boolean {
  return token !== undefined || headers.authorization !== undefined || headers.cookie !== undefined;
}

/** Throws LimitError, besides what `identify` throws: an address whose tokens were refused too often has none verified for a while. */
export function guardIdentity(
  identify: Gateway['identify'],
  { peerOf, badTokens, exchanges }: IdentityGuardOptions,
): Gateway['identify'] {
  return (request, endpoint, token): Caller | Promise<Caller> => {
    const peer = peerOf(request);
    exchanges?.check(peer);
    const isTried = badTokens !== undefined && peer !== '' && brings(request, token);
    const retryMs = isTried ? badTokens.wait(peer) : 0;
    if (badTokens !== undefined && retryMs > 0)
      throw rateExceeded('bad_tokens', badTokens, { retryMs, subject: `address:${peer}` });
    const failed = (thrown: unknown): never => {
      if (isTried && thrown instanceof StatusError && thrown.code === Code.UNAUTHENTICATED)
        badTokens.take(peer);
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
