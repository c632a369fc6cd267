/** Notices a WebSocket client that has gone without a word, and when its connection has lasted long enough. */
import { type Agenda, Due } from '../agenda.js';
import { EXPIRY_NOTICE_MS, type Span } from '../streams.js';

/** What lives on the socket. */
export interface Watched {
  /** The client is asked for a sign of life. */
  askForLife(): void;
  /** Three pings in a row have had no answer. Called once. */
  dead(): void;
  /** The token will soon be no longer accepted. */
  expiring(): void;
  /** The token is no longer accepted. Called once. */
  expire(): void;
  /** The connection has lasted long enough; it is watched on. Called once. */
  age(): void;
}

export interface WatchOptions {
  readonly agenda: Agenda;
  /** Between two pings, in ms. */
  readonly intervalMs: number;
  readonly span: Span;
  readonly watched: Watched;
}

const UNANSWERED = 3;

/** Watches from the start. */
export class Watch extends Due {
  private unanswered = 0;
  private reading = true;
  private stopped = false;
  private pingAt: number;
  private agedAt: number;
  private expires: number;
  private noticeAt: number;
  private readonly agenda: Agenda;
  private readonly intervalMs: number;
  private readonly watched: Watched;

  constructor({ agenda, intervalMs, span, watched }: WatchOptions) {
    super();
    this.agenda = agenda;
    this.intervalMs = intervalMs;
    this.watched = watched;
    this.pingAt = performance.now() + intervalMs;
    this.agedAt = span.lifeEnds;
    this.expires = span.expires;
    this.noticeAt = this.expires - EXPIRY_NOTICE_MS;
    this.enter();
  }

  /** Anything was heard of the client. */
  alive(): void {
    this.unanswered = 0;
  }

  /** While we do not read, silence says nothing: the client is asked, but not judged. */
  setReading(reading: boolean): void {
    this.reading = reading;
    this.unanswered = 0;
  }

  /** There is a new token, which is accepted until then. */
  renew(expires: number): void {
    this.expires = expires;
    this.noticeAt = expires - EXPIRY_NOTICE_MS;
    this.enter();
  }

  stop(): void {
    this.stopped = true;
    this.agenda.remove(this);
  }

  due(now: number): void {
    const { watched } = this;
    if (now >= this.expires) {
      watched.expire();
      return;
    }
    const ages = now >= this.agedAt;
    if (ages) this.agedAt = Number.POSITIVE_INFINITY;
    if (now >= this.noticeAt) {
      this.noticeAt = Number.POSITIVE_INFINITY;
      watched.expiring();
    }
    if (now >= this.pingAt && !this.ask(now)) return;
    this.enter();
    if (ages) watched.age();
  }

  /** False: there is no life. */
  private ask(now: number): boolean {
    const { intervalMs, watched } = this;
    if (!this.reading) this.unanswered = 0;
    if (this.unanswered >= UNANSWERED) {
      watched.dead();
      return false;
    }
    this.unanswered++;
    this.pingAt = Math.max(this.pingAt, now - intervalMs) + intervalMs;
    watched.askForLife();
    return true;
  }

  private enter(): void {
    if (this.stopped) return;
    const { pingAt, expires, agedAt, noticeAt } = this;
    this.agenda.enter(this, Math.min(pingAt, expires, agedAt, noticeAt));
  }
}
