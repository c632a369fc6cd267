/** .proto files and folders: read as protoc would read them, and refused with the place of every mistake. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, createFileRegistry, type FileRegistry, toJson } from '@bufbuild/protobuf';
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { afterAll, describe, expect, it } from 'vitest';
import { ContractError, printProblem } from '../src/contract/contract.js';
import { describeProtos } from '../src/contract/protos.js';
import { buildWithBuf, createFolders, PROJECT } from './support/contracts/write.js';

const folders = createFolders();
afterAll(() => folders.remove());

const EVERYTHING = join(PROJECT, 'test/support/contracts/everything');
const ETCD = '/usr/share/gocode/src/go.etcd.io';
const GOGO = '/usr/share/gocode/src/github.com/gogo/protobuf';
const NO_ETCD = !existsSync(join(ETCD, 'etcd/etcdserver/etcdserverpb/rpc.proto')) || !existsSync(GOGO);
if (NO_ETCD) console.log('skipped: apt-get install golang-etcd-server-dev golang-gogoprotobuf-dev');

/** The problems of a folder with these files, as they are printed. */
function problemsOf(files: Record<string, string>, includes: string[] = []): string[] {
  try {
    describeProtos({ protos: [folders.write(files)], includes });
  } catch (error) {
    if (error instanceof ContractError) return error.problems.map(printProblem);
    throw error;
  }
  return [];
}

function compile(files: Record<string, string>): FileDescriptorProto[] {
  return [...describeProtos({ protos: [folders.write(files)], includes: [] }).files];
}

/** A file with its custom options spelled out, without what says nothing: the place of lines, and empty options. */
function spell(file: FileDescriptorProto, registry: FileRegistry): unknown {
  const json = toJson(FileDescriptorProtoSchema, file, { registry });
  const text = JSON.stringify(json, (key, value) => {
    if (key === 'sourceCodeInfo') return undefined;
    if (key === 'options' && Object.keys(value).length === 0) return undefined;
    if (key === 'nestedType')
      return value.toSorted((a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1));
    return value;
  });
  return JSON.parse(text);
}

function expectSameAsBuf(ours: readonly FileDescriptorProto[], theirs: readonly FileDescriptorProto[]): void {
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [...theirs] }));
  // The http.proto that protobufjs carries lacks response_body, which we add.
  const compared = ours.filter((file) => file.name !== 'google/api/http.proto');
  expect(compared.length).toBeGreaterThan(0);
  for (const file of compared) {
    const same = theirs.find(({ name }) => name === file.name);
    expect(same, `${file.name} has the same name`).toBeDefined();
    expect(spell(file, registry)).toEqual(spell(same as FileDescriptorProto, registry));
  }
}

describe('a folder of .proto files', () => {
  it('gives the descriptors that a compiler gives, with every option', () => {
    const { files } = describeProtos({ protos: [EVERYTHING], includes: [] });
    expectSameAsBuf(files, buildWithBuf(EVERYTHING, folders).file);
  });

  it('gives the descriptors of the contract of our own services', () => {
    const own = join(PROJECT, 'proto');
    const { files, services } = describeProtos({ protos: [own], includes: [] });
    expectSameAsBuf(files, buildWithBuf(own, folders).file);
    expect([...services]).toContain('orders.v1.OrdersService');
  });

  it.skipIf(NO_ETCD)('reads the contract of etcd, in proto3 and proto2 with gogoproto', () => {
    const folder = join(ETCD, 'etcd/etcdserver/etcdserverpb');
    const { files, services } = describeProtos({ protos: [folder], includes: [ETCD, GOGO] });
    expect([...services].sort()).toEqual(
      ['Auth', 'Cluster', 'KV', 'Lease', 'Maintenance', 'Watch'].map((name) => `etcdserverpb.${name}`),
    );
    const names = files.map(({ name }) => name);
    expect(names).toContain('etcd/mvcc/mvccpb/kv.proto');
    expect(names).toContain('gogoproto/gogo.proto');
    const one = describeProtos({ protos: [join(folder, 'rpc.proto')], includes: [ETCD, GOGO] });
    expect(one.services).toEqual(services);
  });

  it('names files as they are imported, and serves only services of the files that were asked for', () => {
    const folder = folders.write({
      'api/main.proto':
        'syntax = "proto3"; package m; import "lib/base.proto"; service Main { rpc A(lib.B) returns (lib.B); }',
      'include/lib/base.proto':
        'syntax = "proto3"; package lib; message B {} service Base { rpc A(B) returns (B); }',
    });
    const found = describeProtos({ protos: [join(folder, 'api')], includes: [join(folder, 'include')] });
    expect(found.files.map(({ name }) => name)).toEqual(['main.proto', 'lib/base.proto']);
    expect([...found.services]).toEqual(['m.Main']);
    const single = describeProtos({
      protos: [join(folder, 'api/main.proto')],
      includes: [folder, join(folder, 'include')],
    });
    expect(single.files.map(({ name }) => name)).toEqual(['api/main.proto', 'lib/base.proto']);
  });

  it('finds a type in the innermost scope that has it, though an inner message has one of the same name', () => {
    const [file] = compile({
      'a.proto': `syntax = "proto3"; package a;
        message Kind {}
        message Outer { message Inner { message Kind {} Kind own = 1; } Kind kind = 1; Inner.Kind inner = 2; }`,
    });
    const outer = file?.messageType.find(({ name }) => name === 'Outer');
    expect(outer?.field.map(({ typeName }) => typeName)).toEqual(['.a.Kind', '.a.Outer.Inner.Kind']);
    expect(outer?.nestedType[0]?.field[0]?.typeName).toBe('.a.Outer.Inner.Kind');
  });

  it('leaves out second copies of imported files, as third_party folders have them', () => {
    const api = join(PROJECT, 'node_modules/protobufjs/google/api');
    const vendored =
      'syntax = "proto3"; package google.api; message Http {} message HttpRule {} message CustomHttpPattern {}';
    expect(existsSync(api)).toBe(true);
    const problems = problemsOf({
      'a.proto': 'syntax = "proto3"; package a; import "google/api/annotations.proto"; message M {}',
      'third_party/google/api/http.proto': vendored,
      'third_party/google/protobuf/any.proto': 'syntax = "proto3"; package google.protobuf; message Any {}',
    });
    expect(problems).toEqual([]);
  });

  it('reads a file once that several folders have in the same words', () => {
    const common = 'syntax = "proto3"; package common; message Money {}';
    const service = (name: string) =>
      `syntax = "proto3"; package ${name}; import "common.proto"; service S { rpc Do(common.Money) returns (common.Money); }`;
    const one = folders.write({ 'common.proto': common, 'one.proto': service('one') });
    const two = folders.write({ 'common.proto': common, 'two.proto': service('two') });
    const { files, services } = describeProtos({ protos: [one, two], includes: [] });
    expect(files.map(({ name }) => name).sort()).toEqual(['common.proto', 'one.proto', 'two.proto']);
    expect([...services].sort()).toEqual(['one.S', 'two.S']);
  });

  it('reads features of edition 2023', () => {
    const files = {
      'e.proto': `edition = "2023"; package e; option features.field_presence = IMPLICIT;
        message M { int32 a = 1; int32 b = 2 [features.field_presence = EXPLICIT]; repeated int32 c = 3 [features.repeated_field_encoding = EXPANDED]; }`,
    };
    expectSameAsBuf(compile(files), buildWithBuf(folders.write(files), folders).file);
  });

  it('accepts response_body, which the carried google/api/http.proto does not know', () => {
    const problems = problemsOf({
      'a.proto': `syntax = "proto3"; package a; import "google/api/annotations.proto"; message M { M m = 1; }
        service S { rpc A(M) returns (M) { option (google.api.http) = { get: "/a" response_body: "m" }; } }`,
    });
    expect(problems).toEqual([]);
  });
});

describe('what is wrong with .proto files', () => {
  it('is told for every file with a syntax error, with its line', () => {
    const problems = problemsOf({
      'a.proto': 'syntax = "proto3";\nmessage A {\n  string = 1;\n}\n',
      'b.proto': 'syntax = "proto3";\nmessage B { string x = 1; }\n\nservice {\n}\n',
      'good.proto': 'syntax = "proto3"; message C {}',
      'open.proto': 'syntax = "proto3";\nmessage D {\n',
    });
    expect(problems[0]).toMatch(/^a\.proto:3: illegal/);
    expect(problems[1]).toMatch(/^b\.proto:4: illegal/);
    expect(problems[2]).toBe('open.proto:2: the file ends in the middle of a declaration');
    expect(problems).toHaveLength(3);
  });

  it('is told for every name that is declared nowhere, with its line', () => {
    const problems = problemsOf({
      'a.proto': `syntax = "proto3"; package a;
message M {
  Gone gone = 1;
  map<string, a.Lost> lost = 2;
  oneof o { .Away away = 3; }
}
service S {
  // rpc Get(Nothing) returns (M);
  rpc Get(Nothing) returns (M);
  rpc Good(M) returns (M);
  rpc Enum(E) returns (stream None);
}
enum E { ZERO = 0; }
`,
    });
    expect(problems).toEqual([
      'a.proto:3: Gone gone = 1: a.M.gone: no such message or enum among the imports',
      'a.proto:4: a.Lost lost = 2: a.M.lost: no such message or enum among the imports',
      'a.proto:5: .Away away = 3: a.M.away: no such message or enum among the imports',
      'a.proto:9: Nothing: a.S.Get: no such message or enum among the imports',
      'a.proto:11: E: a.S.Enum: a method takes and returns messages, and this is an enum',
      'a.proto:11: None: a.S.Enum: no such message or enum among the imports',
    ]);
  });

  it('names the importing file and the folders searched for a missing import, and nothing goes to stderr', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    const include = folders.write({});
    const problems = problemsOf(
      { 'x/a.proto': 'syntax = "proto3";\n\nimport "no/where.proto";\nmessage M { broken }' },
      [include, '/no/such/folder'],
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    process.off('warning', listen);
    expect(problems).toContainEqual(
      expect.stringMatching(
        /^x\/a\.proto:3: imports "no\/where\.proto", which is in none of the folders searched/,
      ),
    );
    expect(problems.join('\n')).toContain(include);
    expect(problems).toContainEqual('/no/such/folder: no such folder to look up imports in');
    expect(problems).toContainEqual(expect.stringMatching(/^x\/a\.proto:4: illegal/));
    expect(warnings).toEqual([]);
  });

  it('tells which --include would find an import that lies deeper in the folder', () => {
    const [problem] = problemsOf({
      'a.proto': 'syntax = "proto3"; import "lib/b.proto"; message M { lib.B b = 1; }',
      'deep/lib/b.proto': 'syntax = "proto3"; package lib; message B {}',
    });
    expect(problem).toMatch(
      /^a\.proto:1: imports "lib\/b\.proto", which is in .*\/deep: add --include .*\/deep$/,
    );
  });

  const shelf = (change: (book: string) => string): string[] => {
    const read = (name: string) => readFileSync(join(EVERYTHING, `shelf/${name}.proto`), 'utf8');
    const [book, legacy, options] = ['book', 'legacy', 'options'].map(read) as [string, string, string];
    return problemsOf({
      'shelf/book.proto': change(book),
      'shelf/legacy.proto': legacy,
      'shelf/options.proto': options,
    });
  };

  it('names the file whose own options cannot be read', () => {
    const problems = shelf((book) => book.replace('"example.com/shelf', '"\n.com/shelf'));
    expect(problems).toEqual([
      expect.stringMatching(/^shelf\/book\.proto: the options of the file cannot be read: /),
    ]);
  });

  it('names the option of an enum value whose path ends too early', () => {
    const problems = shelf((book) => book.replace('(value_rule).name', '(value_rule).'));
    expect(problems).toEqual([expect.stringMatching(/^shelf\/book\.proto:\d+: .*has no field /)]);
  });

  it.each([
    ['option (nope) = 1;', 'option (nope)', 'no such extension among the imports'],
    ['option (rule) = { name: "x" nome: "y" };', 'option (o.rule)', 'o.Rule has no field nome'],
    ['option (rule) = { size: "big" };', 'option (o.rule)', '"big" is not of type int32'],
    ['option (rule) = { size: 3000000000 };', 'option (o.rule)', '3000000000 is not of type int32'],
    ['option (rule) = { kind: SOME };', 'option (o.rule)', '"SOME" is not a value of o.Kind'],
    ['option (rule) = { kind: 1.5 };', 'option (o.rule)', '1.5 is not a value of o.Kind'],
    ['option (rule) = { kind: 3000000000 };', 'option (o.rule)', '3000000000 is not a value of o.Kind'],
    ['option (rule) = 7;', 'option (o.rule)', '7 is not a message of type o.Rule'],
    ['option depracated = true;', 'option depracated', 'no such option in google.protobuf.MethodOptions'],
    ['option deprecated = "yes";', 'option deprecated', '"yes" is not a value of this option'],
  ])('is told of the option in `%s`', (statement, rule, problem) => {
    const problems = problemsOf({
      'o.proto': `syntax = "proto3"; package o; import "google/protobuf/descriptor.proto";
        enum Kind { NONE = 0; }
        message Rule { string name = 1; int32 size = 2; Kind kind = 3; }
        extend google.protobuf.MethodOptions { Rule rule = 50000; }
        service S {
          rpc A(Rule) returns (Rule) { ${statement} }
        }`,
    });
    expect(problems).toEqual([`o.proto:6: ${rule}: o.S.A: ${problem}`]);
  });

  it('is told of names and numbers that are taken twice', () => {
    const problems = problemsOf({
      'a.proto': 'syntax = "proto3"; package a;\nmessage M { int32 a = 1;\n int32 b = 1; }',
      'b.proto': 'syntax = "proto3"; package b;\nmessage M {}\nmessage M {}',
      'c.proto': 'syntax = "proto3"; package c;\n\nmessage Twice {}',
      'd.proto': 'syntax = "proto3"; package c;\nmessage Twice { int32 other = 1; }',
    });
    expect(problems).toEqual([
      'a.proto:2: a.M: two fields have the number 1',
      'b.proto:3: b.M: the name is declared twice',
      expect.stringMatching(/^d\.proto:2: c\.Twice: the name is declared twice, as in \/.*\/c\.proto$/),
    ]);
  });

  it('is told of editions that cannot be read, and of sources that are not there', () => {
    expect(problemsOf({ 'e.proto': 'edition = "2024"; message M {}' })).toEqual([
      'e.proto: "2024" is none of proto2, proto3 and edition 2023: give this contract as a descriptor set (--descriptors)',
    ]);
    expect(problemsOf({})).toEqual([expect.stringMatching(/: no \.proto file in this folder$/)]);
    expect(() => describeProtos({ protos: ['/no/such.proto'], includes: [] })).toThrow(
      '/no/such.proto: no such file or folder',
    );
  });
});
