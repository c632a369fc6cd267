/** google.api.HttpBody over HTTP: bytes in and out as they are, uploads, forms, downloads, and clients that stall or leave. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { BLOB_PROTO, type Blob, type Report, sha, startBlob } from './support/blob.js';
import { type RunningGateway, startGateway } from './support/gateway.js';

let blob: Blob;
let gateway: RunningGateway;
beforeAll(async () => {
  blob = await startBlob();
  gateway = await startGateway(blob.address, [
    '--proto',
    BLOB_PROTO,
    '--body-timeout',
    '500ms',
    '--body-rate',
    '1',
    '--timeout',
    '5s',
  ]);
});
afterAll(async () => {
  await gateway.close();
  blob.kill();
});
beforeEach(() => {
  blob.cancelled.length = 0;
  blob.received = 0;
  blob.sent = 0;
  blob.stalled = false;
});

const url = (path: string): string => `http://127.0.0.1:${gateway.port}${path}`;

async function reportOf(answer: Response): Promise<Report> {
  const body = (await answer.json()) as { text: string };
  expect(answer.status, JSON.stringify(body)).toBe(200);
  return JSON.parse(body.text) as Report;
}

async function refusalOf(answer: Response): Promise<{ status: number; message: string }> {
  return { status: answer.status, message: ((await answer.json()) as { message: string }).message };
}

const send = (path: string, body: string | Buffer, type?: string, method = 'POST'): Promise<Response> =>
  fetch(url(path), { method, body, ...(type === undefined ? {} : { headers: { 'content-type': type } }) });

/** Sends bytes as they are and keeps the connection; `text` is all that came back. */
class Raw {
  text = '';
  readonly socket: Socket;
  readonly closed: Promise<void>;

  constructor(head: string, body: Buffer = Buffer.alloc(0)) {
    this.socket = connect(gateway.port, '127.0.0.1', () => {
      this.socket.write(`${head.replaceAll('\n', '\r\n')}\r\n\r\n`);
      if (body.length > 0) this.socket.write(body);
    });
    this.socket.on('data', (chunk: Buffer) => (this.text += chunk.toString('latin1'))).on('error', () => {});
    this.closed = new Promise((resolve) => this.socket.on('close', () => resolve()));
  }
}

describe('a single body', () => {
  test('goes both ways byte for byte, with its type, whatever that is', async () => {
    const bytes = randomBytes(100_000);
    for (const type of [
      'image/png',
      'application/json',
      'application/x-protobuf',
      'text/csv; header="present"; charset=latin1',
    ]) {
      const answer = await send('/v1/echo', bytes, type);
      expect(answer.headers.get('content-type')).toBe(type);
      expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
    }
  });

  test('without a type is application/octet-stream on its way out, and may be empty', async () => {
    const untyped = await fetch(url('/v1/files/hello?mode=untyped'));
    expect(untyped.headers.get('content-type')).toBe('application/octet-stream');
    expect(await untyped.text()).toBe('hello');
    const empty = await fetch(url('/v1/echo'), { method: 'POST' });
    expect([empty.status, await empty.text()]).toEqual([200, '']);
  });

  test('is also a field of the request, while URL and query set the others', async () => {
    const answer = await send('/v1/files/a%20b?title=t&tags=x&tags=y', 'hello', 'text/plain', 'PUT');
    expect(await reportOf(answer)).toEqual({
      seen: [{ name: 'a b', title: 't', tags: ['x', 'y'], type: 'text/plain', bytes: 5 }],
      bytes: 5,
      sha: sha(Buffer.from('hello')),
    });
  });

  test('that is a field of the request is not set by the query', async () => {
    const answer = await send('/v1/files/a?content.data=aGk=', 'hello', 'text/plain', 'PUT');
    expect(await refusalOf(answer)).toMatchObject({
      status: 400,
      message: expect.stringMatching(/content\.data/),
    });
  });

  test('has the type that the path says, or is refused', async () => {
    const good = await send('/v1/typed/a/image/png', 'x', 'image/png', 'PUT');
    expect((await reportOf(good)).seen).toEqual([{ name: 'a', type: 'image/png', bytes: 1 }]);
    const bad = await send('/v1/typed/a/image/png', 'x', 'text/html', 'PUT');
    expect(await refusalOf(bad)).toMatchObject({
      status: 400,
      message: expect.stringMatching(/differs|URL/),
    });
  });

  test('that is one of a oneof is refused when the query sets another', async () => {
    expect((await reportOf(await send('/v1/either/a', 'x', 'text/plain', 'PUT'))).bytes).toBe(1);
    const bad = await send('/v1/either/a?url=http:%2F%2Fx', 'x', 'text/plain', 'PUT');
    expect(await refusalOf(bad)).toMatchObject({
      status: 400,
      message: expect.stringMatching(/only one of/),
    });
  });

  test('inside a message that is the body is JSON like any other', async () => {
    const body = JSON.stringify({ title: 't', content: { contentType: 'text/plain', data: 'aGVsbG8=' } });
    const answer = await send('/v1/json/a', body, 'application/json', 'PUT');
    expect((await reportOf(answer)).seen).toEqual([{ name: 'a', title: 't', type: 'text/plain', bytes: 5 }]);
  });

  test('is a field of the reply, or none at all', async () => {
    const answer = await fetch(url('/v1/contents/x?bytes=10'), { headers: { accept: 'application/json' } });
    expect([answer.headers.get('content-type'), await answer.text()]).toEqual(['image/png', 'xxxxxxxxxx']);
    expect(answer.headers.get('vary')).toBeNull();
    const absent = await fetch(url('/v1/contents/x?mode=absent'));
    expect([absent.status, await absent.text()]).toEqual([200, '']);
  });

  test('with a type that would add headers is the gateway’s failure, not a header', async () => {
    const answer = await fetch(url('/v1/files/x?mode=bad-type'));
    expect(answer.headers.get('x-evil')).toBeNull();
    expect(await refusalOf(answer)).toEqual({
      status: 500,
      message: 'the service named a content type that is none',
    });
  });

  test('over the limit is refused, and HEAD has the headers alone', async () => {
    const answer = await send('/v1/echo', Buffer.alloc(5 << 20), 'image/png');
    expect(answer.status).toBe(413);
    const head = await fetch(url('/v1/files/x?bytes=10'), { method: 'HEAD' });
    expect([head.headers.get('content-type'), head.headers.get('content-length')]).toEqual([
      'image/png',
      '10',
    ]);
  });

  test('is served at the path of its method too', async () => {
    const answer = await send('/blob.v1.BlobService/Echo', 'hello', 'text/plain');
    expect([answer.headers.get('content-type'), await answer.text()]).toEqual(['text/plain', 'hello']);
  });
});

describe('an upload', () => {
  test('comes in chunks; the first has the type and what the URL sets', async () => {
    const bytes = randomBytes(3_000_000);
    const report = await reportOf(await send('/v1/uploads/a?title=t', bytes, 'video/mp4'));
    expect(report).toMatchObject({ bytes: bytes.length, sha: sha(bytes) });
    expect(report.seen[0]).toMatchObject({ name: 'a', title: 't', type: 'video/mp4' });
    expect(report.seen.length).toBeGreaterThan(40);
    expect(
      report.seen.slice(1).every((seen) => Object.keys(seen).join() === 'bytes' && seen.bytes <= 65_536),
    ).toBe(true);
  });

  test('may be larger than a message, and may be empty', async () => {
    const bytes = Buffer.alloc(9 << 20, 'a');
    expect((await reportOf(await send('/v1/receive', bytes, 'video/mp4'))).bytes).toBe(bytes.length);
    const empty = await reportOf(await send('/v1/receive', '', 'image/png'));
    expect(empty.seen).toEqual([{ type: 'image/png', bytes: 0 }]);
    expect((await reportOf(await fetch(url('/v1/uploads/a'), { method: 'POST' }))).seen).toEqual([
      { name: 'a', bytes: 0 },
    ]);
  });

  test('reaches the service while it is still being sent', async () => {
    const raw = new Raw('POST /v1/receive HTTP/1.1\nhost: a\ncontent-length: 10', Buffer.from('hello'));
    await vi.waitFor(() => expect(blob.received).toBe(5));
    raw.socket.write('world');
    await vi.waitFor(() => expect(raw.text).toMatch(/200 OK[\s\S]*\\"bytes\\":10/));
    raw.socket.destroy();
  });

  test('that nobody reads stops its client', async () => {
    blob.stalled = true;
    const raw = new Raw(`POST /v1/receive HTTP/1.1\nhost: a\ncontent-length: ${200 << 20}`);
    const chunk = Buffer.alloc(1 << 20);
    const pump = (): void => {
      while (raw.socket.bytesWritten < 190 << 20 && raw.socket.write(chunk));
    };
    raw.socket.on('drain', pump).on('connect', pump);
    await sleep(1000);
    expect(raw.socket.bytesWritten - raw.socket.writableLength).toBeLessThan(20 << 20);
    raw.socket.destroy();
    await raw.closed;
  });
});

describe('a form', () => {
  test('is a stream of its parts, each with its name, filename and type first', async () => {
    const form = new FormData();
    const bytes = randomBytes(200_000);
    form.set('note', 'héllo');
    form.set('picture', new File([bytes], 'ä "1".png', { type: 'image/png' }));
    form.set('empty', new File([], 'none'));
    const report = await reportOf(await fetch(url('/v1/receive'), { method: 'POST', body: form }));
    const begun = report.seen.filter(({ type }) => type !== undefined);
    expect(begun.map(({ type, part }) => [type, part])).toEqual([
      ['text/plain', { name: 'note' }],
      ['image/png', { name: 'picture', filename: 'ä "1".png' }],
      ['application/octet-stream', { name: 'empty', filename: 'none' }],
    ]);
    expect(report.sha).toBe(sha(Buffer.concat([Buffer.from('héllo'), bytes])));
    expect(report.seen.length).toBeGreaterThan(5);
  });

  test('sets the other fields of the request with its text fields', async () => {
    const form = new FormData();
    form.set('title', 'a&b=c');
    form.append('tags', 'x');
    form.append('tags', 'y');
    form.set('content', new File(['hello'], 'a.txt', { type: 'text/plain' }));
    form.set('second', new File(['you'], 'b.txt'));
    const report = await reportOf(await fetch(url('/v1/uploads/n'), { method: 'POST', body: form }));
    expect(report.seen).toEqual([
      {
        name: 'n',
        title: 'a&b=c',
        tags: ['x', 'y'],
        type: 'text/plain',
        bytes: 5,
        part: { name: 'content', filename: 'a.txt' },
      },
      { type: 'application/octet-stream', bytes: 3, part: { name: 'second', filename: 'b.txt' } },
    ]);
  });

  test('without a file is one message of its fields', async () => {
    const form = new FormData();
    form.set('title', 't');
    expect((await reportOf(await fetch(url('/v1/uploads/n'), { method: 'POST', body: form }))).seen).toEqual([
      { name: 'n', title: 't', bytes: 0 },
    ]);
  });

  const refused = async (fill: (form: FormData) => void, path = '/v1/uploads/n') => {
    const form = new FormData();
    fill(form);
    return refusalOf(await fetch(url(path), { method: 'POST', body: form }));
  };

  test('is refused with the name of the field that is wrong', async () => {
    expect(await refused((form) => form.set('titel', 't'))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/^form field "titel"/),
    });
    expect(await refused((form) => form.set('name', 'other'))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/^form field "name": differs from path variable/),
    });
    expect(await refused((form) => form.set('title', 'b'), '/v1/uploads/n?title=a')).toMatchObject({
      status: 400,
      message: expect.stringMatching(/^form field "title": given twice/),
    });
    const late = await refused((form) => {
      form.set('content', new File(['x'], 'a'));
      form.set('title', 't');
    });
    expect(late).toEqual({
      status: 400,
      message: 'form field "title": it has to come before the first file',
    });
  });

  test('that is malformed or too large is refused', async () => {
    const type = 'multipart/form-data; boundary=b';
    const cut = '--b\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nhello';
    expect(await refusalOf(await send('/v1/receive', cut, type))).toMatchObject({
      status: 400,
      message: expect.stringMatching(/ends inside part 1/),
    });
    expect((await send('/v1/receive', 'x', 'multipart/form-data')).status).toBe(400);
    const large = await refused((form) => form.set('title', 'x'.repeat(5 << 20)));
    expect(large).toMatchObject({ status: 413, message: expect.stringMatching(/form field "title"/) });
  });

  test('on a route that takes one message is that message', async () => {
    const answer = await send('/v1/echo', '--b--', 'multipart/form-data; boundary=b');
    expect([answer.headers.get('content-type'), await answer.text()]).toEqual([
      'multipart/form-data; boundary=b',
      '--b--',
    ]);
    expect((await send('/v1/collect', '--b--', 'multipart/form-data; boundary=b')).status).toBe(415);
  });
});

describe('a download', () => {
  test.each(['/v1/downloads/', '/v1/parts/'])(
    'of %s is raw chunks under the first message’s type',
    async (path) => {
      for (const accept of ['*/*', 'text/event-stream', 'application/x-ndjson', 'application/json']) {
        const answer = await fetch(url(`${path}xyz?count=50&bytes=9000`), { headers: { accept } });
        expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'video/mp4']);
        expect(answer.headers.get('vary')).toBeNull();
        const bytes = Buffer.from(await answer.arrayBuffer());
        expect(sha(bytes)).toBe(sha(Buffer.concat(Array(50).fill(Buffer.alloc(9000, 'xyz')))));
      }
    },
  );

  test('of nothing is empty; one that is refused first is an HTTP status', async () => {
    const empty = await fetch(url('/v1/downloads/x?mode=empty'));
    expect([empty.status, empty.headers.get('content-type'), await empty.text()]).toEqual([
      200,
      'application/octet-stream',
      '',
    ]);
    expect(await refusalOf(await fetch(url('/v1/downloads/x?mode=fail-first')))).toEqual({
      status: 400,
      message: 'the blob service refuses',
    });
  });

  test('that fails later is cut, and cannot look complete', async () => {
    const answer = await fetch(url('/v1/downloads/x?mode=fail-late'));
    await expect(answer.arrayBuffer()).rejects.toThrow();
    const raw = new Raw('GET /v1/downloads/x?mode=fail-late HTTP/1.1\nhost: a');
    await raw.closed;
    expect(raw.text).toMatch(/^HTTP\/1\.1 200/);
    expect(raw.text.endsWith('0\r\n\r\n')).toBe(false);
  });

  test('that fails later is reset for a client of HTTP/1.0, which ends with its connection', async () => {
    const raw = new Raw('GET /v1/downloads/x?mode=fail-late HTTP/1.0\nhost: a');
    const failed = new Promise((resolve) => raw.socket.once('error', resolve));
    expect(((await failed) as NodeJS.ErrnoException).code).toBe('ECONNRESET');
  });

  test('of HEAD has the headers, and does not go on in the service', async () => {
    const answer = await fetch(url('/v1/downloads/x?mode=open'), { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'video/mp4']);
    await vi.waitFor(() => expect(blob.cancelled).toEqual(['Download']));
  });

  test('that its client does not read stops the service', async () => {
    const raw = new Raw('GET /v1/downloads/x?count=100000&bytes=10000 HTTP/1.1\nhost: a');
    raw.socket.pause();
    // Until the buffers on the way are full: then nothing moves any more.
    let sent = -1;
    await vi.waitFor(
      () => {
        const before = sent;
        sent = blob.sent;
        expect(sent).toBe(before);
      },
      { interval: 400 },
    );
    expect(sent * 10_000).toBeLessThan(60 << 20);
    await sleep(300);
    expect(blob.sent).toBe(sent);
    raw.socket.destroy();
    await vi.waitFor(() => expect(blob.cancelled).toEqual(['Download']));
  });
});

describe('a client that leaves with its body unread', () => {
  test.each([
    ['a megabyte that nobody reads', '/v1/receive', 1 << 20, 'Receive'],
    ['a little of a lot', '/v1/uploads/a', 1000, 'Upload'],
    ['JSON that nobody reads', '/v1/collect', 900_000, 'Collect'],
  ])('cancels the call within a second: %s', async (_, path, bytes, method) => {
    blob.stalled = true;
    const line = Buffer.from(`{"name":"${'x'.repeat(990)}"}\n`);
    const body = Buffer.concat(Array(Math.ceil(bytes / line.length)).fill(line)).subarray(0, bytes);
    const raw = new Raw(`POST ${path} HTTP/1.1\nhost: a\ncontent-length: 100000000`, body);
    await sleep(400);
    expect(blob.cancelled).toEqual([]);
    raw.socket.destroy();
    const left = Date.now();
    await vi.waitFor(() => expect(blob.cancelled).toEqual([method]), { timeout: 3000, interval: 20 });
    expect(Date.now() - left).toBeLessThan(1000);
  });
});

describe('a slow body', () => {
  const head = (path: string, length = 1000): string =>
    `POST ${path} HTTP/1.1\nhost: a\ncontent-type: application/json\ncontent-length: ${length}`;

  test.each(['/v1/echo', '/v1/receive', '/blob.v1.BlobService/Show'])(
    'that stops coming is 408: %s',
    async (path) => {
      const raw = new Raw(head(path), Buffer.from('{'));
      await vi.waitFor(
        () => expect(raw.text).toMatch(/^HTTP\/1\.1 408 [\s\S]*nothing more came for 500 ms/),
        {
          timeout: 2000,
        },
      );
      await raw.closed;
    },
  );

  test('that stops in the middle of a message of a stream is 408, but it may rest between two', async () => {
    const raw = new Raw(head('/v1/collect'), Buffer.from('{"name":"a"}\n'));
    await sleep(800);
    expect(raw.text).toBe('');
    raw.socket.write('{"name":');
    await vi.waitFor(() => expect(raw.text).toMatch(/^HTTP\/1\.1 408 /), { timeout: 2000 });
    raw.socket.destroy();
  });

  test('that keeps coming is waited for', async () => {
    const raw = new Raw(head('/v1/echo', 5), Buffer.from('h'));
    for (const letter of 'ello') {
      await sleep(300);
      raw.socket.write(letter);
    }
    await vi.waitFor(() => expect(raw.text).toMatch(/^HTTP\/1\.1 200 [\s\S]*hello$/));
    raw.socket.destroy();
  });
});
