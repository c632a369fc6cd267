/** One client of an event stream, from `open` to its last event. */
import type { ServerResponse } from 'node:http';
import type { Metadata } from '../../src/call.js';
import { Code, type StatusError } from '../../src/status.js';
import {
  type Delivery,
  type Feed,
  type Outlet,
  type Sink,
  SlowConsumerError,
} from '../../src/stream/feed.js';
import { Due } from '../agenda.js';
import { expired } from '../expiry.js';
import type { ServedCall } from '../http/call.js';
import type { Coding } from '../http/compress.js';
import { printStatus } from '../http/error_body.js';
import { EXPIRY_NOTICE_MS, type Farewell, jitter, type Span, spanOf } from '../streams.js';
import type { Client, Gateway } from './door.js';
import { createEventBody, type EventBody } from './sse_body.js';
import {
  authExpiringEvent,
  bookmarkEvent,
  drainEvent,
  type EventEncoder,
  endEvent,
  openEvent,
} from './sse_events.js';

/** Before a client comes back whose connection broke. */
export const RETRY_MS = 2000;
/**
 * The same after a `drain`, which comes at another moment to each client: those who are on their way at one time are this part of the time
 * to drain.
 */
const AWAY_SHARE = 1 / 80;
const AWAY_LEAST_MS = 100;
const AWAY_MOST_MS = 500;
/** How long a client that was sent away may take to read its last event, in ms. */
const LINGER_MS = 10_000;
const HEARTBEAT = ': hb\n\n';
const DOOR = 'sse';

/** In whole ms, which a field holds without an object of its own. */
const wholeNow = (): number => Math.trunc(performance.now());

export interface EventStreamOptions {
  readonly served: ServedCall;
  readonly feed: Feed;
  readonly coding: Coding | undefined;
  readonly encoders: { readonly chunked: EventEncoder; readonly plain: EventEncoder };
  /** The stream is over, and its last event is written. */
  readonly done: () => void;
}

/** Its response has its head. Begins at once. */
export class EventStream extends Due implements Sink, Outlet, Client {
  readonly encoder: EventEncoder;
  private readonly body: EventBody;
  private readonly heartbeatMs: number;
  private readonly span: Span;
  private noticeAt: number;
  sent = 0;
  private wroteAt = wholeNow();
  /** The last cursor that a heartbeat looked at. */
  private cursor: string;
  private delivery: Delivery | undefined;
  private over = false;

  private readonly served: ServedCall;
  private readonly resumable: boolean;
  private readonly done: () => void;

  constructor({ served, feed, coding, encoders, done }: EventStreamOptions) {
    super();
    const { endpoint, response } = served.exchange;
    const { config } = served.gateway;
    const { principal } = served.call;
    const span = spanOf(config, principal);
    this.served = served;
    this.resumable = feed.resumable;
    this.done = done;
    this.cursor = feed.cursor;
    this.heartbeatMs = endpoint.method.stream.heartbeatMs || config.timeouts.heartbeatMs;
    this.span = feed.resumable ? span : { ...span, lifeEnds: Number.POSITIVE_INFINITY };
    this.noticeAt = this.span.expires - EXPIRY_NOTICE_MS;
    const ends = Math.min(this.span.lifeEnds, this.span.expires) - performance.now();
    const first = openEvent(jitter(RETRY_MS), feed, {
      heartbeatMs: this.heartbeatMs,
      maxLifetimeMs: Number.isFinite(ends) ? Math.round(ends) : null,
      expiresAt: principal.expiresAt ?? null,
    });
    const roomy = (): void => this.delivery?.ready();
    this.body = createEventBody({ response, coding, encoders, first, roomy });
    this.encoder = this.body.encoder;
    served.client = this;
  }

  start(feed: Feed): void {
    this.delivery = feed.start(this);
    if (this.over) return;
    this.enterNext(performance.now());
    // Accepted while the gateway began to drain.
    if (this.gateway.draining.aborted) this.leave();
  }

  leave(): void {
    if (this.resumable) this.sendAway('drain');
  }

  get outlet(): Outlet {
    return this;
  }

  room(): number {
    return this.over || this.body.isFull() ? 0 : Number.POSITIVE_INFINITY;
  }

  write(bytes: Uint8Array, messages: number): void {
    if (this.over) return;
    this.sent += messages;
    this.wroteAt = wholeNow();
    const reason = this.encoder.resets.in(bytes);
    if (reason !== undefined) this.gateway.counts.reset(DOOR, reason);
    this.body.write(bytes);
  }

  end(error: StatusError | undefined, trailers: Metadata): void {
    if (this.over) return;
    const { gateway, exchange, call } = this.served;
    const { codec } = exchange.table;
    if (error === undefined) {
      this.finish(endEvent(codec.printStatus({ code: Code.OK, message: '', details: [] }), trailers, true));
      return;
    }
    gateway.report(call.id, error);
    if (error === gateway.draining.reason) {
      // Cut off with all others whose time is over: they come back one after the other.
      this.farewell(
        'drain',
        drainEvent(this.awayMs() + Math.floor(Math.random() * gateway.config.timeouts.drainMs)),
      );
    } else if (error instanceof SlowConsumerError) this.farewell('slow', this.failure(error));
    else this.finish(this.failure(error));
  }

  due(now: number): void {
    const { span } = this;
    if (this.over) this.response.destroy();
    else if (now >= span.expires) this.expire();
    else if (now >= span.lifeEnds) this.sendAway('lifetime');
    else {
      if (now >= this.noticeAt) this.notice();
      if (now - this.wroteAt >= this.heartbeatMs && !this.body.isFull()) this.beat();
      this.enterNext(now);
    }
  }

  private enterNext(now: number): void {
    const { lifeEnds, expires } = this.span;
    const beat = this.wroteAt + this.heartbeatMs;
    // A client that does not read is looked at again later.
    const next = beat > now ? beat : now + this.heartbeatMs;
    this.gateway.agenda.enter(this, Math.min(next, lifeEnds, expires, this.noticeAt));
  }

  /** A sign of life, with the position if that may have moved since the client last heard of it. */
  private beat(): void {
    const cursor = this.delivery?.cursor() ?? '';
    const text = cursor === this.cursor || !this.resumable ? HEARTBEAT : bookmarkEvent(cursor);
    this.cursor = cursor;
    this.write(this.encoder.frame(text), 0);
  }

  private notice(): void {
    const { expiresAt } = this.served.call.principal;
    this.noticeAt = Number.POSITIVE_INFINITY;
    if (expiresAt !== undefined) this.write(this.encoder.frame(authExpiringEvent(expiresAt)), 0);
  }

  private expire(): void {
    const error = expired();
    this.gateway.report(this.served.call.id, error);
    this.farewell('expired', this.failure(error));
  }

  /** Sends the client away, to come back and go on. */
  private sendAway(why: Farewell): void {
    if (!this.over) this.farewell(why, drainEvent(jitter(this.awayMs())));
  }

  private awayMs(): number {
    const { drainMs } = this.gateway.config.timeouts;
    return Math.min(Math.max(Math.round(drainMs * AWAY_SHARE), AWAY_LEAST_MS), AWAY_MOST_MS);
  }

  private failure(error: StatusError): string {
    const { gateway, exchange, call } = this.served;
    const context = { codec: exchange.table.codec, http: gateway.config.http, id: call.id };
    // With a new token the client may go on where it was: the id of its last message has to stay.
    const final = !error.row.retryable && error.code !== Code.UNAUTHENTICATED;
    return endEvent(printStatus(context, error), error.metadata, final);
  }

  /** An end that the gateway wants: a client that does not even read that is not waited for. */
  private farewell(why: Farewell, text: string): void {
    const { agenda, counts } = this.gateway;
    counts.left(DOOR, why);
    this.finish(text);
    if (this.response.destroyed) return;
    agenda.enter(this, performance.now() + LINGER_MS);
    this.response.once('close', () => agenda.remove(this));
  }

  private finish(text: string): void {
    if (!this.response.destroyed) this.body.end(text);
    this.close();
  }

  /** The response is closed, whoever closed it. */
  gone(): void {
    if (!this.over) this.close();
  }

  private close(): void {
    this.over = true;
    this.gateway.agenda.remove(this);
    this.delivery?.stop();
    this.body.release();
    this.done();
  }

  private get gateway(): Gateway {
    return this.served.gateway;
  }

  private get response(): ServerResponse {
    return this.served.exchange.response;
  }
}
