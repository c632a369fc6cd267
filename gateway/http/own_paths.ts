/** The paths that the gateway answers itself, whatever a contract says. */

/** Many calls on one WebSocket: see PROTOCOL.md. */
export const MULTIPLEX_PATH = '/ws';

/** What the gateway answers about tokens: see gateway/auth/endpoints.ts. */
export const TICKETS_PATH = '/-/tickets';
export const REVOCATIONS_PATH = '/-/revocations';

/** Health, readiness and metrics (gateway/admin), the multiplexed WebSocket, tickets and revocations. */
export const OWN_PATHS: ReadonlySet<string> = new Set([
  '/healthz',
  '/readyz',
  '/metrics',
  MULTIPLEX_PATH,
  TICKETS_PATH,
  REVOCATIONS_PATH,
]);
