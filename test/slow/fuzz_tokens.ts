/**
 * Throws a million tokens, most of them bad, at all that stands between a request and its principal: see fuzz_runner.ts.
 *
 * Nobody is let in but with a token that was signed: the same text before the last dot, and the same bytes of signature. Else it is UNAUTHENTICATED, in words that hold nothing
 * of the token. Made-up key ids make the gateway ask for keys hardly ever. `npm run fuzz:tokens [-- INPUTS [SEED]]`
 */
import type { IncomingMessage } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createAuth } from '../../gateway/auth/auth.js';
import { readJws } from '../../gateway/auth/jws.js';
import { createTickets } from '../../gateway/auth/tickets.js';
import { DEFAULTS } from '../../gateway/config/schema.js';
import type { Config } from '../../gateway/config.js';
import type { Endpoint } from '../../gateway/http/table.js';
import { parseAuthorization, signToken } from '../../gateway/http/token.js';
import { createMemoryBroker } from '../../src/broker/memory.js';
import { ANONYMOUS, type Principal } from '../../src/principal.js';
import { Code, StatusError } from '../../src/status.js';
import { signingKey, startIssuer, tokenOf } from '../support/security/issuer.js';
import { runFuzz, type Target } from './fuzz_runner.js';
import { damaged, type Random, soup } from './random.js';

const SECRET = 'a secret of at least 32 bytes, for HS256';
/** Fetches of the keys: the first, and one for unknown ones in each 30 s of a run that takes one or two minutes. */
const MOST_FETCHES = 10;
const URL_SAFE = [
  'a',
  'Z',
  '0',
  '-',
  '_',
  '.',
  '=',
  '+',
  '/',
  ' ',
  'é',
  '\0',
  '..',
  'eyJhbGciOiJub25lIn0',
  'e30',
  'bnVsbA',
];
const HEADERS = [
  '{"alg":"none"}',
  '{"alg":"HS256"}',
  '{"alg":"ES256","kid":"k1"}',
  '{"alg":"ES256","kid":"k2"}',
  '{"alg":"ES256"}',
  '{"alg":"RS256","kid":"k1"}',
  '{"alg":["HS256"],"kid":{}}',
  '{"alg":"HS256","crit":["b64"],"b64":false}',
  '{"alg":"HS256","jwk":{"kty":"oct","k":""},"jku":"http://127.0.0.1:9/"}',
  '[]',
  'null',
  '',
];
const CLAIMS = [
  '{"sub":"root"}',
  '{"sub":"root","iss":"https://id.test"}',
  '{"sub":"root","iss":["https://id.test"]}',
  '{"sub":"u1","exp":9e99}',
  '{"__proto__":{"sub":"root"}}',
  '{"sub":1}',
  '{}',
  '"x"',
];

const encoded = (text: string): string => Buffer.from(text).toString('base64url');

/** Inputs of the signatures that were made, with their signatures. */
type Signed = ReadonlyMap<string, Buffer>;

function signedOf(tokens: readonly string[]): Signed {
  return new Map(
    tokens.map((token) => {
      const dot = token.lastIndexOf('.');
      return [token.slice(0, dot), Buffer.from(token.slice(dot + 1), 'base64url')];
    }),
  );
}

function isSigned(token: string, signed: Signed): boolean {
  const dot = token.lastIndexOf('.');
  const signature = signed.get(token.slice(0, Math.max(dot, 0)));
  return signature?.equals(Buffer.from(token.slice(dot + 1), 'base64url')) === true;
}

/** A good token, one gone wrong in some place, parts of several, or soup. */
function tokenFrom(random: Random, tokens: readonly string[]): string {
  const token = random.pick(tokens);
  const [header = '', claims = '', signature = ''] = token.split('.');
  const other = random.pick(tokens).split('.');
  switch (random.below(12)) {
    case 0:
      return token;
    case 1:
      return soup(random, URL_SAFE, 30);
    case 2:
      return [header, other[1], signature].join('.');
    case 3:
      return [other[0], claims, signature].join('.');
    case 4:
      return [encoded(random.pick(HEADERS)), claims, signature].join('.');
    case 5:
      return [header, encoded(random.pick(CLAIMS)), signature].join('.');
    case 6:
      return [encoded(random.pick(HEADERS)), encoded(random.pick(CLAIMS)), random.pick([signature, ''])].join(
        '.',
      );
    case 7:
      return [header, claims, damaged(random, signature, URL_SAFE)].join('.');
    case 8:
      return [
        encoded(damaged(random, Buffer.from(header, 'base64url').toString(), ['"', '{', ',', ':'])),
        claims,
        signature,
      ].join('.');
    case 9:
      return random.chance(0.02) ? token + 'A'.repeat(20_000) : `${header}.${claims}`;
    default:
      return damaged(random, token, URL_SAFE);
  }
}

/** UNAUTHENTICATED, or another of these codes, with nothing in the message that looks like a part of a token. */
function refusedWith(...codes: readonly Code[]): (thrown: unknown) => boolean {
  const all = new Set([Code.UNAUTHENTICATED, ...codes]);
  return (thrown) =>
    thrown instanceof StatusError &&
    all.has(thrown.code) &&
    thrown.message.length < 200 &&
    !/[\w-]{30}/.test(thrown.message);
}

function assertSigned(principal: Principal, isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`${principal.subject} was let in by ${what}`);
}

async function prepare(): Promise<{ targets: readonly Target[]; problems: () => readonly string[] }> {
  const key = signingKey('k1', 'ES256');
  const issuer = await startIssuer(key);
  const auth = {
    ...DEFAULTS.auth,
    keys: [{ algorithm: 'HS256', key: SECRET }],
    issuers: [
      {
        issuer: 'https://id.test',
        algorithms: ['ES256', 'RS256'],
        audiences: [],
        required: {},
        jwksUrl: issuer.url,
      },
    ],
    cookie: 'session',
    queryParameter: 'access_token',
  };
  const config = { ...DEFAULTS, auth, origins: ['https://app.test'] } as unknown as Config;
  const broker = createMemoryBroker();
  const { verify, authenticate, sources } = await createAuth({
    config,
    broker,
    log: pino({ level: 'silent' }),
    registry: new Registry(),
    codec: () => {
      throw new Error('nothing is printed here');
    },
  });
  const tokens = [
    ...['u1', 'u2', 'u3'].map((subject) => signToken({ subject, key: SECRET, roles: ['clerk'] })),
    ...['e1', 'e2', 'e3'].map((sub) => tokenOf(key, { sub, iss: 'https://id.test', exp: 4e9 })),
  ];
  const signed = signedOf(tokens);

  const takeJws = (random: Random): void => {
    const token = tokenFrom(random, tokens);
    const { input, claims } = readJws(token);
    if (!token.startsWith(`${input}.`) || typeof claims !== 'object') throw new Error('read something else');
  };
  const takeToken = async (random: Random): Promise<void> => {
    const token = tokenFrom(random, tokens);
    const principal = verify(token);
    const known = principal instanceof Promise ? await principal : principal;
    assertSigned(known, isSigned(token, signed), token);
  };
  const takeHeader = (random: Random): void => {
    const header = random.pick(['Bearer ', 'bearer  ', 'Basic ', '', 'Bearer\t']) + tokenFrom(random, tokens);
    const token = parseAuthorization(damaged(random, header, URL_SAFE));
    if (token === undefined || /[^\w.~+/=-]/.test(token)) throw new Error('a token of other characters');
  };
  /** Places for tokens, some of them used, and a page that may send cookies or not. */
  const takeRequest = async (random: Random): Promise<void> => {
    const said: string[] = [];
    const say = (share: number, print: (token: string) => string): string | undefined => {
      if (!random.chance(share)) return undefined;
      const token = tokenFrom(random, tokens);
      said.push(token);
      return print(token);
    };
    const authorization = say(0.3, (token) => `${random.pick(['Bearer', 'bearer', 'Basic'])} ${token}`);
    const cookie = say(0.4, (token) => `${random.pick(['', 'a=b; '])}session=${token}; x`);
    const query = say(
      0.2,
      (token) => `a=b&${random.pick(['access_token', 'access%5Ftoken', 'ticket'])}=${token}`,
    );
    const origin = random.pick([
      undefined,
      'https://app.test',
      'http://own.test',
      'https://evil.test',
      'null',
    ]);
    const site = random.pick([undefined, 'same-origin', 'cross-site', 'none']);
    const request = {
      method: random.pick(['GET', 'POST']),
      socket: { remoteAddress: '127.0.0.1' },
      headers: {
        host: 'own.test',
        ...(authorization !== undefined && { authorization }),
        ...(cookie !== undefined && { cookie }),
        ...(origin !== undefined && { origin }),
        ...(site !== undefined && { 'sec-fetch-site': site }),
      },
    } as unknown as IncomingMessage;
    const kept = sources.takeFromQuery(request, query ?? '');
    if (/access_token=./.test(kept)) throw new Error('a service would see the token of the query');
    const caller = await authenticate(request, STREAM);
    if (caller === ANONYMOUS) return;
    const what = JSON.stringify(said);
    // A cookie may have been cut at a semicolon or a space, and a query at &.
    const isRight = said.some(
      (token) => isSigned(token.split(/[;&]/, 1)[0] as string, signed) || isSigned(token.trim(), signed),
    );
    assertSigned(caller, isRight, what);
    const byCookie = authorization === undefined && query === undefined;
    const isOwn = origin === 'https://app.test' || origin === 'http://own.test';
    const isOwnGet =
      origin === undefined && request.method === 'GET' && (site === 'same-origin' || site === 'none');
    if (byCookie && !isOwn && !isOwnGet)
      throw new Error(`the cookie of a page of ${origin} (${site}) was taken`);
  };
  const STREAM = { method: { serverStreaming: true } } as unknown as Endpoint;

  const tickets = createTickets({ broker, ttlMs: 30_000, most: 1_000 });
  let ticket = '';
  const takeTicket = async (random: Random): Promise<void> => {
    if (ticket === '')
      ({ ticket } = await tickets.issue(tokens[0] as string, verify(tokens[0] as string) as Principal));
    const tried = random.chance(0.1) ? ticket : damaged(random, ticket, URL_SAFE);
    const token = await tickets.redeem(tried);
    if (tried !== ticket) throw new Error(`${tried} was redeemed for ${ticket}`);
    ticket = '';
    if (token !== tokens[0]) throw new Error('redeemed for another token');
    await tickets.redeem(tried).then(
      () => {
        throw new Error('redeemed twice');
      },
      (thrown: unknown) => {
        if (!(thrown instanceof StatusError)) throw thrown;
      },
    );
  };

  // The keys are there before the first token comes.
  await verify(tokens.at(-1) as string);
  const unauthenticated = refusedWith();
  return {
    targets: [
      { name: 'JWS', share: 20, run: takeJws, refuses: unauthenticated },
      { name: 'tokens', share: 40, run: takeToken, refuses: unauthenticated },
      { name: 'headers', share: 10, run: takeHeader, refuses: unauthenticated },
      {
        name: 'requests',
        share: 25,
        run: takeRequest,
        // Several tokens at once, and cookies of foreign pages.
        refuses: refusedWith(Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED),
      },
      { name: 'tickets', share: 5, run: takeTicket, refuses: unauthenticated },
    ],
    problems: () => (issuer.asked > MOST_FETCHES ? [`the keys were asked for ${issuer.asked} times`] : []),
  };
}

// The refused tokens that are remembered are 10,000 to 20,000 at any time, of 0.4 KB each.
await runFuzz({ url: import.meta.url, prepare, slackMb: 8 });
