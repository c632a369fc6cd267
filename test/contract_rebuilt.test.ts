/** Contracts of servers with @grpc/reflection, whose descriptors have lost much of what their files said. */
import { clone, equals } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { run } from '../gateway/command/command.js';
import { type Contract, printProblem } from '../src/contract/contract.js';
import { loadContract } from '../src/contract/load.js';
import { describeProtos } from '../src/contract/protos.js';
import { restoreShape } from '../src/contract/rebuilt.js';
import { folders, NOTHING } from './support/contracts/loading.js';
import { rebuild } from './support/contracts/rebuilt.js';
import { createReflecting, reflectionProblems } from './support/contracts/reflecting.js';

const reflecting = createReflecting();
afterEach(() => reflecting.close());
afterAll(() => folders.remove());

const FLEET = {
  'fleet/v1/fleet.proto': `syntax = "proto3"; package fleet.v1;
    import "fleet/v1/kind.proto"; import "lib/money.proto"; import "tidegate/v1/options.proto";
    import "google/api/annotations.proto"; import "google/protobuf/any.proto"; import "google/protobuf/empty.proto";
    import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
    message Labels { string x = 1; }
    message State { string not_the_enum = 1; }
    message Truck {
      enum State { STATE_UNSPECIFIED = 0; MOVING = 1; }
      message Part { string name = 1; State state = 2; optional int32 count = 3; Kind kind = 4; }
      optional string note = 1;
      oneof cargo { string box = 2; lib.Money money = 3; Kind kind = 4; }
      optional Kind tint = 5;
      State state = 6;
      map<string, Labels> labels = 7;
      map<string, Part> parts_by_name = 8;
      map<string, State> states = 9;
      map<int32, .fleet.v1.State> others = 10;
      repeated int32 packed = 11;
      repeated int32 unpacked = 12 [packed = false];
      google.protobuf.Timestamp at = 13;
      google.protobuf.StringValue text = 14;
      google.protobuf.Any any = 15;
      google.protobuf.Struct struct = 16;
      google.protobuf.NullValue null = 17;
      Truck next = 18 [deprecated = true];
      reserved 100, 200 to 210;
    }
    message Wanted { string truck_id = 1; }
    service Fleet {
      rpc Get(Wanted) returns (Truck) { option (google.api.http) = { get: "/v1/{truck_id}" }; option (tidegate.v1.access) = { public: true }; }
      rpc Watch(google.protobuf.Empty) returns (stream Truck) { option deprecated = true; }
    }`,
  'fleet/v1/kind.proto': 'syntax = "proto3"; package fleet.v1; enum Kind { KIND_UNSPECIFIED = 0; VAN = 1; }',
  'lib/money.proto': `syntax = "proto3"; package lib; import "lib/old.proto";
    message Money { int64 units = 1; deep.Old old = 2; lib.deep.Older older = 3; }`,
  'lib/old.proto': `syntax = "proto2"; package lib.deep;
    message Old {
      enum Odd { ONE = 1; TWO = 2; }
      optional int32 number = 1 [default = 5];
      repeated int32 list = 2;
      optional group Box = 3 { optional string text = 1; }
      optional Odd odd = 4;
      extensions 100 to 200;
    }
    extend Old { optional string extra = 100; }
    message Older { message Inner {} optional Inner inner = 1; extend Old { optional Inner deep = 101; } }`,
};
const SERVICES = ['fleet.v1.Fleet'];

function write(files: Readonly<Record<string, string>>) {
  const folder = folders.write(files);
  return { folder, files: Object.keys(files).slice(0, 1) };
}

/** Every message and enum of the contract that its own files declare, in one form, without what nothing can restore. */
function typesOf({ types }: Contract): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const type of types) {
    if (type.typeName.startsWith('google.') || type.typeName.startsWith('tidegate.')) continue;
    if (type.kind === 'enum')
      found.set(
        type.typeName,
        type.values.map(({ name, number }) => [name, number]),
      );
    if (type.kind === 'extension')
      found.set(type.typeName, [type.number, type.extendee.typeName, String(type)]);
    if (type.kind !== 'message') continue;
    const fields = type.fields.map((field) => [
      field.name,
      field.jsonName,
      field.number,
      field.fieldKind,
      field.scalar ?? field.message?.typeName ?? field.enum?.typeName,
      field.fieldKind === 'map' && [field.mapKey, field.mapKind],
      field.presence,
      field.oneof?.name,
      field.fieldKind === 'list' && field.packed,
      field.fieldKind === 'message' && field.delimitedEncoding,
      field.proto.defaultValue,
      field.deprecated,
    ]);
    found.set(type.typeName, [fields, type.oneofs.map(({ name }) => name)]);
  }
  return found;
}

describe('a server with @grpc/reflection', () => {
  it('gives the same types as its .proto files, though it rebuilt its descriptors from them', async () => {
    const written = write(FLEET);
    const server = await reflecting.start({ files: rebuild(written), services: SERVICES });
    const contract = await reflecting.load({ fleet: server.address });
    const expected = typesOf(await loadContract({ ...NOTHING, protos: [written.folder] }));
    const actual = typesOf(contract);
    expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, type] of expected) expect(actual.get(name), name).toEqual(type);
    expect(contract.methods.map(({ name, routes, input }) => [name, routes, input.typeName])).toEqual([
      ['fleet.v1.Fleet/Get', [], 'fleet.v1.Wanted'],
      ['fleet.v1.Fleet/Watch', [], 'google.protobuf.Empty'],
    ]);
    expect(contract.types.getFile('google/protobuf/timestamp.proto')).toBeDefined();
  });

  it('is asked for types by name where it sends files without those they need', async () => {
    const server = await reflecting.start({ files: rebuild(write(FLEET)), services: SERVICES });
    await reflecting.load({ fleet: server.address });
    expect(server.asked).toContain('v1 symbol lib.Money');
    expect(server.asked.filter((asked) => asked.startsWith('v1 file'))).toEqual([]);
    expect(new Set(server.asked).size).toBe(server.asked.length);
  });

  it('may have turned its field names into camel case', async () => {
    const files = rebuild({ ...write(FLEET), keepCase: false });
    const server = await reflecting.start({ files, services: SERVICES });
    const { types } = await reflecting.load({ fleet: server.address });
    const truck = types.getMessage('fleet.v1.Truck');
    expect(truck?.fields.map(({ jsonName }) => jsonName)).toContain('partsByName');
    expect(truck?.field.partsByName).toMatchObject({ fieldKind: 'map', mapKind: 'message' });
  });

  it('may have a service without a package', async () => {
    const files = rebuild(
      write({
        'a.proto':
          'syntax = "proto3"; message M { Kind kind = 1; } enum Kind { NONE = 0; } service Plain { rpc Do(M) returns (M); }',
      }),
    );
    const server = await reflecting.start({ files, services: ['.Plain'] });
    const { methods } = await reflecting.load({ plain: server.address });
    expect(methods.map(({ path, service }) => [path, service])).toEqual([['/Plain/Do', 'Plain']]);
    const claimed = await reflecting.load({ plain: server.address }, { plain: { services: ['Plain'] } });
    expect(claimed.methods).toHaveLength(1);
  });

  it('has the files of google.api that we carry, which are newer than those of protobufjs', async () => {
    const files = rebuild(
      write({
        'a.proto': `syntax = "proto3"; package a; import "google/api/http.proto";
          service S { rpc Do(google.api.HttpRule) returns (google.api.Http); }`,
      }),
    );
    const server = await reflecting.start({ files, services: ['a.S'] });
    const { types } = await reflecting.load({ a: server.address });
    const rule = types.getMessage('google.api.HttpRule');
    expect(rule?.field.responseBody).toBeDefined();
    expect(rule?.file.proto.name).toBe('google/api/http.proto');
  });

  it('keeps messages of proto2 and proto3 apart that share a package', async () => {
    const written = write({
      'a.proto': `syntax = "proto3"; package a; import "b.proto"; message New { int32 number = 1; Old old = 2; }
        service S { rpc Do(New) returns (New); }`,
      'b.proto':
        'syntax = "proto2"; package a; message Old { optional int32 number = 1; } enum Odd { ONE = 1; }',
    });
    const server = await reflecting.start({ files: rebuild(written), services: ['a.S'] });
    const { types } = await reflecting.load({ a: server.address });
    const presence = (name: string) => types.getMessage(name)?.field.number?.presence;
    expect(presence('a.New')).not.toBe(presence('a.Old'));
    expect(types.getEnum('a.Odd')?.open).toBe(false);
  });

  it('may have packages that need each other, though no files do', async () => {
    const written = write({
      'shop/service.proto': `syntax = "proto3"; package shop; import "shop/orders.proto"; import "shop/types.proto";
        service Shop { rpc Do(orders.Order) returns (Item); }`,
      'shop/orders.proto': `syntax = "proto3"; package shop.orders; import "shop/types.proto";
        message Order { Item item = 1; repeated Line lines = 2; } message Line { Order order = 1; Item.Kind kind = 2; }`,
      'shop/types.proto': `syntax = "proto3"; package shop;
        message Item { enum Kind { NONE = 0; } Kind kind = 1; Item next = 2; }`,
    });
    const server = await reflecting.start({ files: rebuild(written), services: ['shop.Shop'] });
    const contract = await reflecting.load({ shop: server.address });
    expect(typesOf(contract)).toEqual(typesOf(await loadContract({ ...NOTHING, protos: [written.folder] })));
    expect(contract.methods.map(({ name }) => name)).toEqual(['shop.Shop/Do']);
  });

  it('that is broken beyond repair is one problem with its first cause', async () => {
    const files = rebuild(write(FLEET)).filter((file) => file.package !== 'lib.deep');
    const server = await reflecting.start({ files, services: SERVICES });
    const problems = await reflectionProblems(reflecting.load({ fleet: server.address }));
    expect(problems.map(printProblem)).toEqual([
      'upstream fleet describes itself wrongly by server reflection: lib.proto: lib.Money.old needs deep.Old, which no file declares (and 1 more): give its contract with --proto or --descriptors',
    ]);
  });
});

describe('the warning that reflection tells no google.api.http options', () => {
  const WARNING = /^upstream fleet: its server reflection tells no google\.api\.http options, .*--proto/;
  const files = {
    'a.proto': 'syntax = "proto3"; package a; message M {} service S { rpc Do(M) returns (M); }',
  };

  it('is given for an upstream none of whose methods has a route', async () => {
    const server = await reflecting.start({ files: rebuild(write(FLEET)), services: SERVICES });
    const { warnings } = await reflecting.load({ fleet: server.address });
    expect(warnings).toEqual([expect.stringMatching(WARNING)]);
  });

  it.each(['check', 'routes'])('is one line of `tidegate %s`', async (command) => {
    const server = await reflecting.start({ files: rebuild(write(FLEET)), services: SERVICES });
    const told: string[] = [];
    const io = { out: () => {}, err: (line: string) => told.push(line), onSignal: () => {} };
    expect(await run([command, '--upstream', server.address], {}, io)).toBe(0);
    expect(told.filter((line) => line.includes('google.api.http'))).toEqual([
      expect.stringMatching(/^upstream u1: its server reflection tells no google\.api\.http options/),
    ]);
  });

  it('is not given where one method has a route, by its options or by a service configuration', async () => {
    const { folder } = write(FLEET);
    const compiled = describeProtos({ protos: [folder], includes: [] }).files;
    const whole = await reflecting.start({ files: compiled, services: SERVICES });
    expect((await reflecting.load({ fleet: whole.address })).warnings).toEqual([]);
    const rebuilt = await reflecting.start({ files: rebuild(write(FLEET)), services: SERVICES });
    const config = folders.write({
      'rules.yaml':
        'type: google.api.Service\nconfig_version: 3\nhttp:\n  rules:\n    - selector: fleet.v1.Fleet.Get\n      get: /v1/{truck_id}\n',
    });
    const serviceConfigs = [`${config}/rules.yaml`];
    const { warnings, methods } = await reflecting.load({ fleet: rebuilt.address }, {}, { serviceConfigs });
    expect(methods[0]?.routes).toHaveLength(1);
    expect(warnings).toEqual([]);
  });

  it('is not given for .proto files', async () => {
    const { warnings } = await loadContract({ ...NOTHING, protos: [folders.write(files)] });
    expect(warnings).toEqual([]);
  });
});

describe('descriptors of a compiler', () => {
  it('are left as they are', () => {
    const { folder } = write(FLEET);
    for (const file of describeProtos({ protos: [folder], includes: [] }).files) {
      const before = clone(FileDescriptorProtoSchema, file);
      expect(restoreShape(file)).toEqual([file]);
      expect(equals(FileDescriptorProtoSchema, file, before)).toBe(true);
    }
  });
});
