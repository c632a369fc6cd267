/** A contract by server reflection, from servers that do it well, differently, badly and not at all. */
import { afterEach, describe, expect, it } from 'vitest';
import { describeProtos } from '../src/contract/protos.js';
import { createReflecting, reflectionProblems as problemsOf } from './support/contracts/reflecting.js';
import type { ReflectionServer, ReflectionServerOptions } from './support/contracts/reflection_server.js';
import { createFolders } from './support/contracts/write.js';

const folders = createFolders();
const reflecting = createReflecting();
const { load } = reflecting;

afterEach(async () => {
  folders.remove();
  await reflecting.close();
});

const SHOP = {
  'shop.proto': `syntax = "proto3"; package shop.v1;
    import "google/api/annotations.proto";
    import "google/protobuf/timestamp.proto";
    import "lib/money.proto";
    message Item { lib.Money price = 1; google.protobuf.Timestamp made = 2; }
    service Shop { rpc Get(Item) returns (Item) { option (google.api.http) = { get: "/v1/item" }; } }
    service Stock { rpc Watch(Item) returns (stream Item); }`,
  'lib/money.proto':
    'syntax = "proto3"; package lib; import "lib/unit.proto"; message Money { Unit unit = 1; }',
  'lib/unit.proto': 'syntax = "proto3"; package lib; enum Unit { NONE = 0; }',
};
const SERVICES = [
  'grpc.reflection.v1.ServerReflection',
  'shop.v1.Shop',
  'shop.v1.Stock',
  'grpc.health.v1.Health',
];

function compile(files: Readonly<Record<string, string>>) {
  return describeProtos({ protos: [folders.write(files)], includes: [] }).files;
}

function start(options: Partial<ReflectionServerOptions> = {}): Promise<ReflectionServer> {
  return reflecting.start({ files: compile(SHOP), services: SERVICES, ...options });
}

describe('server reflection', () => {
  it('gives the contract in v1, file by file, without infrastructure services', async () => {
    const server = await start();
    const { methods, types } = await load({ shop: server.address });
    expect(methods.map(({ name, upstream }) => [name, upstream])).toEqual([
      ['shop.v1.Shop/Get', 'shop'],
      ['shop.v1.Stock/Watch', 'shop'],
    ]);
    expect(methods[0]?.routes).toEqual([{ verb: 'GET', template: '/v1/item', body: '', responseBody: '' }]);
    expect(types.getEnum('lib.Unit')).toBeDefined();
    expect(new Set(server.asked.map((asked) => asked.split(' ')[0]))).toEqual(new Set(['v1']));
    expect(server.asked).toContain('v1 file lib/unit.proto');
    expect(server.asked).not.toContain('v1 symbol grpc.health.v1.Health');
    expect(server.asked).not.toContain('v1 file google/protobuf/timestamp.proto');
  });

  it('falls back to v1alpha', async () => {
    const server = await start({ versions: ['v1alpha'] });
    expect((await load({ shop: server.address })).methods).toHaveLength(2);
    expect(server.asked[0]).toBe('v1alpha list');
  });

  it('asks for no file again when the server sends imports along', async () => {
    const server = await start({ transitive: true });
    expect((await load({ shop: server.address })).methods).toHaveLength(2);
    expect(server.asked.filter((asked) => asked.includes(' file '))).toEqual([]);
  });

  it('does without imports that the server does not know, if no type is missing', async () => {
    const hidden = ['google/api/annotations.proto', 'lib/money.proto', 'lib/unit.proto'];
    const money = 'github.example/lib/money.proto';
    const files = compile(SHOP).map((file) =>
      file.name === 'lib/money.proto' ? { ...file, name: money } : file,
    );
    const gone = await start({ files: files.filter(({ name }) => name !== money), hidden });
    expect(await problemsOf(load({ shop: gone.address }))).toEqual([
      {
        problem:
          'upstream shop describes itself wrongly by server reflection: shop.proto: shop.v1.Item.price needs lib.Money, which no file declares: give its contract with --proto or --descriptors',
      },
    ]);

    // Found by the name of the type, where that of the file leads nowhere.
    const byType = await start({ files, hidden });
    expect((await load({ shop: byType.address })).types.getMessage('lib.Money')?.file.proto.name).toBe(money);

    const odd = await start({
      files,
      hidden: ['google/api/annotations.proto'],
      renamed: { 'lib/money.proto': money },
    });
    const { types } = await load({ shop: odd.address });
    expect(types.getMessage('lib.Money')?.file.proto.name).toBe(money);
    expect(types.getExtension('google.api.http')).toBeDefined();
  });

  it('ends its stream when it is done', async () => {
    const server = await start();
    await load({ shop: server.address });
    await expect.poll(server.open).toBe(0);
  });

  it('merges several upstreams, each with what it lists or the part that it claims', async () => {
    const other = {
      'shop.proto': 'syntax = "proto3"; package other; message M {} service Other { rpc Do(M) returns (M); }',
    };
    const [shop, more] = [await start(), await start({ files: compile(other), services: ['other.Other'] })];
    const addresses = { shop: shop.address, more: more.address };
    const { methods } = await load(addresses);
    expect(methods.map(({ name, upstream }) => [name, upstream])).toEqual([
      ['shop.v1.Shop/Get', 'shop'],
      ['shop.v1.Stock/Watch', 'shop'],
      ['other.Other/Do', 'more'],
    ]);
    const part = await load(addresses, { shop: { services: ['shop.v1.Stock'] } });
    expect(part.methods.map(({ name }) => name)).toEqual(['shop.v1.Stock/Watch', 'other.Other/Do']);
  });

  it('gives a service that two upstreams list to the one that claims it, and else to none', async () => {
    const [one, two] = [await start(), await start()];
    const addresses = { one: one.address, two: two.address };
    const { methods } = await load(addresses, { two: { services: ['shop.v1.'] } });
    expect(methods.map(({ upstream }) => upstream)).toEqual(['two', 'two']);
    const problems = await problemsOf(load(addresses));
    const twice = (service: string) => ({
      problem: `service ${service} would be served by one and two: give it to one of them with --upstream ${service}=ADDRESS`,
    });
    expect(problems).toEqual([twice('shop.v1.Shop'), twice('shop.v1.Stock')]);
  });
});

describe('a problem with server reflection', () => {
  const START = 'upstream shop could not be asked for its contract by server reflection: ';
  const MALFORMED = `${START}INTERNAL: the answer is malformed: `;

  it('names the upstream that does not offer it', async () => {
    const server = await start({ versions: [] });
    expect(await problemsOf(load({ shop: server.address }))).toEqual([
      {
        problem:
          'upstream shop does not offer server reflection: switch it on there, or give --proto or --descriptors',
      },
    ]);
  });

  it('names the upstream that does not answer in time, and ends the call', async () => {
    const server = await start({ answer: 'nothing' });
    const before = Date.now();
    const problems = await problemsOf(load({ shop: server.address }, { shop: { timeoutMs: 300 } }));
    expect(problems).toEqual([
      { problem: `${START}DEADLINE_EXCEEDED: no answer within 300 ms`, temporary: true },
    ]);
    expect(Date.now() - before).toBeLessThan(2_000);
    expect(server.asked).toEqual(['v1 list']);
    await expect.poll(server.open).toBe(0);
  });

  it('is temporary for an upstream that is not there, and told beside that of others', async () => {
    const gone = await start();
    gone.close();
    const mute = await start({ answer: 'end' });
    const problems = await problemsOf(load({ shop: gone.address, mute: mute.address }));
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatchObject({
      problem: expect.stringContaining(`${START}UNAVAILABLE`),
      temporary: true,
    });
    expect(problems[1]?.problem).toContain('upstream mute could not be asked');
    expect(problems[1]?.problem).toContain('ended the stream before it had answered');
  });

  it.each([
    [
      'bytes that are no message',
      new Uint8Array([0x32, 9]),
      'it is not a protobuf message of the kind that was asked for',
    ],
    ['an empty answer', new Uint8Array(), 'it does not list its services (another answer came)'],
    [
      'an error',
      new Uint8Array([0x3a, 6, 8, 7, 0x12, 2, 0x6e, 0x6f]),
      'it does not list its services (PERMISSION_DENIED: no)',
    ],
    ['a list that is a number', new Uint8Array([0x30, 1]), 'a field has the wrong type'],
  ])('is told for %s', async (_, answer, problem) => {
    const server = await start({ answer });
    expect(await problemsOf(load({ shop: server.address }))).toEqual([{ problem: MALFORMED + problem }]);
  });

  it('is told for a service that is listed but not described', async () => {
    const server = await start({ services: ['shop.v1.Shop', 'shop.v1.Ghost'] });
    expect(await problemsOf(load({ shop: server.address }))).toEqual([
      {
        problem: `${MALFORMED}it lists services whose files it does not have (NOT_FOUND: shop.v1.Ghost not found)`,
      },
    ]);
  });
});
