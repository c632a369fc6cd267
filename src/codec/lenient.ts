/** What a lenient parser overlooks besides unknown fields: names of enum values that nobody declared. */
import type { JsonObject, JsonValue } from './codec.js';
import { type FieldPlan, LIST, MAP } from './plan.js';

/** The value without such names: a field of its own becomes null, elements and entries are left out. */
export function withKnownEnums({ enum: known, shape }: FieldPlan, value: JsonValue): JsonValue {
  if (known === undefined) return value;
  const isKnown = (one: JsonValue): boolean => typeof one !== 'string' || known.numbers.has(one);
  if (shape === LIST && Array.isArray(value)) return value.every(isKnown) ? value : value.filter(isKnown);
  if (shape !== MAP) return isKnown(value) ? value : null;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => isKnown(one))) as JsonObject;
}
