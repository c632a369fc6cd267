/** Profiles: every switchable rule, with what is taken and what is refused under each of them. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Config, ConfigError, loadConfig } from '../gateway/config.js';
import { buildTable, type Table } from '../gateway/http/table.js';
import { applyProfile, PROFILE_TABLE, PROFILES, type Profile } from '../gateway/profile.js';
import type { JsonValue } from '../src/codec/codec.js';
import { parseJson } from '../src/codec/json_text.js';
import { ContractError } from '../src/contract/contract.js';
import type { HttpRule } from '../src/method.js';
import { StatusError } from '../src/status.js';
import { readShop, shopContract, shopMethod } from './support/shop.js';

type Rule = Partial<HttpRule> & { readonly template: string };

/** The configuration of a profile, with options of its own. */
function configOf(profile: Profile, yaml = ''): Config {
  const argv = ['--upstream', 'localhost:1', '--profile', profile];
  const readFile = (): string => yaml;
  return loadConfig({ argv: yaml === '' ? argv : [...argv, '--config', 'x.yaml'], env: {}, readFile });
}

function tableOf(rules: readonly Rule[], { http, json, contract, routes }: Config): Table {
  const methods = rules.map((rule, index) => shopMethod([rule], { name: `Do${index}` }));
  return buildTable(shopContract(...methods, shopMethod([], { name: 'Bare' })), json, {
    duplicates: contract.duplicateRoutes,
    http,
    routes,
  });
}

interface Asked {
  /** `GET /v1/x?y=z` */
  readonly request: string;
  readonly body?: JsonValue;
  /** The body as text. */
  readonly text?: string;
}

/** The message that a request becomes, as JSON; or the HTTP status of its refusal; or `error` for a contract that is refused. */
function answer(rules: readonly Rule[], { request, body, text }: Asked, config: Config): JsonValue {
  const [verb = '', target = ''] = request.split(' ');
  const [path = '', query = ''] = target.split('?');
  try {
    const found = tableOf(rules, config).router.match(verb, path);
    if (found === undefined) return 404;
    if (!('match' in found)) return config.http.wrongMethod;
    const { endpoint, variables } = found.match;
    const bound = endpoint.binding.bind(variables, query);
    if (text !== undefined) return readShop(bound.json(parseJson(text, undefined, config.http.jsonDialect)));
    return readShop(body === undefined ? bound.empty() : bound.json(structuredClone(body)));
  } catch (thrown) {
    if (thrown instanceof ContractError) return 'error';
    if (thrown instanceof StatusError) return thrown.row.http;
    throw thrown;
  }
}

/** What a request gets here, under grpc-gateway and under Envoy. One value: the same under all. */
type Expected = readonly [JsonValue, JsonValue, JsonValue] | readonly [JsonValue];
interface Case extends Asked {
  readonly rules: readonly Rule[];
  readonly gets: Expected;
}

const BY_ID: Rule = { template: '/v1/{id}' };
const POST: Rule = { verb: 'POST', template: '/v1/{id}', body: '*' };
const ALL: Rule = { template: '/v1' };
const PATCH: Rule = { verb: 'PATCH', template: '/v1/{order.order_id}', body: 'order' };
const TWICE: readonly Rule[] = [BY_ID, { template: '/v1/{hint}' }];
const CANCEL: Rule = { verb: 'POST', template: '/v1/{id}:cancel' };

const CASES: Readonly<Record<string, readonly Case[]>> = {
  'http.wrongMethod': [
    { rules: [BY_ID], request: 'PUT /v1/x', gets: [405, 501, 405] },
    { rules: [BY_ID], request: 'GET /v1/x', gets: [{ id: 'x' }] },
  ],
  'http.trailingSlash': [
    { rules: [BY_ID], request: 'GET /v1/x/', gets: [404, 404, { id: 'x' }] },
    { rules: [BY_ID], request: 'GET /v1/x//', gets: [404, 404, { id: 'x' }] },
    { rules: [BY_ID], request: 'GET /v1//x', gets: [404] },
    { rules: [BY_ID], request: 'GET /v1/', gets: [404] },
    { rules: [BY_ID], request: 'GET /v1/x', gets: [{ id: 'x' }] },
  ],
  'http.precedence': [
    { rules: [{ template: '/v1/all' }, BY_ID], request: 'GET /v1/all', gets: [{}, { id: 'all' }, {}] },
    { rules: [BY_ID, { template: '/v1/all' }], request: 'GET /v1/all', gets: [{}] },
    {
      rules: [{ template: '/v1/all' }, { template: '/v1/{hint=**}' }],
      request: 'GET /v1/all',
      gets: [{}, { hint: 'all' }, {}],
    },
    {
      rules: [{ template: '/v1/{id}:get' }, { template: '/v1/{hint}' }],
      request: 'GET /v1/a:get',
      gets: [{ id: 'a' }, { hint: 'a:get' }, { id: 'a' }],
    },
    {
      rules: [{ template: '/v1/{hint}' }, { template: '/v1/{id}:get' }],
      request: 'GET /v1/a:get',
      gets: [{ id: 'a' }],
    },
    { rules: [{ template: '/v1/all' }, BY_ID], request: 'GET /v2/all', gets: [404] },
  ],
  'http.verbs': [
    {
      rules: [BY_ID, CANCEL],
      request: 'GET /v1/a:cancel',
      gets: [{ id: 'a:cancel' }, { id: 'a:cancel' }, 405],
    },
    { rules: [BY_ID, CANCEL], request: 'GET /v1/a:other', gets: [{ id: 'a:other' }] },
    { rules: [BY_ID, CANCEL], request: 'POST /v1/a:cancel', gets: [{ id: 'a' }] },
  ],
  'http.methodPaths': [
    { rules: [BY_ID], request: 'POST /shop.v1.Shop/Bare', body: { id: 'x' }, gets: [{ id: 'x' }, 404, 404] },
    { rules: [BY_ID], request: 'POST /shop.v1.Shop/None', gets: [404] },
  ],
  'http.multiSegment': [
    {
      rules: [{ template: '/v1/{id=**}' }],
      request: 'GET /v1/a%2Fb%3ac%20d%C3%A9/e',
      gets: [{ id: 'a%2Fb:c d\u00e9/e' }, { id: 'a/b:c d\u00e9/e' }, { id: 'a%2Fb%3ac d\u00e9/e' }],
    },
    { rules: [BY_ID], request: 'GET /v1/a%2Fb%3ac', gets: [{ id: 'a/b:c' }] },
    { rules: [{ template: '/v1/{id=**}' }], request: 'GET /v1/a%2', gets: [400] },
  ],
  'http.pathConflicts': [
    { rules: [BY_ID], request: 'GET /v1/x?id=y', gets: [400, { id: 'x' }, 400] },
    { rules: [BY_ID], request: 'GET /v1/x?id=x', gets: [{ id: 'x' }] },
    { rules: [BY_ID], request: 'GET /v1/x?id=y&id=z', gets: [400, { id: 'x' }, 400] },
    { rules: [POST], request: 'POST /v1/x', body: { id: 'y' }, gets: [400, { id: 'x' }, 400] },
    { rules: [POST], request: 'POST /v1/x', body: { id: 'x' }, gets: [{ id: 'x' }] },
    {
      rules: [PATCH],
      request: 'PATCH /v1/x',
      body: { order_id: 'y', note: 'n' },
      gets: [400, { order: { orderId: 'x', note: 'n' }, updateMask: 'note' }, 400],
    },
    // The wound of others: a member of the same oneof that takes the place of what the path set.
    { rules: [{ template: '/v1/{token}' }], request: 'GET /v1/x?offset=1', gets: [400] },
    {
      rules: [{ verb: 'POST', template: '/v1/{token}', body: '*' }],
      request: 'POST /v1/x',
      body: { offset: 1 },
      gets: [400],
    },
  ],
  'http.repeatedPathFields': [
    {
      rules: [{ template: '/v1/{tags}' }],
      request: 'GET /v1/a,b',
      gets: ['error', { tags: ['a', 'b'] }, 'error'],
    },
    { rules: [{ template: '/v1/{numbers}' }], request: 'GET /v1/1,x', gets: ['error', 400, 'error'] },
    {
      rules: [{ template: '/v1/{colors}' }],
      request: 'GET /v1/RED,2?colors=RED',
      gets: ['error', { colors: ['RED', 'BLUE'] }, 'error'],
    },
    { rules: [{ template: '/v1/{items}' }], request: 'GET /v1/a', gets: ['error'] },
    { rules: [{ template: '/v1/{labels}' }], request: 'GET /v1/a', gets: ['error'] },
  ],
  'http.unknownParameters': [
    { rules: [ALL], request: 'GET /v1?nope=1', gets: [400, {}, 400] },
    { rules: [ALL], request: 'GET /v1?order.nope=1&id=x', gets: [400, { id: 'x' }, 400] },
    {
      rules: [PATCH],
      request: 'PATCH /v1/x?order.note=y',
      body: {},
      gets: [400, { order: { orderId: 'x' } }, 400],
    },
    { rules: [ALL], request: 'GET /v1?id=x', gets: [{ id: 'x' }] },
    { rules: [ALL], request: 'GET /v1?page_size=many', gets: [400] },
    { rules: [ALL], request: 'GET /v1?nope=%zz', gets: [400] },
  ],
  'http.plusIsSpace': [
    { rules: [ALL], request: 'GET /v1?id=a+b', gets: [{ id: 'a b' }, { id: 'a b' }, { id: 'a+b' }] },
    {
      rules: [ALL],
      request: 'GET /v1?since=2024-01-02T03:04:05+01:00',
      gets: [400, 400, { since: '2024-01-02T02:04:05Z' }],
    },
    { rules: [ALL], request: 'GET /v1?id=a%2Bb%20c', gets: [{ id: 'a+b c' }] },
  ],
  'http.goTexts': [
    { rules: [ALL], request: 'GET /v1?wait=1h2m3.5s', gets: [400, { wait: '3723.500s' }, 400] },
    { rules: [ALL], request: 'GET /v1?wait=-1.5ms', gets: [400, { wait: '-0.001500s' }, 400] },
    { rules: [ALL], request: 'GET /v1?wait=90s', gets: [{ wait: '90s' }] },
    { rules: [ALL], request: 'GET /v1?wait=1x', gets: [400] },
    { rules: [ALL], request: 'GET /v1?wait=h', gets: [400] },
    { rules: [{ template: '/v1/{wait}' }], request: 'GET /v1/300ms', gets: [400, { wait: '0.300s' }, 400] },
    { rules: [ALL], request: 'GET /v1?flag=T&maybe=0', gets: [400, { flag: true, maybe: false }, 400] },
    { rules: [ALL], request: 'GET /v1?switches[1]=t', gets: [400, { switches: { 1: true } }, 400] },
    { rules: [ALL], request: 'GET /v1?flag=yes', gets: [400] },
    {
      rules: [ALL],
      request: 'GET /v1?page_size=%2B07&limit=007',
      gets: [400, { pageSize: 7, limit: '7' }, 400],
    },
    { rules: [ALL], request: 'GET /v1?page_size=0x7', gets: [400] },
    { rules: [ALL], request: 'GET /v1?ratio=inf', gets: [400, { ratio: 'Infinity' }, 400] },
    {
      rules: [ALL],
      request: 'GET /v1?update_mask=page_size,order.ship_to',
      gets: [400, { updateMask: 'pageSize,order.shipTo' }, 400],
    },
  ],
  'http.unknownFields': [
    { rules: [POST], request: 'POST /v1/x', body: { nope: [1] }, gets: [400, { id: 'x' }, { id: 'x' }] },
    {
      rules: [POST],
      request: 'POST /v1/x',
      body: { order: { nope: 1, note: 'n' } },
      gets: [400, { id: 'x', order: { note: 'n' } }, { id: 'x', order: { note: 'n' } }],
    },
    { rules: [POST], request: 'POST /v1/x', body: { page_size: 'many' }, gets: [400] },
    { rules: [POST], request: 'POST /v1/x', body: { page_size: 1, pageSize: 2 }, gets: [400] },
    { rules: [POST], request: 'POST /v1/x', body: { color: true }, gets: [400] },
  ],
  'http.unknownEnumNames': [
    {
      rules: [POST],
      request: 'POST /v1/x',
      body: { color: 'PINK', colors: ['RED', 'PINK'], order: { color: 'PINK', note: 'n' } },
      gets: [400, { id: 'x', colors: ['RED'], order: { note: 'n' } }, 400],
    },
    { rules: [POST], request: 'POST /v1/x', body: { colors: 'RED' }, gets: [400] },
    { rules: [POST], request: 'POST /v1/x', body: { color: 1.5 }, gets: [400] },
    { rules: [ALL], request: 'GET /v1?color=PINK', gets: [400] },
  ],
  'http.jsonDialect': [
    {
      rules: [POST],
      request: 'POST /v1/x',
      text: '{"flag":true} x',
      gets: [400, { id: 'x', flag: true }, 400],
    },
    { rules: [POST], request: 'POST /v1/x', text: '{"limit":1}{', gets: [400, { id: 'x', limit: '1' }, 400] },
    {
      rules: [POST],
      request: 'POST /v1/x',
      text: '{"big_number":9007199254740993}',
      gets: [400, { id: 'x', bigNumber: '9007199254740993' }, 400],
    },
    { rules: [POST], request: 'POST /v1/x', text: '{"flag":true,"flag":true}', gets: [400] },
    { rules: [POST], request: 'POST /v1/x', text: '{"page_size":1.0}', gets: [{ id: 'x', pageSize: 1 }] },
    { rules: [POST], request: 'POST /v1/x', text: 'null', gets: [400] },
  ],
  'http.fillMask': [
    {
      rules: [PATCH],
      request: 'PATCH /v1/x',
      body: { note: 'n' },
      gets: [
        { order: { orderId: 'x', note: 'n' }, updateMask: 'note' },
        { order: { orderId: 'x', note: 'n' }, updateMask: 'note' },
        { order: { orderId: 'x', note: 'n' } },
      ],
    },
    { rules: [PATCH], request: 'PATCH /v1/x', body: { total: 'many' }, gets: [400] },
  ],
  'contract.duplicateRoutes': [
    { rules: TWICE, request: 'GET /v1/x', gets: ['error', { hint: 'x' }, 'error'] },
    { rules: [BY_ID], request: 'GET /v1/x', gets: [{ id: 'x' }] },
  ],
};

for (const [option, cases] of Object.entries(CASES)) {
  describe(option, () => {
    for (const { rules, gets, ...asked } of cases) {
      const routes = rules.map(({ verb = 'GET', template }) => `${verb} ${template}`).join(', ');
      const said = asked.text ?? (asked.body && JSON.stringify(asked.body)) ?? '';
      test.each(PROFILES.map((profile, index) => [profile, gets[index] ?? gets[0]] as const))(
        `of ${routes}: ${asked.request} ${said} under %s`,
        (profile, expected) => expect(answer(rules, asked, configOf(profile))).toEqual(expected),
      );
    }
  });
}

describe('options that no profile turns on', () => {
  const names = 'http: { ignoredParameters: ["utm_*", key] }';
  const capture = 'http: { unknownParameters: capture, captureInto: labels }';

  test.each(PROFILES)('ignoredParameters are dropped, whatever the route knows, under %s', (profile) => {
    const config = configOf(profile, names);
    const ask = (request: string): JsonValue => answer([ALL], { request }, config);
    expect(ask('GET /v1?utm_source=a&utm_=b&key=c&id=x')).toEqual({ id: 'x' });
    expect(ask('GET /v1?utm_source=%zz')).toBe(400);
    if (profile !== 'grpc-gateway') expect(ask('GET /v1?xutm_source=a')).toBe(400);
    if (profile !== 'grpc-gateway') expect(ask('GET /v1?keys=a')).toBe(400);
  });

  test.each(PROFILES)('unknownParameters: capture puts them into a map under %s', (profile) => {
    const config = configOf(profile, capture);
    const ask = (request: string, rule = ALL): JsonValue => answer([rule], { request }, config);
    expect(ask('GET /v1?a.b=1&id=x&utm[]=2&labels[c]=3')).toEqual({
      id: 'x',
      labels: { 'a.b': '1', 'utm[]': '2', c: '3' },
    });
    expect(ask('GET /v1?a=1&a=2')).toBe(400);
    expect(ask('GET /v1?a=1&labels[a]=2')).toBe(400);
  });

  test('unknownParameters: capture refuses them where the field is the body, which stays whole', () => {
    const config = configOf('default', capture);
    const rule: Rule = { verb: 'POST', template: '/v1', body: 'labels' };
    const ask = (request: string): JsonValue => answer([rule], { request, body: { k: 'v' } }, config);
    expect(ask('POST /v1?x=1')).toBe(400);
    expect(ask('POST /v1?labels[x]=1')).toBe(400);
    expect(ask('POST /v1?id=x')).toEqual({ id: 'x', labels: { k: 'v' } });
  });

  test('unknownParameters: capture refuses them where the request has no such field', () => {
    const config = configOf('default', 'http: { unknownParameters: capture, captureInto: other }');
    expect(answer([ALL], { request: 'GET /v1?a=1' }, config)).toBe(400);
  });

  test.each([
    ['http: { unknownParameters: capture }', 'http.captureInto'],
    ['routes: [{ match: "*", unknownParameters: capture }]', 'http.captureInto'],
  ])('unknownParameters: capture needs captureInto: %s', (yaml, place) => {
    expect(() => configOf('default', yaml)).toThrow(
      `x.yaml: ${place}: expected the proto name of a field, since unknownParameters is capture`,
    );
  });

  test('captureInto is a map<string, string>, or the contract is refused', () => {
    const config = configOf('default', 'http: { unknownParameters: capture, captureInto: switches }');
    expect(() => tableOf([ALL], config)).toThrow(
      'captureInto: shop.v1.Request.switches is no map<string, string>',
    );
  });

  describe('jsonDialect: jsonpb', () => {
    const config = configOf('grpc-gateway', 'http: { jsonDialect: jsonpb, pathConflicts: reject }');
    const lenient = configOf('grpc-gateway', 'http: { jsonDialect: jsonpb }');
    const post = (text: string, own = config, rule = POST): JsonValue =>
      answer([rule], { request: 'POST /v1/x', text }, own);
    const nested: Rule = { verb: 'POST', template: '/v1/{order.order_id}', body: '*' };
    const token: Rule = { verb: 'POST', template: '/v1/{token}', body: '*' };

    test('takes fields given twice, the JSON name before the proto name, and else the last', () => {
      expect(post('{"pageSize":1,"page_size":2}')).toEqual({ id: 'x', pageSize: 1 });
      expect(post('{"hint":"a","hint":"b"}')).toEqual({ id: 'x', hint: 'b' });
      expect(post('{"token":"a","offset":"1"}')).toEqual({ id: 'x', offset: '1' });
      expect(post('{"page_size":1.0}')).toBe(400);
    });

    test('never takes another value for what the path says, however often it is given', () => {
      const bodies = ['{"id":"x","id":"y"}', '{"id":"y","id":"z"}'];
      for (const text of bodies) expect(post(text), text).toBe(400);
      expect(post('{"id":"y","id":"x"}'), 'the last one counts').toEqual({ id: 'x' });
      for (const text of bodies) expect(post(text, lenient), text).toEqual({ id: 'x' });
      for (const text of [
        '{"order":{"order_id":"y","orderId":"x"}}',
        '{"order":{"order_id":"x","orderId":"y"}}',
        '{"order":{"orderId":"x"},"order":{"orderId":"y"}}',
      ]) {
        expect(post(text, config, nested), text).toBe(400);
        expect(post(text, lenient, nested), text).toEqual({ order: { orderId: 'x' } });
      }
    });

    test('never takes another member of the oneof of what the path says', () => {
      for (const own of [config, lenient]) {
        expect(post('{"offset":1}', own, token)).toBe(400);
        expect(post('{"offset":1,"item":{}}', own, token)).toBe(400);
        expect(post('{"offset":1,"token":"x"}', own, token)).toBe(400);
        expect(post('{"token":"x"}', own, token)).toEqual({ token: 'x' });
      }
    });

    test('fills the mask of a PATCH from what counts and what does not alike', () => {
      const text = '{"note":"a","note":"b","total":1e1}';
      expect(answer([PATCH], { request: 'PATCH /v1/x', text }, config)).toBe(400);
      expect(answer([PATCH], { request: 'PATCH /v1/x', text: text.replace('1e1', '10') }, config)).toEqual({
        order: { orderId: 'x', note: 'b', total: '10' },
        updateMask: 'note,total',
      });
    });
  });

  test('precedence first serves what is declared first', () => {
    const config = configOf(
      'grpc-gateway',
      'http: { precedence: first }\ncontract: { duplicateRoutes: first }',
    );
    const rules = [BY_ID, { template: '/v1/all' }];
    expect(answer(rules, { request: 'GET /v1/all' }, config)).toEqual({ id: 'all' });
    expect(answer(TWICE, { request: 'GET /v1/x' }, config)).toEqual({ id: 'x' });
  });

  test('of two equal routes the one that is not served is told, whichever it is', () => {
    const shadowed = (profile: Profile, yaml = ''): string[] =>
      tableOf(TWICE, configOf(profile, yaml)).shadowed.map(({ rule }) => rule ?? '');
    expect(shadowed('grpc-gateway')).toEqual(['GET /v1/{id}']);
    expect(shadowed('grpc-gateway', 'contract: { duplicateRoutes: first }')).toEqual(['GET /v1/{hint}']);
  });
});

test.each([
  ['default', ['GET /v1/{id}', 'POST /shop.v1.Shop/Bare']],
  ['grpc-gateway', ['GET /v1/{id}']],
  ['envoy', ['GET /v1/{id}']],
] as const)('the list of routes has what is served under %s', (profile, expected) => {
  const { endpoints, byName } = tableOf([BY_ID], configOf(profile));
  expect(endpoints.map(({ rule }) => `${rule.verb} ${rule.template}`)).toEqual(expected);
  expect(byName.has('shop.v1.Shop/Bare'), 'for WebSockets that name a method').toBe(true);
});

describe('what replies look like', () => {
  const print = (config: Config, reply = new Uint8Array()): JsonValue => {
    const [endpoint] = tableOf([ALL], config).endpoints;
    return JSON.parse(endpoint?.binding.print(reply) ?? '') as JsonValue;
  };

  test.each([
    ['default', {}],
    ['grpc-gateway', { order: null, names: [], totalSize: 0 }],
    ['envoy', {}],
  ] as const)('json.emitDefaults and json.emitNulls under %s', (profile, expected) => {
    expect(print(configOf(profile))).toEqual(expected);
  });

  test('a oneof and an optional field have no null, since grpc-gateway prints none', () => {
    const order = print(configOf('grpc-gateway'), Uint8Array.of(0x0a, 0)) as { order: JsonValue };
    expect(order.order).toEqual({
      orderId: '',
      note: '',
      total: '0',
      color: 'COLOR_UNSPECIFIED',
      items: [],
      shipTo: null,
      labels: {},
      due: null,
    });
  });

  test('an option that is set itself wins over the profile', () => {
    expect(print(configOf('grpc-gateway', 'json: { emitDefaults: false }'))).toEqual({});
    expect(print(configOf('grpc-gateway', 'json: { protoNames: true, emitNulls: false }'))).toEqual({
      names: [],
      total_size: 0,
    });
  });
});

describe('routes of the configuration', () => {
  const rules = [POST, { template: '/v1/list' }];
  const config = (routes: string, profile: Profile = 'default'): Config =>
    configOf(profile, `routes: [${routes}]`);

  test.each([
    ['a method by its name', 'shop.v1.Shop/Do0'],
    ['all methods of a service', 'shop.v1.Shop/*'],
    ['all methods of a package', 'shop.*'],
    ['a route as it is declared', 'POST /v1/{id}'],
    ['routes by a pattern', 'POST /v1/*'],
  ])('match %s', (_, match) => {
    const own = config(`{ match: "${match}", unknownFields: ignore }`);
    expect(answer(rules, { request: 'POST /v1/x', body: { nope: 1 } }, own)).toEqual({ id: 'x' });
  });

  test('leave other routes as they are', () => {
    const own = config('{ match: "GET /v1/list", unknownFields: ignore, unknownParameters: ignore }');
    expect(answer(rules, { request: 'POST /v1/x', body: { nope: 1 } }, own)).toBe(400);
    expect(answer(rules, { request: 'GET /v1/list?nope=1' }, own)).toEqual({});
  });

  test('win over the profile, and the later over the earlier', () => {
    const own = config(
      '{ match: "*", unknownFields: reject, json: { protoNames: true } }, { match: shop.v1.Shop/Do1, json: { emitDefaults: false } }',
      'grpc-gateway',
    );
    expect(answer(rules, { request: 'POST /v1/x', body: { nope: 1 } }, own)).toBe(400);
    const [first, second] = tableOf(rules, own).endpoints.map(({ binding }) =>
      binding.print(new Uint8Array()),
    );
    expect([first, second]).toEqual(['{"order":null,"names":[],"total_size":0}', '{}']);
  });

  test('are a problem of the contract when they match nothing', () => {
    const own = config('{ match: shop.v1.Shop/Gone }, { match: "GET /v1/{id}" }');
    expect(() => tableOf(rules, own)).toThrow(
      'routes[0]: shop.v1.Shop/Gone: no method and no route of the contract is matched\nroutes[1]: GET /v1/{id}: no method',
    );
  });

  test.each([
    [
      '{ match: v1 }',
      "routes[0].match: expected GET /v1/orders or orders.v1.OrdersService/GetOrder, with * for any text, not 'v1'",
    ],
    [
      '{ match: "*", unknownField: ignore }',
      'routes[0].unknownField: unknown key; did you mean unknownFields?',
    ],
    [
      '{ match: "*", json: { protoName: true } }',
      'routes[0].json.protoName: unknown key; did you mean protoNames?',
    ],
    ['{ match: "*", maxTimeoutMs: 0 }', 'routes[0].maxTimeoutMs: expected a duration'],
    ['{}', 'routes[0].match: expected GET /v1/orders'],
  ])('that are wrong are refused: %s', (routes, problem) => {
    expect(() => config(routes)).toThrow(`x.yaml: ${problem}`);
  });
});

describe('the table of profiles', () => {
  test.each(PROFILES)('is what a configuration with nothing but %s has', (profile) => {
    const config = configOf(profile) as unknown as Record<string, Record<string, unknown>>;
    for (const [option, row] of Object.entries(PROFILE_TABLE)) {
      const [section = '', name = ''] = option.split('.');
      expect(config[section]?.[name], option).toEqual(row[profile]);
    }
  });

  test('is the one that docs/migrating.md shows', () => {
    const page = readFileSync(new URL('../docs/migrating.md', import.meta.url), 'utf8');
    for (const [option, row] of Object.entries(PROFILE_TABLE)) {
      const cells = PROFILES.map((profile) => show(row[profile])).join(' | ');
      expect(page, option).toContain(`| \`${option}\` | ${cells} |`);
    }
  });

  test('presets nothing for what is no profile, and leaves sections that are none alone', () => {
    const tree = { http: { profile: 'nginx' } };
    applyProfile(tree);
    expect(tree).toEqual({ http: { profile: 'nginx' } });
    const odd = { http: { profile: 'envoy' }, json: 5 };
    applyProfile(odd);
    expect(odd.json).toBe(5);
  });

  test('a profile may come from flag, environment or file; one that is none is refused', () => {
    const argv = ['--upstream', 'localhost:1'];
    const byEnvironment = loadConfig({ argv, env: { TIDEGATE_PROFILE: 'envoy' } });
    expect(byEnvironment.http.streams).toBe('array');
    const readFile = (): string => 'http: { profile: grpc-gateway, streams: bare }';
    const byFile = loadConfig({ argv: [...argv, '--config', 'x.yaml'], env: {}, readFile });
    expect(byFile.http).toMatchObject({ wrongMethod: 501, streams: 'bare' });
    expect(() => loadConfig({ argv: [...argv, '--profile', 'nginx'], env: {} })).toThrow(ConfigError);
    expect(() => loadConfig({ argv: [...argv, '--profile', 'nginx'], env: {} })).toThrow(
      "flag --profile: expected one of default, grpc-gateway, envoy, not 'nginx'",
    );
  });
});

function show(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  return value === '' ? 'none' : String(value);
}

describe('docs/migrating.md', () => {
  const page = readFileSync(new URL('../docs/migrating.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, yaml]) => yaml ?? '');

  test('has three configurations', () => expect(blocks).toHaveLength(3));
  test.each(blocks)('shows a configuration that is valid: %j', (yaml) => {
    const config = loadConfig({ argv: ['--config', 'x.yaml'], env: {}, readFile: () => yaml });
    expect(config.http.profile).not.toBe('default');
  });
});
