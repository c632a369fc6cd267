/** What protoc and buf refuse is refused here too, with the place and the full name; what they accept is accepted. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clone } from '@bufbuild/protobuf';
import {
  type FieldDescriptorProto,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkRules } from '../src/contract/rules.js';
import { folders, load, loadSet, problemsOf } from './support/contracts/loading.js';
import { rebuild } from './support/contracts/rebuilt.js';
import { createReflecting, reflectionProblems } from './support/contracts/reflecting.js';
import { buildWithBuf as compileWithBuf, PROJECT } from './support/contracts/write.js';

afterAll(() => folders.remove());

/** `proto2`, `proto3` or `2023`, what the file says, and the problem on line 3 of it, or undefined for none. */
type Case = readonly [syntax: string, text: string, problem?: string];

const HEADS: Readonly<Record<string, string>> = {
  proto2: 'syntax = "proto2";',
  proto3: 'syntax = "proto3";',
  2023: 'edition = "2023";',
};

const CASES: Readonly<Record<string, readonly Case[]>> = {
  'the first value of an open enum is 0': [
    ['proto3', 'enum K { K_A = 0; K_B = 1; }'],
    ['proto3', 'enum K { K_A = 1; }', 'K.K_A: in proto3 the first value of an enum must be 0, and K_A is 1'],
    [
      'proto3',
      'message M { enum K { A = 2; } }',
      'M.K.A: in proto3 the first value of an enum must be 0, and A is 2',
    ],
    ['proto2', 'enum K { A = 1; }'],
    ['2023', 'enum K { A = 1; }', 'K.A: the first value of an open enum must be 0, and A is 1'],
    ['2023', 'enum K { option features.enum_type = CLOSED; A = 1; }'],
    ['2023', 'option features.enum_type = CLOSED; message M { enum K { A = 1; } }'],
    ['proto3', 'enum K {}', 'K: an enum has at least one value'],
  ],
  'reserved numbers and names are not used': [
    ['proto3', 'message M { reserved 5, 7 to 9; reserved "gone"; int32 a = 6; }'],
    ['proto3', 'message M { int32 a = 5; reserved 5; }', 'M.a: the number 5 is reserved'],
    ['proto3', 'message M { reserved 7 to 9; int32 a = 9; }', 'M.a: the number 9 is reserved'],
    [
      'proto3',
      'message M { reserved 7 to max; int32 a = 536870911; }',
      'M.a: the number 536870911 is reserved',
    ],
    ['proto3', 'message M { int32 a = 5; reserved "a"; }', 'M.a: the name is reserved'],
    ['proto3', 'message M { reserved "a"; int32 a = 5; }', 'M.a: the name is reserved'],
    [
      'proto2',
      'message M { optional int32 a = 5; extensions 5 to 9; }',
      'M.a: the number 5 is one for extensions',
    ],
    ['proto3', 'enum K { A = 0; B = 2; reserved 3 to 5; }'],
    ['proto3', 'enum K { A = 0; B = 5; reserved 3 to 5; }', 'K.B: the number 5 is reserved'],
    ['proto3', 'enum K { A = 0; B = 5; reserved "B"; }', 'K.B: the name is reserved'],
    ['proto3', 'message M { reserved 3 to 6, 5 to 8; }', 'M: the numbers 3 to 6 and 5 to 8 overlap'],
    ['proto3', 'message M { reserved "a", "a"; }', 'M: the name a is reserved twice'],
  ],
  'fields of a message have different JSON names': [
    ['proto3', 'message M { int32 foo_bar = 1; int32 foo_baz = 2; }'],
    [
      'proto3',
      'message M { int32 foo_bar = 1; int32 fooBar = 2; }',
      'M.fooBar: its JSON name fooBar is also that of foo_bar',
    ],
    [
      '2023',
      'message M { int32 foo_bar = 1; int32 fooBar = 2; }',
      'M.fooBar: its JSON name fooBar is also that of foo_bar',
    ],
    [
      '2023',
      'option features.json_format = LEGACY_BEST_EFFORT; message M { int32 foo_bar = 1; int32 fooBar = 2; }',
    ],
    ['proto2', 'message M { optional int32 foo_bar = 1; optional int32 fooBar = 2; }'],
    ['proto3', 'message M { int32 a = 1 [json_name = "b"]; int32 b = 2 [json_name = "a"]; }'],
    ['proto3', 'message M { int32 a = 1 [json_name = "x"]; int32 b = 2 [json_name = "y"]; }'],
    [
      'proto3',
      'message M { int32 a = 1 [json_name = "x"]; int32 b = 2 [json_name = "x"]; }',
      'M.b: its JSON name x is also that of a',
    ],
    [
      'proto3',
      'message M { int32 a = 1 [json_name = "b"]; int32 b = 2; }',
      'M.b: its JSON name b is also that of a',
    ],
    [
      'proto3',
      'message M { int32 foo_bar = 1 [json_name = "x"]; int32 fooBar = 2; }',
      'M.fooBar: its JSON name fooBar is also that of foo_bar',
    ],
    [
      'proto2',
      'message M { optional int32 a = 1 [json_name = "x"]; optional int32 b = 2 [json_name = "x"]; }',
      'M.b: its JSON name x is also that of a',
    ],
  ],
  'field numbers are unique and in range': [
    ['proto3', 'message M { int32 a = 1; int32 b = 18999; int32 c = 20000; int32 d = 536870911; }'],
    ['proto3', 'message M { int32 a = 1; int32 b = 1; }', 'M: two fields have the number 1'],
    ['proto3', 'message M { int32 a = 0; }', 'M.a: 0 is no field number: they go from 1 to 536870911'],
    ['proto3', 'message M { int32 a = -1; }', "illegal id '-1'"],
    [
      'proto3',
      'message M { int32 a = 536870912; }',
      'M.a: 536870912 is no field number: they go from 1 to 536870911',
    ],
    [
      'proto3',
      'message M { int32 a = 99999999999; }',
      'M.a: 99999999999 is no field number: they go from 1 to 536870911',
    ],
    ['proto3', 'message M { int32 a = 19000; }', "M.a: the field numbers 19000 to 19999 are protobuf's own"],
    ['proto3', 'message M { int32 a = 19999; }', "M.a: the field numbers 19000 to 19999 are protobuf's own"],
    ['proto2', 'message M { option message_set_wire_format = true; extensions 4 to max; }'],
  ],
  'names are unique in their scope, where the values of an enum are too': [
    ['proto3', 'message M { enum K { A = 0; } } enum L { A = 0; }'],
    [
      'proto3',
      'enum Kind { A = 0; } enum OtherKind { A = 0; }',
      'OtherKind.A: Kind.A has this name in the same scope, as values of an enum stand beside it and not inside: OTHER_KIND_A would be unique',
    ],
    [
      'proto3',
      'message M { enum K { A = 0; } enum L { A = 0; } }',
      'M.L.A: M.K.A has this name in the same scope, as values of an enum stand beside it and not inside: L_A would be unique',
    ],
    [
      'proto3',
      'message A {} enum K { A = 0; }',
      'K.A: A has this name in the same scope, as values of an enum stand beside it and not inside: K_A would be unique',
    ],
    ['proto3', 'message M { int32 a = 1; int32 a = 2; }', 'M.a: the name is declared twice'],
    ['proto3', 'message M { oneof a { int32 a = 1; } }', 'M.a: the name is declared twice'],
    [
      'proto3',
      'message M { map<string, int32> a_b = 1; message ABEntry {} }',
      'M.ABEntry: the name is declared twice in this scope',
    ],
    ['proto3', 'message M {} message M {}', 'M: the name is declared twice'],
    [
      'proto3',
      'message M {} service S { rpc A(M) returns (M); rpc A(M) returns (M); }',
      'S.A: the name is declared twice',
    ],
  ],
  'values of an enum have different numbers, or say that they have not': [
    [
      'proto3',
      'enum K { A = 0; B = 1; C = 1; }',
      'K: two values have the number 1: option allow_alias = true permits that',
    ],
    ['proto3', 'enum K { option allow_alias = true; A = 0; B = 1; C = 1; }'],
    ['proto3', 'enum K { A = 0; B = 1; C = 1; option allow_alias = true; }'],
    ['proto3', 'enum K { A = 0; B = 2147483647; C = -2147483648; }'],
    [
      'proto3',
      'enum K { A = 0; B = 2147483648; }',
      'K.B: 2147483648 is no number of an enum value: they are 32-bit integers',
    ],
    [
      'proto3',
      'enum Kind { KIND_A = 0; A = 1; }',
      "Kind.A: is the same as KIND_A without the enum's name and apart from case",
    ],
    ['proto3', 'enum Kind { KIND_OLD_VAN = 0; OldVan = 1; }'],
    ['proto3', 'enum Kind { KIND_A = 0; KIND = 1; KIND_KIND_A = 2; }'],
    ['proto2', 'enum Kind { KIND_A = 0; A = 1; }'],
  ],
  'keys of a map are integers, bools or strings': [
    ['proto3', 'message M { map<string, M> a = 1; map<bool, M> b = 2; map<sfixed64, M> c = 3; }'],
    [
      'proto3',
      'message M { map<float, M> a = 1; }',
      'keys of a map are integers, bools or strings, and not float',
    ],
    ['proto3', 'message M { map<M, M> a = 1; }', 'keys of a map are integers, bools or strings, and not M'],
    [
      'proto3',
      'message M { map < bytes , M> a = 1; }',
      'keys of a map are integers, bools or strings, and not bytes',
    ],
  ],
  'proto3 lacks what proto2 has': [
    [
      'proto2',
      'message M { optional int32 a = 1 [default = 3]; extensions 5 to 6; } extend M { optional int32 b = 5; }',
    ],
    ['proto3', 'message M { int32 a = 1 [default = 3]; }', 'M.a: proto3 has no default values'],
    ['proto3', 'message M { extensions 5 to 6; }', 'M: proto3 has no extension ranges'],
    ['proto3', 'message M { required int32 a = 1; }', "illegal token 'required'"],
  ],
  'an extension has a number that the message gives away': [
    [
      'proto2',
      'message M { extensions 5 to 6; } extend M { optional int32 b = 7; }',
      'b: the number 7 is none that M has for extensions',
    ],
    [
      'proto2',
      'message M { extensions 5 to 6; } extend M { optional int32 b = 5; optional int32 c = 5; }',
      'M: two fields have the number 5',
    ],
  ],
  'the rest': [
    ['proto3', 'message M { ; int32 a = 1; ; } ; service S { ; rpc A(M) returns (M) { ; } ; }'],
    ['proto3', 'message M { oneof o { } }', 'M.o: a oneof has at least one field'],
    [
      'proto3',
      'message M { repeated string a = 1 [packed = true]; }',
      'M.a: only lists of numbers, bools and enums can be packed',
    ],
    [
      'proto2',
      'message M { repeated int32 a = 1 [default = 1]; }',
      'M.a: only single scalars and enums have default values',
    ],
  ],
};

const fileOf = ([syntax, text]: Case, pkg: string) => `${HEADS[syntax]}\npackage ${pkg};\n${text}\n`;
const SERVICE = {
  'service.proto': 'syntax = "proto3"; package s; message Q {} service S { rpc Do(Q) returns (Q); }',
};
const all = Object.values(CASES).flat();

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  it.each(cases)('%s: %s', async (syntax, text, problem) => {
    const file = fileOf([syntax as string, text as string], 'a');
    const found = await problemsOf(load({ ...SERVICE, 'a.proto': file }));
    const named = found.map((text) => text.replace(/(?<=^a\.proto:3: | |\()a\.(?=[A-Zb])/g, ''));
    expect(named).toEqual(problem === undefined ? [] : [`a.proto:3: ${problem}`]);
  });
});

/** Names of the files in which buf finds something wrong. */
function buildWithBuf(files: Readonly<Record<string, string>>): Set<string> {
  const folder = folders.write({ 'buf.yaml': 'version: v2\n', ...files });
  const command = join(PROJECT, 'node_modules/.bin/buf');
  const { stdout, stderr } = spawnSync(command, ['build', '-o', '/dev/null'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return new Set(`${stdout}${stderr}`.match(/\w+\.proto(?=:)/g));
}

describe('buf', () => {
  const files = (cases: readonly Case[]) =>
    Object.fromEntries(cases.map((one, index) => [`f${index}.proto`, fileOf(one, `f${index}`)]));

  it('accepts what is accepted here', () => {
    expect(buildWithBuf(files(all.filter(([, , problem]) => problem === undefined)))).toEqual(new Set());
  });

  it('refuses what is refused here', () => {
    const refused = files(all.filter(([, , problem]) => problem !== undefined));
    expect([...buildWithBuf(refused)].sort()).toEqual(Object.keys(refused).sort());
  });
});

it('names count across the files of a package', async () => {
  const file = (name: string) => `syntax = "proto3"; package p;\n\nenum ${name} { UNKNOWN = 0; }`;
  const files = { ...SERVICE, 'a.proto': file('Kind'), 'b.proto': file('Sort') };
  expect(await problemsOf(load(files))).toEqual([
    'b.proto:3: p.Sort.UNKNOWN: p.Kind.UNKNOWN has this name in the same scope, as values of an enum stand beside it and not inside: SORT_UNKNOWN would be unique',
  ]);
  const apart = { ...files, 'b.proto': file('Sort').replace('package p', 'package q') };
  expect(await problemsOf(load(apart))).toEqual([]);
});

describe('a descriptor set', () => {
  const SOURCE = `syntax = "proto3"; package a;
    message M { int32 one = 1; string two = 2; map<string, int32> map = 3; }
    enum K { NONE = 0; SOME = 1; }
    service S { rpc Do(M) returns (M); rpc Go(M) returns (M); }`;

  let compiled: readonly FileDescriptorProto[] = [];
  beforeAll(() => {
    compiled = compileWithBuf(folders.write({ 'a.proto': SOURCE }), folders).file;
  });

  function broken(change: (file: FileDescriptorProto) => void): FileDescriptorProto[] {
    const files = compiled.map((file) => clone(FileDescriptorProtoSchema, file));
    for (const file of files) if (file.name === 'a.proto') change(file);
    return files;
  }
  const field = (file: FileDescriptorProto, index: number) =>
    file.messageType[0]?.field[index] as FieldDescriptorProto;

  it('without a mistake is accepted', async () => {
    expect(await problemsOf(loadSet(broken(() => {})))).toEqual([]);
  });

  it.each<[string, (file: FileDescriptorProto) => void, string]>([
    [
      'one number twice',
      (file) => (field(file, 1).number = 1),
      'a.proto:2: a.M.two: the number 1 is also that of one',
    ],
    [
      'a number of 0',
      (file) => (field(file, 1).number = 0),
      'a.proto:2: a.M.two: 0 is no field number: they go from 1 to 536870911',
    ],
    [
      'one name twice',
      (file) => (field(file, 1).name = 'one'),
      'a.proto:2: a.M.one: the name is declared twice in this scope',
    ],
    [
      'one number for two values',
      (file) => ((file.enumType[0]?.value[1] as { number: number }).number = 0),
      'a.proto:3: a.K.SOME: NONE has the number 0 too: option allow_alias = true permits that',
    ],
    [
      'keys that are floats',
      (file) =>
        ((file.messageType[0]?.nestedType[0]?.field[0] as FieldDescriptorProto).type =
          FieldDescriptorProto_Type.FLOAT),
      'a.proto:2: a.M.MapEntry: keys of a map are integers, bools or strings, and not float',
    ],
    [
      'a method twice',
      (file) => ((file.service[0]?.method[1] as { name: string }).name = 'Do'),
      'a.proto:4: a.S.Do: the service has this method twice',
    ],
  ])('with %s is refused, with the line where the set has lines', async (_, change, problem) => {
    expect(await problemsOf(loadSet(broken(change)))).toEqual([problem]);
    const bare = broken((file) => {
      change(file);
      delete file.sourceCodeInfo;
    });
    expect(await problemsOf(loadSet(bare))).toEqual([problem.replace(/:\d+/, '')]);
  });

  it('may break rules for generated code where it comes from a server that never had it compiled', () => {
    const files = broken((file) => {
      const kind = file.enumType[0];
      if (kind) file.enumType.push({ ...kind, name: 'L' });
    });
    expect(checkRules(files)).toHaveLength(2);
    expect(checkRules(files, { lenient: true })).toEqual([]);
  });

  it('by reflection with what no gateway can serve is one problem', async () => {
    const reflecting = createReflecting();
    const folder = folders.write({ 'a.proto': SOURCE.replace('string two', 'string One') });
    const files = rebuild({ folder, files: ['a.proto'] });
    for (const file of files)
      if (file.package === 'a') for (const one of file.messageType[0]?.field ?? []) one.number = 4;
    const server = await reflecting.start({ files, services: ['a.S'] });
    const problems = await reflectionProblems(reflecting.load({ u: server.address }));
    await reflecting.close();
    expect(problems).toEqual([
      {
        problem:
          'upstream u describes itself wrongly by server reflection: a.proto: a.M.One: the number 4 is also that of one (and 1 more): give its contract with --proto or --descriptors',
      },
    ]);
  });
});
