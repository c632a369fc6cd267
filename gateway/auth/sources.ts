/** Where a request has its token: of the places that are switched on, exactly one; and what is left of the request without it. */
import type { IncomingMessage } from 'node:http';
import type { AuthConfig } from '../config.js';
import { invalid } from '../http/error.js';
import { isSafe, isTrustedPage, type OriginRules } from '../http/origin.js';
import { parseAuthorization } from '../http/token.js';
import { forbidden } from './refusals.js';

/** What tickets begin with, so that they are told from a parameter `ticket` of a method. */
export const TICKET_PREFIX = 'tgt_';
const TICKET = 'ticket';

export type Credential =
  | { readonly kind: 'token'; readonly token: string }
  | { readonly kind: 'ticket'; readonly ticket: string };

interface InQuery {
  readonly tickets: readonly string[];
  readonly tokens: readonly string[];
}

/** By request: a door sees the query without them. */
const inQueries = new WeakMap<IncomingMessage, InQuery>();
/** Requests whose cookie was taken for a token. */
const byCookie = new WeakSet<IncomingMessage>();

type SourceConfig = Pick<AuthConfig, 'sources' | 'cookie' | 'queryParameter'>;

export interface Sources {
  /** Takes tickets and tokens out of a raw query, keeps them for `read`, and answers the rest. */
  takeFromQuery(request: IncomingMessage, query: string): string;
  /**
   * Undefined: nobody. A cookie, which a browser sends by itself, counts only where nothing else is given. Throws StatusError: UNAUTHENTICATED
   * for what is malformed, INVALID_ARGUMENT for several at once, PERMISSION_DENIED for a cookie on an unsafe method of another origin.
   */
  read(request: IncomingMessage): Credential | undefined;
  /** Throws INVALID_ARGUMENT if a request that has a token in its subprotocol has another one. */
  onlySubprotocol(request: IncomingMessage): void;
}

export function createSources(auth: SourceConfig, origins: OriginRules): Sources {
  const { cookie, queryParameter } = auth;
  const on = new Set(auth.sources);
  const names = [
    ...(on.has('tickets') ? [TICKET] : []),
    ...(queryParameter === undefined ? [] : [queryParameter]),
  ];

  /** All that was given on purpose, by the names of their places. */
  const given = (
    request: IncomingMessage,
  ): { readonly place: string; readonly credential: () => Credential }[] => {
    const all: { readonly place: string; readonly credential: () => Credential }[] = [];
    const { authorization } = request.headers;
    if (authorization !== undefined && on.has('authorization')) {
      const credential = () =>
        ({ kind: 'token', token: parseAuthorization(authorization) as string }) as const;
      all.push({ place: 'header authorization', credential });
    }
    const { tickets = [], tokens = [] } = inQueries.get(request) ?? {};
    for (const ticket of tickets)
      all.push({ place: 'ticket', credential: () => ({ kind: 'ticket', ticket }) });
    for (const token of tokens) {
      all.push({ place: `query parameter ${queryParameter}`, credential: () => ({ kind: 'token', token }) });
    }
    return all;
  };

  return {
    takeFromQuery(request, query) {
      if (names.length === 0 || query === '') return query;
      const found: InQuery & { tickets: string[]; tokens: string[] } = { tickets: [], tokens: [] };
      const kept = query.split('&').filter((part) => {
        const equals = part.indexOf('=');
        if (equals === -1) return true;
        const name = decoded(part.slice(0, equals));
        if (name === undefined || !names.includes(name)) return true;
        const value = decoded(part.slice(equals + 1)) ?? '';
        if (name === queryParameter) found.tokens.push(value);
        else if (value.startsWith(TICKET_PREFIX)) found.tickets.push(value);
        else return true;
        return false;
      });
      if (found.tickets.length + found.tokens.length === 0) return query;
      inQueries.set(request, found);
      return kept.join('&');
    },

    read(request) {
      const { authorization, cookie: cookies } = request.headers;
      if (authorization === undefined && cookies === undefined && !inQueries.has(request)) return undefined;
      const [first, second] = given(request);
      if (second !== undefined) throw several(first?.place ?? '', second.place);
      if (first !== undefined) return first.credential();
      if (cookie === undefined || cookies === undefined) return undefined;
      const values = valuesOf(cookies, cookie);
      if (values.length === 0) return undefined;
      if (!isTrustedPage(request, origins)) {
        if (isSafe(request)) return undefined;
        throw forbidden(
          `header origin: the cookie ${cookie} counts only for pages of this host and of the allowed origins`,
        );
      }
      // One that is set for a parent domain or another path by somebody else comes beside ours, and nobody can tell which is which.
      if (values.length > 1) throw several(`cookie ${cookie}`, `cookie ${cookie}`);
      byCookie.add(request);
      return { kind: 'token', token: values[0] as string };
    },

    onlySubprotocol(request) {
      const [other] = given(request);
      if (other !== undefined) throw several('header sec-websocket-protocol', other.place);
    },
  };
}

function several(one: string, other: string) {
  return invalid('token', `expected one, but there is one in ${one} and one in ${other}`);
}

/** Percent-decoded, with `+` as it is: no name or token of ours has one. Undefined for what cannot be decoded. */
function decoded(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function valuesOf(header: string, name: string): string[] {
  return header.split(';').flatMap((pair) => {
    const equals = pair.indexOf('=');
    if (equals === -1 || pair.slice(0, equals).trim() !== name) return [];
    return [
      pair
        .slice(equals + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1'),
    ];
  });
}

/** A Cookie header without the cookie of that name; undefined when nothing is left. */
export function withoutCookie(header: string, name: string): string | undefined {
  const kept = header
    .split(';')
    .filter((pair) => pair.slice(0, Math.max(pair.indexOf('='), 0)).trim() !== name);
  return kept.length === 0 ? undefined : kept.join(';').trim();
}

export function hasQueryCredential(request: IncomingMessage): boolean {
  return inQueries.has(request);
}

/** Whether the request tried to say who it is from, other than by a header of its own: for WWW-Authenticate. */
export function hasHiddenCredential(request: IncomingMessage): boolean {
  return inQueries.has(request) || byCookie.has(request);
}
