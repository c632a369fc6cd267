/** Routes a raw request path: per HTTP method a trie of templates, in which literals go before `*` before `**`. */
import { type ContractProblem, printProblem } from '../../src/contract/contract.js';
import type { HttpRule } from '../../src/method.js';
import { HTTP_DEFAULTS, type HttpOptions } from '../profile.js';
import { comparablePath, decodeSegment, decodeSegments, decodeUnreservedSegments } from './path.js';
import type { Endpoint, Match, Router } from './table.js';
import { shapeOf, type Template } from './template.js';

export interface Route {
  readonly endpoint: Endpoint;
  readonly template: Template;
}

/** Where a template ends in a trie: what it leads to and what it captures. */
interface Leaf {
  readonly endpoint: Endpoint;
  readonly captures: readonly Capture[];
  /** Where the order of declaration decides, the lowest goes first. */
  readonly rank: number;
  /** The answer of a route without variables, which is always the same one. */
  readonly fixed: Match | undefined;
}

/** The part of a path that one variable takes, in segments. */
interface Capture {
  readonly from: number;
  /** Infinity: to the end of the path. */
  readonly to: number;
  readonly decode: (raw: string) => string;
}

interface Node {
  /** Undefined while there are none: an empty map is memory that every lookup has to fetch. */
  literals: Map<string, Node> | undefined;
  star: Node | undefined;
  /** A template that ends here. */
  end: Leaf | undefined;
  /** A template that ends here in `**`. */
  rest: Leaf | undefined;
}

/** The templates of one HTTP method. Those with a verb have a trie for each verb. */
interface Trie {
  readonly plain: Node;
  readonly verbs: Map<string, Node>;
}

export type RouterOptions = Pick<HttpOptions, 'precedence' | 'verbs' | 'multiSegment' | 'trailingSlash'>;

/** How the tries of one router are searched. */
interface Search {
  readonly find: (node: Node, path: string, start: number, end: number) => Leaf | undefined;
  /** Whether a route without a verb may outrank one with it. */
  readonly byRank: boolean;
  /** Verbs that are never part of a segment. */
  readonly reserved: ReadonlySet<string>;
}

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
  const tries = new Map<string, Trie>();
  const leaves = createLeaves(DECODERS[multiSegment]);
  for (const [index, route] of routes.entries()) {
    insert(tries, route, leaves(route, precedence === 'last' ? -index : index));
  }
  const search: Search = {
    find: precedence === 'specific' ? find : findByRank,
    byRank: precedence !== 'specific',
    reserved: new Set(verbs === 'reserved' ? routes.map(({ template }) => template.verb) : []),
  };
  const strip = trailingSlash === 'strip';
  const any = tries.get(ANY);
  const get = tries.get('GET');

  function match(verb: string, path: string): ReturnType<Router['match']> {
    const place = placeOf(strip ? withoutSlashes(path) : path);
    if (place === undefined) return undefined;
    const found =
      lookup(search, tries.get(verb), place) ??
      (verb === 'HEAD' ? lookup(search, get, place) : undefined) ??
      lookup(search, any, place);
    if (found !== undefined) return { match: found };
    const allow = allowed(place);
    return allow.length === 0 ? undefined : { allow };
  }

  function allowed(place: Place): string[] {
    const verbs = new Set<string>();
    for (const [verb, trie] of tries) {
      if (lookup(search, trie, place) !== undefined) verbs.add(verb);
    }
    if (verbs.size === 0) return [];
    if (verbs.has('GET')) verbs.add('HEAD');
    return [...verbs.add('OPTIONS')].sort();
  }

  function matchAny(path: string): Match | undefined {
    const place = placeOf(strip ? withoutSlashes(path) : path);
    if (place === undefined) return undefined;
    let best: Match | undefined;
    for (const trie of tries.values()) {
      const found = lookup(search, trie, place);
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

function createNode(): Node {
  return { literals: undefined, star: undefined, end: undefined, rest: undefined };
}

function insert(tries: Map<string, Trie>, { endpoint, template }: Route, leaf: Leaf): void {
  const trie = child(tries, endpoint.rule.verb, () => ({ plain: createNode(), verbs: new Map() }));
  let node = template.verb === '' ? trie.plain : child(trie.verbs, template.verb, createNode);
  for (const segment of template.segments) {
    if (segment === '**') {
      node.rest ??= leaf;
      return;
    }
    if (segment === '*') {
      node.star ??= createNode();
      node = node.star;
    } else {
      node.literals ??= new Map();
      node = child(node.literals, segment, createNode);
    }
  }
  node.end ??= leaf;
}

function child<T>(map: Map<string, T>, key: string, create: () => T): T {
  const existing = map.get(key);
  if (existing !== undefined) return existing;
  const created = create();
  map.set(key, created);
  return created;
}

/** Makes leaves. Those that capture alike share what says so: of thousands of routes, few differ in that. */
function createLeaves(decode: Capture['decode']): (route: Route, rank: number) => Leaf {
  const shared = new Map<string, readonly Capture[]>();
  return ({ endpoint, template }, rank) => {
    const { segments, variables } = template;
    const several = endpoint.rule.fullyDecode ? decodeSegment : decode;
    const captures = variables.map(({ from, to }): Capture => {
      const open = segments[to - 1] === '**';
      return { from, to: open ? Infinity : to, decode: open || to - from > 1 ? several : decodeSegment };
    });
    const key = captures.map(({ from, to, decode: { name } }) => `${from}-${to} ${name}`).join();
    const fixed = captures.length === 0 ? { endpoint, variables: [] } : undefined;
    return { endpoint, captures: child(shared, key, () => captures), rank, fixed };
  };
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

function lookup(search: Search, trie: Trie | undefined, { raw, key, colon }: Place): Match | undefined {
  if (trie === undefined) return undefined;
  let withVerb: Leaf | undefined;
  if (colon !== -1 && (trie.verbs.size > 0 || search.reserved.size > 0)) {
    const verb = key.slice(colon + 1);
    const root = trie.verbs.get(verb);
    withVerb = root && search.find(root, key, 1, colon);
    const isDecided = search.reserved.has(verb) || (withVerb !== undefined && !search.byRank);
    if (isDecided) return withVerb && matchOf(withVerb, raw, raw.lastIndexOf(':'));
  }
  const plain = search.find(trie.plain, key, key === '/' ? 2 : 1, key.length);
  if (withVerb !== undefined && (plain === undefined || withVerb.rank < plain.rank)) {
    return matchOf(withVerb, raw, raw.lastIndexOf(':'));
  }
  return plain && matchOf(plain, raw, raw.length);
}

/**
 * The best leaf below `node` for the segments of `path` from index `start` to `end`; `start` lies behind `end` when
 * none is left. A node is visited at most once for a path, so that backtracking is bounded by the trie.
 */
function find(node: Node, path: string, start: number, end: number): Leaf | undefined {
  if (start > end) return node.end ?? node.rest;
  const slash = path.indexOf('/', start);
  const stop = slash === -1 ? end : slash;
  const literal = node.literals?.get(path.slice(start, stop));
  return (
    (literal && find(literal, path, stop + 1, end)) ??
    (node.star && find(node.star, path, stop + 1, end)) ??
    node.rest
  );
}

/** The leaf with the lowest rank of all below `node` that match. */
function findByRank(node: Node, path: string, start: number, end: number): Leaf | undefined {
  if (start > end) return lower(node.end, node.rest);
  const slash = path.indexOf('/', start);
  const stop = slash === -1 ? end : slash;
  const literal = node.literals?.get(path.slice(start, stop));
  const below = lower(
    literal && findByRank(literal, path, stop + 1, end),
    node.star && findByRank(node.star, path, stop + 1, end),
  );
  return lower(below, node.rest);
}

function lower(a: Leaf | undefined, b: Leaf | undefined): Leaf | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return a.rank <= b.rank ? a : b;
}

function matchOf(leaf: Leaf, raw: string, end: number): Match {
  return leaf.fixed ?? capture(leaf, raw, end);
}

function capture({ endpoint, captures }: Leaf, raw: string, end: number): Match {
  const variables: string[] = [];
  let index = 0;
  let at = 1;
  for (const { from, to, decode } of captures) {
    for (; index < from; index++) at = next(raw, at, end);
    const start = at;
    if (to === Infinity) at = end + 1;
    else for (; index < to; index++) at = next(raw, at, end);
    variables.push(decode(raw.slice(start, at - 1)));
  }
  return { endpoint, variables };
}

/** Where the segment after the one at `at` begins; behind `end` when there is none. */
function next(raw: string, at: number, end: number): number {
  const slash = raw.indexOf('/', at);
  return slash === -1 ? end + 1 : slash + 1;
}
