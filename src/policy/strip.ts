/** Keeps headers that were meant for the gateway alone from the services. */
import type { Interceptor, Metadata } from '../call.js';

/**
 * Takes metadata of these names, in lower case, out of every call. The gateway's own credential is one to take out where a
 * service has a use of its own for `authorization`: etcd 3.4 refuses every call whose bearer token is not one of its users'.
 */
export function strip(names: readonly string[]): Interceptor {
  if (names.length === 0) return (next) => next;
  const stripped = new Set(names);
  return (next) => (call) => next({ ...call, metadata: without(call.metadata, stripped) });
}

function without(metadata: Metadata, names: ReadonlySet<string>): Metadata {
  const result: Record<string, string | readonly string[]> = Object.create(null);
  for (const name in metadata) {
    const value = metadata[name];
    if (value !== undefined && !names.has(name)) result[name] = value;
  }
  return result;
}
