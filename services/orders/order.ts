/** What an order may be: its checks, its total, and how an update changes it. */
import { status } from '@grpc/grpc-js';
import { type Address, type Order, type Order_Item, Order_Status } from '../../gen/orders/v1/orders.js';
import { refused } from '../errors.js';
import { Checks, check } from '../validation.js';

const MOST_MINOR_UNITS = 10n ** 12n;

/** What the customer says of an order; the rest is the service's. */
export type Draft = Pick<
  Order,
  'status' | 'items' | 'shipTo' | 'labels' | 'payment' | 'note' | 'deliverAfter'
>;

export function draftOf(order: Order): Draft {
  const { status, items, shipTo, labels, payment, note, deliverAfter } = order;
  return { status, items, shipTo, labels, payment, note, deliverAfter };
}

/** Throws INVALID_ARGUMENT with every violation, named from `order` on. */
export function checkDraft(draft: Draft): void {
  const checks = new Checks();
  const { items, labels, payment, note, deliverAfter } = draft;
  if (checks.check(items.length >= 1 && items.length <= 100, 'order.items', 'must be 1 to 100 items')) {
    checkItems(checks, items);
  }
  checkAddress(checks, draft.shipTo);
  checks.check(Object.keys(labels).length <= 32, 'order.labels', 'must be at most 32 labels');
  for (const [key, value] of Object.entries(labels)) {
    checks.text(key, 'order.labels', { least: 1, most: 63 });
    checks.text(value, `order.labels["${key.slice(0, 63)}"]`, { most: 255 });
  }
  if (payment?.$case === 'card') {
    checks.text(payment.value.network, 'order.card.network', { least: 1, most: 20 });
    checks.check(/^[0-9]{4}$/.test(payment.value.lastFour), 'order.card.last_four', 'must be four digits');
  }
  if (payment?.$case === 'invoice') {
    const { purchaseOrder, dueDays } = payment.value;
    checks.text(purchaseOrder, 'order.invoice.purchase_order', { most: 64 });
    checks.check(dueDays >= 0 && dueDays <= 120, 'order.invoice.due_days', 'must be 0 to 120');
  }
  if (note !== undefined) checks.text(note, 'order.note', { most: 1000 });
  checks.check(!Number.isNaN(deliverAfter?.getTime()), 'order.deliver_after', 'must be a valid time');
  checks.done();
}

function checkItems(checks: Checks, items: readonly Order_Item[]): void {
  const currency = items[0]?.unitPrice?.currencyCode ?? '';
  items.forEach((item, index) => {
    const field = `order.items[${index}]`;
    checks.check(
      /^[\w.-]{1,64}$/.test(item.sku),
      `${field}.sku`,
      'must be 1 to 64 letters, digits, `.`, `_` or `-`',
    );
    checks.text(item.name, `${field}.name`, { most: 200 });
    checks.check(item.quantity >= 1 && item.quantity <= 10_000, `${field}.quantity`, 'must be 1 to 10000');
    const price = item.unitPrice;
    if (!checks.check(price !== undefined, `${field}.unit_price`, 'is required') || price === undefined)
      return;
    const code = `${field}.unit_price.currency_code`;
    if (checks.check(/^[A-Z]{3}$/.test(price.currencyCode), code, 'must be an ISO 4217 code such as EUR')) {
      checks.check(price.currencyCode === currency, code, 'must be the same for all items');
    }
    const units = price.minorUnits;
    checks.check(
      units >= 0n && units <= MOST_MINOR_UNITS,
      `${field}.unit_price.minor_units`,
      `must be 0 to ${MOST_MINOR_UNITS}`,
    );
  });
}

function checkAddress(checks: Checks, address: Address | undefined): void {
  if (!checks.check(address !== undefined, 'order.ship_to', 'is required') || address === undefined) return;
  checks.text(address.recipient, 'order.ship_to.recipient', { least: 1, most: 200 });
  checks.check(address.lines.length <= 4, 'order.ship_to.lines', 'must be at most 4 lines');
  for (const [index, line] of address.lines.slice(0, 4).entries()) {
    checks.text(line, `order.ship_to.lines[${index}]`, { most: 200 });
  }
  checks.text(address.postalCode, 'order.ship_to.postal_code', { most: 200 });
  checks.text(address.city, 'order.ship_to.city', { least: 1, most: 200 });
  const country = /^[A-Z]{2}$/.test(address.countryCode);
  checks.check(country, 'order.ship_to.country_code', 'must be an ISO 3166-1 code such as NL');
}

/** The sum of the items, in their one currency. */
export function totalOf(items: readonly Order_Item[]): Order['total'] {
  let minorUnits = 0n;
  for (const { quantity, unitPrice } of items) minorUnits += BigInt(quantity) * (unitPrice?.minorUnits ?? 0n);
  return { currencyCode: items[0]?.unitPrice?.currencyCode ?? '', minorUnits };
}

type Change = (draft: Draft, from: Draft) => Draft;

const ADDRESS_FIELDS = {
  recipient: 'recipient',
  lines: 'lines',
  postal_code: 'postalCode',
  city: 'city',
  country_code: 'countryCode',
} as const;

const EMPTY_ADDRESS: Address = { recipient: '', lines: [], postalCode: '', city: '', countryCode: '' };

function setPayment(kind: 'card' | 'invoice'): Change {
  return (draft, { payment }) => {
    if (payment?.$case === kind) return { ...draft, payment };
    // Clearing one member of the oneof leaves the other as it is.
    return draft.payment?.$case === kind ? { ...draft, payment: undefined } : draft;
  };
}

/** What each path of an update mask does: field names of the contract to a copy of the draft with that field taken over. */
const CHANGES: ReadonlyMap<string, Change> = new Map<string, Change>([
  ['status', (draft, { status }) => ({ ...draft, status })],
  ['items', (draft, { items }) => ({ ...draft, items })],
  ['ship_to', (draft, { shipTo }) => ({ ...draft, shipTo })],
  ['labels', (draft, { labels }) => ({ ...draft, labels })],
  ['card', setPayment('card')],
  ['invoice', setPayment('invoice')],
  ['note', (draft, { note }) => ({ ...draft, note })],
  ['deliver_after', (draft, { deliverAfter }) => ({ ...draft, deliverAfter })],
  ...Object.entries(ADDRESS_FIELDS).map(([name, key]): [string, Change] => [
    `ship_to.${name}`,
    (draft, { shipTo }) => ({
      ...draft,
      shipTo: { ...EMPTY_ADDRESS, ...draft.shipTo, [key]: (shipTo ?? EMPTY_ADDRESS)[key] },
    }),
  ]),
]);

/** The draft with the fields of the mask taken over; with an empty mask, those that are set. Throws INVALID_ARGUMENT for other paths. */
export function applyMask(draft: Draft, from: Draft, mask: readonly string[]): Draft {
  const paths = mask.length === 0 ? setPaths(from) : mask;
  return paths.reduce((changed, path) => {
    const change = CHANGES.get(path);
    check(change !== undefined, 'update_mask', `${path.slice(0, 80)} cannot be updated`);
    return change(changed, from);
  }, draft);
}

function setPaths(draft: Draft): string[] {
  const { payment } = draft;
  const isSet: readonly (readonly [string, boolean])[] = [
    ['status', draft.status !== Order_Status.STATUS_UNSPECIFIED],
    ['items', draft.items.length > 0],
    ['ship_to', draft.shipTo !== undefined],
    ['labels', Object.keys(draft.labels).length > 0],
    [payment?.$case ?? '', payment !== undefined],
    ['note', draft.note !== undefined],
    ['deliver_after', draft.deliverAfter !== undefined],
  ];
  return isSet.filter(([, set]) => set).map(([path]) => path);
}

/** PENDING to PAID to SHIPPED. Throws FAILED_PRECONDITION for another way. */
export function checkStep(from: Order_Status, to: Order_Status): void {
  const next = from === Order_Status.PENDING ? Order_Status.PAID : Order_Status.SHIPPED;
  if (to === next) return;
  const names = { from: nameOf(from), to: nameOf(to) };
  const message = `an order cannot go from ${names.from} to ${names.to} by an update`;
  throw refused(status.FAILED_PRECONDITION, 'STATUS_STEP', message, names);
}

/** Throws FAILED_PRECONDITION for an order that is shipped or cancelled. */
export function checkOpen(order: Order): void {
  if (order.status !== Order_Status.SHIPPED && order.status !== Order_Status.CANCELLED) return;
  const name = nameOf(order.status);
  const message = `the order ${order.orderId} is ${name}: it can no longer change`;
  throw refused(status.FAILED_PRECONDITION, `ORDER_${name}`, message, { order: order.orderId });
}

export function nameOf(value: Order_Status): string {
  return Order_Status[value] ?? `${value}`;
}
