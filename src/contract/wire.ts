/** Encoded protobuf read and written field by field, for the few messages whose types we know without a contract. */
import type { UnknownField } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** One field as it is on the wire: its number, wire type, and value with the length prefix, if it has one. */
export type WireField = UnknownField;

/** Splits an encoded message into its fields, in order. Throws when the bytes are not a message. */
export function readFields(message: Uint8Array): WireField[] {
  const reader = new BinaryReader(message);
  const fields: WireField[] = [];
  while (reader.pos < reader.len) {
    const [no, wireType] = reader.tag();
    fields.push({ no, wireType, data: reader.skip(wireType, no) });
  }
  return fields;
}

/** The bytes of a length-delimited field; undefined when it has another wire type. */
export function bytesOf(field: WireField): Uint8Array | undefined {
  if (field.wireType !== WireType.LengthDelimited) return undefined;
  return new BinaryReader(field.data).bytes();
}

/** The fields of a message that is itself a field. Throws when it is none. */
export function partsOf(field: WireField): WireField[] {
  const bytes = bytesOf(field);
  if (bytes === undefined) throw new TypeError(`field ${field.no} is not a message`);
  return readFields(bytes);
}

/** The string of a length-delimited field; undefined when it has another wire type. Throws on malformed UTF-8. */
export function textOf(field: WireField): string | undefined {
  if (field.wireType !== WireType.LengthDelimited) return undefined;
  return new BinaryReader(field.data).string(true);
}

/** The number of a varint field, as int64; undefined when it has another wire type. */
export function numberOf(field: WireField): number | undefined {
  if (field.wireType !== WireType.Varint) return undefined;
  return Number(new BinaryReader(field.data).int64());
}
