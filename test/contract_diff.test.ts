/** What a new contract changes: each kind of change once as it breaks clients and once as it does not. */
import { afterAll, describe, expect, test } from 'vitest';
import { diffContracts, printChange } from '../src/contract/diff.js';
import { type Files, folders, HEAD, load } from './support/contracts/loading.js';

afterAll(() => folders.remove());

interface Parts {
  /** Options of Get. */
  readonly get?: string;
  /** The rpc line of Watch. */
  readonly watch?: string;
  /** Fields of Order besides its id. */
  readonly fields?: string;
  /** Values of Kind. */
  readonly kinds?: string;
  /** Further declarations in the file, and rpcs in the service. */
  readonly more?: string;
  readonly rpcs?: string;
}

function contract({
  get = 'option (google.api.http) = {get: "/v1/orders/{id}"};',
  watch = 'rpc Watch(Order) returns (stream Order) { option (tidegate.v1.stream) = {event_field: "name"}; }',
  fields = 'string name = 2; Kind kind = 3;',
  kinds = 'NONE = 0; NEW = 1;',
  more = '',
  rpcs = '',
}: Parts = {}): Files {
  return {
    'a.proto': `${HEAD}package a.v1;
message Order { string id = 1; ${fields} }
message Item { string sku = 1; }
enum Kind { ${kinds} }
${more}
service Shop {
  rpc Get(Order) returns (Order) { ${get} }
  ${watch}
  ${rpcs}
}`,
  };
}

async function changes(before: Parts, after: Parts): Promise<string[]> {
  return diffContracts(await load(contract(before)), await load(contract(after))).map(printChange);
}

const http = (rule: string) => `option (google.api.http) = {${rule}};`;
const access = (text: string) => `option (tidegate.v1.access) = {${text}};`;

test('the same contract has no changes', async () => {
  expect(await changes({}, {})).toEqual([]);
});

describe('methods and routes', () => {
  test('an added method is added with its routes, a removed one breaks with them', async () => {
    const rpcs = `rpc Do(Order) returns (Order) { ${http('post: "/v1/do" body: "*"')} }`;
    expect(await changes({}, { rpcs })).toEqual([
      'method a.v1.Shop/Do: added',
      'route POST /v1/do of a.v1.Shop/Do: added',
    ]);
    expect(await changes({ rpcs }, {})).toEqual([
      'method a.v1.Shop/Do: removed (breaking)',
      'route POST /v1/do of a.v1.Shop/Do: removed (breaking)',
    ]);
  });

  test.each([
    [
      'another verb',
      http('post: "/v1/orders/{id}"'),
      [
        'route GET /v1/orders/{id} of a.v1.Shop/Get: removed (breaking)',
        'route POST /v1/orders/{id} of a.v1.Shop/Get: added',
      ],
    ],
    [
      'another path',
      http('get: "/v2/orders/{id}"'),
      [
        'route GET /v1/orders/{id} of a.v1.Shop/Get: removed (breaking)',
        'route GET /v2/orders/{id} of a.v1.Shop/Get: added',
      ],
    ],
    [
      'one more binding',
      http('get: "/v1/orders/{id}" additional_bindings {get: "/v2/orders/{id}"}'),
      ['route GET /v2/orders/{id} of a.v1.Shop/Get: added'],
    ],
    [
      'another body',
      http('get: "/v1/orders/{id}" body: "name"'),
      ['route GET /v1/orders/{id} of a.v1.Shop/Get: body changed from none to name (breaking)'],
    ],
    [
      'another response_body',
      http('get: "/v1/orders/{id}" response_body: "name"'),
      ['route GET /v1/orders/{id} of a.v1.Shop/Get: response_body changed from the whole to name (breaking)'],
    ],
  ])('%s', async (_, get, expected) => {
    expect(await changes({}, { get })).toEqual(expected);
  });

  test.each([
    [
      'rpc Watch(Order) returns (Order);',
      'kind changed from a stream of responses to one request and one response (breaking)',
    ],
    [
      'rpc Watch(Item) returns (stream Order);',
      'request type changed from a.v1.Order to a.v1.Item (breaking)',
    ],
    [
      'rpc Watch(Order) returns (stream Item);',
      'response type changed from a.v1.Order to a.v1.Item (breaking)',
    ],
  ])('%s', async (watch, expected) => {
    expect(await changes({ watch: 'rpc Watch(Order) returns (stream Order);' }, { watch })).toEqual([
      `method a.v1.Shop/Watch: ${expected}`,
    ]);
  });

  test('the event field breaks those who listen to names, the heartbeat nobody', async () => {
    const watch = (stream: string) =>
      `rpc Watch(Order) returns (stream Order) { option (tidegate.v1.stream) = {${stream}}; }`;
    expect(await changes({ watch: watch('') }, { watch: watch('event_field: "name"') })).toEqual([
      'method a.v1.Shop/Watch: event field changed from none to name (breaking)',
    ]);
    expect(await changes({ watch: watch('') }, { watch: watch('heartbeat {seconds: 5}') })).toEqual([
      "method a.v1.Shop/Watch: heartbeat changed from the gateway's to 5000 ms",
    ]);
  });

  test('a stream that can no longer be resumed, or skips what slow readers miss, breaks its clients', async () => {
    const watch = (stream: string) =>
      `rpc Watch(Order) returns (stream Order) { option (tidegate.v1.stream) = {${stream}}; }`;
    const position = 'cursor_field: "id" resume_field: "id"';
    const steps: readonly (readonly [string, string, readonly string[]])[] = [
      ['', position, ['position changed from none to id to id']],
      [position, `${position} sharing: NODE`, ['sharing changed from private to node']],
      [`${position} sharing: NODE`, 'sharing: NODE', ['position changed from id to id to none']],
      [position, '', ['position changed from id to id to none (breaking)']],
      ['sharing: SHARED', '', ['sharing changed from shared to private (breaking)']],
      [
        'sharing: NODE',
        'sharing: NODE scope {claims: "tenant" claims: "sub" headers: "x-a"} linger {}',
        [
          'scope changed from none to claim sub and claim tenant and header x-a',
          'linger changed from 15000 ms to 0 ms',
        ],
      ],
      [
        'sharing: NODE',
        'sharing: NODE retention {entries: 5}',
        [
          'retention changed from 10000 entries, 3600000 ms, 16777216 bytes to 5 entries, 3600000 ms, 16777216 bytes',
        ],
      ],
      [
        'sharing: NODE',
        'sharing: NODE slow {policy: CONFLATE key: "name"}',
        [
          'slow readers changed from disconnect beyond 1048576 bytes or 30000 ms to conflate by name beyond 1048576 bytes or 30000 ms (breaking)',
        ],
      ],
    ];
    for (const [before, after, told] of steps) {
      expect(await changes({ watch: watch(before) }, { watch: watch(after) })).toEqual(
        told.map((change) => `method a.v1.Shop/Watch: ${change}`),
      );
    }
  });

  test('another upstream is told, and breaks nobody', async () => {
    const [before, after] = [
      await load(contract()),
      await load(contract(), { upstreams: [{ name: 'u2', services: [] }] }),
    ];
    expect(diffContracts(before, after).map(printChange)).toEqual([
      'method a.v1.Shop/Get: upstream changed from u1 to u2',
      'method a.v1.Shop/Watch: upstream changed from u1 to u2',
    ]);
  });
});

describe('access', () => {
  test.each([
    ['public: true', '', 'public to any token (breaking)'],
    ['', 'public: true', 'any token to public'],
    ['', 'permissions: "a"', 'any token to a (breaking)'],
    ['permissions: ["a", "b"]', 'permissions: "a"', 'a and b to a'],
    ['permissions: "a"', 'permissions: "b"', 'a to b (breaking)'],
    ['', 'roles: "r"', 'any token to role r (breaking)'],
    ['roles: ["r", "s"]', 'roles: "r"', 'role r or s to role r (breaking)'],
    ['roles: "r"', 'roles: ["r", "s"]', 'role r to role r or s'],
    ['roles: "r"', '', 'role r to any token'],
    ['permissions: "a"', 'permissions: "a" roles: "r"', 'a to a and role r (breaking)'],
    ['', 'bind: {field: "id" claim: "sub"}', 'any token to any token, id = sub (breaking)'],
    ['bind: {field: "id" claim: "sub"}', '', 'any token, id = sub to any token'],
    [
      'bind: {field: "id" claim: "sub"}',
      'bind: {field: "id" claim: "sub" unless: ["a", "b"]}',
      'any token, id = sub to any token, id = sub unless a or b',
    ],
    [
      'bind: {field: "id" claim: "sub" unless: "a"}',
      'bind: {field: "id" claim: "sub" unless: "b"}',
      'any token, id = sub unless a to any token, id = sub unless b (breaking)',
    ],
    [
      'bind: {field: "id" claim: "sub" first_only: true}',
      'bind: {field: "id" claim: "sub"}',
      'any token, id = sub in the first message to any token, id = sub (breaking)',
    ],
  ])('from {%s} to {%s}', async (before, after, expected) => {
    expect(await changes({ get: access(before) }, { get: access(after) })).toEqual([
      `method a.v1.Shop/Get: access changed from ${expected}`,
    ]);
  });

  test('another order of the same names is no change', async () => {
    expect(
      await changes({ get: access('permissions: ["a", "b"]') }, { get: access('permissions: ["b", "a"]') }),
    ).toEqual([]);
  });
});

describe('fields', () => {
  test.each([
    ['string name = 2;', 'string name = 2; int32 size = 4;', ['size: added']],
    ['string name = 2; int32 size = 4;', 'string name = 2;', ['size: removed (breaking)']],
    ['string name = 2;', 'string name = 4;', ['name: number changed from 2 to 4 (breaking)']],
    [
      'string name = 2; int32 size = 4;',
      'string name = 2; int32 length = 4;',
      ['size: renamed to length (breaking)'],
    ],
    [
      'string name = 2; int32 size = 4;',
      'string name = 2; int64 size = 4;',
      ['size: type changed from int32 to int64 (breaking)'],
    ],
    [
      'string name = 2; Item item = 4;',
      'string name = 2; repeated Item item = 4;',
      ['item: type changed from a.v1.Item to repeated a.v1.Item (breaking)'],
    ],
    [
      'string name = 2; map<string, Item> items = 4;',
      'string name = 2; map<int32, Item> items = 4;',
      ['items: type changed from map<string, a.v1.Item> to map<int32, a.v1.Item> (breaking)'],
    ],
    [
      'string name = 2;',
      'string name = 2 [json_name = "title"];',
      ['name: JSON name changed from name to title (breaking)'],
    ],
    [
      'string name = 2; int32 size = 4;',
      'string name = 2; oneof by { int32 size = 4; }',
      ['size: oneof changed from none to by (breaking)', 'size: presence changed from implicit to explicit'],
    ],
    [
      'string name = 2; int32 size = 4;',
      'string name = 2; optional int32 size = 4;',
      ['size: presence changed from implicit to explicit'],
    ],
  ])('%s -> %s', async (before, after, expected) => {
    expect(await changes({ fields: before }, { fields: after })).toEqual(
      expected.map((change) => `field a.v1.Order.${change}`),
    );
  });

  test('of types that only fields reach', async () => {
    const nested = (fields: string) => ({
      fields: 'string name = 2; Deep deep = 4;',
      more: `message Deep { repeated Deep next = 1; Inner inner = 2; message Inner { ${fields} } }`,
    });
    expect(await changes(nested('string a = 1;'), nested('bytes a = 1;'))).toEqual([
      'field a.v1.Deep.Inner.a: type changed from string to bytes (breaking)',
    ]);
  });

  test('of types that no call carries matter to nobody', async () => {
    expect(await changes({ more: 'message Alone { string a = 1; }' }, { more: '' })).toEqual([]);
  });

  test('a type that is gone', async () => {
    const rpcs = 'rpc Do(Gone) returns (Order);';
    expect(await changes({ rpcs, more: 'message Gone {}' }, {})).toEqual([
      'method a.v1.Shop/Do: removed (breaking)',
      'message a.v1.Gone: removed (breaking)',
    ]);
  });
});

describe('enum values', () => {
  test.each([
    ['NONE = 0; NEW = 1; OLD = 2;', ['OLD: added']],
    ['NONE = 0;', ['NEW: removed (breaking)']],
    ['NONE = 0; NEW = 2;', ['NEW: number changed from 1 to 2 (breaking)']],
    ['NONE = 0; FRESH = 1;', ['NEW: removed (breaking)', 'FRESH: added']],
  ])('%s', async (kinds, expected) => {
    expect(await changes({}, { kinds })).toEqual(expected.map((change) => `enum value a.v1.Kind.${change}`));
  });
});
