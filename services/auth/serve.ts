/** The auth service on a server of its own. */
import { createServer, type RunningServer, type ServerOptions } from '../server.js';
import { createAccessTokens } from './access.js';
import { type Algorithm, createKeyRing, type KeyLimits } from './keys.js';
import { type CheckLimits, createPasswordCheck } from './password.js';
import { REFRESH_DEFAULTS, type RefreshLimits, RefreshTokens } from './refresh.js';
import { createRevoke, REVOKES_NOTHING, type RevokeTimes } from './revoke.js';
import { type AuthEvent, createAuthService } from './service.js';
import { type AuthStore, createMemoryStore } from './store.js';
import { createLoginGuard, type LoginLimits } from './throttle.js';
import { createUsers, type User } from './users.js';

export interface AuthOptions extends ServerOptions {
  /** At least one. */
  readonly users: readonly User[];
  /** `iss` of access tokens. */
  readonly issuer: string;
  /** `aud` of access tokens. */
  readonly audience: string;
  /** How long access tokens are valid, in seconds; default 300. */
  readonly accessSeconds?: number;
  /** `POST /-/revocations` of the gateway, which accepts our tokens: told of those that are to end before. Default: they are good until they expire. */
  readonly revocationsUrl?: string | undefined;
  readonly revocations?: Partial<RevokeTimes>;
  /** Default RS256, which is the cheapest to verify. */
  readonly algorithm?: Algorithm;
  readonly keys?: Partial<Omit<KeyLimits, 'keepMs'>>;
  readonly refresh?: Partial<RefreshLimits>;
  readonly logins?: Partial<LoginLimits>;
  readonly checks?: Partial<CheckLimits>;
  /** Default: in memory, and gone with the process. Stays open when the server closes. */
  readonly store?: AuthStore;
  /** Default: nobody hears of them. */
  readonly notify?: (event: AuthEvent) => void;
  /** Milliseconds since the epoch; for tests. */
  readonly clock?: () => number;
}

export interface RunningAuth extends RunningServer {
  /** Of users who are gone, disabled, or have another password: logins end with their next refresh, access tokens now. */
  readonly replaceUsers: (users: readonly User[]) => void;
}

const KEY_DEFAULTS = { lifetimeMs: 24 * 3_600_000, publishAheadMs: 15 * 60_000 };
/** What the clocks of those who verify may differ. */
const CLOCKS_MS = 5 * 60_000;
const PRUNE_MS = 3_600_000;

/** Rejects when it cannot listen there, or when the store cannot keep its keys. */
export async function startAuth(options: AuthOptions): Promise<RunningAuth> {
  const { issuer, audience, accessSeconds = 300, clock = Date.now, report = console.error } = options;
  const { algorithm = 'RS256', store = createMemoryStore() } = options;
  const keepMs = accessSeconds * 1000 + CLOCKS_MS;
  const limits = { ...KEY_DEFAULTS, ...options.keys, keepMs };
  const keys = await createKeyRing({ algorithm, limits, store, clock, report });
  const refresh = { ...REFRESH_DEFAULTS, ...options.refresh };
  const refreshTokens = new RefreshTokens({ store, limits: refresh, clock });
  const notify = options.notify ?? (() => {});
  const access = createAccessTokens({ rules: { issuer, audience, seconds: accessSeconds }, keys, clock });
  const revoke =
    options.revocationsUrl === undefined
      ? REVOKES_NOTHING
      : createRevoke({
          url: options.revocationsUrl,
          credential: access.signOwn,
          issuer,
          failed: (failure) => notify({ event: 'revocation_failed', ...failure }),
          times: options.revocations ?? {},
        });
  let users = createUsers(options.users);
  const parts = {
    users: () => users,
    checkPassword: createPasswordCheck(options.checks),
    guard: createLoginGuard(options.logins ?? {}, clock),
    refreshTokens,
    keys,
    access,
    revoke,
    clock,
    notify,
  };
  const server = await createServer((handlers) => [createAuthService(parts, handlers)], options);
  // A next key is published in time also when nobody asks for anything.
  const ticking = setInterval(() => void keys.tick(), Math.min(60_000, limits.publishAheadMs / 4)).unref();
  const pruning = setInterval(() => void refreshTokens.prune().catch(report), PRUNE_MS).unref();
  const close = async () => {
    clearInterval(ticking);
    clearInterval(pruning);
    await server.close();
    revoke.close();
  };
  let listed = options.users;
  const replaceUsers = (list: readonly User[]) => {
    const before = listed;
    listed = list;
    users = createUsers(list);
    const at = clock();
    const expiresAt = at + accessSeconds * 1000;
    for (const { id } of before.filter((one) => hasEnded(one, users.withId(one.id)))) {
      void revoke.user(id, { at, expiresAt });
    }
  };
  return { ...server, close, replaceUsers };
}

/** Whether a user may go on no longer with what they had before. */
function hasEnded(before: User, after: User | undefined): boolean {
  if (before.disabled) return false;
  return after === undefined || after.disabled || after.password !== before.password;
}
