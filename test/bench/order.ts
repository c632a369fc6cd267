/** The message of the benchmarks: an order of about 600 bytes of JSON. */
import { Order } from '../../gen/orders/v1/orders.js';

/** `note` is free text of the benchmark's own. */
export function benchOrder(note: string): Order {
  return Order.fromPartial({
    orderId: 'ord_01HZX4T9Q2N8',
    customerId: 'cus_4711',
    status: 2,
    items: [
      {
        sku: 'TG-1001',
        name: 'Tide gauge, brass',
        quantity: 2,
        unitPrice: { currencyCode: 'EUR', minorUnits: 12_900n },
      },
      {
        sku: 'TG-2040',
        name: 'Sluice gate, model 4',
        quantity: 1,
        unitPrice: { currencyCode: 'EUR', minorUnits: 89_900n },
      },
    ],
    shipTo: {
      recipient: 'Ada Lovelace',
      lines: ['Deichstrasse 12', 'Hinterhaus'],
      city: 'Hamburg',
      postalCode: '20459',
      countryCode: 'DE',
    },
    payment: { $case: 'card', value: { network: 'visa', lastFour: '4242' } },
    labels: { channel: 'web', campaign: 'spring' },
    note,
    total: { currencyCode: 'EUR', minorUnits: 115_700n },
  });
}

/** What the gateway prints for it, but for the 64-bit integers, which are strings of the same length here and there. */
export function benchJson(): string {
  return JSON.stringify(benchOrder(''), (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}
