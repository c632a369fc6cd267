/** Everything that follows from one contract: built as a whole, checked as a whole, swapped as a whole. */
import type { Message } from '../../src/call.js';
import { type Codec, createCodec, type JsonOptions, type JsonValue } from '../../src/codec/codec.js';
import { type Contract, ContractError, type ContractProblem } from '../../src/contract/contract.js';
import type { HttpRule, Method } from '../../src/method.js';
import { HTTP_DEFAULTS } from '../profile.js';
import { type BindingSource, createBinding } from './bind.js';
import { createRouteOptions, type OptionsSource, type RouteOptions } from './route_options.js';
import { ANY, createRouter, findDuplicates, printRule, type Route, routeKey } from './router.js';
import { parseTemplate, TemplateError } from './template.js';

/** A request's URL, bound: what remains is the body. Every message of a client stream is bound like a request of its own. */
export interface Bound {
  /** From the URL alone (no body came). */
  empty(): Message;
  /** With a JSON body (the value of the rule's body field, or the whole message for `*`). The value may be changed. */
  json(body: JsonValue): Message;
  /** With a protobuf body. Passed through untouched when the URL sets nothing and the body is the whole message. */
  bytes(body: Uint8Array): Message;
}

/** The compiled form of one HttpRule: request parts to message, message to response body. */
export interface Binding {
  /** Throws StatusError INVALID_ARGUMENT that names the path variable or query parameter. */
  bind(variables: readonly string[], query: string): Bound;
  /** JSON text of the HTTP response body: the message, or the rule's response_body field of it. */
  print(message: Message): string;
}

export interface Endpoint {
  readonly method: Method;
  readonly rule: HttpRule;
  readonly binding: Binding;
  readonly options: RouteOptions;
}

export interface Match {
  readonly endpoint: Endpoint;
  readonly variables: readonly string[];
}

export interface Router {
  /**
   * Routes a raw, still percent-encoded path without its query. `match`, or the methods that the path does know
   * (for 405 and Allow, sorted), or undefined for an unknown path. Throws StatusError INVALID_ARGUMENT for a malformed path.
   */
  match(
    verb: string,
    path: string,
  ): { readonly match: Match } | { readonly allow: readonly string[] } | undefined;
  /** For WebSocket, whose handshake is always GET: the path's endpoints under any verb, streaming methods first, then GET. */
  matchAny(path: string): Match | undefined;
}

export interface Table {
  readonly contract: Contract;
  readonly codec: Codec;
  readonly router: Router;
  /** By `pkg.Service/Method`: every method with body `*` and no path variables, as at POST /pkg.Service/Method, whether that is served or not. */
  readonly byName: ReadonlyMap<string, Endpoint>;
  /** Every declared route in the order of the contract, for `tidegate routes`; for a method without one, that in `byName` if it is served. */
  readonly endpoints: readonly Endpoint[];
  /** With `duplicates` other than `error`: the declared routes that no request reaches, since another one takes them all. */
  readonly shadowed: readonly ContractProblem[];
}

export interface TableOptions extends Omit<OptionsSource, 'json'> {
  /** Two routes for the same requests are a problem of the contract, or the one declared first or last serves them; default error. */
  readonly duplicates?: 'error' | 'first' | 'last';
  /** Paths that the gateway answers itself, so that a route there would never be reached: a problem. Default none. */
  readonly own?: ReadonlySet<string>;
}

const NO_PATHS: ReadonlySet<string> = new Set();

/** Throws ContractError that lists bad templates, bad bindings and duplicate routes with both sources. */
export function buildTable(
  contract: Contract,
  json: Partial<JsonOptions>,
  { duplicates = 'error', own = NO_PATHS, ...source }: TableOptions = {},
): Table {
  const http = { ...HTTP_DEFAULTS, ...source.http };
  const options = createRouteOptions({ json, ...source });
  const codecs = createCodecs(contract.types);
  const problems: ContractProblem[] = [];
  const compileRule = (method: Method, rule: HttpRule): Route[] => {
    const own = options.of(method, rule);
    return compile({ method, rule, options: own, ...codecs(own) }, problems);
  };
  const compiled = contract.methods.map((method) => ({
    own: method.routes.flatMap((rule) => compileRule(method, rule)),
    byName: compileRule(method, ruleByName(method)),
  }));
  const declared = compiled.flatMap(({ own }) => own);
  const named = compiled.flatMap(({ byName }) => byName);
  // Told from the end, a route that comes earlier is the one that is not reached.
  const inOrder = duplicates === 'last' ? declared.toReversed() : declared;
  const shadowed = findDuplicates(inOrder);
  if (duplicates === 'error') problems.push(...shadowed);
  problems.push(...options.unused(), ...taken(declared, own));
  if (problems.length > 0) throw new ContractError(problems);
  const winners = firstOfEach(inOrder);
  const reached = declared.filter((route) => winners.has(route));
  const byPath = http.methodPaths ? unclaimed(named, declared) : [];
  return {
    contract,
    codec: createCodec(contract.types, json),
    // Where the order decides, a declared route still goes before what every method has.
    router: createRouter(
      http.precedence === 'last' ? [...byPath, ...reached] : [...reached, ...byPath],
      http,
    ),
    byName: new Map(named.map(({ endpoint }) => [endpoint.method.name, endpoint])),
    endpoints: compiled.flatMap(({ own, byName }) => {
      const listed = own.filter((route) => winners.has(route));
      const unlisted = http.methodPaths ? byName : [];
      return (listed.length > 0 ? listed : unlisted).map(({ endpoint }) => endpoint);
    }),
    shadowed,
  };
}

/** The routes on the gateway's own paths. */
function taken(declared: readonly Route[], own: ReadonlySet<string>): ContractProblem[] {
  return declared
    .filter(({ endpoint }) => own.has(endpoint.rule.template))
    .map(({ endpoint: { method, rule } }) => ({
      source: rule.source ?? method.source,
      method: method.name,
      rule: printRule(rule),
      problem: 'the gateway answers this path itself',
    }));
}

/** The codecs of a route, shared by all routes with the same options. */
function createCodecs(types: Contract['types']) {
  const canonical = createCodec(types);
  const made = new Map<RouteOptions, Codec>();
  return (options: RouteOptions): { readonly codec: Codec; readonly canonical: Codec } => {
    const codec = made.get(options) ?? createCodec(types, options.codec);
    made.set(options, codec);
    return { codec, canonical };
  };
}

/** Of the routes for the same requests the one that comes first. */
function firstOfEach(routes: readonly Route[]): ReadonlySet<Route> {
  const first = new Map<string, Route>();
  for (const route of routes) {
    const key = routeKey(route);
    if (!first.has(key)) first.set(key, route);
  }
  return new Set(first.values());
}

/** The routes whose requests no other route has been declared for, by their HTTP method or by `*`. */
function unclaimed(routes: readonly Route[], declared: readonly Route[]): Route[] {
  const taken = new Set(declared.map((route) => routeKey(route)));
  return routes.filter((route) => !taken.has(routeKey(route)) && !taken.has(routeKey(route, ANY)));
}

/** The route that every method has, whatever its contract declares. */
function ruleByName(method: Method): HttpRule {
  return { verb: 'POST', template: method.path, body: '*', responseBody: '' };
}

/** The route of one rule, or none and its problems. */
function compile(source: Omit<BindingSource, 'template'>, problems: ContractProblem[]): Route[] {
  const { method, rule, options } = source;
  try {
    const template = parseTemplate(rule.template);
    return [
      { endpoint: { method, rule, options, binding: createBinding({ ...source, template }) }, template },
    ];
  } catch (error) {
    if (error instanceof ContractError) {
      problems.push(...error.problems);
    } else if (error instanceof TemplateError) {
      problems.push({
        source: rule.source ?? method.source,
        method: method.name,
        rule: printRule(rule),
        problem: error.message,
      });
    } else {
      throw error;
    }
    return [];
  }
}
