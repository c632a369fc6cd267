/** The three example services on one gRPC server. */
import { type ChatLimits, Rooms } from './chat/rooms.js';
import { createChatService } from './chat/service.js';
import { loadDescriptors } from './descriptors.js';
import { createOrdersService } from './orders/service.js';
import { type OrderLimits, OrderStore } from './orders/store.js';
import { Market, type MarketLimits } from './quotes/market.js';
import { createQuotesService } from './quotes/service.js';
import { createServer, type RunningServer, type ServerOptions } from './server.js';

export interface ServicesOptions extends Omit<ServerOptions, 'descriptors'> {
  readonly orders?: Partial<OrderLimits>;
  readonly quotes?: Partial<MarketLimits>;
  readonly chat?: Partial<ChatLimits>;
}

/** Starts orders, quotes and chat with empty stores on `host:port`, by default on a free port of 127.0.0.1. */
export function startServices(options: ServicesOptions = {}): Promise<RunningServer> {
  const { orders, quotes, chat, ...where } = options;
  const build: Parameters<typeof createServer>[0] = (handlers) => [
    createOrdersService(new OrderStore(orders), handlers),
    createQuotesService(new Market(quotes), handlers),
    createChatService(new Rooms(chat), handlers),
  ];
  return createServer(build, { ...where, descriptors: loadDescriptors('contract.binpb') });
}
