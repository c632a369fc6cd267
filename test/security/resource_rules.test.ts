/** Attacks on rules that bind a field of the request to a claim: every way in which a client can say something else than what is judged. */
import { request as httpRequest } from 'node:http';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createBoundField } from '../../src/policy/bound_field.js';
import { Code } from '../../src/status.js';
import { compileProto } from '../support/compile.js';
import { DOORS } from '../support/door_clients.js';
import { type RunningGateway, startGateway, tokenFor } from '../support/gateway.js';
import { OWNED_PROTO, type Owned, startOwned } from '../support/owned.js';

let service: Owned;
let running: RunningGateway;
const ANN = tokenFor('ann');
const CLERK = tokenFor('eve', ['orders:*']);

beforeAll(async () => {
  service = await startOwned();
  running = await startGateway(service.address, ['--proto', OWNED_PROTO]);
});
afterAll(async () => {
  await running?.close();
  service?.kill();
});
beforeEach(() => {
  service.requests.length = 0;
  service.metadata.length = 0;
});

interface Ask {
  readonly method?: string;
  readonly token?: string | undefined;
  readonly type?: string;
  readonly body?: string | Uint8Array;
  readonly headers?: Record<string, string>;
}

/** The path goes out as it is: fetch would put it right. */
function ask(path: string, { method = 'GET', token = ANN, type, body, headers = {} }: Ask = {}) {
  return new Promise<{ readonly status: number; readonly json: unknown }>((resolve, reject) => {
    const request = httpRequest(
      {
        host: '127.0.0.1',
        port: running.port,
        path,
        method,
        agent: false,
        headers: {
          ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
          ...(type === undefined ? {} : { 'content-type': type }),
          ...headers,
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          resolve({ status: response.statusCode ?? 0, json: text === '' ? undefined : JSON.parse(text) });
        });
      },
    );
    request.on('error', reject).end(body);
  });
}

const post = (path: string, value: unknown, more: Ask = {}) =>
  ask(path, { method: 'POST', type: 'application/json', body: JSON.stringify(value), ...more });
const postBytes = (path: string, body: Uint8Array, more: Ask = {}) =>
  ask(path, { method: 'POST', type: 'application/x-protobuf', body, ...more });
/** Encoded fields: number and text. */
const text = (no: number, value: string) =>
  new BinaryWriter().tag(no, WireType.LengthDelimited).string(value).finish();
const message = (no: number, value: Uint8Array) =>
  new BinaryWriter().tag(no, WireType.LengthDelimited).bytes(value).finish();

describe('a caller reaches what is theirs', () => {
  test.each(DOORS)('through $name, and nothing of others', async ({ open }) => {
    const own = await open(running.port, '/v1/customers/ann', { token: ANN }).outcome;
    expect(own).toMatchObject({ code: Code.OK });
    const other = await open(running.port, '/v1/customers/bob', { token: ANN }).outcome;
    expect(other).toMatchObject({
      code: Code.PERMISSION_DENIED,
      message: "field customer_id must be the token's claim sub",
    });
    expect(other.messages).toEqual([]);
    const nobody = await open(running.port, '/v1/customers/ann').outcome;
    expect(nobody.code).toBe(Code.UNAUTHENTICATED);
    expect(service.requests.map((each) => (each as { customer_id: string }).customer_id)).toEqual(['ann']);
  });

  test('unless a permission lets them reach all', async () => {
    expect((await ask('/v1/customers/bob/orders/1', { token: CLERK })).status).toBe(200);
    expect(
      (await ask('/v1/customers/bob/orders/1', { token: tokenFor('eve', ['orders:read']) })).status,
    ).toBe(403);
    // The exception is that of one method.
    expect((await post('/v1/orders', { customer_id: 'bob' }, { token: CLERK })).status).toBe(403);
  });

  test('through a shared stream that somebody else has opened, never', async () => {
    const bob = httpRequest({
      port: running.port,
      host: '127.0.0.1',
      path: '/v1/customers/bob:shared',
      headers: { authorization: `Bearer ${tokenFor('bob')}`, accept: 'text/event-stream' },
      agent: false,
    }).end();
    const opened = await new Promise<number | undefined>((resolve) => {
      bob.on('response', (response) => resolve(response.statusCode));
    });
    expect(opened).toBe(200);
    expect((await ask('/v1/customers/bob:shared', { headers: { accept: 'text/event-stream' } })).status).toBe(
      403,
    );
    bob.on('error', () => {}).destroy();
    expect(service.metadata).toHaveLength(1);
  });
});

describe('a query cannot override what the path says', () => {
  test.each([
    '/v1/customers/ann/orders/1?customer_id=bob',
    '/v1/customers/ann/orders/1?customerId=bob',
    '/v1/customers/bob/orders/1?customer_id=ann',
    '/v1/customers/bob/orders/1?customerId=ann',
    '/v1/orders?customer_id=ann&customer_id=bob',
    '/v1/orders?customer_id=bob&customer_id=ann',
    '/v1/orders?customer_id=ann&customerId=bob',
    '/v1/orders?customer_id=bob',
    '/v1/orders?customer_id=',
    '/v1/orders',
    '/v1/orders?customer%5Fid=bob',
    '/v1/customers/%62ob/orders/1',
    '/v1/customers/ann%2F..%2Fbob/orders/1',
    '/v1/customers/ann/../bob/orders/1',
    '/v1/customers/ann%00/orders/1',
    '/v1/customers/ann%20/orders/1',
    '/v1/customers/ANN/orders/1',
    '//v1/customers/bob/orders/1',
  ])('%s', async (path) => {
    expect([400, 403, 404]).toContain((await ask(path)).status);
    expect(service.requests).toEqual([]);
  });

  test.each(['/v1/customers/%61nn/orders/1', '/v1/orders?customer_id=ann', '/v1/orders?customerId=ann'])(
    'while %s is what it says',
    async (path) => {
      expect((await ask(path)).status).toBe(200);
      expect(service.requests).toMatchObject([{ customer_id: 'ann' }]);
    },
  );
});

describe('a body cannot say something else', () => {
  test.each<[string, string, Ask]>([
    ['another owner', '/v1/orders', { body: '{"customerId":"bob"}' }],
    ['the same under both names', '/v1/orders', { body: '{"customerId":"ann","customer_id":"bob"}' }],
    ['a name given twice', '/v1/orders', { body: '{"customerId":"ann","customerId":"bob"}' }],
    ['no owner', '/v1/orders', { body: '{"note":"x"}' }],
    ['null', '/v1/orders', { body: '{"customerId":null}' }],
    ['nothing', '/v1/orders', { body: '' }],
    ['escapes', '/v1/orders', { body: '{"customer\\u0049d":"bob"}' }],
    ['the path', '/v1/customers/ann/orders', { method: 'PUT', body: '{"order":{"customerId":"bob"}}' }],
    [
      'the path, the other way',
      '/v1/customers/bob/orders',
      { method: 'PUT', body: '{"order":{"customerId":"ann"}}' },
    ],
    [
      'bytes after the path',
      '/v1/customers/ann/orders',
      { method: 'PUT', type: 'application/x-protobuf', body: message(1, text(1, 'bob')) },
    ],
  ])('%s', async (_, path, given) => {
    const { status } = await ask(path, { method: 'POST', type: 'application/json', ...given });
    expect([400, 403]).toContain(status);
    expect(service.requests).toEqual([]);
  });

  const [ann, bob] = [text(1, 'ann'), text(1, 'bob')];
  test.each<[string, Uint8Array]>([
    ['the field twice, the last one false', Buffer.concat([ann, bob])],
    ['the field twice, the first one false', Buffer.concat([bob, ann])],
    ['the field again, but empty', Buffer.concat([ann, text(1, '')])],
    // Decoders that look at the number alone read a text here: two zero bytes, then the rest of it as fields.
    ['the number with another wire type', Buffer.concat([ann, Buffer.from([0x08, 0x02]), text(2, '')])],
    ['the number as a group', Buffer.concat([ann, Buffer.from([0x0b, 0x0c])])],
    ['cut short', Buffer.concat([ann, Buffer.from([0x0a, 0x40])])],
    ['not UTF-8', Buffer.from([0x0a, 0x03, 0xff, 0xfe, 0xfd])],
  ])('in bytes: %s', async (_, order) => {
    const { status: whole } = await postBytes('/owned.v1.OwnedService/Create', message(1, order));
    expect([400, 403]).toContain(whole);
    expect(service.requests).toEqual([]);
    // Where a body is one field, it is encoded anew: what the service then gets is what was judged.
    await postBytes('/v1/orders', order);
    for (const request of service.requests) expect(request).toMatchObject({ order: { customer_id: 'ann' } });
  });

  test('in bytes: the message in two pieces, which decoders put together or not', async () => {
    const pieces = Buffer.concat([message(1, ann), message(1, text(2, 'note'))]);
    expect((await postBytes('/owned.v1.OwnedService/Create', pieces)).status).toBe(403);
    const others = Buffer.concat([message(1, bob), message(1, ann)]);
    expect((await postBytes('/owned.v1.OwnedService/Create', others)).status).toBe(403);
    expect(service.requests).toEqual([]);
  });

  test('while plain bytes are what they say, unknown fields and a long tag included', async () => {
    const long = Buffer.from([0x8a, 0x80, 0x00, 0x03, 0x61, 0x6e, 0x6e]);
    const unknown = new BinaryWriter().tag(99, WireType.Varint).uint32(7).finish();
    const { status, json } = await postBytes('/v1/orders', Buffer.concat([unknown, long]));
    expect([status, json]).toMatchObject([200, {}]);
  });
});

describe('a oneof cannot hide the field', () => {
  const [ann, group] = [text(1, 'ann'), text(2, 'g1')];
  test.each<[string, Uint8Array]>([
    ['another member', group],
    ['another member after it', Buffer.concat([ann, group])],
    ['another member after it, with another wire type', Buffer.concat([ann, Buffer.from([0x10, 0x01])])],
  ])('%s', async (_, body) => {
    expect([400, 403]).toContain((await postBytes('/v1/claims', body)).status);
    expect(service.requests).toEqual([]);
  });

  test('in JSON or a query', async () => {
    for (const value of [
      { groupId: 'g1' },
      { customerId: 'ann', groupId: 'g1' },
      { groupId: 'g1', customerId: 'ann' },
    ])
      expect([400, 403]).toContain((await post('/v1/claims', value)).status);
    for (const query of ['group_id=g1', 'customer_id=ann&group_id=g1', 'group_id=g1&customer_id=ann'])
      expect([400, 403]).toContain((await ask(`/v1/claims?${query}`)).status);
    expect(service.requests).toEqual([]);
    expect((await post('/v1/claims', { customerId: 'ann', points: 3 })).status).toBe(200);
  });

  test('and what it unsets again counts as said', async () => {
    // The last member is in force, for every decoder.
    const both = Buffer.concat([group, ann]);
    expect((await postBytes('/v1/claims', both)).status).toBe(200);
  });
});

describe('a stream of requests', () => {
  const lines = (...chunks: object[]) => chunks.map((chunk) => `${JSON.stringify(chunk)}\n`).join('');
  const stream = (path: string, body: string) =>
    ask(path, {
      method: 'POST',
      type: 'application/x-ndjson',
      body,
      headers: { accept: 'application/json' },
    });

  test('is bound in its first message, and in no later one to something else', async () => {
    const good = await stream(
      '/v1/uploads',
      lines({ customerId: 'ann' }, { text: 'a' }, { customerId: 'ann' }),
    );
    expect(good.status).toBe(200);
    expect(service.requests).toHaveLength(3);
    service.requests.length = 0;
    for (const chunks of [[{ text: 'a' }, { customerId: 'ann' }], [{ customerId: 'bob' }]])
      expect((await stream('/v1/uploads', lines(...chunks))).status).toBe(403);
    expect(service.requests).toEqual([]);
    const late = await stream('/v1/uploads', lines({ customerId: 'ann' }, { customerId: 'bob' }));
    expect(late).toMatchObject({ status: 403, json: { code: Code.PERMISSION_DENIED } });
    expect(
      service.requests.filter((each) => (each as { customer_id: string }).customer_id === 'bob'),
    ).toEqual([]);
  });

  test('is bound in every message where the rule says nothing else', async () => {
    const { json } = await stream('/v1/talks', lines({ customerId: 'ann', text: '1' }, { text: '2' }));
    expect(JSON.stringify(json)).toMatch(/"code":7/);
    expect(service.requests.filter((each) => (each as { text: string }).text === '2')).toEqual([]);
  });

  test('is bound on a WebSocket too, in each frame', async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${running.port}/ws`, ['tidegate.v1.json']);
    const frames: { type: string; sid?: number; status?: { code: number } }[] = [];
    const ended = new Promise<void>((resolve) => {
      socket.on('message', (data: Buffer) => {
        for (const line of data.toString().split('\n')) frames.push(JSON.parse(line));
        if (frames.some(({ type }) => type === 'end')) resolve();
      });
    });
    socket.on('open', () => {
      const send = (frame: object) => socket.send(JSON.stringify(frame));
      send({ type: 'hello', token: ANN });
      send({ type: 'open', sid: 1, method: 'owned.v1.OwnedService/Talk' });
      send({ type: 'msg', sid: 1, data: { customerId: 'ann', text: '1' } });
      send({ type: 'msg', sid: 1, data: { customerId: 'bob', text: '2' } });
    });
    await ended;
    socket.terminate();
    expect(
      frames.find(({ type }) => type === 'end'),
      JSON.stringify(frames),
    ).toMatchObject({
      status: { code: Code.PERMISSION_DENIED },
    });
    expect(
      service.requests.filter((each) => (each as { customer_id: string }).customer_id === 'bob'),
    ).toEqual([]);
  });
});

describe('what is read off the wire', () => {
  const types = compileProto(`
    syntax = "proto3";
    package b.v1;
    message In { int64 id = 1; bool flag = 2; sint32 small = 3; In in = 4; bytes raw = 5; }
  `);
  const desc = types.getMessage('b.v1.In');
  if (desc === undefined) throw new Error('no type');
  const said = (path: string, bytes: Uint8Array, ...expected: string[]) =>
    createBoundField(desc, path).said(
      bytes,
      expected.map((each) => Buffer.from(each)),
    );
  const writer = () => new BinaryWriter();

  test('compares numbers by their value, bytes as text, and takes a zero for nothing', () => {
    expect(said('id', writer().tag(1, WireType.Varint).int64(-5).finish(), '-5')).toBe('expected');
    expect(said('id', writer().tag(1, WireType.Varint).int64(5).finish(), '6', '5')).toBe('expected');
    expect(said('id', writer().tag(1, WireType.Varint).int64(5).finish(), '6')).toBe('other');
    expect(said('id', writer().tag(1, WireType.Varint).int64(0).finish(), '6')).toBe('unset');
    expect(said('flag', writer().tag(2, WireType.Varint).bool(true).finish(), 'true')).toBe('expected');
    expect(said('small', writer().tag(3, WireType.Varint).sint32(-7).finish(), '-7')).toBe('expected');
    expect(said('raw', writer().tag(5, WireType.LengthDelimited).string('é').finish(), 'é')).toBe('expected');
    expect(
      said('in.in.id', message(4, message(4, writer().tag(1, WireType.Varint).int64(9).finish())), '9'),
    ).toBe('expected');
    expect(said('in.in.id', message(4, writer().tag(1, WireType.Varint).int64(9).finish()), '9')).toBe(
      'unset',
    );
  });

  test('never throws, and never takes bytes for what they do not say', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const answer = said('in.raw', bytes, 'secret-owner');
        expect(['unset', 'other', 'expected']).toContain(answer);
        if (!Buffer.from(bytes).includes('secret-owner')) expect(answer).not.toBe('expected');
      }),
      { numRuns: 5_000 },
    );
  });
});
