/** Profiles as clients of a running gateway see them: methods, slashes, forms, bodies, streams and deadlines. */
import { get, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../gateway/config.js';
import { createGateway } from '../gateway/gateway.js';
import { PROFILES, type Profile } from '../gateway/profile.js';
import { PROBE_PROTO, type Probe, startProbe } from './support/probe.js';

interface Served {
  readonly port: number;
  readonly ask: (request: string, init?: RequestInit) => Promise<Response>;
  close(): Promise<void>;
}

let probe: Probe;
const byProfile = new Map<Profile, Served>();

async function serve(profile: Profile, yaml = '{}'): Promise<Served> {
  const flags = ['--dev', '--port', '0', '--log-level', 'silent', '--drain', '1s', '--proto', PROBE_PROTO];
  const argv = [...flags, '--upstream', probe.address, '--profile', profile, '--config', 'x.yaml'];
  const gateway = await createGateway(loadConfig({ argv, env: {}, readFile: () => yaml }));
  const { port } = await gateway.listen();
  return {
    port,
    ask: (request, init = {}) => {
      const [method = '', path = ''] = request.split(' ');
      return fetch(`http://127.0.0.1:${port}${path}`, { method, redirect: 'manual', ...init });
    },
    close: () => gateway.close(),
  };
}

beforeAll(async () => {
  probe = await startProbe();
  await Promise.all(PROFILES.map(async (profile) => byProfile.set(profile, await serve(profile))));
});
afterAll(async () => {
  await Promise.all([...byProfile.values()].map((served) => served.close()));
  probe.kill();
});

const at = (profile: Profile): Served => byProfile.get(profile) as Served;
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
const JSON_BODY = { 'content-type': 'application/json' };

describe('http.wrongMethod', () => {
  test.each([
    ['default', 405],
    ['grpc-gateway', 501],
    ['envoy', 405],
  ] as const)(
    'a known path, another method, under %s: %i with Allow and code 12',
    async (profile, status) => {
      const refused = await at(profile).ask('DELETE /v1/probe/ok');
      expect(refused.status).toBe(status);
      expect(refused.headers.get('allow')).toBe('GET, HEAD, OPTIONS');
      expect(await refused.json()).toMatchObject({ code: 12 });
      expect((await at(profile).ask('GET /v1/probe/ok')).status).toBe(200);
      expect((await at(profile).ask('OPTIONS /v1/probe/ok')).status).toBe(204);
    },
  );

  test.each(PROFILES)('an unknown path under %s: 404', async (profile) => {
    expect((await at(profile).ask('GET /v2/probe')).status).toBe(404);
  });
});

describe('http.trailingSlash', () => {
  test.each([
    ['default', 404],
    ['grpc-gateway', 404],
    ['envoy', 200],
  ] as const)('of a path with one, under %s: %i', async (profile, status) => {
    expect((await at(profile).ask('GET /v1/probe/ok/')).status).toBe(status);
  });

  test('redirect keeps method and query, leads to known paths alone, and to no other host', async () => {
    const served = await serve('default', 'http: { trailingSlash: redirect }');
    const sent = await served.ask('PUT /v1/probe//?count=1');
    expect([sent.status, sent.headers.get('location')]).toEqual([308, '/v1/probe?count=1']);
    expect((await served.ask('DELETE /v1/probe/ok/')).headers.get('location')).toBe('/v1/probe/ok');
    expect((await served.ask('GET /v2/')).status).toBe(404);
    expect((await served.ask('GET //evil.example/')).status).toBe(404);
    expect((await served.ask('GET /v1/probe/ok')).status).toBe(200);
    await served.close();
  });
});

describe('http.uncleanPaths', () => {
  /** As it is, since fetch cleans dots itself. */
  const raw = async (served: Served, request: string): Promise<string> => {
    const [method = '', path = ''] = request.split(' ');
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { port } = served;
      get({ host: '127.0.0.1', port, method, path }, resolve).once('error', reject);
    });
    answer.resume();
    return `${answer.statusCode} ${answer.headers.location ?? ''}`.trimEnd();
  };
  const PATHS: readonly [request: string, rejected: string, redirected: string][] = [
    ['GET /v1//probe/ok?count=1', '404', '301 /v1/probe/ok?count=1'],
    ['PUT //v1/probe', '404', '301 /v1/probe'],
    ['GET /v1/./probe/ok', '400', '301 /v1/probe/ok'],
    ['GET /v1/x/../probe/ok', '400', '301 /v1/probe/ok'],
    ['GET /v1/x/%2e%2E/probe/o%6B', '400', '301 /v1/probe/o%6B'],
    ['GET /v1/probe/ok//', '404', '301 /v1/probe/ok/'],
    ['GET /v1/probe/ok/.', '400', '301 /v1/probe/ok'],
    ['GET /../../..', '400', '301 /'],
    ['GET //', '404', '301 /'],
    ['GET //nobody.example', '404', '301 /nobody.example'],
    ['GET /.//nobody.example', '400', '301 /nobody.example'],
    ['GET /./\\nobody.example', '400', '301 /%5Cnobody.example'],
    ['GET /v1//probe#x', '404', '301 /v1/probe%23x'],
    ['GET /v1//%2F%2Fx', '404', '301 /v1/%2F%2Fx'],
    ['GET /v1//probe/%zz', '400', '400'],
    ['GET /v1//probe/%ff', '400', '400'],
    ['GET /v1/probe/ok', '200', '200'],
    ['GET /v1/probe/...', '200', '200'],
    ['GET /v1/probe/ok/', '404', '404'],
    ['GET /', '404', '404'],
    ['GET /healthz', '200', '200'],
  ];

  test.each(PROFILES)('no profile redirects a path with empty segments or dots: %s', async (profile) => {
    expect(await raw(at(profile), 'GET /v1//probe/ok')).toBe('404');
    expect(await raw(at(profile), 'GET /v1/x/../probe/ok')).toBe('400');
  });

  test('redirect leads to the path without them, of this host, and serves nothing before', async () => {
    const served = await serve('default', 'http: { uncleanPaths: redirect }');
    for (const [request, rejected, redirected] of PATHS) {
      expect(await raw(at('default'), request), request).toBe(rejected);
      expect(await raw(served, request), request).toBe(redirected);
    }
    await served.close();
  });
});

describe('http.jsonDialect', () => {
  const put = async (served: Served, body: string | Buffer): Promise<unknown> => {
    const answer = await served.ask('PUT /v1/probe', { body, headers: JSON_BODY });
    const { text, sequence } = (await answer.json()) as { text?: string; sequence?: string };
    return answer.status === 200 ? [sequence ?? '0', text ?? ''] : answer.status;
  };
  const sum = async (served: Served, body: string): Promise<unknown> => {
    const answer = await served.ask('POST /v1/sum', { body, headers: JSON_BODY });
    return answer.status === 200 ? ((await answer.json()) as { sequence: string }).sequence : answer.status;
  };
  let v1: Served;
  beforeAll(async () => {
    v1 = await serve('grpc-gateway', 'http: { jsonDialect: jsonpb }');
  });
  afterAll(() => v1.close());

  const EMPTY = ['0', ''];
  test.each<readonly [string | Buffer, unknown, unknown, unknown]>([
    ['{"text":"x"} behind', 400, ['0', 'x'], ['0', 'x']],
    [' \r\n', 400, EMPTY, EMPTY],
    ['null', 400, 400, EMPTY],
    ['null null', 400, 400, EMPTY],
    ['nul', 400, 400, 400],
    ['{"text":"x","text":"y"}', 400, 400, ['0', 'y']],
    [Buffer.from('{"text":"\xff"}', 'latin1'), 400, 400, ['0', '\ufffd']],
    ['{"sequence":9007199254740993}', 400, ['9007199254740993', ''], ['9007199254740993', '']],
    ['{"sequence":1.0}', ['1', ''], ['1', ''], 400],
  ])('of the body %j', async (body, strict, protojson, jsonpb) => {
    expect(await put(at('default'), body)).toEqual(strict);
    expect(await put(at('envoy'), body)).toEqual(strict);
    expect(await put(at('grpc-gateway'), body)).toEqual(protojson);
    expect(await put(v1, body)).toEqual(jsonpb);
  });

  test('of the messages of a client stream', async () => {
    const body = '{"sequence":9007199254740992}\nnull\n{"sequence":1,"sequence":2}';
    expect(await sum(at('default'), body)).toBe(400);
    expect(await sum(at('grpc-gateway'), body)).toBe(400);
    expect(await sum(at('grpc-gateway'), '{"sequence":9007199254740992}\n\n')).toBe('9007199254740992');
    expect(await sum(v1, body)).toBe('9007199254740994');
    expect(await sum(v1, '{"sequence":1} behind')).toBe(400);
  });

  test('of a body that is protobuf or empty: none', async () => {
    for (const served of [v1, at('default')]) {
      expect(await put(served, '')).toEqual(EMPTY);
      const headers = { 'content-type': 'application/x-protobuf' };
      expect((await served.ask('PUT /v1/probe', { body: '\x12\x09x', headers })).status).toBe(400);
    }
  });
});

describe('http.formOverride', () => {
  const post = (profile: Profile, request: string, body: string, headers: Record<string, string> = FORM) =>
    at(profile).ask(`POST ${request}`, { body, headers });

  test('a form by POST reaches the GET route, its fields after the query, under grpc-gateway', async () => {
    const taken = await post('grpc-gateway', '/v1/probe/ok?bytes=1', 'count=2');
    expect([taken.status, await taken.json()]).toMatchObject([200, { text: 'ok' }]);
    const refused = await post('grpc-gateway', '/v1/probe/ok', 'count=many');
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      message: expect.stringContaining('query parameter "count"'),
    });
    expect((await post('grpc-gateway', '/v1/probe/ok?count=1', 'count=2')).status, 'given twice').toBe(400);
    const stream = await post('grpc-gateway', '/v1/probe/some:watch', 'count=2');
    expect((await stream.text()).trim().split('\n')).toHaveLength(2);
  });

  test.each(['default', 'envoy'] as const)('it does not under %s', async (profile) => {
    expect((await post(profile, '/v1/probe/ok', 'count=2')).status).toBe(405);
  });

  test('no other body, no other method and no header overrides the method, under grpc-gateway', async () => {
    expect((await post('grpc-gateway', '/v1/probe/ok', '{}', JSON_BODY)).status).toBe(501);
    expect(
      (await at('grpc-gateway').ask('PUT /v1/probe/ok', { body: 'count=2', headers: FORM })).status,
    ).toBe(501);
    const overridden = { ...FORM, 'x-http-method-override': 'PUT' };
    expect((await post('grpc-gateway', '/v1/probe', 'text=x', overridden)).status).toBe(501);
    expect((await post('grpc-gateway', '/v2/probe', 'a=b')).status).toBe(404);
  });

  test.each(PROFILES)('the header X-HTTP-Method-Override changes nothing under %s', async (profile) => {
    const answer = await at(profile).ask('GET /v1/probe/ok', {
      headers: { 'x-http-method-override': 'DELETE' },
    });
    expect(answer.status).toBe(200);
  });

  test('a form that is too large is 413', async () => {
    expect((await post('grpc-gateway', '/v1/probe/ok', `a=${'x'.repeat(5_000_000)}`)).status).toBe(413);
  });
});

describe('http.contentTypes', () => {
  const put = (profile: Profile, type: string, body = '{"text":"x"}') =>
    at(profile).ask('PUT /v1/probe', { body, headers: { 'content-type': type } });

  test.each([
    ['default', 415],
    ['grpc-gateway', 200],
    ['envoy', 200],
  ] as const)('of a JSON body that says it is something else, under %s: %i', async (profile, status) => {
    expect((await put(profile, 'application/x-www-form-urlencoded')).status).toBe(status);
    expect((await put(profile, 'text/plain; charset=latin1')).status).toBe(status);
    const lines = { body: '{"sequence":"1"}\n{"sequence":"2"}', headers: { 'content-type': 'text/plain' } };
    expect((await at(profile).ask('POST /v1/sum', lines)).status).toBe(status);
  });

  test.each(PROFILES)(
    'protobuf stays protobuf, and what is no JSON is refused, under %s',
    async (profile) => {
      expect((await put(profile, 'application/x-protobuf', '\x12\x01x')).status).toBe(200);
      expect((await put(profile, 'application/json', 'text=x')).status).toBe(400);
    },
  );
});

describe('http.streams', () => {
  const watch = (profile: Profile, mode: string, accept?: string) =>
    at(profile).ask(
      `GET /v1/probe/${mode}:watch?count=2`,
      accept === undefined ? {} : { headers: { accept } },
    );
  /** The messages of a stream, without what the profile says of defaults. */
  const texts = (values: readonly unknown[]): unknown[] =>
    values.map((value) => (value as { sequence: string }).sequence);
  const linesOf = async (response: Response): Promise<unknown[]> =>
    (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);

  test('bare under default: lines, or one array for who asks', async () => {
    const lines = await watch('default', 'some');
    expect(lines.headers.get('content-type')).toBe('application/x-ndjson');
    expect(texts(await linesOf(lines))).toEqual(['1', '2']);
    expect(texts((await (await watch('default', 'some', 'application/json')).json()) as unknown[])).toEqual([
      '1',
      '2',
    ]);
  });

  test.each([undefined, 'application/json', 'application/x-ndjson'])(
    'result under grpc-gateway, for Accept %s',
    async (accept) => {
      const lines = await watch('grpc-gateway', 'some', accept);
      expect(lines.headers.get('content-type')).toBe('application/json');
      expect(texts((await linesOf(lines)).map((line) => (line as { result: unknown }).result))).toEqual([
        '1',
        '2',
      ]);
    },
  );

  test('a failure after the head is a line with an error under grpc-gateway', async () => {
    const lines = await linesOf(await watch('grpc-gateway', 'fail-late'));
    expect(lines.at(-1)).toMatchObject({ error: { code: 9, message: 'the probe refuses' } });
    expect(lines.slice(0, -1).every((line) => 'result' in (line as object))).toBe(true);
  });

  test('array under envoy, or lines for who asks; a failure cuts it', async () => {
    const array = await watch('envoy', 'some');
    expect(array.headers.get('content-type')).toBe('application/json');
    expect(texts((await array.json()) as unknown[])).toEqual(['1', '2']);
    expect(texts(await linesOf(await watch('envoy', 'some', 'application/x-ndjson')))).toEqual(['1', '2']);
    await expect((await watch('envoy', 'fail-late')).text()).rejects.toThrow();
  });

  test.each(PROFILES)(
    'a stream that is refused is an HTTP status, and events are events, under %s',
    async (profile) => {
      const refused = await watch(profile, 'fail');
      expect(refused.status).toBe(400);
      const body = await refused.json();
      expect(body).toMatchObject(profile === 'grpc-gateway' ? { error: { code: 9 } } : { code: 9 });
      const events = await watch(profile, 'some', 'text/event-stream');
      expect(events.headers.get('content-type')).toBe('text/event-stream');
      expect(await events.text()).toMatch(/event: ?message/);
    },
  );
});

describe('http.requestInfo and http.headers', () => {
  test.each([
    ['default', true],
    ['grpc-gateway', false],
    ['envoy', false],
  ] as const)('errors under %s carry the request id as a detail: %s', async (profile, carried) => {
    const { details } = (await (await at(profile).ask('GET /v2')).json()) as {
      details: { '@type': string }[];
    };
    expect(details.some((detail) => detail['@type'].endsWith('google.rpc.RequestInfo'))).toBe(carried);
  });

  test('headers reach the service under the names that the profile gives them', async () => {
    const seen = async (profile: Profile): Promise<Record<string, string>> => {
      const headers = { 'grpc-metadata-tenant': 'a', 'x-tenant': 'b' };
      const answer = await at(profile).ask('GET /v1/probe/ok', { headers });
      return ((await answer.json()) as { seen: Record<string, string> }).seen;
    };
    expect(await seen('default')).toMatchObject({ 'x-tenant': 'b' });
    expect(await seen('envoy')).toMatchObject({ 'x-tenant': 'b' });
    const mapped = await seen('grpc-gateway');
    expect(mapped).toMatchObject({ tenant: 'a' });
    expect(mapped).not.toHaveProperty('x-tenant');
  });
});

describe('http.errors: grpc-gateway-v1', () => {
  const V1 = 'http: { errors: grpc-gateway-v1, requestInfo: false }';
  let served: Served;
  beforeAll(async () => {
    served = await serve('default', V1);
  });
  afterAll(() => served.close());

  test('says the message twice, the code, and details if there are any', async () => {
    const unknown = await served.ask('GET /v2');
    expect([unknown.status, await unknown.json()]).toEqual([
      404,
      { error: 'no route for /v2', message: 'no route for /v2', code: 5 },
    ]);
    const refused = await served.ask('GET /v1/probe/fail');
    expect([refused.status, await refused.json()]).toMatchObject([
      412,
      { error: 'the probe refuses', code: 9, details: [{ fieldViolations: [{ field: 'mode' }] }] },
    ]);
  });

  test('has statuses of its own for two codes alone', async () => {
    expect((await served.ask('GET /v1/probe/unknown')).status).toBe(500);
    expect((await served.ask('DELETE /v1/probe/ok')).status).toBe(405);
    expect((await served.ask('GET /v1/probe/ok?nope=1')).status).toBe(400);
    expect((await at('grpc-gateway').ask('GET /v1/probe/fail')).status).toBe(400);
  });
});

describe('maxTimeoutMs of a route', () => {
  const YAML =
    'routes: [{ match: "GET /v1/probe/{mode}", maxTimeoutMs: 100 }, { match: probe.v1.ProbeService/Watch, maxTimeoutMs: 150 }]';
  let served: Served;
  beforeAll(async () => {
    served = await serve('default', YAML);
  });
  afterAll(() => served.close());

  test('ends a call that asks for more, or for nothing', async () => {
    for (const headers of [{}, { 'grpc-timeout': '10S' }]) {
      const started = performance.now();
      expect((await served.ask('GET /v1/probe/silent', { headers })).status).toBe(504);
      expect(performance.now() - started).toBeLessThan(2000);
    }
    expect((await served.ask('GET /v1/probe/ok')).status).toBe(200);
  });

  test('ends a stream too', async () => {
    const text = await (await served.ask('GET /v1/probe/open:watch')).text();
    expect(JSON.parse(text.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ error: { code: 4 } });
  });
});
