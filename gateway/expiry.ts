/** The end of a stream at the moment when the token that opened it is no longer accepted. */
import { Code, StatusError } from '../src/status.js';
import { Due } from './agenda.js';
import type { Gateway, LiveCall } from './doors/door.js';
import { spanOf } from './streams.js';

/** What the client of such a stream is told. */
export function expired(): StatusError {
  return new StatusError(Code.UNAUTHENTICATED, 'token: expired since this stream was opened');
}

class Expiry extends Due {
  constructor(private readonly live: LiveCall) {
    super();
  }

  due(): void {
    this.live.cancel(expired());
  }
}

/** Cancels the call when its token expires, until the result is called: for doors that have nothing else to tell their clients. */
export function endAtExpiry({ agenda, config }: Gateway, live: LiveCall): () => void {
  const { expires } = spanOf(config, live.call.principal);
  if (expires === Number.POSITIVE_INFINITY) return () => {};
  const expiry = new Expiry(live);
  agenda.enter(expiry, expires);
  return () => agenda.remove(expiry);
}
