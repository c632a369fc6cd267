/** Field paths of request messages: found by name in the contract, and which of them a text can set. */
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';

/** From a field of the request down to the field that is meant. All but the last are singular messages. */
export type FieldPath = readonly DescField[];

const wellKnown = (names: string): ReadonlySet<string> =>
  new Set(names.split(' ').map((name) => `google.protobuf.${name}`));

/** Well-known types whose JSON is one string, number or boolean (proto3 JSON mapping). */
const SCALAR_LIKE = wellKnown(
  'Timestamp Duration FieldMask BoolValue BytesValue StringValue DoubleValue FloatValue Int32Value Int64Value UInt32Value UInt64Value',
);
/** Well-known types whose JSON is any JSON, which a query holds as JSON text. */
const JSON_LIKE = wellKnown('Struct Value ListValue');

/** Whether the type's JSON is an object with a member for each field. */
export function isPlain({ typeName }: DescMessage): boolean {
  return !SCALAR_LIKE.has(typeName) && !JSON_LIKE.has(typeName) && typeName !== 'google.protobuf.Any';
}

/** Whether the field is a singular message that is set by its sub-fields. */
export function isParent(
  field: DescField,
): field is DescField & { message: DescMessage; fieldKind: 'message' } {
  return field.fieldKind === 'message' && isPlain(field.message);
}

/** Whether a path variable can set the field: a singular scalar, enum, or well-known type that is like a scalar. */
export function isScalarLike(field: DescField): boolean {
  if (field.fieldKind === 'message') return SCALAR_LIKE.has(field.message.typeName);
  return field.fieldKind === 'scalar' || field.fieldKind === 'enum';
}

/** Whether elements separated by commas can be the field's value. */
export function isRepeatedScalar(field: DescField): boolean {
  return field.fieldKind === 'list' && field.listKind !== 'message';
}

/** Whether the field is a `map<string, string>`. */
export function isTextMap(field: DescField): boolean {
  return (
    field.fieldKind === 'map' && field.mapKey === ScalarType.STRING && field.scalar === ScalarType.STRING
  );
}

/** Whether a text can be the field's value, the element of a list, or the value of a map's entry. */
export function takesText({ message }: DescField): boolean {
  return message === undefined || SCALAR_LIKE.has(message.typeName) || JSON_LIKE.has(message.typeName);
}

const byEitherName = new WeakMap<DescMessage, ReadonlyMap<string, DescField>>();

/** A field by its JSON name or its proto name. */
export function findField(type: DescMessage, name: string): DescField | undefined {
  let names = byEitherName.get(type);
  if (names === undefined) {
    names = new Map([
      ...type.fields.map((field) => [field.name, field] as const),
      ...type.fields.map((field) => [field.jsonName, field] as const),
    ]);
    byEitherName.set(type, names);
  }
  return names.get(name);
}

/** A field by its proto name alone, as annotations name it. */
export function findByProtoName(type: DescMessage, name: string): DescField | undefined {
  return type.fields.find((field) => field.name === name);
}

/** Follows names down from `type`. Answers what is wrong, as a text, if they lead to no field. */
export function resolveFields(
  type: DescMessage,
  names: readonly string[],
  find: (type: DescMessage, name: string) => DescField | undefined,
): FieldPath | string {
  const path: DescField[] = [];
  let parent = type;
  for (const name of names) {
    const last = path.at(-1);
    if (last !== undefined) {
      if (!isParent(last)) return `"${last.name}" has no fields that can be set on their own`;
      parent = last.message;
    }
    const field = isPlain(parent) ? find(parent, name) : undefined;
    if (field === undefined) return `${parent.typeName} has no field "${name}"`;
    path.push(field);
  }
  return path;
}

/** `order.order_id` */
export function printPath(path: FieldPath): string {
  return path.map((field) => field.name).join('.');
}

export function samePath(a: FieldPath, b: FieldPath): boolean {
  return a.length === b.length && a.every((field, index) => field === b[index]);
}
