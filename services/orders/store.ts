/** The orders there are and what has happened to them, in memory and bounded. */
import { createHash, randomBytes } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { Order, Order_Status, type OrderEvent, OrderEvent_Type } from '../../gen/orders/v1/orders.js';
import { type Caller, forbidden, isAllowed, userOf } from '../caller.js';
import { alreadyExists, exhausted, notFound, refused } from '../errors.js';
import { History } from '../history.js';
import { check, pageSize } from '../validation.js';
import { applyMask, checkDraft, checkOpen, checkStep, type Draft, draftOf, totalOf } from './order.js';

export interface OrderLimits {
  /** How many orders are kept; creating more is RESOURCE_EXHAUSTED. Default 10,000. */
  readonly orders: number;
  /** How many events are kept for watchers to resume. Default 1,000. */
  readonly events: number;
}

interface Kept {
  /** Counts the orders ever created: the position of a page token. */
  readonly serial: number;
  readonly order: Order;
}

interface Creation {
  readonly orderId: string;
  /** Of the order as it was asked for. */
  readonly digest: string;
}

/** Every method throws ServiceErrors as orders.proto says. Orders that are handed out are never changed afterwards. */
export class OrderStore {
  readonly #limits: OrderLimits;
  readonly #orders = new Map<string, Kept>();
  readonly #creations = new Map<string, Creation>();
  readonly events: History<OrderEvent>;
  #serial = 0;

  constructor(limits: Partial<OrderLimits> = {}) {
    this.#limits = { orders: 10_000, events: 1_000, ...limits };
    this.events = new History(this.#limits.events);
  }

  create(caller: Caller, draft: Draft, requestId: string): Order {
    const customerId = userOf(caller);
    check(requestId.length <= 64, 'request_id', 'must have at most 64 characters');
    checkDraft(draft);
    const fresh = { ...draft, status: Order_Status.PENDING };
    const key = requestId === '' ? undefined : `${customerId}\n${requestId}`;
    const digest = key === undefined ? '' : digestOf(fresh);
    const earlier = key === undefined ? undefined : this.#creations.get(key);
    if (earlier !== undefined) return this.#repeated(earlier, digest, requestId);
    if (this.#orders.size >= this.#limits.orders) {
      throw exhausted(`the store is full: it holds ${this.#limits.orders} orders`, 60_000);
    }
    const now = new Date();
    const order = complete(
      fresh,
      { orderId: randomBytes(8).toString('hex'), customerId, createTime: now },
      now,
    );
    this.#serial += 1;
    this.#orders.set(order.orderId, { serial: this.#serial, order });
    if (key !== undefined) this.#remember(key, { orderId: order.orderId, digest });
    this.#happened(OrderEvent_Type.CREATED, order);
    return order;
  }

  get(orderId: string): Order {
    return this.#find(orderId).order;
  }

  list(request: { pageSize: number; pageToken: string; status: Order_Status }): {
    orders: Order[];
    next: string;
  } {
    const size = pageSize(request.pageSize);
    check(request.status in Order_Status && request.status >= 0, 'status', 'is not a status of an order');
    const after = parseToken(request.pageToken, request.status);
    const page: Kept[] = [];
    for (const kept of this.#orders.values()) {
      const asked =
        request.status === Order_Status.STATUS_UNSPECIFIED || kept.order.status === request.status;
      if (kept.serial > after && asked) page.push(kept);
      if (page.length > size) break;
    }
    const last = page[size - 1];
    const next = page.length > size && last !== undefined ? printToken(last.serial, request.status) : '';
    return { orders: page.slice(0, size).map(({ order }) => order), next };
  }

  update(caller: Caller, change: Order, mask: readonly string[]): Order {
    const { order } = this.#find(change.orderId);
    checkOpen(order);
    if (change.etag !== '' && change.etag !== order.etag) {
      const message = `the order ${order.orderId} has changed: its etag is no longer the one given`;
      throw refused(status.ABORTED, 'ETAG_MISMATCH', message, { order: order.orderId, etag: order.etag });
    }
    const draft = applyMask(draftOf(order), draftOf(change), mask);
    checkDraft(draft);
    if (draft.status !== order.status) {
      checkStep(order.status, draft.status);
      if (!isAllowed(caller, 'orders:fulfil'))
        throw forbidden('orders:fulfil', 'changing the status of an order');
    }
    return this.#replace(order, draft, OrderEvent_Type.UPDATED);
  }

  cancel(orderId: string, reason: string): Order {
    check(reason.length <= 255, 'reason', 'must have at most 255 characters');
    const { order } = this.#find(orderId);
    checkOpen(order);
    const labels = reason === '' ? order.labels : { ...order.labels, 'cancel-reason': reason };
    const draft = { ...draftOf(order), labels, status: Order_Status.CANCELLED };
    return this.#replace(order, draft, OrderEvent_Type.CANCELLED);
  }

  delete(orderId: string): void {
    const { order } = this.#find(orderId);
    this.#orders.delete(orderId);
    this.#happened(OrderEvent_Type.DELETED, order);
  }

  #find(orderId: string): Kept {
    check(orderId !== '', 'order_id', 'is required');
    const kept = this.#orders.get(orderId);
    if (kept === undefined) throw notFound('order', orderId.slice(0, 80));
    return kept;
  }

  #replace(order: Order, draft: Draft, type: OrderEvent_Type): Order {
    const changed = complete(draft, order, new Date());
    const kept = this.#find(order.orderId);
    // A Map keeps the place of a key that is set again, so orders stay in the order of their creation.
    this.#orders.set(order.orderId, { ...kept, order: changed });
    this.#happened(type, changed);
    return changed;
  }

  #happened(type: OrderEvent_Type, order: Order): void {
    this.events.append((sequence) => ({ sequence, type, order, eventTime: new Date() }));
  }

  #repeated({ orderId, digest }: Creation, asked: string, requestId: string): Order {
    if (digest === asked) return this.get(orderId);
    const message = `request_id: ${requestId} was used for another order`;
    throw alreadyExists('order', orderId, message);
  }

  #remember(key: string, creation: Creation): void {
    this.#creations.set(key, creation);
    const [oldest] = this.#creations.keys();
    if (this.#creations.size > this.#limits.orders && oldest !== undefined) this.#creations.delete(oldest);
  }
}

function complete(
  draft: Draft,
  { orderId, customerId, createTime }: Pick<Order, 'orderId' | 'customerId' | 'createTime'>,
  updateTime: Date,
): Order {
  const etag = randomBytes(6).toString('base64url');
  return { ...draft, orderId, customerId, createTime, updateTime, total: totalOf(draft.items), etag };
}

function digestOf(draft: Draft): string {
  // A map has no order on the wire; sorted, the same labels are the same bytes.
  const labels = Object.fromEntries(Object.entries(draft.labels).sort());
  const bytes = Order.encode(Order.fromPartial({ ...draft, labels })).finish();
  return createHash('sha256').update(bytes).digest('base64');
}

function printToken(serial: number, filter: Order_Status): string {
  return Buffer.from(`${serial}.${filter}`).toString('base64url');
}

/** The serial after which the page begins; 0 for no token. */
function parseToken(token: string, filter: Order_Status): number {
  if (token === '') return 0;
  const match = /^([1-9][0-9]{0,14})\.([0-9])$/.exec(Buffer.from(token.slice(0, 64), 'base64url').toString());
  check(match !== null, 'page_token', 'is not one of ours');
  check(Number(match[2]) === filter, 'page_token', 'belongs to a list with another status');
  return Number(match[1]);
}
