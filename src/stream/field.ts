/** One field of encoded messages: read, set and removed without decoding the rest, for cursors, resuming and conflation. */
import { isUtf8 } from 'node:buffer';
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { GROUP, MESSAGE, wireTypeOf } from '../codec/plan.js';
import { Reader } from '../codec/reader.js';
import { int64Text, SCALAR_NAMES, uint64Text } from '../codec/scalars.js';
import { Writer } from '../codec/writer.js';
import { type DescLeaf, type FieldPath, findField } from '../contract/field_path.js';

/** Values beyond this are not read, unless asked for: they have to fit into a cursor, and that into a header. */
const LONGEST = 1024;

/**
 * Values are bytes, equal exactly if the fields' values are: of strings and bytes their content; integers and enums in decimal digits,
 * the same for every integer type; `true` and `false`; of floating point numbers their shortest text.
 */
export interface FieldAccess {
  /**
   * The value as every decoder would see it: the last one, of all pieces of a message on the way to it. Undefined when the field is not
   * set, which includes a zero or empty value of a field without presence; when it is longer than the limit or, for a string, not
   * UTF-8; and for bytes that are no message. A copy. Never throws.
   */
  read(message: Uint8Array): Uint8Array | undefined;
  /**
   * The message with the field set to the value, which is written even if it is zero. Adds to the end and copies the rest as it is.
   * Throws an Error when the value does not fit the field's type.
   */
  write(message: Uint8Array, value: Uint8Array): Uint8Array;
  /**
   * The message without the field; itself when it has none, or is no message. The messages on the way to the field stay, even if
   * nothing is left in them. Never throws.
   */
  clear(message: Uint8Array): Uint8Array;
}

/**
 * Access to the field that a path of proto names leads to. `limit`: the longest value that is read, in bytes; default 1024. Throws an Error
 * when the path leads to no single value.
 */
export function createFieldAccess(desc: DescMessage, path: string, limit = LONGEST): FieldAccess {
  const found = findField(desc, path);
  if (typeof found === 'string') throw new Error(`${path}: ${found}`);
  const steps = [...found.through, found.leaf].map(stepOf);
  return {
    read(message) {
      const scan = new Scan(message, steps);
      if (!scan.find() || scan.start < 0) return undefined;
      return settledValue(found.leaf, scan, limit);
    },
    write: (message, value) => Buffer.concat([message, encode(found, path, value)]),
    clear(message) {
      const scan = new Scan(message, steps);
      return scan.find() && scan.last >= 0 ? scan.without() : message;
    },
  };
}

/** One field of the path. */
interface Step {
  readonly tag: number;
  /** Tags of the other members of its oneof: one of them after it unsets it. */
  readonly rivals: ReadonlySet<number>;
}

function stepOf(field: DescField): Step {
  const rivals = field.oneof?.fields.filter((other) => other !== field) ?? [];
  return { tag: tagOf(field), rivals: new Set(rivals.map(tagOf)) };
}

/** Of a field that is no list and no map. */
export function tagOf(field: DescField): number {
  const message = field.fieldKind === 'message' && (field.delimitedEncoding ? GROUP : MESSAGE);
  return ((field.number << 3) | wireTypeOf(message || (field.scalar ?? ScalarType.INT32))) >>> 0;
}

/** Thrown and caught in this file. It has no stack to collect. */
const MALFORMED = { problem: 'not a message' } as const;

/** Scratch space of `without`, which awaits nothing. */
const writer = new Writer();

/** One message on its way through a field's path. */
class Scan extends Reader {
  /** Where the value in force begins and stops, behind its tag and length; `start` is -1 without one. */
  start = -1;
  stopped = -1;
  /** Where the tag of the last value stands, in force or not; -1 without one. */
  last = -1;

  constructor(
    message: Uint8Array,
    private readonly steps: readonly Step[],
  ) {
    super(message);
  }

  override fail(): never {
    throw MALFORMED;
  }

  /** Sets where the value is. False when the bytes are no message. */
  find(): boolean {
    try {
      this.findIn(0, this.buf.length);
      return true;
    } catch (thrown) {
      if (thrown !== MALFORMED) throw thrown;
      return false;
    }
  }

  private findIn(level: number, end: number): void {
    const step = this.steps[level] as Step;
    const isLeaf = level === this.steps.length - 1;
    while (this.pos < end) {
      const at = this.pos;
      const tag = this.tag();
      if (tag !== step.tag) {
        this.skip(tag, end);
        if (step.rivals.has(tag)) this.start = -1;
      } else if (isLeaf) {
        this.last = at;
        this.start = this.pos;
        this.skip(tag, end);
        this.stopped = this.pos;
      } else {
        this.findIn(level + 1, this.stop(end));
      }
    }
  }

  /** The message without any value of the field. After `find`. */
  without(): Uint8Array {
    writer.reset();
    this.pos = 0;
    this.copyWithout(0, this.buf.length);
    return writer.finish();
  }

  private copyWithout(level: number, end: number): void {
    const step = this.steps[level] as Step;
    const isLeaf = level === this.steps.length - 1;
    while (this.pos < end) {
      const at = this.pos;
      const tag = this.tag();
      if (tag === step.tag && !isLeaf) {
        const stop = this.stop(end);
        writer.uint32(tag);
        const open = writer.open();
        this.copyWithout(level + 1, stop);
        writer.close(open);
        continue;
      }
      this.skip(tag, end);
      // What the field has unset stays unset without it.
      const gone = isLeaf && (tag === step.tag || (at < this.last && step.rivals.has(tag)));
      if (!gone) writer.raw(this.buf.subarray(at, this.pos));
    }
  }
}

/** The value that a scan has found, as bytes that compare; undefined when it counts as none. */
function settledValue(leaf: DescLeaf, scan: Scan, limit: number): Uint8Array | undefined {
  const { stopped } = scan;
  scan.pos = scan.start;
  const kind = leaf.scalar ?? ScalarType.INT32;
  const zeroIsUnset = leaf.presence === IMPLICIT;
  if (kind === ScalarType.STRING || kind === ScalarType.BYTES) {
    scan.stop(stopped);
    const content = scan.buf.subarray(scan.pos, stopped);
    if (content.length > limit || (zeroIsUnset && content.length === 0)) return undefined;
    if (kind === ScalarType.STRING && !isUtf8(content)) return undefined;
    return Buffer.from(content);
  }
  const text = textOf(kind, scan, stopped);
  if (text.length > limit || (zeroIsUnset && (text === '0' || text === 'false'))) return undefined;
  return Buffer.from(text, 'latin1');
}

/** google.protobuf.FeatureSet.FieldPresence. */
const IMPLICIT = 2;

/** The value of a field that is no string and no bytes, as FieldAccess has it; the reader stands at it. */
export function textOf(kind: ScalarType, scan: Reader, end: number): string {
  switch (kind) {
    case ScalarType.DOUBLE:
      return floatingText(scan.double(end));
    case ScalarType.FLOAT:
      return floatingText(scan.float(end));
    case ScalarType.INT32:
      return String(scan.uint32() | 0);
    case ScalarType.UINT32:
      return String(scan.uint32());
    case ScalarType.SINT32: {
      const zigzag = scan.uint32();
      return String((zigzag >>> 1) ^ -(zigzag & 1));
    }
    case ScalarType.FIXED32:
      return String(scan.fixed32(end));
    case ScalarType.SFIXED32:
      return String(scan.fixed32(end) | 0);
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      scan.fixed64(end);
      break;
    default:
      scan.varint64();
  }
  const { lo, hi } = scan;
  if (kind === ScalarType.BOOL) return String((lo | hi) !== 0);
  if (kind === ScalarType.UINT64 || kind === ScalarType.FIXED64) return uint64Text(lo, hi);
  if (kind !== ScalarType.SINT64) return int64Text(lo, hi);
  const sign = -(lo & 1);
  return int64Text((((lo >>> 1) | (hi << 31)) ^ sign) >>> 0, ((hi >>> 1) ^ sign) >>> 0);
}

const floatingText = (value: number) => (Object.is(value, -0) ? '-0' : String(value));

/** A message of nothing but the field with its value, to be merged into another. */
function encode({ through, leaf }: FieldPath, path: string, value: Uint8Array): Uint8Array {
  const kind = leaf.scalar ?? ScalarType.INT32;
  let encoded = new BinaryWriter().tag(leaf.number, wireTypeOf(kind));
  if (!putValue(encoded, kind, value)) {
    throw new Error(`${path}: the value is not ${leaf.enum ? 'the number of an enum' : nameOf(kind)}`);
  }
  for (const outer of through.toReversed()) {
    encoded = new BinaryWriter().tag(outer.number, WireType.LengthDelimited).bytes(encoded.finish());
  }
  return encoded.finish();
}

function nameOf(kind: ScalarType): string {
  if (kind === ScalarType.BYTES) return 'bytes';
  return kind === ScalarType.STRING ? 'valid UTF-8' : (SCALAR_NAMES[kind] ?? '');
}

/** Writes nothing and answers false when the value does not fit. */
function putValue(to: BinaryWriter, kind: ScalarType, value: Uint8Array): boolean {
  if (kind === ScalarType.BYTES || kind === ScalarType.STRING) {
    if (kind === ScalarType.STRING && !isUtf8(value)) return false;
    to.bytes(value);
    return true;
  }
  const text = Buffer.from(value).toString('latin1');
  if (kind === ScalarType.BOOL) {
    if (text !== 'true' && text !== 'false') return false;
    to.bool(text === 'true');
    return true;
  }
  return kind === ScalarType.DOUBLE || kind === ScalarType.FLOAT
    ? putFloating(to, kind, text)
    : putInteger(to, kind, text);
}

function putFloating(to: BinaryWriter, kind: ScalarType, text: string): boolean {
  const number = Number(text);
  if (floatingText(number) !== text) return false;
  if (kind === ScalarType.DOUBLE) to.double(number);
  else if (Math.fround(number) === number || Number.isNaN(number)) to.float(number);
  else return false;
  return true;
}

const DECIMAL = /^(?:0|-?[1-9]\d{0,19})$/;

function putInteger(to: BinaryWriter, kind: ScalarType, text: string): boolean {
  if (!DECIMAL.test(text)) return false;
  const number = BigInt(text);
  const { bits, signed, put } = INTEGERS[kind] ?? INT32;
  if (number !== (signed ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number))) return false;
  put(to, number);
  return true;
}

interface IntegerType {
  readonly bits: 32 | 64;
  readonly signed: boolean;
  readonly put: (to: BinaryWriter, value: bigint) => void;
}

/** Also of enums. */
const INT32: IntegerType = { bits: 32, signed: true, put: (to, value) => to.int32(Number(value)) };
const INTEGERS: Readonly<Partial<Record<ScalarType, IntegerType>>> = {
  [ScalarType.UINT32]: { bits: 32, signed: false, put: (to, value) => to.uint32(Number(value)) },
  [ScalarType.SINT32]: { bits: 32, signed: true, put: (to, value) => to.sint32(Number(value)) },
  [ScalarType.FIXED32]: { bits: 32, signed: false, put: (to, value) => to.fixed32(Number(value)) },
  [ScalarType.SFIXED32]: { bits: 32, signed: true, put: (to, value) => to.sfixed32(Number(value)) },
  [ScalarType.INT64]: { bits: 64, signed: true, put: (to, value) => to.int64(value) },
  [ScalarType.UINT64]: { bits: 64, signed: false, put: (to, value) => to.uint64(value) },
  [ScalarType.SINT64]: { bits: 64, signed: true, put: (to, value) => to.sint64(value) },
  [ScalarType.FIXED64]: { bits: 64, signed: false, put: (to, value) => to.fixed64(value) },
  [ScalarType.SFIXED64]: { bits: 64, signed: true, put: (to, value) => to.sfixed64(value) },
};
