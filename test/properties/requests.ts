/** A client of its own: random rules of google.api.http, and messages written as the requests that these rules ask for. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import fc, { type Arbitrary } from 'fast-check';
import type { JsonObject, JsonValue } from '../../src/codec/codec.js';
import type { HttpRule } from '../../src/method.js';
import { element } from '../support/codec/arbitrary.js';

type Path = readonly DescField[];

/** A rule over `input`, and the values that the path is to give. */
export interface Route {
  readonly rule: HttpRule;
  readonly variables: readonly { readonly path: Path; readonly value: JsonValue; readonly pattern: string }[];
  /** The field that is the body, if the rule names one. */
  readonly bodyField: DescField | undefined;
}

/** How a client writes what may be written in several ways. */
export interface Style {
  readonly protoNames: boolean;
  /** Whether query and body say once more what the path says. */
  readonly repeats: boolean;
  /** Whether characters that a path or query may hold unescaped are escaped all the same. */
  readonly escapesAll: boolean;
}

export const style: Arbitrary<Style> = fc.record({
  protoNames: fc.boolean(),
  repeats: fc.boolean(),
  escapesAll: fc.boolean(),
});

const wellKnown = (names: string): ReadonlySet<string> =>
  new Set(names.split(' ').map((name) => `google.protobuf.${name}`));
const AS_TEXT = wellKnown(
  'Timestamp Duration FieldMask BoolValue BytesValue StringValue DoubleValue FloatValue Int32Value Int64Value UInt32Value UInt64Value',
);
const AS_JSON_TEXT = wellKnown('Struct Value ListValue');

const isParent = (field: DescField): field is DescField & { fieldKind: 'message' } =>
  field.fieldKind === 'message' &&
  !AS_TEXT.has(field.message.typeName) &&
  !AS_JSON_TEXT.has(field.message.typeName) &&
  field.message.typeName !== 'google.protobuf.Any';

/** Whether one text can hold the field, an element of the list or a value of the map. */
const isText = ({ message }: DescField): boolean =>
  message === undefined || AS_TEXT.has(message.typeName) || AS_JSON_TEXT.has(message.typeName);

/** The paths that a variable may name, as deep as `depth` fields. */
function variablePaths(type: DescMessage, depth: number): Path[] {
  return type.fields.flatMap((field): Path[] => {
    if (isParent(field)) {
      return depth === 1 ? [] : variablePaths(field.message, depth - 1).map((rest) => [field, ...rest]);
    }
    const singular = field.fieldKind !== 'list' && field.fieldKind !== 'map';
    return singular && (field.message === undefined || AS_TEXT.has(field.message.typeName)) ? [[field]] : [];
  });
}

/** Whether two variables cannot stand in one template: one field twice, or two members of a oneof. */
function collide(a: Path, b: Path): boolean {
  const parting = a.findIndex((field, index) => field !== b[index]);
  const [one, other] = [a[parting], b[parting]];
  return parting === -1 || (one?.oneof !== undefined && one.oneof === other?.oneof);
}

/** Lone surrogates have no UTF-8. */
const isWellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

/** What one segment of several may hold: a slash in it could not be told from those between them. */
const pieces = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
  .filter((text) => text !== '.' && text !== '..' && !text.includes('/') && isWellFormed(text));

/** What a variable of this pattern may capture, as the JSON value of its field. */
function valueFor(field: DescField, pattern: string): Arbitrary<JsonValue> {
  if (pattern === '**')
    return fc.array(pieces, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  if (pattern !== '*') return pieces.map((text) => `files/${text}`);
  return element(field, 1).filter((value) => {
    const text = textOf(field, value);
    return text !== '' && text !== '.' && text !== '..' && isWellFormed(text);
  });
}

/** A random rule whose request is `input`, and what its variables are to hold. */
export function routeFor(input: DescMessage): Arbitrary<Route> {
  const paths = variablePaths(input, 3);
  const choices = fc.record({
    paths: fc.shuffledSubarray(paths, { maxLength: Math.min(3, paths.length) }),
    patterns: fc.array(fc.constantFrom('*', '*', '*', '**', 'files/*'), { minLength: 3, maxLength: 3 }),
    verb: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'PATCH'),
    body: fc.constantFrom('', '*', 'field'),
    bodyField: fc.constantFrom(...input.fields),
    responseField: fc.constantFrom(undefined, undefined, ...input.fields),
    suffix: fc.constantFrom('', '', ':move'),
  });
  return choices.chain((choice) => {
    const chosen: Path[] = [];
    for (const path of choice.paths) {
      const isBody = choice.body === 'field' && path.length === 1 && path[0] === choice.bodyField;
      if (!isBody && !chosen.some((other) => collide(path, other) || collide(other, path))) chosen.push(path);
    }
    const variables = chosen.map((path, index) => {
      const field = path.at(-1) as DescField;
      const pattern = field.scalar === 9 ? (choice.patterns[index] as string) : '*';
      // Nothing but a verb may follow `**`.
      return { path, pattern: pattern === '**' && index < chosen.length - 1 ? '*' : pattern };
    });
    const parts = variables.map(({ path, pattern }, index) => {
      const name = path.map((field) => field.name).join('.');
      return `v${index}/${pattern === '*' ? `{${name}}` : `{${name}=${pattern}}`}`;
    });
    const rule: HttpRule = {
      verb: choice.verb,
      template: `/${['x', ...parts].join('/')}${choice.suffix}`,
      body: choice.body === 'field' ? choice.bodyField.name : choice.body,
      responseBody: choice.responseField?.name ?? '',
    };
    const values = variables.map(({ path, pattern }) => valueFor(path.at(-1) as DescField, pattern));
    return fc.tuple(...values).map((given) => ({
      rule,
      variables: variables.map((variable, index) => ({ ...variable, value: given[index] as JsonValue })),
      bodyField: choice.body === 'field' ? choice.bodyField : undefined,
    }));
  });
}

/** The text that a URL has for a JSON value of a field, or of an element of it. */
function textOf(field: DescField, value: JsonValue): string {
  if (field.message !== undefined && AS_JSON_TEXT.has(field.message.typeName)) return jsonText(value);
  if (value === null) return 'NULL_VALUE';
  return Object.is(value, -0) ? '-0' : String(value);
}

/** JSON.stringify, but for -0. */
export function jsonText(value: JsonValue): string {
  if (Array.isArray(value)) return `[${value.map(jsonText).join()}]`;
  if (typeof value === 'object' && value !== null) {
    return `{${Object.entries(value)
      .map(([name, item]) => `${JSON.stringify(name)}:${jsonText(item)}`)
      .join()}}`;
  }
  return Object.is(value, -0) ? '-0' : JSON.stringify(value);
}

const own = (object: JsonObject, name: string): JsonValue | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

/** With the member set, `__proto__` too. */
function withMember(object: JsonObject, name: string, value: JsonValue): JsonObject {
  return Object.fromEntries([
    ...Object.entries(object).filter(([key]) => key !== name),
    [name, value],
  ]) as JsonObject;
}

/** The canonical JSON of a message, with the variable's field set and its rivals in oneofs taken out. */
export function withVariable(json: JsonObject, [field, ...rest]: Path, value: JsonValue): JsonObject {
  if (field === undefined) return json;
  const rivals = new Set(
    field.oneof?.fields.filter((other) => other !== field).map((other) => other.jsonName),
  );
  const kept = Object.fromEntries(Object.entries(json).filter(([name]) => !rivals.has(name))) as JsonObject;
  const inner = own(kept, field.jsonName);
  const below = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  return withMember(kept, field.jsonName, rest.length === 0 ? value : withVariable(below, rest, value));
}

/** The part of a message that a query can say: no repeated messages, no Any, no message without a field that is set. */
export function sayable(type: DescMessage, json: JsonObject): JsonObject {
  const members = type.fields.flatMap((field): [string, JsonValue][] => {
    const value = own(json, field.jsonName);
    if (value === undefined) return [];
    if (isParent(field)) {
      const inner = sayable(field.message, value as JsonObject);
      return Object.keys(inner).length === 0 ? [] : [[field.jsonName, inner]];
    }
    return isText(field) ? [[field.jsonName, value]] : [];
  });
  return Object.fromEntries(members) as JsonObject;
}

export interface Written {
  /** The raw request target, without its query. */
  readonly path: string;
  readonly query: string;
  /** The JSON of the body, or undefined for no body. */
  readonly body: JsonValue | undefined;
}

/** Characters that encodeURIComponent escapes although a path segment and a query may hold them (RFC 3986 section 3.3). */
const NEEDLESS = /%(?:24|2C|3B|40)/g;

function escapeText(text: string, { escapesAll }: Style): string {
  const escaped = encodeURIComponent(text);
  return escapesAll
    ? escaped.replace(/[!'()*~]/g, (char) => `%${char.charCodeAt(0).toString(16)}`)
    : escaped.replace(NEEDLESS, decodeURIComponent);
}

function writePath({ rule, variables }: Route, as: Style): string {
  const parts = variables.map(({ path, value, pattern }, index) => {
    const text = textOf(path.at(-1) as DescField, value);
    const segments = pattern === '*' ? [text] : text.split('/');
    return `v${index}/${segments.map((segment) => escapeText(segment, as)).join('/')}`;
  });
  return `/${['x', ...parts].join('/')}${rule.template.endsWith(':move') ? ':move' : ''}`;
}

interface Parameters {
  readonly type: DescMessage;
  readonly json: JsonObject;
  /** Fields that are not in the query: those of the path, and the body's. */
  readonly leaves: (path: Path) => boolean;
  readonly as: Style;
}

function writeQuery({ type, json, leaves, as }: Parameters, above: Path = []): string[] {
  return type.fields.flatMap((field): string[] => {
    const path = [...above, field];
    const value = own(json, field.jsonName);
    if (value === undefined || leaves(path)) return [];
    const name = path.map((each) => (as.protoNames ? each.name : each.jsonName)).join('.');
    const parameter = (key: string, item: JsonValue): string =>
      `${escapeText(key, as)}=${escapeText(textOf(field, item), as).replaceAll('%20', as.escapesAll ? '%20' : '+')}`;
    if (isParent(field))
      return writeQuery({ type: field.message, json: value as JsonObject, leaves, as }, path);
    if (field.fieldKind === 'list') return (value as JsonValue[]).map((item) => parameter(name, item));
    if (field.fieldKind !== 'map') return [parameter(name, value)];
    return Object.entries(value as JsonObject).map(([key, item]) => parameter(`${name}[${key}]`, item));
  });
}

const same = (a: Path, b: Path): boolean =>
  a.length === b.length && a.every((field, index) => field === b[index]);

/** Leaves the path's fields out of a body. */
function without(json: JsonObject, [field, ...rest]: Path): JsonObject {
  const inner = field === undefined ? undefined : own(json, field.jsonName);
  if (field === undefined || inner === undefined) return json;
  if (rest.length > 0) return withMember(json, field.jsonName, without(inner as JsonObject, rest));
  return Object.fromEntries(Object.entries(json).filter(([name]) => name !== field.jsonName)) as JsonObject;
}

/** Names the members of a message's JSON by their proto names, all the way down, where the style wants that. */
function renamed(type: DescMessage, json: JsonObject): JsonObject {
  const members = Object.entries(json).map(([name, value]): [string, JsonValue] => {
    const field = type.fields.find((each) => each.jsonName === name) as DescField;
    return [field.name, renamedValue(field, value)];
  });
  return Object.fromEntries(members) as JsonObject;
}

function renamedValue(field: DescField, value: JsonValue): JsonValue {
  const { message } = field;
  if (message === undefined || message.typeName.startsWith('google.')) return value;
  if (field.fieldKind === 'list') return (value as JsonObject[]).map((item) => renamed(message, item));
  if (field.fieldKind !== 'map') return renamed(message, value as JsonObject);
  const entries = Object.entries(value as JsonObject);
  return Object.fromEntries(
    entries.map(([key, item]) => [key, renamed(message, item as JsonObject)]),
  ) as JsonObject;
}

/** A message, given as canonical JSON, as the request that the rule asks for. */
export function writeRequest(
  type: DescMessage,
  json: JsonObject,
  { route, as }: { route: Route; as: Style },
): Written {
  const { rule, variables, bodyField } = route;
  const path = writePath(route, as);
  const kept = as.repeats ? json : variables.reduce((left, variable) => without(left, variable.path), json);
  if (rule.body === '*') return { path, query: '', body: as.protoNames ? renamed(type, kept) : kept };
  const inPath = (fields: Path): boolean =>
    !as.repeats && variables.some((variable) => same(variable.path, fields));
  const leaves = (fields: Path): boolean => inPath(fields) || fields[0] === bodyField;
  const query = writeQuery({ type, json, leaves, as }).join('&');
  if (bodyField === undefined) return { path, query, body: undefined };
  const value = own(kept, bodyField.jsonName);
  if (value === undefined) return { path, query, body: undefined };
  return { path, query, body: as.protoNames ? renamedValue(bodyField, value) : value };
}
