/** Tokens: what is accepted, what it makes of its bearer, and every refusal. */
import { createHmac, generateKeyPairSync } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createTokenVerifier } from '../gateway/auth/verifier.js';
import { type AuthConfig, loadConfig } from '../gateway/config.js';
import { parseAuthorization, signToken } from '../gateway/http/token.js';
import { ANONYMOUS, type Principal } from '../src/principal.js';
import { Code, StatusError } from '../src/status.js';

const SECRET = 'a secret that is long enough for HS256';
const OTHER = 'another secret that is long enough too';
const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
const rsa = pair();
const HS = { algorithm: 'HS256', key: SECRET } as const;
const RS = { algorithm: 'RS256', key: rsa.publicKey } as const;
const now = () => Math.floor(Date.now() / 1000);

const PRESETS = loadConfig({ argv: ['--upstream', 'localhost:1'], env: {} }).auth;
const authOf = (auth: Partial<AuthConfig> = {}): AuthConfig => ({
  ...PRESETS,
  keys: [HS],
  leewaySeconds: 30,
  roles: { admin: ['*'], clerk: ['orders:read', 'orders:write'] },
  ...auth,
});

function verify(token: string, auth?: Partial<AuthConfig>): Principal {
  return verifierOf(auth)(token);
}

/** With keys that are here already, nothing is a promise. */
function verifierOf(auth?: Partial<AuthConfig>): (token: string) => Principal {
  return createTokenVerifier(authOf(auth)) as (token: string) => Principal;
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(StatusError);
    expect((thrown as StatusError).code).toBe(Code.UNAUTHENTICATED);
    return (thrown as StatusError).message;
  }
  return 'accepted';
}

const sign = (claims: object, options: jwt.SignOptions = {}, key: string = SECRET) =>
  jwt.sign({ sub: 'u1', ...claims }, key, { algorithm: 'HS256', ...options });

/** A token of any header and payload text, with a true HS256 signature. */
function forge(header: string, payload: string, secret = SECRET): string {
  const body = [header, payload].map((part) => Buffer.from(part).toString('base64url')).join('.');
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

afterEach(() => {
  vi.useRealTimers();
});

describe('a valid token', () => {
  it('says who its bearer is and since and until when', () => {
    const iat = now() - 10;
    expect(verify(sign({ iat, exp: iat + 60 }))).toEqual({
      claims: expect.objectContaining({ sub: 'u1', iat, exp: iat + 60 }),
      subject: 'u1',
      permissions: new Set(),
      roles: new Set(),
      issuedAt: iat,
      expiresAt: (iat + 60) * 1000,
    });
  });

  it('keeps all that it says, also when it is remembered', () => {
    const check = verifierOf();
    const token = sign({ tenant: 'acme', plan: { seats: 3 } });
    const first = check(token);
    expect(first.claims).toMatchObject({ sub: 'u1', tenant: 'acme', plan: { seats: 3 } });
    expect(check(token)).toBe(first);
    expect(ANONYMOUS.claims).toEqual({});
  });

  it('may never expire', () => {
    expect(verify(sign({})).expiresAt).toBeUndefined();
  });

  it('grants its permissions, its scope, and those of its roles', () => {
    const claims = {
      permissions: ['a:b'],
      scope: 'c  d',
      roles: ['clerk', 'nobody', 'constructor', '__proto__'],
    };
    const principal = verify(sign(claims));
    expect([...principal.permissions]).toEqual(['a:b', 'c', 'd', 'orders:read', 'orders:write']);
    expect([...principal.roles]).toEqual(claims.roles);
    expect([...verify(sign({ permissions: 'x y' })).permissions]).toEqual(['x', 'y']);
  });

  it('may be signed with RS256', () => {
    const token = jwt.sign({ sub: 'u2' }, rsa.privateKey, { algorithm: 'RS256' });
    expect(verify(token, { keys: [HS, RS] }).subject).toBe('u2');
  });

  it('is verified with any key of its algorithm', () => {
    expect(verify(sign({}, {}, OTHER), { keys: [HS, { ...HS, key: OTHER }] }).subject).toBe('u1');
  });

  it('is verified with the key that it names', () => {
    const keys = [
      { ...HS, keyId: 'k1' },
      { ...HS, key: OTHER, keyId: 'k2' },
    ];
    expect(verify(sign({}, { keyid: 'k2' }, OTHER), { keys }).subject).toBe('u1');
    expect(refusal(() => verify(sign({}, { keyid: 'k1' }, OTHER), { keys }))).toBe(
      'token signature is not valid',
    );
    expect(refusal(() => verify(sign({}, { keyid: 'k3' }), { keys }))).toBe('token key id is not known');
    expect(refusal(() => verify(sign({}), { keys }))).toBe('token key id is not known');
  });

  it('may have issuer and audience where they are asked for', () => {
    const auth = { issuer: 'https://id.example', audience: 'shop' };
    const token = sign({}, { issuer: auth.issuer, audience: ['other', 'shop'] });
    expect(verify(token, auth).subject).toBe('u1');
  });

  it('is accepted within the leeway', () => {
    expect(verify(sign({ exp: now() - 20 })).subject).toBe('u1');
    expect(verify(sign({ nbf: now() + 20 })).subject).toBe('u1');
    expect(verify(sign({ iat: now() + 20 })).subject).toBe('u1');
  });
});

describe('a token is refused', () => {
  const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from('{"sub":"u1"}').toString('base64url')}.`;
  it.each<[string, string, Partial<AuthConfig>?]>([
    ['token expired', sign({ exp: now() - 31 })],
    ['token is not valid yet', sign({ nbf: now() + 60 })],
    ['token was issued in the future', sign({ iat: now() + 60 })],
    ['token signature is not valid', sign({}, {}, OTHER)],
    ['token signature is not valid', sign({}).replace(/\.[^.]*$/, '.')],
    [
      'token signature is not valid',
      sign({}).replace(/\.[^.]*\./, `.${Buffer.from('{"sub":"root"}').toString('base64url')}.`),
    ],
    ['token algorithm none is not accepted', unsigned],
    ['token algorithm HS512 is not accepted', jwt.sign({ sub: 'u1' }, SECRET, { algorithm: 'HS512' })],
    [
      'token algorithm RS256 is not accepted',
      jwt.sign({ sub: 'u1' }, rsa.privateKey, { algorithm: 'RS256' }),
    ],
    [
      'token signature is not valid',
      jwt.sign({ sub: 'u1' }, pair().privateKey, { algorithm: 'RS256' }),
      { keys: [RS] },
    ],
    [
      'token algorithm HS256 is not accepted',
      forge('{"alg":"HS256"}', '{"sub":"u1"}', rsa.publicKey),
      { keys: [RS] },
    ],
    ['token signature is not valid', forge('{"alg":"RS256"}', '{"sub":"u1"}', rsa.publicKey), { keys: [RS] }],
    ['token algorithm HS256 is not accepted', sign({}), { keys: [] }],
    ['token algorithm is not accepted', forge('{"alg":"<script>"}', '{}')],
    ['token algorithm is not accepted', forge('{}', '{}')],
    [
      'token has critical header parameters, which are not supported',
      forge('{"alg":"HS256","crit":["b64"]}', '{"sub":"u1"}'),
    ],
    ['token issuer is not accepted', sign({ iss: 'evil' }), { issuer: 'https://id.example' }],
    ['token issuer is not accepted', sign({}), { issuer: 'https://id.example' }],
    ['token audience is not accepted', sign({ aud: 'other' }), { audience: 'shop' }],
    ['token audience is not accepted', sign({}), { audience: 'shop' }],
    ['token has no subject (claim sub)', sign({ sub: '' })],
    ['token has no subject (claim sub)', forge('{"alg":"HS256"}', '{}')],
    ['token has no subject (claim sub)', forge('{"alg":"HS256"}', '{"sub":5}')],
    ['token claim sub must be printable ASCII', sign({ sub: 'u1\r\nx-admin: 1' })],
    ['token claim sub must be printable ASCII', sign({ sub: 'ünique' })],
    ['token claim permissions must be an array of strings', sign({ permissions: [5] })],
    ['token claim permissions must be an array of strings', sign({ permissions: ['a b'] })],
    ['token claim permissions must be an array of strings', sign({ permissions: { a: 1 } })],
    ['token claim scope must be an array of strings', sign({ scope: null })],
    ['token claim roles must be an array of strings', sign({ roles: 'admin' })],
    ['token claim roles must be an array of strings', sign({ roles: [['admin']] })],
    ['token claims exp and nbf must be numbers', forge('{"alg":"HS256"}', '{"sub":"u1","exp":"tomorrow"}')],
    ['token claims exp and nbf must be numbers', forge('{"alg":"HS256"}', '{"sub":"u1","nbf":null}')],
    ['token is malformed', ''],
    ['token is malformed', 'abc'],
    ['token is malformed', 'a.b'],
    ['token is malformed', `${sign({})}.x`],
    ['token is malformed', ` ${sign({})}`],
    ['token is malformed', 'a.b.c'],
    ['token is malformed', forge('null', '{}')],
    ['token is malformed', forge('{"alg":"HS256"}', 'text')],
    ['token is malformed', forge('{"alg":"HS256","typ":"JWT"}', 'text')],
    ['token is malformed', forge('{"alg":"HS256"}', 'null')],
    ['token is malformed', forge('{"alg":"HS256"}', '["sub"]')],
    ['token is too long', sign({ filler: 'x'.repeat(16_384) })],
  ])('with "%s"', (message, token, auth) => {
    expect(refusal(() => verify(token, auth))).toBe(message);
  });
});

describe('a verified token', () => {
  it('is remembered', () => {
    const verifier = verifierOf();
    const token = sign({});
    expect(verifier(token)).toBe(verifier(token));
  });

  it('does not speak for another one that ends the same', () => {
    const verifier = verifierOf();
    const token = sign({});
    const [head = '', , signature = ''] = token.split('.');
    verifier(token);
    const claims = Buffer.from('{"sub":"root"}').toString('base64url');
    expect(refusal(() => verifier(`${head}.${claims}.${signature}`))).toBe('token signature is not valid');
    expect(refusal(() => verifier(signature.slice(-12)))).toBe('token is malformed');
    expect(refusal(() => verifier(''))).toBe('token is malformed');
    expect(verifier(token).subject).toBe('u1');
  });

  it('is forgotten when it expires, and its leeway with it', () => {
    vi.useFakeTimers();
    const verifier = verifierOf();
    const token = sign({ exp: now() + 60 });
    const first = verifier(token);
    vi.advanceTimersByTime(89_000);
    expect(verifier(token)).toBe(first);
    vi.advanceTimersByTime(1_000);
    expect(refusal(() => verifier(token))).toBe('token expired');
    expect(refusal(() => verifier(token))).toBe('token expired');
  });

  it('is forgotten when many others have been used since', () => {
    const verifier = verifierOf();
    const [rare, often] = [sign({ sub: 'rare' }), sign({ sub: 'often' })];
    const first = { rare: verifier(rare), often: verifier(often) };
    for (let index = 0; index < 20_000; index++) {
      verifier(forge('{"alg":"HS256"}', `{"sub":"u${index}"}`));
      if (index % 100 === 0) verifier(often);
    }
    expect(verifier(often)).toBe(first.often);
    expect(verifier(rare)).not.toBe(first.rare);
  });
});

describe('the Authorization header', () => {
  it.each([
    ['Bearer a.b-c_d.e', 'a.b-c_d.e'],
    ['bearer  x==', 'x=='],
    ['BEARER ~+/', '~+/'],
  ])('%s holds the token %s', (header, token) => {
    expect(parseAuthorization(header)).toBe(token);
  });

  it('may be absent', () => {
    expect(parseAuthorization(undefined)).toBeUndefined();
  });

  it.each([
    '',
    'Bearer',
    'Bearer ',
    'Basic dTpw',
    'Bearer a b',
    'Bearer a,Bearer b',
    'Bearer "a"',
    'secret.token.x',
  ])('is refused as %j, without repeating it', (header) => {
    expect(refusal(() => parseAuthorization(header))).toBe(
      'header authorization: expected Bearer and a token',
    );
  });
});

describe('signToken', () => {
  it('signs what the verifier accepts', () => {
    const auth = { keys: [{ ...HS, keyId: 'k1' }], issuer: 'me', audience: 'you' };
    const options = { subject: 'u1', roles: ['admin'], permissions: ['x'], expiresInSeconds: 60 };
    const principal = verify(
      signToken({ ...options, key: SECRET, keyId: 'k1', issuer: 'me', audience: 'you' }),
      auth,
    );
    expect(principal).toMatchObject({
      subject: 'u1',
      permissions: new Set(['x', '*']),
      roles: new Set(['admin']),
    });
    expect(principal.expiresAt).toBe(((principal.issuedAt as number) + 60) * 1000);
  });

  it('signs a token without end or rights', () => {
    expect(verify(signToken({ subject: 'u1', key: SECRET }))).toMatchObject({
      expiresAt: undefined,
      permissions: new Set(),
    });
  });
});
