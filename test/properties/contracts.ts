/** Random contracts: messages with fields of every kind, in one file descriptor. */
import { create, createFileRegistry, type DescFile, type FileRegistry } from '@bufbuild/protobuf';
import {
  AnySchema,
  DurationSchema,
  EmptySchema,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldMaskSchema,
  FileDescriptorProtoSchema,
  StringValueSchema,
  StructSchema,
  TimestampSchema,
} from '@bufbuild/protobuf/wkt';
import fc, { type Arbitrary } from 'fast-check';

/** The package of the type that the Any of random JSON names (test/support/codec/arbitrary.ts). */
export const PACKAGE = 'codec.test';

const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;
const { STRING, MESSAGE, ENUM, BYTES, INT64 } = FieldDescriptorProto_Type;

const WELL_KNOWN_FILES = new Map<string, DescFile>(
  [
    AnySchema,
    DurationSchema,
    EmptySchema,
    FieldMaskSchema,
    StringValueSchema,
    StructSchema,
    TimestampSchema,
  ].map(({ file }) => [`${file.name}.proto`, file]),
);
const WELL_KNOWN =
  'Any Duration Empty FieldMask Struct Value ListValue Timestamp BoolValue BytesValue StringValue DoubleValue FloatValue Int32Value Int64Value UInt32Value UInt64Value'.split(
    ' ',
  );

interface Kind {
  readonly type: FieldDescriptorProto_Type;
  readonly typeName: string;
  /** Of a message of the contract: which, modulo their count. */
  readonly message?: number;
}

type Shape = 'plain' | 'optional' | 'oneof' | 'packed' | 'unpacked' | 'map';

interface FieldSpec {
  readonly name: string;
  readonly jsonName: string | undefined;
  readonly kind: Kind;
  readonly shape: Shape;
  readonly mapKey: FieldDescriptorProto_Type;
  /** Between the number of the field before it and its own. */
  readonly gap: number;
}

const scalar = fc
  .constantFrom<FieldDescriptorProto_Type[]>(1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18)
  .map((type): Kind => ({ type, typeName: '' }));
const kind: Arbitrary<Kind> = fc.oneof(
  { arbitrary: scalar, weight: 6 },
  { arbitrary: fc.constant({ type: ENUM, typeName: `.${PACKAGE}.Tide` }), weight: 1 },
  { arbitrary: fc.constant({ type: ENUM, typeName: '.google.protobuf.NullValue' }), weight: 1 },
  { arbitrary: fc.nat(9).map((message) => ({ type: MESSAGE, typeName: '', message })), weight: 2 },
  {
    arbitrary: fc
      .constantFrom(...WELL_KNOWN)
      .map((name) => ({ type: MESSAGE, typeName: `.google.protobuf.${name}` })),
    weight: 3,
  },
);

const field: Arbitrary<FieldSpec> = fc.record({
  name: fc.oneof(
    fc.stringMatching(/^[a-z][a-z0-9]{0,5}(_[a-z0-9]{1,4}){0,2}$/),
    fc.constantFrom('id', 'value', 'constructor', 'to_string', '__proto__', 'type_url', 'X_1', 'camelCase'),
  ),
  jsonName: fc.option(fc.constantFrom('@id', '__proto__', 'kebab-name', 'ö', 'a b'), {
    nil: undefined,
    freq: 8,
  }),
  kind,
  shape: fc.constantFrom<Shape[]>(
    'plain',
    'plain',
    'plain',
    'optional',
    'oneof',
    'oneof',
    'packed',
    'unpacked',
    'map',
  ),
  mapKey: fc.constantFrom<FieldDescriptorProto_Type[]>(3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 18),
  gap: fc.constantFrom(1, 1, 1, 2, 14, 2000),
});

/** The types of one random contract; its messages are `codec.test.M0`, `M1` and so on, and they may hold each other. */
export const contractTypes: Arbitrary<FileRegistry> = fc
  .array(fc.array(field, { minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 4 })
  .map(buildTypes);

function buildTypes(specs: FieldSpec[][]): FileRegistry {
  const file = create(FileDescriptorProtoSchema, {
    name: 'random.proto',
    package: PACKAGE,
    syntax: 'proto3',
    dependency: [...WELL_KNOWN_FILES.keys()],
    enumType: [
      {
        name: 'Tide',
        value: [
          { name: 'TIDE_NONE', number: 0 },
          { name: 'EBB', number: -1 },
          { name: 'FLOOD', number: 7 },
        ],
      },
    ],
    messageType: [
      {
        name: 'Money',
        field: [{ name: 'units', jsonName: 'units', number: 1, type: INT64, label: OPTIONAL }],
      },
      ...specs.map((fields, index) => messageOf(`M${index}`, fields, specs.length)),
    ],
  });
  return createFileRegistry(file, (name) => WELL_KNOWN_FILES.get(name));
}

/** protoc's own lowerCamelCase. */
function camelCase(name: string): string {
  const [first = '', ...rest] = name.split('_');
  return first + rest.map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join('');
}

/** Leaves out fields one of whose names is another's already. */
function distinct(fields: readonly FieldSpec[]): (FieldSpec & { readonly jsonName: string })[] {
  const taken = new Set<string>();
  return fields.flatMap((spec) => {
    const jsonName = spec.jsonName ?? camelCase(spec.name);
    if (jsonName === '' || taken.has(spec.name) || taken.has(jsonName)) return [];
    taken.add(spec.name).add(jsonName);
    return [{ ...spec, jsonName }];
  });
}

function messageOf(name: string, specs: readonly FieldSpec[], messages: number) {
  const oneofs = specs.some(({ shape }) => shape === 'oneof') ? [{ name: 'choice' }] : [];
  const oneofDecl: { name: string }[] = [...oneofs];
  const nestedType: object[] = [];
  let number = 0;
  let members = 0;
  const field = distinct(specs).map((spec) => {
    number += spec.gap;
    const { type, message } = spec.kind;
    const typeName = message === undefined ? spec.kind.typeName : `.${PACKAGE}.M${message % messages}`;
    const base = { name: spec.name, jsonName: spec.jsonName, number, type, typeName, label: OPTIONAL };
    switch (spec.shape) {
      case 'map': {
        const entry = `F${number}Entry`;
        nestedType.push(entryOf(entry, spec.mapKey, { type, typeName }));
        return { ...base, label: REPEATED, type: MESSAGE, typeName: `.${PACKAGE}.${name}.${entry}` };
      }
      case 'packed':
      case 'unpacked': {
        const packable = type !== STRING && type !== BYTES && type !== MESSAGE;
        const options = packable ? { options: { packed: spec.shape === 'packed' } } : {};
        return { ...base, label: REPEATED, ...options };
      }
      case 'oneof':
        members++;
        return { ...base, oneofIndex: 0 };
      case 'optional':
        if (type === MESSAGE) return base;
        oneofDecl.push({ name: `_field_${number}` });
        return { ...base, proto3Optional: true, oneofIndex: oneofDecl.length - 1 };
      default:
        return base;
    }
  });
  // A oneof whose members were all left out would be empty.
  if (oneofs.length > 0 && members === 0) {
    const only = {
      name: 'lonely',
      jsonName: 'lonely',
      number: number + 1,
      type: STRING,
      label: OPTIONAL,
    };
    return { name, oneofDecl, nestedType, field: [...field, { ...only, oneofIndex: 0 }] };
  }
  return { name, oneofDecl, nestedType, field };
}

function entryOf(
  name: string,
  key: FieldDescriptorProto_Type,
  value: { type: FieldDescriptorProto_Type; typeName: string },
) {
  return {
    name,
    options: { mapEntry: true },
    field: [
      { name: 'key', jsonName: 'key', number: 1, type: key, label: OPTIONAL },
      { name: 'value', jsonName: 'value', number: 2, ...value, label: OPTIONAL },
    ],
  };
}
