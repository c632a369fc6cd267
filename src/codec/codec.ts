/** Protobuf bytes to canonical proto3 JSON and back, by compiled plans. */
import type { DescField, DescMessage, FileRegistry } from '@bufbuild/protobuf';
import type { Message } from '../call.js';
import { encodeAny, type RpcStatus } from '../details.js';
import { checkMessage } from './check.js';
import { JsonpbParser } from './jsonpb.js';
import { BodyParser } from './parse_body.js';
import { LIST, MAP, type Plan } from './plan.js';
import { Plans } from './plans.js';
import { printMessage } from './print.js';
import { ProtojsonParser } from './protojson.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export interface JsonOptions {
  /** Print fields without presence although they hold their default; default false. */
  readonly emitDefaults: boolean;
  /** With emitDefaults, print null for absent fields with presence (messages) that are in no oneof; default false. */
  readonly emitNulls: boolean;
  /** Print proto field names instead of lowerCamelCase; default false. Both are always accepted. */
  readonly protoNames: boolean;
  /** Print enum values as numbers; default false. Both are always accepted. */
  readonly enumNumbers: boolean;
  /** Print 64-bit integers as strings (canonical), or as numbers where a double holds them exactly; default string. */
  readonly int64: 'string' | 'number-if-safe';
}

/**
 * Whose rules for reading JSON hold, where the proto3 JSON mapping is silent or others do not follow it.
 *
 * - `strict`: RFC 8259 and the mapping. Nesting up to 100 levels; no name twice in one object.
 * - `protojson`: of Go's google.golang.org/protobuf behind its JSON decoder, as in grpc-gateway v2. The same, but what
 *   follows the value in a body is ignored, a body of white space is the empty message, integers above 2^53 may be
 *   numbers, and 300 levels may be nested, in replies too.
 * - `jsonpb`: of Go's golang/protobuf before 1.4, as in grpc-gateway v1. Besides, what jsonpb.ts lists.
 */
export type Dialect = 'strict' | 'protojson' | 'jsonpb';

export interface CodecOptions extends JsonOptions {
  /** Refuse members of objects that are no fields, or drop them; default reject. */
  readonly unknownFields: 'reject' | 'ignore';
  /** Refuse names of enum values that nobody declared, or drop their fields, elements and entries; default reject. */
  readonly unknownEnumNames: 'reject' | 'ignore';
  /** Default strict. */
  readonly dialect: Dialect;
}

/** Names the place of an error for the client: a JSON pointer (RFC 6901) inside the value becomes for example `body /order/items/0`. */
export type Place = (pointer: string) => string;

export interface Codec {
  /** JSON text of an encoded message. Throws StatusError INTERNAL when the bytes are not such a message. */
  print(type: DescMessage, message: Message): string;
  /**
   * JSON text of one field of an encoded message. Of an absent one: `[]`, `{}`, the default of a scalar or enum,
   * and `null` for a message.
   */
  printField(type: DescMessage, field: DescField, message: Message): string;
  /**
   * Encodes a JSON value. Throws StatusError INVALID_ARGUMENT with google.rpc.BadRequest details for wrong types,
   * values out of range, unknown fields and enum values, a field given twice, nesting over 100 levels (see Dialect).
   * `place` names the place of an error; by default `body`, and `body` with the pointer.
   */
  parse(type: DescMessage, value: JsonValue, place?: Place): Message;
  /**
   * Looks encoded bytes from a client through without decoding them. Throws StatusError INVALID_ARGUMENT that names
   * `place` (default `body`) when they are no message of the type: cut short, a string that is not UTF-8, too deep.
   */
  check(type: DescMessage, message: Message, place?: string): void;
  /**
   * JSON text of google.rpc.Status: `{"code":5,"message":"...","details":[...]}`. Details of types that neither
   * the contract nor google.rpc has are shown as `{"@type":...,"value":base64}`. Never throws.
   */
  printStatus(status: RpcStatus): string;
}

export const CANONICAL: CodecOptions = {
  emitDefaults: false,
  emitNulls: false,
  protoNames: false,
  enumNumbers: false,
  int64: 'string',
  unknownFields: 'reject',
  unknownEnumNames: 'reject',
  dialect: 'strict',
};

/** A codec for the types of a contract. Plans are made at the first message of a type and kept. */
export function createCodec(types: FileRegistry, options: Partial<CodecOptions> = {}): Codec {
  const plans = new Plans(types, { ...CANONICAL, ...options });
  const parser = createParser(plans);
  const any = plans.resolve('google.protobuf.Any') as Plan;
  return {
    print: (type, message) => printMessage(plans, plans.get(type), message),
    printField: (type, field, message) => printField(plans, { type, field, message }),
    parse: (type, value, place) => parser.parse(plans.get(type), value, place),
    check: (type, bytes, place = 'body') => checkMessage(plans, plans.get(type), { bytes, place }),
    printStatus: ({ code, message, details }) => {
      const printed = details.map((detail) => printMessage(plans, any, encodeAny(detail)));
      return `{"code":${code},"message":${JSON.stringify(message)},"details":[${printed.join(',')}]}`;
    },
  };
}

function createParser(plans: Plans): BodyParser {
  switch (plans.options.dialect) {
    case 'protojson':
      return new ProtojsonParser(plans);
    case 'jsonpb':
      return new JsonpbParser(plans);
    default:
      return new BodyParser(plans);
  }
}

interface FieldOf {
  readonly type: DescMessage;
  readonly field: DescField;
  readonly message: Message;
}

function printField(plans: Plans, { type, field, message }: FieldOf): string {
  const single = plans.single(field);
  const text = printMessage(plans, single, message, type.typeName);
  const plan = single.byName.get(field.name);
  if (plan === undefined) return 'null';
  // Another member of its oneof may be there in its place.
  if (text.startsWith(plan.head, 1)) return text.slice(1 + plan.head.length, -1);
  if (plan.shape === LIST) return '[]';
  if (plan.shape === MAP) return '{}';
  return plan.zero === '' ? 'null' : plan.zero;
}
