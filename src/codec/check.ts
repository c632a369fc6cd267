/** Whether bytes from a client are a message of a type, so that a service is never handed what it cannot read. */
import { isUtf8 } from 'node:buffer';
import { badRequest } from '../details.js';
import { Code, StatusError } from '../status.js';
import { GROUP, MAP, MAX_DEPTH, MESSAGE, type Plan, wireTypeOf } from './plan.js';
import type { Plans } from './plans.js';
import { Reader } from './reader.js';

const STRING = 9;

/** Walks the wire format along the plan of a type and makes nothing of it. */
class Checker extends Reader {
  private depth = 0;

  constructor(
    private readonly plans: Plans,
    bytes: Uint8Array,
    private readonly refuse: (reason: string) => never,
  ) {
    super(bytes);
  }

  override fail(reason: string): never {
    return this.refuse(reason);
  }

  /** A tag has 32 bits; one with more is refused by C++ and Go, and cut to another field's by others. */
  override tag(): number {
    const start = this.pos;
    const tag = super.tag();
    const length = this.pos - start;
    if (length > 5 || (length === 5 && (this.buf[this.pos - 1] as number) > 15)) {
      this.fail('a field number in it is out of range');
    }
    return tag;
  }

  /** The fields between here and `end`, or the tag that ends a group. */
  fields(plan: Plan, end: number, endOfGroup: number): void {
    if (++this.depth > MAX_DEPTH) this.fail(`it is nested over ${MAX_DEPTH} levels`);
    let open = endOfGroup !== 0;
    while (this.pos < end && (open || endOfGroup === 0)) {
      const tag = this.tag();
      if (tag === endOfGroup && open) open = false;
      else this.field(plan, tag, end);
    }
    if (open || this.pos > end) this.fail('it is cut short');
    this.depth--;
  }

  private field(plan: Plan, tag: number, end: number): void {
    const field = plan.lookUp(tag);
    if (field === undefined || ((tag & 7) !== 2 && field.kind !== GROUP)) {
      this.skip(tag, end);
      return;
    }
    if (field.kind === GROUP && field.shape !== MAP) {
      this.fields(this.plans.sub(field), end, tag + 1);
      return;
    }
    const stop = this.stop(end);
    if (field.shape === MAP) this.fields(field.entry as Plan, stop, 0);
    else if (field.kind === MESSAGE) this.fields(this.plans.sub(field), stop, 0);
    else if (field.kind === STRING) this.checkText(stop, field.strictUtf8);
    else if (field.packable) this.checkPacked(stop, wireTypeOf(field.kind));
    this.pos = stop;
  }

  private checkText(stop: number, strict: boolean): void {
    if (strict && !isUtf8(this.buf.subarray(this.pos, stop))) this.fail('a string in it is not valid UTF-8');
  }

  private checkPacked(stop: number, wireType: number): void {
    const length = stop - this.pos;
    const whole =
      wireType === 0
        ? length === 0 || (this.buf[stop - 1] as number) < 128
        : length % (wireType === 1 ? 8 : 4) === 0;
    if (!whole) this.fail('it is cut short');
  }
}

/** Throws StatusError INVALID_ARGUMENT that names `place` unless the bytes are such a message; unknown fields are fine. */
export function checkMessage(
  plans: Plans,
  plan: Plan,
  { bytes, place }: { bytes: Uint8Array; place: string },
): void {
  const refuse = (reason: string): never => {
    const description = `not a valid ${plan.typeName}: ${reason}`;
    throw new StatusError(Code.INVALID_ARGUMENT, `${place}: ${description}`, {
      details: [badRequest([{ field: place, description }])],
    });
  };
  new Checker(plans, bytes, refuse).fields(plan, bytes.length, 0);
}
