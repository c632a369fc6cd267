/** Errors as HTTP clients see them: their shapes, headers and details, whoever made them. */
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { badRequest, requestInfo, retryInfo } from '../src/details.js';
import { type RunningGateway, tokenFor } from './support/gateway.js';
import { startTeller, startTellerGateway, type Teller, type Telling } from './support/teller.js';

let teller: Teller;
let gateway: RunningGateway;
const others: RunningGateway[] = [];
beforeAll(async () => {
  teller = await startTeller();
  gateway = await startTellerGateway(teller);
});
beforeEach(() => {
  teller.telling = {};
});
afterEach(async () => {
  for (const other of others.splice(0)) await other.close();
});
afterAll(async () => {
  await gateway.close();
  await teller.server.stop();
});

/** A gateway with other settings, for one test. */
async function another(...flags: string[]): Promise<RunningGateway> {
  const started = await startTellerGateway(teller, flags);
  others.push(started);
  return started;
}

type Headers = Readonly<Record<string, string>>;

function get(path: string, headers: Headers = {}, at: RunningGateway = gateway): Promise<Response> {
  return fetch(`http://127.0.0.1:${at.port}${path}`, { headers });
}

interface Body {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Readonly<Record<string, unknown>>[];
}

const bodyOf = async (answer: Response): Promise<Body> => (await answer.json()) as Body;

/** What comes back for bytes that no client library sends. */
function raw(bytes: string, at: RunningGateway = gateway): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(at.port, '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text)).on('error', reject);
  });
}

const TYPE = 'type.googleapis.com/google.rpc.';
const MISSING: Telling = {
  code: 5,
  message: 'no such thing',
  details: [badRequest([{ field: 'text', description: 'x' }])],
};
const VIOLATION = { '@type': `${TYPE}BadRequest`, fieldViolations: [{ field: 'text', description: 'x' }] };

describe('errors: status', () => {
  test('is google.rpc.Status as application/json, of a service and of the gateway', async () => {
    teller.telling = MISSING;
    const answer = await get('/v1/tell', { 'x-request-id': 'r-1' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/json']);
    expect(await answer.json()).toEqual({
      code: 5,
      message: 'no such thing',
      details: [VIOLATION, { '@type': `${TYPE}RequestInfo`, requestId: 'r-1' }],
    });
    expect(await bodyOf(await get('/v1/nowhere'))).toMatchObject({
      code: 5,
      message: 'no route for /v1/nowhere',
    });
  });

  test('differs by Accept, and says so to caches', async () => {
    teller.telling = { ...MISSING, trailers: { vary: 'Cookie' } };
    expect((await get('/v1/tell')).headers.get('vary')).toBe('Cookie, accept');
    expect((await get('/v1/nowhere')).headers.get('vary')).toBe('accept');
  });
});

describe('errors: google', () => {
  test('is the error object of Google APIs, with HTTP status and name of the code', async () => {
    teller.telling = MISSING;
    const answer = await get('/v1/tell', { 'x-request-id': 'r-2' }, await another('--errors', 'google'));
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/json']);
    expect(await answer.json()).toEqual({
      error: {
        code: 404,
        message: 'no such thing',
        status: 'NOT_FOUND',
        details: [VIOLATION, { '@type': `${TYPE}RequestInfo`, requestId: 'r-2' }],
      },
    });
  });

  test('has the status that is really sent, where HTTP has a more exact one', async () => {
    const { port } = await another('--errors', 'google');
    const answer = await fetch(`http://127.0.0.1:${port}/v1/tell`, { method: 'DELETE' });
    expect(answer.status).toBe(405);
    expect(await answer.json()).toMatchObject({ error: { code: 405, status: 'UNIMPLEMENTED' } });
  });
});

describe('errors: problem', () => {
  const PROBLEM = {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: 'no such thing',
    instance: '/v1/tell#r-3',
    code: 5,
    details: [VIOLATION],
  };

  test('is RFC 9457, with the request id in its instance and not in its details', async () => {
    teller.telling = MISSING;
    const answer = await get(
      '/v1/tell?text=a',
      { 'x-request-id': 'r-3' },
      await another('--errors', 'problem'),
    );
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
    expect(answer.headers.get('x-request-id')).toBe('r-3');
    expect(await answer.json()).toEqual(PROBLEM);
  });

  test.each([
    'application/problem+json',
    'application/json, application/problem+json',
    'application/json;q=0.9, Application/Problem+JSON;q=0.1',
  ])('is chosen by Accept: %s', async (accept) => {
    teller.telling = MISSING;
    const answer = await get('/v1/tell', { accept, 'x-request-id': 'r-3' });
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toEqual(PROBLEM);
  });

  test.each([
    '*/*',
    'application/*',
    'application/json',
    'application/problem+json;q=0',
    'application/problem+jsonx',
  ])('is not chosen by Accept: %s', async (accept) => {
    teller.telling = MISSING;
    const answer = await get('/v1/tell', { accept });
    expect(answer.headers.get('content-type')).toBe('application/json');
  });

  test('has a title for a status that HTTP does not know', async () => {
    teller.telling = { code: 1, message: 'left' };
    const answer = await get('/v1/tell', { accept: 'application/problem+json' });
    expect(await answer.json()).toMatchObject({ status: 499, title: 'Client Closed Request' });
  });

  test('has an instance that is a URI, whatever the path and the id', async () => {
    const head =
      'GET /v1/"<cafe>?a=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept: application/problem+json\r\n';
    const text = await raw(`${head}x-request-id: a:b/c=\r\n\r\n`);
    const { instance } = JSON.parse(text.slice(text.indexOf('{'))) as { instance: string };
    expect(instance).toMatch(/^\/v1\/%22%3Ccafe%3E#a:b\/c=$/);
    expect(new URL(instance, 'http://a').hash).toBe('#a:b/c=');
  });
});

describe('a stream that fails after it began', () => {
  const LATE: Telling = { texts: ['a'], code: 8, message: 'enough', headers: { 'x-a': '1' } };
  const ENOUGH = {
    code: 8,
    message: 'enough',
    details: [{ '@type': `${TYPE}RequestInfo`, requestId: 'r-4' }],
  };

  test.each(['status', 'google', 'problem'])(
    'ends its lines with google.rpc.Status (errors: %s)',
    async (errors) => {
      teller.telling = LATE;
      const answer = await get('/v1/tell:on', { 'x-request-id': 'r-4' }, await another('--errors', errors));
      const lines = (await answer.text()).trim().split('\n');
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([{ text: 'a' }, { error: ENOUGH }]);
    },
  );

  test.each(['status', 'problem'])('ends its events with google.rpc.Status (errors: %s)', async (errors) => {
    teller.telling = LATE;
    const headers = { 'x-request-id': 'r-4', accept: 'text/event-stream, application/problem+json' };
    const text = await (await get('/v1/tell:on', headers, await another('--errors', errors))).text();
    const [, data] = /event: ?end\ndata: ?(.*)\n/.exec(text) ?? [];
    expect(JSON.parse(data as string)).toEqual(ENOUGH);
  });

  test('is cut as an array, so that it cannot look complete', async () => {
    teller.telling = LATE;
    const answer = await get('/v1/tell:on', { accept: 'application/json' });
    await expect(answer.text()).rejects.toThrow();
  });

  test('is an HTTP status when it fails before the first message', async () => {
    teller.telling = { code: 8, message: 'enough' };
    expect((await get('/v1/tell:on', { accept: 'text/event-stream' })).status).toBe(429);
  });
});

describe('every 400 of the gateway carries BadRequest field violations', () => {
  const post = (body: string | Buffer, headers: Headers = { 'content-type': 'application/json' }) => ({
    method: 'POST',
    body,
    headers,
  });
  test.each<[string, string, RequestInit, string]>([
    ['a path', '/v1/%zz', {}, 'path segment 2'],
    ['a query parameter', '/v1/tell?txt=1', {}, 'txt'],
    ['too many parameters', `/v1/tell?${'text=1&'.repeat(1001)}`, {}, 'query'],
    ['a header name', '/v1/tell', { headers: { 'x!y': '1' } }, 'header "x!y"'],
    ['a header value', '/v1/tell', { headers: { 'x-a': '\xe9' } }, 'header x-a'],
    ['a -bin header', '/v1/tell', { headers: { 'x-bin': '*' } }, 'header x-bin'],
    ['a timeout', '/v1/tell', { headers: { 'grpc-timeout': '5' } }, 'header grpc-timeout'],
    ['a timeout', '/v1/tell', { headers: { 'x-server-timeout': '-1' } }, 'header x-server-timeout'],
    ['a timeout', '/v1/tell', { headers: { 'connect-timeout-ms': '1e3' } }, 'header connect-timeout-ms'],
    ['JSON text', '/v1/tell', post('{'), 'body'],
    ['UTF-8', '/v1/tell', post(Buffer.from([0x22, 0xff, 0x22])), 'body'],
    ['an unknown field', '/v1/tell', post('{"txt":1}'), 'txt'],
    ['a wrong type', '/v1/tell', post('{"text":1}'), 'text'],
    [
      'protobuf bytes',
      '/v1/tell',
      post(Buffer.from([10, 9]), { 'content-type': 'application/x-protobuf' }),
      'body',
    ],
    [
      'an encoded body',
      '/v1/tell',
      post('{}', { 'content-type': 'application/json', 'content-encoding': 'gzip' }),
      'body',
    ],
  ])('%s at %s', async (_, path, init, field) => {
    const answer = await fetch(`http://127.0.0.1:${gateway.port}${path}`, init);
    const { code, details } = await bodyOf(answer);
    expect([answer.status, code]).toEqual([400, 3]);
    expect(details[0]).toEqual({
      '@type': `${TYPE}BadRequest`,
      fieldViolations: [{ field, description: expect.stringMatching(/.../) }],
    });
  });

  test('also for what is no HTTP, in the configured shape and with a request id', async () => {
    const text = await raw('GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n');
    const [head, body] = text.split('\r\n\r\n') as [string, string];
    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    const id = /x-request-id: (.*)/.exec(head)?.[1] as string;
    expect(JSON.parse(body)).toEqual({
      code: 3,
      message: 'headers: not valid HTTP',
      details: [
        {
          '@type': `${TYPE}BadRequest`,
          fieldViolations: [{ field: 'headers', description: 'not valid HTTP' }],
        },
        { '@type': `${TYPE}RequestInfo`, requestId: id },
      ],
    });
    const problem = await raw('what\r\n\r\n', await another('--errors', 'problem'));
    expect(problem).toMatch(/content-type: application\/problem\+json[\s\S]*"status":400/);
  });

  test('and one of a service is left as it is', async () => {
    teller.telling = { code: 3, message: 'bad' };
    expect((await bodyOf(await get('/v1/tell'))).details.map((detail) => detail['@type'])).toEqual([
      `${TYPE}RequestInfo`,
    ]);
  });
});

describe('the request id is in every error', () => {
  test('as header and as google.rpc.RequestInfo, the same in both', async () => {
    const answer = await get('/v1/nowhere');
    const id = answer.headers.get('x-request-id');
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect((await bodyOf(answer)).details).toEqual([{ '@type': `${TYPE}RequestInfo`, requestId: id }]);
  });

  test('but not a second time beside the RequestInfo of a service', async () => {
    teller.telling = { ...MISSING, details: [requestInfo('its-own')] };
    const answer = await get('/v1/tell', { 'x-request-id': 'r-5' });
    expect(answer.headers.get('x-request-id')).toBe('r-5');
    expect((await bodyOf(answer)).details).toEqual([{ '@type': `${TYPE}RequestInfo`, requestId: 'its-own' }]);
  });

  test('in the header alone, where the configuration wants no RequestInfo', async () => {
    teller.telling = { code: 5, message: 'gone' };
    const answer = await get('/v1/tell', { 'x-request-id': 'r-6' }, await another('--no-request-info'));
    expect(answer.headers.get('x-request-id')).toBe('r-6');
    expect(await answer.text()).toBe('{"code":5,"message":"gone","details":[]}');
  });
});

describe('an error detail of unknown type never hides the error', () => {
  const unknown = { typeUrl: 'type.example.com/no.such.Type', value: Buffer.from([255, 1, 2]) };
  const broken = { typeUrl: `${TYPE}RetryInfo`, value: Buffer.from([255]) };

  test.each(['status', 'google', 'problem'])('errors: %s', async (errors) => {
    teller.telling = {
      code: 9,
      message: 'no',
      details: [unknown, broken, { typeUrl: '', value: Buffer.alloc(0) }],
    };
    const answer = await get('/v1/tell', {}, await another('--errors', errors));
    expect(answer.status).toBe(400);
    expect(answer.headers.get('retry-after')).toBeNull();
    const text = await answer.text();
    expect(text).toContain('{"@type":"type.example.com/no.such.Type","value":"/wEC"}');
    expect(text).toContain(`{"@type":"${TYPE}RetryInfo","value":"/w=="}`);
  });

  test('nor do details that are no google.rpc.Status, or of another code', async () => {
    for (const bin of ['!', 'AAAA', '/////w==', 'CAU=']) {
      teller.telling = { code: 9, message: 'no', trailers: { 'grpc-status-details-bin': bin } };
      expect(await bodyOf(await get('/v1/tell'))).toMatchObject({ code: 9, message: 'no' });
    }
  });
});

describe('Retry-After comes from RetryInfo', () => {
  test.each([
    [8, 429, 1500, '2'],
    [14, 503, 30_000, '30'],
    [14, 503, 0, '1'],
  ])('code %i, HTTP %i: %i ms', async (code, status, ms, seconds) => {
    teller.telling = { code, message: 'later', details: [retryInfo(ms)] };
    const answer = await get('/v1/tell');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, seconds]);
  });

  test('and from nothing else', async () => {
    teller.telling = { code: 14, message: 'later' };
    expect((await get('/v1/tell')).headers.get('retry-after')).toBeNull();
  });
});

describe('WWW-Authenticate (RFC 6750 section 3)', () => {
  const challenge = async (path: string, headers: Headers = {}): Promise<[number, string | null]> => {
    const answer = await get(path, headers);
    return [answer.status, answer.headers.get('www-authenticate')];
  };
  const bearer = (...permissions: string[]) => ({ authorization: `Bearer ${tokenFor('u1', permissions)}` });

  test('no token: a challenge without an error', async () => {
    expect(await challenge('/v1/secret')).toEqual([401, 'Bearer realm="api"']);
  });

  test('another scheme is no token', async () => {
    expect(await challenge('/v1/secret', { authorization: 'Basic dTpw' })).toEqual([
      401,
      'Bearer realm="api"',
    ]);
  });

  test('a bad token: invalid_token and what is wrong with it', async () => {
    expect(await challenge('/v1/secret', { authorization: 'Bearer a.b.c' })).toEqual([
      401,
      'Bearer error="invalid_token", error_description="token is malformed"',
    ]);
  });

  test('too few permissions: insufficient_scope and the missing ones', async () => {
    expect(await challenge('/v1/secret', bearer('secrets:read'))).toEqual([
      403,
      'Bearer error="insufficient_scope", error_description="missing permission: secrets:tell", scope="secrets:tell"',
    ]);
    expect((await challenge('/v1/secret', bearer('secrets:*')))[0]).toBe(200);
  });

  test('a missing role: insufficient_scope, but roles are no scopes', async () => {
    expect(await challenge('/v1/clerks', bearer())).toEqual([
      403,
      'Bearer error="insufficient_scope", error_description="missing role: clerk"',
    ]);
  });

  test('a service that refuses a valid token says it in its own words, or not at all', async () => {
    teller.telling = { code: 16, message: 'session "x" ended\u00e9', trailers: { 'x-a': '1' } };
    expect(await challenge('/v1/tell', bearer())).toEqual([
      401,
      `Bearer error="invalid_token", error_description="session 'x' ended'"`,
    ]);
    teller.telling = { code: 16, message: 'no', trailers: { 'www-authenticate': 'Basic realm="inner"' } };
    expect(await challenge('/v1/tell')).toEqual([401, 'Basic realm="inner"']);
    teller.telling = { code: 7, message: 'not yours' };
    expect(await challenge('/v1/tell', bearer())).toEqual([403, null]);
  });
});

test('an answer without a body has its trailers as headers, and the next answer is in its place', async () => {
  teller.telling = { trailers: { 'x-late': 'yes' } };
  const started = await another('--etag');
  const ask = 'GET /v1/tell HTTP/1.1\r\nhost: a\r\nte: trailers\r\n';
  const text = await new Promise<string>((resolve) => {
    let got = '';
    const socket = connect(started.port, '127.0.0.1', () =>
      socket.write(`${ask}if-none-match: *\r\n\r\n${ask}connection: close\r\n\r\n`),
    );
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(got));
  });
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 304', 'HTTP/1.1 200']);
  expect(text.slice(0, text.indexOf('HTTP/1.1 200'))).toMatch(/\r\nx-late: yes\r\n/);
  expect(text.slice(0, text.indexOf('HTTP/1.1 200'))).not.toMatch(/\r\ntrailer:/i);
});
