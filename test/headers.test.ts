/** Which headers pass, in both directions, and which are stripped or refused. */
import {
  request as httpRequest,
  type IncomingMessage,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http';
import { connect } from 'node:net';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULTS } from '../gateway/config/schema.js';
import { forwardedOf } from '../gateway/http/forwarded.js';
import { addVary, chosenStatus, metadataFrom, responseHeaders } from '../gateway/http/headers.js';
import { effectiveTimeout, requestId, timeoutFrom } from '../gateway/http/request.js';
import { type RunningGateway, tokenFor } from './support/gateway.js';
import { startTeller, startTellerGateway, type Teller } from './support/teller.js';

describe('metadataFrom', () => {
  test('passes end-to-end headers under their own lower-case names', () => {
    expect({
      ...metadataFrom({ 'X-Tenant': 'a', cookie: 'c=1', accept: '*/*', 'x-many': ['1', '2'] }),
    }).toEqual({
      'x-tenant': 'a',
      cookie: 'c=1',
      accept: '*/*',
      'x-many': ['1', '2'],
    });
  });

  test.each([
    'x-user-id',
    'X-User-Id',
    'X-PERMISSIONS',
    'x-auth-issued-at',
    'connection',
    'keep-alive',
    'te',
    'transfer-encoding',
    'upgrade',
    'host',
    'content-type',
    'content-length',
    'grpc-timeout',
    'Grpc-Status',
    ':path',
    'sec-websocket-key',
    'x-forwarded-for',
    'x-forwarded-client-cert',
    'X-Real-IP',
    'forwarded',
  ])('strips %s', (name) => {
    expect(Object.keys(metadataFrom({ [name]: '1' }))).toEqual([]);
  });

  test('strips what the Connection header names', () => {
    expect(Object.keys(metadataFrom({ connection: 'close, X-Hop', 'x-hop': '1', 'x-end': '1' }))).toEqual([
      'x-end',
    ]);
  });

  test.each([
    ['a value that is not ASCII', { 'x-name': 'é' }, /header x-name: only printable ASCII/],
    ['a -bin value that is not base64', { 'x-trace-bin': 'a*b' }, /header x-trace-bin: expected base64/],
    ['a -bin value of impossible length', { 'x-trace-bin': 'abcde' }, /expected base64/],
    ['a name gRPC cannot carry', { 'x!y': '1' }, /cannot receive this name/],
    ['too much', { 'x-big': 'a'.repeat(17_000) }, /more than 16384 bytes/],
  ])('refuses %s', (_, headers, message) => {
    expect(() => metadataFrom(headers)).toThrow(message);
  });

  test('over the limit is HTTP 431, at the limit it passes', () => {
    const limit = { 'x-a': 'a'.repeat(16_384 - 3) };
    expect(metadataFrom(limit)).toEqual(expect.objectContaining(limit));
    expect(() => metadataFrom({ ...limit, b: '' })).toThrow(expect.objectContaining({ http: 431, code: 8 }));
  });

  test('behind a trusted proxy, what it says of the client passes', () => {
    const headers = { 'x-real-ip': '1.2.3.4', 'x-forwarded-port': '443', forwarded: 'for=1.2.3.4' };
    expect({ ...metadataFrom(headers, 1000, { behindProxy: true }) }).toEqual({
      'x-real-ip': '1.2.3.4',
      'x-forwarded-port': '443',
    });
  });

  test('keeps __proto__ from being more than a name', () => {
    const headers = JSON.parse('{"__proto__": "x"}') as Record<string, string>;
    expect(Object.getPrototypeOf({ ...metadataFrom(headers) })).toBe(Object.prototype);
  });
});

describe('headers: grpc-gateway, into the service', () => {
  const into = (headers: Record<string, string>) => ({
    ...metadataFrom(headers, 1000, { naming: 'grpc-gateway' }),
  });

  test.each([
    ['Grpc-Metadata-X-Tenant', 'x-tenant'],
    ['grpc-metadata-trace-bin', 'trace-bin'],
    ['User-Agent', 'grpcgateway-user-agent'],
    ['content-type', 'grpcgateway-content-type'],
    ['Cookie', 'grpcgateway-cookie'],
  ])('%s passes as %s', (header, name) =>
    expect(into({ [header]: 'a' + 'aaa' })).toEqual({ [name]: 'aaaa' }),
  );

  test('Authorization passes under both names', () => {
    expect(into({ Authorization: 'Bearer t' })).toEqual({
      authorization: 'Bearer t',
      'grpcgateway-authorization': 'Bearer t',
    });
  });

  test.each([
    'x-tenant',
    'traceparent',
    'grpcgateway-cookie',
    'grpc-timeout',
    'te',
    'host',
    'Grpc-Metadata-',
    'Grpc-Metadata-X-User-Id',
    'grpc-metadata-x-permissions',
    'Grpc-Metadata-X-Auth-Issued-At',
    'Grpc-Metadata-Authorization',
    'Grpc-Metadata-Grpc-Timeout',
    'Grpc-Metadata-Host',
    'Grpc-Metadata-Connection',
    'Grpc-Metadata-Content-Type',
    'Grpc-Metadata-X-Forwarded-For',
    'Grpc-Metadata-X-Real-Ip',
    'Grpc-Metadata-X-Request-Id',
  ])('%s does not pass', (header) => expect(into({ [header]: 'a' })).toEqual({}));

  test('what cannot be metadata is refused here too', () => {
    expect(() => into({ 'grpc-metadata-x!y': 'a' })).toThrow('header "grpc-metadata-x!y": a service cannot');
    expect(() => into({ 'grpc-metadata-x': '\u00e9' })).toThrow('header x: only printable ASCII');
  });
});

describe('x-forwarded-* by trusted hops', () => {
  const seen = (headers: IncomingMessage['headers'], hops: number, encrypted = false) => {
    const socket = { remoteAddress: '10.0.0.1', encrypted };
    return forwardedOf(
      { headers: { host: 'gw:80', ...headers }, socket } as unknown as IncomingMessage,
      hops,
    );
  };

  test.each<[string, number, IncomingMessage['headers'], string]>([
    ['none: the peer is the client, whatever it says', 0, { 'x-forwarded-for': '6.6.6.6' }, '10.0.0.1'],
    ['one: what it added is the client', 1, { 'x-forwarded-for': '6.6.6.6, 1.1.1.1' }, '1.1.1.1, 10.0.0.1'],
    ['two', 2, { 'x-forwarded-for': '6.6.6.6, 1.1.1.1,2.2.2.2' }, '1.1.1.1, 2.2.2.2, 10.0.0.1'],
    ['more than there are', 5, { 'x-forwarded-for': '1.1.1.1' }, '1.1.1.1, 10.0.0.1'],
    ['one that added nothing', 1, {}, '10.0.0.1'],
    [
      'ports and brackets',
      3,
      { 'x-forwarded-for': '1.1.1.1:80, [::1]:443, ::2' },
      '1.1.1.1, ::1, ::2, 10.0.0.1',
    ],
    ['no address ends the trust', 3, { 'x-forwarded-for': '1.1.1.1, unknown, 2.2.2.2' }, '2.2.2.2, 10.0.0.1'],
    ['no address at all', 1, { 'x-forwarded-for': '<script>' }, '10.0.0.1'],
  ])('%s', (_, hops, headers, expected) => {
    expect(seen(headers, hops)['x-forwarded-for']).toBe(expected);
  });

  test.each<[number, string | undefined, boolean, string]>([
    [0, 'https', false, 'http'],
    [0, undefined, true, 'https'],
    [1, 'HTTPS', false, 'https'],
    [1, 'http, https', false, 'https'],
    [2, 'https, http', false, 'https'],
    [1, 'gopher', false, 'http'],
  ])('%i hops, x-forwarded-proto: %s', (hops, said, encrypted, expected) => {
    const headers = said === undefined ? {} : { 'x-forwarded-proto': said };
    expect(seen(headers, hops, encrypted)['x-forwarded-proto']).toBe(expected);
  });

  test.each<[number, string, string]>([
    [0, 'evil', 'gw:80'],
    [1, 'app.example.com', 'app.example.com'],
    [1, 'evil, app.example.com:8443', 'app.example.com:8443'],
    [1, '[::1]:80', '[::1]:80'],
    [1, 'a b', 'gw:80'],
    [1, 'a/b', 'gw:80'],
  ])('%i hops, x-forwarded-host: %s', (hops, said, expected) => {
    expect(seen({ 'x-forwarded-host': said }, hops)['x-forwarded-host']).toBe(expected);
  });
});

describe('responseHeaders', () => {
  test.each([
    'connection',
    'transfer-encoding',
    'trailer',
    'upgrade',
    'grpc-status',
    'content-length',
    'date',
    'x-request-id',
    'x-http-code',
    'access-control-allow-origin',
    'sec-websocket-accept',
    ':status',
    'X-Upper',
    'a b',
    '',
    'a\r\nb',
  ])('drops %j', (name) => expect(responseHeaders({ [name]: 'a', 'x-b': 'b' })).toEqual({ 'x-b': 'b' }));

  test.each(['a\r\nset-cookie: b', 'a\nb', 'a\0', '\u0100', '\x7f', '\ud800'])(
    'drops the value %j',
    (value) => {
      expect(responseHeaders({ 'x-a': value, 'x-b': [value, 'b'], 'x-c': [value] })).toEqual({
        'x-b': ['b'],
      });
    },
  );

  test.each(['', 'a\tb', 'caf\xe9'])('passes the value %j', (value) => {
    expect(responseHeaders({ 'x-a': value })).toEqual({ 'x-a': value });
  });

  test('passes 12 KiB and drops the rest', () => {
    const metadata = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`x-${i}`, 'a'.repeat(1000)]));
    expect(Object.keys(responseHeaders(metadata))).toHaveLength(12);
  });

  test('never answers what Node would not write', () => {
    const name = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('x-a', 'set-cookie', 'connection'));
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string({ unit: 'binary' })));
    fc.assert(
      fc.property(fc.dictionary(name, value), fc.constantFrom('same', 'grpc-gateway'), (metadata, naming) => {
        for (const [key, shown] of Object.entries(responseHeaders(metadata, naming as 'same'))) {
          validateHeaderName(key);
          for (const one of [shown].flat()) validateHeaderValue(key, one as string);
        }
      }),
    );
  });

  test('addVary adds a field once', () => {
    const after = (vary: string | undefined, field: string) => {
      const headers = vary === undefined ? {} : { vary };
      addVary(headers, field);
      return (headers as { vary?: string }).vary;
    };
    expect([undefined, 'Cookie', 'Accept', '*'].map((vary) => after(vary, 'accept'))).toEqual([
      'accept',
      'Cookie, accept',
      'Accept',
      '*',
    ]);
  });
});

test('responseHeaders drops what belongs to HTTP or gRPC itself', () => {
  const metadata = {
    'x-a': '1',
    'set-cookie': ['a=1', 'b=2'],
    'content-type': 'application/grpc',
    'grpc-status': '0',
    connection: 'x',
  };
  expect(responseHeaders(metadata)).toEqual({ 'x-a': '1', 'set-cookie': ['a=1', 'b=2'] });
});

describe('timeouts', () => {
  const from = (headers: IncomingMessage['headers']): number | undefined => timeoutFrom(headers);

  test.each([
    [{}, undefined],
    [{ 'grpc-timeout': '500m' }, 500],
    [{ 'grpc-timeout': '2S', 'x-server-timeout': '1.5' }, 1500],
    [{ 'connect-timeout-ms': '70' }, 70],
    [{ 'grpc-timeout': '1H' }, 3_600_000],
  ])('%o is %s ms', (headers, ms) => expect(from(headers)).toBe(ms));

  test.each([
    [{ 'grpc-timeout': '5' }, /header grpc-timeout: expected digits and a unit/],
    [{ 'grpc-timeout': '123456789S' }, /grpc-timeout/],
    [{ 'x-server-timeout': '-1' }, /header x-server-timeout: expected seconds/],
    [{ 'connect-timeout-ms': '1e3' }, /header connect-timeout-ms/],
  ])('%o is refused', (headers, message) => expect(() => from(headers)).toThrow(message));

  test('the smallest of what is asked and the maximum counts', () => {
    const timeouts = { ...DEFAULTS.timeouts, unaryMs: 30_000, maxMs: 1000 };
    expect(effectiveTimeout(undefined, undefined, timeouts)).toBe(1000);
    expect(effectiveTimeout(500, undefined, timeouts)).toBe(500);
    expect(effectiveTimeout(undefined, undefined, { ...timeouts, maxMs: 0 })).toBe(30_000);
  });
});

test('a sane request id is kept, any other is replaced', () => {
  expect(requestId('abc-1')).toBe('abc-1');
  for (const bad of [undefined, '', 'a b', 'a\nb', 'x'.repeat(129)])
    expect(requestId(bad)).toMatch(/^[0-9a-f-]{36}$/);
});

describe('around the reply of a service', () => {
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

  async function another(...flags: string[]): Promise<RunningGateway> {
    const started = await startTellerGateway(teller, flags);
    others.push(started);
    return started;
  }

  interface Answer {
    readonly status: number | undefined;
    readonly headers: IncomingMessage['headers'];
    readonly trailers: IncomingMessage['trailers'];
    readonly body: string;
  }

  function ask(
    path: string,
    headers: Record<string, string> = {},
    at = gateway,
    method = 'GET',
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = httpRequest({ port: at.port, path, method, headers, agent: false }, (answer) => {
        let body = '';
        answer.on('data', (chunk) => (body += chunk)).on('error', reject);
        answer.on('end', () => {
          resolve({ status: answer.statusCode, headers: answer.headers, trailers: answer.trailers, body });
        });
      });
      sent.on('error', reject).end();
    });
  }

  const TE = { te: 'trailers', connection: 'te' };

  describe('trailers', () => {
    beforeEach(() => {
      teller.telling = {
        headers: { 'x-a': 'head' },
        trailers: { 'x-a': 'tail', 'x-b': 'b', 'set-cookie': 'c=1' },
      };
    });

    test('with TE: trailers they come after the body, announced', async () => {
      for (const te of ['trailers', 'deflate, Trailers']) {
        const { headers, trailers, body } = await ask('/v1/tell', { te });
        expect(headers).toMatchObject({ 'x-a': 'head', 'transfer-encoding': 'chunked', trailer: 'x-a, x-b' });
        expect(trailers).toEqual({ 'x-a': 'tail', 'x-b': 'b' });
        expect(body).toBe('{"text":"hi"}');
      }
    });

    test('without, they are headers, and a trailer has the last word', async () => {
      for (const headers of [{}, { te: 'gzip' }, { te: 'trailersx' }]) {
        const answer = await ask('/v1/tell', headers as Record<string, string>);
        expect(answer.headers).toMatchObject({ 'x-a': 'tail', 'x-b': 'b', 'content-length': '13' });
        expect(answer.headers).not.toHaveProperty('trailer');
        expect(answer.trailers).toEqual({});
      }
    });

    test('what has to be known before the body is a header in any case', async () => {
      expect((await ask('/v1/tell', TE)).headers['set-cookie']).toEqual(['c=1']);
    });

    test('HTTP/1.0 and HEAD have none', async () => {
      const text = await new Promise<string>((resolve) => {
        let all = '';
        const socket = connect(gateway.port, '127.0.0.1', () => {
          socket.write('GET /v1/tell HTTP/1.0\r\nte: trailers\r\n\r\n');
        });
        socket.on('data', (chunk) => (all += String(chunk))).on('close', () => resolve(all));
      });
      expect(text).toMatch(/x-b: b\r\n[\s\S]*\r\n\r\n\{"text":"hi"\}$/);
      const head = await ask('/v1/tell', TE, gateway, 'HEAD');
      expect(head.headers).toMatchObject({ 'x-b': 'b' });
      expect(head.trailers).toEqual({});
    });

    test('of a refused call they are treated alike', async () => {
      teller.telling = { code: 5, message: 'no', trailers: { 'x-b': 'b', 'retry-after': '7' } };
      expect(await ask('/v1/tell')).toMatchObject({ status: 404, headers: { 'x-b': 'b' }, trailers: {} });
      const { status, headers, trailers } = await ask('/v1/tell', TE);
      expect([status, headers['retry-after'], headers['x-b'], trailers]).toEqual([
        404,
        '7',
        undefined,
        { 'x-b': 'b' },
      ]);
    });

    test.each(['application/x-ndjson', 'application/json'])(
      'end a stream of %s, if asked for',
      async (accept) => {
        const { trailers } = await ask('/v1/tell:on', { ...TE, accept });
        expect(trailers).toEqual({ 'x-a': 'tail', 'x-b': 'b' });
        const plain = await ask('/v1/tell:on', { accept });
        expect([plain.headers['x-a'], plain.headers['x-b'], plain.trailers]).toEqual(['head', undefined, {}]);
      },
    );

    test('end a stream of lines that fails', async () => {
      teller.telling = { texts: ['a'], code: 9, message: 'no', trailers: { 'x-b': 'b' } };
      expect((await ask('/v1/tell:on', TE)).trailers).toEqual({ 'x-b': 'b' });
    });
  });

  describe('headers: grpc-gateway', () => {
    test('headers come with Grpc-Metadata-, trailers with Grpc-Trailer- where they are asked for', async () => {
      const at = await another('--headers', 'grpc-gateway');
      teller.telling = { headers: { 'x-a': '1' }, trailers: { 'x-b': '2' } };
      const asked = await ask('/v1/tell', TE, at);
      expect(asked.headers).toMatchObject({ 'grpc-metadata-x-a': '1', trailer: 'grpc-trailer-x-b' });
      expect(asked.trailers).toEqual({ 'grpc-trailer-x-b': '2' });
      const plain = await ask('/v1/tell', {}, at);
      expect(plain.headers).toHaveProperty('content-length');
      expect(JSON.stringify(plain)).not.toMatch(/x-b/);
      teller.telling = { code: 5, message: 'no', trailers: { 'x-b': '2' } };
      expect((await ask('/v1/tell', TE, at)).trailers).toEqual({ 'grpc-trailer-x-b': '2' });
    });

    test('the service sees who the caller is from the token alone', async () => {
      const at = await another('--headers', 'grpc-gateway');
      const forged = {
        'Grpc-Metadata-X-User-Id': 'root',
        'x-user-id': 'root',
        'grpc-metadata-x-tenant': 't',
      };
      await ask('/v1/tell', forged, at);
      expect(teller.seen).toMatchObject({ 'x-tenant': 't' });
      expect(teller.seen).not.toHaveProperty('x-user-id');
      await ask('/v1/tell', { ...forged, authorization: `Bearer ${tokenFor('u1')}` }, at);
      expect(teller.seen['x-user-id']).toBe('u1');
    });
  });

  describe('x-http-code', () => {
    let at: RunningGateway;
    beforeEach(async () => {
      at = await startTellerGateway(teller, [], ({ upstreams, ...config }) => ({
        ...config,
        upstreams: upstreams.map((upstream) => ({ ...upstream, trusted: true })),
      }));
      others.push(at);
    });

    test.each([200, 201, 202, 301, 404, 418, 499])('of a trusted service is the status: %i', async (code) => {
      teller.telling = { headers: { 'x-http-code': String(code), location: '/v1/other' } };
      const answer = await ask('/v1/tell', {}, at);
      expect(answer).toMatchObject({
        status: code,
        body: '{"text":"hi"}',
        headers: { location: '/v1/other' },
      });
      expect(answer.headers).not.toHaveProperty('x-http-code');
      teller.telling = { trailers: { 'x-http-code': String(code) } };
      expect((await ask('/v1/tell', {}, at)).status).toBe(code);
    });

    test.each([204, 304])('%i has no body', async (code) => {
      teller.telling = { headers: { 'x-http-code': String(code) } };
      const answer = await ask('/v1/tell', {}, at);
      expect(answer).toMatchObject({ status: code, body: '' });
      expect(answer.headers).not.toHaveProperty('content-type');
    });

    test.each(['100', '199', '500', '503', '600', '20', '0200', '2e2', 'abc', ''])(
      '%j is no choice',
      async (code) => {
        teller.telling = { headers: { 'x-http-code': code } };
        const answer = await ask('/v1/tell', {}, at);
        expect(answer.status).toBe(200);
        expect(answer.headers).not.toHaveProperty('x-http-code');
      },
    );

    test('of a service that is not trusted is dropped', async () => {
      teller.telling = { headers: { 'x-http-code': '302' }, trailers: { 'x-http-code': '302' } };
      const answer = await ask('/v1/tell');
      expect(answer.status).toBe(200);
      expect(answer.headers).not.toHaveProperty('x-http-code');
    });

    test('of a refused call stays an error', async () => {
      const status = async (code: string, gate = at) => {
        teller.telling = { code: 5, message: 'no', trailers: { 'x-http-code': code } };
        const answer = await ask('/v1/tell', {}, gate);
        expect(answer.headers).not.toHaveProperty('x-http-code');
        return answer.status;
      };
      expect([await status('410'), await status('200'), await status('302'), await status('503')]).toEqual([
        410, 404, 404, 404,
      ]);
      expect(await status('410', gateway)).toBe(404);
    });

    test('of a refused call may come before its status', async () => {
      const headers = { 'x-http-code': '410', 'x-a': 'head', 'x-b': 'head' };
      teller.telling = {
        answer(stream) {
          stream.respond(
            { ':status': 200, 'content-type': 'application/grpc', ...headers },
            { waitForTrailers: true },
          );
          stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '5', 'x-b': 'tail' }));
          stream.end();
        },
      };
      expect(await ask('/v1/tell', {}, at)).toMatchObject({
        status: 410,
        headers: { 'x-a': 'head', 'x-b': 'tail' },
      });
    });

    test('of a stream is dropped: its status tells only that it began', async () => {
      teller.telling = { headers: { 'x-http-code': '404' }, trailers: { 'x-http-code': '404' } };
      for (const accept of ['application/json', 'text/event-stream']) {
        const { status, headers, body } = await ask('/v1/tell:on', { accept }, at);
        expect([status, headers['x-http-code'], body.includes('x-http-code')]).toEqual([
          200,
          undefined,
          false,
        ]);
      }
    });

    test('is in a range: from what is asked for to 499', () => {
      const upstream = { name: 'a', address: 'a:1', services: [], trusted: true };
      expect(chosenStatus({ 'x-http-code': '404' }, 200, upstream)).toBe(404);
      expect(chosenStatus({ 'x-http-code': '302' }, 400, upstream)).toBeUndefined();
      expect(chosenStatus({ 'x-http-code': ['404', '404'] }, 200, upstream)).toBeUndefined();
      expect(chosenStatus({ 'x-http-code': '404' }, 200, undefined)).toBeUndefined();
    });
  });

  test('metadata that HTTP/1.1 refuses never breaks the reply, nor the error', async () => {
    const odd = { 'x-a': 'caf\xe9', 'x-ok': '1', te: 'trailers', date: 'x', 'x-bin': '/w==' };
    teller.telling = { headers: odd, trailers: { ...odd, 'x-long': 'a'.repeat(13_000) } };
    const passed = { 'x-ok': '1', 'x-bin': '/w==' };
    for (const path of ['/v1/tell', '/v1/tell:on']) {
      for (const headers of [{}, { te: 'trailers' }])
        expect(await ask(path, headers)).toMatchObject({ status: 200, headers: passed });
    }
    teller.telling = { ...teller.telling, code: 9, message: 'a\r\nb\u0100' };
    expect(await ask('/v1/tell')).toMatchObject({ status: 400, headers: passed });
  });

  test('what a service says of other origins is not for it to say', async () => {
    teller.telling = { headers: { 'access-control-allow-origin': '*' } };
    expect((await ask('/v1/tell', { origin: 'https://a.example' })).headers).not.toHaveProperty(
      'access-control-allow-origin',
    );
  });

  test('metadata over the limit is 431, and so is a header block', async () => {
    const at = await another('--header-limit', '4KiB');
    for (const [path, size] of [
      ['/v1/tell', 4000],
      ['/v1/tell', 5000],
    ] as const) {
      const { status } = await ask(path, { 'x-a': 'a'.repeat(size) }, at);
      expect(status).toBe(size < 4096 ? 200 : 431);
    }
  });

  test('trusted hops tell the service who asked', async () => {
    const at = await another('--trusted-hops', '1');
    const headers = {
      'x-forwarded-for': '6.6.6.6, 1.2.3.4',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'app.example.com',
      forwarded: 'for=6.6.6.6',
    };
    await ask('/v1/tell', headers, at);
    expect(teller.seen).toMatchObject({
      'x-forwarded-for': '1.2.3.4, 127.0.0.1',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'app.example.com',
    });
    expect(teller.seen).not.toHaveProperty('forwarded');
    await ask('/v1/tell', headers);
    expect(teller.seen).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': expect.stringMatching(/^localhost:\d+$/),
    });
  });
});
