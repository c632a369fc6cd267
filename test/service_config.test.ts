/** Service configurations: rules from google.api.Service YAML, ours beside them, and what is refused, with file and line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildTable } from '../gateway/http/table.js';
import type { Contract } from '../src/contract/contract.js';
import { STREAM_DEFAULTS } from '../src/method.js';
import { folders, HEAD, load, problemsOf } from './support/contracts/loading.js';

afterAll(() => folders.remove());

const PROTO = {
  'a.proto': `${HEAD}package a.v1;
message M { string id = 1; string name = 2; string kind = 3; }
service Shop {
  rpc Get(M) returns (M) { option (google.api.http) = {get: "/annotated/{id}"}; }
  rpc Put(M) returns (M);
  rpc Watch(M) returns (stream M) {
    option (google.api.http) = {get: "/watch"};
    option (tidegate.v1.access) = {permissions: "a"};
  }
}
service Other { rpc Do(M) returns (M); }`,
};

/** The contract with these service configurations, each without its first line. */
function withConfigs(...texts: readonly string[]): Promise<Contract> {
  const files = texts.map((text, index) => [`c${index + 1}.yaml`, `type: google.api.Service\n${text}`]);
  const folder = folders.write(Object.fromEntries(files) as Record<string, string>);
  return load(PROTO, { serviceConfigs: files.map(([name]) => join(folder, name as string)) });
}

const methodOf = ({ methods }: Contract, name: string) =>
  methods.find((method) => method.name === `a.v1.${name}`);

const routesOf = (contract: Contract, name: string) =>
  methodOf(contract, name)?.routes.map(({ verb, template, body, responseBody }) =>
    [verb, template, body, responseBody].filter(Boolean).join(' '),
  );

describe('http rules', () => {
  test('replace the annotation, in all forms that an annotation has', async () => {
    const contract = await withConfigs(`
name: shop.example.com
config_version: 3
apis: [{name: a.v1.Shop}]
documentation: {summary: nothing for a gateway}
http:
  rules:
  - selector: a.v1.Shop.Get
    get: /v1/{id}
    additional_bindings:
    - post: /v1/things
      body: "*"
    - custom: {kind: LOCK, path: "/v1/{id}:lock"}
      response_body: name
  - selector: a.v1.Shop.Put
    patch: /v1/{id}
    body: name
`);
    expect(routesOf(contract, 'Shop/Get')).toEqual([
      'GET /v1/{id}',
      'POST /v1/things *',
      'LOCK /v1/{id}:lock name',
    ]);
    expect(routesOf(contract, 'Shop/Put')).toEqual(['PATCH /v1/{id} name']);
    expect(routesOf(contract, 'Shop/Watch')).toEqual(['GET /watch']);
    expect(methodOf(contract, 'Shop/Watch')?.access.permissions).toEqual(['a']);
  });

  test('are read with the names that JSON has too', async () => {
    const contract = await withConfigs(`
http:
  fullyDecodeReservedExpansion: true
  rules:
  - selector: a.v1.Shop.Get
    get: /v1/{id}
    responseBody: name
    additionalBindings: [{delete: "/v1/{id}"}]
`);
    expect(routesOf(contract, 'Shop/Get')).toEqual(['GET /v1/{id} name', 'DELETE /v1/{id}']);
    expect(methodOf(contract, 'Shop/Get')?.routes.map(({ fullyDecode }) => fullyDecode)).toEqual([
      true,
      true,
    ]);
  });

  test('the last one that matches a method holds, in a file and among files', async () => {
    const rule = (selector: string, path: string) => `  - selector: ${selector}\n    get: ${path}\n`;
    const first = `http:\n  rules:\n${rule('a.v1.Shop.Get', '/one')}${rule('a.v1.Shop.Get', '/two')}${rule('a.v1.Other.*', '/other')}`;
    expect(routesOf(await withConfigs(first), 'Shop/Get')).toEqual(['GET /two']);
    const contract = await withConfigs(first, `http:\n  rules:\n${rule('a.v1.Shop.Get', '/three')}`);
    expect(routesOf(contract, 'Shop/Get')).toEqual(['GET /three']);
    expect(routesOf(contract, 'Other/Do')).toEqual(['GET /other']);
  });

  test('with fully_decode_reserved_expansion a variable of several segments is decoded whole', async () => {
    const config = (fully: boolean) => `
http:
  fully_decode_reserved_expansion: ${fully}
  rules: [{selector: a.v1.Shop.Get, get: "/v1/{id=**}"}]`;
    const idOf = async (fully: boolean) => {
      const found = buildTable(await withConfigs(config(fully)), {}).router.match('GET', '/v1/a%2Fb%20c/d');
      return found && 'match' in found ? found.match.variables : undefined;
    };
    expect(await idOf(false)).toEqual(['a%2Fb c/d']);
    expect(await idOf(true)).toEqual(['a/b c/d']);
  });

  test('a rule that the method cannot keep is told with its place in the YAML file', async () => {
    const contract = await withConfigs(`http:
  rules:
  - selector: a.v1.Shop.Get
    get: /v1/{nope}
  - selector: a.v1.Shop.Put
    put: /watch/{id
  - selector: a.v1.Other.Do
    get: /watch`);
    let thrown: unknown;
    try {
      buildTable(contract, {});
    } catch (error) {
      thrown = error;
    }
    const lines = String((thrown as Error).message).split('\n');
    expect(lines[0]).toMatch(/c1\.yaml:5: a\.v1\.Shop\/Get: GET \/v1\/\{nope\}: .*no field "nope"/);
    expect(lines[1]).toMatch(/c1\.yaml:7: a\.v1\.Shop\/Put: PUT \/watch\/\{id: /);
    expect(lines.at(-1)).toMatch(
      /c1\.yaml:9: .*the same requests already go to a\.proto:\d+: a\.v1\.Shop\/Watch/,
    );
  });

  test('what is wrong in an annotation that is replaced matters to nobody', async () => {
    const proto = {
      'a.proto': `${HEAD}package a.v1; message M {}
service S { rpc Do(M) returns (M) { option (google.api.http) = {body: "*"}; } }`,
    };
    const folder = folders.write({
      'c.yaml': 'type: google.api.Service\nhttp: {rules: [{selector: a.v1.S.Do, get: /x}]}',
    });
    expect(await problemsOf(load(proto))).toHaveLength(1);
    const contract = await load(proto, { serviceConfigs: [join(folder, 'c.yaml')] });
    expect(contract.methods[0]?.routes[0]?.template).toBe('/x');
  });
});

test('the example of docs/service-config.md is one', async () => {
  const text = readFileSync(new URL('../docs/service-config.md', import.meta.url), 'utf8');
  const folder = folders.write({ 'c.yaml': /```yaml\n(.*?)```/s.exec(text)?.[1] ?? '' });
  const rpcs = ['GetOrder', 'CreateOrder', 'Lock', 'GetPublicPrice'].map(
    (name) => `rpc ${name}(M) returns (M);`,
  );
  const proto = `${HEAD}package orders.v1;
message M { string order_id = 1; string customer_id = 2; M order = 3; string type = 4; string symbol = 5; Meta meta = 6; int64 after_position = 7; }
message Meta { int64 position = 1; }
service Orders { ${rpcs.join(' ')} rpc WatchOrders(M) returns (stream M); }
service Prices { rpc Watch(M) returns (stream M); }`;
  const { methods } = await load({ 'o.proto': proto }, { serviceConfigs: [join(folder, 'c.yaml')] });
  const streams = methods.filter(({ serverStreaming }) => serverStreaming).map(({ stream }) => stream);
  expect(streams).toMatchObject([
    { eventField: 'type', heartbeatMs: 10_000 },
    { sharing: 'shared', lingerMs: 30_000 },
  ]);
});

describe('the tidegate section', () => {
  test('sets access and stream where the contract cannot, each by its last rule', async () => {
    const contract = await withConfigs(`
tidegate:
  rules:
  - selector: "*"
    access: {public: true}
  - selector: a.v1.Shop.*
    access:
      permissions: shop:read
      roles: [clerk, admin]
  - selector: a.v1.Shop.Watch
    stream: {event_field: kind, heartbeat: 1.5s}
  - selector: a.v1.Shop.Get
    access: {bind: {field: id, claim: org.id, unless: any, firstOnly: true}}
`);
    expect(methodOf(contract, 'Shop/Get')?.access).toEqual({
      public: false,
      permissions: [],
      roles: [],
      bind: [{ field: 'id', claim: 'org.id', unless: ['any'], firstOnly: true }],
    });
    expect(methodOf(contract, 'Other/Do')?.access).toEqual({ public: true, permissions: [], roles: [] });
    expect(methodOf(contract, 'Shop/Watch')?.access).toEqual({
      public: false,
      permissions: ['shop:read'],
      roles: ['clerk', 'admin'],
    });
    expect(methodOf(contract, 'Shop/Watch')?.stream).toEqual({
      ...STREAM_DEFAULTS,
      eventField: 'kind',
      heartbeatMs: 1500,
    });
    expect(routesOf(contract, 'Shop/Get')).toEqual(['GET /annotated/{id}']);
  });

  test.each([
    [
      'access: {public: true, roles: [a]}',
      'c1.yaml:5: a.v1.Shop.Watch: access: public contradicts permissions and roles: whoever has no token has none of them',
    ],
    ['access: {public: maybe}', 'c1.yaml:5: a.v1.Shop.Watch: public: expected true or false'],
    ['access: {permissions: [1]}', 'c1.yaml:5: a.v1.Shop.Watch: permissions: expected a text'],
    ['access: {roles: {a: b}}', 'c1.yaml:5: a.v1.Shop.Watch: roles: expected a list'],
    ['access: everyone', 'c1.yaml:5: a.v1.Shop.Watch: access: expected a mapping'],
    [
      'access: {bind: {field: id}}',
      'c1.yaml:5: a.v1.Shop.Watch: access: bind id: claim is missing, what the field must hold',
    ],
    [
      'access: {public: true, bind: [{field: id, claim: sub}]}',
      'c1.yaml:5: a.v1.Shop.Watch: access: public contradicts bind: whoever has no token has no claims that a field could hold',
    ],
    [
      'access: {bind: [{field: id, claims: sub}]}',
      'c1.yaml:5: a.v1.Shop.Watch: unknown key claims; did you mean claim?',
    ],
    ['access: {role: a}', 'c1.yaml:5: a.v1.Shop.Watch: unknown key role; did you mean roles?'],
    [
      'stream: {heartbeat: 10ms}',
      'c1.yaml:5: a.v1.Shop.Watch: heartbeat: expected seconds such as 5s or 1.5s',
    ],
    [
      'stream: {heartbeat: 0.5s}',
      "c1.yaml:5: a.v1.Shop.Watch: stream: heartbeat of 0.5 s is out of range: 1 s to 1 h, or 0 for the gateway's own",
    ],
    [
      'stream: {event_field: nope}',
      'c1.yaml:4: a.v1.Shop/Watch: tidegate.v1.stream event_field nope: a.v1.M has no field of this name',
    ],
    ['get: /x', 'c1.yaml:5: unknown key get'],
  ])('%s is a problem', async (option, problem) => {
    const text = `tidegate:\n  rules:\n  - selector: a.v1.Shop.Watch\n    ${option}`;
    expect(
      (await problemsOf(withConfigs(text)))[0]?.replace(/^.*\//, (path) =>
        path.replace(/.*tidegate-contract-[^/]*\//, ''),
      ),
    ).toBe(problem);
  });

  test('stream options of a method that answers one message are a problem', async () => {
    const text = `tidegate:\n  rules:\n  - {selector: a.v1.Shop.Get, stream: {heartbeat: 5s}}`;
    expect(await problemsOf(withConfigs(text))).toEqual([
      expect.stringMatching(/c1\.yaml:4: a\.v1\.Shop\/Get: .*answers one message/),
    ]);
  });
});

test('a method that is only imported, and not served, may be named', async () => {
  const include = folders.write({
    'far.proto': 'syntax = "proto3"; package far; message N {} service Away { rpc Go(N) returns (N); }',
    'c.yaml': 'type: google.api.Service\nhttp: {rules: [{selector: far.Away.Go, get: /go}]}',
  });
  const proto =
    'syntax = "proto3"; package a; import "far.proto"; message M { far.N n = 1; } service S { rpc Do(M) returns (M); }';
  const sources = { includes: [include], serviceConfigs: [join(include, 'c.yaml')] };
  const { methods } = await load({ 'a.proto': proto }, sources);
  expect(methods.map(({ name, routes }) => [name, routes])).toEqual([['a.S/Do', []]]);
});

describe('what is refused', () => {
  test.each([
    ['a.v1.Shop.Gte', /c1\.yaml:4: a\.v1\.Shop\.Gte: no such method; did you mean a\.v1\.Shop\.Get\?/],
    ['a.v1.Shop', /c1\.yaml:4: a\.v1\.Shop: no such method; is a\.v1\.Shop\.\* meant\?/],
    ['b.*', /c1\.yaml:4: b\.\*: no such method/],
    ['a.v1.*.Get', /c1\.yaml:4: selector: expected pkg\.Service\.Method/],
    ['a.v1.Shop/Get', /c1\.yaml:4: selector: expected pkg\.Service\.Method/],
  ])('the selector %s', async (selector, problem) => {
    const text = `http:\n  rules:\n  - selector: ${selector}\n    get: /x`;
    expect(await problemsOf(withConfigs(text))).toEqual([expect.stringMatching(problem)]);
  });

  test.each([
    ['get: /x\n    put: /y', /c1\.yaml:6: a\.v1\.Shop\.Get: a rule has one pattern: get or put, not both/],
    ['body: "*"', /c1\.yaml:4: a\.v1\.Shop\.Get: the rule has no pattern/],
    ['gte: /x', /c1\.yaml:5: unknown key gte; did you mean get\?/],
    ['get: 5', /c1\.yaml:5: a\.v1\.Shop\.Get: get: expected a text/],
    ['get: [/x]', /c1\.yaml:5: a\.v1\.Shop\.Get: get: expected a text/],
    ['custom: {kind: X}', /c1\.yaml:5: a\.v1\.Shop\.Get: custom: give kind .* and path/],
    ['custom: /x', /c1\.yaml:5: a\.v1\.Shop\.Get: custom: expected a mapping/],
    ['get: /x\n    additional_bindings: {get: /y}', /c1\.yaml:6: .*additional_bindings: expected a list/],
    [
      'get: /x\n    additional_bindings: [{get: /y, additional_bindings: []}]',
      /c1\.yaml:6: .*additional_bindings cannot have additional_bindings/,
    ],
    ['get: /x\n    get: /y', /c1\.yaml:6: not valid YAML/],
    ['response_body: a\n    responseBody: a\n    get: /x', /c1\.yaml:6: responseBody is given twice/],
  ])('the rule %j', async (rule, problem) => {
    const text = `http:\n  rules:\n  - selector: a.v1.Shop.Get\n    ${rule}`;
    expect((await problemsOf(withConfigs(text)))[0]).toMatch(problem);
  });

  test.each([
    ['htpp: {}', /c1\.yaml:2: unknown key htpp; did you mean http\?/],
    ['http: []', /c1\.yaml:2: http: expected a mapping/],
    ['http: {rules: {a: b}}', /c1\.yaml:2: rules: expected a list/],
    ['http: {rules: [{get: /x}]}', /c1\.yaml:2: the rule has no selector/],
    ['http: {rules: [/x]}', /c1\.yaml:2: a rule: expected a mapping/],
    ['http: {fully_decode_reserved_expansion: 1}', /expected true or false/],
    ['tidegate: {rules: [{selector: "*"}]}', /c1\.yaml:2: \*: the rule says nothing/],
    ['a: [', /c1\.yaml:2: not valid YAML/],
  ])('the file %j', async (text, problem) => {
    expect((await problemsOf(withConfigs(text)))[0]).toMatch(problem);
  });

  test('a file of another type, an empty one, and one that is not there', async () => {
    const folder = folders.write({ 'a.yaml': 'type: Deployment', 'b.yaml': '', 'c.yaml': 'http: {}' });
    const problems = (name: string) => problemsOf(load(PROTO, { serviceConfigs: [join(folder, name)] }));
    expect(await problems('a.yaml')).toEqual([
      expect.stringMatching(/a\.yaml:1: type: expected google\.api\.Service/),
    ]);
    expect(await problems('b.yaml')).toEqual([
      expect.stringMatching(/b\.yaml:1: a service configuration: expected a mapping/),
    ]);
    expect(await problems('c.yaml')).toEqual([
      expect.stringMatching(/c\.yaml:1: type: google\.api\.Service is missing/),
    ]);
    expect(await problems('nope.yaml')).toEqual([expect.stringMatching(/nope\.yaml: no such file/)]);
  });

  test('aliases are followed, and a file that feeds on itself is no harm', async () => {
    const good = `http:\n  rules:\n  - &rule {selector: a.v1.Shop.Get, get: /x}\n  - *rule`;
    expect(routesOf(await withConfigs(good), 'Shop/Get')).toEqual(['GET /x']);
    const bad = `http:\n  rules: &all\n  - *all`;
    expect((await problemsOf(withConfigs(bad)))[0]).toMatch(/a rule: expected a mapping/);
  });
});
