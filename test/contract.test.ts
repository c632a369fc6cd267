/** A contract from .proto files and descriptor sets, or several of them, and which upstream serves what. */
import { join } from 'node:path';
import { clone, create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import { afterAll, describe, expect, it } from 'vitest';
import { OPTION } from '../src/contract/annotations.js';
import type { Contract } from '../src/contract/contract.js';
import { type ContractSources, loadContract } from '../src/contract/load.js';
import { STREAM_DEFAULTS } from '../src/method.js';
import {
  compile,
  folders,
  HEAD,
  load,
  loadSet,
  method,
  NOTHING,
  problemsOf,
} from './support/contracts/loading.js';
import { buildWithBuf, encodeSet, PROJECT } from './support/contracts/write.js';

afterAll(() => folders.remove());

describe('a contract', () => {
  it('has every method with its types, routes, access, stream options, upstream and place', async () => {
    const { methods, types } = await load({
      'shop.proto': `${HEAD}package shop.v1;
message Item { string kind = 1; }
service Shop {
  rpc Get(Item) returns (Item) {
    option (google.api.http) = {
      get: "/v1/{kind}"
      additional_bindings { post: "/v1/items" body: "*" response_body: "kind" }
      additional_bindings { custom { kind: "HEAD" path: "/v1/head" } }
    };
    option (tidegate.v1.access).permissions = "items:read";
    option (tidegate.v1.access) = { permissions: "more" roles: ["admin", "staff"] };
  }
  // A comment with rpc Watch(Item) in it.
  rpc Watch(stream Item) returns (stream Item) {
    option (tidegate.v1.access) = { public: true };
    option (tidegate.v1.stream) = { event_field: "kind" heartbeat { seconds: 1 nanos: 500000000 } };
  }
  rpc Put(stream Item) returns (Item);
}`,
    });
    expect(methods.map(({ name }) => name)).toEqual(
      ['Get', 'Watch', 'Put'].map((rpc) => `shop.v1.Shop/${rpc}`),
    );
    const [get, watch, put] = methods;
    expect(get).toMatchObject({
      service: 'shop.v1.Shop',
      path: '/shop.v1.Shop/Get',
      clientStreaming: false,
      serverStreaming: false,
      routes: [
        { verb: 'GET', template: '/v1/{kind}', body: '', responseBody: '' },
        { verb: 'POST', template: '/v1/items', body: '*', responseBody: 'kind' },
        { verb: 'HEAD', template: '/v1/head', body: '', responseBody: '' },
      ],
      access: { public: false, permissions: ['items:read', 'more'], roles: ['admin', 'staff'] },
      stream: STREAM_DEFAULTS,
      upstream: 'u1',
      source: { file: 'shop.proto', line: 7 },
    });
    expect(get?.input).toBe(types.getMessage('shop.v1.Item'));
    expect(watch).toMatchObject({
      clientStreaming: true,
      serverStreaming: true,
      routes: [],
      access: { public: true, permissions: [], roles: [] },
      stream: { ...STREAM_DEFAULTS, eventField: 'kind', heartbeatMs: 1500 },
      source: { file: 'shop.proto', line: 17 },
    });
    expect(put).toMatchObject({ clientStreaming: true, serverStreaming: false, source: { line: 21 } });
    expect(types.getExtension('tidegate.v1.access')?.number).toBe(OPTION.access);
    expect(types.getExtension('google.api.http')?.number).toBe(OPTION.http);
  });

  it('is the same from .proto files and from a descriptor set of buf', async () => {
    const own = join(PROJECT, 'proto');
    const fromProtos = await loadContract({ ...NOTHING, protos: [own] });
    const fromSet = await loadSet(buildWithBuf(own, folders).file);
    const plain = ({ methods }: Contract) =>
      methods
        .map(({ input, output, source: _, ...rest }) => ({
          ...rest,
          types: [input.typeName, output.typeName],
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(plain(fromSet)).toEqual(plain(fromProtos));
    expect(fromSet.methods.length).toBeGreaterThan(10);
  });

  it('of 1,000 methods loads in less than 3 seconds', async () => {
    const rpc = (index: number) =>
      `rpc Do${index}(M) returns (M) { option (google.api.http) = { get: "/v1/do${index}/{a}" }; option (tidegate.v1.access) = { roles: "x" }; }`;
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, file) => [
        `f${file}.proto`,
        `${HEAD}package f${file}; message M { string a = 1; map<string, M> b = 2; } service S { ${Array.from({ length: 50 }, (_, index) => rpc(index)).join('\n')} }`,
      ]),
    );
    const before = performance.now();
    expect((await load(files)).methods).toHaveLength(1_000);
    expect(performance.now() - before).toBeLessThan(3_000);
  });
});

describe('a descriptor set', () => {
  it('may give an option in several pieces, as protoc does', async () => {
    const files = compile(method(''));
    const pieces = [
      [2, '/a'],
      [7, '*'],
    ] as const;
    const options = create(MethodOptionsSchema);
    options.$unknown = pieces.map(([no, text]) => {
      const rule = new BinaryWriter().tag(no, WireType.LengthDelimited).string(text).finish();
      return {
        no: OPTION.http,
        wireType: WireType.LengthDelimited,
        data: new BinaryWriter().bytes(rule).finish(),
      };
    });
    const rpc = files.find(({ name }) => name === 'a.proto')?.service[0]?.method[0];
    if (rpc) rpc.options = options;
    const { methods } = await loadSet(files);
    expect(methods.find(({ name }) => name === 'a.S/Do')?.routes).toEqual([
      { verb: 'GET', template: '/a', body: '*', responseBody: '' },
    ]);
  });

  it('may leave out google/protobuf, google/api and tidegate/v1, and JSON names', async () => {
    const [file] = compile(method('option (google.api.http) = { get: "/a" };')).filter(
      ({ name }) => name === 'a.proto',
    );
    for (const field of file?.messageType[0]?.field ?? []) field.jsonName = '';
    const { methods, types } = await loadSet([file as FileDescriptorProto]);
    expect(methods[0]?.routes).toHaveLength(1);
    expect(methods[0]?.input.fields.map(({ jsonName }) => jsonName)).toContain('twoWords');
    expect(types.getExtension('google.api.http')).toBeDefined();
  });

  it('without its imports is a problem that says how to write it', async () => {
    const files = compile({
      'a.proto':
        'syntax = "proto3"; package a; import "lib/b.proto"; service S { rpc Do(lib.B) returns (lib.B); }',
      'lib/b.proto': 'syntax = "proto3"; package lib; message B {}',
    });
    expect(await problemsOf(loadSet(files.filter(({ name }) => name === 'a.proto')))).toEqual([
      'a.proto: imports "lib/b.proto", which the descriptor set does not hold: write it with buf build, or with protoc --include_imports',
    ]);
  });

  it('that needs a type which no file declares is a problem', async () => {
    const files = compile({
      'a.proto':
        'syntax = "proto3"; package a; message B { B b = 1; } message C {} service S { rpc Do(B) returns (C); }',
    });
    const broken = clone(FileDescriptorProtoSchema, files[0] as FileDescriptorProto);
    broken.messageType = broken.messageType.filter(({ name }) => name !== 'C');
    expect(await problemsOf(loadSet([broken]))).toEqual([
      'a.proto: a.S/Do needs a.C, which no file declares',
    ]);
  });

  it.each([
    ['a truncated one', 'is no descriptor set, or a truncated one'],
    ['text', 'is no descriptor set'],
    ['another message', 'is no descriptor set'],
    ['nothing', 'holds no files'],
  ])('that is %s is a problem that says how to write one', async (kind, problem) => {
    const whole = encodeSet(compile(method('')));
    const contents: Record<string, Uint8Array> = {
      'a truncated one': whole.subarray(0, whole.length - 10),
      text: Buffer.from('syntax = "proto3"; message M {}'),
      'another message': toBinary(
        FileDescriptorSetSchema,
        create(FileDescriptorSetSchema, { file: [{ syntax: 'proto3' }] }),
      ),
      nothing: new Uint8Array(),
    };
    const path = join(folders.write({ 'x.binpb': contents[kind] as Uint8Array }), 'x.binpb');
    const problems = await problemsOf(loadContract({ ...NOTHING, descriptors: [path] }));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(new RegExp(`^${path}: ${problem}.*buf build -o x\\.binpb`));
  });

  it('that is not there is a problem, beside those of other sources', async () => {
    const problems = await problemsOf(
      load({ 'a.proto': 'syntax = "proto3"; oops' }, { descriptors: ['/no/x.binpb'] }),
    );
    expect(problems).toEqual([expect.stringMatching(/^a\.proto:1: illegal/), '/no/x.binpb: no such file']);
  });
});

describe('several sources', () => {
  const service = (field: string) =>
    `syntax = "proto3"; package a; message M { ${field} = 1; } service S { rpc Do(M) returns (M); }`;

  it('may say the same thing twice, in files of any name', async () => {
    const set = compile({ 'renamed.proto': service('string text') });
    const { methods } = await loadSet(set, {
      protos: [folders.write({ 'a.proto': service('string text') })],
    });
    expect(methods.map(({ name }) => name)).toEqual(['a.S/Do']);
  });

  it('may have different files of one name', async () => {
    const other = compile({ 'a.proto': service('string text').replace('package a', 'package b') });
    const { methods } = await loadSet(other, {
      protos: [folders.write({ 'a.proto': service('string text') })],
    });
    expect(methods.map(({ name }) => name)).toEqual(['a.S/Do', 'b.S/Do']);
  });

  it('that say different things of one name are a problem that names both', async () => {
    const changed = service('int32 text').replace('rpc Do(M)', 'rpc Do(stream M)');
    const folder = folders.write({ 'a.proto': service('string text') });
    const problems = await problemsOf(loadSet(compile({ 'b.proto': changed }), { protos: [folder] }));
    expect(problems).toEqual([
      expect.stringMatching(
        `^b\\.proto: message a\\.M is declared differently in a\\.proto \\(${folder}\\) and in b\\.proto \\(.*/x\\.binpb\\) \\(and 1 more\\)$`,
      ),
    ]);
  });

  it('that differ in a route of a method are a problem', async () => {
    const set = compile(method('option (google.api.http) = { get: "/a" };'));
    const problems = await problemsOf(
      loadSet(set, { protos: [folders.write(method('option (google.api.http) = { get: "/b" };'))] }),
    );
    expect(problems).toEqual([expect.stringContaining('service a.S is declared differently')]);
  });

  it('without any service are a problem', async () => {
    const problem = 'the contract has no service to serve';
    expect(await problemsOf(load({ 'a.proto': 'syntax = "proto3"; message M {}' }))).toEqual([problem]);
    expect(await problemsOf(loadContract(NOTHING))).toEqual([problem]);
  });
});

describe('upstreams', () => {
  const files = Object.fromEntries(
    ['a.v1', 'a.v2', 'b.v1'].map((name) => [
      `${name}.proto`,
      `syntax = "proto3"; package ${name}; message M {} service S { rpc Do(M) returns (M); }`,
    ]),
  );
  const assign = async (upstreams: ContractSources['upstreams']) => {
    const { methods } = await load(files, { upstreams });
    return methods.map(({ upstream }) => upstream);
  };
  const up = (name: string, ...services: string[]) => ({ name, services });

  it('get the services they claim by name or prefix, and one takes what is left', async () => {
    expect(await assign([up('x')])).toEqual(['x', 'x', 'x']);
    expect(await assign([up('x', 'a.'), up('y', 'b.v1.S')])).toEqual(['x', 'x', 'y']);
    expect(await assign([up('rest'), up('x', 'a.v2.')])).toEqual(['rest', 'x', 'rest']);
    expect(await assign([up('x', 'a.'), up('y', 'a.v1.S', 'b.')])).toEqual(['y', 'x', 'y']);
    expect(await assign([])).toEqual(['', '', '']);
  });

  it.each([
    [
      [up('x', 'a.', 'a.v1.S'), up('y', 'a.v1.S', 'b.')],
      'service a.v1.S would be served by x and y: give it to one of them with --upstream a.v1.S=ADDRESS',
    ],
    [[up('x', 'a.'), up('y', 'b.v1.S', 'c.')], 'upstream y claims c., which is no service of the contract'],
    [
      [up('x', 'a.'), up('y'), up('z')],
      'service b.v1.S would be served by y and z: give it to one of them with --upstream b.v1.S=ADDRESS',
    ],
    [
      [up('x', 'a.v1.'), up('y', 'a.v2.')],
      'service b.v1.S has no upstream: say where it is with --upstream b.v1.=ADDRESS',
    ],
    [[up('x', 'a.')], 'service b.v1.S has no upstream: say where it is with --upstream b.v1.=ADDRESS'],
    [
      [up('x', 'a.v1'), up('y')],
      'upstream x claims a.v1, which is no service of the contract; is a.v1. meant?',
    ],
  ])('%j are a problem', async (upstreams, problem) => {
    expect(await problemsOf(load(files, { upstreams }))).toEqual([problem]);
  });
});
