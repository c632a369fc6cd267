/** The gateway's HTTP as raw clients see it: what is refused and how, what passes, and how it starts and stops. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type RunningGateway, startGateway, tokenFor } from './support/gateway.js';
import { freePort, type Probe, startProbe } from './support/probe.js';

let probe: Probe;
let gateway: RunningGateway;
beforeAll(async () => {
  probe = await startProbe();
  gateway = await startGateway(probe.address);
});
afterAll(async () => {
  await gateway.close();
  probe.kill();
});

const url = (path: string): string => `http://127.0.0.1:${gateway.port}${path}`;

/** Sends bytes as they are; resolves with all that comes back until the gateway closes or `quiet` ms pass. */
function raw(bytes: string | Buffer, quiet = 400): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(gateway.port, '127.0.0.1', () => socket.write(bytes));
    socket.setTimeout(quiet, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text)).on('error', reject);
  });
}

interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly details: readonly unknown[];
}

const json = { 'content-type': 'application/json' };

describe('what is refused', () => {
  test.each([
    ['an unknown path', 'GET', '/v1/nothing', 404, 5, /no route for \/v1\/nothing/],
    [
      'another method of a known path',
      'DELETE',
      '/v1/probe/ok',
      405,
      12,
      /DELETE is not allowed here; allowed: GET, HEAD, OPTIONS/,
    ],
    ['a malformed escape', 'GET', '/v1/probe/%zz', 400, 3, /path/],
    ['an unknown parameter', 'GET', '/v1/probe/ok?cuont=1', 400, 3, /query parameter "cuont"/],
    [
      'a parameter of the wrong type',
      'GET',
      '/v1/probe/ok?count=many',
      400,
      3,
      /query parameter "count": expected an int32/,
    ],
    ['another value for what the path sets', 'GET', '/v1/probe/ok?mode=fail', 400, 3, /mode/],
    ['malformed JSON', 'PUT', '/v1/probe', 400, 3, /body: invalid JSON at line 1 column 10/, '{"text": }'],
    ['an unknown field', 'PUT', '/v1/probe', 400, 3, /body \/txt: no such field/, '{"txt":""}'],
    ['a wrong type', 'PUT', '/v1/probe', 400, 3, /body \/seen\/a: expected a string/, '{"seen":{"a":1}}'],
    [
      'a number that JSON cannot carry exactly',
      'PUT',
      '/v1/probe',
      400,
      3,
      /body \/sequence: .*string/,
      '{"sequence":9007199254740993}',
    ],
  ])('%s', async (_, method, path, status, code, message, body?: string) => {
    const answer = await fetch(url(path), {
      method,
      ...(body === undefined ? {} : { body, headers: json }),
    });
    const error = (await answer.json()) as ErrorBody;
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('x-request-id')).toMatch(/./);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test('a path that climbs, which no client library sends', async () => {
    for (const path of ['/v1/probe/..', '/v1/probe/%2e%2E', '/v1/../v1/probe/ok']) {
      expect(await raw(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 400 [\s\S]*path segment/,
      );
    }
  });

  test('a body that is not UTF-8', async () => {
    const answer = await fetch(url('/v1/probe'), {
      method: 'PUT',
      body: Buffer.from('{"text":"\xff"}', 'latin1'),
    });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorBody).message).toMatch(/body.*UTF-8/);
  });

  test('a body of a type that it cannot read, with the ones that it can', async () => {
    const answer = await fetch(url('/v1/probe'), {
      method: 'PUT',
      body: 'a=1',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(answer.status).toBe(415);
    expect(answer.headers.get('accept-post')).toBe('application/json, application/x-protobuf');
  });

  test('a protobuf body that is no message of the type', async () => {
    const answer = await fetch(url('/v1/probe'), {
      method: 'PUT',
      body: Buffer.from([0x12, 0x7f, 0x61]),
      headers: { 'content-type': 'application/x-protobuf' },
    });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorBody).message).toMatch(/body: .*probe\.v1\.Event/);
  });

  test('a body over the limit, announced or not', async () => {
    const announced = await fetch(url('/v1/probe'), { method: 'PUT', body: Buffer.alloc(5 << 20, 'a') });
    expect(announced.status).toBe(413);
    const chunk = `${(1 << 20).toString(16)}\r\n${'a'.repeat(1 << 20)}\r\n`;
    const head = 'PUT /v1/probe HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';
    expect(await raw(head + chunk.repeat(5))).toMatch(/^HTTP\/1\.1 413 [\s\S]*larger than 4194304 bytes/);
  });

  test('headers over the limit, and what is no HTTP at all', async () => {
    expect(await raw(`GET / HTTP/1.1\r\nhost: a\r\nx-a: ${'a'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 /,
    );
    expect(await raw('\x16\x03\x01 what\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*not valid HTTP/);
  });

  test('a token that is not valid, with the challenge of RFC 6750', async () => {
    const answer = await fetch(url('/v1/probe/ok'), { headers: { authorization: 'Bearer a.b.c' } });
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toMatch(
      /^Bearer error="invalid_token", error_description="[^"]+"$/,
    );
  });

  test('a caller without a token before the body is read', async () => {
    const head = 'GET /v1/secret/ok HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n';
    expect(await raw(head)).toMatch(/^HTTP\/1\.1 401 /);
  });
});

describe('what passes', () => {
  test('headers reach the service, but for who the caller is', async () => {
    const answer = await fetch(url('/v1/probe/ok'), {
      headers: {
        'X-Tenant': 'north',
        'X-User-Id': 'root',
        'x-permissions': '*',
        'x-request-id': 'abc-1',
        authorization: `Bearer ${tokenFor('u1', ['a:b'])}`,
      },
    });
    const { seen } = (await answer.json()) as { seen: Record<string, string> };
    expect(seen).toMatchObject({
      'x-tenant': 'north',
      'x-user-id': 'u1',
      'x-permissions': 'a:b',
      'x-request-id': 'abc-1',
    });
    expect(seen['x-auth-issued-at']).toMatch(/^\d{10}$/);
    expect(answer.headers.get('x-request-id')).toBe('abc-1');
  });

  test('nobody is nobody, whatever the client says', async () => {
    const answer = await fetch(url('/v1/probe/ok'), {
      headers: { 'x-user-id': 'root', 'X-PERMISSIONS': '*' },
    });
    const { seen } = (await answer.json()) as { seen: Record<string, string> };
    expect(Object.keys(seen).filter((name) => /^x-(user|perm|auth)/.test(name))).toEqual([]);
  });

  test('protobuf both ways, byte for byte', async () => {
    const message = Buffer.from([0x08, 0x07, 0x12, 0x02, 0x68, 0x69]);
    const headers = { 'content-type': 'application/x-protobuf', accept: 'application/x-protobuf' };
    const answer = await fetch(url('/v1/probe'), { method: 'PUT', body: message, headers });
    expect(answer.headers.get('content-type')).toBe('application/x-protobuf');
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(message);
  });

  test('OPTIONS is answered from the table, HEAD is GET without the body', async () => {
    const options = await fetch(url('/v1/probe/ok'), { method: 'OPTIONS' });
    expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
    const head = await fetch(url('/v1/probe/ok'), { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(Number(head.headers.get('content-length'))).toBeGreaterThan(10);
    expect(await head.text()).toBe('');
    const stream = await fetch(url('/v1/probe/open:watch'), {
      method: 'HEAD',
      headers: { accept: 'text/event-stream' },
    });
    expect(stream.status).toBe(200);
  });

  test('a method without a route of its own, by its name', async () => {
    const answer = await fetch(url('/probe.v1.ProbeService/Get'), {
      method: 'POST',
      body: '{"mode":"by name"}',
      headers: json,
    });
    expect(await answer.json()).toMatchObject({ text: 'by name' });
  });

  test('a stream from the client, as lines, as values or as an array', async () => {
    for (const body of [
      '{"sequence":1}\n{"sequence":2}\n',
      '{"sequence":1} {"sequence":2}',
      '[{"sequence":1},{"sequence":2}]',
      '',
    ]) {
      const answer = await fetch(url('/v1/sum'), {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      });
      expect(await answer.json()).toEqual(body === '' ? { text: 'sum' } : { sequence: '3', text: 'sum' });
    }
  });

  test('a stream from the client that the service refuses before its end', async () => {
    const answer = await fetch(url('/v1/sum'), {
      method: 'POST',
      body: `{"sequence":-1}\n${'{"sequence":1}\n'.repeat(50_000)}`,
      headers: json,
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: 9, message: 'the probe refuses' });
  });

  test('a broken value in a stream from the client, naming which', async () => {
    const answer = await fetch(url('/v1/sum'), {
      method: 'POST',
      body: '{"sequence":1}\n{"sequence":"x"}\n',
      headers: json,
    });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorBody).message).toMatch(
      /^message 2: body \/sequence: expected an int64/,
    );
  });

  test('a request that offers HTTP/2 in vain, with its body', async () => {
    const text = await raw(
      'PUT /v1/probe HTTP/1.1\r\nhost: a\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\ncontent-length: 13\r\n\r\n{"text":"hi"}',
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 [\s\S]*\{"text":"hi"\}$/);
  });

  test('a target with its origin', async () => {
    expect(await raw(`GET http://any.host/v1/probe/ok HTTP/1.1\r\nhost: any.host\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 200 /,
    );
  });

  test('many requests on one connection, in order', async () => {
    const text = await raw(
      'GET /v1/probe/a HTTP/1.1\r\nhost: a\r\n\r\nGET /v1/probe/b HTTP/1.1\r\nhost: a\r\n\r\n',
    );
    expect([...text.matchAll(/"text":"(\w)"/g)].map(([, letter]) => letter)).toEqual(['a', 'b']);
  });
});

describe('Server-Sent Events', () => {
  const events = (path: string, headers: Record<string, string> = {}) =>
    fetch(url(path), { headers: { accept: 'text/event-stream', ...headers } });

  test('a heartbeat comes on a quiet stream, at the pace of the contract', async () => {
    const answer = await events('/v1/probe/silent:watch');
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
    let text = '';
    while (!text.includes(': hb')) text += Buffer.from((await reader.read()).value ?? []).toString();
    await reader.cancel();
    expect(text).toMatch(/"heartbeatMs":1000/);
  });

  test('an EventSource that comes back after the end is told to stay away', async () => {
    expect((await events('/v1/probe/ok:watch', { 'last-event-id': 'end' })).status).toBe(204);
  });

  test('the least preferred format is not chosen', async () => {
    const answer = await events('/v1/probe/ok:watch', {
      accept: 'text/event-stream;q=0.1, application/x-ndjson',
    });
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
  });

  test('a method that answers once answers JSON', async () => {
    expect((await events('/v1/probe/ok')).headers.get('content-type')).toBe('application/json');
  });
});

describe('life', () => {
  test('health, readiness and metrics', async () => {
    expect((await fetch(url('/healthz'))).status).toBe(200);
    await vi.waitFor(async () =>
      expect(await (await fetch(url('/readyz'))).json()).toMatchObject({
        ready: true,
        upstreams: { u1: 'ready' },
      }),
    );
    const metrics = await (await fetch(url('/metrics'))).text();
    expect(metrics).toMatch(/^tidegate_calls_total\{method="probe.v1.ProbeService\/Get",code="OK"\} \d+/m);
    expect(metrics).toMatch(/^tidegate_http_requests_total\{door="rest",status="200"\} \d+/m);
  });

  test('a port in use is said, and nothing stays open', async () => {
    const port = await freePort();
    const flags = [
      '--port',
      String(port),
      '--proto',
      new URL('support/contracts/probe.proto', import.meta.url).pathname,
    ];
    const first = await startGateway(probe.address, flags);
    await expect(startGateway(probe.address, flags)).rejects.toThrow(/EADDRINUSE/);
    await first.close();
    await first.close();
  });

  test('a service that comes back is used again', async () => {
    const port = await freePort();
    let service = await startProbe(port);
    const own = await startGateway(service.address);
    const get = async () => (await fetch(`http://127.0.0.1:${own.port}/v1/probe/ok`)).status;
    expect(await get()).toBe(200);
    service.kill();
    await vi.waitFor(async () => expect(await get()).toBe(503));
    service = await startProbe(port);
    await vi.waitFor(async () => expect(await get()).toBe(200), { timeout: 10_000, interval: 100 });
    await own.close();
    service.kill();
  });
});
