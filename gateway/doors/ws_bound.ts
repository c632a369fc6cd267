/** The URL of a WebSocket call, bound when it is first needed: after every policy has let the call pass. */
import type { Bound, Endpoint } from '../http/table.js';

/** Answers the same Bound each time. Throws StatusError INVALID_ARGUMENT, each time, for a URL that does not bind. */
export function bindLater(endpoint: Endpoint, variables: readonly string[], query: string): () => Bound {
  let bound: Bound | undefined;
  return () => {
    bound ??= endpoint.binding.bind(variables, query);
    return bound;
  };
}
