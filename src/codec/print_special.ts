/** Prints the message types that have a JSON form of their own: google.protobuf's well-known types. */
import { type FieldPlan, type Plan, Special } from './plan.js';
import type { Printer } from './print.js';
import { doubleText } from './scalars.js';
import { printDuration, printMaskPath, printTimestamp } from './wellknown.js';

const TWO_32 = 4294967296;

/** The message between here and `end`. */
export function printSpecial(printer: Printer, plan: Plan, end: number): string {
  switch (plan.special) {
    case Special.TIMESTAMP:
    case Special.DURATION:
      return printTime(printer, plan, end);
    case Special.WRAPPER:
      return printOnly(printer, plan, end, (plan.fields[0] as FieldPlan).zero);
    case Special.VALUE:
      return printValue(printer, plan, end);
    case Special.STRUCT:
      return printOnly(printer, plan, end, '{}');
    case Special.LIST_VALUE:
      return printOnly(printer, plan, end, '[]');
    case Special.FIELD_MASK:
      return printMask(printer, end);
    default:
      return printAny(printer, end);
  }
}

function printTime(printer: Printer, plan: Plan, end: number): string {
  let seconds = 0;
  let nanos = 0;
  while (printer.pos < end) {
    const tag = printer.uint32();
    if (tag === 8) {
      printer.varint64();
      seconds = (printer.hi | 0) * TWO_32 + printer.lo;
    } else if (tag === 16) nanos = printer.uint32() | 0;
    else printer.skip(tag, end);
  }
  closeAt(printer, end);
  const print = plan.special === Special.TIMESTAMP ? printTimestamp : printDuration;
  const text = print(seconds, nanos);
  return text === undefined ? printer.fail(`a ${plan.typeName} in it is out of range`) : `"${text}"`;
}

function closeAt(printer: Printer, end: number): void {
  if (printer.pos > end) printer.fail('it is cut short');
}

/** The value of the one field of a wrapper, of Struct and of ListValue. */
function printOnly(printer: Printer, plan: Plan, end: number, absent: string): string {
  const only = plan.fields[0] as FieldPlan;
  let out = '';
  while (printer.pos < end) {
    const tag = printer.uint32();
    if (plan.lookUp(tag) !== only) printer.skip(tag, end);
    else if (plan.special === Special.WRAPPER) out = printer.value(only, end);
    else if (out !== '') printer.outOfOrder();
    else out = printer.values(plan, only, tag, end);
  }
  closeAt(printer, end);
  return out === '' ? absent : out;
}

function printValue(printer: Printer, plan: Plan, end: number): string {
  printer.enter();
  let out = '';
  while (printer.pos < end) {
    const tag = printer.uint32();
    const field = plan.lookUp(tag);
    if (field === undefined) {
      printer.skip(tag, end);
      continue;
    }
    if (out !== '') printer.outOfOrder();
    if (field.kind === 14) {
      printer.uint32();
      out = 'null';
    } else if (field.kind === 1) {
      const number = printer.double(end);
      if (!Number.isFinite(number)) printer.fail('a google.protobuf.Value in it is NaN or infinite');
      out = doubleText(number);
    } else out = printer.value(field, end);
  }
  closeAt(printer, end);
  if (out === '') printer.fail('a google.protobuf.Value in it holds nothing');
  printer.leave();
  return out;
}

function printMask(printer: Printer, end: number): string {
  let out = '';
  while (printer.pos < end) {
    const tag = printer.uint32();
    if (tag !== 10) {
      printer.skip(tag, end);
      continue;
    }
    const path = printMaskPath(printer.string(printer.stop(end), true));
    if (path === undefined)
      return printer.fail('a path of a google.protobuf.FieldMask in it has no JSON form');
    out += out === '' ? path : `,${path}`;
  }
  closeAt(printer, end);
  return JSON.stringify(out);
}

/**
 * An Any with the fields of what it holds. What cannot be resolved or decoded is shown as
 * `{"@type": ..., "value": base64}`, so that an unknown error detail never hides the error.
 */
function printAny(printer: Printer, end: number): string {
  let typeUrl = '';
  let start = 0;
  let stop = 0;
  while (printer.pos < end) {
    const tag = printer.uint32();
    if (tag === 10) typeUrl = printer.string(printer.stop(end), true);
    else if (tag === 18) {
      stop = printer.stop(end);
      start = printer.pos;
      printer.pos = stop;
    } else printer.skip(tag, end);
  }
  closeAt(printer, end);
  if (typeUrl === '' && start === stop) return '{}';
  const text = printContent(printer, typeUrl, start, stop);
  printer.pos = end;
  return text;
}

/** The content of an Any, between `start` and `stop`, as the JSON of the whole Any. */
export function printContent(printer: Printer, typeUrl: string, start: number, stop: number): string {
  const type = `{"@type":${JSON.stringify(typeUrl)}`;
  const plan = printer.plans.resolve(typeUrl);
  const text =
    plan &&
    printer.attempt(() => {
      printer.enter();
      printer.pos = start;
      const content = printer.message(plan, stop);
      printer.leave();
      return content;
    });
  if (plan === undefined || text === undefined) {
    printer.pos = start;
    return `${type},"value":${printer.base64(stop)}}`;
  }
  if (plan.special !== Special.NONE) return `${type},"value":${text}}`;
  return text === '{}' ? `${type}}` : `${type},${text.slice(1)}`;
}
