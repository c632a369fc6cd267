/** quotes.v1.QuotesService: the contract's methods over the market. */
import {
  type Quote,
  type QuotesServiceServer,
  QuotesServiceService,
  type UploadQuotesRequest,
  type UploadQuotesResponse,
} from '../../gen/quotes/v1/quotes.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { check } from '../validation.js';
import type { Market } from './market.js';
import { type Pace, pace } from './pace.js';

const FASTEST = 10_000;

export function createQuotesService(
  market: Market,
  { unary, clientStream, serverStream }: Handlers,
): Service {
  const implementation: QuotesServiceServer = {
    getQuote: unary(({ symbol }) => market.quote(symbol)),
    watchQuote: serverStream(({ symbol, rate, count }, { signal }) => {
      check(rate >= 0, 'rate', 'must be 0 or more');
      market.quote(symbol);
      const most = count === 0 ? Number.POSITIVE_INFINITY : count;
      return watch(market, symbol, { rate: rate === 0 ? 1 : Math.min(rate, FASTEST), count: most, signal });
    }),
    uploadQuotes: clientStream((requests) => upload(market, requests)),
  };
  return { definition: QuotesServiceService, implementation };
}

async function* watch(market: Market, symbol: string, steady: Pace): AsyncGenerator<Quote, void> {
  for await (const number of pace(steady)) yield market.quote(symbol, BigInt(number));
}

async function upload(
  market: Market,
  requests: AsyncIterable<UploadQuotesRequest>,
): Promise<UploadQuotesResponse> {
  const symbols = new Set<string>();
  let accepted = 0;
  let created = 0;
  for await (const { symbol, price } of requests) {
    if (market.set(symbol, price, `requests[${accepted}]`)) created += 1;
    symbols.add(symbol);
    accepted += 1;
  }
  return { accepted: BigInt(accepted), symbols: symbols.size, created };
}
