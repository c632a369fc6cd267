/** google.api.http and tidegate.v1 options: what is wrong with them, told with method and rule. */
import { create } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import { type FileDescriptorProto, MethodOptionsSchema } from '@bufbuild/protobuf/wkt';
import { afterAll, describe, expect, it } from 'vitest';
import { OPTION } from '../src/contract/annotations.js';
import { compile, folders, load, loadSet, method, problemsOf } from './support/contracts/loading.js';

afterAll(() => folders.remove());

describe('what is wrong with a method', () => {
  it.each([
    [
      'option (google.api.http) = { body: "*" };',
      'google.api.http: the rule has no pattern: give an HTTP method (get, put, post, delete, patch or custom)',
    ],
    ['option (google.api.http) = { get: "" };', 'GET: the rule has no pattern: give a path'],
    [
      'option (google.api.http) = { custom { path: "/a" } };',
      'google.api.http: the rule has no pattern: give an HTTP method (get, put, post, delete, patch or custom)',
    ],
    [
      'option (google.api.http) = { get: "/a" additional_bindings { post: "/b" additional_bindings { put: "/c" } } };',
      'POST /b: additional_bindings cannot have additional_bindings of their own',
    ],
    [
      'option (tidegate.v1.access) = { public: true permissions: "x" };',
      'tidegate.v1.access: public contradicts permissions and roles: whoever has no token has none of them',
    ],
    [
      'option (tidegate.v1.access) = { public: true roles: "x" };',
      'tidegate.v1.access: public contradicts permissions and roles: whoever has no token has none of them',
    ],
    [
      'option (tidegate.v1.access) = { permissions: "" };',
      'tidegate.v1.access: a permission or role is empty',
    ],
    [
      'option (tidegate.v1.stream) = { heartbeat { nanos: 999000000 } };',
      "tidegate.v1.stream: heartbeat of 0.999 s is out of range: 1 s to 1 h, or 0 for the gateway's own",
    ],
    [
      'option (tidegate.v1.stream) = { heartbeat { seconds: 3601 } };',
      "tidegate.v1.stream: heartbeat of 3601 s is out of range: 1 s to 1 h, or 0 for the gateway's own",
    ],
    [
      'option (tidegate.v1.stream) = { heartbeat { seconds: -5 } };',
      "tidegate.v1.stream: heartbeat of -5 s is out of range: 1 s to 1 h, or 0 for the gateway's own",
    ],
    [
      'option (tidegate.v1.stream) = { event_field: "gone" };',
      'tidegate.v1.stream event_field gone: a.M has no field of this name',
    ],
    [
      'option (tidegate.v1.stream) = { event_field: "inner.text" };',
      'tidegate.v1.stream event_field inner.text: a.M has no field of this name',
    ],
    ...['list', 'inner', 'number'].map((field) => [
      `option (tidegate.v1.stream) = { event_field: "${field}" };`,
      `tidegate.v1.stream event_field ${field}: an event is named by a single string or enum field`,
    ]),
  ])('`%s` is told with the place and the rule', async (option, problem) => {
    expect(await problemsOf(load(method(option as string)))).toEqual([`a.proto:8: a.S/Do: ${problem}`]);
  });

  it.each(['text', 'kind', 'twoWords'])(
    'an event_field %s is fine, and so are heartbeats from 1 s to 1 h',
    async (field) => {
      for (const seconds of [0, 1, 3600]) {
        const option = `option (tidegate.v1.stream) = { event_field: "${field}" heartbeat { seconds: ${seconds} } };`;
        expect(await problemsOf(load(method(option)))).toEqual([]);
      }
    },
  );

  it('includes a stream option where nothing streams to the client', async () => {
    const files = method(
      'option (tidegate.v1.stream) = { event_field: "text" };',
      'rpc Do(stream M) returns (M)',
    );
    const problem =
      'tidegate.v1.stream: the method answers one message: only a stream of responses can have this option';
    expect(await problemsOf(load(files))).toEqual([`a.proto:8: a.S/Do: ${problem}`]);
  });

  it('is told for all methods at once', async () => {
    const bad =
      'option (tidegate.v1.access) = { public: true roles: "x" }; option (google.api.http) = { body: "*" };';
    const files = { ...method(bad), 'b.proto': method(bad)['a.proto'].replace('package a', 'package b') };
    expect(await problemsOf(load(files))).toHaveLength(4);
  });

  it('includes options whose bytes are no message', async () => {
    const [file, ...rest] = compile({
      'a.proto': 'syntax = "proto3"; package a; message M {} service S { rpc Do(M) returns (M); }',
    });
    const rpc = (file as FileDescriptorProto).service[0]?.method[0];
    const field = (no: number, data: number[]) => ({
      no,
      wireType: WireType.LengthDelimited,
      data: new Uint8Array(data),
    });
    const options = create(MethodOptionsSchema);
    options.$unknown = [
      field(OPTION.http, [2, 0x12, 9]),
      { no: OPTION.access, wireType: WireType.Varint, data: new Uint8Array([1]) },
      field(OPTION.stream, [2, 0x12, 0]),
    ];
    if (rpc) rpc.options = options;
    const problems = await problemsOf(loadSet([file as FileDescriptorProto, ...rest]));
    expect(problems).toContainEqual(
      expect.stringContaining('a.S/Do: google.api.http: the option is not an encoded message'),
    );
    expect(problems).toContainEqual(
      expect.stringContaining('a.S/Do: tidegate.v1.access: the option is not an encoded message'),
    );
  });

  it('does not include an option of somebody else with one of our numbers', async () => {
    const { methods } = await load({
      'a.proto': `syntax = "proto3"; package a; import "google/protobuf/descriptor.proto";
        extend google.protobuf.MethodOptions { string owner = ${OPTION.access}; }
        message M {} service S { rpc Do(M) returns (M) { option (owner) = "them"; } }`,
    });
    expect(methods[0]?.access).toEqual({ public: false, permissions: [], roles: [] });
  });
});
