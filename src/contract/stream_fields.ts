/** Whether the types of a method have the fields that its stream options name. */
import { type DescMessage, type DescMethod, ScalarType } from '@bufbuild/protobuf';
import type { HttpRule, StreamOptions } from '../method.js';
import { type DescLeaf, findField } from './field_path.js';

/** Told what is wrong, and with which field and value: `cursor_field sequence`. Empty: with the option as a whole. */
export type ReportField = (problem: string, what: string) => void;

/** Reports options that a method of this kind and these types cannot have. `routes`: the method's own. */
export function checkStreamFields(
  method: DescMethod,
  { stream, routes }: { readonly stream: StreamOptions; readonly routes: readonly HttpRule[] },
  report: ReportField,
): void {
  checkKind(method, stream, report);
  checkEventField(method.output, stream.eventField, report);
  checkSlowKey(method.output, stream.slow.key, report);
  checkPositions(method, stream, report);
  checkPathVariables(routes, stream.resumeField, report);
}

export const streamsReplies = ({ methodKind }: DescMethod): boolean =>
  methodKind === 'server_streaming' || methodKind === 'bidi_streaming';

const streamsRequests = ({ methodKind }: DescMethod): boolean =>
  methodKind === 'client_streaming' || methodKind === 'bidi_streaming';

function checkKind(
  method: DescMethod,
  { sharing, cursorField, resumeField }: StreamOptions,
  report: ReportField,
): void {
  if (!streamsReplies(method)) {
    report('the method answers one message: only a stream of responses can have this option', '');
  }
  if (!streamsRequests(method)) return;
  const problem = 'the method takes a stream of requests';
  if (sharing !== 'private') report(`${problem}: no two clients ask for the same`, 'sharing');
  if (cursorField !== '' || resumeField !== '')
    report(`${problem}: there is no single one that could be asked again`, 'cursor_field');
}

function checkEventField(output: DescMessage, name: string, report: ReportField): void {
  if (name === '') return;
  const field = output.fields.find((candidate) => candidate.name === name);
  const suitable =
    field?.fieldKind === 'enum' || (field?.fieldKind === 'scalar' && field.scalar === ScalarType.STRING);
  if (!field) report(`${output.typeName} has no field of this name`, `event_field ${name}`);
  else if (!suitable) report('an event is named by a single string or enum field', `event_field ${name}`);
}

function checkSlowKey(output: DescMessage, path: string, report: ReportField): void {
  if (path === '') return;
  const found = findField(output, path);
  if (typeof found === 'string') report(found, `slow.key ${path}`);
}

/** Both or neither; one alone has been reported as such. */
function checkPositions(
  { input, output }: DescMethod,
  { cursorField, resumeField }: StreamOptions,
  report: ReportField,
): void {
  const kindOf = (type: DescMessage, path: string, option: string): Kind | undefined => {
    if (path === '') return undefined;
    const found = findField(type, path);
    const kind = typeof found === 'string' ? undefined : positionKind(found.leaf);
    const expected = 'a position is a string, bytes or an integer';
    if (kind === undefined) report(typeof found === 'string' ? found : expected, `${option} ${path}`);
    return kind;
  };
  const cursor = kindOf(output, cursorField, 'cursor_field');
  const resume = kindOf(input, resumeField, 'resume_field');
  if (cursor === undefined || resume === undefined || cursor === resume) return;
  report(
    `expected ${NAMES[cursor]} as in cursor_field ${cursorField}, not ${NAMES[resume]}`,
    `resume_field ${resumeField}`,
  );
}

type Kind = 'string' | 'bytes' | 'integer';
const NAMES: Readonly<Record<Kind, string>> = { string: 'a string', bytes: 'bytes', integer: 'an integer' };

function positionKind({ fieldKind, scalar }: DescLeaf): Kind | undefined {
  if (fieldKind === 'enum') return undefined;
  switch (scalar) {
    case ScalarType.STRING:
      return 'string';
    case ScalarType.BYTES:
      return 'bytes';
    case ScalarType.BOOL:
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return undefined;
    default:
      return 'integer';
  }
}

/** The variables of a path template (google/api/http.proto), by name. */
const VARIABLE = /\{\s*([\w.]+)/g;

/** A client comes back to the URL that it came to first. */
function checkPathVariables(routes: readonly HttpRule[], resumeField: string, report: ReportField): void {
  if (resumeField === '') return;
  for (const { verb, template } of routes) {
    const names = [...template.matchAll(VARIABLE)].map(([, name]) => name);
    if (!names.includes(resumeField)) continue;
    const problem = `it is a variable of the path ${verb} ${template}, which never changes while a client comes back to it`;
    report(problem, `resume_field ${resumeField}`);
  }
}
