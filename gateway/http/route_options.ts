/** Which options a route has: the application's, but for what `routes` of the configuration says of it. */
import { CANONICAL, type CodecOptions, type JsonOptions } from '../../src/codec/codec.js';
import type { ContractProblem } from '../../src/contract/contract.js';
import type { HttpRule, Method } from '../../src/method.js';
import type { RouteConfig } from '../config.js';
import { HTTP_DEFAULTS, type HttpOptions } from '../profile.js';
import { globPattern } from './glob.js';

/** What is not given has its default. */
export interface OptionsSource {
  readonly json?: Partial<JsonOptions>;
  readonly http?: Partial<HttpOptions>;
  readonly routes?: readonly RouteConfig[];
}

/** Complete. Routes that have the same options share one object. */
export interface RouteOptions {
  readonly codec: CodecOptions;
  readonly http: HttpOptions;
  /** The longest deadline of its calls, in ms; 0: as for all calls. */
  readonly maxTimeoutMs: number;
}

export interface RouteOptionsTable {
  of(method: Method, rule: HttpRule): RouteOptions;
  /** Entries of `routes` that `of` has never found to match, which nobody can have meant. */
  unused(): readonly ContractProblem[];
}

export function createRouteOptions({ json = {}, http = {}, routes = [] }: OptionsSource): RouteOptionsTable {
  const entries = routes.map((entry) => ({ entry, matches: globPattern(entry.match) }));
  const resolved = new Map<string, RouteOptions>();
  const used = new Set<RouteConfig>();
  const app: HttpOptions = { ...HTTP_DEFAULTS, ...http };

  function resolve(matching: readonly RouteConfig[]): RouteOptions {
    const own = { ...app };
    const codec = { ...CANONICAL, ...json };
    let maxTimeoutMs = 0;
    for (const entry of matching) {
      Object.assign(codec, given(entry.json ?? {}));
      const { unknownFields, unknownParameters } = entry;
      Object.assign(own, given({ unknownFields, unknownParameters }));
      maxTimeoutMs = entry.maxTimeoutMs ?? maxTimeoutMs;
    }
    return {
      codec: {
        ...codec,
        unknownFields: own.unknownFields,
        unknownEnumNames: own.unknownEnumNames,
        dialect: own.jsonDialect,
      },
      http: own,
      maxTimeoutMs,
    };
  }

  return {
    of({ name }, { verb, template }) {
      const matching = entries
        .filter(({ matches }) => matches.test(name) || matches.test(`${verb} ${template}`))
        .map(({ entry }) => entry);
      for (const entry of matching) used.add(entry);
      const key = matching.map((entry) => routes.indexOf(entry)).join();
      const options = resolved.get(key) ?? resolve(matching);
      resolved.set(key, options);
      return options;
    },
    unused: () =>
      routes.flatMap((entry, index) =>
        used.has(entry)
          ? []
          : [
              {
                source: { file: `routes[${index}]` },
                rule: entry.match,
                problem: 'no method and no route of the contract is matched',
              },
            ],
      ),
  };
}

/** Without the members that are undefined. */
function given(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
