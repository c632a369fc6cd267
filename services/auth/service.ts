/** auth.v1.AuthService: requests are checked here, before passwords, tokens and keys are looked at. */
import { type handleUnaryCall, Metadata, status } from '@grpc/grpc-js';
import { type AuthServiceServer, AuthServiceService, type TokenResponse } from '../../gen/auth/v1/auth.js';
import { type Caller, userOf } from '../caller.js';
import { refused } from '../errors.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { Checks } from '../validation.js';
import type { AccessTokens } from './access.js';
import type { KeyRing } from './keys.js';
import type { CheckPassword } from './password.js';
import type { RefreshTokens, Refusal } from './refresh.js';
import type { Revoke } from './revoke.js';
import type { AccessToken } from './store.js';
import type { LoginGuard } from './throttle.js';
import type { User, Users } from './users.js';

/** Something that whoever watches over the service wants to know. There is no secret in it. */
export interface AuthEvent {
  readonly event:
    | 'login'
    | 'login_failed'
    | 'login_refused'
    | 'refresh_refused'
    | 'logout'
    /** Access tokens that were to be taken back are good for now. */
    | 'revocation_failed';
  /** The user's id. Absent where nobody has the name that was given: it may be a password in the wrong field. */
  readonly userId?: string;
  /** Of the client, as the gateway says. */
  readonly address?: string;
  readonly reason?: Refusal;
  /** Why a revocation failed, and how often it is tried again. */
  readonly problem?: string;
  readonly triesLeft?: number;
}

export interface AuthParts {
  readonly users: () => Users;
  readonly checkPassword: CheckPassword;
  readonly guard: LoginGuard;
  readonly refreshTokens: RefreshTokens;
  readonly keys: KeyRing;
  readonly access: AccessTokens;
  readonly revoke: Revoke;
  readonly clock: () => number;
  readonly notify: (event: AuthEvent) => void;
}

export function createAuthService(parts: AuthParts, { unary }: Handlers): Service {
  const { users, refreshTokens, keys, access, notify } = parts;
  const revoke = (tokens: readonly AccessToken[]): Promise<void> =>
    parts.revoke.tokens(tokens.filter(({ expiresAt }) => expiresAt > parts.clock()));

  const implementation: AuthServiceServer = {
    login: cached(
      'no-store',
      unary(async ({ username, password }, caller) => {
        const checks = new Checks();
        checks.text(username, 'username', { least: 1, most: 256 });
        checks.text(password, 'password', { least: 1, most: 1024 });
        checks.done();
        const user = await login(parts, { username, password, address: caller.address });
        const next = access.next();
        const { token, over } = await refreshTokens.begin(user, next);
        await revoke(over);
        return print(access, token, await access.sign(next, user));
      }),
    ),
    refresh: cached(
      'no-store',
      unary(async ({ refreshToken }, { address }) => {
        checkToken(refreshToken);
        const next = access.next();
        const refreshed = await refreshTokens.refresh(refreshToken, users(), next);
        if ('user' in refreshed) {
          const { user, token, over } = refreshed;
          await revoke(over);
          return print(access, token, await access.sign(next, user));
        }
        const { refusal, userId } = refreshed;
        notify({ event: 'refresh_refused', reason: refusal, ...known({ userId, address }) });
        await revoke(refreshed.access);
        throw refused(status.UNAUTHENTICATED, 'INVALID_REFRESH_TOKEN', 'the refresh token is not valid');
      }),
    ),
    logout: unary(async ({ refreshToken }, { address }) => {
      checkToken(refreshToken);
      const ended = await refreshTokens.end(refreshToken);
      const { userId } = ended;
      if (userId !== undefined) notify({ event: 'logout', ...known({ userId, address }) });
      await revoke(ended.access);
      return {};
    }),
    jwks: cached(
      // Shorter than keys are published before they sign.
      'public, max-age=60',
      unary(async () => ({ keys: [...(await keys.published())] })),
    ),
    whoAmI: cached(
      'no-store',
      unary((_request, caller) => whoIs(caller, users())),
    ),
  };
  return { definition: AuthServiceService, implementation };
}

function whoIs(caller: Caller, users: Users) {
  const userId = userOf(caller);
  const user = users.withId(userId);
  return {
    userId,
    username: user?.username ?? '',
    roles: [...(user?.roles ?? [])],
    permissions: [...caller.permissions],
  };
}

interface Credentials {
  readonly username: string;
  readonly password: string;
  readonly address: string;
}

/** For a name that nobody has the same is done, and the same is answered, as for a wrong password. */
async function login(parts: AuthParts, { username, password, address }: Credentials): Promise<User> {
  const { guard, checkPassword, notify } = parts;
  const users = parts.users();
  const user = users.named(username);
  const who = known({ userId: user?.id, address });
  let attempt: ReturnType<LoginGuard['enter']>;
  try {
    attempt = guard.enter({ username, address });
  } catch (thrown) {
    notify({ event: 'login_refused', ...who });
    throw thrown;
  }
  const isRight = await checkPassword(password, users.hashFor(username)).catch((thrown: unknown) => {
    // Nothing was learnt from it.
    attempt.uncounted();
    throw thrown;
  });
  if (!isRight || user === undefined || user.disabled) {
    notify({ event: 'login_failed', ...who });
    throw refused(status.UNAUTHENTICATED, 'INVALID_CREDENTIALS', 'the user name or the password is wrong');
  }
  attempt.succeeded();
  notify({ event: 'login', ...who });
  return user;
}

function print({ rules }: AccessTokens, refreshToken: string, accessToken: string): TokenResponse {
  return { accessToken, tokenType: 'Bearer', expiresIn: rules.seconds, refreshToken };
}

function checkToken(token: string): void {
  const checks = new Checks();
  checks.text(token, 'refresh_token', { least: 1, most: 256 });
  checks.done();
}

function known({ userId, address }: { readonly userId?: string | undefined; readonly address: string }) {
  return { ...(userId !== undefined && { userId }), ...(address !== '' && { address }) };
}

/** Says with each answer how it may be cached (RFC 6749, 5.1); with a refusal nothing. */
function cached<Q, R>(control: string, handler: handleUnaryCall<Q, R>): handleUnaryCall<Q, R> {
  return (call, callback) =>
    handler(call, (error, ...answer) => {
      if (error === null) {
        const headers = new Metadata();
        headers.set('cache-control', control);
        call.sendMetadata(headers);
      }
      callback(error, ...answer);
    });
}
