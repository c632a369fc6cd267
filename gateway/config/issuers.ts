/** The issuers of tokens: their keys read from where they are, and refused when they do not fit their algorithms. */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { type Algorithm, algorithmsOf } from '../auth/algorithms.js';
import type { ParsedIssuer } from './auth_schema.js';
import type { IssuerConfig } from './auth_types.js';
import { isPrivate, readSecret } from './keys.js';
import { isLoopback } from './problems.js';
import type { ParsedConfig } from './schema.js';
import type { Merged, ReadFile } from './sources.js';
import type { Config } from './types.js';

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g;
/** Of keys at an URL, when nothing is said: what nearly everybody uses. */
const USUAL: readonly Algorithm[] = ['RS256', 'ES256'];
const MATERIALS = ['jwksUrl', 'key', 'keyFile', 'secret', 'secretFile'] as const;

export interface ResolvedIssuers {
  readonly issuers: readonly IssuerConfig[];
  /** Where each of those is configured, in their order. */
  readonly places: readonly string[];
  /** None of them shows a key. */
  readonly problems: readonly string[];
}

/** `auth.issuers`, and the one that `auth.jwksUrl` and `auth.issuer` make. */
export function resolveIssuers(
  auth: ParsedConfig['auth'],
  readFile: ReadFile,
  { placeOf }: Merged,
): ResolvedIssuers {
  const issuers: IssuerConfig[] = [];
  const places: string[] = [];
  const problems: string[] = [];
  const { issuer, audience, jwksUrl } = auth;
  if (jwksUrl !== undefined && issuer !== undefined) {
    const audiences = audience === undefined ? [] : [audience];
    issuers.push({ issuer, audiences, algorithms: USUAL, jwksUrl, required: {} });
    places.push(placeOf(['auth', 'jwksUrl']));
  } else if (jwksUrl !== undefined) {
    problems.push(
      `${placeOf(['auth', 'jwksUrl'])}: expected the issuer too (auth.issuer): another one may sign with a key of the same kind`,
    );
  }
  for (const [index, one] of auth.issuers.entries()) {
    const resolved = resolve(one, readFile);
    const place = placeOf(['auth', 'issuers', index]);
    if ('problem' in resolved) problems.push(`${place}: ${resolved.problem}`);
    else {
      issuers.push(resolved);
      places.push(place);
    }
  }
  return { issuers, places, problems };
}

type Problem = { readonly problem: string };

function resolve(given: ParsedIssuer, readFile: ReadFile): IssuerConfig | Problem {
  const { issuer, audiences, requiredClaims: required, keyId, jwksUrl } = given;
  const materials = MATERIALS.filter((name) => given[name] !== undefined);
  if (materials.length !== 1) {
    return {
      problem: `expected one of ${MATERIALS.join(', ')}${materials.length > 1 ? `, not ${materials.join(' and ')}` : ''}`,
    };
  }
  if (given.algorithms?.length === 0) return { problem: 'expected at least one of algorithms' };
  const common = { issuer, audiences, required, ...(keyId !== undefined && { keyId }) };
  if (jwksUrl !== undefined) {
    const { algorithms = USUAL } = given;
    const secret = algorithms.find((name) => name.startsWith('HS'));
    if (secret !== undefined)
      return { problem: `${secret} needs a secret, which nobody publishes at an URL` };
    if (keyId !== undefined) return { problem: 'keyId: keys at an URL have their own' };
    return { ...common, algorithms, jwksUrl };
  }
  const file = given.keyFile ?? given.secretFile;
  const read = file === undefined ? { text: given.key ?? given.secret ?? '' } : readSecret(file, readFile);
  if ('problem' in read) return read;
  const isSecret = given.secret !== undefined || given.secretFile !== undefined;
  const keys = isSecret ? secretKey(read.text) : publicKeys(read.text);
  if ('problem' in keys) return keys;
  const algorithms = algorithmsFor(keys.keys, given.algorithms);
  if ('problem' in algorithms) return algorithms;
  return {
    ...common,
    algorithms: algorithms.names,
    ...(isSecret ? { secret: read.text } : { publicKeys: keys.pems }),
  };
}

type Keys = { readonly keys: readonly KeyObject[]; readonly pems: readonly string[] };

function secretKey(text: string): Keys | Problem {
  if (/-----BEGIN [A-Z ]+-----/.test(text))
    return { problem: 'expected a secret, but this is a PEM key; that is keyFile' };
  return { keys: [createSecretKey(Buffer.from(text))], pems: [] };
}

function publicKeys(text: string): Keys | Problem {
  if (isPrivate(text)) {
    return {
      problem:
        'this is a private key; the gateway needs, and should know, only its public half (openssl pkey -in FILE -pubout)',
    };
  }
  const pems = text.match(PEM_BLOCK) ?? [];
  if (pems.length === 0) return { problem: 'expected public keys or certificates in PEM form' };
  try {
    return { keys: pems.map((pem) => createPublicKey(pem)), pems };
  } catch {
    return { problem: 'expected public keys or certificates in PEM form' };
  }
}

/** Those that are asked for, if each key can be used with one of them, and each of them has a key; else the first that each key can. */
function algorithmsFor(
  keys: readonly KeyObject[],
  asked: readonly Algorithm[] | undefined,
): { readonly names: readonly Algorithm[] } | Problem {
  const names = new Set<Algorithm>(asked);
  for (const key of keys) {
    const usable = algorithmsOf(key);
    if (usable.length === 0) return { problem: `${kindOf(key)} is too short, or of no use for tokens` };
    if (asked === undefined) names.add(usable[0] as Algorithm);
    else if (!usable.some((name) => asked.includes(name))) {
      return {
        problem: `${kindOf(key)} can be used with ${usable.join(', ')}, not with ${asked.join(', ')}`,
      };
    }
  }
  const useless = asked?.find((name) => !keys.some((key) => algorithmsOf(key).includes(name)));
  if (useless !== undefined) return { problem: `no key can be used with ${useless}` };
  return { names: [...names] };
}

function kindOf({ type, asymmetricKeyType, symmetricKeySize }: KeyObject): string {
  return type === 'secret' ? `a secret of ${symmetricKeySize} bytes` : `a key of type ${asymmetricKeyType}`;
}

/** What is wrong with issuers that are right each by itself. */
export function issuerProblems(
  { auth: { jwksUrl } }: ParsedConfig,
  { auth, dev }: Config,
  { placeOf, places }: Merged & Pick<ResolvedIssuers, 'places'>,
): string[] {
  const problems: string[] = [];
  const configured = auth.keys.length - (dev ? 1 : 0);
  if (jwksUrl !== undefined && configured > 0) {
    problems.push(`${placeOf(['auth', 'jwksUrl'])}: not together with other keys; use auth.issuers`);
  }
  const seen = new Set<string>(configured > 0 && auth.issuer !== undefined ? [auth.issuer] : []);
  for (const [index, { issuer, jwksUrl: url }] of auth.issuers.entries()) {
    const place = places[index] ?? '';
    if (seen.has(issuer)) problems.push(`${place}: the issuer '${issuer}' is there twice`);
    seen.add(issuer);
    const problem = url === undefined ? undefined : urlProblem(url, dev);
    if (problem !== undefined) problems.push(`${place}: ${problem}`);
  }
  return problems;
}

/** Who can change what comes from there can make tokens. */
function urlProblem(text: string, dev: boolean): string | undefined {
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== '' || password !== '') return 'jwksUrl: expected no user and password in it';
  const host = hostname.replace(/^\[|\]$/g, '');
  return protocol === 'https:' || isLoopback(host) || dev
    ? undefined
    : 'jwksUrl: expected https: keys that come in the clear can be replaced by anybody on the way';
}
