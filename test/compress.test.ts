/** Compression: requests that are inflated within limits, replies and streams as Accept-Encoding asks, ETags, and bombs. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  createBrotliDecompress,
  createGunzip,
  deflateSync,
  gunzipSync,
  gzipSync,
} from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { codingOfBody, codingOfStream, isCompressible } from '../gateway/http/compress.js';
import { matchesTag } from '../gateway/http/etag.js';
import { Code } from '../src/status.js';
import { createGrpcUpstream } from '../src/upstream/grpc.js';
import { BLOB_PROTO, type Blob, type Report, sha, startBlob } from './support/blob.js';
import { type RunningGateway, startGateway } from './support/gateway.js';
import { failure } from './support/raw_calls.js';
import { rawCall, startHttp2Server } from './support/raw_server.js';

let blob: Blob;
let gateway: RunningGateway;
let eager: RunningGateway;
beforeAll(async () => {
  blob = await startBlob();
  gateway = await startGateway(blob.address, ['--proto', BLOB_PROTO]);
  eager = await startGateway(blob.address, ['--proto', BLOB_PROTO, '--etag', '--compress-events']);
});
afterAll(async () => {
  await Promise.all([gateway.close(), eager.close()]);
  blob.kill();
});
beforeEach(() => {
  blob.cancelled.length = 0;
  blob.sent = 0;
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** As it came, still encoded. */
  readonly body: Buffer;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer | string;
  readonly port?: number;
}

/** An HTTP client that does nothing by itself: no Accept-Encoding, no decoding. */
function ask(
  path: string,
  { method = 'GET', headers = {}, body, port = gateway.port }: Asked = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, host: '127.0.0.1', path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on('error', reject).end(body);
  });
}

const messageOf = ({ body }: Answer): string => (JSON.parse(body.toString()) as { message: string }).message;
const reportOf = ({ status, body }: Answer): Report => {
  expect(status, body.toString()).toBe(200);
  return JSON.parse((JSON.parse(body.toString()) as { text: string }).text) as Report;
};

const ENCODERS = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  GZIP: gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
};
const ndjson = (count: number, name: string): Buffer =>
  Buffer.from(`${JSON.stringify({ name })}\n`.repeat(count));

describe('a compressed request', () => {
  test.each(Object.entries(ENCODERS))(
    'of %s is inflated: one message, many, and bytes',
    async (coding, encode) => {
      const headers = { 'content-encoding': coding, 'content-type': 'application/json' };
      const one = await ask('/v1/json/a', { method: 'PUT', headers, body: encode('{"title":"t"}') });
      expect(reportOf(one).seen).toEqual([{ name: 'a', title: 't', bytes: 0 }]);
      const many = await ask('/v1/collect', { method: 'POST', headers, body: encode(ndjson(500, 'abc')) });
      expect(reportOf(many).seen).toHaveLength(500);
      const data = Buffer.from('hello '.repeat(50_000));
      const typed = { 'content-encoding': coding, 'content-type': 'text/plain' };
      const upload = await ask('/v1/receive', { method: 'POST', headers: typed, body: encode(data) });
      expect(reportOf(upload).sha).toBe(sha(data));
      const echo = await ask('/v1/echo', { method: 'POST', headers: typed, body: encode('hello') });
      expect(echo.body.toString()).toBe('hello');
      expect(echo.headers['content-encoding']).toBeUndefined();
    },
  );

  test('that says identity, or has no body, is as it is', async () => {
    const headers = { 'content-encoding': 'identity' };
    expect((await ask('/v1/echo', { method: 'POST', headers, body: 'x' })).body.toString()).toBe('x');
    const empty = { 'content-encoding': 'gzip', 'content-length': '0' };
    expect((await ask('/v1/json/a', { method: 'PUT', headers: empty })).status).toBe(200);
  });

  test.each(['zstd', 'compress', 'gzip, br', 'gzip, gzip', 'constructor'])(
    'of %s is 415 with what is accepted',
    async (coding) => {
      for (const path of ['/v1/echo', '/v1/collect', '/v1/receive', '/v1/uploads/a']) {
        const headers = { 'content-encoding': coding, 'content-type': 'application/json' };
        const answer = await ask(path, { method: 'POST', headers, body: '{}' });
        expect([answer.status, answer.headers['accept-encoding']]).toEqual([415, 'gzip, deflate, br']);
        expect(messageOf(answer)).toMatch(/^header content-encoding: /);
      }
    },
  );

  test.each([
    ['not what it says', Buffer.from('{"name":"a"}')],
    ['followed by something', Buffer.concat([gzipSync('{"name":"a"}'), Buffer.from('junk')])],
    ['followed by zeros', Buffer.concat([gzipSync('{"name":"a"}'), Buffer.alloc(10)])],
    ['cut short', gzipSync('{"name":"a"}'.repeat(100)).subarray(0, 20)],
    [
      'damaged',
      (() => {
        const body = gzipSync(Buffer.from('{"name":"a"}'));
        body[body.length - 6] = (body[body.length - 6] as number) ^ 0xff;
        return body;
      })(),
    ],
  ])('that is %s is 400, in words of our own', async (_, body) => {
    for (const path of ['/v1/echo', '/v1/collect', '/v1/receive']) {
      const headers = { 'content-encoding': 'gzip', 'content-type': 'application/json' };
      const answer = await ask(path, { method: 'POST', headers, body });
      expect([answer.status, messageOf(answer)]).toEqual([400, 'body: it is not valid gzip']);
    }
  });
});

describe('a bomb', () => {
  const zeros = Buffer.alloc(64 << 20);
  const bombs = {
    gzip: gzipSync(zeros),
    deflate: deflateSync(zeros),
    br: brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
  };

  test.each(Object.entries(bombs))('of %s is refused early, with little memory', async (coding, body) => {
    expect(body.length).toBeLessThan(100_000);
    for (const [path, type] of [
      ['/v1/echo', 'image/png'],
      ['/v1/receive', 'image/png'],
      ['/v1/collect', 'application/json'],
      ['/v1/receive', 'multipart/form-data; boundary=b'],
    ] as const) {
      const received = blob.received;
      const before = process.memoryUsage.rss();
      const headers = { 'content-encoding': coding, 'content-type': type };
      const answer = await ask(path, { method: 'POST', headers, body });
      // A form of zeros is refused as no form before it is refused as too large.
      expect(answer.status, messageOf(answer)).toBe(type.startsWith('multipart') ? 400 : 413);
      expect(process.memoryUsage.rss() - before).toBeLessThan(48 << 20);
      expect(blob.received - received).toBeLessThan(32 << 20);
    }
  });

  test('is not what compresses well and is large: a stream may be longer than a message', async () => {
    const text = 'abcdefghij '.repeat(40);
    const lines = Array.from({ length: 10_000 }, (_, index) => `{"name":"${index} ${text}"}\n`);
    const headers = { 'content-encoding': 'gzip', 'content-type': 'application/x-ndjson' };
    const body = Buffer.from(lines.join(''));
    expect(body.length).toBeGreaterThan(4 << 20);
    const report = reportOf(await ask('/v1/collect', { method: 'POST', headers, body: gzipSync(body) }));
    expect(report.seen).toHaveLength(10_000);
  });

  /** A message as a service with compression sends it. */
  function coded(message: Buffer): Buffer {
    const body = gzipSync(message);
    const head = Buffer.alloc(5);
    head.writeUInt8(1);
    head.writeUInt32BE(body.length, 1);
    return Buffer.concat([head, body]);
  }

  test('from a service is refused at the limit, and the next call is served', async () => {
    const answers = [coded(Buffer.alloc(1000)), coded(Buffer.alloc(256 << 20)), coded(Buffer.alloc(1000))];
    expect(answers[1]?.length).toBeLessThan(400_000);
    const server = await startHttp2Server((stream) => {
      const headers = { 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' };
      stream.respond({ ':status': 200, ...headers }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(answers.shift());
    });
    const upstream = createGrpcUpstream({ name: 'raw', address: server.address, maxReplyBytes: 1 << 20 });
    const small = await upstream.invoke(rawCall('unary'));
    expect((small.messages as Uint8Array).length).toBe(1000);
    const before = process.memoryUsage().external;
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().external - before);
    }, 1);
    const error = await failure(upstream.invoke(rawCall('unary')));
    clearInterval(timer);
    expect(error.code).toBe(Code.RESOURCE_EXHAUSTED);
    expect(peak).toBeLessThan(32 << 20);
    expect(((await upstream.invoke(rawCall('unary'))).messages as Uint8Array).length).toBe(1000);
    await upstream.close();
    await server.stop();
  });
});

describe('Accept-Encoding', () => {
  test.each([
    [undefined, undefined],
    ['', undefined],
    ['gzip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['GZip ; Q=1', 'gzip'],
    ['gzip, deflate, br, zstd', 'br'],
    ['gzip;q=1, br;q=0.9', 'gzip'],
    ['gzip;q=0.5,br;q=0.5', 'br'],
    ['*', 'br'],
    ['*;q=0.1, br;q=0', 'gzip'],
    ['gzip;q=0', undefined],
    ['identity', undefined],
    ['identity, gzip;q=0.5', undefined],
    ['identity;q=0.2, gzip;q=0.5', 'gzip'],
    ['deflate', undefined],
    ['gzip;q=abc', undefined],
    ['zstd, compress', undefined],
  ])('%s chooses %s', (header, coding) => {
    expect(codingOfBody(header, 5000, 1024)).toBe(coding);
  });

  test('of a client that refuses the plain body compresses a small one too', () => {
    expect(codingOfBody('gzip, br', 100, 1024)).toBeUndefined();
    expect(codingOfBody('gzip;q=1.0', 100, 1024)).toBeUndefined();
    expect(codingOfBody('gzip, identity;q=0', 100, 1024)).toBe('gzip');
    expect(codingOfBody('br, *;q=0', 100, 1024)).toBe('br');
    expect(codingOfBody('*;q=0', 5000, 1024)).toBeUndefined();
  });

  test('of a stream prefers gzip, which needs less memory', () => {
    expect(codingOfStream('gzip, deflate, br')).toBe('gzip');
    expect(codingOfStream('gzip;q=0.5, br')).toBe('br');
    expect(codingOfStream('deflate')).toBeUndefined();
    expect(codingOfStream(undefined)).toBeUndefined();
  });

  test('is heeded for text alone, not for what is compressed already', () => {
    for (const type of [
      'application/json',
      'text/csv; header=present',
      'application/problem+json',
      'image/svg+xml',
      'application/x-protobuf',
    ])
      expect(isCompressible(type), type).toBe(true);
    for (const type of [
      'image/png',
      'video/mp4',
      'application/zip',
      'application/octet-stream',
      'application/gzip',
      'x/text/plain',
    ])
      expect(isCompressible(type), type).toBe(false);
  });
});

const GZIP = { 'accept-encoding': 'gzip' };
const BR = { 'accept-encoding': 'br' };

describe('a compressed reply', () => {
  test.each([2_000, 100_000])('of %i bytes has its coding, its length and Vary', async (bytes) => {
    const path = `/v1/reports/x:one?bytes=${bytes}`;
    const plain = await ask(path);
    const gzip = await ask(path, { headers: GZIP });
    const br = await ask(path, { headers: BR });
    expect([plain, gzip, br].map(({ headers }) => headers['content-encoding'])).toEqual([
      undefined,
      'gzip',
      'br',
    ]);
    for (const { headers, body } of [plain, gzip, br]) {
      expect(headers['content-length']).toBe(String(body.length));
      expect(headers.vary).toBe('accept, accept-encoding');
    }
    expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
    expect(brotliDecompressSync(br.body).equals(plain.body)).toBe(true);
    expect(gzip.body.length).toBeLessThan(plain.body.length / 5);
  });

  test('is for bodies from 1 KiB on, and says so in Vary of smaller ones too', async () => {
    const small = await ask('/v1/reports/x:one?bytes=100', { headers: GZIP });
    expect([small.headers['content-encoding'], small.headers.vary]).toEqual([
      undefined,
      'accept, accept-encoding',
    ]);
    const refusing = await ask('/v1/reports/x:one?bytes=100', {
      headers: { 'accept-encoding': 'gzip, identity;q=0' },
    });
    expect(gunzipSync(refusing.body).length).toBe(111);
  });

  test('of bytes goes by their type, and by no-transform', async () => {
    const png = await ask('/v1/files/x?bytes=50000', { headers: GZIP });
    expect([png.headers['content-encoding'], png.headers.vary]).toEqual([undefined, undefined]);
    const text = await ask('/v1/files/x?bytes=50000&mode=text', { headers: GZIP });
    expect([text.headers['content-encoding'], gunzipSync(text.body).length]).toEqual(['gzip', 50_000]);
    const untouchable = await ask('/v1/files/x?bytes=50000&mode=untouchable', { headers: GZIP });
    expect([untouchable.headers['content-encoding'], untouchable.body.length]).toEqual([undefined, 50_000]);
  });

  test('of HEAD has the headers of GET', async () => {
    const path = '/v1/reports/x:one?bytes=2000';
    const [get, head] = [
      await ask(path, { headers: GZIP }),
      await ask(path, { method: 'HEAD', headers: GZIP }),
    ];
    const { date: _, 'x-request-id': __, ...headers } = get.headers;
    expect(head.headers).toMatchObject(headers);
    expect(head.body.length).toBe(0);
  });

  test('does not exist with --compress-above 0', async () => {
    const plain = await startGateway(blob.address, ['--proto', BLOB_PROTO, '--compress-above', '0']);
    const answer = await ask('/v1/reports/x:one?bytes=2000', { headers: GZIP, port: plain.port });
    expect([answer.headers['content-encoding'], answer.headers.vary]).toEqual([undefined, 'accept']);
    const stream = await ask('/v1/reports/x', { headers: GZIP, port: plain.port });
    expect(stream.headers['content-encoding']).toBeUndefined();
    await plain.close();
  });

  test('leaves the loop to others while a large one is compressed', async () => {
    let worst = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }, 1);
    const answer = await ask('/v1/files/x?bytes=4000000&mode=text', { headers: BR });
    clearInterval(timer);
    expect(brotliDecompressSync(answer.body).length).toBe(4_000_000);
    expect(worst).toBeLessThan(250);
  });
});

describe('a compressed stream', () => {
  /** Reads a stream until `enough` of its decoded text is there, then leaves. */
  function readUntil(path: string, headers: Record<string, string>, enough: RegExp, port = gateway.port) {
    return new Promise<{ text: string; headers: IncomingHttpHeaders }>((resolve, reject) => {
      const request = httpRequest({ port, host: '127.0.0.1', path, headers }, (response) => {
        const decoder =
          response.headers['content-encoding'] === 'br' ? createBrotliDecompress() : createGunzip();
        let text = '';
        decoder
          .on('error', () => {})
          .on('data', (chunk: Buffer) => {
            text += chunk.toString('latin1');
            if (!enough.test(text)) return;
            resolve({ text, headers: response.headers });
            request.destroy();
          });
        response.on('error', () => {}).pipe(decoder);
      });
      request.on('error', reject).end();
    });
  }

  test.each([
    ['gzip', GZIP],
    ['br', BR],
  ] as const)('of lines in %s is flushed with every message', async (coding, accept) => {
    const path = '/v1/reports/ab?mode=open&count=2&bytes=20';
    const { text, headers } = await readUntil(path, accept, /\n.*\n$/s);
    expect([headers['content-encoding'], headers.vary, headers['content-length']]).toEqual([
      coding,
      'accept, accept-encoding',
      undefined,
    ]);
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual(Array(2).fill({ text: 'ab'.repeat(10) }));
    await vi.waitFor(() => expect(blob.cancelled).toEqual(['List']));
  });

  test('says how it ended: lines with an error, an array that is cut', async () => {
    const lines = await ask('/v1/reports/ab?mode=fail-late&bytes=4', { headers: GZIP });
    expect(gunzipSync(lines.body).toString()).toMatch(/^(\{"text":"abab"\}\n){3}\{"error":\{"code":9,/);
    const array = { ...GZIP, accept: 'application/json' };
    await expect(ask('/v1/reports/ab?mode=fail-late&bytes=4', { headers: array })).rejects.toThrow(/aborted/);
    const whole = await ask('/v1/reports/ab?bytes=4', { headers: array });
    expect(JSON.parse(gunzipSync(whole.body).toString())).toEqual(Array(3).fill({ text: 'abab' }));
    const none = await ask('/v1/reports/ab?mode=empty', { headers: array });
    expect(gunzipSync(none.body).toString()).toBe('[]');
  });

  test('of bytes goes by their type', async () => {
    const text = await ask('/v1/downloads/ab?mode=text', { headers: GZIP });
    expect([text.headers['content-encoding'], gunzipSync(text.body).length]).toEqual(['gzip', 3000]);
    expect((await ask('/v1/downloads/ab', { headers: GZIP })).headers['content-encoding']).toBeUndefined();
  });

  test('of events is one only where it is asked for', async () => {
    const headers = { ...GZIP, accept: 'text/event-stream' };
    const plain = await ask('/v1/reports/ab?bytes=4', { headers });
    expect([plain.headers['content-encoding'], plain.headers.vary]).toEqual([undefined, 'accept']);
    const open = await readUntil(
      '/v1/reports/ab?mode=open&count=1&bytes=4',
      headers,
      /data: ?\{"text":"abab"\}\n\n/,
      eager.port,
    );
    expect([open.headers['content-encoding'], open.headers.vary]).toEqual([
      'gzip',
      'accept, accept-encoding',
    ]);
    const ended = await ask('/v1/reports/ab?bytes=4', { headers, port: eager.port });
    expect(gunzipSync(ended.body).toString()).toMatch(/id: end\nevent: end\ndata: \{"code":0.*\n\n$/);
  });

  test('that its client does not read stops the service', async () => {
    const path = '/v1/reports/x?mode=random&count=1000000&bytes=60000';
    const options = { port: gateway.port, host: '127.0.0.1', path, headers: GZIP };
    const request = httpRequest(options, (response) => response.pause());
    request.on('error', () => {}).end();
    let before = -1;
    await vi.waitFor(
      () => {
        const { sent } = blob;
        const still = sent === before && sent > 0;
        before = sent;
        expect(still).toBe(true);
      },
      { timeout: 10_000, interval: 300 },
    );
    expect(before * 60_000).toBeLessThan(64 << 20);
    request.destroy();
    await vi.waitFor(() => expect(blob.cancelled).toEqual(['List']));
  });
});

describe('an ETag', () => {
  const path = '/v1/reports/x:one?bytes=2000';
  const tagged = (headers: Record<string, string> = {}, method = 'GET', at = path): Promise<Answer> =>
    ask(at, { method, headers, port: eager.port });

  test('is there only where it is asked for, and only for GET and HEAD', async () => {
    expect((await ask(path)).headers.etag).toBeUndefined();
    expect((await tagged()).headers.etag).toMatch(/^"[\w-]{22}"$/);
    expect((await tagged({}, 'HEAD')).headers.etag).toBe((await tagged()).headers.etag);
    expect((await tagged({}, 'POST', '/v1/echo')).headers.etag).toBeUndefined();
    expect((await tagged({}, 'GET', '/v1/reports/x')).headers.etag).toBeUndefined();
  });

  test('is another for other bytes: of another reply, and of another coding', async () => {
    const { etag } = (await tagged()).headers;
    const gzip = (await tagged(GZIP)).headers.etag;
    const br = (await tagged(BR)).headers.etag;
    const other = (await tagged({}, 'GET', '/v1/reports/x:one?bytes=2001')).headers.etag;
    expect(new Set([etag, gzip, br, other]).size).toBe(4);
    expect((await tagged(GZIP)).headers.etag).toBe(gzip);
  });

  test('that the client has is answered with 304, without a body', async () => {
    for (const accept of [{}, GZIP]) {
      const { etag = '' } = (await tagged(accept)).headers;
      for (const known of [etag, `W/${etag}`, `"a", ${etag}`, '*']) {
        const answer = await tagged({ ...accept, 'if-none-match': known });
        expect([answer.status, answer.body.length, answer.headers.etag]).toEqual([304, 0, etag]);
        expect(answer.headers.vary).toBe('accept, accept-encoding');
        expect(answer.headers['content-type']).toBeUndefined();
        expect(answer.headers['content-encoding']).toBeUndefined();
      }
    }
    expect((await tagged({ 'if-none-match': '"other"' })).status).toBe(200);
    const { etag = '' } = (await tagged()).headers;
    expect((await tagged({ ...GZIP, 'if-none-match': etag })).status).toBe(200);
  });

  test('of the service is kept, and is weak where the bytes are ours', async () => {
    const at = '/v1/files/x?mode=tagged';
    expect((await ask(at)).headers.etag).toBe('"mine"');
    expect((await tagged({ 'if-none-match': '"mine"' }, 'GET', at)).status).toBe(304);
    expect((await ask(at, { headers: { 'if-none-match': '"mine"' } })).status).toBe(200);
    const gzip = await ask(`${at}&bytes=5000`, { headers: GZIP });
    expect([gzip.headers['content-encoding'], gzip.headers.etag]).toEqual(['gzip', 'W/"mine"']);
    const known = { ...GZIP, 'if-none-match': 'W/"mine"' };
    expect((await tagged(known, 'GET', `${at}&bytes=5000`)).status).toBe(304);
  });

  test('is found in a list, and in nothing that is none', () => {
    expect(matchesTag('W/"a" , "b,c"', '"b,c"')).toBe(true);
    expect(matchesTag('"a"', 'W/"a"')).toBe(true);
    expect(matchesTag('a', '"a"')).toBe(false);
    expect(matchesTag('"a', '"a"')).toBe(false);
    expect(matchesTag('"ab"', '"b"')).toBe(false);
  });
});

describe('Accept', () => {
  test.each(['image/png', 'application/json;q=0', 'text/html, */*;q=0'])(
    'of %s is disregarded: JSON is better than nothing',
    async (accept) => {
      const one = await ask('/v1/reports/x:one?bytes=4', { headers: { accept } });
      expect([one.status, one.headers['content-type']]).toEqual([200, 'application/json']);
      const many = await ask('/v1/reports/x', { headers: { accept } });
      expect([many.status, many.headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    },
  );
});
