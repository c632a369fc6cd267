/** The issuers of tokens in the configuration: their keys, what is made of them, and every refusal at its own place. */
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ALGORITHMS } from '../gateway/auth/algorithms.js';
import { load, problems } from './support/auth_config.js';

const pem = (pair: { publicKey: { export(options: object): unknown } }) =>
  String(pair.publicKey.export({ type: 'spki', format: 'pem' }));
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const RSA = pem(rsa);
const EC = pem(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const ED = pem(generateKeyPairSync('ed25519'));
const SMALL = pem(generateKeyPairSync('rsa', { modulusLength: 1024 }));
const AGREEMENT = pem(generateKeyPairSync('x25519'));
const PRIVATE = String(rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }));
const SECRET = 'a secret of an issuer, of forty characters';
const LONG = SECRET.repeat(2);
const ISS = 'https://id.example.com';
const URL_ = 'https://id.example.com/jwks.json';
const one = (change: object) => ({ auth: { issuers: [{ issuer: ISS, ...change }] } });

describe('an issuer', () => {
  test.each<[string, object, object, Record<string, string>?]>([
    ['with keys at an URL', { jwksUrl: URL_ }, { algorithms: ['RS256', 'ES256'], jwksUrl: URL_ }],
    [
      'with other algorithms',
      { jwksUrl: URL_, algorithms: ['PS512', 'EdDSA'] },
      { algorithms: ['PS512', 'EdDSA'] },
    ],
    [
      'at loopback, in the clear',
      { jwksUrl: 'http://127.0.0.1:8080/jwks' },
      { jwksUrl: 'http://127.0.0.1:8080/jwks' },
    ],
    ['at loopback by IPv6', { jwksUrl: 'http://[::1]:8080/jwks' }, { jwksUrl: 'http://[::1]:8080/jwks' }],
    ['with a public key', { key: RSA }, { algorithms: ['RS256'], publicKeys: [RSA.trimEnd()] }],
    [
      'with several in a file',
      { keyFile: 'k' },
      { algorithms: ['RS256', 'ES256', 'EdDSA'] },
      { k: RSA + EC + ED },
    ],
    ['with a key for PS256 alone', { key: RSA, algorithms: ['PS256'] }, { algorithms: ['PS256'] }],
    ['with a secret', { secret: SECRET }, { algorithms: ['HS256'], secret: SECRET }],
    [
      'with a secret in a file',
      { secretFile: 's' },
      { algorithms: ['HS256'], secret: SECRET },
      { s: `${SECRET}\n` },
    ],
    ['with a long secret', { secret: LONG, algorithms: ['HS512'] }, { algorithms: ['HS512'] }],
    ['with a key id', { key: EC, keyId: 'k1' }, { algorithms: ['ES256'], keyId: 'k1' }],
    [
      'with audiences and claims',
      { jwksUrl: URL_, audiences: ['a', 'b'], requiredClaims: { tenant: [], verified: ['true'] } },
      { audiences: ['a', 'b'], required: { tenant: [], verified: ['true'] } },
    ],
  ])('%s', (_, given, expected, files = {}) => {
    const { issuers } = load({ ...one(given), files });
    expect(issuers).toHaveLength(1);
    expect(issuers[0]).toMatchObject({ issuer: ISS, ...expected });
  });

  test('asks for nothing that it was not told to', () => {
    expect(load(one({ jwksUrl: URL_ })).issuers).toEqual([
      { issuer: ISS, audiences: [], algorithms: ['RS256', 'ES256'], jwksUrl: URL_, required: {} },
    ]);
  });

  test('may be given by flags, variables or the file as one with keys at an URL', () => {
    const expected = [
      { issuer: ISS, audiences: ['api'], algorithms: ['RS256', 'ES256'], jwksUrl: URL_, required: {} },
    ];
    const argv = ['--issuer', ISS, '--audience', 'api', '--jwks-url', URL_];
    expect(load({ argv }).issuers).toEqual(expected);
    const env = { TIDEGATE_ISSUER: ISS, TIDEGATE_AUDIENCE: 'api', TIDEGATE_JWKS_URL: URL_ };
    expect(load({ env }).issuers).toEqual(expected);
    expect(load({ auth: { issuer: ISS, audience: 'api', jwksUrl: URL_ } }).issuers).toEqual(expected);
  });

  const at = 't.yaml: auth.issuers[0]';
  test.each<[string, object, string, Record<string, string>?]>([
    ['without a name', { issuer: '', jwksUrl: URL_ }, `${at}.issuer: expected the iss of its tokens, not ''`],
    [
      'named by a number',
      { issuer: 5, jwksUrl: URL_ },
      `${at}.issuer: expected the iss of its tokens, not 5`,
    ],
    ['with a key that is unknown', { jwksURL: URL_ }, `${at}.jwksURL: unknown key; did you mean jwksUrl?`],
    ['without keys', {}, `${at}: expected one of jwksUrl, key, keyFile, secret, secretFile`],
    [
      'with keys of two kinds',
      { jwksUrl: URL_, secret: SECRET },
      `${at}: expected one of jwksUrl, key, keyFile, secret, secretFile, not jwksUrl and secret`,
    ],
    [
      'with audiences that are no list',
      { jwksUrl: URL_, audiences: 'api' },
      `${at}.audiences: expected a list`,
    ],
    [
      'with an empty audience',
      { jwksUrl: URL_, audiences: [''] },
      `${at}.audiences[0]: expected an audience, not ''`,
    ],
    [
      'with an algorithm that is none',
      { jwksUrl: URL_, algorithms: ['RS256', 'none'] },
      `${at}.algorithms[1]: expected one of ${ALGORITHMS.join(', ')}, not 'none'`,
    ],
    ['with no algorithm', { jwksUrl: URL_, algorithms: [] }, `${at}: expected at least one of algorithms`],
    [
      'with an algorithm of secrets at an URL',
      { jwksUrl: URL_, algorithms: ['HS256'] },
      `${at}: HS256 needs a secret, which nobody publishes at an URL`,
    ],
    ['with a key id at an URL', { jwksUrl: URL_, keyId: 'k' }, `${at}: keyId: keys at an URL have their own`],
    [
      'with a file for an URL',
      { jwksUrl: 'file:///etc/keys' },
      `${at}.jwksUrl: expected an URL such as https://id.example.com/jwks.json, not 'file:///etc/keys'`,
    ],
    [
      'in the clear',
      { jwksUrl: 'http://id.example.com/jwks' },
      `${at}: jwksUrl: expected https: keys that come in the clear can be replaced by anybody on the way`,
    ],
    [
      'in the clear at a host that looks like loopback',
      { jwksUrl: 'http://127.0.0.1.evil.test/jwks' },
      `${at}: jwksUrl: expected https: keys that come in the clear can be replaced by anybody on the way`,
    ],
    [
      'with a password in its URL',
      { jwksUrl: 'https://u:p@id/jwks' },
      `${at}: jwksUrl: expected no user and password in it`,
    ],
    ['with a file that is not there', { keyFile: 'no' }, `${at}: cannot read no: no such file`],
    ['with what is no key', { key: 'x' }, `${at}: expected public keys or certificates in PEM form`],
    [
      'with a broken key',
      { key: RSA.replace('MIIB', 'AAAA') },
      `${at}: expected public keys or certificates in PEM form`,
    ],
    [
      'with a short RSA key',
      { key: SMALL },
      `${at}: a key of type rsa is too short, or of no use for tokens`,
    ],
    [
      'with a key for agreement',
      { key: AGREEMENT },
      `${at}: a key of type x25519 is too short, or of no use for tokens`,
    ],
    [
      'with a key of another kind',
      { key: EC, algorithms: ['RS256'] },
      `${at}: a key of type ec can be used with ES256, not with RS256`,
    ],
    [
      'with an algorithm without key',
      { key: EC, algorithms: ['ES256', 'RS256'] },
      `${at}: no key can be used with RS256`,
    ],
    [
      'with a short secret',
      { secret: 'short' },
      `${at}: a secret of 5 bytes is too short, or of no use for tokens`,
    ],
    [
      'with a secret too short for its algorithm',
      { secret: SECRET, algorithms: ['HS512'] },
      `${at}: a secret of ${SECRET.length} bytes can be used with HS256, not with HS512`,
    ],
    [
      'with a public key as secret',
      { secret: RSA },
      `${at}: expected a secret, but this is a PEM key; that is keyFile`,
    ],
    ['with an empty key id', { key: EC, keyId: '' }, `${at}.keyId: expected a key id, not ''`],
    [
      'with claims that are a list',
      { jwksUrl: URL_, requiredClaims: ['a'] },
      `${at}.requiredClaims: expected a mapping`,
    ],
    [
      'with a claim that is no list',
      { jwksUrl: URL_, requiredClaims: { tenant: 'a' } },
      `${at}.requiredClaims.tenant: expected a list`,
    ],
    [
      'with a value that is no text',
      { jwksUrl: URL_, requiredClaims: { verified: [true] } },
      `${at}.requiredClaims.verified[0]: expected a value, in quotes, not true`,
    ],
  ])('%s is refused', (_, given, problem, files = {}) => {
    expect(problems({ ...one(given), files })).toEqual([problem]);
  });

  test('with a private key is refused', () => {
    expect(problems(one({ key: PRIVATE }))).toEqual([
      expect.stringMatching(/^t\.yaml: auth\.issuers\[0\]: this is a private key; /),
    ]);
  });

  test('is told of at its own place, however many others are wrong', () => {
    const issuers = [
      { issuer: 'a' },
      { issuer: 'b', jwksUrl: 'http://b.example.com' },
      { issuer: 'c', jwksUrl: URL_ },
      { issuer: 'c', jwksUrl: URL_ },
    ];
    expect(problems({ auth: { issuers, jwksUrl: URL_ } }).map((problem) => problem.split(': ', 3))).toEqual([
      ['t.yaml', 'auth.jwksUrl', expect.stringMatching(/^expected the issuer too/)],
      ['t.yaml', 'auth.issuers[0]', expect.stringMatching(/^expected one of/)],
      ['t.yaml', 'auth.issuers[1]', 'jwksUrl'],
      ['t.yaml', 'auth.issuers[3]', "the issuer 'c' is there twice"],
    ]);
  });

  test('is there once, also beside the short forms', () => {
    const issuers = [{ issuer: ISS, jwksUrl: URL_ }];
    expect(problems({ auth: { issuers, issuer: ISS, jwksUrl: URL_ } })).toEqual([
      `t.yaml: auth.issuers[0]: the issuer '${ISS}' is there twice`,
    ]);
    const env = { TIDEGATE_JWT_SECRET: SECRET };
    expect(problems({ auth: { issuers, issuer: ISS }, env })).toEqual([
      `t.yaml: auth.issuers[0]: the issuer '${ISS}' is there twice`,
    ]);
    expect(problems({ auth: { issuer: ISS, jwksUrl: URL_ }, env })).toEqual([
      't.yaml: auth.jwksUrl: not together with other keys; use auth.issuers',
    ]);
    expect(load({ auth: { issuers, issuer: 'another' }, env }).issuers).toHaveLength(1);
  });
});

test('a problem shows no key', () => {
  const hidden = ['short-secret', PRIVATE, RSA.replace('MIIB', 'AAAA'), '12345678'];
  for (const value of hidden) {
    for (const name of ['key', 'secret']) {
      const [problem = '', ...more] = problems(one({ [name]: value === '12345678' ? 12345678 : value }));
      expect([problem, more]).not.toEqual(['', []]);
      for (const piece of value.split('\n').filter((line) => line.length > 7 && !line.startsWith('-----'))) {
        expect(problem).not.toContain(piece);
      }
    }
  }
});
