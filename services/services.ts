/** The three example services on one gRPC server. */
import { openHub } from './channels/hub.js';
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
  /** Where rooms are kept, and shared with other servers: `redis://host:port` or `nats://host:port`. Default: in memory. */
  readonly broker?: string | undefined;
}

/** Starts orders, quotes and chat on `host:port`, by default on a free port of 127.0.0.1 and with empty stores. */
export async function startServices(options: ServicesOptions = {}): Promise<RunningServer> {
  const { orders, quotes, chat, broker, ...where } = options;
  const { report = console.error } = where;
  const hub = await openHub(broker);
  const build: Parameters<typeof createServer>[0] = (handlers) => [
    createOrdersService(new OrderStore(orders), handlers),
    createQuotesService(new Market(quotes), handlers),
    createChatService(new Rooms({ hub, limits: chat, report }), handlers),
  ];
  try {
    const server = await createServer(build, { ...where, descriptors: loadDescriptors('contract.binpb') });
    const close = async () => {
      await server.close();
      await hub.close();
    };
    return { ...server, close };
  } catch (thrown) {
    await hub.close();
    throw thrown;
  }
}
