/** All upstreams as one Invoke: a call goes to the upstream that serves its method. */
import type { Invoke } from '../call.js';
import { Code, StatusError } from '../status.js';
import type { Upstream, UpstreamState } from './grpc.js';

export interface Upstreams {
  /** Rejects with INTERNAL when nobody has the name of the method's upstream. */
  readonly invoke: Invoke;
  /** By name. */
  states(): Readonly<Record<string, UpstreamState>>;
  /** Begins to connect to all of them. */
  connect(): void;
  /** Calls `back` whenever one of them is connected again, until the result is called; see Upstream. */
  onReconnect(back: () => void): () => void;
  close(): Promise<void>;
}

/** Takes the upstreams over: closing closes them. Throws when two have one name. */
export function createUpstreams(list: readonly Upstream[]): Upstreams {
  const byName = new Map(list.map((upstream) => [upstream.name, upstream]));
  if (byName.size < list.length) throw new Error('two upstreams have the same name');
  return {
    invoke(call) {
      const upstream = byName.get(call.method.upstream);
      if (upstream) return upstream.invoke(call);
      const cause = new Error(
        `${call.method.name} is served by an unknown upstream: ${call.method.upstream}`,
      );
      return Promise.reject(new StatusError(Code.INTERNAL, 'internal error', { cause }));
    },
    states: () => Object.fromEntries(list.map((upstream) => [upstream.name, upstream.state()])),
    connect() {
      for (const upstream of list) upstream.connect();
    },
    onReconnect(back) {
      const stops = list.map((upstream) => upstream.onReconnect(back));
      return () => {
        for (const stop of stops) stop();
      };
    },
    async close() {
      await Promise.all(list.map((upstream) => upstream.close()));
    },
  };
}
