/** What a new contract changes for those who call the old one, and what of it breaks them. */
import type { DescEnum, DescField, DescMessage } from '@bufbuild/protobuf';
import type { Access, ClaimBinding, HttpRule, Method } from '../method.js';
import { printAccess } from './access_option.js';
import type { Contract } from './contract.js';
import { diffStreams } from './diff_stream.js';

export interface ContractChange {
  readonly kind: 'added' | 'removed' | 'changed';
  /** `method a.v1.Shop/Get`, `route GET /v1/x of a.v1.Shop/Get`, `field a.v1.Order.id`, `enum value a.v1.Color.RED`. */
  readonly subject: string;
  /** What is different, for something that changed. */
  readonly detail?: string;
  /** Whether a client of the old contract may fail, or hear less, with the new one. */
  readonly breaking: boolean;
}

/** `field a.v1.Order.id: type changed from string to int32 (breaking)` */
export function printChange({ kind, subject, detail, breaking }: ContractChange): string {
  return `${subject}: ${detail ?? kind}${breaking ? ' (breaking)' : ''}`;
}

/**
 * The changes of methods, of their routes, access and streams, and of all types that calls of the old contract carry. Types
 * that no method reaches (they may travel in a google.protobuf.Any) are not compared.
 */
export function diffContracts(before: Contract, after: Contract): ContractChange[] {
  const changes: ContractChange[] = [];
  const newMethods = new Map(after.methods.map((method) => [method.name, method]));
  const oldNames = new Set(before.methods.map(({ name }) => name));
  for (const method of before.methods) {
    const successor = newMethods.get(method.name);
    if (successor === undefined) {
      changes.push({ kind: 'removed', subject: `method ${method.name}`, breaking: true });
      changes.push(...method.routes.map((rule) => routeChange('removed', method, rule)));
    } else changes.push(...diffMethod(method, successor));
  }
  for (const method of after.methods) {
    if (oldNames.has(method.name)) continue;
    changes.push({ kind: 'added', subject: `method ${method.name}`, breaking: false });
    changes.push(...method.routes.map((rule) => routeChange('added', method, rule)));
  }
  return [...changes, ...diffTypes(before, after)];
}

const print = ({ verb, template }: HttpRule) => `${verb} ${template}`;

const routeChange = (kind: 'added' | 'removed', { name }: Method, rule: HttpRule): ContractChange => ({
  kind,
  subject: `route ${print(rule)} of ${name}`,
  breaking: kind === 'removed',
});

function diffMethod(before: Method, after: Method): ContractChange[] {
  const changes: ContractChange[] = [];
  const changed = (detail: string, breaking: boolean) =>
    changes.push({ kind: 'changed', subject: `method ${before.name}`, detail, breaking });
  const compare = (what: string, from: string, to: string, breaking: boolean) => {
    if (from !== to) changed(`${what} changed from ${from} to ${to}`, breaking);
  };
  compare('request type', before.input.typeName, after.input.typeName, true);
  compare('response type', before.output.typeName, after.output.typeName, true);
  compare('kind', kindOf(before), kindOf(after), true);
  changes.push(...diffRoutes(before, after));
  compare(
    'access',
    printSorted(before.access),
    printSorted(after.access),
    tightens(before.access, after.access),
  );
  for (const { what, from, to, breaking } of diffStreams(before.stream, after.stream))
    compare(what, from, to, breaking);
  compare('upstream', before.upstream || 'none', after.upstream || 'none', false);
  return changes;
}

function kindOf({ clientStreaming, serverStreaming }: Method): string {
  if (clientStreaming) return serverStreaming ? 'streams both ways' : 'a stream of requests';
  return serverStreaming ? 'a stream of responses' : 'one request and one response';
}

function diffRoutes(before: Method, after: Method): ContractChange[] {
  const newRoutes = new Map(after.routes.map((rule) => [print(rule), rule]));
  const oldRoutes = new Set(before.routes.map(print));
  return [
    ...before.routes.flatMap((rule) => {
      const successor = newRoutes.get(print(rule));
      return successor ? diffRoute(before, rule, successor) : [routeChange('removed', before, rule)];
    }),
    ...after.routes
      .filter((rule) => !oldRoutes.has(print(rule)))
      .map((rule) => routeChange('added', after, rule)),
  ];
}

function diffRoute({ name }: Method, before: HttpRule, after: HttpRule): ContractChange[] {
  const parts: readonly (readonly [string, string, string])[] = [
    ['body', before.body || 'none', after.body || 'none'],
    ['response_body', before.responseBody || 'the whole', after.responseBody || 'the whole'],
    ['decoding of %2F', String(before.fullyDecode ?? false), String(after.fullyDecode ?? false)],
  ];
  return parts
    .filter(([, from, to]) => from !== to)
    .map(([what, from, to]) => ({
      kind: 'changed',
      subject: `route ${print(before)} of ${name}`,
      detail: `${what} changed from ${from} to ${to}`,
      breaking: true,
    }));
}

/** The same for lists in another order. */
function printSorted(access: Access): string {
  return printAccess({
    ...access,
    permissions: [...access.permissions].sort(),
    roles: [...access.roles].sort(),
    bind: [...(access.bind ?? [])].sort((a, b) => (a.field < b.field ? -1 : 1)),
  });
}

/** Whether somebody who could call may no longer. */
function tightens(before: Access, after: Access): boolean {
  if (after.public) return false;
  if (before.public) return true;
  const asksMore = after.permissions.some((permission) => !before.permissions.includes(permission));
  const losesRole =
    after.roles.length > 0 &&
    (before.roles.length === 0 || before.roles.some((role) => !after.roles.includes(role)));
  return asksMore || losesRole || bindsMore(before, after);
}

/** Whether a field has to hold something that it need not have held, for somebody for whom it need not. */
function bindsMore({ bind: before = [] }: Access, { bind: after = [] }: Access): boolean {
  const isWeaker = (old: ClaimBinding, { field, claim, unless, firstOnly }: ClaimBinding) =>
    old.field === field &&
    old.claim === claim &&
    old.unless.every((permission) => unless.includes(permission)) &&
    (firstOnly === true || old.firstOnly !== true);
  return after.some((binding) => !before.some((old) => isWeaker(old, binding)));
}

function diffTypes(before: Contract, after: Contract): ContractChange[] {
  return [...reachedTypes(before)].flatMap((type): ContractChange[] => {
    // The well-known types are the same in every contract.
    if (type.typeName.startsWith('google.protobuf.')) return [];
    const successor = after.types.get(type.typeName);
    if (successor === undefined || successor.kind !== type.kind)
      return [{ kind: 'removed', subject: `${type.kind} ${type.typeName}`, breaking: true }];
    if (type.kind === 'enum') return diffEnum(type, successor as DescEnum);
    return diffMessage(type, successor as DescMessage);
  });
}

/** All types that requests and responses of a contract are made of. */
function reachedTypes({ methods }: Contract): Set<DescMessage | DescEnum> {
  const reached = new Set<DescMessage | DescEnum>();
  const waiting: DescMessage[] = methods.flatMap(({ input, output }) => [input, output]);
  for (let type = waiting.pop(); type; type = waiting.pop()) {
    if (reached.has(type)) continue;
    reached.add(type);
    for (const { message, enum: values } of type.fields) {
      if (message) waiting.push(message);
      if (values) reached.add(values);
    }
  }
  return reached;
}

function diffMessage(before: DescMessage, after: DescMessage): ContractChange[] {
  const subject = (field: DescField) => `field ${before.typeName}.${field.name}`;
  const names = new Set(before.fields.map(({ name }) => name));
  return [
    ...before.fields.flatMap((field) => {
      const successor = after.fields.find(({ name }) => name === field.name);
      if (successor !== undefined) return diffField(subject(field), field, successor);
      const renamed = after.fields.find(({ number, name }) => number === field.number && !names.has(name));
      if (renamed === undefined)
        return [{ kind: 'removed', subject: subject(field), breaking: true } as const];
      const detail = `renamed to ${renamed.name}`;
      return [{ kind: 'changed', subject: subject(field), detail, breaking: true } as const];
    }),
    ...after.fields
      .filter(({ name, number }) => !names.has(name) && !before.fields.some((old) => old.number === number))
      .map((field) => ({ kind: 'added', subject: subject(field), breaking: isRequired(field) }) as const),
  ];
}

function diffField(subject: string, before: DescField, after: DescField): ContractChange[] {
  const parts: readonly (readonly [string, string | number, string | number, boolean])[] = [
    ['number', before.number, after.number, true],
    ['type', typeOf(before), typeOf(after), true],
    ['JSON name', before.jsonName, after.jsonName, true],
    ['oneof', before.oneof?.name ?? 'none', after.oneof?.name ?? 'none', true],
  ];
  // Lists and maps have none to compare.
  const isPlain = ({ fieldKind }: DescField) => fieldKind !== 'list' && fieldKind !== 'map';
  const presence = ['presence', presenceOf(before), presenceOf(after), isRequired(after)] as const;
  return [...parts, ...(isPlain(before) && isPlain(after) ? [presence] : [])]
    .filter(([, from, to]) => from !== to)
    .map(([what, from, to, breaking]) => ({
      kind: 'changed',
      subject,
      detail: `${what} changed from ${from} to ${to}`,
      breaking,
    }));
}

const isRequired = (field: DescField) => presenceOf(field) === 'required';

const PRESENCE: Readonly<Record<number, string>> = { 1: 'explicit', 2: 'implicit', 3: 'required' };

function presenceOf({ presence }: DescField): string {
  return PRESENCE[presence] ?? 'explicit';
}

/** `string`, `repeated a.v1.Item`, `map<string, a.v1.Item>` */
function typeOf(field: DescField): string {
  const plain = field.message?.typeName ?? field.enum?.typeName ?? SCALARS[field.scalar ?? 0] ?? 'unknown';
  if (field.fieldKind === 'map') return `map<${SCALARS[field.mapKey]}, ${plain}>`;
  return field.fieldKind === 'list' ? `repeated ${plain}` : plain;
}

/** By FieldDescriptorProto.Type. */
const SCALARS =
  'unknown double float int64 uint64 int32 fixed64 fixed32 bool string group message bytes uint32 enum sfixed32 sfixed64 sint32 sint64'.split(
    ' ',
  );

function diffEnum(before: DescEnum, after: DescEnum): ContractChange[] {
  const subject = (name: string) => `enum value ${before.typeName}.${name}`;
  const names = new Set(before.values.map(({ name }) => name));
  return [
    ...before.values.flatMap(({ name, number }): ContractChange[] => {
      const successor = after.values.find((value) => value.name === name);
      if (successor === undefined) return [{ kind: 'removed', subject: subject(name), breaking: true }];
      if (successor.number === number) return [];
      const detail = `number changed from ${number} to ${successor.number}`;
      return [{ kind: 'changed', subject: subject(name), detail, breaking: true }];
    }),
    ...after.values
      .filter(({ name }) => !names.has(name))
      .map(({ name }) => ({ kind: 'added', subject: subject(name), breaking: false }) as const),
  ];
}
