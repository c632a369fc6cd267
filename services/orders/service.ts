/** orders.v1.OrdersService: the contract's methods over the store. */
import { type OrdersServiceServer, OrdersServiceService } from '../../gen/orders/v1/orders.js';
import type { Handlers } from '../handlers.js';
import type { Service } from '../server.js';
import { check } from '../validation.js';
import { draftOf } from './order.js';
import type { OrderStore } from './store.js';

export function createOrdersService(store: OrderStore, { unary, serverStream }: Handlers): Service {
  const implementation: OrdersServiceServer = {
    createOrder: unary(({ order, requestId }, caller) => {
      check(order !== undefined, 'order', 'is required');
      return store.create(caller, draftOf(order), requestId);
    }),
    getOrder: unary(({ orderId }) => store.get(orderId)),
    listOrders: unary((request) => {
      const { orders, next } = store.list(request);
      return { orders, nextPageToken: next };
    }),
    updateOrder: unary(({ order, updateMask }, caller) => {
      check(order !== undefined, 'order', 'is required');
      return store.update(caller, order, updateMask ?? []);
    }),
    deleteOrder: unary(({ orderId }) => {
      store.delete(orderId);
      return {};
    }),
    cancelOrder: unary(({ orderId, reason }) => store.cancel(orderId, reason)),
    watchOrders: serverStream(({ afterSequence }, { signal, beginsAt }) => {
      const position = afterSequence ?? store.events.last;
      beginsAt(String(position));
      return store.events.follow(position, signal);
    }),
  };
  return { definition: OrdersServiceService, implementation };
}
