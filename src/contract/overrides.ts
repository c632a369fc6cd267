/** What service configurations say of each method of a contract, and which of their rules are about nothing. */
import type { FileRegistry } from '@bufbuild/protobuf';
import type { Access, HttpRule, Source, StreamOptions } from '../method.js';
import { suggest } from '../nearest.js';
import type { ContractProblem } from './contract.js';
import type { ServiceConfig, ServiceRule } from './service_config.js';

/** Of each kind, what stands in for the method's own option. */
export interface Override {
  readonly routes?: readonly HttpRule[];
  readonly access?: Access;
  /** Where `access` stands. */
  readonly accessSource?: Source;
  readonly stream?: StreamOptions;
  /** Where `stream` stands. */
  readonly streamSource?: Source;
}

const NOTHING: Override = {};

/**
 * Of all rules that match a method, of each kind the last one holds, in the order of files and within them. A selector
 * that matches no method of the files (served or not) is a problem.
 */
export function createOverrides(
  configs: readonly ServiceConfig[],
  types: FileRegistry,
  problems: ContractProblem[],
): (method: string) => Override {
  const rules = configs.flatMap((config) => config.rules);
  if (rules.length === 0) return () => NOTHING;
  const services = [...types].filter((type) => type.kind === 'service');
  const methods = services.flatMap(({ typeName, methods }) =>
    methods.map(({ name }) => `${typeName}.${name}`),
  );
  for (const rule of rules) {
    if (methods.some((name) => matches(rule, name))) continue;
    const isService = services.some(({ typeName }) => typeName === rule.selector);
    const meant = isService ? `; is ${rule.selector}.* meant?` : suggest(rule.selector, methods);
    problems.push({ source: rule.source, rule: rule.selector, problem: `no such method${meant}` });
  }
  return (method) => {
    const name = method.replace('/', '.');
    const about = rules.filter((rule) => matches(rule, name));
    const routes = about.findLast((rule) => rule.routes)?.routes;
    const access = about.findLast((rule) => rule.access);
    const stream = about.findLast((rule) => rule.stream);
    return {
      ...(routes && { routes }),
      ...(access?.access && { access: access.access, accessSource: access.source }),
      ...(stream?.stream && { stream: stream.stream, streamSource: stream.source }),
    };
  };
}

function matches({ selector }: ServiceRule, method: string): boolean {
  return selector.endsWith('*') ? method.startsWith(selector.slice(0, -1)) : method === selector;
}
