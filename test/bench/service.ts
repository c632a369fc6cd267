/** The service behind the benchmarks: GetOrder answers one order, WatchOrders streams it at a chosen rate. Prints its port. */
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { Order, OrderEvent } from '../../gen/orders/v1/orders.js';
import { benchOrder } from './order.js';

const bytes = (value: Buffer): Buffer => value;
const order = Buffer.from(Order.encode(benchOrder('')).finish());

/** The metadata `x-rate` says how many events a second; they are sent in bursts every 10 ms. */
function watch(call: ServerWritableStream<Buffer, Buffer>): void {
  const rate = Number(call.metadata.get('x-rate')[0] ?? 100);
  let sequence = 0;
  let due = 0;
  const timer = setInterval(() => {
    due += rate / 100;
    for (; due >= 1 && call.writableLength < 1000; due--) {
      sequence++;
      // The note carries the time of sending, in microseconds since the epoch, for the latency of a delivery.
      const sent = String(Math.round((performance.timeOrigin + performance.now()) * 1000));
      const event = OrderEvent.fromPartial({ sequence: BigInt(sequence), type: 2, order: benchOrder(sent) });
      call.write(Buffer.from(OrderEvent.encode(event).finish()));
    }
  }, 10);
  call.on('cancelled', () => clearInterval(timer)).on('close', () => clearInterval(timer));
}

const definition = (name: string, responseStream: boolean) => ({
  path: `/orders.v1.OrdersService/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

const server = new Server();
server.addService(
  { GetOrder: definition('GetOrder', false), WatchOrders: definition('WatchOrders', true) },
  {
    GetOrder: (_: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>) => reply(null, order),
    WatchOrders: watch,
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.stdout.write(`${port}\n`);
});
process.on('SIGTERM', () => server.forceShutdown());
