/** JSON as Go's protojson reads it behind a json.Decoder, and so grpc-gateway v2. */
import type { JsonValue } from './codec.js';
import { BodyParser } from './parse_body.js';
import { ENUM, type FieldPlan, GROUP, MESSAGE } from './plan.js';
import { writtenText } from './written.js';

/** The kinds whose values are no numbers: bool, string, bytes, and those that are no scalars. */
const NO_NUMBERS = new Set([8, 9, 12, GROUP, MESSAGE, ENUM]);

export function isNumeric({ kind }: FieldPlan): boolean {
  return !NO_NUMBERS.has(kind);
}

/** Takes an integer of 64 bits as a number too, whatever its size: `parseJson` keeps it as it was written. */
export class ProtojsonParser extends BodyParser {
  override value(field: FieldPlan, value: JsonValue): boolean {
    const text = writtenText(value);
    if (text === undefined) return super.value(field, value);
    if (field.kind === ENUM) return super.value(field, Number(text));
    return super.value(field, isNumeric(field) ? text : value);
  }
}
