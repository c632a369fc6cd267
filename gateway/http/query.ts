/** The query of a request: split, decoded, and each parameter resolved to the field of the request that it names. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { badRequest } from '../../src/details.js';
import { Code, StatusError } from '../../src/status.js';
import { invalid } from './error.js';
import { type FieldPath, findField, isParent, printPath, resolveFields, takesText } from './fields.js';
import { faultOf } from './path.js';

/** One `name=value`, decoded. Without `=` the value is empty. */
export interface Parameter {
  readonly name: string;
  readonly text: string;
}

/** The field that a parameter sets. */
export interface Target {
  readonly path: FieldPath;
  /** The last field of `path`. */
  readonly field: DescField;
  /** Of the entry, when the field is a map. */
  readonly mapKey: string | undefined;
}

const MAX_PARAMETERS = 1000;
const MAX_DEPTH = 64;

/** What a route makes of names in its query. */
export interface ParameterRules {
  /** The field that is the body, to which no parameter may belong. */
  readonly body: DescField | undefined;
  /** Names that are dropped. */
  readonly ignored: RegExp | undefined;
  /** Whether names that the route does not take are dropped. */
  readonly ignoresUnknown: boolean;
  /** The map<string, string> that takes the names that the route does not. */
  readonly capture: DescField | undefined;
}

/**
 * Splits on `&` and decodes (`+` is a space by default, escapes are UTF-8); empty parts are nothing. Throws StatusError
 * INVALID_ARGUMENT that names the parameter for a malformed escape, and for more than 1,000 parameters.
 */
export function parseQuery(query: string, plusIsSpace = true): Parameter[] {
  const parameters: Parameter[] = [];
  if (query === '') return parameters;
  for (const part of query.split('&')) {
    if (part === '') continue;
    if (parameters.length === MAX_PARAMETERS) {
      throw invalid('query', `more than ${MAX_PARAMETERS} parameters`);
    }
    const equals = part.indexOf('=');
    const rawName = equals === -1 ? part : part.slice(0, equals);
    const name = decode(rawName, rawName, plusIsSpace);
    parameters.push({ name, text: equals === -1 ? '' : decode(part.slice(equals + 1), name, plusIsSpace) });
  }
  return parameters;
}

function decode(raw: string, name: string, plusIsSpace = true): string {
  const fault = faultOf(raw);
  if (fault !== undefined) throw parameterError(name, fault);
  const spaced = plusIsSpace && raw.includes('+') ? raw.replaceAll('+', ' ') : raw;
  return spaced.includes('%') ? decodeURIComponent(spaced) : spaced;
}

/** Parameters that a door keeps for itself, and the query without them. */
export interface Taken {
  /** By name; of several the first. */
  readonly values: ReadonlyMap<string, string>;
  /** As it was, malformed parts included. */
  readonly rest: string;
}

/** Takes the parameters of these names out of a query. Throws StatusError INVALID_ARGUMENT for one of them whose value is malformed. */
export function takeParameters(query: string, names: ReadonlySet<string>): Taken {
  const values = new Map<string, string>();
  if (query === '' || names.size === 0) return { values, rest: query };
  const kept = query.split('&').filter((part) => {
    const [raw = ''] = part.split('=', 1);
    const name = faultOf(raw) === undefined ? decode(raw, raw) : undefined;
    if (name === undefined || !names.has(name)) return true;
    if (!values.has(name)) values.set(name, decode(part.slice(raw.length + 1), name));
    return false;
  });
  return { values, rest: kept.join('&') };
}

/**
 * The field that a parameter's name means: names of fields, JSON or proto, joined by dots, and `[key]` behind a map;
 * undefined for a parameter that is to be dropped. Throws StatusError INVALID_ARGUMENT for a name that no text can set
 * and, unless the rules say otherwise, for one that the route does not take.
 */
export function resolveParameter(
  type: DescMessage,
  name: string,
  { body, ignored, ignoresUnknown, capture }: ParameterRules,
): Target | undefined {
  if (ignored?.test(name)) return undefined;
  const bracket = name.indexOf('[');
  const fieldName = bracket === -1 ? name : name.slice(0, bracket);
  const names = fieldName.split('.');
  if (names.length > MAX_DEPTH) throw parameterError(name, `more than ${MAX_DEPTH} levels deep`);
  const path = resolveFields(type, names, findField);
  const field = typeof path === 'string' ? undefined : path.at(-1);
  if (typeof path === 'string' || field === undefined || path[0] === body) {
    if (ignoresUnknown) return undefined;
    if (capture !== undefined) return { path: [capture], field: capture, mapKey: name };
    if (typeof path === 'string') throw parameterError(name, 'this route knows no such parameter');
    throw parameterError(name, 'this belongs in the body', printPath(path));
  }
  const mapKey = bracket !== -1 && name.endsWith(']') ? name.slice(bracket + 1, -1) : undefined;
  const fault = targetFault(field, bracket !== -1, mapKey);
  if (fault !== undefined) throw parameterError(name, fault);
  return { path, field, mapKey };
}

function targetFault(field: DescField, bracketed: boolean, mapKey: string | undefined): string | undefined {
  if (field.fieldKind === 'map') {
    if (mapKey === undefined) return `a map is given entry by entry, as ${field.name}[key]=value`;
  } else if (bracketed) {
    return 'only a map is given with a key in brackets';
  }
  if (takesText(field)) return undefined;
  if (isParent(field)) return 'a message is given field by field, as name.field=value';
  return 'this cannot be given in the query: it repeats a message, or holds any type';
}

/** A StatusError INVALID_ARGUMENT about one parameter; `field` is the path of the field it sets, if it sets one. */
export function parameterError(name: string, description: string, field = shorten(name)): StatusError {
  return new StatusError(Code.INVALID_ARGUMENT, `${placeOfParameter(name)}: ${description}`, {
    details: [badRequest([{ field, description }])],
  });
}

/** `query parameter "page_size"` */
export function placeOfParameter(name: string): string {
  return `query parameter ${JSON.stringify(shorten(name))}`;
}

function shorten(name: string): string {
  return name.length > 100 ? `${name.slice(0, 100)}...` : name;
}
