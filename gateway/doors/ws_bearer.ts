/** Who is at the other end of a session: by the handshake, by `hello`, or by a new token while it lasts (`auth`). */
import type { Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { grantsAsMuch } from '../auth/claims.js';
import { switchedOff } from '../auth/refusals.js';
import type { Caller, Gateway } from './door.js';
import { Close, FrameFault } from './ws_close.js';
import type { ClientFrame, ServerFrame } from './ws_frames.js';
import { type Feature, featuresOf } from './ws_hello.js';

type Frame<Type extends ClientFrame['type']> = Extract<ClientFrame, { type: Type }>;

export interface BearerOptions {
  /** Who the handshake said it is. */
  readonly caller: Caller;
  /** The same with another token, from hello. Throws, or rejects with, StatusError. */
  readonly identify: (token: string) => Caller | Promise<Caller>;
}

export interface BearerHost {
  readonly gateway: Pick<Gateway, 'config' | 'verify'>;
  readonly over: boolean;
  control(frame: ServerFrame): void;
  /** It is known who has said hello. */
  welcome(): void;
  /** There is a new token. `lost`: why the calls that are open have to end, if they do. */
  renewed(lost: StatusError | undefined): void;
}

const NOBODY = (): never => {
  throw new StatusError(Code.INTERNAL, 'the caller is known');
};

export class Bearer {
  readonly #host: BearerHost;
  /** Holds the request of the handshake: needed once at most, and then let go. */
  #identify: BearerOptions['identify'];
  #caller: Caller;
  #features: ReadonlySet<Feature> = featuresOf([]);

  constructor(host: BearerHost, { caller, identify }: BearerOptions) {
    this.#host = host;
    this.#caller = caller;
    this.#identify = identify;
  }

  get caller(): Caller {
    return this.#caller;
  }

  get features(): ReadonlySet<Feature> {
    return this.#features;
  }

  /** A promise when somebody has to be asked first. Throws, or rejects with, StatusError. */
  hello({ token, features }: Frame<'hello'>): Promise<void> | undefined {
    const caller = token === undefined ? this.#caller : this.#identify(token);
    this.#identify = NOBODY;
    this.#features = featuresOf(features);
    if (caller instanceof Promise) return caller.then((known) => this.#known(known));
    this.#known(caller);
    return undefined;
  }

  #known(caller: Caller): void {
    if (this.#host.over) return;
    // The handshake's id stays the session's, whatever the token.
    this.#caller = caller === this.#caller ? caller : { ...caller, id: this.#caller.id };
    this.#host.welcome();
  }

  /** The same. Throws FrameFault where it is not to come. */
  auth({ token }: Frame<'auth'>): Promise<void> | undefined {
    const { config, verify } = this.#host.gateway;
    if (!this.#features.has('renew')) {
      throw new FrameFault(Close.FRAME_MALFORMED, 'auth: needs the feature renew');
    }
    if (!config.auth.sources.includes('frames')) throw switchedOff('auth.token');
    const principal = verify(token);
    if (principal instanceof Promise) return principal.then((known) => this.#renew(known));
    this.#renew(principal);
    return undefined;
  }

  #renew(principal: Principal): void {
    if (this.#host.over) return;
    const lost = lostBy(this.#caller.principal, principal);
    this.#caller = { ...this.#caller, principal };
    this.#host.renewed(lost);
    const { expiresAt } = principal;
    this.#host.control({ type: 'auth_ok', ...(expiresAt === undefined ? {} : { expires_at: expiresAt }) });
  }

  /** Tells a client that can do something about it. */
  expiring(): void {
    const { expiresAt } = this.#caller.principal;
    if (expiresAt === undefined || !this.#features.has('renew')) return;
    this.#host.control({ type: 'auth_expiring', expires_at: expiresAt });
  }
}

/**
 * Why the calls that are open have to end: what they were let in for may no longer be the client's right. Undefined when the new token grants
 * as much. Throws StatusError UNAUTHENTICATED for a token of somebody else.
 */
function lostBy(before: Principal, after: Principal): StatusError | undefined {
  if (after.subject !== before.subject || after.issuer !== before.issuer) {
    const expected = 'expected the subject and the issuer of the token before';
    throw new StatusError(Code.UNAUTHENTICATED, `auth.token: ${expected}`);
  }
  if (grantsAsMuch(before, after)) return undefined;
  return new StatusError(
    Code.UNAUTHENTICATED,
    'auth.token: grants something else than before; open the call again',
  );
}
