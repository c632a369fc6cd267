/** A gateway in front of owned.proto that accepts the tokens of an issuer with keys at an URL, and those of another with a secret; no others. */
import { createHmac } from 'node:crypto';
import { afterEach } from 'vitest';
import type { Config } from '../../../gateway/config.js';
import { type RunningGateway, startGateway } from '../gateway.js';
import { OWNED_PROTO, type Owned, startOwned } from '../owned.js';
import { type SigningKey, signingKey, startIssuer, type TestIssuer, tokenOf } from './issuer.js';

export const ISS = 'https://id.test';
export const AUD = 'api';
/** The issuer with a secret. */
export const OTHER_ISS = 'https://other.test';
export const OTHER_SECRET = 'the secret of another issuer, which is long enough';

export interface Issued extends RunningGateway {
  readonly service: Owned;
  readonly issuer: TestIssuer;
  /** The one key of the issuer, `k1`, for RS256. */
  readonly key: SigningKey;
  /** As they are configured: for another node that accepts the same. */
  readonly issuers: Config['auth']['issuers'];
  /** A good token of `ann`, but for what is changed; undefined claims are left out. */
  readonly token: (claims?: object, header?: object) => string;
}

export interface IssuedOptions {
  readonly flags?: readonly string[];
  readonly change?: (config: Config) => Config;
}

export async function startIssued({
  flags = [],
  change = (config) => config,
}: IssuedOptions = {}): Promise<Issued> {
  const key = signingKey('k1');
  const service = await startOwned();
  const issuer = await startIssuer(key);
  const common = { audiences: [AUD], required: {} };
  const issuers: Config['auth']['issuers'] = [
    { ...common, issuer: ISS, algorithms: ['RS256', 'ES256'], jwksUrl: issuer.url },
    { ...common, issuer: OTHER_ISS, algorithms: ['HS256'], secret: OTHER_SECRET },
  ];
  const gateway = await startGateway(service.address, ['--proto', OWNED_PROTO, ...flags], (config) =>
    change({ ...config, auth: { ...config.auth, keys: [], issuers } }),
  );
  return {
    ...gateway,
    service,
    issuer,
    key,
    issuers,
    token: (claims = {}, header = {}) => tokenOf(key, { iss: ISS, aud: AUD, sub: 'ann', ...claims }, header),
    async close() {
      await gateway.close();
      service.kill();
      await issuer.close();
    },
  };
}

/** For a file of tests: `start` is `startIssued` for tests that send bad tokens on purpose. After each test, what is in `closing` is closed, in order. */
export function useIssued(): {
  readonly closing: (() => unknown)[];
  start(...flags: string[]): Promise<Issued>;
} {
  const closing: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  return {
    closing,
    async start(...flags) {
      const site = await startIssued({ flags: ['--bad-tokens', '0', ...flags] });
      closing.push(site.close);
      return site;
    },
  };
}

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token of any header and claims, signed with HMAC-SHA256 when there is a secret, and not at all without. */
export function forge(header: object, claims: object, secret?: string | Buffer): string {
  const input = `${part(header)}.${part(claims)}`;
  const signature =
    secret === undefined ? '' : createHmac('sha256', secret).update(input).digest('base64url');
  return `${input}.${signature}`;
}
