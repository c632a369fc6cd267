/** The methods of a contract, from its types and their options. */
import { type DescMethod, type DescService, type FileRegistry, ScalarType } from '@bufbuild/protobuf';
import { MethodOptionsSchema } from '@bufbuild/protobuf/wkt';
import type { Method, StreamOptions } from '../method.js';
import { type Annotations, OPTION, OPTION_NAME, readAnnotations } from './annotations.js';
import type { ContractProblem } from './contract.js';
import type { Merged } from './merge.js';

const NO_STREAM: StreamOptions = Object.freeze({ eventField: '', heartbeatMs: 0 });

/** Every method of the services to serve, in the order of the contract. `upstreams` has the upstream of each service. */
export function readMethods(
  types: FileRegistry,
  merged: Merged,
  context: { readonly upstreams: ReadonlyMap<string, string>; readonly problems: ContractProblem[] },
): Method[] {
  return [...merged.services.keys()].flatMap((name) => {
    const service = types.getService(name);
    const upstream = context.upstreams.get(name) ?? '';
    return (service?.methods ?? []).map((method) => {
      const full = `${name}/${method.name}`;
      const source = merged.sources.get(full) ?? { file: fileOf(method.parent) };
      const report = (problem: string, rule: string) => {
        context.problems.push({ source, method: full, rule, problem });
      };
      const annotations = readAnnotations(ownOptions(method, types), report);
      checkStream(method, annotations, report);
      return {
        name: full,
        service: name,
        path: `/${full}`,
        clientStreaming: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
        serverStreaming: streamsReplies(method),
        input: method.input,
        output: method.output,
        routes: annotations.routes,
        access: annotations.access,
        stream: annotations.stream ?? NO_STREAM,
        upstream,
        source,
      };
    });
  });
}

const fileOf = (service: DescService) => service.file.proto.name;

const streamsReplies = ({ methodKind }: DescMethod) =>
  methodKind === 'server_streaming' || methodKind === 'bidi_streaming';

/** The options without those where the contract itself has given one of our numbers to another extension. */
function ownOptions(method: DescMethod, types: FileRegistry): DescMethod['proto']['options'] {
  const options = method.proto.options;
  const foreign = (Object.keys(OPTION) as (keyof typeof OPTION)[])
    .filter((option) => {
      const declared = types.getExtensionFor(MethodOptionsSchema, OPTION[option]);
      return declared !== undefined && declared.typeName !== OPTION_NAME[option];
    })
    .map((option) => OPTION[option] as number);
  if (!options?.$unknown || foreign.length === 0) return options;
  return { ...options, $unknown: options.$unknown.filter(({ no }) => !foreign.includes(no)) };
}

function checkStream(
  method: DescMethod,
  { stream }: Annotations,
  report: (problem: string, rule: string) => void,
): void {
  if (!stream) return;
  if (!streamsReplies(method)) {
    report(
      'the method answers one message: only a stream of responses can have this option',
      OPTION_NAME.stream,
    );
  }
  if (stream.eventField === '') return;
  const rule = `${OPTION_NAME.stream} event_field ${stream.eventField}`;
  const field = method.output.fields.find(({ name }) => name === stream.eventField);
  const suitable =
    field?.fieldKind === 'enum' || (field?.fieldKind === 'scalar' && field.scalar === ScalarType.STRING);
  if (!field) report(`${method.output.typeName} has no field of this name`, rule);
  else if (!suitable) report('an event is named by a single string or enum field', rule);
}
