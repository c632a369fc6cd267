/** Where history was lost, by what the service knows of its calls. */
import type { CallSeen } from '../../support/cluster.js';
import type { Loss } from './check.js';

/** Of streams whose service keeps no history: where a call was begun anew, what the service said in between is lost. */
export function lossesOfCalls(calls: readonly CallSeen[]): Loss[] {
  const begun = new Set<string>();
  return calls
    .filter(({ method }) => method === 'WatchLive')
    .filter(({ stream }) => begun.has(stream) || !begun.add(stream))
    .map(({ start, stream }) => ({
      from: start,
      to: start,
      // After a broker that forgot, the log is told first, and the call that it made necessary is told as well.
      reasons: ['epoch_changed', 'log_diverged'],
      touches: (other) => other === stream,
    }));
}
