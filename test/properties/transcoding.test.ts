/**
 * Random messages of random contracts travel as URL, query and body to bytes, to JSON and back, and stay what they are;
 * the other side is @bufbuild/protobuf. A short form of `npm run test:properties`, which sets RUNS.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { buildTable, type Match, type Table } from '../../gateway/http/table.js';
import type { JsonObject, JsonValue } from '../../src/codec/codec.js';
import { parseJson } from '../../src/codec/json_text.js';
import { type Method, STREAM_DEFAULTS } from '../../src/method.js';
import { jsonFor } from '../support/codec/arbitrary.js';
import { contractTypes, PACKAGE } from './contracts.js';
import {
  jsonText,
  type Route,
  routeFor,
  type Style,
  sayable,
  style,
  withVariable,
  writeRequest,
} from './requests.js';

const RUNS = Number(process.env.RUNS ?? 300);

interface Journey {
  readonly types: FileRegistry;
  readonly type: DescMessage;
  readonly route: Route;
  /** The message, as canonical JSON of the reference. */
  readonly json: JsonObject;
  readonly as: Style;
}

function methodOf(type: DescMessage, route: Route): Method {
  return {
    name: 'random.Service/Do',
    service: 'random.Service',
    path: '/random.Service/Do',
    clientStreaming: false,
    serverStreaming: false,
    input: type,
    output: type,
    routes: [route.rule],
    access: { public: true, permissions: [], roles: [] },
    stream: STREAM_DEFAULTS,
    upstream: 'u1',
    source: { file: 'random.proto' },
  };
}

/** JSON of the reference's own making. */
function canonical(type: DescMessage, registry: FileRegistry, bytes: Uint8Array): JsonObject {
  return toJson(type, fromBinary(type, bytes), { registry }) as JsonObject;
}

/** The message with what the path gives, without what this rule has no place for. */
function fitted(
  type: DescMessage,
  registry: FileRegistry,
  { json, route }: { json: JsonObject; route: Route },
): JsonObject {
  const normal = reread(type, registry, json);
  const { rule, bodyField, variables } = route;
  const body =
    bodyField && Object.hasOwn(normal, bodyField.jsonName)
      ? [[bodyField.jsonName, normal[bodyField.jsonName]]]
      : [];
  const said = rule.body === '*' ? normal : { ...sayable(type, normal), ...Object.fromEntries(body) };
  const whole = variables.reduce(
    (left, { path, value }) => withVariable(left, path, value),
    said as JsonObject,
  );
  return reread(type, registry, whole);
}

const journeys = contractTypes.chain((types) => {
  const type = types.getMessage(`${PACKAGE}.M0`) as DescMessage;
  return fc.record({ route: routeFor(type), json: jsonFor(type, 3), as: style }).map(
    ({ route, json, as }): Journey => ({
      types,
      type,
      route,
      as,
      json: fitted(type, types, { json, route }),
    }),
  );
});

/** JSON as the reference would write it, through bytes, so that floats are floats. */
function reread(type: DescMessage, registry: FileRegistry, json: JsonObject): JsonObject {
  return canonical(type, registry, toBinary(type, fromJson(type, json, { registry })));
}

function match(table: Table, verb: string, path: string): Match {
  const found = table.router.match(verb, path);
  if (found === undefined || !('match' in found)) throw new Error(`${verb} ${path} is no route`);
  return found.match;
}

function expectSame(what: string, got: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(got, wanted)) expect(got, what).toEqual(wanted);
}

function travel({ types, type, route, json, as }: Journey): void {
  const table = buildTable({ methods: [methodOf(type, route)], types }, {});
  const { path, query, body } = writeRequest(type, json, { route, as });
  const { endpoint, variables } = match(table, route.rule.verb, path);
  expect(endpoint.rule).toBe(route.rule);
  const bound = endpoint.binding.bind(variables, query);

  const bytes = body === undefined ? bound.empty() : bound.json(parseJson(Buffer.from(jsonText(body))));
  const arrived = canonical(type, types, bytes);
  expectSame('what arrived', withoutMask(arrived, route, json), json);

  if (route.rule.body === '*') {
    const same = bound.bytes(toBinary(type, fromJson(type, json, { registry: types })));
    expectSame('what arrived as protobuf', canonical(type, types, same), json);
  }

  const text = table.codec.print(type, bytes);
  const printed = JSON.parse(text) as JsonObject;
  expectSame('what was printed', reread(type, types, printed), arrived);
  expectSame(
    'what was parsed again',
    canonical(type, types, table.codec.parse(type, parseJson(text))),
    arrived,
  );
  expectResponse(endpoint.binding.print(bytes), printed, { type, route });

  const reply = toBinary(type, fromJson(type, json, { registry: types }));
  const shown = JSON.parse(table.codec.print(type, reply)) as JsonObject;
  expectSame('what a reply of the reference prints', reread(type, types, shown), json);
}

/** A mask that the gateway fills by itself is no part of the message that was sent. */
function withoutMask(arrived: JsonObject, { rule }: Route, json: JsonObject): JsonObject {
  if (rule.verb !== 'PATCH' || Object.hasOwn(json, 'updateMask')) return arrived;
  const { updateMask: _, ...rest } = arrived;
  return rest;
}

/** The body of a reply is the whole message, or the field that the rule names, as it is in the whole. */
function expectResponse(
  text: string,
  printed: JsonObject,
  { type, route }: Pick<Journey, 'type' | 'route'>,
): void {
  const field = type.fields.find(({ name }) => name === route.rule.responseBody);
  const value = JSON.parse(text) as JsonValue;
  if (field === undefined) expectSame('the reply', value, printed);
  else if (Object.hasOwn(printed, field.jsonName))
    expectSame('response_body', value, printed[field.jsonName]);
  else if (field.fieldKind === 'list') expect(value).toEqual([]);
  else if (field.fieldKind === 'map') expect(value).toEqual({});
  else if (field.fieldKind === 'message') expect(value).toBeNull();
}

test(
  `a message stays what it is from the URL to the service and back, in ${RUNS} contracts`,
  () => {
    fc.assert(fc.property(journeys, travel), { numRuns: RUNS });
  },
  Math.max(20_000, RUNS * 30),
);
