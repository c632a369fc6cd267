/** What a lenient parser overlooks besides unknown fields: names of enum values that nobody declared. */
import type { JsonObject, JsonValue } from './codec.js';
import { type FieldPlan, LIST, MAP } from './plan.js';

/** The value without the elements and entries that are such names; undefined if it is one itself. */
export function withKnownEnums({ enum: known, shape }: FieldPlan, value: JsonValue): JsonValue | undefined {
  if (known === undefined) return value;
  const isKnown = (one: JsonValue): boolean => typeof one !== 'string' || known.numbers.has(one);
  if (shape === LIST) return Array.isArray(value) && !value.every(isKnown) ? value.filter(isKnown) : value;
  if (shape !== MAP) return isKnown(value) ? value : undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([, one]) => isKnown(one))) as JsonObject;
}
