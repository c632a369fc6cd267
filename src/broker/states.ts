/** The state of a broker, and who wants to know of its changes. */
import type { BrokerState } from './broker.js';

export interface States {
  readonly state: () => BrokerState;
  onState(back: (state: BrokerState) => void): () => void;
  /** Tells it, if it is another one. `closed` is the last. */
  set(state: BrokerState): void;
}

export function createStates(first: BrokerState): States {
  const listeners = new Set<(state: BrokerState) => void>();
  let current = first;
  return {
    state: () => current,
    onState(back) {
      const own = (state: BrokerState): void => back(state);
      listeners.add(own);
      return () => listeners.delete(own);
    },
    set(state) {
      if (state === current || current === 'closed') return;
      current = state;
      for (const back of listeners) back(state);
    },
  };
}
