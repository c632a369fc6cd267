/** Tokens that somebody has made up or changed, at every place where the gateway takes one: nobody comes in, and no service hears of it. */
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { DOORS } from '../support/door_clients.js';
import {
  AUD,
  forge,
  ISS,
  type Issued,
  OTHER_ISS,
  OTHER_SECRET,
  startIssued,
} from '../support/security/issued.js';
import { seconds, signingKey, startIssuer, type TestIssuer, tokenOf } from '../support/security/issuer.js';

let site: Issued;
/** The attacker's own, with keys that the attacker has. */
let evil: TestIssuer;
const theirs = signingKey('k1');
beforeAll(async () => {
  site = await startIssued({ flags: ['--bad-tokens', '0'] });
  evil = await startIssuer(theirs);
});
afterAll(async () => {
  await evil.close();
  await site.close();
});

const CLAIMS = { iss: ISS, aud: AUD, sub: 'ann', iat: seconds(), exp: seconds() + 600 };
const parts = (token: string): [string, string, string] => token.split('.') as [string, string, string];
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Places of a token beside those of the doors: the status or close code that it is answered with. */
const ELSEWHERE: Readonly<Record<string, (token: string) => Promise<number | undefined>>> = {
  'a subprotocol': (token) =>
    new Promise((resolve) => {
      const offered = `bearer.${Buffer.from(token).toString('base64url')}`;
      const socket = new WebSocket(`ws://127.0.0.1:${site.port}/ws`, ['tidegate.v1.json', offered]);
      socket.on('open', () => resolve(101)).on('error', () => undefined);
      socket.on('unexpected-response', (_, { statusCode }) => resolve(statusCode));
    }),
  'the tickets': async (token) => (await post('/-/tickets', token)).status,
  'the revocations': async (token) => (await post('/-/revocations', token)).status,
};

const post = (path: string, token: string) =>
  fetch(`http://127.0.0.1:${site.port}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"token_id":"x"}',
  });

/** What each place answered, and whether a service was called. */
async function everywhere(token: string): Promise<readonly string[]> {
  const before = site.service.metadata.length;
  const answers: string[] = [];
  // Public methods too: a bad token is not the same as none.
  for (const path of ['/v1/customers/ann', '/v1/open']) {
    for (const { name, open } of DOORS) {
      const { code, http, close, messages } = await open(site.port, path, { token }).outcome;
      answers.push(`${name}: ${http ?? (code === 16 ? 4316 : close)}, ${messages.length} messages`);
    }
  }
  for (const [name, ask] of Object.entries(ELSEWHERE))
    answers.push(`${name}: ${await ask(token)}, 0 messages`);
  if (site.service.metadata.length > before) answers.push('the service was called');
  return answers;
}

const refused = (answers: readonly string[]) =>
  answers.filter((answer) => !/: (401|4316), 0 messages$/.test(answer));

test('a good token is taken at all of these places, so that a refusal says something', async () => {
  const answers = await everywhere(site.token());
  expect(answers).toHaveLength(20);
  expect(answers.slice(0, 16).filter((answer) => !answer.endsWith(', 1 messages'))).toEqual([]);
  expect(answers.slice(16, 19)).toEqual([
    'a subprotocol: 101, 0 messages',
    'the tickets: 200, 0 messages',
    'the revocations: 403, 0 messages',
  ]);
  expect(answers[19]).toBe('the service was called');
});

describe('the wrong kind of key (algorithm confusion)', () => {
  const spellings: readonly (readonly [string, (pem: string) => string])[] = [
    ['as PEM', (pem) => pem],
    ['as PEM without its last newline', (pem) => pem.trimEnd()],
    ['as the base64 inside the PEM', (pem) => pem.replace(/-----[^-]+-----|\n/g, '')],
  ];
  test.each(spellings)('HS256 with the public RSA key as the secret, %s', async (_, spell) => {
    const token = forge({ alg: 'HS256', kid: 'k1', typ: 'JWT' }, CLAIMS, spell(site.key.pem));
    expect(refused(await everywhere(token))).toEqual([]);
  });

  test('HS256 with the published key as the secret, as JSON or its modulus alone', async () => {
    for (const secret of [JSON.stringify(site.key.jwk), String(site.key.jwk.n)]) {
      expect(refused(await everywhere(forge({ alg: 'HS256', kid: 'k1' }, CLAIMS, secret)))).toEqual([]);
    }
  });

  test('HS256 with the secret of another issuer that is accepted', async () => {
    expect(refused(await everywhere(forge({ alg: 'HS256' }, CLAIMS, OTHER_SECRET)))).toEqual([]);
    const theirOwn = forge({ alg: 'HS256' }, { ...CLAIMS, iss: OTHER_ISS }, OTHER_SECRET);
    expect(refused(await everywhere(theirOwn))).toHaveLength(20);
  });

  test('an HS256 header over an RS256 signature, and the other way round', async () => {
    const [, claims, signature] = parts(site.token());
    expect(refused(await everywhere(`${encoded({ alg: 'HS256' })}.${claims}.${signature}`))).toEqual([]);
    const [, , hmac] = parts(forge({ alg: 'RS256', kid: 'k1' }, CLAIMS, site.key.pem));
    const header = encoded({ alg: 'RS256', kid: 'k1' });
    expect(refused(await everywhere(`${header}.${encoded(CLAIMS)}.${hmac}`))).toEqual([]);
  });

  test('an algorithm of the right family that the issuer does not use', async () => {
    const input = `${encoded({ alg: 'RS512', kid: 'k1' })}.${encoded(CLAIMS)}`;
    const signature = sign('sha512', Buffer.from(input), site.key.privateKey).toString('base64url');
    expect(refused(await everywhere(`${input}.${signature}`))).toEqual([]);
  });
});

describe('no signature', () => {
  test.each(['none', 'None', 'NONE', 'nOnE', 'none ', '', null, 0, ['none']])('alg: %j', async (alg) => {
    const [, , signature] = parts(site.token());
    for (const tail of ['', signature]) {
      const token = `${forge({ alg, kid: 'k1' }, CLAIMS).slice(0, -1)}.${tail}`;
      expect(refused(await everywhere(token))).toEqual([]);
    }
  });

  test('alg is missing', async () => {
    expect(refused(await everywhere(forge({ kid: 'k1' }, CLAIMS)))).toEqual([]);
  });

  test.each([
    ['stripped', (header: string, claims: string) => `${header}.${claims}.`],
    ['stripped with its dot', (header: string, claims: string) => `${header}.${claims}`],
    [
      'of other claims',
      (header: string, _: string, signature: string) => {
        return `${header}.${encoded({ ...CLAIMS, permissions: ['*'] })}.${signature}`;
      },
    ],
    [
      'shortened',
      (header: string, claims: string, signature: string) => `${header}.${claims}.${signature.slice(0, -8)}`,
    ],
    [
      'with a bit flipped',
      (header: string, claims: string, signature: string) => {
        const bytes = Buffer.from(signature, 'base64url');
        bytes[100] = (bytes[100] as number) ^ 1;
        return `${header}.${claims}.${bytes.toString('base64url')}`;
      },
    ],
    [
      'of zeros',
      (header: string, claims: string) => `${header}.${claims}.${Buffer.alloc(256).toString('base64url')}`,
    ],
  ])('the signature is %s', async (_, change) => {
    expect(refused(await everywhere(change(...parts(site.token()))))).toEqual([]);
  });

  test('an ECDSA signature of zeros, which proves everything to a careless verifier', async () => {
    const input = `${encoded({ alg: 'ES256', kid: 'k1' })}.${encoded(CLAIMS)}`;
    expect(refused(await everywhere(`${input}.${Buffer.alloc(64).toString('base64url')}`))).toEqual([]);
  });
});

describe('a key that the token brings along', () => {
  const header = (change: object) => tokenOf(theirs, CLAIMS, change);

  test.each<[string, () => object]>([
    ['by value (jwk)', () => ({ jwk: theirs.jwk })],
    ['as a certificate (x5c)', () => ({ x5c: [theirs.pem.replace(/-----[^-]+-----|\n/g, '')] })],
    ['by address (jku)', () => ({ jku: evil.url })],
    ['by address (x5u)', () => ({ x5u: evil.url })],
    ['under the name of a key that is published', () => ({})],
    ['under a path as its name', () => ({ kid: '../../../../dev/null' })],
    ['under an URL as its name', () => ({ kid: evil.url })],
    ['under the name of something that objects have', () => ({ kid: '__proto__' })],
  ])('%s', async (_, change) => {
    expect(refused(await everywhere(header(change())))).toEqual([]);
    expect(evil.asked).toBe(0);
  });

  test('an empty one, by a path to an empty file as its name', async () => {
    const token = forge({ alg: 'HS256', kid: '/dev/null' }, CLAIMS, '');
    expect(refused(await everywhere(token))).toEqual([]);
  });

  test('one that is not published, though it is the issuer who has it', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = {
      ...theirs,
      privateKey: createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    };
    expect(refused(await everywhere(tokenOf(key, CLAIMS)))).toEqual([]);
  });
});

describe('a token with a good signature that is not for here or not for now', () => {
  test.each<[string, object]>([
    ['of another audience', { aud: 'another-api' }],
    ['of an audience that begins the same', { aud: `${AUD}2` }],
    ['of no audience', { aud: undefined }],
    ['of an issuer that nobody has heard of', { iss: 'https://evil.test' }],
    ['of an issuer with a slash more', { iss: `${ISS}/` }],
    ['of another issuer that is accepted', { iss: OTHER_ISS }],
    ['of no issuer', { iss: undefined }],
    ['of a list of issuers', { iss: [ISS] }],
    ['that has expired', { exp: seconds() - 60 }],
    ['that has expired long ago', { exp: 0 }],
    ['that is not valid yet', { nbf: seconds() + 300 }],
    ['that was issued in the future', { iat: seconds() + 300 }],
    ['of nobody', { sub: '' }],
  ])('%s', async (_, claims) => {
    const all = Object.fromEntries(
      Object.entries({ ...CLAIMS, ...claims }).filter(([, value]) => value !== undefined),
    );
    const input = `${encoded({ alg: 'RS256', kid: 'k1' })}.${encoded(all)}`;
    const signature = sign('sha256', Buffer.from(input), site.key.privateKey).toString('base64url');
    expect(refused(await everywhere(`${input}.${signature}`))).toEqual([]);
  });
});

test('the answer to a forged token says that it is invalid, and not what it was', async () => {
  const token = forge({ alg: 'HS256', kid: 'k1' }, CLAIMS, site.key.pem);
  const response = await fetch(`http://127.0.0.1:${site.port}/v1/open`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(response.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token"/);
  const text = await response.text();
  for (const piece of parts(token)) expect(text).not.toContain(piece);
  expect(text).not.toContain('ann');
});
