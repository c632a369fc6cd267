/** The methods of a contract, from its types and their options. */
import type { DescMethod, DescService, FileRegistry } from '@bufbuild/protobuf';
import { MethodOptionsSchema } from '@bufbuild/protobuf/wkt';
import { type Method, STREAM_DEFAULTS } from '../method.js';
import { checkBindings } from './access_option.js';
import { OPTION, OPTION_NAME, readAnnotations } from './annotations.js';
import type { ContractProblem } from './contract.js';
import type { Merged } from './merge.js';
import type { Override } from './overrides.js';
import { checkStreamFields, streamsReplies } from './stream_fields.js';

export interface MethodContext {
  /** The name of the upstream of each service. */
  readonly upstreams: ReadonlyMap<string, string>;
  /** What stands in for a method's own options. */
  readonly overrides: (method: string) => Override;
  readonly problems: ContractProblem[];
}

/** Every method of the services to serve, in the order of the contract. */
export function readMethods(types: FileRegistry, merged: Merged, context: MethodContext): Method[] {
  return [...merged.services.keys()].flatMap((name) => {
    const service = types.getService(name);
    const upstream = context.upstreams.get(name) ?? '';
    return (service?.methods ?? []).map((method) => {
      const full = `${name}/${method.name}`;
      const source = merged.sources.get(full) ?? { file: fileOf(method.parent) };
      const report = (problem: string, rule: string) => {
        context.problems.push({ source, method: full, rule, problem });
      };
      const override = context.overrides(full);
      const annotations = { ...readAnnotations(ownOptions(method, types, override), report), ...override };
      const at = override.streamSource ?? source;
      const { stream, routes, access } = annotations;
      checkBindings(method.input, access, (problem) => {
        context.problems.push({
          source: override.accessSource ?? source,
          method: full,
          rule: OPTION_NAME.access,
          problem,
        });
      });
      if (stream) {
        checkStreamFields(method, { stream, routes }, (problem, what) => {
          const rule = [OPTION_NAME.stream, what].filter(Boolean).join(' ');
          context.problems.push({ source: at, method: full, rule, problem });
        });
      }
      return {
        name: full,
        service: name,
        path: `/${full}`,
        clientStreaming: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
        serverStreaming: streamsReplies(method),
        input: method.input,
        output: method.output,
        routes,
        access,
        stream: stream ?? STREAM_DEFAULTS,
        upstream,
        source,
      };
    });
  });
}

const fileOf = (service: DescService) => service.file.proto.name;

/**
 * The options without those where the contract itself has given one of our numbers to another extension, and without
 * those that are overridden: what is wrong in them matters to nobody.
 */
function ownOptions(
  method: DescMethod,
  types: FileRegistry,
  override: Override,
): DescMethod['proto']['options'] {
  const options = method.proto.options;
  const unread = (Object.keys(OPTION) as (keyof typeof OPTION)[])
    .filter((option) => {
      const declared = types.getExtensionFor(MethodOptionsSchema, OPTION[option]);
      const foreign = declared !== undefined && declared.typeName !== OPTION_NAME[option];
      return foreign || override[option === 'http' ? 'routes' : option] !== undefined;
    })
    .map((option) => OPTION[option] as number);
  if (!options?.$unknown || unread.length === 0) return options;
  return { ...options, $unknown: options.$unknown.filter(({ no }) => !unread.includes(no)) };
}
