/** Imports of .proto files: what is missing is told once, by the file to import or the folder to include. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadContract } from '../src/contract/load.js';
import { describeProtos } from '../src/contract/protos.js';
import { type Files, folders, load, loadSet, NOTHING, problemsOf } from './support/contracts/loading.js';

afterAll(() => folders.remove());

const SERVICE = 'message M { string name = 1; } service S { rpc Do(M) returns (M); }';
const file = (text: string, imports: readonly string[] = [], pkg = 'a') =>
  ['syntax = "proto3";', `package ${pkg};`, ...imports.map((name) => `import "${name}";`), text].join('\n');

describe('an import that a file forgot', () => {
  const METHODS = `message M { M item = 1; string name = 2; }
service S {
  rpc One(M) returns (M) {
    option (google.api.http) = { get: "/one" response_body: "item" };
    option (tidegate.v1.access) = { public: true };
  }
  rpc Two(M) returns (stream M) {
    option (google.api.http) = { get: "/two" response_body: "item" };
    option (tidegate.v1.access) = { public: true };
    option (tidegate.v1.stream) = { event_field: "name" };
  }
}`;

  it('is told once for each file, with the first line that needs it', async () => {
    const problems = await problemsOf(load({ 'a.proto': file(METHODS), 'b.proto': file(METHODS, [], 'b') }));
    expect(problems).toEqual(
      ['a', 'b'].flatMap((name) => [
        `${name}.proto:6: option (google.api.http) needs import "google/api/annotations.proto"`,
        `${name}.proto:7: option (tidegate.v1.access) needs import "tidegate/v1/options.proto"`,
      ]),
    );
  });

  it('is told also where another file has it', async () => {
    const imports = ['google/api/annotations.proto', 'tidegate/v1/options.proto'];
    const files = { 'a.proto': file(METHODS), 'b.proto': file(METHODS, imports, 'b') };
    expect(await problemsOf(load(files))).toEqual([
      'a.proto:6: option (google.api.http) needs import "google/api/annotations.proto"',
      'a.proto:7: option (tidegate.v1.access) needs import "tidegate/v1/options.proto"',
    ]);
    expect(
      await problemsOf(load({ 'a.proto': file(METHODS, imports), 'b.proto': files['b.proto'] })),
    ).toEqual([]);
  });

  it.each([
    ['google.protobuf.Timestamp', 'google/protobuf/timestamp.proto'],
    ['.google.protobuf.StringValue', 'google/protobuf/wrappers.proto'],
    ['google.api.HttpBody', 'google/api/httpbody.proto'],
    ['google.rpc.Status', 'google/rpc/status.proto'],
    ['google.type.Money', 'google/type/money.proto'],
    ['lib.Money', 'lib/money.proto'],
  ])('is told for the type %s', async (type, name) => {
    const files = {
      'a.proto': file(`message N { ${type} one = 1; ${type} two = 2; }\n${SERVICE}`),
      'lib/money.proto': file('message Money {}', [], 'lib'),
    };
    const what = type.replace(/^\./, '');
    expect(await problemsOf(load(files))).toEqual([
      expect.stringMatching(
        new RegExp(`^a\\.proto:3: \\.?${what.replaceAll('.', '\\.')} needs import "${name}"$`),
      ),
    ]);
  });

  it('is none where a public import leads there, and one where a plain import does', async () => {
    const files = (kind: string): Files => ({
      'a.proto': file(`message N { lib.Money one = 1; }\n${SERVICE}`, ['between.proto']),
      'between.proto': `syntax = "proto3"; import ${kind} "lib/money.proto";`,
      'lib/money.proto': file('message Money {}', [], 'lib'),
    });
    expect(await problemsOf(load(files('public')))).toEqual([]);
    expect(await problemsOf(load(files('')))).toEqual([
      'a.proto:4: lib.Money needs import "lib/money.proto"',
    ]);
  });

  it('hides a nearer type of the same name, as for protoc', () => {
    const folder = folders.write({
      'a.proto': file(`message N { Money one = 1; }`, ['outer.proto'], 'x.y'),
      'outer.proto': file('message Money {}', [], 'x'),
      'inner.proto': file('message Money {}', [], 'x.y'),
    });
    const { files } = describeProtos({ protos: [folder], includes: [] });
    const found = files.find(({ name }) => name === 'a.proto')?.messageType[0]?.field[0]?.typeName;
    expect(found).toBe('.x.Money');
  });
});

describe('an import that is in no folder', () => {
  const IMPORTS = [
    'google/api/field_behavior.proto',
    'google/api/resource.proto',
    'google/type/money.proto',
    'buf/validate/validate.proto',
    'gogoproto/gogo.proto',
    'acme/options.proto',
  ];
  const ORDER = `message Order {
  option (google.api.resource) = { type: "x/Order" };
  string name = 1 [(google.api.field_behavior) = REQUIRED, (.buf.validate.field).string.min_len = 1];
  google.type.Money price = 2;
  string parent = 3 [(google.api.resource_reference).type = "x/Order"];
}`;

  it('is told with the options that alone need it, and with where it comes from', async () => {
    const folder = folders.write({ 'a.proto': file(`${ORDER}\n${SERVICE}`, IMPORTS) });
    const problems = await problemsOf(loadContract({ ...NOTHING, protos: [folder] }));
    const lacks = (line: number, more: string) =>
      `a.proto:${line}: imports "${IMPORTS[line - 3]}", which is in none of the folders searched (${folder}): add the folder that holds it with --include${more}`;
    expect(problems).toEqual([
      lacks(
        3,
        '; it comes from the googleapis repository, and is needed for option (google.api.field_behavior) of line 11 alone',
      ),
      lacks(
        4,
        '; it comes from the googleapis repository, and is needed for option (google.api.resource) of line 10 and (google.api.resource_reference) of line 13 alone',
      ),
      lacks(5, '; it comes from the googleapis repository'),
      lacks(
        6,
        '; it comes from the protovalidate repository, and is needed for option (.buf.validate.field) of line 11 alone',
      ),
      lacks(7, '; it comes from the gogo/protobuf repository, and this file sets none of its options'),
      lacks(8, ''),
    ]);
  });

  it('is told once, with the number of files that miss it too', async () => {
    const one = (pkg: string) => file(SERVICE, ['google/rpc/status.proto'], pkg);
    const problems = await problemsOf(
      load({ 'a.proto': one('a'), 'b.proto': one('b'), 'c.proto': one('c') }),
    );
    expect(problems).toEqual([
      expect.stringMatching(/^\w\.proto:3: imports "google\/rpc\/status\.proto", .* \(and 2 more\)$/),
    ]);
  });

  it('is told with the folder to include, where it lies in a usual place beside the contract', async () => {
    const folder = folders.write({ 'api/v1/a.proto': file(SERVICE, ['google/rpc/status.proto']) });
    const protos = [join(folder, 'api/v1')];
    const status = join(folder, 'third_party/googleapis/google/rpc/status.proto');
    mkdirSync(dirname(status), { recursive: true });
    writeFileSync(status, file('message Status {}', [], 'google.rpc'));
    const include = join(folder, 'third_party/googleapis');
    expect(await problemsOf(loadContract({ ...NOTHING, protos }))).toEqual([
      `a.proto:3: imports "google/rpc/status.proto", which is in ${include}: add --include ${include}`,
    ]);
    expect(await problemsOf(loadContract({ ...NOTHING, protos, includes: [include] }))).toEqual([]);
  });

  it('of a descriptor set is told once for the set', async () => {
    const folder = folders.write({
      'a.proto': file(SERVICE, ['lib/x.proto', 'lib/y.proto']),
      'lib/x.proto': file('message X {}', [], 'lib'),
      'lib/y.proto': file('message Y {}', [], 'lib'),
    });
    const { files } = describeProtos({ protos: [folder], includes: [] });
    expect(await problemsOf(loadSet(files.filter(({ name }) => name === 'a.proto')))).toEqual([
      'a.proto: imports "lib/x.proto", which the descriptor set does not hold: write it with buf build, or with protoc --include_imports (and 1 more)',
    ]);
  });
});

describe('imports', () => {
  it('that stand twice are refused', async () => {
    const lib = { 'lib.proto': file('message X {}', [], 'lib') };
    expect(await problemsOf(load({ ...lib, 'a.proto': file(SERVICE, ['lib.proto', 'lib.proto']) }))).toEqual([
      'a.proto:4: imports "lib.proto" a second time',
    ]);
    expect(await problemsOf(load({ ...lib, 'a.proto': file(SERVICE, ['lib.proto']) }))).toEqual([]);
  });

  it('that go in a circle are refused', async () => {
    const files = {
      'a.proto': file(SERVICE, ['b.proto']),
      'b.proto': file('message B {}', ['c.proto'], 'b'),
      'c.proto': file('message C {}', ['a.proto'], 'c'),
    };
    expect(await problemsOf(load(files))).toEqual([
      'c.proto:3: imports go in a circle: a.proto imports b.proto imports c.proto imports a.proto',
    ]);
  });
});

describe('a cause that many problems have', () => {
  it('is told once: a type that is declared nowhere', async () => {
    const fields = Array.from({ length: 40 }, (_, index) => `Gone f${index} = ${index + 1};`).join('\n');
    expect(await problemsOf(load({ 'a.proto': file(`message N {\n${fields}\n}\n${SERVICE}`) }))).toEqual([
      'a.proto:4: Gone f0 = 1: a.N.f0: no such message or enum among the imports (and 39 more)',
    ]);
  });

  it('is told once: an option that nobody declares', async () => {
    const fields = [1, 2, 3]
      .map((number) => `string f${number} = ${number} [(acme.secret) = true];`)
      .join('\n');
    expect(await problemsOf(load({ 'a.proto': file(`message N {\n${fields}\n}\n${SERVICE}`) }))).toEqual([
      'a.proto:4: option (acme.secret): a.N.f1: no such extension among the imports (and 2 more)',
    ]);
  });

  it('does not hide others', async () => {
    const problems = await problemsOf(
      load({ 'a.proto': file(`message N { Gone a = 1; Lost b = 2; }\n${SERVICE}`) }),
    );
    expect(problems).toHaveLength(2);
  });
});

it('an option that is set twice is refused', async () => {
  const method = (options: string) => `message N { string a = 1 [${options}]; }\n${SERVICE}`;
  expect(
    await problemsOf(load({ 'a.proto': file(method('deprecated = true, deprecated = false')) })),
  ).toEqual(['a.proto:3: option deprecated: a.N.a: the option is set a second time']);
  expect(await problemsOf(load({ 'a.proto': file(method('deprecated = true')) }))).toEqual([]);
});
