/** Any JSON value as it travels: an encoded google.protobuf.Value that is checked, and never taken apart. */
import { BinaryReader, type WireType } from '@bufbuild/protobuf/wire';

/**
 * Of arrays and objects. Implementations of protobuf read 100 messages inside each other, and a level of JSON takes three: whatever is
 * published can be read by every subscriber.
 */
const MOST_LEVELS = 32;

/** google.protobuf.Value: one of these, by field number, with the tag that it has on the wire. */
const TAGS = { null: 8, number: 17, string: 26, bool: 32, struct: 42, list: 50 } as const;
/** google.protobuf.Struct.fields and google.protobuf.ListValue.values, both repeated messages of field 1. */
const ELEMENT = 10;
/** The map entry of Struct.fields. */
const ENTRY = { key: 10, value: 18 } as const;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** What is wrong with an encoded value, if anything: what a subscriber could not print as JSON would end its stream. */
export function faultOf(value: Uint8Array): string | undefined {
  try {
    return faultOfValue(value, 0);
  } catch {
    return 'is no google.protobuf.Value';
  }
}

function faultOfValue(bytes: Uint8Array, level: number): string | undefined {
  if (level > MOST_LEVELS) return `must have at most ${MOST_LEVELS} levels`;
  const reader = readerOf(bytes);
  const tag = tagOf(reader);
  const fault = faultOfKind(reader, tag, level);
  if (fault !== undefined) return fault;
  return reader.pos === reader.len ? undefined : 'must be one JSON value';
}

function faultOfKind(reader: BinaryReader, tag: number | undefined, level: number): string | undefined {
  switch (tag) {
    case TAGS.null:
      return reader.int32() === 0 ? undefined : 'has a null that is not 0';
    case TAGS.number:
      return Number.isFinite(reader.double()) ? undefined : 'has a number that JSON does not know';
    case TAGS.string:
      reader.string();
      return undefined;
    case TAGS.bool:
      reader.bool();
      return undefined;
    case TAGS.struct:
      return faultOfElements(reader.bytes(), (entry) => faultOfEntry(entry, level + 1));
    case TAGS.list:
      return faultOfElements(reader.bytes(), (value) => faultOfValue(value, level + 1));
    default:
      return 'must be one JSON value';
  }
}

function faultOfElements(
  bytes: Uint8Array,
  faultOfElement: (element: Uint8Array) => string | undefined,
): string | undefined {
  const reader = readerOf(bytes);
  while (reader.pos < reader.len) {
    if (tagOf(reader) !== ELEMENT) return 'is no google.protobuf.Value';
    const fault = faultOfElement(reader.bytes());
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** An empty key may be left out, and a value that is left out is none. */
function faultOfEntry(bytes: Uint8Array, level: number): string | undefined {
  const reader = readerOf(bytes);
  let value: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    const tag = tagOf(reader);
    if (tag === ENTRY.key) reader.string();
    else if (tag === ENTRY.value && value === undefined) value = reader.bytes();
    else return 'is no google.protobuf.Value';
  }
  return value === undefined ? 'must be one JSON value' : faultOfValue(value, level);
}

const readerOf = (bytes: Uint8Array) => new BinaryReader(bytes, (text) => utf8.decode(text));

/** As it is on the wire: number << 3 | wire type. Undefined at the end. */
function tagOf(reader: BinaryReader): number | undefined {
  if (reader.pos >= reader.len) return undefined;
  const [number, wireType]: [number, WireType] = reader.tag();
  return (number << 3) | wireType;
}
