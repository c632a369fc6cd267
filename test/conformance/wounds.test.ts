/** The wounds of other gateways, each by its name: what has hurt somebody in production must not hurt here. */
import { request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { startGateway, tokenFor } from '../support/gateway.js';
import { startHttp2Server } from '../support/raw_server.js';
import {
  type Answer,
  ask,
  type Door,
  ECHO_PROTO,
  jsonOf,
  metadataIn,
  requestIn,
  startDoor,
} from './rules.js';

let door: Door;
beforeAll(async () => {
  // What the parsers make of the longest URLs is the question here.
  door = await startDoor('--url-limit', '0');
});
afterAll(() => door.close());

/** How many calls the service has had when a test begins. */
let before = 0;
beforeEach(() => {
  before = door.service.reached.length;
});
const reached = (): readonly string[] => door.service.reached.slice(before);
const refusal = (answer: Answer): [number, unknown] => [answer.status, jsonOf(answer).code];

describe('a query that overrides a path-bound id', () => {
  test.each([
    'GET /f/5?id=6',
    'GET /f/5?id=5&id=6',
    'GET /f/5?i%64=6',
    'GET /f/5/child?child.id=6',
    'DELETE /f/5?id=6',
    'DELETE /f/5?id=',
    'PATCH /f/5/child?id=6',
    'POST /f/5/inner?child.id=6',
  ])('%s', async (send) => {
    expect(refusal(await door.ask({ send }))).toEqual([400, 3]);
    expect(reached()).toEqual([]);
  });

  test.each<[string, object]>([
    ['POST /f/5/all', { id: '6' }],
    ['POST /f/5/inner', { id: '6' }],
    ['POST /f/5/inner', { child: { id: '6' }, id: '' }],
  ])('nor a body: %s %j', async (send, body) => {
    expect(refusal(await door.ask({ send, body }))).toEqual([400, 3]);
    expect(reached()).toEqual([]);
  });

  test('nor the second of two equal names in a JSON body', async () => {
    const answer = await door.ask({ send: 'POST /f/5/all', body: '{"id":"5","id":"6"}' });
    expect(refusal(answer)).toEqual([400, 3]);
  });

  test('nor what a protobuf body says twice', async () => {
    const body = Buffer.concat([door.encode('Thing', { id: '5' }), door.encode('Thing', { id: '6' })]);
    const answer = await door.ask({ send: 'POST /f/5/all', type: 'application/x-protobuf', body });
    expect(refusal(answer)).toEqual([400, 3]);
  });

  test('nor where the query is not read at all', async () => {
    expect(requestIn(await door.ask({ send: 'POST /f/5/all?id=6', body: {} }))).toEqual({ id: '5' });
  });
});

describe('a oneof sibling that clears it', () => {
  test('in the query', async () => {
    expect(refusal(await door.ask({ send: 'GET /t/oneof/visa?cash=1' }))).toEqual([400, 3]);
    expect(refusal(await door.ask({ send: 'GET /t/oneof/visa?barter.id=1' }))).toEqual([400, 3]);
    expect(reached()).toEqual([]);
  });

  test('in the body', async () => {
    for (const body of [{ cash: '1' }, { cash: 0 }, { barter: {} }, { barter: { id: 'x' } }]) {
      expect(refusal(await door.ask({ send: 'POST /t/oneof/visa', body }))).toEqual([400, 3]);
    }
    const bytes = door.encode('Thing', { cash: '1' });
    const answer = await door.ask({
      send: 'POST /t/oneof/visa',
      type: 'application/x-protobuf',
      body: bytes,
    });
    expect(refusal(answer)).toEqual([400, 3]);
    expect(reached()).toEqual([]);
  });
});

describe('method override by header', () => {
  const names = ['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-method'];
  test('reaches no other method', async () => {
    for (const name of names) {
      expect((await door.ask({ send: 'POST /f/5', headers: { [name]: 'DELETE' } })).status).toBe(405);
      const got = await door.ask({ send: 'GET /t/head/x', headers: { [name]: 'HEAD' } });
      expect(requestIn(got)).toEqual({ id: 'x' });
    }
  });
});

describe('%2F or .. past a permission check', () => {
  test.each([
    '/t/../secret/x',
    '/t/files/../../secret/x',
    '/t/files/..%2f..%2fsecret/x',
    '/t/files/%2e%2e/%2e%2e/secret/x',
    '/t%2F..%2Fsecret/x',
    '/secret%2Fx',
    '//secret/x',
    '/./secret/x',
    '/secret/./x',
    '/%73ecret/x',
    '/secret/x%2F..%2F..%2Ft%2F5',
    '/secret/x;/t/5',
    '/secret/x?/t/5',
    '/SECRET/x',
    '/secret/x%00',
    '/secret\\x',
    'http://127.0.0.1/secret/x',
  ])('%s', async (path) => {
    const answer = await door.ask({ send: `GET ${path}` });
    expect(reached()).not.toContain('FailSecret');
    expect(reached()).not.toContain('Fail');
    // What is let through is another route's, which takes the text as it is.
    if (answer.status === 200) expect(JSON.stringify(requestIn(answer))).toMatch(/%2f/i);
    else expect([400, 401, 404]).toContain(answer.status);
  });

  test('while the path as it is meant reaches it with the permission', async () => {
    const headers = { authorization: `Bearer ${tokenFor('u1', ['secrets:read'])}` };
    for (const path of ['/secret/x', '/%73ecret/x']) await door.ask({ send: `GET ${path}`, headers });
    expect(reached()).toEqual(['Fail', 'Fail']);
  });
});

describe('forged identity headers', () => {
  test.each(['x-user-id', 'X-User-ID', 'x-permissions', 'x-auth-issued-at', 'X_User_Id'])(
    '%s',
    async (name) => {
      const metadata = metadataIn(await door.ask({ send: 'GET /t/5', headers: { [name]: 'forged' } }));
      const lower = name.toLowerCase();
      if (lower.includes('_')) expect(metadata).toMatchObject({ [lower]: 'forged' });
      else expect(Object.values(metadata)).not.toContain('forged');
      expect(metadata).not.toHaveProperty('x-user-id');
    },
  );

  test('beside a token: the token counts, once', async () => {
    const authorization = `Bearer ${tokenFor('u1', ['a:b'])}`;
    const headers = { authorization, 'x-user-id': ['root', 'root'], 'x-permissions': '*' };
    const metadata = metadataIn(await door.ask({ send: 'GET /t/5', headers }));
    expect(metadata).toMatchObject({ 'x-user-id': 'u1', 'x-permissions': 'a:b' });
  });

  test('as what Connection takes away again', async () => {
    const headers = { authorization: `Bearer ${tokenFor('u1')}`, connection: 'close, x-user-id' };
    expect(metadataIn(await door.ask({ send: 'GET /t/5', headers }))).toMatchObject({ 'x-user-id': 'u1' });
  });
});

test('an error detail of unknown type that hides the error', async () => {
  const body = { code: 5, message: 'gone', detailType: 'type.googleapis.com/no.Such', detailValue: '/w==' };
  const answer = await door.ask({ send: 'POST /fail', body });
  expect(refusal(answer)).toEqual([404, 5]);
  expect(jsonOf(answer)).toMatchObject({
    message: 'gone',
    details: expect.arrayContaining([{ '@type': 'type.googleapis.com/no.Such', value: '/w==' }]) as unknown,
  });
});

describe('a broken stream that looks complete', () => {
  test('NDJSON', async () => {
    const answer = await door.ask({ send: 'GET /stream?count=2&code=13' });
    const last = JSON.parse(answer.text.trimEnd().split('\n').at(-1) as string) as object;
    expect(last).toMatchObject({ error: { code: 13 } });
  });

  test('a JSON array', async () => {
    const headers = { accept: 'application/json' };
    const answer = await door.ask({ send: 'GET /stream?count=2&code=13', headers });
    expect(answer.complete).toBe(false);
    expect(() => JSON.parse(answer.text) as unknown).toThrow();
  });

  test('events', async () => {
    const answer = await door.ask({
      send: 'GET /stream?count=2&code=13',
      headers: { accept: 'text/event-stream' },
    });
    expect(answer.text).toMatch(/event: ?end\ndata: ?\{"code":13/);
  });

  test.each<[string, Record<string, string>, boolean]>([
    ['its client leaves', {}, true],
    ['its deadline passes', { 'grpc-timeout': '150m' }, false],
  ])('an upload, to the service: %s', async (_, headers, leaves) => {
    const events: string[] = [];
    const server = await startHttp2Server((stream) => {
      for (const name of ['data', 'end', 'aborted']) stream.on(name, () => events.push(name));
    });
    const gateway = await startGateway(server.address, ['--proto', ECHO_PROTO]);
    const options = { host: '127.0.0.1', port: gateway.port, method: 'POST', path: '/collect', headers };
    const upload = request({ ...options, agent: false }, (response) => response.resume());
    upload.on('error', () => undefined).write('{"number":1}\n');
    await vi.waitFor(() => expect(events).toEqual(['data']), { interval: 5 });
    if (leaves) upload.destroy();
    await vi.waitFor(() => expect(events).toContain('aborted'), { interval: 5 });
    expect(events.slice(0, 2)).toEqual(['data', 'aborted']);
    upload.destroy();
    await gateway.close();
    await server.stop();
  });

  test('a message that cannot be shown', async () => {
    const server = await startHttp2Server((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const frame = (...bytes: number[]) => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);
      stream.end(Buffer.concat([frame(24, 1), frame(10, 1, 255), frame(24, 3)]));
    });
    const gateway = await startGateway(server.address, ['--proto', ECHO_PROTO]);
    const lines = await ask(gateway.port, { send: 'GET /stream' });
    expect(lines.text).toMatch(/^\{"number":1\}\n\{"error":\{"code":13,.*\}\n$/);
    const array = await ask(gateway.port, { send: 'GET /stream', headers: { accept: 'application/json' } });
    expect(array.complete).toBe(false);
    await gateway.close();
    await server.stop();
  });
});

describe('JSON and query bombs', () => {
  /** Milliseconds of one refusal; all of these are refused. */
  const refuse = async (send: string, body?: string): Promise<number> => {
    const started = performance.now();
    const answer = await door.ask({ send, ...(body === undefined ? {} : { body }) });
    expect([400, 413, 431], answer.text.slice(0, 200)).toContain(answer.status);
    expect(answer.text.length).toBeLessThan(2000);
    return performance.now() - started;
  };
  const many = (count: number, each: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => each(i));

  test.each<[string, string]>([
    ['depth of objects', `${'{"child":'.repeat(100_000)}{}${'}'.repeat(100_000)}`],
    ['depth of arrays', `{"list":${'['.repeat(500_000)}`],
    ['depth of a Struct', `{"extra":${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}}`],
    [
      'depth of an Any',
      `{"any":${'{"@type":"type.googleapis.com/google.protobuf.Any","value":'.repeat(200)}{}${'}'.repeat(200)}}`,
    ],
    ['count of unknown members', `{${many(200_000, (i) => `"x${i}":0`).join()}}`],
    ['a number of a million digits', `{"bigNumber":"${'9'.repeat(1_000_000)}"}`],
    ['an exponent', '{"bigNumber":"1e999999999"}'],
    ['brackets that never close', '{"child":'.repeat(400_000)],
  ])('%s', async (_, body) => {
    expect(await refuse('POST /f', body)).toBeLessThan(4000);
  });

  test.each<[string, string]>([
    ['depth', `${'child.'.repeat(2000)}id=x`],
    ['count', many(2500, () => 'n=1').join('&')],
    ['a name of brackets', `labels${'['.repeat(8000)}=x`],
    ['a Struct in the query', `extra=${'%7B%22a%22:'.repeat(1000)}`],
    ['escapes', `id=${'%'.repeat(9000)}`],
    ['a path of prototypes', '__proto__.polluted=x'],
    ['a constructor', 'constructor.prototype.polluted=x'],
  ])('a query of %s', async (_, query) => {
    expect(await refuse(`GET /f?${query}`)).toBeLessThan(2000);
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
  });

  test('a path of slashes, colons or escapes', async () => {
    for (const piece of ['/a', ':a', '%2F', '/..a', '/%2e']) {
      const started = performance.now();
      await door.ask({ send: `GET /t${piece.repeat(12_000 / piece.length)}` });
      expect(performance.now() - started).toBeLessThan(1000);
    }
  });

  test('names of a prototype are names like others', async () => {
    const body = '{"labels":{"__proto__":"x","constructor":"y"},"extra":{"__proto__":{"polluted":1}}}';
    const answer = await door.ask({ send: 'POST /f', body });
    expect(String(jsonOf(answer).request)).toContain('"constructor":"y"');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('decompression bombs', () => {
  const rssMb = (): number => process.memoryUsage().rss / 1024 ** 2;
  const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024, 32), { level: 9 });

  test('in a request', async () => {
    const start = rssMb();
    const headers = { 'content-encoding': 'gzip' };
    const answer = await door.ask({ send: 'POST /f', headers, body: bomb });
    expect(answer.status).toBe(413);
    const stream = await door.ask({ send: 'POST /collect', headers, body: bomb });
    expect(stream.status).toBe(413);
    expect(rssMb() - start).toBeLessThan(150);
  });

  test('in a reply', async () => {
    const server = await startHttp2Server((stream) => {
      const head = { ':status': 200, 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' };
      stream.respond(head, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const frame = Buffer.alloc(5 + bomb.length);
      frame[0] = 1;
      frame.writeUInt32BE(bomb.length, 1);
      bomb.copy(frame, 5);
      stream.end(frame);
    });
    const gateway = await startGateway(server.address, ['--proto', ECHO_PROTO]);
    const start = rssMb();
    const answer = await ask(gateway.port, { send: 'GET /t/5' });
    expect([429, 500]).toContain(answer.status);
    expect(rssMb() - start).toBeLessThan(150);
    await gateway.close();
    await server.stop();
  });
});

describe('a reply of 200 with an empty body at a depth limit', () => {
  /** A field of wire type 2 whose length takes three bytes, whatever it is. */
  const wrap = (tag: readonly number[], bytes: Buffer): Buffer => {
    const { length } = bytes;
    return Buffer.concat([
      Buffer.of(...tag, (length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14),
      bytes,
    ]);
  };
  const child = [154, 1];
  const nested = (levels: number, level: (inside: Buffer) => Buffer): Buffer => {
    let bytes: Buffer = Buffer.alloc(0);
    for (let n = 0; n < levels; n++) bytes = level(bytes);
    return bytes;
  };

  test.each([98, 99, 100, 101, 150, 1000, 3000])('%d levels', async (levels) => {
    const thing = nested(levels, (inside) => wrap(child, inside));
    const answer = await door.ask({ send: 'POST /out', body: { thing: thing.toString('base64') } });
    if (answer.status === 200) expect(answer.text.split('"child"').length - 1).toBe(levels);
    else expect(refusal(answer)).toEqual([500, 13]);
    expect(answer.status).toBe(levels < 100 ? 200 : 500);
  });

  test.each([30, 90, 120])('nor in a Struct of %d levels', async (levels) => {
    // Struct.fields is a map: an entry of key and Value, whose field 5 is a Struct.
    const entry = (inside: Buffer) => Buffer.concat([Buffer.of(10, 1, 97), wrap([18], wrap([42], inside))]);
    const struct = nested(levels, (inside) => wrap([10], entry(inside)));
    const thing = wrap([250, 1], struct);
    const answer = await door.ask({ send: 'POST /out', body: { thing: thing.toString('base64') } });
    if (answer.status === 200) expect(answer.text.split('"a"').length - 1).toBe(levels);
    else expect(refusal(answer)).toEqual([500, 13]);
    expect(answer.status).toBe(levels === 120 ? 500 : 200);
  });
});

describe('internals in error texts', () => {
  /** Stack frames, names of our files and libraries, JavaScript's own errors, addresses. */
  const INSIDES =
    /node_modules|node:|\bat \w+ \(|\.[tj]s\b|TypeError|RangeError|SyntaxError|Unexpected token|undefined|\[object|grpc-js|bufbuild|protobuf-es|zod|127\.0\.0\.1|ECONN|RST_STREAM/;
  const bodies = [
    '{',
    '[]',
    '"x"',
    '{"child":[]}',
    '{"number":{}}',
    '{"any":{"@type":1}}',
    '{"extra":1}',
    '\u0000',
  ];
  const asked = [
    ...[
      '/t/%zz',
      '/t/../x',
      '/f?x=1',
      '/f?number=x',
      '/f?extra={',
      '/nothing',
      '/secret/x',
      '/t/x/pages/y',
    ].map((path) => ({ send: `GET ${path}` })),
    ...bodies.map((body) => ({ send: 'POST /f', body })),
    ...bodies.filter((body) => body !== '[]').map((body) => ({ send: 'POST /collect', body })),
    { send: 'POST /f', type: 'application/x-protobuf', body: Buffer.of(255) },
    { send: 'POST /f', type: 'text/plain', body: 'x' },
    { send: 'POST /f', headers: { 'content-encoding': 'gzip' }, body: 'no gzip' },
    { send: 'POST /out', body: { thing: '/w==' } },
    { send: 'GET /secret/x', headers: { authorization: 'Bearer a.b.c' } },
    { send: 'GET /t/5', headers: { 'grpc-timeout': 'x' } },
    { send: 'GET /wait', headers: { 'grpc-timeout': '20m' } },
  ];
  test.each(
    asked.map((each) => [`${each.send} ${'body' in each ? JSON.stringify(each.body) : ''}`, each] as const),
  )('%s', async (_, each) => {
    const answer = await door.ask(each);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    const { message } = jsonOf(answer);
    expect(message).toEqual(expect.stringMatching(/^[^\n]{3,300}$/));
    expect(answer.text).not.toMatch(INSIDES);
  });
});
