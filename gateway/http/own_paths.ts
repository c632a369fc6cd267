/** The paths that the gateway answers itself, whatever a contract says. */

/** Many calls on one WebSocket: see PROTOCOL.md. */
export const MULTIPLEX_PATH = '/ws';

/** Health, readiness and metrics (gateway/admin), and the multiplexed WebSocket. */
export const OWN_PATHS: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', MULTIPLEX_PATH]);
