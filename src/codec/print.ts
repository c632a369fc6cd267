/** Protobuf bytes to JSON text in one pass: no message object is made on the way. */
import { Code, StatusError } from '../status.js';
import { normalize } from './normalize.js';
import { type FieldPlan, type Plan, SINGULAR, Special } from './plan.js';
import type { Plans } from './plans.js';
import { printSpecial } from './print_special.js';
import { Reader } from './reader.js';
import { doubleText, floatText, json64 } from './scalars.js';

/**
 * Thrown when a field's values lie apart in the bytes: a singular field twice, two members of a oneof, a list
 * resumed. Encoders do not write such bytes, but decoders must read them. JSON text that is already written
 * cannot be merged, so the whole message is put in order (normalize.ts) and printed again.
 */
export const OUT_OF_ORDER = new Error('fields out of order');

/** Messages with up to this many fields note those seen in one number, others in an array. */
const SEEN_BITS = 31;

/**
 * Prints the messages of one buffer. The labels of `case` are numbers of FieldDescriptorProto.Type, spelled out
 * because V8 makes a jump table of literals alone.
 */
export class Printer extends Reader {
  private depth = 0;
  /** The key of the last map entry, as JSON text. */
  private key = '';

  constructor(
    readonly plans: Plans,
    bytes: Uint8Array,
    /** What error texts call the whole. */
    private readonly typeName: string,
    /** The bytes have been put in order: what is still out of order is wrong. */
    private readonly settled = false,
  ) {
    super(bytes);
  }

  override fail(reason: string): never {
    throw new StatusError(Code.INTERNAL, `the message is not a valid ${this.typeName}: ${reason}`);
  }

  outOfOrder(): never {
    if (this.settled) this.fail('it is not protobuf');
    throw OUT_OF_ORDER;
  }

  /** The message between here and `end`, in the JSON form of its type. */
  message(plan: Plan, end: number): string {
    if (plan.special !== Special.NONE) return printSpecial(this, plan, end);
    this.enter();
    const text = this.object(plan, end, 0);
    this.leave();
    return text;
  }

  /** Goes one level deeper. */
  enter(): void {
    const { maxDepth } = this.plans;
    if (++this.depth > maxDepth) this.fail(`it is nested over ${maxDepth} levels`);
  }

  leave(): void {
    this.depth--;
  }

  /** Runs `print`; if it fails, answers undefined and goes on as if nothing had been read. */
  attempt(print: () => string): string | undefined {
    const { pos, depth } = this;
    try {
      return print();
    } catch (thrown) {
      if (!(thrown instanceof StatusError)) throw thrown;
      this.pos = pos;
      this.depth = depth;
      return undefined;
    }
  }

  /** The fields between here and `end`, or the tag that ends a group, as a JSON object. */
  object(plan: Plan, end: number, endOfGroup: number): string {
    const { buf } = this;
    const emitDefaults = this.plans.options.emitDefaults;
    let out = '{';
    let seen = 0;
    let more: Uint8Array | undefined;
    let open = endOfGroup !== 0;
    while (this.pos < end) {
      let tag = buf[this.pos] as number;
      if (tag < 128) this.pos++;
      else tag = this.uint32();
      const field = plan.lookUp(tag);
      if (field === undefined) {
        if (open && tag === endOfGroup) {
          open = false;
          break;
        }
        this.skip(tag, end);
        continue;
      }
      const text = field.shape === SINGULAR ? this.value(field, end) : this.values(plan, field, tag, end);
      if (text === '') continue;
      if (plan.slots <= SEEN_BITS) {
        const bits = (1 << field.slot) | (field.oneofSlot < 0 ? 0 : 1 << field.oneofSlot);
        if ((seen & bits) !== 0) this.outOfOrder();
        seen |= bits;
      } else {
        more ??= new Uint8Array(plan.slots);
        if (!noteSeen(field, more)) this.outOfOrder();
      }
      if (field.implicit && text === field.zero && !emitDefaults) continue;
      out += out.length === 1 ? field.head : field.comma;
      out += text;
    }
    if (open || this.pos > end) this.fail('it is cut short');
    if (plan.required.length > 0) this.checkRequired(plan, seen, more);
    if (emitDefaults) out = addAbsent(out, plan, seen, more);
    return `${out}}`;
  }

  private checkRequired(plan: Plan, seen: number, more: Uint8Array | undefined): void {
    for (const field of plan.required) {
      if (wasSeen(field, seen, more)) continue;
      this.fail(`the required field ${field.name} of ${plan.typeName} is missing`);
    }
  }

  /** One value; empty for an unknown value of a closed enum, which counts as absent. */
  value(field: FieldPlan, end: number): string {
    switch (field.kind) {
      case 9: // string
        return this.quoted(this.stop(end), field.strictUtf8);
      case 5: // int32
        return String(this.uint32() | 0);
      case 3: // int64
        this.varint64();
        return json64(this.lo, this.hi, true, field.numbers);
      case 14: {
        const number = this.uint32() | 0;
        const known = field.enum;
        return known?.texts.get(number) ?? (known?.open ? String(number) : '');
      }
      case 11: {
        const sub = field.sub ?? this.plans.sub(field);
        return this.message(sub, this.stop(end));
      }
      case 8: // bool
        this.varint64();
        return (this.lo | this.hi) === 0 ? 'false' : 'true';
      case 1: // double
        return doubleText(this.double(end));
      case 2: // float
        return floatText(this.float(end));
      case 4: // uint64
        this.varint64();
        return json64(this.lo, this.hi, false, field.numbers);
      case 13: // uint32
        return String(this.uint32());
      case 12: // bytes
        return this.base64(this.stop(end));
      default:
        return this.rareValue(field, end);
    }
  }

  private rareValue(field: FieldPlan, end: number): string {
    switch (field.kind) {
      case 6: // fixed64
        this.fixed64(end);
        return json64(this.lo, this.hi, false, field.numbers);
      case 7: // fixed32
        return String(this.fixed32(end));
      case 10: {
        this.enter();
        const text = this.object(this.plans.sub(field), end, ((field.number << 3) | 4) >>> 0);
        this.leave();
        return text;
      }
      case 15: // sfixed32
        return String(this.fixed32(end) | 0);
      case 16: // sfixed64
        this.fixed64(end);
        return json64(this.lo, this.hi, true, field.numbers);
      case 17: {
        const zigzag = this.uint32();
        return String((zigzag >>> 1) ^ -(zigzag & 1));
      }
      default: {
        this.varint64();
        const sign = -(this.lo & 1);
        const lo = ((this.lo >>> 1) | (this.hi << 31)) ^ sign;
        return json64(lo >>> 0, ((this.hi >>> 1) ^ sign) >>> 0, true, field.numbers);
      }
    }
  }

  /** The bytes from here to `stop` as a JSON string of base64. */
  base64(stop: number): string {
    const text = this.buf.toString('base64', this.pos, stop);
    this.pos = stop;
    return `"${text}"`;
  }

  /** The values of a list or map field that follow each other; empty if there are none. */
  values(plan: Plan, field: FieldPlan, tag: number, end: number): string {
    return field.entry === undefined
      ? this.list(plan, field, tag, end)
      : this.map(plan, field, field.entry, end);
  }

  private list(plan: Plan, field: FieldPlan, first: number, end: number): string {
    let out = '';
    for (let tag = first; tag !== 0; tag = this.again(plan, field, end)) {
      const isPacked = field.packable && (tag & 7) === 2;
      const stop = isPacked ? this.stop(end) : end;
      while (this.pos < stop) {
        const text = this.value(field, stop);
        if (text !== '') out += out === '' ? text : `,${text}`;
        if (!isPacked) break;
      }
      if (this.pos > stop) this.fail('it is cut short');
    }
    return out === '' ? '' : `[${out}]`;
  }

  private map(plan: Plan, field: FieldPlan, entry: Plan, end: number): string {
    let out = '';
    let firstKey = '';
    let keys: Set<string> | undefined;
    for (let tag = 1; tag !== 0; tag = this.again(plan, field, end)) {
      const text = this.entry(entry, this.stop(end));
      if (text === '') continue;
      if (firstKey === '') firstKey = this.key;
      else {
        keys ??= new Set([firstKey]);
        if (keys.size === keys.add(this.key).size) this.outOfOrder();
      }
      out += out === '' ? text : `,${text}`;
    }
    return out === '' ? '' : `{${out}}`;
  }

  /** The next tag, read, if it is of the same field; else 0, and nothing is read. */
  private again(plan: Plan, field: FieldPlan, end: number): number {
    const at = this.pos;
    if (at >= end) return 0;
    let tag = this.buf[at] as number;
    if (tag < 128) this.pos++;
    else tag = this.uint32();
    if (plan.lookUp(tag) === field) return tag;
    this.pos = at;
    return 0;
  }

  /** One entry of a map as `key:value`, its key kept in `key`; empty for an unknown value of a closed enum. */
  private entry(plan: Plan, end: number): string {
    const [keyField, valueField] = plan.fields as [FieldPlan, FieldPlan];
    let key = '';
    let value = '';
    let hasValue = false;
    while (this.pos < end) {
      const tag = this.uint32();
      const field = plan.lookUp(tag);
      if (field === undefined) this.skip(tag, end);
      else if (field === keyField) key = this.value(keyField, end);
      else if (hasValue && valueField.message) this.outOfOrder();
      else {
        value = this.value(valueField, end);
        hasValue = true;
      }
    }
    if (this.pos !== end) this.fail('it is cut short');
    if (!hasValue)
      value = valueField.message ? this.message(this.plans.sub(valueField), end) : valueField.zero;
    if (value === '') return '';
    if (key === '') key = keyField.zero;
    this.key = key.startsWith('"') ? key : `"${key}"`;
    return `${this.key}:${value}`;
  }
}

/** Notes a field and its oneof; false if either was seen before. */
function noteSeen(field: FieldPlan, seen: Uint8Array): boolean {
  if (seen[field.slot] || seen[field.oneofSlot]) return false;
  seen[field.slot] = 1;
  if (field.oneofSlot >= 0) seen[field.oneofSlot] = 1;
  return true;
}

function wasSeen(field: FieldPlan, seen: number, more: Uint8Array | undefined): boolean {
  return more === undefined ? ((seen >>> field.slot) & 1) === 1 : more[field.slot] === 1;
}

/** Adds the defaults of absent fields without presence (google.protobuf.util.JsonPrintOptions). */
function addAbsent(text: string, plan: Plan, seen: number, more: Uint8Array | undefined): string {
  let out = text;
  for (const field of plan.fields) {
    if (field.absent === '' || wasSeen(field, seen, more)) continue;
    out += (out.length === 1 ? field.head : field.comma) + field.absent;
  }
  return out;
}

/** JSON text of an encoded message. Throws StatusError INTERNAL that names `typeName`. */
export function printMessage(plans: Plans, plan: Plan, bytes: Uint8Array, typeName = plan.typeName): string {
  try {
    return new Printer(plans, bytes, typeName).message(plan, bytes.length);
  } catch (thrown) {
    if (thrown !== OUT_OF_ORDER) throw thrown;
    const ordered = normalize(plans, plan, bytes, typeName);
    return new Printer(plans, ordered, typeName, true).message(plan, ordered.length);
  }
}
