/** tidegate.v1.stream: what it sets, its limits, and what a method's types must have for it. In a contract and beside it. */
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { MethodOptionsSchema } from '@bufbuild/protobuf/wkt';
import { afterAll, describe, expect, it } from 'vitest';
import { OPTION, readAnnotations } from '../src/contract/annotations.js';
import { STREAM_DEFAULTS, type StreamOptions } from '../src/method.js';
import { folders, HEAD, load, problemsOf } from './support/contracts/loading.js';

afterAll(() => folders.remove());

const RPC = 'rpc Do(Ask) returns (stream M)';

/** One method on line 13, with this option. */
const proto = (option: string, { rpc = RPC, more = '' } = {}) => ({
  'a.proto': `${HEAD}package a;
enum Kind { NONE = 0; }
message Deep { string token = 1; repeated Deep list = 2; bytes raw = 3; }
message M {
  string text = 1; Kind kind = 2; repeated string list = 3; Deep deep = 4; int32 number = 5; uint64 big = 6; double real = 7;
  bool flag = 8; map<string, string> map = 9; oneof one { string choice = 10; sfixed64 fixed = 11; } optional bytes raw = 12;
}
message Ask { string after = 1; int64 after_number = 2; Deep deep = 3; bytes after_raw = 4; Kind kind = 5; string name = 6; }
service S {
  ${rpc} { ${more} option (tidegate.v1.stream) = { ${option} }; }
}`,
});

const streamOf = async (option: string): Promise<StreamOptions | undefined> =>
  (await load(proto(option))).methods[0]?.stream;

const problems = (option: string, more?: Parameters<typeof proto>[1]) =>
  problemsOf(load(proto(option, more)));

const told = (problem: string) => `a.proto:13: a.S/Do: tidegate.v1.stream${problem}`;

describe('a stream option', () => {
  it('is all defaults where it says nothing, and says nothing with zeros', async () => {
    expect(await streamOf('')).toEqual(STREAM_DEFAULTS);
    expect(
      await streamOf('sharing: SHARING_UNSPECIFIED event_field: "" heartbeat {} cursor_field: ""'),
    ).toEqual(STREAM_DEFAULTS);
    expect(await streamOf('sharing: PRIVATE')).toEqual(STREAM_DEFAULTS);
    const zeros =
      'retention { entries: 0 age {} bytes: 0 } slow { bytes: 0 age {} policy: POLICY_UNSPECIFIED } scope {}';
    expect(await streamOf(`sharing: NODE ${zeros}`)).toEqual({ ...STREAM_DEFAULTS, sharing: 'node' });
  });

  it('sets everything', async () => {
    const option = `event_field: "kind" heartbeat { seconds: 5 } sharing: SHARED
      scope { claims: "sub" claims: "tenant" headers: "accept-language" } cursor_field: "big" resume_field: "after_number"
      retention { entries: 5 age { seconds: 90 } bytes: 4096 } linger { nanos: 500000000 }
      slow { policy: CONFLATE key: "text" bytes: 2048 age { seconds: 1 nanos: 1000000 } }`;
    expect(await streamOf(option)).toEqual({
      eventField: 'kind',
      heartbeatMs: 5000,
      sharing: 'shared',
      scope: { claims: ['sub', 'tenant'], headers: ['accept-language'] },
      cursorField: 'big',
      resumeField: 'after_number',
      retention: { entries: 5, ageMs: 90_000, bytes: 4096 },
      lingerMs: 500,
      slow: { policy: 'conflate', key: 'text', bytes: 2048, ageMs: 1001 },
    });
  });

  it('has every policy for slow readers', async () => {
    for (const policy of ['DISCONNECT', 'DROP_OLDEST', 'LATEST']) {
      const stream = await streamOf(`sharing: NODE slow { policy: ${policy} }`);
      expect(stream?.slow).toEqual({ ...STREAM_DEFAULTS.slow, policy: policy.toLowerCase() });
    }
  });

  it('lingers not at all when it says so', async () => {
    expect((await streamOf('sharing: SHARED linger {}'))?.lingerMs).toBe(0);
    expect((await streamOf('sharing: SHARED'))?.lingerMs).toBe(15_000);
  });

  it('may be written in pieces, which are merged', async () => {
    const stream = await streamOf(`sharing: SHARED }; option (tidegate.v1.stream).scope = { claims: "sub" };
      option (tidegate.v1.stream).retention = { entries: 7`);
    expect(stream?.sharing).toBe('shared');
    expect(stream?.scope.claims).toEqual(['sub']);
    expect(stream?.retention).toEqual({ ...STREAM_DEFAULTS.retention, entries: 7 });
  });

  it.each([
    ['retention { entries: 1 age { seconds: 1 } bytes: 1024 } slow { bytes: 1024 age { nanos: 100000000 } }'],
    [
      'retention { entries: 1000000 age { seconds: 2592000 } bytes: 1073741824 } linger { seconds: 3600 } slow { bytes: 67108864 age { seconds: 600 } }',
    ],
  ])('may be at its limits: %s', async (option) => {
    expect(await problems(`sharing: SHARED ${option}`)).toEqual([]);
  });
});

describe('out of range is', () => {
  it.each([
    [
      'retention { entries: -1 }',
      ': retention.entries of -1 is out of range: 1 to 1,000,000, or 0 for the default',
    ],
    [
      'retention { entries: 1000001 }',
      ': retention.entries of 1000001 is out of range: 1 to 1,000,000, or 0 for the default',
    ],
    [
      'retention { age { nanos: 999000000 } }',
      ': retention.age of 0.999 s is out of range: 1 s to 30 d, or 0 for the default',
    ],
    [
      'retention { age { seconds: 2592001 } }',
      ': retention.age of 2592001 s is out of range: 1 s to 30 d, or 0 for the default',
    ],
    [
      'retention { bytes: 1023 }',
      ': retention.bytes of 1023 bytes is out of range: 1 KiB to 1 GiB, or 0 for the default',
    ],
    [
      'retention { bytes: 1073741825 }',
      ': retention.bytes of 1073741825 bytes is out of range: 1 KiB to 1 GiB, or 0 for the default',
    ],
    ['linger { seconds: -1 }', ': linger of -1 s is out of range: 0 to 1 h'],
    ['linger { seconds: 3601 }', ': linger of 3601 s is out of range: 0 to 1 h'],
    ['slow { bytes: 1 }', ': slow.bytes of 1 bytes is out of range: 1 KiB to 64 MiB, or 0 for the default'],
    [
      'slow { bytes: 67108865 }',
      ': slow.bytes of 67108865 bytes is out of range: 1 KiB to 64 MiB, or 0 for the default',
    ],
    [
      'slow { age { nanos: 99000000 } }',
      ': slow.age of 0.099 s is out of range: 100 ms to 10 min, or 0 for the default',
    ],
    [
      'slow { age { seconds: 601 } }',
      ': slow.age of 601 s is out of range: 100 ms to 10 min, or 0 for the default',
    ],
  ])('%s', async (option, problem) => {
    expect(await problems(`sharing: SHARED ${option}`)).toEqual([told(problem)]);
  });
});

describe('without sharing', () => {
  const only = 'only a stream with sharing SHARED or NODE can have this';
  it.each([
    ['scope { claims: "sub" }', `: scope: ${only}`],
    ['retention { entries: 5 }', `: retention: ${only}`],
    ['linger { seconds: 5 }', `: linger: ${only}`],
    [
      'slow { policy: LATEST }',
      `: slow: ${only}: a slow client of a private stream slows the service down instead`,
    ],
    ['sharing: PRIVATE linger {}', `: linger: ${only}`],
  ])('there is no %s', async (option, problem) => {
    expect(await problems(option)).toEqual([told(problem)]);
  });

  it('a position is fine', async () => {
    expect(await problems('cursor_field: "text" resume_field: "after"')).toEqual([]);
  });
});

describe('the scope', () => {
  it.each([
    ['claims: ""', ': scope.claims: a claim has no name'],
    ...['exp', 'iat', 'nbf', 'jti'].map((name) => [
      `claims: "${name}"`,
      `: scope.claims: ${name} is another one in each token, so that nobody would share`,
    ]),
    ...['X-Tenant', 'a b', '', ':path', 'ä'].map((name) => [
      `headers: "${name}"`,
      `: scope.headers: "${name}" is not the name of a header in lower case`,
    ]),
    ...['connection', 'te', 'host', 'upgrade', 'content-type', 'grpc-timeout', 'sec-websocket-key'].map(
      (name) => [
        `headers: "${name}"`,
        `: scope.headers: ${name} is about one connection or its content, and no service receives it`,
      ],
    ),
    ...['authorization', 'cookie', 'proxy-authorization'].map((name) => [
      `headers: "${name}"`,
      `: scope.headers: ${name} is a caller's own, which must not be used for others, and a new one would be another stream: name claims of the token`,
    ]),
    ...['x-user-id', 'x-permissions', 'x-auth-issued-at'].map((name) => [
      `headers: "${name}"`,
      `: scope.headers: ${name} is what the gateway says of the caller: name a claim of the token, such as sub or permissions`,
    ]),
    [
      'headers: "x-request-id"',
      ': scope.headers: x-request-id is another one for each call, so that nobody would share',
    ],
    [
      'headers: "last-event-id"',
      ': scope.headers: last-event-id is where a client goes on: another place each time, so that nobody would share',
    ],
  ])('refuses %s', async (scope, problem) => {
    expect(await problems(`sharing: SHARED scope { ${scope} }`)).toEqual([told(problem as string)]);
  });

  it('may hold any other header and claim, the rights of the caller too', async () => {
    const scope =
      'claims: ["permissions", "roles", "https://acme.example/tenant"] headers: ["x-tenant", "x-forwarded-host"]';
    expect(await problems(`sharing: NODE scope { ${scope} }`)).toEqual([]);
  });
});

describe('a position', () => {
  it.each([
    ['text', 'after'],
    ['choice', 'deep.token'],
    ['deep.token', 'after'],
    ['raw', 'after_raw'],
    ['deep.raw', 'deep.raw'],
    ['number', 'after_number'],
    ['big', 'after_number'],
    ['fixed', 'after_number'],
  ])('goes from %s to %s', async (cursor, resume) => {
    for (const sharing of ['PRIVATE', 'SHARED', 'NODE']) {
      const option = `sharing: ${sharing} cursor_field: "${cursor}" resume_field: "${resume}"`;
      expect(await problems(option)).toEqual([]);
    }
  });

  it.each([
    ['gone', ' cursor_field gone: a.M has no field "gone"'],
    ['deep.gone', ' cursor_field deep.gone: a.Deep has no field "gone"'],
    ['deep', ' cursor_field deep: deep is a message, not a single value'],
    ['list', ' cursor_field list: list holds more than one value'],
    ['map', ' cursor_field map: map holds more than one value'],
    ['deep.list.token', ' cursor_field deep.list.token: deep.list holds more than one value'],
    ['text.x', ' cursor_field text.x: text is not a message: it has no fields'],
    ['kind', ' cursor_field kind: a position is a string, bytes or an integer'],
    ['real', ' cursor_field real: a position is a string, bytes or an integer'],
    ['flag', ' cursor_field flag: a position is a string, bytes or an integer'],
  ])('cannot be %s', async (cursor, problem) => {
    expect(await problems(`cursor_field: "${cursor}" resume_field: "after"`)).toEqual([told(problem)]);
  });

  it.each([
    ['text', 'after_number', 'expected a string as in cursor_field text, not an integer'],
    ['big', 'after', 'expected an integer as in cursor_field big, not a string'],
    ['raw', 'after', 'expected bytes as in cursor_field raw, not a string'],
    ['text', 'nope', 'a.Ask has no field "nope"'],
    ['text', 'kind', 'a position is a string, bytes or an integer'],
  ])('does not go from %s to %s', async (cursor, resume, problem) => {
    expect(await problems(`cursor_field: "${cursor}" resume_field: "${resume}"`)).toEqual([
      told(` resume_field ${resume}: ${problem}`),
    ]);
  });

  it('has both ends', async () => {
    expect(await problems('cursor_field: "text"')).toEqual([
      told(
        ': cursor_field: resume_field is missing, where the service is told after which position to go on',
      ),
    ]);
    expect(await problems('resume_field: "after"')).toEqual([
      told(': resume_field: cursor_field is missing, the position that is given back here'),
    ]);
  });

  it('does not come back in a path, where it could not change', async () => {
    const position = 'cursor_field: "text" resume_field: "deep.token"';
    const path = {
      more: 'option (google.api.http) = { get: "/m/{name}" additional_bindings { get: "/n/{deep.token=**}" } };',
    };
    expect(await problems(position, path)).toEqual([
      told(
        ' resume_field deep.token: it is a variable of the path GET /n/{deep.token=**}, which never changes while a client comes back to it',
      ),
    ]);
    const body = { more: 'option (google.api.http) = { post: "/m/{name}" body: "deep" };' };
    expect(await problems(position, body)).toEqual([]);
  });
});

describe('the key of slow readers', () => {
  it.each(['text', 'kind', 'number', 'flag', 'real', 'deep.token', 'choice'])('may be %s', async (key) => {
    expect(await problems(`sharing: NODE slow { policy: CONFLATE key: "${key}" }`)).toEqual([]);
  });

  it.each([
    ['policy: CONFLATE', ': slow.key: policy CONFLATE needs the field that says what a message is about'],
    ['policy: LATEST key: "text"', ': slow.key: only policy CONFLATE has one'],
    ['key: "text"', ': slow.key: only policy CONFLATE has one'],
    ['policy: CONFLATE key: "gone"', ' slow.key gone: a.M has no field "gone"'],
    ['policy: CONFLATE key: "deep"', ' slow.key deep: deep is a message, not a single value'],
    ['policy: CONFLATE key: "list"', ' slow.key list: list holds more than one value'],
  ])('is wrong: %s', async (slow, problem) => {
    expect(await problems(`sharing: NODE slow { ${slow} }`)).toEqual([told(problem)]);
  });
});

describe('a stream of requests', () => {
  it.each([
    ['sharing: SHARED', ' sharing: the method takes a stream of requests: no two clients ask for the same'],
    ['sharing: NODE', ' sharing: the method takes a stream of requests: no two clients ask for the same'],
    [
      'cursor_field: "text" resume_field: "after"',
      ' cursor_field: the method takes a stream of requests: there is no single one that could be asked again',
    ],
  ])('refuses %s', async (option, problem) => {
    expect(await problems(option, { rpc: 'rpc Do(stream Ask) returns (stream M)' })).toEqual([told(problem)]);
  });

  it('may have heartbeats and event names', async () => {
    const rpc = 'rpc Do(stream Ask) returns (stream M)';
    expect(await problems('event_field: "kind" heartbeat { seconds: 5 }', { rpc })).toEqual([]);
  });

  it('and one response are told of both', async () => {
    expect(await problems('sharing: SHARED', { rpc: 'rpc Do(stream Ask) returns (M)' })).toEqual([
      told(': the method answers one message: only a stream of responses can have this option'),
      told(' sharing: the method takes a stream of requests: no two clients ask for the same'),
    ]);
  });
});

describe('encoded by somebody else', () => {
  function read(write: (writer: BinaryWriter) => void): string[] {
    const option = new BinaryWriter();
    write(option);
    const encoded = option.finish();
    const options = create(MethodOptionsSchema);
    const data = new BinaryWriter().bytes(encoded).finish();
    options.$unknown = [{ no: OPTION.stream, wireType: WireType.LengthDelimited, data }];
    const found: string[] = [];
    readAnnotations(options, (problem, rule) => found.push(`${rule}: ${problem}`));
    return found;
  }

  it('unknown names of enum values are told, and fields of later versions are not', () => {
    expect(read((writer) => writer.tag(3, WireType.Varint).int32(4))).toEqual([
      'tidegate.v1.stream: sharing: 4 is none of PRIVATE, SHARED, NODE',
    ]);
    expect(read((writer) => writer.tag(3, WireType.Varint).int32(-1))).toEqual([
      'tidegate.v1.stream: sharing: -1 is none of PRIVATE, SHARED, NODE',
    ]);
    const slow = new BinaryWriter().tag(1, WireType.Varint).int32(9).finish();
    const shared = (writer: BinaryWriter) => writer.tag(3, WireType.Varint).int32(2);
    expect(read((writer) => shared(writer).tag(9, WireType.LengthDelimited).bytes(slow))).toEqual([
      'tidegate.v1.stream: slow.policy: 9 is none of DISCONNECT, DROP_OLDEST, CONFLATE, LATEST',
    ]);
    expect(read((writer) => writer.tag(99, WireType.Varint).int32(1))).toEqual([]);
  });

  it.each([
    ['a scope that is a number', 4],
    ['a retention that is a number', 7],
    ['a linger that is a number', 8],
    ['slow readers that are a number', 9],
  ])('%s is told', (_, no) => {
    expect(read((writer) => writer.tag(no, WireType.Varint).int32(1))).toEqual([
      'tidegate.v1.stream: the option is not an encoded message',
    ]);
  });
});

describe('in a service configuration', () => {
  const withConfig = (stream: string, rpc = RPC) => {
    const folder = folders.write({
      'c.yaml': `type: google.api.Service
tidegate:
  rules:
  - selector: a.S.Do
    stream:
${stream.replace(/^/gm, '      ')}
`,
    });
    return load(proto('event_field: "text"', { rpc }), { serviceConfigs: [join(folder, 'c.yaml')] });
  };
  const at = (line: number, rest: string) =>
    expect.stringMatching(new RegExp(`c\\.yaml:${line}: ${rest.replace(/[.()?"]/g, '\\$&')}$`));

  it('everything can be set, by either name of a field', async () => {
    const { methods } = await withConfig(`event_field: kind
heartbeat: 5s
sharing: SHARED
scope: {claims: [sub, tenant], headers: accept-language}
cursorField: big
resume_field: after_number
retention: {entries: 5, age: 90s, bytes: "4096"}
linger: 0s
slow: {policy: CONFLATE, key: text, bytes: 2048, age: 1.001s}`);
    expect(methods[0]?.stream).toEqual({
      eventField: 'kind',
      heartbeatMs: 5000,
      sharing: 'shared',
      scope: { claims: ['sub', 'tenant'], headers: ['accept-language'] },
      cursorField: 'big',
      resumeField: 'after_number',
      retention: { entries: 5, ageMs: 90_000, bytes: 4096 },
      lingerMs: 0,
      slow: { policy: 'conflate', key: 'text', bytes: 2048, ageMs: 1001 },
    });
  });

  it('the option is replaced as a whole', async () => {
    const { methods } = await withConfig('sharing: NODE');
    expect(methods[0]?.stream).toEqual({ ...STREAM_DEFAULTS, sharing: 'node' });
  });

  it('what is wrong is told with its line', async () => {
    const loading = withConfig(`sharing: all
linger: 2h
scope:
  claims: [sub, exp]
  header: x
retention:
  entries: 1000001
  bytes: 4KiB
  age: 0.5s
slow:
  policy: latest
  age: 700s`);
    expect(await problemsOf(loading)).toEqual([
      at(10, 'a.S.Do: unknown key header; did you mean headers?'),
      at(6, 'a.S.Do: sharing: expected one of PRIVATE, SHARED, NODE'),
      at(13, 'a.S.Do: bytes: expected a whole number'),
      at(7, 'a.S.Do: linger: expected seconds such as 5s or 1.5s'),
      at(16, 'a.S.Do: policy: expected one of DISCONNECT, DROP_OLDEST, CONFLATE, LATEST'),
      at(
        12,
        'a.S.Do: stream: retention.entries of 1000001 is out of range: 1 to 1,000,000, or 0 for the default',
      ),
      at(14, 'a.S.Do: stream: retention.age of 0.5 s is out of range: 1 s to 30 d, or 0 for the default'),
      at(17, 'a.S.Do: stream: slow.age of 700 s is out of range: 100 ms to 10 min, or 0 for the default'),
      at(9, 'a.S.Do: stream: scope.claims: exp is another one in each token, so that nobody would share'),
    ]);
    expect(await problemsOf(withConfig('event_field: kind\nlinger: 5s\nslow: {}'))).toEqual([
      at(7, 'a.S.Do: stream: linger: only a stream with sharing SHARED or NODE can have this'),
      at(
        8,
        'a.S.Do: stream: slow: only a stream with sharing SHARED or NODE can have this: a slow client of a private stream slows the service down instead',
      ),
    ]);
  });

  it('so is what the types of the method do not have', async () => {
    expect(await problemsOf(withConfig('cursor_field: gone\nresume_field: after'))).toEqual([
      at(4, 'a.S/Do: tidegate.v1.stream cursor_field gone: a.M has no field "gone"'),
    ]);
    expect(await problemsOf(withConfig('sharing: NODE', 'rpc Do(stream Ask) returns (stream M)'))).toEqual([
      at(
        4,
        'a.S/Do: tidegate.v1.stream sharing: the method takes a stream of requests: no two clients ask for the same',
      ),
    ]);
  });
});
