/** What nobody can change afterwards. */

/** Freezes a value with everything in it, and answers it. */
export function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const entry of Object.values(value)) freeze(entry);
  return Object.freeze(value);
}
