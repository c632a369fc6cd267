/** What the codec knows of a message type before any message arrives: one table by wire tag, one by JSON name. */
import type { DescEnum, DescMessage } from '@bufbuild/protobuf';
import { zeroText } from './scalars.js';

/** Message nesting beyond this is refused both ways; protobuf's own parsers stop at the same depth. */
export const MAX_DEPTH = 100;

/**
 * The same for the dialects of Go, whose parsers stop at 10,000. Ours are recursive, on a stack that Go's would grow: of
 * what nests, a Struct in a Struct takes most of it when it is printed, 1.6 KB a level, so that the 984 KB of Node end
 * after some 600. Whoever calls us has used part of that.
 */
export const MAX_DEPTH_OF_GO = 300;

/** How often a field occurs. */
export const SINGULAR = 0;
export const LIST = 1;
export const MAP = 2;

/** Field types by the numbers of google.protobuf.FieldDescriptorProto.Type; scalars have their ScalarType. */
export const GROUP = 10;
export const MESSAGE = 11;
export const ENUM = 14;

/** The message types that have a JSON form of their own. */
export const Special = {
  NONE: 0,
  ANY: 1,
  TIMESTAMP: 2,
  DURATION: 3,
  FIELD_MASK: 4,
  STRUCT: 5,
  VALUE: 6,
  LIST_VALUE: 7,
  WRAPPER: 8,
} as const;

const SPECIALS: ReadonlyMap<string, number> = new Map([
  ['google.protobuf.Any', Special.ANY],
  ['google.protobuf.Timestamp', Special.TIMESTAMP],
  ['google.protobuf.Duration', Special.DURATION],
  ['google.protobuf.FieldMask', Special.FIELD_MASK],
  ['google.protobuf.Struct', Special.STRUCT],
  ['google.protobuf.Value', Special.VALUE],
  ['google.protobuf.ListValue', Special.LIST_VALUE],
  ...['Double', 'Float', 'Int64', 'UInt64', 'Int32', 'UInt32', 'Bool', 'String', 'Bytes'].map(
    (scalar): [string, number] => [`google.protobuf.${scalar}Value`, Special.WRAPPER],
  ),
]);

/** Which JSON form of its own a message type has: one of Special. */
export function specialOf(typeName: string): number {
  return SPECIALS.get(typeName) ?? Special.NONE;
}

/** The wire type of one unpacked value of a kind. */
export function wireTypeOf(kind: number): number {
  if (kind === 1 || kind === 6 || kind === 16) return 1; // double, fixed64, sfixed64
  if (kind === 2 || kind === 7 || kind === 15) return 5; // float, fixed32, sfixed32
  if (kind === 9 || kind === 12 || kind === MESSAGE) return 2; // string, bytes
  return kind === GROUP ? 3 : 0;
}

export class EnumPlan {
  /** JSON text by number; of several names of one number the first. */
  readonly texts = new Map<number, string>();
  /** Number by name, aliases included. */
  readonly numbers = new Map<string, number>();
  readonly open: boolean;
  readonly typeName: string;
  /** google.protobuf.NullValue, whose one value is JSON null. */
  readonly isNull: boolean;
  /** JSON text of the default. */
  readonly zero: string;

  constructor(desc: DescEnum, asNumbers: boolean) {
    this.typeName = desc.typeName;
    this.open = desc.open;
    this.isNull = desc.typeName === 'google.protobuf.NullValue';
    for (const value of desc.values) {
      this.numbers.set(value.name, value.number).set(value.jsonName, value.number);
      if (this.texts.has(value.number)) continue;
      const text = this.isNull ? 'null' : asNumbers ? String(value.number) : JSON.stringify(value.jsonName);
      this.texts.set(value.number, text);
    }
    this.zero = this.texts.get(desc.values[0]?.number ?? 0) ?? '0';
  }
}

export interface FieldSpec {
  /** Proto name; of an extension `[pkg.name]`. */
  readonly name: string;
  /** The name to print. */
  readonly shown: string;
  readonly number: number;
  readonly shape: number;
  /** The type number; of a list its elements', of a map its values'. */
  readonly kind: number;
  readonly enum: EnumPlan | undefined;
  readonly message: DescMessage | undefined;
  readonly packed: boolean;
  readonly strictUtf8: boolean;
  readonly implicit: boolean;
  /** An absent value prints as null, where defaults are printed. */
  readonly nulled: boolean;
  readonly required: boolean;
  /** A map's entry: fields 1 (key) and 2 (value). */
  readonly entry: Plan | undefined;
  /** 64-bit integers print as numbers where a double holds them. */
  readonly numbers: boolean;
}

/** One field; of a list or map field, `kind`, `enum` and `message` are those of its elements. */
export class FieldPlan {
  readonly name: string;
  readonly number: number;
  readonly shape: number;
  readonly kind: number;
  readonly enum: EnumPlan | undefined;
  readonly message: DescMessage | undefined;
  readonly entry: Plan | undefined;
  /** The plan of `message`, linked at first use because types refer to each other in circles. */
  sub: Plan | undefined = undefined;
  /** The tag that an encoder writes. */
  readonly tag: number;
  readonly packed: boolean;
  /** A list whose elements may share one length-delimited value. */
  readonly packable: boolean;
  /** `"name":`, and the same after a comma. */
  readonly head: string;
  readonly comma: string;
  /** Without presence: the default is neither printed nor encoded. */
  readonly implicit: boolean;
  readonly required: boolean;
  /** JSON text of the default; of a message, empty. */
  readonly zero: string;
  /** What emitDefaults prints for an absent field; empty for nothing. */
  readonly absent: string;
  /** JSON null is a value of the field's type: google.protobuf.Value and NullValue. */
  readonly nullable: boolean;
  readonly strictUtf8: boolean;
  readonly numbers: boolean;
  /** Slot among the fields seen in one message, and that of its oneof (-1: none). */
  slot = 0;
  oneofSlot = -1;
  oneofName = '';

  constructor(spec: FieldSpec) {
    this.name = spec.name;
    this.number = spec.number;
    this.shape = spec.shape;
    this.kind = spec.kind;
    this.enum = spec.enum;
    this.message = spec.message;
    this.entry = spec.entry;
    this.packed = spec.packed;
    this.strictUtf8 = spec.strictUtf8;
    this.implicit = spec.implicit;
    this.required = spec.required;
    this.numbers = spec.numbers;
    const single = wireTypeOf(spec.kind);
    this.packable = spec.shape === LIST && single !== 2 && single !== 3;
    const wire = spec.shape === MAP || spec.packed ? 2 : single;
    this.tag = ((spec.number << 3) | wire) >>> 0;
    this.head = `${JSON.stringify(spec.shown)}:`;
    this.comma = `,${this.head}`;
    this.zero = spec.enum ? spec.enum.zero : zeroText(spec.kind, spec.numbers);
    this.absent = ['', '[]', '{}'][spec.shape] || (spec.implicit ? this.zero : spec.nulled ? 'null' : '');
    this.nullable = spec.enum?.isNull || spec.message?.typeName === 'google.protobuf.Value';
  }
}

/** Wire tags below this are looked up in an array (fields 1 to 127), larger ones in a map. */
const DIRECT_TAGS = 1024;

export class Plan {
  readonly fields: FieldPlan[] = [];
  /** By wire tag, every tag under which a field may arrive: lists of numbers packed or not. */
  readonly direct: (FieldPlan | undefined)[] = [];
  readonly sparse = new Map<number, FieldPlan>();
  /** By JSON name and by proto name. */
  readonly byName = new Map<string, FieldPlan>();
  required: readonly FieldPlan[] = [];
  /** How many slots all fields and oneofs take. */
  slots = 0;
  readonly typeName: string;
  readonly special: number;

  constructor(typeName: string) {
    this.typeName = typeName;
    this.special = specialOf(typeName);
  }

  lookUp(tag: number): FieldPlan | undefined {
    return tag < this.direct.length ? this.direct[tag] : this.sparse.get(tag);
  }

  add(field: FieldPlan, jsonName: string): void {
    field.slot = this.slots++;
    this.fields.push(field);
    this.byName.set(field.name, field).set(jsonName, field);
    this.setTag(field.tag, field);
    if (field.required) this.required = [...this.required, field];
    if (field.shape !== LIST) return;
    const wire = wireTypeOf(field.kind);
    this.setTag(((field.number << 3) | wire) >>> 0, field);
    if (field.packable) this.setTag(((field.number << 3) | 2) >>> 0, field);
  }

  /** At most one of these fields holds a value. */
  addOneof(name: string, members: readonly FieldPlan[]): void {
    const slot = this.slots++;
    for (const field of members) {
      field.oneofSlot = slot;
      field.oneofName = name;
    }
  }

  private setTag(tag: number, field: FieldPlan): void {
    if (tag >= DIRECT_TAGS) {
      this.sparse.set(tag, field);
      return;
    }
    while (this.direct.length <= tag) this.direct.push(undefined);
    this.direct[tag] = field;
  }
}
