/** A request's raw path: what of it is refused, how it is compared with templates, how captured parts are decoded. */
import { badRequest } from '../../src/details.js';
import { Code, StatusError } from '../../src/status.js';

/** Most paths: no escapes, no empty segment, no `.` or `..`, and nothing that RFC 3986 would want escaped. */
const PLAIN = /^(?:\/(?!\.{1,2}(?:\/|$))[!-$&-.0-~]+)+$/;
const UNESCAPED = /[^!-~]/;
const ESCAPE = /%([0-9A-Fa-f]{2})/g;
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/;
const ESCAPED_SLASH = /%(2f)/gi;
/** RFC 6570 section 1.5. */
const ESCAPED_RESERVED = /%(2[1346-9abcf]|3[abdf]|40|5[bd])/gi;
const UNRESERVED = /[A-Za-z0-9\-._~]/;

/**
 * The form of a raw path that is compared with templates: unreserved characters are decoded and the other escapes
 * are in upper case (RFC 3986 section 6.2.2), slash by slash and colon by colon as the raw path has them. Undefined
 * for a path that no template matches: one with an empty segment (so a trailing slash too) or without a leading
 * slash. Throws StatusError INVALID_ARGUMENT that names the segment for a malformed escape, escapes that are not
 * UTF-8, characters that had to be escaped, and the segments `.` and `..`, however they are written.
 */
export function comparablePath(path: string): string | undefined {
  if (PLAIN.test(path)) return path;
  if (path.charCodeAt(0) !== 0x2f) return undefined;
  const segments = path.slice(1).split('/').map(comparableSegment);
  if (path !== '/' && segments.includes('')) return undefined;
  return `/${segments.join('/')}`;
}

/**
 * The path without its empty, `.` and `..` segments, as Go's http.ServeMux cleans it: a slash at the end stays. Undefined
 * for one that has none of them, and for one that `comparablePath` refuses for its escapes.
 */
export function cleanedPath(path: string): string | undefined {
  if (PLAIN.test(path) || path.charCodeAt(0) !== 0x2f) return undefined;
  const kept: string[] = [];
  for (const raw of path.slice(1).split('/')) {
    if (faultOf(raw) !== undefined) return undefined;
    const segment = decodeUnreserved(raw);
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(raw);
  }
  const end = path.endsWith('/') && kept.length > 0 ? '/' : '';
  const cleaned = `/${kept.join('/')}${end}`;
  return cleaned === path ? undefined : cleaned;
}

function comparableSegment(raw: string, index: number): string {
  const fault = faultOf(raw);
  if (fault !== undefined) throw refusal(index, fault);
  const text = decodeUnreserved(raw);
  if (text === '.' || text === '..') throw refusal(index, `"${text}" is not allowed`);
  return text;
}

function refusal(index: number, description: string): StatusError {
  return new StatusError(Code.INVALID_ARGUMENT, `path segment ${index + 1}: ${description}`, {
    details: [badRequest([{ field: `path segment ${index + 1}`, description }])],
  });
}

/** What is wrong with percent-encoded text, in words for the client; undefined if nothing is. */
export function faultOf(raw: string): string | undefined {
  if (UNESCAPED.test(raw))
    return 'spaces, control characters and characters outside ASCII must be percent-encoded';
  if (!raw.includes('%')) return undefined;
  if (BAD_ESCAPE.test(raw)) return '% must be followed by two hexadecimal digits';
  try {
    decodeURIComponent(raw);
    return undefined;
  } catch {
    return 'the percent-encoded bytes are not UTF-8';
  }
}

/** RFC 3986 section 6.2.2: an escaped unreserved character is that character, and hexadecimal digits have no case. */
export function decodeUnreserved(raw: string): string {
  if (!raw.includes('%')) return raw;
  return raw.replace(ESCAPE, (escaped, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16));
    return UNRESERVED.test(character) ? character : escaped.toUpperCase();
  });
}

/** The value of a variable that captured one segment, or of any where the contract wants it so: everything is decoded. */
export function decodeSegment(raw: string): string {
  return raw.includes('%') ? decodeURIComponent(raw) : raw;
}

/** The value of a variable that captured several segments: everything but `%2F` and `%2f`, as google/api/http.proto says. */
export function decodeSegments(raw: string): string {
  return raw.includes('%') ? decodeURIComponent(raw.replace(ESCAPED_SLASH, '%25$1')) : raw;
}

/** The same, but all escapes of reserved characters stay, as in reserved expansion (RFC 6570 section 3.2.3). */
export function decodeUnreservedSegments(raw: string): string {
  return raw.includes('%') ? decodeURIComponent(raw.replace(ESCAPED_RESERVED, '%25$1')) : raw;
}
