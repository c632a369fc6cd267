/** The paths that the gateway answers itself, whatever a contract says. */

/** Many calls on one WebSocket: see PROTOCOL.md. */
export const MULTIPLEX_PATH = '/ws';

/** The keys of the gateway's own tokens. */
export const JWKS_PATH = '/-/jwks';

/** What the gateway answers about tokens: see gateway/auth/endpoints.ts. */
export const TICKETS_PATH = '/-/tickets';
export const REVOCATIONS_PATH = '/-/revocations';

/** Health, readiness and metrics (gateway/admin), the multiplexed WebSocket, and all about tokens. */
export const OWN_PATHS: ReadonlySet<string> = new Set([
  '/healthz',
  '/readyz',
  '/metrics',
  JWKS_PATH,
  MULTIPLEX_PATH,
  TICKETS_PATH,
  REVOCATIONS_PATH,
]);
