/** google.api.http and tidegate.v1 options of a method, read from the bytes of its options and checked. */
import type { MethodOptions } from '@bufbuild/protobuf/wkt';
import type { Access, HttpRule, StreamOptions } from '../method.js';
import { ANY_TOKEN, readAccess } from './access_option.js';
import { readStream } from './annotations_stream.js';
import { partsOf, textOf, type WireField } from './wire.js';

/** Field numbers in google.protobuf.MethodOptions. */
export const OPTION = { http: 72295728, access: 51801, stream: 51802 } as const;

/** Names of the extensions behind the numbers: somebody else's extension of the same number is not ours to read. */
export const OPTION_NAME = {
  http: 'google.api.http',
  access: 'tidegate.v1.access',
  stream: 'tidegate.v1.stream',
} as const;

export interface Annotations {
  readonly routes: readonly HttpRule[];
  readonly access: Access;
  /** Undefined when the method has no such option. */
  readonly stream: StreamOptions | undefined;
}

/** What is wrong with an option, and which one. */
export type ReportAnnotation = (problem: string, rule: string) => void;

/** An option that is given in several pieces is merged as protobuf merges messages: lists grow, the last value stays. */
export function readAnnotations(options: MethodOptions | undefined, report: ReportAnnotation): Annotations {
  const read = <T>(
    option: keyof typeof OPTION,
    parse: (fields: readonly WireField[]) => T,
  ): T | undefined => {
    const pieces = (options?.$unknown ?? []).filter(({ no }) => no === OPTION[option]);
    try {
      return pieces.length === 0 ? undefined : parse(pieces.flatMap(partsOf));
    } catch {
      report('the option is not an encoded message', OPTION_NAME[option]);
      return undefined;
    }
  };
  return {
    routes: read('http', (fields) => readRoutes(fields, report)) ?? [],
    access:
      read('access', (fields) => readAccess(fields, (problem) => report(problem, OPTION_NAME.access))) ??
      ANY_TOKEN,
    stream: read('stream', (fields) => readStream(fields, (problem) => report(problem, OPTION_NAME.stream))),
  };
}

/** HttpRule's fields that name an HTTP method, by number (google/api/http.proto). */
const VERBS: Readonly<Record<number, string>> = { 2: 'GET', 3: 'PUT', 4: 'POST', 5: 'DELETE', 6: 'PATCH' };
const HTTP = { body: 7, custom: 8, additionalBindings: 11, responseBody: 12 } as const;

function readRoutes(fields: readonly WireField[], report: ReportAnnotation): HttpRule[] {
  const first = readRule(fields, report);
  const others = fields
    .filter(({ no }) => no === HTTP.additionalBindings)
    .map((field) => {
      const binding = partsOf(field);
      const rule = readRule(binding, report);
      if (binding.some(({ no }) => no === HTTP.additionalBindings)) {
        report('additional_bindings cannot have additional_bindings of their own', nameOf(rule));
      }
      return rule;
    });
  return [first, ...others].flatMap((rule) => (rule ? [rule] : []));
}

const nameOf = (rule: HttpRule | undefined) => (rule ? `${rule.verb} ${rule.template}` : OPTION_NAME.http);

/** One binding without its additional ones; undefined, and reported, when it has no method and path. */
function readRule(fields: readonly WireField[], report: ReportAnnotation): HttpRule | undefined {
  let verb = '';
  let template = '';
  let body = '';
  let responseBody = '';
  for (const field of fields) {
    const named = VERBS[field.no];
    if (named !== undefined) [verb, template] = [named, textOf(field) ?? ''];
    if (field.no === HTTP.custom) [verb, template] = readCustom(field);
    if (field.no === HTTP.body) body = textOf(field) ?? '';
    if (field.no === HTTP.responseBody) responseBody = textOf(field) ?? '';
  }
  if (verb !== '' && template !== '') return { verb, template, body, responseBody };
  const wanted = verb === '' ? 'an HTTP method (get, put, post, delete, patch or custom)' : 'a path';
  report(`the rule has no pattern: give ${wanted}`, verb === '' ? OPTION_NAME.http : verb);
  return undefined;
}

/** CustomHttpPattern { kind = 1; path = 2 }. */
function readCustom(field: WireField): [string, string] {
  const parts = partsOf(field);
  const text = (no: number) => {
    const last = parts.findLast((part) => part.no === no);
    return (last && textOf(last)) ?? '';
  };
  return [text(1), text(2)];
}
