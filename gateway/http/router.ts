/** Routes a raw request path: per HTTP method a trie of templates, and one for each verb. */
import { type ContractProblem, printProblem } from '../../src/contract/contract.js';
import type { HttpRule } from '../../src/method.js';
import { HTTP_DEFAULTS, type HttpOptions } from '../profile.js';
import { comparablePath, decodeSegment, decodeSegments, decodeUnreservedSegments } from './path.js';
import type { Endpoint, Match, Router } from './table.js';
import { shapeOf, type Template } from './template.js';
import { NONE, TrieBuilder } from './trie.js';

export interface Route {
  readonly endpoint: Endpoint;
  readonly template: Template;
}

/** The part of a path that one variable takes, in segments. */
interface Capture {
  readonly from: number;
  /** Infinity: to the end of the path. */
  readonly to: number;
  readonly decode: (raw: string) => string;
}

/** The tries of one HTTP method: its routes without a verb, and those of each verb. */
interface Roots {
  readonly plain: number;
  readonly verbs: Map<string, number>;
}

export type RouterOptions = Pick<HttpOptions, 'precedence' | 'verbs' | 'multiSegment' | 'trailingSlash'>;

const DECODERS: Readonly<Record<HttpOptions['multiSegment'], Capture['decode']>> = {
  'except-slash': decodeSegments,
  'except-reserved': decodeUnreservedSegments,
  all: decodeSegment,
};

/** A raw path, and where things are in it. */
interface Place {
  readonly raw: string;
  readonly key: string;
  /** Index in `key` of a colon that may start a verb, or -1. */
  readonly colon: number;
}

/** The HTTP method of a `custom` rule for all methods. */
export const ANY = '*';

/** `GET /v1/orders/{order_id}` */
export function printRule({ verb, template }: HttpRule): string {
  return `${verb} ${template}`;
}

/** Identifies what a route answers: of two routes with the same key only one could ever be reached. */
export function routeKey({ endpoint, template }: Route, verb = endpoint.rule.verb): string {
  return `${verb} ${shapeOf(template)}`;
}

/** A problem for each route whose HTTP method and path an earlier route has taken. */
export function findDuplicates(routes: readonly Route[]): ContractProblem[] {
  const taken = new Map<string, Endpoint>();
  const problems: ContractProblem[] = [];
  for (const route of routes) {
    const key = routeKey(route);
    const first = taken.get(key);
    if (first === undefined) {
      taken.set(key, route.endpoint);
      continue;
    }
    const { method, rule } = route.endpoint;
    const other = printProblem({
      source: first.rule.source ?? first.method.source,
      method: first.method.name,
      problem: printRule(first.rule),
    });
    problems.push({
      source: rule.source ?? method.source,
      method: method.name,
      rule: printRule(rule),
      problem: `the same requests already go to ${other}`,
    });
  }
  return problems;
}

/** Routes without duplicates; of two that are equal the first wins. The cost of a match is that of the path, not of the routes. */
export function createRouter(
  routes: readonly Route[],
  { precedence, verbs, multiSegment, trailingSlash }: RouterOptions = HTTP_DEFAULTS,
): Router {
  const ranks =
    precedence === 'specific'
      ? undefined
      : Int32Array.from(routes, (_, index) => (precedence === 'last' ? -index : index));
  const { roots, tries } = plant(routes, ranks);
  const answers = createAnswers(routes, DECODERS[multiSegment]);
  const reserved = new Set(verbs === 'reserved' ? routes.map(({ template }) => template.verb) : []);

  function lookup(of: Roots | undefined, { raw, key, colon }: Place): Match | undefined {
    if (of === undefined) return undefined;
    let withVerb = NONE;
    if (colon !== -1 && (of.verbs.size > 0 || reserved.size > 0)) {
      const verb = key.slice(colon + 1);
      const root = of.verbs.get(verb);
      if (root !== undefined) withVerb = tries.find(root, key, 1, colon);
      const isDecided = reserved.has(verb) || (withVerb !== NONE && ranks === undefined);
      if (isDecided) return withVerb === NONE ? undefined : answers(withVerb, raw, raw.lastIndexOf(':'));
    }
    const plain = tries.find(of.plain, key, key === '/' ? 2 : 1, key.length);
    if (withVerb !== NONE && (plain === NONE || (ranks?.[withVerb] ?? 0) < (ranks?.[plain] ?? 0))) {
      return answers(withVerb, raw, raw.lastIndexOf(':'));
    }
    return plain === NONE ? undefined : answers(plain, raw, raw.length);
  }

  const strip = trailingSlash === 'strip';
  const any = roots.get(ANY);
  const get = roots.get('GET');

  function match(verb: string, path: string): ReturnType<Router['match']> {
    const place = placeOf(strip ? withoutSlashes(path) : path);
    if (place === undefined) return undefined;
    const found =
      lookup(roots.get(verb), place) ??
      (verb === 'HEAD' ? lookup(get, place) : undefined) ??
      lookup(any, place);
    if (found !== undefined) return { match: found };
    const allow = allowed(place);
    return allow.length === 0 ? undefined : { allow };
  }

  function allowed(place: Place): string[] {
    const verbs = new Set<string>();
    for (const [verb, of] of roots) {
      if (lookup(of, place) !== undefined) verbs.add(verb);
    }
    if (verbs.size === 0) return [];
    if (verbs.has('GET')) verbs.add('HEAD');
    return [...verbs.add('OPTIONS')].sort();
  }

  function matchAny(path: string): Match | undefined {
    const place = placeOf(strip ? withoutSlashes(path) : path);
    if (place === undefined) return undefined;
    let best: Match | undefined;
    for (const of of roots.values()) {
      const found = lookup(of, place);
      if (found && (!best || handshakeRank(found.endpoint) < handshakeRank(best.endpoint))) best = found;
    }
    return best;
  }

  return { match, matchAny };
}

/** Order of preference for a WebSocket: what needs it most first, and of two alike the one that GET reaches. */
function handshakeRank({ method, rule }: Endpoint): number {
  const { clientStreaming, serverStreaming } = method;
  const kind = clientStreaming ? (serverStreaming ? 0 : 1) : serverStreaming ? 2 : 3;
  return kind * 2 + (rule.verb === 'GET' ? 0 : 1);
}

/** The number of a route is that of its leaf. */
function plant(routes: readonly Route[], ranks: Int32Array | undefined) {
  const roots = new Map<string, Roots>();
  const builder = new TrieBuilder();
  for (const [leaf, { endpoint, template }] of routes.entries()) {
    const of = child(roots, endpoint.rule.verb, () => ({ plain: builder.root(), verbs: new Map() }));
    const root = template.verb === '' ? of.plain : child(of.verbs, template.verb, () => builder.root());
    builder.insert(root, template.segments, leaf);
  }
  return { roots, tries: builder.build(ranks) };
}

function child<T>(map: Map<string, T>, key: string, create: () => T): T {
  const existing = map.get(key);
  if (existing !== undefined) return existing;
  const created = create();
  map.set(key, created);
  return created;
}

/** What a leaf answers for a raw path up to `end`. Of thousands of routes few differ in what they capture, and those share what says so. */
function createAnswers(routes: readonly Route[], decode: Capture['decode']) {
  const shared = new Map<string, number>();
  const kinds: (readonly Capture[])[] = [];
  const kindOf = Uint16Array.from(routes, ({ endpoint, template }) => {
    const captures = capturesOf(template, endpoint.rule.fullyDecode ? decodeSegment : decode);
    const key = captures.map(({ from, to, decode: { name } }) => `${from}-${to} ${name}`).join();
    return child(shared, key, () => kinds.push(captures) - 1);
  });
  const endpoints = routes.map(({ endpoint }) => endpoint);
  return (leaf: number, raw: string, end: number): Match => ({
    endpoint: endpoints[leaf] as Endpoint,
    variables: capture(kinds[kindOf[leaf] as number] as readonly Capture[], raw, end),
  });
}

function capturesOf({ segments, variables }: Template, several: Capture['decode']): readonly Capture[] {
  return variables.map(({ from, to }) => {
    const open = segments[to - 1] === '**';
    return { from, to: open ? Infinity : to, decode: open || to - from > 1 ? several : decodeSegment };
  });
}

/** `/v1/orders//` is `/v1/orders`; the root keeps its slash. */
export function withoutSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path.charCodeAt(end - 1) === 0x2f) end--;
  return path.slice(0, end);
}

function placeOf(raw: string): Place | undefined {
  const key = comparablePath(raw);
  if (key === undefined) return undefined;
  const colon = key.lastIndexOf(':');
  // A verb follows a segment, and a segment is never empty.
  return { raw, key, colon: colon > key.lastIndexOf('/') + 1 ? colon : -1 };
}

const NOTHING: readonly string[] = [];

function capture(captures: readonly Capture[], raw: string, end: number): readonly string[] {
  if (captures.length === 0) return NOTHING;
  // Of the right length at once: a stream keeps it for hours.
  const variables = new Array<string>(captures.length);
  let index = 0;
  let at = 1;
  for (let number = 0; number < captures.length; number++) {
    const { from, to, decode } = captures[number] as Capture;
    for (; index < from; index++) at = next(raw, at, end);
    const start = at;
    if (to === Infinity) at = end + 1;
    else for (; index < to; index++) at = next(raw, at, end);
    variables[number] = decode(raw.slice(start, at - 1));
  }
  return variables;
}

/** Where the segment after the one at `at` begins; behind `end` when there is none. */
function next(raw: string, at: number, end: number): number {
  const slash = raw.indexOf('/', at);
  return slash === -1 ? end + 1 : slash + 1;
}
