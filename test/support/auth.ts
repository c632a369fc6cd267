/** The auth service for tests: cheap hashes, a clock that can be moved, and a REST client for the gateway in front of it. */
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { AuthServiceClient, type Jwk } from '../../gen/auth/v1/auth.js';
import { hashPassword } from '../../services/auth/password.js';
import { type AuthOptions, type RunningAuth, startAuth } from '../../services/auth/serve.js';
import type { AuthEvent } from '../../services/auth/service.js';
import type { User } from '../../services/auth/users.js';
import { loadDescriptors } from '../../services/descriptors.js';
import { type RunningGateway, startGateway } from './gateway.js';

export const PASSWORD = 'correct horse battery staple';
export const ISSUER = 'https://auth.test';
export const AUDIENCE = 'test-api';

export async function user(change: Partial<User> = {}): Promise<User> {
  const password = await hashPassword(PASSWORD, { ln: 10, r: 8, p: 1 });
  const who = { id: 'u-ada', username: 'ada', roles: ['admin'], permissions: ['orders:*'], disabled: false };
  return { ...who, password, ...change };
}

export interface TestAuth {
  readonly auth: RunningAuth;
  readonly client: AuthServiceClient;
  readonly events: AuthEvent[];
  readonly ada: User;
  /** Milliseconds by which the service's clock is ahead. */
  readonly clock: { ahead: number };
}

/** With ada, whose password is PASSWORD. Stopped when the test has finished. */
export async function startTestAuth(options: Partial<AuthOptions> = {}): Promise<TestAuth> {
  const clock = { ahead: 0 };
  const events: AuthEvent[] = [];
  const ada = await user();
  const auth = await startAuth({
    users: [ada],
    issuer: ISSUER,
    audience: AUDIENCE,
    algorithm: 'ES256',
    descriptors: loadDescriptors('contract.binpb'),
    graceMs: 300,
    notify: (event) => void events.push(event),
    clock: () => Date.now() + clock.ahead,
    ...options,
  });
  const client = new AuthServiceClient(auth.address, credentials.createInsecure());
  onTestFinished(async () => {
    client.close();
    await auth.close();
  });
  return { auth, client, events, ada, clock };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: JSON that the tests look into.
  readonly body: any;
}

export interface Rest {
  readonly gateway: RunningGateway;
  readonly post: (path: string, body: unknown, headers?: Record<string, string>) => Promise<Answer>;
  readonly get: (path: string, token?: string) => Promise<Answer>;
}

/** A gateway in front of the service, which accepts what the service's RS256 key of now has signed. */
export async function restOf(
  { auth }: TestAuth,
  keys: readonly Jwk[] = [],
  flags: string[] = [],
): Promise<Rest> {
  const gateway = await startGateway(auth.address, flags, (config) => ({
    ...config,
    auth: {
      ...config.auth,
      issuer: ISSUER,
      audience: AUDIENCE,
      keys: keys.map((jwk) => ({ algorithm: 'RS256', key: pemOf(jwk), keyId: jwk.kid })),
    },
  }));
  onTestFinished(() => gateway.close());
  const ask = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(`http://127.0.0.1:${gateway.port}${path}`, init);
    return { status: response.status, headers: response.headers, body: await response.json() };
  };
  return {
    gateway,
    post: (path, body, headers = {}) =>
      ask(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    get: (path, token) =>
      ask(path, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
  };
}

export function publicKeyOf(jwk: Jwk): KeyObject {
  return createPublicKey({ key: JSON.parse(JSON.stringify(jwk)) as JsonWebKey, format: 'jwk' });
}

function pemOf(jwk: Jwk): string {
  return publicKeyOf(jwk).export({ type: 'spki', format: 'pem' }).toString();
}
