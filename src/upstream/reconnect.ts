/** Notices when a connection that was lost is there again, and asks for it where grpc-js would wait for a call. */
import { type Channel, connectivityState } from '@grpc/grpc-js';

/**
 * Calls `back` each time the channel has become ready again, the first time not counted. Until the result is called, the
 * channel connects by itself: after it has lost its connection, grpc-js waits for a call. Ends with the channel.
 */
export function watchReconnects(channel: Channel, back: () => void): () => void {
  let stopped = false;
  let wasReady = false;
  const look = (): void => {
    const state = channel.getConnectivityState(false);
    if (stopped || state === connectivityState.SHUTDOWN) return;
    // Outside of grpc-js's own change of state, in which it must not be asked for another.
    channel.watchConnectivityState(state, Infinity, () => setImmediate(look));
    if (state === connectivityState.IDLE) channel.getConnectivityState(true);
    if (state !== connectivityState.READY) return;
    if (wasReady) back();
    wasReady = true;
  };
  look();
  return () => {
    stopped = true;
  };
}
