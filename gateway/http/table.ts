/** Everything that follows from one contract: built as a whole, checked as a whole, swapped as a whole. */
import type { Message } from '../../src/call.js';
import { type Codec, createCodec, type JsonOptions, type JsonValue } from '../../src/codec/codec.js';
import { type Contract, ContractError, type ContractProblem } from '../../src/contract/contract.js';
import type { HttpRule, Method } from '../../src/method.js';
import { type BindingSource, createBinding } from './bind.js';
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
  /** By `pkg.Service/Method`: every method with body `*` and no path variables, as at POST /pkg.Service/Method. */
  readonly byName: ReadonlyMap<string, Endpoint>;
  /** Every declared route in the order of the contract, for `tidegate routes`; for a method that declares none, the one in `byName`. */
  readonly endpoints: readonly Endpoint[];
  /** With `duplicates: 'first'`: the declared routes that no request reaches, since an earlier one takes them all. */
  readonly shadowed: readonly ContractProblem[];
}

export interface TableOptions {
  /** Two routes for the same requests are a problem of the contract, or the one declared first serves them; default error. */
  readonly duplicates?: 'error' | 'first' | 'last';
}

/** Throws ContractError that lists bad templates, bad bindings and duplicate routes with both sources. */
export function buildTable(
  contract: Contract,
  json: Partial<JsonOptions>,
  { duplicates = 'error' }: TableOptions = {},
): Table {
  const codec = createCodec(contract.types, json);
  const codecs = { codec, canonical: createCodec(contract.types) };
  const problems: ContractProblem[] = [];
  const compiled = contract.methods.map((method) => ({
    own: method.routes.flatMap((rule) => compile({ method, rule, ...codecs }, problems)),
    byName: compile({ method, rule: ruleByName(method), ...codecs }, problems),
  }));
  const declared = compiled.flatMap(({ own }) => own);
  const named = compiled.flatMap(({ byName }) => byName);
  const shadowed = findDuplicates(declared);
  if (duplicates === 'error') problems.push(...shadowed);
  if (problems.length > 0) throw new ContractError(problems);
  const reached = new Set(firstOfEach(declared));
  return {
    contract,
    codec,
    router: createRouter([...reached, ...unclaimed(named, declared)]),
    byName: new Map(named.map(({ endpoint }) => [endpoint.method.name, endpoint])),
    endpoints: compiled.flatMap(({ own, byName }) => {
      const listed = own.filter((route) => reached.has(route));
      return (listed.length > 0 ? listed : byName).map(({ endpoint }) => endpoint);
    }),
    shadowed,
  };
}

/** Of the routes for the same requests the one declared first, in the order of the contract. */
function firstOfEach(routes: readonly Route[]): Route[] {
  const first = new Map<string, Route>();
  for (const route of routes) {
    const key = routeKey(route);
    if (!first.has(key)) first.set(key, route);
  }
  return [...first.values()];
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
  const { method, rule } = source;
  try {
    const template = parseTemplate(rule.template);
    return [{ endpoint: { method, rule, binding: createBinding({ ...source, template }) }, template }];
  } catch (error) {
    if (error instanceof ContractError) {
      problems.push(...error.problems);
    } else if (error instanceof TemplateError) {
      problems.push({
        source: method.source,
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
