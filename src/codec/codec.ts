/** Protobuf bytes to canonical proto3 JSON and back, by compiled plans. */
import type { DescField, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import type { Message } from '../call.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export interface JsonOptions {
  /** Print fields without presence although they hold their default; default false. */
  readonly emitDefaults: boolean;
  /** Print proto field names instead of lowerCamelCase; default false. Both are always accepted. */
  readonly protoNames: boolean;
  /** Print enum values as numbers; default false. Both are always accepted. */
  readonly enumNumbers: boolean;
  /** Print 64-bit integers as strings (canonical), or as numbers where a double holds them exactly; default string. */
  readonly int64: 'string' | 'number-if-safe';
}

/** Names the place of an error for the client: a JSON pointer (RFC 6901) inside the value becomes for example `body /order/items/0`. */
export type Place = (pointer: string) => string;

export interface Codec {
  /** JSON text of an encoded message. Throws StatusError INTERNAL when the bytes are not such a message. */
  print(type: DescMessage, message: Message): string;
  /** JSON text of one field of an encoded message, its default if absent. */
  printField(type: DescMessage, field: DescField, message: Message): string;
  /**
   * Encodes a JSON value. Throws StatusError INVALID_ARGUMENT with google.rpc.BadRequest details for wrong types,
   * values out of range, unknown fields and enum values, a field given twice, nesting over 100 levels.
   */
  parse(type: DescMessage, value: JsonValue, place?: Place): Message;
}

export declare function createCodec(types: FileRegistry, options?: Partial<JsonOptions>): Codec;
