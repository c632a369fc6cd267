/** Rewrites an encoded message so that each field's values stand together and none is overridden by a later one. */
import { StatusError } from '../status.js';
import { type FieldPlan, GROUP, LIST, MAP, MAX_DEPTH, MESSAGE, type Plan, Special } from './plan.js';
import type { Plans } from './plans.js';
import { Printer } from './print.js';
import { Writer } from './writer.js';

/** A value as it stood in the bytes: its tag, and what follows without length or end of group. */
interface Piece {
  readonly tag: number;
  readonly bytes: Buffer;
}

/** What printing counts as one level is up to four messages here: Value, Struct, its entry, ListValue. */
const MAX_MESSAGES = 4 * MAX_DEPTH;

/**
 * The same message as every protobuf decoder merges it: the last of several scalars, messages merged, lists
 * joined, the last member of a oneof, one map entry per key, no unknown fields. Throws as printing does.
 */
export function normalize(plans: Plans, plan: Plan, bytes: Uint8Array, typeName: string): Buffer {
  return new Normalizer(plans, typeName).message(plan, bytes);
}

class Normalizer {
  private depth = 0;

  constructor(
    private readonly plans: Plans,
    private readonly typeName: string,
  ) {}

  message(plan: Plan, bytes: Uint8Array): Buffer {
    const reader = new Printer(this.plans, bytes, this.typeName);
    if (++this.depth > MAX_MESSAGES) reader.fail(`it is nested over ${MAX_DEPTH} levels`);
    const found = collect(reader, plan);
    const writer = new Writer();
    for (const field of plan.fields) {
      const pieces = found[field.slot];
      if (pieces) for (const piece of this.settle(field, pieces)) writePiece(writer, piece);
    }
    this.depth--;
    return plan.special === Special.ANY ? this.any(plan, found) : writer.finish();
  }

  /** The pieces that count, each in order itself. */
  private settle(field: FieldPlan, pieces: readonly Piece[]): readonly Piece[] {
    if (field.shape === MAP) return this.entries(field.entry as Plan, pieces);
    const isMessage = field.kind === MESSAGE || field.kind === GROUP;
    const last = pieces.at(-1) as Piece;
    if (!isMessage) return field.shape === LIST ? pieces : [last];
    const sub = this.plans.sub(field);
    const settled = ({ tag, bytes }: Piece): Piece => ({ tag, bytes: this.message(sub, bytes) });
    if (field.shape === LIST) return pieces.map(settled);
    return [settled({ tag: last.tag, bytes: Buffer.concat(pieces.map(({ bytes }) => bytes)) })];
  }

  private entries(plan: Plan, pieces: readonly Piece[]): readonly Piece[] {
    const byKey = new Map<string, Piece>();
    for (const { tag, bytes } of pieces) {
      const ordered = this.message(plan, bytes);
      byKey.set(keyOf(plan, new Printer(this.plans, ordered, this.typeName)), { tag, bytes: ordered });
    }
    return [...byKey.values()];
  }

  /** An Any whose content is in order too, if its type is known and its bytes can be read. */
  private any(plan: Plan, found: Found): Buffer {
    const [typeUrl, value] = plan.fields.map((field) => found[field.slot]?.at(-1));
    const type = typeUrl && this.plans.resolve(typeUrl.bytes.toString());
    const writer = new Writer();
    if (typeUrl) writePiece(writer, typeUrl);
    if (value) writePiece(writer, type ? { tag: value.tag, bytes: this.content(type, value.bytes) } : value);
    return writer.finish();
  }

  private content(type: Plan, bytes: Buffer): Buffer {
    const { depth } = this;
    try {
      return this.message(type, bytes);
    } catch (thrown) {
      if (!(thrown instanceof StatusError)) throw thrown;
      this.depth = depth;
      return bytes;
    }
  }
}

type Found = readonly (Piece[] | undefined)[];

/** All values by the slot of their field; of a oneof those of its last member alone. */
function collect(reader: Printer, plan: Plan): Found {
  const found: (Piece[] | undefined)[] = [];
  const end = reader.buf.length;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const field = plan.lookUp(tag);
    if (field === undefined) {
      reader.skip(tag, end);
      continue;
    }
    const piece = { tag, bytes: pieceBytes(reader, tag, end) };
    if (field.oneofSlot >= 0) clearSiblings(plan, field, found);
    const pieces = found[field.slot];
    if (pieces) pieces.push(piece);
    else found[field.slot] = [piece];
  }
  return found;
}

function clearSiblings(plan: Plan, field: FieldPlan, found: (Piece[] | undefined)[]): void {
  for (const sibling of plan.fields) {
    if (sibling !== field && sibling.oneofSlot === field.oneofSlot) found[sibling.slot] = undefined;
  }
}

function pieceBytes(reader: Printer, tag: number, end: number): Buffer {
  if ((tag & 7) === 2) {
    const stop = reader.stop(end);
    const start = reader.pos;
    reader.pos = stop;
    return reader.buf.subarray(start, stop);
  }
  const start = reader.pos;
  if ((tag & 7) !== 3) {
    reader.skip(tag, end);
    return reader.buf.subarray(start, reader.pos);
  }
  while (reader.pos < end) {
    const stop = reader.pos;
    const inner = reader.uint32();
    if (inner === tag + 1) return reader.buf.subarray(start, stop);
    reader.skip(inner, end);
  }
  return reader.fail('it is cut short');
}

/** The key of an entry as JSON text, which is the same for every way to encode it. */
function keyOf(plan: Plan, reader: Printer): string {
  const key = plan.fields[0] as FieldPlan;
  return reader.pos < reader.buf.length && plan.lookUp(reader.uint32()) === key
    ? reader.value(key, reader.buf.length)
    : key.zero;
}

function writePiece(writer: Writer, { tag, bytes }: Piece): void {
  writer.uint32(tag);
  if ((tag & 7) === 2) writer.uint32(bytes.length);
  writer.raw(bytes);
  if ((tag & 7) === 3) writer.uint32(tag + 1);
}
