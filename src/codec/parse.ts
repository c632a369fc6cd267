/** JSON values to protobuf bytes in one pass: no message object is made on the way. */

import { suggest } from '../nearest.js';
import type { JsonObject, JsonValue } from './codec.js';
import { withKnownEnums } from './lenient.js';
import { parseSpecial } from './parse_special.js';
import { type FieldPlan, LIST, type Plan, SINGULAR, Special } from './plan.js';
import type { Plans } from './plans.js';
import type { Step } from './pointer.js';
import { doubleOf, halves, integerOf, isBase64, SCALAR_NAMES, shown, split64 } from './scalars.js';
import { Writer } from './writer.js';

/** Messages with up to this many fields note those seen in one number, others in an array. */
const SEEN_BITS = 31;
const INTEGER_KEY = /^(?:0|-?[1-9]\d*)$/;

/**
 * Encodes JSON values by plans. The labels of `case` are numbers of FieldDescriptorProto.Type, spelled out
 * because V8 makes a jump table of literals alone. One parser serves a codec: it works without pause, and starts
 * anew for each value.
 */
export abstract class Parser {
  readonly writer = new Writer();
  /** How many steps lead from the root to the value in hand; the steps are in `names` and `keyed`. */
  level = 0;
  private readonly names: (string | number)[] = [];
  private readonly keyed: boolean[] = [];
  private depth = 0;
  /** Drops members that are no fields. */
  readonly lenient: boolean;
  private readonly dropsEnumNames: boolean;

  constructor(readonly plans: Plans) {
    this.lenient = plans.options.unknownFields === 'ignore';
    this.dropsEnumNames = plans.options.unknownEnumNames === 'ignore';
  }

  /** Refuses the value in hand. */
  abstract fail(description: string): never;

  reset(): void {
    this.writer.reset();
    this.level = 0;
    this.depth = 0;
  }

  /** The way from the root to the value in hand. */
  path(): Step[] {
    const steps: Step[] = [];
    for (let at = 0; at < this.level; at++) {
      steps.push({ name: this.names[at] as string | number, isKey: this.keyed[at] === true });
    }
    return steps;
  }

  /** Enters a container: what follows is refused at the member that `step` names. Answers its level. */
  descend(isMap: boolean): number {
    this.keyed[this.level] = isMap;
    this.names[this.level] = '';
    return this.level++;
  }

  step(at: number, name: string | number): void {
    this.names[at] = name;
  }

  /** Goes one level of messages deeper. */
  enter(): void {
    const { maxDepth } = this.plans;
    if (++this.depth > maxDepth) this.fail(`nested over ${maxDepth} levels`);
  }

  leave(): void {
    this.depth--;
  }

  /** Writes the fields of a message, without tag or length. */
  message(plan: Plan, value: JsonValue): void {
    if (plan.special !== Special.NONE) {
      parseSpecial(this, plan, value);
      return;
    }
    this.enter();
    this.object(plan, this.objectOf(value), false);
    this.leave();
  }

  objectOf(value: JsonValue): JsonObject {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
    return this.fail(`expected an object, got ${shown(value)}`);
  }

  /** The members of an object; inside an Any, `@type` is none of them. */
  object(plan: Plan, value: JsonObject, inAny: boolean): void {
    const at = this.descend(false);
    const keys = Object.keys(value);
    let seen = 0;
    let more: Uint8Array | undefined;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as string;
      this.names[at] = key;
      const field = plan.byName.get(key);
      if (field === undefined) {
        if (this.lenient || (inAny && key === '@type')) continue;
        this.failUnknown(plan, key);
      }
      const member = this.dropsEnumNames
        ? withKnownEnums(field, value[key] as JsonValue)
        : (value[key] as JsonValue);
      if (member === undefined) continue;
      if (member === null && !(field.nullable && field.shape === SINGULAR)) continue;
      if (plan.slots <= SEEN_BITS) {
        const bits = (1 << field.slot) | (field.oneofSlot < 0 ? 0 : 1 << field.oneofSlot);
        if ((seen & bits) !== 0) this.failTwice(plan, field, value, key);
        seen |= bits;
      } else {
        more ??= new Uint8Array(plan.slots);
        if (more[field.slot] || more[field.oneofSlot]) this.failTwice(plan, field, value, key);
        more[field.slot] = 1;
        if (field.oneofSlot >= 0) more[field.oneofSlot] = 1;
      }
      if (field.shape === SINGULAR) this.singular(field, member);
      else if (field.shape === LIST) this.list(field, member);
      else this.map(field, field.entry as Plan, member);
    }
    this.level = at;
    for (const field of plan.required) {
      const given = more === undefined ? (seen >>> field.slot) & 1 : more[field.slot];
      if (given !== 1) this.fail(`the required field "${field.name}" is missing`);
    }
  }

  /** A field with its tag. */
  singular(field: FieldPlan, value: JsonValue): void {
    const { writer } = this;
    const start = writer.pos;
    writer.uint32(field.tag);
    if (this.value(field, value) && field.implicit) writer.pos = start;
  }

  private list(field: FieldPlan, values: JsonValue): void {
    if (!Array.isArray(values)) this.fail(`expected an array, got ${shown(values)}`);
    if (values.length === 0) return;
    const { writer } = this;
    const at = this.descend(false);
    const start = field.packed ? this.openTagged(field) : 0;
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as JsonValue;
      this.names[at] = i;
      if (value === null && !field.nullable) this.fail('null is no element of a list');
      if (!field.packed) writer.uint32(field.tag);
      this.value(field, value);
    }
    if (field.packed) writer.close(start);
    this.level = at;
  }

  private openTagged(field: FieldPlan): number {
    this.writer.uint32(field.tag);
    return this.writer.open();
  }

  private map(field: FieldPlan, entry: Plan, values: JsonValue): void {
    const object = this.objectOf(values);
    const [keyField, valueField] = entry.fields as [FieldPlan, FieldPlan];
    const { writer } = this;
    const at = this.descend(true);
    for (const key of Object.keys(object)) {
      const value = object[key] as JsonValue;
      this.names[at] = key;
      if (value === null && !valueField.nullable) this.fail('null is no value of a map');
      const start = this.openTagged(field);
      this.key(keyField, key);
      writer.uint32(valueField.tag);
      this.value(valueField, value);
      writer.close(start);
    }
    this.level = at;
  }

  private key(field: FieldPlan, key: string): void {
    this.writer.uint32(field.tag);
    if (field.kind === 8) {
      if (key !== 'true' && key !== 'false') this.fail('the key is not a bool');
      this.value(field, key === 'true');
      return;
    }
    if (field.kind !== 9 && !INTEGER_KEY.test(key)) this.fail(`the key is not ${SCALAR_NAMES[field.kind]}`);
    this.value(field, key);
  }

  /** One value without its tag. Answers whether it is the default of its type. */
  value(field: FieldPlan, value: JsonValue): boolean {
    const { writer } = this;
    switch (field.kind) {
      case 9: // string
        if (typeof value !== 'string') return this.failScalar(field, value);
        if (!writer.string(value)) this.fail('a string with half of a surrogate pair is no text');
        return value === '';
      case 5: {
        // int32
        const number = typeof value === 'number' ? value : integerOf(value);
        if ((number | 0) !== number) return this.failScalar(field, value, number);
        writer.int32(number);
        return number === 0;
      }
      case 11: {
        const start = writer.open();
        this.message(field.sub ?? this.plans.sub(field), value);
        writer.close(start);
        return false;
      }
      case 14: // enum
        return this.enum(field, value);
      case 8: // bool
        if (typeof value !== 'boolean') return this.failScalar(field, value);
        writer.uint32(value ? 1 : 0);
        return !value;
      case 1:
      case 2:
        return this.double(field, value);
      case 12: // bytes
        if (typeof value !== 'string' || !isBase64(value)) return this.failScalar(field, value);
        writer.base64(value);
        return value === '';
      case 10:
        this.enter();
        this.object(this.plans.sub(field), this.objectOf(value), false);
        this.leave();
        writer.uint32(field.tag + 1);
        return false;
      case 3:
      case 4:
      case 6:
      case 16:
      case 18:
        return this.integer64(field, value);
      default:
        return this.integer32(field, value);
    }
  }

  private integer32(field: FieldPlan, value: JsonValue): boolean {
    const { writer } = this;
    const number = integerOf(value);
    const isUnsigned = field.kind === 13 || field.kind === 7;
    if ((isUnsigned ? number >>> 0 : number | 0) !== number) return this.failScalar(field, value, number);
    if (field.kind === 13) writer.uint32(number);
    else if (field.kind === 17) writer.uint32(((number << 1) ^ (number >> 31)) >>> 0);
    else writer.fixed32(number);
    return number === 0;
  }

  private integer64(field: FieldPlan, value: JsonValue): boolean {
    const { kind } = field;
    const problem = split64(value, kind !== 4 && kind !== 6);
    if (problem === 'unsafe') {
      this.fail(
        `expected ${SCALAR_NAMES[kind]}, got a number above 2^53 that JSON may round: send it as a string`,
      );
    }
    if (problem !== '') return this.failScalar(field, value, problem === 'range' ? 0 : undefined);
    const { lo, hi } = halves;
    if (kind === 6 || kind === 16) this.writer.fixed64(lo, hi);
    else if (kind === 18) {
      const sign = hi >>> 31 === 1 ? 0xffffffff : 0;
      this.writer.varint64(((lo << 1) ^ sign) >>> 0, (((hi << 1) | (lo >>> 31)) ^ sign) >>> 0);
    } else this.writer.varint64(lo, hi);
    return lo === 0 && hi === 0;
  }

  private double(field: FieldPlan, value: JsonValue): boolean {
    const number = doubleOf(value);
    if (number === undefined) return this.failScalar(field, value, typeof value === 'number' ? 0 : undefined);
    if (field.kind === 1) this.writer.double(number);
    else {
      const isTooLarge = Number.isFinite(number) && !Number.isFinite(Math.fround(number));
      if (isTooLarge) return this.failScalar(field, value, 0);
      this.writer.float(number);
    }
    return Object.is(number, 0);
  }

  private enum(field: FieldPlan, value: JsonValue): boolean {
    const known = field.enum as NonNullable<FieldPlan['enum']>;
    const number = this.enumNumber(known, value);
    if (number === undefined) {
      const hint = typeof value === 'string' ? suggest(value, known.numbers.keys()) : '';
      return this.fail(`expected a value of ${known.typeName}, got ${shown(value)}${hint}`);
    }
    this.writer.int32(number);
    return number === 0;
  }

  private enumNumber(known: NonNullable<FieldPlan['enum']>, value: JsonValue): number | undefined {
    if (typeof value === 'string') return known.numbers.get(value);
    if (value === null && known.isNull) return 0;
    if (typeof value !== 'number' || (value | 0) !== value) return undefined;
    return known.open || known.texts.has(value) ? value : undefined;
  }

  /** Refuses a value of the wrong type, or, if an integer is given that it stands for, one that is out of range. */
  protected failScalar(field: FieldPlan, value: JsonValue, integer = Number.NaN): never {
    const reason = Number.isInteger(integer) ? ', which is out of range' : '';
    return this.fail(`expected ${SCALAR_NAMES[field.kind]}, got ${shown(value)}${reason}`);
  }

  private failUnknown(plan: Plan, key: string): never {
    return this.fail(`no such field in ${plan.typeName}${suggest(key, plan.byName.keys())}`);
  }

  private failTwice(plan: Plan, field: FieldPlan, value: JsonObject, key: string): never {
    for (const [other, member] of Object.entries(value)) {
      const earlier = plan.byName.get(other);
      if (earlier === field && other !== key) this.fail(`given twice, as "${other}" and as "${key}"`);
      if (earlier === undefined || earlier === field || field.oneofSlot < 0) continue;
      if (earlier.oneofSlot !== field.oneofSlot) continue;
      if (member === null && !earlier.nullable) continue;
      this.fail(`"${other}" and "${key}" are both given, but the oneof "${field.oneofName}" holds one`);
    }
    return this.fail('given twice');
  }
}
