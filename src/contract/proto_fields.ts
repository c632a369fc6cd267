/** Fields as protobufjs parsed them, as FieldDescriptorProtos: types, labels, defaults, JSON names. */
import { create } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FieldDescriptorProto_Label as Label,
  MessageOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt';
import type protobuf from 'protobufjs';
import { fullName, isExtension, isGroup, isMapField, isRequired, isType } from './proto_names.js';
import { encodeOptions, integerOf, type OptionContext } from './proto_options.js';

const SCALARS: Readonly<Record<string, Type>> = {
  double: Type.DOUBLE,
  float: Type.FLOAT,
  int64: Type.INT64,
  uint64: Type.UINT64,
  int32: Type.INT32,
  fixed64: Type.FIXED64,
  fixed32: Type.FIXED32,
  bool: Type.BOOL,
  string: Type.STRING,
  bytes: Type.BYTES,
  uint32: Type.UINT32,
  sfixed32: Type.SFIXED32,
  sfixed64: Type.SFIXED64,
  sint32: Type.SINT32,
  sint64: Type.SINT64,
};

/** protoc's json_name of a field: `order_id` is `orderId`, and `Order_ID` is `OrderID`. */
export function defaultJsonName(name: string): string {
  return name.replace(/_+(.?)/g, (_, next: string) => next.toUpperCase());
}

/** protoc's name of the nested message behind a map field: `unit_prices` is `UnitPricesEntry`. */
export function mapEntryName(name: string): string {
  return `${name.replace(/(?:^|_+)(.?)/g, (_, next: string) => next.toUpperCase())}Entry`;
}

/** One field or extension. A map field refers to the nested message that `describeMapEntry` makes. */
export function describeField(field: protobuf.Field, context: OptionContext): FieldDescriptorProto {
  const given = field.options ?? {};
  const typed = isMapField(field) ? mapTypeOf(field) : typeOf(field, field.type, context);
  const name = typed.type === Type.GROUP ? field.type.toLowerCase() : field.name;
  const described = create(FieldDescriptorProtoSchema, {
    name,
    number: field.id,
    jsonName: typeof given.json_name === 'string' ? given.json_name : defaultJsonName(name),
    label: labelOf(field),
    ...typed,
  });
  if (isExtension(field)) {
    const extendee = context.type(field.extend as string, `extend ${field.extend}`);
    if (extendee) described.extendee = `.${fullName(extendee)}`;
  }
  if (given.default !== undefined) described.defaultValue = printDefault(field.type, given.default);
  if (given.proto3_optional === true) described.proto3Optional = true;
  const options = encodeOptions(FieldOptionsSchema, field.parsedOptions as never, context);
  if (options) described.options = options;
  return described;
}

function labelOf(field: protobuf.FieldBase): Label {
  if (field.repeated || isMapField(field)) return Label.REPEATED;
  return isRequired(field) ? Label.REQUIRED : Label.OPTIONAL;
}

function typeOf(
  field: protobuf.FieldBase,
  name: string,
  context: OptionContext,
): Pick<FieldDescriptorProto, 'type'> & { typeName?: string } {
  const scalar = Object.hasOwn(SCALARS, name) ? SCALARS[name] : undefined;
  if (scalar !== undefined) return { type: scalar };
  const found = context.type(name, `${name} ${field.name} = ${field.id}`);
  if (!found) return { type: Type.MESSAGE };
  const typeName = `.${fullName(found)}`;
  if (!isType(found)) return { type: Type.ENUM, typeName };
  return { type: isGroup(found) ? Type.GROUP : Type.MESSAGE, typeName };
}

function mapTypeOf(field: protobuf.MapField): { type: Type; typeName: string } {
  const scope = fullName(field.parent as protobuf.Type);
  return { type: Type.MESSAGE, typeName: `.${scope}.${mapEntryName(field.name)}` };
}

/** The nested message `{ key = 1; value = 2 }` of a map field. */
export function describeMapEntry(field: protobuf.MapField, context: OptionContext): DescriptorProto {
  const member = (name: string, number: number, type: string) =>
    create(FieldDescriptorProtoSchema, {
      name,
      number,
      jsonName: name,
      label: Label.OPTIONAL,
      ...typeOf(field, type, context),
    });
  return create(DescriptorProtoSchema, {
    name: mapEntryName(field.name),
    field: [member('key', 1, field.keyType), member('value', 2, field.type)],
    options: create(MessageOptionsSchema, { mapEntry: true }),
  });
}

/** FieldDescriptorProto.default_value: bytes with C escapes, everything else as its text. */
function printDefault(type: string, value: unknown): string {
  if (type === 'bytes') return escapeBytes(Buffer.from(String(value)));
  if (typeof value !== 'number') return String(value);
  if (type === 'double' || type === 'float') return printDouble(value);
  return String(integerOf(type, value) ?? value);
}

function printDouble(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return String(value);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\',
};

function escapeBytes(bytes: Buffer): string {
  return [...bytes]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      const octal = `\\${byte.toString(8).padStart(3, '0')}`;
      return ESCAPES[char] ?? (byte < 0x20 || byte > 0x7e ? octal : char);
    })
    .join('');
}
