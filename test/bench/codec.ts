/** Compares the codec with @bufbuild/protobuf on an order of about 600 bytes: `node dist/test/bench/codec.js`. */
import { fromBinary, fromJson, type JsonValue, toBinary, toJsonString } from '@bufbuild/protobuf';
import { createCodec } from '../../src/codec/codec.js';
import { parseJson } from '../../src/codec/json_text.js';
import { type, types } from '../support/codec/types.js';

const ORDER = {
  orderId: 'ord_01HV6Z6Q3J8K2M4N6P8R0T2V4X',
  customerId: 'cus_8d1f3a5c7e9b',
  status: 'STATUS_PAID',
  items: [
    {
      sku: 'SKU-10041-BLK',
      title: 'Trail running shoe, black',
      quantity: 1,
      price: { currency: 'EUR', units: '129', nanos: 950000000 },
      options: { size: '43', width: 'wide' },
    },
    {
      sku: 'SKU-20977-M',
      title: 'Merino base layer',
      quantity: 2,
      price: { currency: 'EUR', units: '59', nanos: 500000000 },
    },
    {
      sku: 'SKU-31200-ONE',
      title: 'Insulated bottle, 750 ml, stainless steel',
      quantity: 1,
      price: { currency: 'EUR', units: '24' },
      options: { colour: 'sand', engraving: 'For Ada, who runs before the sun is up' },
    },
    { sku: 'SKU-90001', title: 'Gift wrapping', quantity: 1, price: { currency: 'EUR', units: '3' } },
  ],
  total: { currency: 'EUR', units: '248', nanos: 950000000 },
  shipTo: {
    name: 'Zoë Müller',
    street: 'Långgatan 12',
    city: 'Göteborg',
    postalCode: '41101',
    country: 'SE',
  },
  labels: { channel: 'web', campaign: 'spring-24' },
  createTime: '2024-05-01T12:00:00.123456Z',
  updateTime: '2024-05-01T12:03:10Z',
  sequence: '1099511627776',
  note: 'Please leave the parcel with the neighbour if nobody is at home.',
  card: 'visa-4242',
  weightKg: 1.85,
};

/** Microseconds per call: the best of five rounds. */
function measure(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const calls = 20000;
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) work();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / 1000 / calls);
  }
  return best;
}

function compare(what: string, ours: () => unknown, theirs: () => unknown): void {
  const us = measure(ours);
  const them = measure(theirs);
  const ratio = (them / us).toFixed(1);
  process.stdout.write(
    `${what}: ${us.toFixed(2)} us, @bufbuild/protobuf ${them.toFixed(2)} us, ${ratio} x\n`,
  );
}

const desc = type('codec.test.Order');
const codec = createCodec(types);
const text = JSON.stringify(ORDER);
const json = ORDER as JsonValue;
const bytes = toBinary(desc, fromJson(desc, json));
const body = Buffer.from(text);
process.stdout.write(`${bytes.length} bytes of protobuf, ${text.length} of JSON\n`);
compare(
  'print ',
  () => Buffer.from(codec.print(desc, bytes)),
  () => Buffer.from(toJsonString(desc, fromBinary(desc, bytes))),
);
compare(
  'parse a value',
  () => codec.parse(desc, ORDER),
  () => toBinary(desc, fromJson(desc, json)),
);
compare(
  'parse a body',
  () => codec.parse(desc, parseJson(body)),
  () => toBinary(desc, fromJson(desc, JSON.parse(body.toString()) as JsonValue)),
);
