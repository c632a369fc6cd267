/** What Prometheus is told of tokens. Nothing of it names a caller. */
import type { Registry } from 'prom-client';
import { collectCounts, collectGauge } from '../admin/collected.js';
import type { TicketCounts } from './tickets.js';
import type { TokenCounts } from './verifier.js';

export interface AuthCounts {
  readonly verify: Readonly<TokenCounts>;
  readonly tickets: Readonly<TicketCounts> | undefined;
  readonly fetches: Readonly<Record<'ok' | 'failed', number>>;
  readonly revocations: () => number;
}

export function registerAuth(
  registry: Registry,
  { verify, tickets, fetches, revocations }: AuthCounts,
): void {
  const counter = (name: string, help: string, counts: object | undefined): void =>
    collectCounts(registry, { name, help, label: 'result', counts: () => Object.entries(counts ?? {}) });
  counter('tidegate_tokens_total', 'Tokens that were looked at: remembered, verified or refused.', verify);
  counter('tidegate_tickets_total', 'Tickets: issued, redeemed or refused.', tickets);
  counter('tidegate_jwks_fetches_total', 'Fetches of the keys of token issuers: ok or failed.', fetches);
  collectGauge(registry, {
    name: 'tidegate_revocations',
    help: 'Revocations that are in force.',
    value: revocations,
  });
}
