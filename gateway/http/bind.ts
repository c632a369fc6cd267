/** One HttpRule, compiled: the parts of a request become its message, the message of a reply its body. */
import type { DescField, DescMessage } from '@bufbuild/protobuf';
import type { Message } from '../../src/call.js';
import type { Codec, JsonObject, JsonValue } from '../../src/codec/codec.js';
import { ContractError, type ContractProblem } from '../../src/contract/contract.js';
import type { HttpRule, Method } from '../../src/method.js';
import { StatusError } from '../../src/status.js';
import type { HttpOptions } from '../profile.js';
import {
  type FieldPath,
  findByProtoName,
  isParent,
  isRepeatedScalar,
  isScalarLike,
  isTextMap,
  printPath,
  resolveFields,
} from './fields.js';
import { globPattern } from './glob.js';
import { findMaskField, mentionedPaths, withMask } from './mask.js';
import { type ParameterRules, parseQuery, placeOfParameter, resolveParameter } from './query.js';
import type { RouteOptions } from './route_options.js';
import { printRule } from './router.js';
import type { Binding, Bound } from './table.js';
import type { Template } from './template.js';
import { bodyError, isGiven, isObject, ownMember, placeInBody, put, UrlFields } from './tree.js';

export interface BindingSource {
  readonly method: Method;
  readonly rule: HttpRule;
  /** Of `rule.template`. */
  readonly template: Template;
  readonly options: RouteOptions;
  readonly codec: Codec;
  /** Prints canonical JSON whatever `codec` is told to print: protobuf bodies are merged with the URL through it. */
  readonly canonical: Codec;
}

/** What a body is: nothing, the whole message, or the value of one field. */
type BodyKind = 'none' | 'whole' | DescField;

/** A rule whose names have been found in the contract. */
interface Plan {
  readonly rule: HttpRule;
  readonly input: DescMessage;
  readonly variables: readonly { readonly path: FieldPath; readonly place: string }[];
  readonly body: BodyKind;
  readonly readsQuery: boolean;
  readonly parameters: ParameterRules;
  readonly http: HttpOptions;
  readonly mask: DescField | undefined;
  readonly codec: Codec;
  readonly canonical: Codec;
}

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const EMPTY = new Uint8Array(0);

/**
 * Compiles a rule. Throws ContractError that lists what is wrong with its variables, body and response_body. Any HTTP
 * method may declare a body, GET and DELETE too: google/api/http.proto forbids none.
 */
export function createBinding(source: BindingSource): Binding {
  const { method, rule, options, codec, canonical } = source;
  const { http } = options;
  const problems: ContractProblem[] = [];
  const report = (problem: string) => {
    problems.push({
      source: rule.source ?? method.source,
      method: method.name,
      rule: printRule(rule),
      problem,
    });
  };
  if (!TOKEN.test(rule.verb)) report(`"${rule.verb}" is not an HTTP method`);
  const variables = resolveVariables(source, report);
  const body = resolveBody(source, variables, report);
  const responseField = resolveResponseBody(source, report);
  const capture = resolveCapture(source, report);
  if (problems.length > 0) throw new ContractError(problems);
  const plan: Plan = {
    rule,
    input: method.input,
    variables: variables.map((path) => ({ path, place: `path variable "${printPath(path)}"` })),
    // The messages of a client stream have to come from somewhere; the rule says only what the URL gives.
    body: body === 'none' && method.clientStreaming ? 'whole' : body,
    readsQuery: body !== 'whole',
    parameters: {
      body: typeof body === 'string' ? undefined : body,
      ignored: http.ignoredParameters.length > 0 ? globPattern(...http.ignoredParameters) : undefined,
      ignoresUnknown: http.unknownParameters === 'ignore',
      capture,
    },
    http,
    mask: typeof body === 'string' || !http.fillMask ? undefined : findMaskField(rule, method.input, body),
    codec,
    canonical,
  };
  return {
    bind: (values, query) => bindUrl(plan, values, query),
    print: responseField
      ? (message) => codec.printField(method.output, responseField, message)
      : (message) => codec.print(method.output, message),
  };
}

type Report = (problem: string) => void;

function resolveVariables({ method, template, options }: BindingSource, report: Report): FieldPath[] {
  const paths: FieldPath[] = [];
  for (const variable of template.variables) {
    const path = resolveFields(method.input, variable.path, findByProtoName);
    const field = typeof path === 'string' ? undefined : path.at(-1);
    if (typeof path === 'string' || field === undefined) {
      report(`variable ${variable.path.join('.')}: ${path}`);
    } else if (!isScalarLike(field) && !(options.http.repeatedPathFields && isRepeatedScalar(field))) {
      report(`variable ${printPath(path)}: a path cannot set ${describe(field)}`);
    } else {
      const rival = paths.find((other) => excludeEachOther(path, other));
      if (rival)
        report(`variables ${printPath(rival)} and ${printPath(path)}: only one of a oneof can be set`);
      paths.push(path);
    }
  }
  return paths;
}

function describe(field: DescField): string {
  if (field.fieldKind === 'list') return 'a repeated field';
  if (field.fieldKind === 'map') return 'a map';
  return `a message of type ${field.message?.typeName}`;
}

/** Whether two paths part at different members of one oneof. */
function excludeEachOther(a: FieldPath, b: FieldPath): boolean {
  const parting = a.findIndex((field, index) => field !== b[index]);
  const [one, other] = [a[parting], b[parting]];
  return one?.oneof !== undefined && one.oneof === other?.oneof;
}

function resolveBody(
  { method, rule }: BindingSource,
  variables: readonly FieldPath[],
  report: Report,
): BodyKind {
  if (rule.body === '') return 'none';
  if (rule.body === '*') return 'whole';
  const field = findByProtoName(method.input, rule.body);
  if (field === undefined) {
    report(
      `body: ${method.input.typeName} has no field "${rule.body}"; it is "*" or a field of the request itself`,
    );
    return 'none';
  }
  if (variables.some((path) => path.length === 1 && path[0] === field)) {
    report(`body: "${rule.body}" is set by the path`);
  }
  return field;
}

function resolveResponseBody({ method, rule }: BindingSource, report: Report): DescField | undefined {
  if (rule.responseBody === '') return undefined;
  const field = findByProtoName(method.output, rule.responseBody);
  if (!field) report(`response_body: ${method.output.typeName} has no field "${rule.responseBody}"`);
  return field;
}

/** The field for unknown query parameters, in requests that have it; where it is the body, they stay unknown. */
function resolveCapture({ method, rule, options }: BindingSource, report: Report): DescField | undefined {
  const { unknownParameters, captureInto } = options.http;
  const field =
    unknownParameters === 'capture' && captureInto !== rule.body
      ? findByProtoName(method.input, captureInto)
      : undefined;
  if (field === undefined || isTextMap(field)) return field;
  report(`captureInto: ${method.input.typeName}.${field.name} is no map<string, string>`);
  return undefined;
}

function bindUrl(plan: Plan, values: readonly string[], query: string): Bound {
  const url = new UrlFields(plan.codec, plan.http);
  for (const [index, { path, place }] of plan.variables.entries()) {
    url.setVariable(path, place, values[index] ?? '');
  }
  if (plan.readsQuery && query !== '') {
    for (const { name, text } of parseQuery(query, plan.http.plusIsSpace)) {
      const target = resolveParameter(plan.input, name, plan.parameters);
      if (target !== undefined) url.setParameter(target, placeOfParameter(name), text);
    }
  }
  return new RequestBound(plan, url);
}

/** The message of one URL and any number of bodies. */
class RequestBound implements Bound {
  constructor(
    private readonly plan: Plan,
    private readonly url: UrlFields,
  ) {}

  empty(): Message {
    return this.url.isEmpty ? EMPTY : this.encode(this.url.tree, false);
  }

  json(body: JsonValue): Message {
    const { body: kind } = this.plan;
    if (kind === 'whole') return this.encode(this.mergeWhole(body), true);
    if (kind === 'none') {
      if (body !== null && !(isObject(body) && Object.keys(body).length === 0)) throw unexpectedBody();
      return this.empty();
    }
    const message = this.encode(this.mergeField(kind, body), true);
    const { mask } = this.plan;
    if (mask === undefined || this.url.has(mask) || !isObject(body) || !isParent(kind)) return message;
    const paths = mentionedPaths(kind.message, body, this.setBelow(kind) ?? {});
    return paths.length === 0 ? message : withMask(message, mask, paths);
  }

  bytes(body: Uint8Array): Message {
    const { body: kind, input } = this.plan;
    if (kind === 'whole' && this.url.isEmpty) {
      this.plan.canonical.check(input, body);
      return body;
    }
    if (kind === 'whole') return this.json(this.toJson(input, body));
    if (kind === 'none') {
      if (body.length > 0) throw unexpectedBody();
      return this.empty();
    }
    if (kind.fieldKind !== 'message')
      throw bodyError('', 'is not one message on this route: send it as JSON');
    return this.json(this.toJson(kind.message, body));
  }

  private encode(tree: JsonValue, hasBody: boolean): Message {
    return this.plan.codec.parse(this.plan.input, tree, (pointer) => this.placeOf(pointer, hasBody));
  }

  private mergeWhole(body: JsonValue): JsonValue {
    if (this.url.isEmpty) return body;
    if (!isObject(body)) throw bodyError('', 'expected an object');
    this.url.mergeInto(body, this.plan.input);
    return body;
  }

  private mergeField(field: DescField, body: JsonValue): JsonObject {
    const tree = { ...this.url.tree };
    const set = this.setBelow(field);
    if (set === undefined) {
      if (isGiven(field, body)) {
        this.url.checkOneof(field);
        put(tree, field.jsonName, body);
      }
    } else if (body !== null && isParent(field)) {
      if (!isObject(body)) throw bodyError('', 'expected an object');
      this.url.mergeInto(body, field.message, set);
      put(tree, field.jsonName, body);
    }
    return tree;
  }

  /** What path variables set inside the body's field. */
  private setBelow(field: DescField): JsonObject | undefined {
    const set = ownMember(this.url.tree, field.jsonName);
    return isObject(set) ? set : undefined;
  }

  private toJson(type: DescMessage, bytes: Uint8Array): JsonValue {
    try {
      return JSON.parse(this.plan.canonical.print(type, bytes)) as JsonValue;
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      // The codec cannot know whose bytes they are; these came from the client.
      throw bodyError('', `not an encoded ${type.typeName}`);
    }
  }

  private placeOf(pointer: string, hasBody: boolean): string {
    const inUrl = this.url.placeOf(pointer, hasBody);
    if (inUrl !== undefined) return inUrl;
    const { body } = this.plan;
    if (body === 'whole') return placeInBody(pointer);
    const root = body === 'none' ? undefined : `/${body.jsonName}`;
    const isBody = root !== undefined && (pointer === root || pointer.startsWith(`${root}/`));
    return isBody ? placeInBody(pointer.slice(root.length)) : 'request';
  }
}

function unexpectedBody(): StatusError {
  return bodyError('', 'this route takes none');
}
