/**
 * What a message costs from protobuf bytes to JSON bytes and back, against @bufbuild/protobuf and protobufjs:
 * `npm run bench:json`.
 *
 * All three print and parse the same messages; ours and @bufbuild/protobuf canonical JSON, protobufjs its own, in which
 * a Timestamp is an object of seconds and nanos. Each is given the JSON that it prints. The three take turns, and the
 * best of many rounds counts.
 */
import { create, fromBinary, fromJson, type JsonValue, toBinary, toJsonString } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import protobufjs from 'protobufjs';
import 'protobufjs/ext/descriptor/index.js';
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

/** An order of one item and nothing else that is long. */
const SMALL = {
  orderId: 'ord_1',
  status: 'STATUS_PAID',
  items: [{ sku: 'SKU-1', quantity: 1 }],
  sequence: '7',
};
/** As many items as make 100 KB of JSON. */
const LARGE = {
  ...ORDER,
  items: Array.from({ length: 720 }, (_, index) => ({
    ...ORDER.items[index % ORDER.items.length],
    sku: `SKU-${10_000 + index}`,
  })),
};

const ROUNDS = 12;
/** Of one round and contestant, in ms. */
const ROUND_MS = 40;

const desc = type('codec.test.Order');
const codec = createCodec(types);
const peer = peerType();

/** The same type in protobufjs. */
function peerType(): protobufjs.Type {
  const set = create(FileDescriptorSetSchema, { file: [...types.files].map(({ proto }) => proto) });
  const encoded = toBinary(FileDescriptorSetSchema, set);
  const { Root } = protobufjs as unknown as { Root: { fromDescriptor(set: Uint8Array): protobufjs.Root } };
  return Root.fromDescriptor(encoded).resolveAll().lookupType('codec.test.Order');
}

/** What makes protobufjs print as close to canonical JSON as it does. */
const PEER_JSON = { longs: String, enums: String, bytes: String, json: true };

type Work = () => unknown;

/** Microseconds per call of each, the best of its rounds. */
function race(contestants: readonly Work[]): number[] {
  const calls = contestants.map((work) => {
    const start = performance.now();
    let count = 0;
    for (; performance.now() - start < ROUND_MS; count++) work();
    return Math.max(1, count);
  });
  const best = contestants.map(() => Number.POSITIVE_INFINITY);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, work] of contestants.entries()) {
      const start = process.hrtime.bigint();
      for (let n = calls[index] as number; n > 0; n--) work();
      const micros = Number(process.hrtime.bigint() - start) / 1000 / (calls[index] as number);
      best[index] = Math.min(best[index] as number, micros);
    }
  }
  return best;
}

function print(what: string, [ours = 0, ...theirs]: readonly number[]): void {
  const us = (micros: number): string => `${micros.toFixed(micros < 100 ? 2 : 0)} us`.padStart(10);
  const cells = theirs.map((micros) => `${us(micros)} (${(micros / ours).toFixed(1)} x)`.padStart(22));
  process.stdout.write(`  ${what.padEnd(14)}${us(ours).padStart(12)}${cells.join('')}\n`);
}

function compare(name: string, order: object): void {
  const json = order as JsonValue;
  const bytes = Buffer.from(toBinary(desc, fromJson(desc, json)));
  const body = Buffer.from(codec.print(desc, bytes));
  const peerBody = Buffer.from(JSON.stringify(peer.toObject(peer.decode(bytes), PEER_JSON)));
  process.stdout.write(`${name}: ${bytes.length} bytes of protobuf, ${body.length} of JSON\n`);
  print(
    'bytes -> JSON',
    race([
      () => Buffer.from(codec.print(desc, bytes)),
      () => Buffer.from(toJsonString(desc, fromBinary(desc, bytes))),
      () => Buffer.from(JSON.stringify(peer.toObject(peer.decode(bytes), PEER_JSON))),
    ]),
  );
  print(
    'JSON -> bytes',
    race([
      () => codec.parse(desc, parseJson(body)),
      () => toBinary(desc, fromJson(desc, JSON.parse(body.toString()) as JsonValue)),
      () => peer.encode(peer.fromObject(JSON.parse(peerBody.toString()) as object)).finish(),
    ]),
  );
}

process.stdout.write(`node ${process.version}; us per message, and ratio to ours\n`);
process.stdout.write(
  `${'ours'.padStart(28)}${'@bufbuild/protobuf'.padStart(22)}${'protobufjs'.padStart(22)}\n`,
);
compare('small', SMALL);
compare('middle', ORDER);
compare('100 KB', LARGE);
