/** Makes the plans of one codec from descriptors, each at its first use, and finds the type that an Any names. */
import {
  createRegistry,
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  type Registry,
} from '@bufbuild/protobuf';
import {
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import { errorDetailTypes } from '../details.js';
import type { CodecOptions } from './codec.js';
import {
  ENUM,
  EnumPlan,
  FieldPlan,
  GROUP,
  LIST,
  MAP,
  MAX_DEPTH,
  MAX_DEPTH_OF_GO,
  MESSAGE,
  Plan,
  SINGULAR,
} from './plan.js';

/** Types that an Any may hold although the contract does not name them. */
const BUILT_IN = createRegistry(
  errorDetailTypes,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
);

/** google.protobuf.FeatureSet.FieldPresence */
const IMPLICIT = 2;
const LEGACY_REQUIRED = 3;

type AnyField = DescField | DescExtension;

/** `optional` of proto3 counts: to protobuf it is a oneof of one member. */
function isInOneof({ oneof, proto }: DescField): boolean {
  return oneof !== undefined || proto.proto3Optional;
}

export class Plans {
  private readonly plans = new Map<DescMessage, Plan>();
  private readonly singles = new Map<DescField, Plan>();
  private readonly enums = new Map<DescEnum, EnumPlan>();
  private readonly extensions = new Map<string, DescExtension[]>();
  /** How deep messages may be nested, read and printed. */
  readonly maxDepth: number;

  constructor(
    private readonly types: Registry,
    readonly options: CodecOptions,
  ) {
    this.maxDepth = options.dialect === 'strict' ? MAX_DEPTH : MAX_DEPTH_OF_GO;
    for (const type of types) {
      if (type.kind !== 'extension') continue;
      const siblings = this.extensions.get(type.extendee.typeName);
      if (siblings) siblings.push(type);
      else this.extensions.set(type.extendee.typeName, [type]);
    }
  }

  get(desc: DescMessage): Plan {
    const known = this.plans.get(desc);
    if (known) return known;
    const plan = new Plan(desc.typeName);
    this.plans.set(desc, plan);
    for (const field of desc.fields) plan.add(this.field(field), field.jsonName);
    for (const oneof of desc.oneofs) {
      const names = new Set(oneof.fields.map((field) => field.name));
      plan.addOneof(
        oneof.name,
        plan.fields.filter((field) => names.has(field.name)),
      );
    }
    for (const extension of this.extensions.get(desc.typeName) ?? []) {
      const field = this.field(extension);
      plan.add(field, field.name);
    }
    return plan;
  }

  /** A plan that sees one field, with the other members of its oneof, and asks for nothing else. */
  single(desc: DescField): Plan {
    const known = this.singles.get(desc);
    if (known) return known;
    const plan = new Plan('');
    for (const member of desc.oneof?.fields ?? [desc]) plan.add(this.field(member), member.jsonName);
    plan.required = [];
    if (desc.oneof) plan.addOneof(desc.oneof.name, [...plan.fields]);
    this.singles.set(desc, plan);
    return plan;
  }

  /** The plan of a field's message type. */
  sub(field: FieldPlan): Plan {
    field.sub ??= this.get(field.message as DescMessage);
    return field.sub;
  }

  /** The type that an Any names: of the contract, else well-known, else of google.rpc's error details. */
  resolve(typeUrl: string): Plan | undefined {
    const name = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
    const desc = this.types.getMessage(name) ?? BUILT_IN.getMessage(name);
    return desc && this.get(desc);
  }

  field(desc: AnyField): FieldPlan {
    const { protoNames, int64 } = this.options;
    const name = desc.kind === 'extension' ? `[${desc.typeName}]` : desc.name;
    const isMap = desc.fieldKind === 'map';
    const isList = desc.fieldKind === 'list';
    return new FieldPlan({
      name,
      shown: desc.kind === 'extension' || protoNames ? name : desc.jsonName,
      number: desc.number,
      shape: isList ? LIST : isMap ? MAP : SINGULAR,
      ...this.type(desc),
      packed: isList && desc.packed,
      strictUtf8: desc.utf8Validation,
      implicit: desc.presence === IMPLICIT && !isList && !isMap,
      nulled: this.options.emitNulls && desc.kind === 'field' && !isInOneof(desc),
      required: desc.presence === LEGACY_REQUIRED,
      entry: isMap ? this.entry(desc) : undefined,
      numbers: int64 === 'number-if-safe',
    });
  }

  private type(desc: AnyField): Pick<FieldPlan, 'kind' | 'enum' | 'message'> {
    if (desc.scalar !== undefined) return { kind: desc.scalar, enum: undefined, message: undefined };
    if (desc.enum !== undefined) return { kind: ENUM, enum: this.enum(desc.enum), message: undefined };
    const isGroup = desc.fieldKind !== 'map' && desc.delimitedEncoding;
    return { kind: isGroup ? GROUP : MESSAGE, enum: undefined, message: desc.message };
  }

  private enum(desc: DescEnum): EnumPlan {
    let plan = this.enums.get(desc);
    if (!plan) {
      plan = new EnumPlan(desc, this.options.enumNumbers);
      this.enums.set(desc, plan);
    }
    return plan;
  }

  private entry(desc: AnyField & { readonly fieldKind: 'map' }): Plan {
    const plan = new Plan('');
    const shared = {
      shape: SINGULAR,
      packed: false,
      strictUtf8: desc.utf8Validation,
      implicit: false,
      nulled: false,
      required: false,
      entry: undefined,
    };
    const key = { name: 'key', shown: 'key', number: 1, kind: desc.mapKey };
    const value = { name: 'value', shown: 'value', number: 2, ...this.type(desc) };
    const numbers = this.options.int64 === 'number-if-safe';
    plan.add(
      new FieldPlan({ ...shared, ...key, enum: undefined, message: undefined, numbers: false }),
      'key',
    );
    plan.add(new FieldPlan({ ...shared, ...value, numbers }), 'value');
    return plan;
  }
}
