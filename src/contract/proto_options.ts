/** Options as a .proto file writes them, encoded as protoc encodes them: custom ones become unknown fields. */
import {
  create,
  type DescMessage,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
} from '@bufbuild/protobuf';
import type { GenMessage } from '@bufbuild/protobuf/codegenv2';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type protobuf from 'protobufjs';
import { fullName, isEnum, isGroup, isMapField, isType, type ProtoNames } from './proto_names.js';
import { readFields } from './wire.js';

/** Option statements in order: `[{ '(google.api.http)': { get: '/v1' } }, { deprecated: true }]`. */
export type Statements = readonly Readonly<Record<string, unknown>>[];

export interface OptionContext {
  readonly names: ProtoNames;
  /** The message or enum that this file means by a name; undefined, and reported by the rule, when there is none. */
  readonly type: (name: string, rule: string) => protobuf.Type | protobuf.Enum | undefined;
  /** The same for the name of an option. */
  readonly extension: (name: string) => protobuf.Field | undefined;
  /** Told what is wrong; `rule` is the option. */
  readonly report: (problem: string, rule: string) => void;
}

/** Written among the options of a field, but not options: they have fields of their own in the descriptor. */
const NOT_OPTIONS = new Set(['default', 'json_name']);

/** The options message, or undefined when nothing is set. */
export function encodeOptions<T extends Message>(
  schema: GenMessage<T>,
  statements: Statements | null | undefined,
  context: OptionContext,
): T | undefined {
  const standard: JsonObject = {};
  const custom = new Map<protobuf.Field, unknown[]>();
  for (const [name, value] of (statements ?? []).flatMap((statement) => Object.entries(statement))) {
    if (name.startsWith('(')) {
      const extension = context.extension(name.slice(1, -1));
      if (extension) custom.set(extension, [...(custom.get(extension) ?? []), ...listOf(value)]);
    } else if (!NOT_OPTIONS.has(name)) {
      addStandard(schema, standard, name, value, context);
    }
  }
  if (Object.keys(standard).length === 0 && custom.size === 0) return undefined;

  const options = standardOptions(schema, standard, context);
  const unknown = [...custom]
    .sort(([a], [b]) => a.id - b.id)
    .flatMap(([extension, values]) => {
      const writer = new BinaryWriter();
      let failed = false;
      const report = (problem: string) => {
        failed = true;
        context.report(problem, `option (${fullName(extension)})`);
      };
      new OptionWriter(context.names, report).field(writer, extension, values);
      return failed ? [] : readFields(writer.finish());
    });
  if (unknown.length > 0) options.$unknown = unknown;
  return options;
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

function addStandard(
  schema: DescMessage,
  standard: JsonObject,
  name: string,
  value: unknown,
  { report }: OptionContext,
): void {
  const field = schema.fields.find((known) => known.name === name);
  if (!field) report(`no such option in ${schema.typeName}`, `option ${name}`);
  else if (field.fieldKind === 'list') {
    standard[name] = [
      ...((standard[name] as JsonValue[] | undefined) ?? []),
      ...(listOf(value) as JsonValue[]),
    ];
  } else {
    // Of messages, `features`, each statement sets a part.
    if (standard[name] !== undefined && field.fieldKind !== 'message')
      report('the option is set a second time', `option ${name}`);
    standard[name] = withoutExtensions(value) as JsonValue;
  }
}

/** Language features such as `features.(pb.go)` matter to code generators alone. */
function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('(')));
}

function standardOptions<T extends Message>(
  schema: GenMessage<T>,
  standard: JsonObject,
  context: OptionContext,
): T {
  for (const [name, value] of Object.entries(standard)) {
    try {
      fromJson(schema, { [name]: value });
    } catch {
      context.report(`${JSON.stringify(value)} is not a value of this option`, `option ${name}`);
      return create(schema) as T;
    }
  }
  return fromJson(schema, standard) as T;
}

/** Writes values that the text of an option gave, by the types that the contract declares. */
class OptionWriter {
  constructor(
    readonly names: ProtoNames,
    readonly report: (problem: string) => void,
  ) {}

  /** All values of one field: one for a singular field. */
  field(writer: BinaryWriter, field: protobuf.Field, values: readonly unknown[]): void {
    const type = this.names.type(field.parent, field.type);
    if (isMapField(field)) {
      for (const entry of values) this.#mapEntry(writer, field, entry);
    } else if (field.repeated && field.packed && isPackable(field.type, type)) {
      writer.tag(field.id, WireType.LengthDelimited).fork();
      for (const value of values) this.#scalar(writer, field, value);
      writer.join();
    } else {
      for (const value of values) this.#single(writer, field, value);
    }
  }

  #single(writer: BinaryWriter, field: protobuf.Field, value: unknown): void {
    const type = this.names.type(field.parent, field.type);
    if (!type || isEnum(type)) {
      writer.tag(field.id, type ? WireType.Varint : wireType(field.type));
      this.#scalar(writer, field, value);
    } else if (isGroup(type) || field.delimited) {
      writer.tag(field.id, WireType.StartGroup);
      this.#message(writer, type, value);
      writer.tag(field.id, WireType.EndGroup);
    } else {
      writer.tag(field.id, WireType.LengthDelimited).fork();
      this.#message(writer, type, value);
      writer.join();
    }
  }

  #message(writer: BinaryWriter, type: protobuf.Type, value: unknown): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.report(`${JSON.stringify(value)} is not a message of type ${fullName(type)}`);
      return;
    }
    const set: [protobuf.Field, readonly unknown[]][] = [];
    for (const [name, given] of Object.entries(value)) {
      const field = Object.hasOwn(type.fields, name) ? type.fields[name] : undefined;
      if (!field) this.report(`${fullName(type)} has no field ${name}`);
      else if (field.repeated || field.hasPresence || isMapField(field) || !isDefault(given)) {
        set.push([field, listOf(given)]);
      }
    }
    for (const [field, values] of set.sort(([a], [b]) => a.id - b.id)) this.field(writer, field, values);
  }

  #mapEntry(writer: BinaryWriter, field: protobuf.MapField, entry: unknown): void {
    const { key, value } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<
      string,
      unknown
    >;
    const valueType = this.names.type(field.parent, field.type);
    writer.tag(field.id, WireType.LengthDelimited).fork();
    writer.tag(1, wireType(field.keyType));
    this.#scalar(writer, { type: field.keyType, parent: null }, key);
    if (valueType && isType(valueType)) {
      writer.tag(2, WireType.LengthDelimited).fork();
      this.#message(writer, valueType, value);
      writer.join();
    } else {
      writer.tag(2, valueType ? WireType.Varint : wireType(field.type));
      this.#scalar(writer, field, value);
    }
    writer.join();
  }

  #scalar(writer: BinaryWriter, field: Pick<protobuf.Field, 'type' | 'parent'>, value: unknown): void {
    const type = this.names.type(field.parent, field.type);
    if (type && isEnum(type)) {
      const number =
        typeof value === 'string' && Object.hasOwn(type.values, value) ? type.values[value] : value;
      // What protobufjs takes for a number may be none that an enum can have: 1.5, 2^40, and `.` is NaN.
      if (typeof number === 'number' && integerOf('int32', number) !== undefined) writer.int32(number);
      else this.report(`${JSON.stringify(value)} is not a value of ${fullName(type)}`);
    } else if (!type && !writeScalar(writer, field.type, value)) {
      this.report(`${JSON.stringify(value)} is not of type ${field.type}`);
    }
  }
}

const isDefault = (value: unknown) => value === 0 || value === false || value === '';

function isPackable(name: string, type: protobuf.Type | protobuf.Enum | undefined): boolean {
  return type ? isEnum(type) : name !== 'string' && name !== 'bytes';
}

function wireType(scalar: string): WireType {
  if (scalar === 'string' || scalar === 'bytes') return WireType.LengthDelimited;
  if (scalar === 'double' || scalar === 'fixed64' || scalar === 'sfixed64') return WireType.Bit64;
  if (scalar === 'float' || scalar === 'fixed32' || scalar === 'sfixed32') return WireType.Bit32;
  return WireType.Varint;
}

/** False when the value is not one of the scalar's type. */
function writeScalar(writer: BinaryWriter, scalar: string, value: unknown): boolean {
  if (scalar === 'bool') return typeof value === 'boolean' && writer.bool(value) !== undefined;
  if (scalar === 'string') return typeof value === 'string' && writer.string(value) !== undefined;
  if (scalar === 'bytes') return typeof value === 'string' && writer.bytes(Buffer.from(value)) !== undefined;
  if (typeof value !== 'number') return false;
  if (scalar === 'double' || scalar === 'float') return writer[scalar](value) !== undefined;
  const integer = integerOf(scalar, value);
  if (integer === undefined) return false;
  if (scalar.endsWith('64')) writer[scalar as 'int64'](integer);
  else writer[scalar as 'int32'](Number(integer));
  return true;
}

/**
 * A number of the text as an integer of the scalar's type; undefined when it does not fit. protobufjs reads numbers as
 * doubles: the largest 64-bit integers come out just above their range, and are taken back into it.
 */
export function integerOf(scalar: string, value: number): bigint | undefined {
  if (!Number.isInteger(value)) return undefined;
  const bits = scalar.endsWith('64') ? 64 : 32;
  const signed = !scalar.startsWith('u') && !scalar.startsWith('fixed');
  const max = signed ? 2n ** BigInt(bits - 1) - 1n : 2n ** BigInt(bits) - 1n;
  const integer = BigInt(value);
  if (bits === 64 && integer === max + 1n) return max;
  return integer > max || integer < (signed ? -max - 1n : 0n) ? undefined : integer;
}
