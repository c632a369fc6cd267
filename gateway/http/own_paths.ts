/** The paths that the gateway answers itself, whatever a contract says. */

/** Many calls on one WebSocket: see PROTOCOL.md. */
export const MULTIPLEX_PATH = '/ws';

/** The keys of the gateway's own tokens. */
export const JWKS_PATH = '/-/jwks';

/** Health, readiness and metrics (gateway/admin), and the multiplexed WebSocket. */
export const OWN_PATHS: ReadonlySet<string> = new Set([
  '/healthz',
  '/readyz',
  '/metrics',
  JWKS_PATH,
  MULTIPLEX_PATH,
]);
